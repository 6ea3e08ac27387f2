"""The rpcs and the session under requests made from the descriptors, in any order, several at once.

Two worlds: `within` is a coordinator in this process whose servicers are called without gRPC, for numbers; `process` is
one of its own over a socket, for life as it is. Whatever is sent, the answer is a status of the contract with its
details, never INTERNAL or UNKNOWN; at the end the log replays, and nothing has grown without bound.
"""

from __future__ import annotations

import asyncio
import base64
import json
from collections import Counter
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass, field
from pathlib import Path
from random import Random
from typing import Any, Protocol, TypeAlias

from concert.v1 import session_service_pb2
from google.protobuf import descriptor_pool, message_factory
from google.rpc import error_details_pb2, status_pb2

from tests.fuzz.material import Material, memory_of_answers
from tests.fuzz.mutations import mutated

SERVICES = ("Event", "Agent", "Run", "Lock", "State", "Monitor")
NAMESPACES = ("", "", "default", "one")
WORKERS = 48
"""At once; those that wait for what streams or waits cost nothing."""
WAIT_SECONDS_MAX = 0.3
"""What waits or streams is cancelled after that."""
ANSWER_SECONDS_MAX = 60.0
"""Everything else is answered before."""
RESPONSES_MAX = 3
FRAMES_MAX = 16
DETAILS_BYTES_MAX = 5000
STATUS = "grpc-status-details-bin"
"""Where a google.rpc.Status travels, among the trailing metadata."""
TRACEPARENT = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"

SETTINGS: dict[str, Any] = {
    "namespaces_max": 12,
    "snapshot_events": 500,
    "subscriptions_max": 20,
    "log_events_max": 5000,
    "trim_interval_ms": 500,
    "run_timeout_seconds": 2,
    "runs_live_max": 100,
    "tasks_live_max": 2000,
    "agents_max": 200,
    "lock_waiters_max": 500,
    "locks_max": 500,
    "state_keys_max": 1000,
    "state_retention_ms": 1000,
    "state_history_ms": 1000,
    "request_window_ms": 2000,
    "requests_max": 5000,
    "run_retention_ms": 1000,
    "agent_retention_ms": 1000,
    "evicted_retention_ms": 2000,
    "evicted_runs_max": 100,
    "session_lease_ms_default": 2000,
    "reattach_grace_ms": 500,
    "reattach_hold_ms": 500,
}
"""Small, so that bounds are met and what is kept stays little."""

REFUSALS = frozenset(
    [
        "INVALID_ARGUMENT",
        "NOT_FOUND",
        "ALREADY_EXISTS",
        "ABORTED",
        "FAILED_PRECONDITION",
        "DEADLINE_EXCEEDED",
        "RESOURCE_EXHAUSTED",
        "OUT_OF_RANGE",
        "DATA_LOSS",
        "UNAVAILABLE",
        "PERMISSION_DENIED",
        "UNAUTHENTICATED",
    ]
)


class Trouble(Exception):  # noqa: N818 (it says what it is)
    """Something that must not be. journal: what was sent until then, a line of JSON each."""

    def __init__(self, what: str, journal: bytes = b"") -> None:
        super().__init__(what)
        self.journal = journal


@dataclass(frozen=True, slots=True)
class Heard:
    """How a call ended. code is "CUT" where this side ended it; status is its google.rpc.Status, if it had one."""

    code: str
    responses: list[bytes] = field(default_factory=list)
    status: bytes = b""
    message: str = ""


Metadata: TypeAlias = tuple[tuple[str, str], ...]


class World(Protocol):
    """A coordinator."""

    async def call(self, path: str, request: bytes, metadata: Metadata, seconds_max: float) -> Heard:
        """A call with one request and one or several responses; CUT after so long."""

    async def converse(self, frames: AsyncIterator[bytes], hear: Callable[[bytes], None], *, cut: bool) -> Heard:
        """A session: every frame is sent, whatever is heard; then it is half-closed, or cut off."""

    async def check(self) -> str:
        """Afterwards: raises Trouble when anything is wrong, else says in words how it is."""


@dataclass(frozen=True, slots=True)
class Rpc:
    """One of the contract."""

    path: str
    request: type[Any]
    response: type[Any]
    seconds_max: float
    """How long it may take; one that may wait is cut off after that."""


