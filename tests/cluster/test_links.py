"""Links that are slow or break: nobody waits for ever, no session hangs on a replica that is gone."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from pathlib import Path
from typing import Any

import concert
import grpc
import pytest
from concert.agent import AgentHost
from concert.v1 import agent_pb2, agent_service_pb2, event_service_pb2, lock_service_pb2

from coordinator_service.cluster import grpc_wire, handshake
from coordinator_service.cluster.grpc_wire import ClientWire
from coordinator_service.cluster.handshake import ClusterSecret
from coordinator_service.cluster.messages import VERSION, Alive, Hello, Message, Proof, frame_of, messages_of
from tests.cli.concert_command import until
from tests.rpc.peer import Peer, refused

from .replicas import Resident, Town, connected, queue_length, replica
from .test_forwarding import SECONDS_MAX, Worker

SECRET, SECRET_NEXT = "a-secret-for-tests-alone", "the-next-secret-for-tests"
HELLO = Hello(VERSION, "b", "b/1", b"c" * 32)
ALIVE = Alive("default", (1,))


class Gate:
    """Holds back what an owner answers."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self._open = asyncio.Event()
        self._open.set()
        read = ClientWire.read

        async def gated(wire: ClientWire) -> bytes:
            frame = await read(wire)
            await self._open.wait()
            return frame

        monkeypatch.setattr(ClientWire, "read", gated)

    def shut(self) -> None:
        self._open.clear()

    def open(self) -> None:
        self._open.set()


