"""A relay that ends, and a link that begins late: nothing is left behind without anybody to look at it, and nothing is
done that its caller has given up."""

from __future__ import annotations

import asyncio
import gc
from typing import Any

from coordinator_service.clock import SystemClock
from coordinator_service.cluster.encoding import command_from_bytes, command_to_bytes
from coordinator_service.cluster.handshake import ClusterSecret, Identity, greet, receive
from coordinator_service.cluster.link import Link
from coordinator_service.cluster.messages import Ask, Question, frame_of, messages_of
from coordinator_service.cluster.relay import Relay
from coordinator_service.cluster.wire import WireLost
from coordinator_service.core.commands import Caller, DeleteState
from coordinator_service.core.rejections import Unavailable
from coordinator_service.local_namespace import LocalNamespace
from coordinator_service.ports import Outcome

SECONDS_MAX = 10.0
SECRET = ClusterSecret(["a-secret-for-tests-alone"])


class MemoryEnd:
    """One end of a wire: what is written to it waits while the other end takes nothing."""

    def __init__(self) -> None:
        self.other = self
        self.takes = asyncio.Event()
        self.takes.set()
        self.waits_to_write = asyncio.Event()
        self.lost = False
        self._frames: asyncio.Queue[bytes] = asyncio.Queue()

    async def read(self) -> bytes:
        """The next frame; an empty one says that the wire is lost."""
        frame = await self._frames.get()
        if not frame:
            raise WireLost("the connection was reset")
        return frame

    async def write(self, frame: bytes) -> None:
        """Raises WireLost."""
        self.waits_to_write.set()
        await self.other.takes.wait()
        if self.lost:
            raise WireLost("the connection was reset")
        self.waits_to_write.clear()
        self.other._frames.put_nowait(frame)

    def close(self) -> None:
        """Nobody finds out."""


async def test_a_relay_that_is_cancelled_while_it_says_its_last_leaves_no_failure_unseen() -> None:
    """As when a replica is stopped just after another, that does not read, was lost. Seed 1795946260910 of the
    simulator."""
    here, there = MemoryEnd(), MemoryEnd()
    here.other, there.other = there, here
    unseen: list[dict[str, Any]] = []
    asyncio.get_running_loop().set_exception_handler(lambda _, context: unseen.append(context))

    async def own(_namespace: str) -> LocalNamespace:
        raise Unavailable("it is owned elsewhere")

    async with asyncio.timeout(SECONDS_MAX):
        relay = Relay(here, Identity("a", "a/1", SECRET), own)
        running = asyncio.create_task(relay.run())
        await greet(there, Identity("b", "b/1", SECRET), "a")
        there.takes.clear()
        await there.write(frame_of([Question(1, "default", "health", b"")]))
        await here.waits_to_write.wait()
        here._frames.put_nowait(b"")
        while not relay._outbox._finished:  # noqa: ASYNC110 - nobody announces it
            await asyncio.sleep(0)
        running.cancel()
        await asyncio.wait([running])
        here.lost = True
        there.takes.set()
        for _ in range(3):
            await asyncio.sleep(0)
    del relay, running
    gc.collect()
    assert unseen == []


async def test_what_waits_when_a_relay_ends_is_never_asked() -> None:
    """As when a replica stood still for longer than its lease: whoever asked has asked another since, and was refused
    perhaps, which leaves no trace by which the same request would be known. Seed 221000254 of the chaos."""
    here, there = MemoryEnd(), MemoryEnd()
    here.other, there.other = there, here
    submitted: list[object] = []
    opened = asyncio.Event()

    class Namespace:
        serves = True

        def submit(self, command: object, *_: object) -> None:
            submitted.append(command)

    async def own(_namespace: str) -> Any:
        await opened.wait()
        return Namespace()

    async with asyncio.timeout(SECONDS_MAX):
        relay = Relay(here, Identity("a", "a/1", SECRET), own)
        running = asyncio.create_task(relay.run())
        await greet(there, Identity("b", "b/1", SECRET), "a")
        name, body = command_to_bytes(DeleteState(keys=("k",)))
        await there.write(frame_of([Ask(1, "default", name, body, Caller(method="DeleteState", request_id="r"))]))
        while not relay._lanes:  # noqa: ASYNC110 - nobody announces it
            await asyncio.sleep(0)
        relay.end("the lease of this replica has run out")
        opened.set()
        assert await running == "the lease of this replica has run out"
    assert submitted == []


async def test_what_is_given_up_before_a_link_begins_is_never_sent() -> None:
    """As when the owner stood still while the link to it was made, and was the owner again afterwards."""
    here, there = MemoryEnd(), MemoryEnd()
    here.other, there.other = there, here
    answers: list[Outcome] = []
    caller = Caller(method="DeleteState", request_id="r")
    async with asyncio.timeout(SECONDS_MAX):
        link = Link(here, Identity("a", "a/1", SECRET), "b", SystemClock(), lambda _: None)
        running = asyncio.create_task(link.run())
        link.ask("default", DeleteState(keys=("given up",)), caller, answers.append)
        link.abandon("default", Unavailable("the namespace moves"))
        link.ask("default", DeleteState(keys=("wanted",)), caller, answers.append)
        await receive(there, Identity("b", "b/1", SECRET))
        (asked,) = messages_of(await there.read())
        running.cancel()
        await asyncio.wait([running])
    assert isinstance(asked, Ask)
    assert command_from_bytes(asked.command, asked.body) == DeleteState(keys=("wanted",))
    assert [type(each) for each in answers] == [Unavailable, Unavailable]
