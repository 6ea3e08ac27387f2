"""A coordinator on the bench: what it appends can be held back or fail, its clock turned, its process killed."""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import Awaitable, Callable
from typing import Any

from concert.v1 import session_service_pb2 as pb

from coordinator_service.core.answers import Answer, Waiting
from coordinator_service.core.commands import (
    Acquire,
    Caller,
    Command,
    EventDraft,
    OpenSession,
    Publish,
    ResumeSession,
    SubmitRun,
)
from coordinator_service.core.invariants import check_invariants
from coordinator_service.core.limits import Limits
from coordinator_service.core.rejections import Rejection, Unavailable
from coordinator_service.core.specs import AgentSpec, Capability, LockRequest, RunSpec, TaskSpec, TaskTarget
from coordinator_service.core.values import NS_PER_MS, LockMode
from coordinator_service.local_namespace import LocalNamespace, ShellLimits
from coordinator_service.log.base import LogError
from coordinator_service.log.memory import MemoryPlace, MemoryStore
from coordinator_service.namespaces import Namespaces
from coordinator_service.ports import Outcome
from coordinator_service.sessions import SessionHub, SessionHubs, SessionLimits, SessionStream
from tests.simulation.clock import VirtualClock

NAME = "tested"


class Disk:
    """The commits of a store: let through, held back, or failing."""

    def __init__(self) -> None:
        self.begun = 0
        self.fails = False
        self._held = False
        self._let = asyncio.Semaphore(0)

    async def write(self) -> None:
        """Awaited before each batch is kept."""
        self.begun += 1
        await asyncio.sleep(0)
        if self._held:
            await self._let.acquire()
        if self.fails:
            raise LogError("no space left on device")

    def hold(self) -> None:
        """Nothing becomes durable until release."""
        self._held = True

    def let_one(self) -> None:
        """One batch of those held back becomes durable, or fails."""
        self._let.release()

    def release(self) -> None:
        """What was held back becomes durable, or fails, and so does what follows."""
        self._held = False
        self._let.release()


class Bench:
    """Namespaces over a MemoryPlace that outlives them."""

    def __init__(self) -> None:
        self.clock = VirtualClock(asyncio.get_running_loop())
        self.place = MemoryPlace()
        self.limits = Limits()
        self.shell = ShellLimits()
        self.session_limits = SessionLimits()
        self.disk = Disk()
        self._numbers = itertools.count(1)
        self._namespaces: Namespaces | None = None
        self._hubs = SessionHubs(self.session_limits, {})

    def start(self) -> Namespaces:
        """A new process over what is kept; one before it is dead from here on."""
        self.kill()
        self.disk = Disk()
        self._hubs = SessionHubs(self.session_limits, {"a_limit": 1})
        self._namespaces = Namespaces(
            MemoryStore(self.place, commit=lambda: self.disk.write()),
            self.clock,
            replica_id="bench",
            limits=self.limits,
            shell=self.shell,
            on_decided=lambda state, _command, _decision: check_invariants(state),
        )
        return self._namespaces

    def kill(self) -> None:
        """The process is gone, without a word."""
        self._hubs.close(Unavailable("killed"))
        if self._namespaces is not None:
            for namespace in self._namespaces.owned():
                namespace.drop(Unavailable("killed"))

    async def end(self) -> None:
        """Lets everything go."""
        self.kill()
        for _ in range(5):
            await asyncio.sleep(0)

    async def open(self) -> LocalNamespace:
        """The namespace, of the process that runs."""
        return await (self._namespaces or self.start()).get(NAME)

    async def reopen(self) -> LocalNamespace:
        """The namespace, of a new process after a kill."""
        self.start()
        return await self.open()

    async def hub(self) -> SessionHub:
        """The hub of the namespace."""
        port = await self.open()
        return await self._hubs.of(port)

    async def connect(self, agent_id: str = "agent", **described: Any) -> SessionStream:
        """Opens a session."""
        return await (await self.hub()).connect(open_session(agent_id, **described), Caller())

    async def resume(self, session_id: int, *attempt_tokens: int) -> SessionStream:
        """Comes back to a session."""
        command = ResumeSession(session_id=session_id, attempt_tokens=attempt_tokens)
        return await (await self.hub()).connect(command, Caller())

    @property
    def durable(self) -> int:
        """The last sequence kept."""
        return self.place.records[NAME].last_sequence

    @property
    def batches(self) -> int:
        """How many appends were kept."""
        return len(self.place.records[NAME].batches)

    def caller(self, method: str = "Publish", *, session_id: int = 0, request_id: str = "", attempt: int = 0) -> Caller:
        """Somebody with a request_id that nobody else has, unless one is given."""
        return Caller(
            principal="tester",
            method=method,
            request_id=request_id or f"r{next(self._numbers)}",
            session_id=session_id,
            attempt_token=attempt,
        )