async def test_a_task_given_before_the_session_is_known_here_reaches_its_agent(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The log may come faster than the owner's answer: what it decided meanwhile is not lost on the agent."""
    town = Town()
    gate = Gate(monkeypatch)
    async with AsyncExitStack() as stack, asyncio.timeout(SECONDS_MAX):
        first = await stack.enter_async_context(replica(town, tmp_path / "a", "a"))
        second = await stack.enter_async_context(replica(town, tmp_path / "b", "b"))
        peer = Peer(await stack.enter_async_context(grpc.aio.insecure_channel(first.address)))
        elsewhere = Peer(await stack.enter_async_context(grpc.aio.insecure_channel(second.address)))
        await stack.enter_async_context(AgentHost(Worker("early"), address=second.address))
        await _attached(peer, "early")
        await elsewhere.publish("before")  # the link stands, and the hub of b follows the log
        await peer.agents.DrainAgent(agent_service_pb2.DrainAgentRequest(agent_id="early"))
        gate.shut()
        await stack.enter_async_context(AgentHost(Worker("late"), address=second.address))
        await _attached(peer, "late")
        client = await stack.enter_async_context(concert.connect(first.address))
        run = await client.submit_run(tasks=[concert.task("t", capability="work")])
        submitted = await peer.last_sequence()

        async def the_log_is_known_here() -> bool:
            return (await second._namespaces.get("default")).last_sequence >= submitted

        await until(the_log_is_known_here)
        gate.open()
        ended = await run.wait()
        assert ended.status == concert.RunStatus.RUN_STATUS_SUCCEEDED


async def test_sessions_of_a_replica_that_is_gone_are_detached_at_once(tmp_path: Path) -> None:
    """D6: their agents come back through another, within the lease, to the work they had."""
    town = Town()
    async with AsyncExitStack() as stack, asyncio.timeout(SECONDS_MAX):
        first = await stack.enter_async_context(replica(town, tmp_path / "a", "a"))
        peer = Peer(await stack.enter_async_context(grpc.aio.insecure_channel(first.address)))
        dying = AsyncExitStack()
        second = await dying.enter_async_context(replica(town, tmp_path / "b", "b"))
        session = await stack.enter_async_context(concert.connect(second.address))
        await stack.enter_async_context(session.session(agent_id="there"))
        await _attached(peer, "there")
        await dying.aclose()

        async def detached() -> bool:
            request = agent_service_pb2.GetAgentRequest(agent_id="there")
            status: int = (await peer.agents.GetAgent(request)).agent.status
            return status == agent_pb2.AGENT_STATUS_DETACHED

        await until(detached)


async def test_whoever_waits_for_an_owner_that_is_gone_is_told(tmp_path: Path) -> None:
    """UNAVAILABLE with a hint, not silence; and another replica takes over what it had acknowledged."""
    town = Town()
    async with AsyncExitStack() as stack, asyncio.timeout(SECONDS_MAX):
        dying = AsyncExitStack()
        first = await dying.enter_async_context(replica(town, tmp_path / "a", "a"))
        second = await stack.enter_async_context(replica(town, tmp_path / "b", "b"))
        peer = Peer(await stack.enter_async_context(grpc.aio.insecure_channel(second.address)))
        held = await peer.acquire("shop", holder="one")
        waiting = asyncio.ensure_future(refused(peer.acquire("shop", wait_seconds=50, holder="two")))
        owner = Peer(await stack.enter_async_context(grpc.aio.insecure_channel(first.address)))

        async def two_waits() -> bool:
            return await queue_length(owner, "shop") == 1

        await until(two_waits)
        await dying.aclose()
        answer = await waiting
        assert answer.code == "UNAVAILABLE"
        assert "RetryInfo" in answer.details
        town.stopped.add("a")
        town.move("default", "b")
        lock = (await peer.locks.GetLock(lock_service_pb2.GetLockRequest(resource="shop"))).lock
        assert [each.fencing_token for each in lock.holders] == [held.grants[0].fencing_token]


async def test_whoever_does_not_speak_as_a_replica_is_cut_off(tmp_path: Path) -> None:
    """Another version, a question before anything was proven, or no frames at all."""
    town = Town()
    async with replica(town, tmp_path / "a", "a"), asyncio.timeout(SECONDS_MAX):
        for first in (b"", b"garbage", _said([Hello(99, "x", "x/1")]), _said([ALIVE]), _said([HELLO, ALIVE])):
            assert await _refusal(town, first) in (grpc.StatusCode.UNAVAILABLE, grpc.StatusCode.UNAUTHENTICATED)


async def test_replicas_with_a_secret_in_common_are_one_cluster(tmp_path: Path) -> None:
    """So a secret is replaced one replica after another: old, both, new."""
    town = Town()
    async with AsyncExitStack() as stack, asyncio.timeout(SECONDS_MAX):
        await stack.enter_async_context(replica(town, tmp_path / "a", "a", f"{SECRET} {SECRET_NEXT}"))
        for name, secret in (("b", SECRET), ("c", SECRET_NEXT)):
            other = await stack.enter_async_context(replica(town, tmp_path / name, name, secret))
            peer = Peer(await stack.enter_async_context(grpc.aio.insecure_channel(other.address)))
            assert await peer.publish(name)


@pytest.mark.parametrize("secret", ["", SECRET_NEXT])
async def test_a_replica_of_another_secret_is_refused_and_named(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, secret: str
) -> None:
    """Neither end says the secret, neither asks the other anything, and both say in their logs whom they met."""
    town = Town()
    async with AsyncExitStack() as stack, asyncio.timeout(SECONDS_MAX):
        owner = await stack.enter_async_context(replica(town, tmp_path / "a", "a", SECRET))
        other = await stack.enter_async_context(replica(town, tmp_path / "b", "b", secret))
        peer = Peer(await stack.enter_async_context(grpc.aio.insecure_channel(other.address)))
        for _ in range(3):
            assert (await refused(peer.publish("x"))).code == "UNAVAILABLE"
        own = Peer(await stack.enter_async_context(grpc.aio.insecure_channel(owner.address)))
        assert "x" not in [event.custom.name for event in await own.events_after(0)]
    lines = [record.getMessage() for record in caplog.records if record.levelname == "WARNING"]
    assert len([line for line in lines if "a does not" in line or "it does not know the secret" in line]) == 1
    assert SECRET not in caplog.text


async def test_an_owner_refuses_who_does_not_prove_that_it_may_ask(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """Also one that repeats what it overheard: a proof is for one link and one side."""
    town = Town()
    async with replica(town, tmp_path / "a", "a", SECRET), asyncio.timeout(SECONDS_MAX):
        async with _link(town) as call:
            await call.write(_said([HELLO]))
            (answered,) = messages_of((await call.read())[1:])
            assert isinstance(answered, Hello)
            await call.write(_said([Proof(answered.proofs)]))
            assert await call.code() is grpc.StatusCode.UNAUTHENTICATED
        asked = Hello(VERSION, "b", "b/1", b"n" * 32)
        overheard = Proof(ClusterSecret([SECRET]).prove("asks", asked, answered))
        async with _link(town) as call:
            await call.write(_said([asked]))
            await call.read()
            await call.write(_said([overheard]))
            assert await call.code() is grpc.StatusCode.UNAUTHENTICATED
    refusals = [record.getMessage() for record in caplog.records if "was refused" in record.getMessage()]
    assert [line.count("'b'") for line in refusals] == [1], "once for both: they are of one host under one name"


async def test_a_stranger_gets_no_more_room_than_a_handshake_takes(tmp_path: Path) -> None:
    """One large message, many pieces of one frame, pieces of nothing: each is cut off before anything is proven."""
    town = Town()
    async with replica(town, tmp_path / "a", "a", SECRET), asyncio.timeout(SECONDS_MAX):
        assert await _refusal(town, bytes(grpc_wire.PIECE_BYTES_MAX + 2)) is grpc.StatusCode.RESOURCE_EXHAUSTED
        for piece in (b"\x01" + bytes(4096), b"\x01"):
            async with _link(town) as call:
                with suppress(grpc.aio.AioRpcError, asyncio.InvalidStateError):
                    while not call.done():
                        await call.write(piece)
                # Whoever writes on when the call has ended hears of that only.
                assert await call.code() in (grpc.StatusCode.UNAVAILABLE, grpc.StatusCode.INTERNAL)


async def test_a_frame_of_many_pieces_arrives(tmp_path: Path) -> None:
    """Whoever has proven who it is may say more than one message holds."""
    town = Town()
    async with AsyncExitStack() as stack, asyncio.timeout(SECONDS_MAX):
        await stack.enter_async_context(replica(town, tmp_path / "a", "a", SECRET))
        other = await stack.enter_async_context(replica(town, tmp_path / "b", "b", SECRET))
        peer = Peer(await stack.enter_async_context(grpc.aio.insecure_channel(other.address)))
        data = bytes(3 * grpc_wire.PIECE_BYTES_MAX)
        request = event_service_pb2.PublishRequest()
        request.events.add().custom.name = "large"
        request.events[0].custom.data.data = data
        await peer.events.Publish(request)
        (found,) = [each for each in await peer.events_after(0) if each.custom.name == "large"]
        assert found.custom.data.data == data


async def test_links_that_prove_nothing_are_few_and_do_not_last(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One too many is refused at once, and those that say nothing are closed after a while, which makes room."""
    monkeypatch.setattr(grpc_wire, "UNPROVEN_MAX", 2)
    town = Town()
    async with AsyncExitStack() as stack, asyncio.timeout(SECONDS_MAX):
        await stack.enter_async_context(replica(town, tmp_path / "a", "a", SECRET))
        silent = [await stack.enter_async_context(_link(town)) for _ in range(2)]
        for call in silent:
            await call.write(_said([HELLO]))
            await call.read()
        assert await _refusal(town, _said([HELLO])) is grpc.StatusCode.RESOURCE_EXHAUSTED
        monkeypatch.setattr(handshake, "HANDSHAKE_SECONDS_MAX", 0.2)
        silent[0].cancel()
        silent[1].cancel()

        async def there_is_room() -> bool:
            async with _link(town) as call:
                return await call.code() is grpc.StatusCode.UNAVAILABLE and "says nothing" in await call.details()

        await until(there_is_room)


PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + b"\0\0\0\4\0\0\0\0\0"
"""What HTTP/2 begins with, and settings without any."""


@pytest.mark.parametrize("said", [b"", PREFACE])
async def test_a_connection_on_which_nobody_asks_does_not_last(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, said: bytes
) -> None:
    """It says nothing, or no more than that it speaks HTTP/2."""
    monkeypatch.setattr(grpc_wire, "IDLE_MS_MAX", 300)
    async with AsyncExitStack() as stack, asyncio.timeout(SECONDS_MAX):
        town = Town()
        await stack.enter_async_context(replica(town, tmp_path / "a", "a", SECRET))
        await _hung_up(await _connection(stack, town, said))


async def test_connections_that_are_too_many_are_closed_at_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Those that were there before stay."""
    monkeypatch.setattr(grpc_wire, "CONNECTIONS_MAX", 2)
    async with AsyncExitStack() as stack, asyncio.timeout(SECONDS_MAX):
        town = Town()
        await stack.enter_async_context(replica(town, tmp_path / "a", "a", SECRET))
        first = [await _connection(stack, town, PREFACE) for _ in range(2)]
        for reader in first:
            assert await reader.read(1)
        await _hung_up(await _connection(stack, town, PREFACE))
        assert not any(reader.at_eof() for reader in first)


async def test_nobody_is_answered_before_the_namespaces_are_there(tmp_path: Path) -> None:
    """A replica that is known already, and still begins, keeps whoever asks waiting; then it answers."""
    town = Town()
    async with AsyncExitStack() as stack, asyncio.timeout(SECONDS_MAX):
        first = await stack.enter_async_context(replica(town, tmp_path / "a", "a"))
        peer = Peer(await stack.enter_async_context(grpc.aio.insecure_channel(first.address)))
        asked: list[asyncio.Task[object]] = []

        async def join(address: str) -> Resident:
            joined = town.join("b", address)
            town.move("default", "b")
            asked.append(asyncio.create_task(peer.publish("early")))
            async with _link(town, "b") as call:
                await call.write(_said([HELLO]))
                with pytest.raises(TimeoutError):
                    await asyncio.wait_for(call.read(), 0.2)
            return joined

        await stack.enter_async_context(replica(town, tmp_path / "b", "b", join=join))
        assert await asked[0]


def _said(messages: list[Message]) -> bytes:
    """A frame in one piece."""
    return b"\x00" + frame_of(messages)


@asynccontextmanager
async def _link(town: Town, replica_id: str = "a") -> AsyncIterator[Any]:
    """A link by hand."""
    async with grpc.aio.insecure_channel(town.replicas[replica_id].address) as channel:
        connect: Any = channel.stream_stream("/concert.cluster.v1.ReplicaService/Link")
        yield connect()


async def _connection(stack: AsyncExitStack, town: Town, said: bytes) -> asyncio.StreamReader:
    """One below gRPC, on which something is said."""
    host, _, port = town.replicas["a"].address.rpartition(":")
    reader, writer = await asyncio.open_connection(host, int(port))
    stack.callback(writer.close)
    writer.write(said)
    return reader


async def _hung_up(reader: asyncio.StreamReader) -> None:
    """Waits until the other end has closed a connection."""
    with suppress(ConnectionError):
        while await reader.read(1024):
            pass


async def _refusal(town: Town, first: bytes) -> grpc.StatusCode:
    """How a link ends that begins with a frame."""
    async with _link(town) as call:
        with suppress(grpc.aio.AioRpcError):  # it may be refused before the frame is written
            await call.write(first)
            while await call.read() is not grpc.aio.EOF:
                pass
        return await call.code()


async def _attached(peer: Peer, agent_id: str) -> None:
    async def there() -> bool:
        return agent_id in await connected(peer)

    await until(there)