def rpcs() -> list[Rpc]:
    """All but the session, from the descriptors."""
    pool = descriptor_pool.Default()
    found = []
    for name in SERVICES:
        service = pool.FindServiceByName(f"concert.v1.{name}Service")
        for method in service.methods:
            kinds = (message_factory.GetMessageClass(each) for each in (method.input_type, method.output_type))
            waits = method.server_streaming or method.name == "Acquire"
            seconds_max = WAIT_SECONDS_MAX if waits else ANSWER_SECONDS_MAX
            found.append(Rpc(f"/{service.full_name}/{method.name}", *kinds, seconds_max))
    return found


class Journal:
    """What was sent, in the order in which it was begun."""

    def __init__(self) -> None:
        self._lines: list[str] = []

    def call(self, path: str, request: bytes) -> None:
        """A call."""
        self._lines.append(json.dumps({"path": path, "request": base64.b64encode(request).decode()}))

    def frame(self, session: int, frame: bytes) -> None:
        """A frame of a session."""
        self._lines.append(json.dumps({"session": session, "frame": base64.b64encode(frame).decode()}))

    def __bytes__(self) -> bytes:
        return "\n".join(self._lines).encode()


class Fuzzer:
    """Sends so many messages to a world, from a seed."""

    def __init__(self, world: World, seed: int, messages: int) -> None:
        self._world = world
        self._seed = seed
        self._left = messages
        self._rpcs = rpcs()
        self._sessions = 0
        self._memory = memory_of_answers()
        self.journal = Journal()
        self.codes: Counter[str] = Counter()
        self.reached: Counter[str] = Counter()
        """Calls answered OK, by path: what the requests get to."""

    async def run(self) -> None:
        """Until all are sent. Raises Trouble."""
        async with asyncio.TaskGroup() as workers:
            for number in range(WORKERS):
                workers.create_task(self._work(Random(f"{self._seed}/{number}")))

    async def _work(self, chance: Random) -> None:
        material = Material(chance, NAMESPACES, self._memory)
        while self._left > 0:
            if chance.random() < 0.08:
                await self._session(chance, material)
            else:
                await self._call(chance, material)

    async def _call(self, chance: Random, material: Material) -> None:
        self._left -= 1
        rpc = chance.choice(self._rpcs)
        request = material.message(rpc.request).SerializeToString()
        if chance.random() < 0.1:
            request = mutated(chance, request)
        self.journal.call(rpc.path, request)
        metadata = (("traceparent", chance.choice((TRACEPARENT, "00-1", "x" * 300))),) if chance.random() < 0.1 else ()
        heard = await self._world.call(rpc.path, request, metadata, rpc.seconds_max)
        if heard.code == "CUT" and rpc.seconds_max == ANSWER_SECONDS_MAX:
            raise Trouble(f"{rpc.path}: no answer within {ANSWER_SECONDS_MAX} s", bytes(self.journal))
        self._judge(rpc.path, heard)
        for each in heard.responses:
            self.reached[rpc.path] += 1
            material.remember(rpc.response.FromString(each))

    async def _session(self, chance: Random, material: Material) -> None:
        self._sessions += 1
        number, frames = self._sessions, chance.randint(1, FRAMES_MAX)

        def hear(frame: bytes) -> None:
            material.remember(session_service_pb2.ConnectResponse.FromString(frame))

        async def sent() -> AsyncIterator[bytes]:
            for index in range(frames):
                frame = self._frame(chance, material, first=index == 0)
                self.journal.frame(number, frame)
                yield frame
                await asyncio.sleep(chance.choice((0, 0, 0.005)))

        heard = await self._world.converse(sent(), hear, cut=chance.random() < 0.5)
        self._judge("Connect", heard)

    def _frame(self, chance: Random, material: Material, *, first: bool) -> bytes:
        frame = session_service_pb2.ConnectRequest()
        kinds = [*session_service_pb2.ClientMessage.DESCRIPTOR.fields]
        for number in range(chance.choice((0, 1, 1, 1, 2, 5))):
            self._left -= 1
            kind = chance.choice(kinds) if chance.random() < 0.1 else kinds[2 if number or not first else 0]
            if first and not number and chance.random() < 0.05:
                kind = kinds[2]
            inner = getattr(frame.messages.add(), kind.name)
            inner.SetInParent()
            material.refill(inner)
        encoded = frame.SerializeToString()
        return mutated(chance, encoded) if chance.random() < 0.03 else encoded

    def _judge(self, where: str, heard: Heard) -> None:
        self.codes[heard.code] += 1
        fault = fault_of(heard)
        if fault:
            raise Trouble(f"{where}: {fault}", bytes(self.journal))