class Asked:
    """A command on its way: everything it was told."""

    def __init__(self, port: LocalNamespace, command: Command, caller: Caller | None = None) -> None:
        self.told: list[Outcome] = []
        port.submit(command, caller or Caller(), self.told.append)

    @property
    def finals(self) -> list[Outcome]:
        """What it was told besides Waiting."""
        return [outcome for outcome in self.told if not isinstance(outcome, Waiting)]

    async def final(self) -> Outcome:
        """The answer, once there is one."""
        await until(lambda: bool(self.finals))
        (outcome,) = self.finals
        return outcome


async def until(holds: Callable[[], bool], *, seconds_max: float = 120.0) -> None:
    """Waits, in virtual time, for something to hold."""
    loop = asyncio.get_running_loop()
    ends_at = loop.time() + seconds_max
    while not holds():
        assert loop.time() < ends_at, "it never came to hold"
        await asyncio.sleep(0.01)


async def settle() -> None:
    """Lets everybody who has something to do at this moment do it."""
    for _ in range(30):
        await asyncio.sleep(0)


async def refused(asked: Awaitable[Answer]) -> Rejection:
    """The refusal that a call ends with."""
    try:
        answer = await asked
    except Rejection as rejection:
        return rejection
    raise AssertionError(f"was not refused, but told {answer}")


def publish(*names: str, event_id: str = "") -> Publish:
    """Events by these names."""
    return Publish(drafts=tuple(EventDraft(name=name, event_id=event_id) for name in names))


def acquire(
    *resources: str,
    mode: LockMode = LockMode.EXCLUSIVE,
    holder: str = "",
    wait_ms: int | None = 10_000,
    lease_ms: int = 60_000,
) -> Acquire:
    """Asks for locks."""
    return Acquire(
        requests=tuple(
            LockRequest(
                resource=resource,
                mode=mode,
                holder=holder,
                lease_ns=lease_ms * NS_PER_MS,
                wait_timeout_ns=None if wait_ms is None else wait_ms * NS_PER_MS,
            )
            for resource in resources
        )
    )


def open_session(
    agent_id: str, *, capability: str = "build", lease_ms: int = 3000, takeover: bool = False, slots: int = 1
) -> OpenSession:
    """Describes an agent."""
    capabilities = (Capability(name=capability),) if capability else ()
    spec = AgentSpec(agent_id=agent_id, capabilities=capabilities, slots=slots)
    return OpenSession(spec=spec, lease_ns=lease_ms * NS_PER_MS, takeover=takeover)


def submit(*task_ids: str, run_id: str = "run", capability: str = "build") -> SubmitRun:
    """A run of tasks that need nothing but an agent."""
    target = TaskTarget(capability=capability)
    return SubmitRun(
        spec=RunSpec(run_id=run_id, tasks=tuple(TaskSpec(task_id=each, target=target) for each in task_ids))
    )


async def messages(stream: SessionStream) -> list[pb.CoordinatorMessage]:
    """The messages of the next frame."""
    return list(pb.ConnectResponse.FromString(await stream.next_frame()).messages)


async def kinds(stream: SessionStream) -> list[str]:
    """What kinds of messages the next frame holds."""
    return [str(message.WhichOneof("message")) for message in await messages(stream)]


async def next_task(stream: SessionStream) -> pb.AgentTask:
    """The next task that the stream brings."""
    while True:
        for message in await messages(stream):
            if message.WhichOneof("message") == "task":
                return message.task