def fault_of(heard: Heard) -> str:
    """What is wrong with an answer; nothing, if it is one of the contract."""
    if heard.code in ("OK", "CUT"):
        return ""
    if heard.code not in REFUSALS:
        return f"{heard.code}: {heard.message}"
    if not heard.status:
        return f"{heard.code} without details: {heard.message}"
    if len(heard.status) > DETAILS_BYTES_MAX:
        return f"{heard.code} with {len(heard.status)} bytes of details"
    info = error_details_pb2.ErrorInfo()
    status = status_pb2.Status.FromString(heard.status)
    named = [each for each in status.details if each.Is(info.DESCRIPTOR)]
    if not named or not named[0].Unpack(info) or info.domain != "concert" or not info.reason:
        return f"{heard.code} without a reason: {heard.message}"
    return ""


async def fuzz_surface(name: str, seed: int, messages: int, directory: Path) -> str:
    """Fuzzes a world, checks it, and says how it was. Raises Trouble."""
    async with WORLDS[name](directory) as world:
        fuzzer = Fuzzer(world, seed, messages)
        try:
            await fuzzer.run()
        except ExceptionGroup as group:
            raise _first(group, bytes(fuzzer.journal)) from group
        try:
            told = await world.check()
        except Trouble as trouble:
            raise Trouble(str(trouble), bytes(fuzzer.journal)) from trouble
    silent = sorted(rpc.path.rpartition(".")[2] for rpc in fuzzer._rpcs if not fuzzer.reached[rpc.path])
    never = f"; never OK: {', '.join(silent)}" if silent else ""
    codes = ", ".join(f"{code} {count}" for code, count in fuzzer.codes.most_common())
    return f"{messages} messages: {codes}{never}; {told}"


async def replay_surface(name: str, journal: bytes, directory: Path) -> None:
    """Sends what a journal says, one after another, and sessions as they were. Raises Trouble."""
    seconds_max = {rpc.path: rpc.seconds_max for rpc in rpcs()}
    async with WORLDS[name](directory) as world:
        sessions: dict[int, asyncio.Queue[bytes | None]] = {}
        talking = []
        for line in journal.decode().splitlines():
            entry = json.loads(line)
            if "path" in entry:
                path = entry["path"]
                heard = await world.call(path, base64.b64decode(entry["request"]), (), seconds_max[path])
                if fault := fault_of(heard):
                    raise Trouble(f"{path}: {fault}")
                if heard.code == "CUT" and seconds_max[path] == ANSWER_SECONDS_MAX:
                    raise Trouble(f"{path}: no answer within {ANSWER_SECONDS_MAX} s")
                continue
            frames = sessions.get(entry["session"])
            if frames is None:
                frames = sessions[entry["session"]] = asyncio.Queue()
                talking.append(asyncio.create_task(_converse(world, frames)))
            frames.put_nowait(base64.b64decode(entry["frame"]))
            await asyncio.sleep(0.005)
        for frames in sessions.values():
            frames.put_nowait(None)
        await asyncio.gather(*talking)
        await world.check()


async def _converse(world: World, frames: asyncio.Queue[bytes | None]) -> None:
    async def sent() -> AsyncIterator[bytes]:
        while (frame := await frames.get()) is not None:
            yield frame

    if fault := fault_of(await world.converse(sent(), lambda _: None, cut=False)):
        raise Trouble(f"Connect: {fault}")


def _first(group: BaseExceptionGroup[BaseException], journal: bytes) -> Trouble:
    found: BaseException = group
    while isinstance(found, BaseExceptionGroup):
        found = found.exceptions[0]
    return Trouble(str(found) if isinstance(found, Trouble) else f"{type(found).__name__}: {found}", journal)


async def within_time(work: Coroutine[Any, Any, Heard], seconds_max: float) -> Heard:
    """A call's end; CUT when it took too long."""
    task = asyncio.ensure_future(work)
    done, _ = await asyncio.wait({task}, timeout=seconds_max)
    if done:
        return task.result()
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)
    return Heard("CUT")


def _worlds() -> dict[str, Callable[[Path], AbstractAsyncContextManager[World]]]:
    from tests.fuzz.process import process
    from tests.fuzz.within import within

    return {"within": within, "process": process}


WORLDS = _worlds()
