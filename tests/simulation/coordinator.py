"""One life of a coordinator process: namespaces and session hubs over the disk, watched, until it dies or is closed."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine, Iterator
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, TypeVar

from coordinator_service.core.answers import (
    Acquired,
    AgentRead,
    AgentsRead,
    Done,
    LockRead,
    LocksRead,
    Published,
    RunAccepted,
    SessionOpened,
    StateRead,
    Waiting,
)
from coordinator_service.core.commands import Caller, Command, EndSession, ExpireLock, GetState, StartOwner
from coordinator_service.core.decide import Decision
from coordinator_service.core.invariants import InvariantBroken, check_invariants
from coordinator_service.core.limits import Limits
from coordinator_service.core.reasons import LEASE_EXPIRED
from coordinator_service.core.rejections import (
    Deadlock,
    Fault,
    LimitReached,
    LockTimeout,
    LogTailLost,
    StateConflict,
    Unavailable,
)
from coordinator_service.core.state import NamespaceState
from coordinator_service.core.values import NS_PER_SECOND
from coordinator_service.local_namespace import LocalNamespace
from coordinator_service.namespaces import Namespaces
from coordinator_service.ports import NamespacePort, Outcome
from coordinator_service.sequencer import Sequencer
from coordinator_service.sessions import SessionHub, SessionHubs, SessionStream
from tests.core.explained import check_everything_is_explained
from tests.simulation.store import FaultyStore
from tests.simulation.stuck import check_nobody_stuck
from tests.simulation.wire import Asked

if TYPE_CHECKING:
    from tests.simulation.world import World

T = TypeVar("T")

NAMESPACE = "simulated"
EXPLAINED_EVERY = 40
"""Looks at the state between two at which everything that waits is asked what for, too: that costs more."""
LOOKED_AT_ROWS = 64
"""Up to so many rows of the state are looked at after every decision."""
EXPLAINED_ROWS = 4
"""Of larger states so many more rows put off the next explanation by one look."""


class Lost(Exception):  # noqa: N818 (it says what happened)
    """Nobody answered: the command, or the reply to it, is lost."""


@dataclass(slots=True, eq=False)
class Call:
    """A command on its way. basis is the sequence of the state that it was decided on."""

    asked: Asked
    command: Command
    caller: Caller
    answered: asyncio.Future[Outcome]
    namespace: NamespacePort
    elsewhere: bool
    """It is decided by another replica."""
    lapsed: bool
    """It was asked of an owner whose lease was over."""
    basis: int = 0
    floor: int = 0
    finals: int = 0
    waits: int = 0
    waits_from_ns: int = 0
    """Monotonic time at which it began to wait, for at most wait_ns of namespace time."""
    wait_ns: int = 0


@dataclass(slots=True)
class _Watched:
    calls: list[Call] = field(default_factory=list)
    undecided: dict[int, Call] = field(default_factory=dict)
    """By the identity of the command, of which every call has one of its own."""


class Coordinator:
    """A process. What it says after its death nobody hears."""

    name = ""
    """Of a replica, which keeps it over its lives."""
    pauses = 0
    """How often it stood still."""

    def __init__(self, world: World, limits: Limits) -> None:
        self.world = world
        self.dead = False
        self.hubs = SessionHubs(world.session_limits, {})
        self.owned: list[LocalNamespace] = []
        self._watched = _Watched()
        self._unseen = 0
        self._unexplained = EXPLAINED_EVERY
        self._renewed: dict[tuple[str, int], float] = {}
        """Until when the lease stands of which there was a sign of life."""
        self._build(limits)

    def _build(self, limits: Limits) -> None:
        world = self.world
        self.clock = world.clock
        self.store = FaultyStore(world.place, world.random, world.faults, world.durable)
        self.namespaces = Namespaces(
            self.store,
            world.clock,
            replica_id=f"replica-{world.place.openings}",
            limits=limits,
            shell=world.shell,
            on_decided=self._decided,
            on_owned=self._own,
        )

    def call(self, function: Callable[..., T], *args: Any) -> T:
        """Calls a function of this process from outside."""
        return function(*args)

    async def within(self, work: Coroutine[Any, Any, T]) -> T:
        """Has something done in this process. Raises Lost."""
        return await work

    async def port(self) -> NamespacePort:
        """The namespace. Raises Rejection, Lost."""
        try:
            return await self.namespaces.get(NAMESPACE)
        except asyncio.CancelledError:
            if self.dead and not asyncio.current_task().cancelling():  # type: ignore[union-attr]
                raise Lost from None
            raise

    async def hub(self) -> SessionHub:
        """The hub of the namespace. Raises Rejection, Lost."""
        return await self.hubs.of(await self.port())

    def may_append(self) -> bool:
        """Whether what this process decides can become durable: nobody else has claimed the log."""
        return True

    def has_lapsed(self) -> bool:
        """Whether the lease by which this process owns anything is over."""
        return False

    def owns(self, port: NamespacePort) -> bool:
        """Whether what is asked of a port is decided in this process."""
        return isinstance(port, LocalNamespace)

    def decides(self, port: NamespacePort) -> Sequencer | None:
        """Who decides what is asked of a port, where that is in this process and it goes on."""
        return port.sequencer if isinstance(port, LocalNamespace) else None

    def submit(self, port: NamespacePort, command: Command, caller: Caller, asked: Asked) -> Call:
        """Sends a command and watches over its answer."""
        answered: asyncio.Future[Outcome] = asyncio.get_running_loop().create_future()
        lapsed = self.owns(port) and self.has_lapsed()
        call = Call(asked, command, caller, answered, port, not self.owns(port), lapsed, floor=self.world.ledger.told)
        self._watched.calls.append(call)
        if not port.dropped:
            self._watched.undecided[id(command)] = call

        def respond(outcome: Outcome) -> None:
            self._heard(call, outcome)

        port.submit(command, caller, respond)
        return call

    def renew_session(self, port: NamespacePort, session_id: int, seconds: float) -> None:
        """A sign of life; the session's lease is so long. Whether it gets to another replica is not known."""
        if port.renew_session(session_id) and self.owns(port):
            self._renewed["session", session_id] = self.world.loop.time() + seconds

    async def keep_alive(self, port: NamespacePort, tokens: tuple[int, ...], seconds: float) -> None:
        """As KeepAlive; the leases of these locks are so long."""
        asked_at = self.world.loop.time()
        for token, left_ns in zip(tokens, await port.keep_alive(tokens), strict=True):
            if left_ns:
                self._renewed["lock", token] = asked_at + seconds

    def heard_elsewhere(self, asked: Asked, command: Command, caller: Caller, outcome: Outcome) -> None:
        """Checks D4 for an answer that came another way."""
        if not self.dead:
            self._check_durable(max(_claims(outcome), default=0), str(asked))
            self.world.ledger.note(asked, caller, command, outcome)

    def crash(self, why: str) -> None:
        """Dies now: nothing more is heard of it, writes under way may or may not be there."""
        if self.dead or self.world.faults.calm:
            return
        self.world.note(f"crash: {why}")
        self.dead = True
        self.world.crashed(self)

    async def bury(self) -> None:
        """Lets the writes that made it reach the disk, and everything else end."""
        self.store.power_off()
        for _ in range(4):
            await asyncio.sleep(0)
        for opening in list(self.namespaces._opening.values()):
            opening.cancel()
        for namespace in self.owned:
            self.call(namespace.drop, Unavailable("crashed"))
        self.sever()
        for call in self._watched.calls:
            if not call.answered.done():
                call.answered.set_exception(Lost())
                call.answered.exception()  # whoever awaited it is told; nobody need

    def sever(self) -> None:
        """Cuts every stream."""
        self.call(self.hubs.close, Unavailable("the connection is lost"))

    async def close(self) -> None:
        """Ends as on SIGTERM."""
        self.sever()
        await self.namespaces.close()
        await self.store.close()

    def check_all_told(self) -> None:
        """Invariant 8: whoever asked a namespace that is no longer served was told something."""
        for call in self._watched.calls:
            if call.namespace.dropped and not call.finals:
                raise InvariantBroken(f"8: nobody answered {call.command} of a namespace that was dropped")

    def unanswered(self) -> list[Call]:
        """Calls that wait still."""
        return [call for call in self._watched.calls if not call.finals]

    # What is watched.

    def _own(self, namespace: LocalNamespace) -> None:
        self.owned.append(namespace)

    def _decided(self, state: NamespaceState, command: Command, decision: Decision) -> None:
        if self.dead:
            return
        world = self.world
        world.decisions += 1
        try:
            if self._looks(state):
                check_invariants(state)
                check_nobody_stuck(state)
                self._unexplained -= 1
                if self._unexplained < 0:
                    self._unexplained = EXPLAINED_EVERY + _rows(state) // EXPLAINED_ROWS
                    check_everything_is_explained(state, state.time_ns)
            if isinstance(command, StartOwner):
                world.durable.check_recovered(state, decision.events, command.epoch)
        except BaseException as broken:
            world.fail(broken)
        call = self._watched.undecided.pop(id(command), None)
        if call is not None:
            call.basis = state.sequence
            if isinstance(decision.answer, Waiting) and decision.events:
                call.waits_from_ns = self.clock.monotonic_ns()
                call.wait_ns = state.waiters[decision.answer.request_sequence].deadline_ns - state.time_ns
        elif isinstance(command, EndSession | ExpireLock) and decision.events:
            self._check_expired(command)
        if world.faults.strikes("crash_on_decision"):
            self.crash(f"after deciding {type(command).__name__}")

    def _check_expired(self, command: EndSession | ExpireLock) -> None:
        """D7: a lease stands for as long as it says after a sign of life."""
        if isinstance(command, ExpireLock):
            until = self._renewed.get(("lock", command.fencing_token), 0.0)
        elif command.reason == LEASE_EXPIRED:
            until = self._renewed.get(("session", command.session_id), 0.0)
        else:
            return
        now = self.world.loop.time()
        if now < until - 0.001 and self.may_append():
            self.world.fail(InvariantBroken(f"D7: {command} is decided {until - now:.3f} s before the lease ends"))

    def _looks(self, state: NamespaceState) -> bool:
        """Looking costs as much as the state is large: in small worlds every decision is looked at, in large ones so
        many that looking stays a part of what deciding costs. What goes wrong stays wrong, or is in the log."""
        if self._unseen:
            self._unseen -= 1
            return False
        self._unseen = _rows(state) // LOOKED_AT_ROWS
        return True

    def _heard(self, call: Call, outcome: Outcome) -> None:
        if self.dead:
            return
        name = type(call.command).__name__
        self._watched.undecided.pop(id(call.command), None)  # if it was refused before it was decided
        at_the_door = isinstance(outcome, Unavailable | LimitReached | LogTailLost)
        if isinstance(outcome, Fault):
            self.world.fail(InvariantBroken(f"{name} met a fault: {outcome}"))
        if call.lapsed and not at_the_door:
            self.world.fail(InvariantBroken(f"D4: {name} was asked of an owner whose lease was over, and answered"))
        if not at_the_door:
            self._check_durable(max(call.basis, *_claims(outcome), 0), name)
            saw = _as_of(call.command, outcome) if call.elsewhere else call.basis
            if saw is not None and saw < call.floor and not self.world.loses:
                self.world.fail(InvariantBroken(f"6: {name} saw {saw}, but {call.floor} was told before it"))
        if isinstance(outcome, Waiting):
            call.waits += 1
        else:
            call.finals += 1
        if isinstance(outcome, LockTimeout) and call.wait_ns and outcome.position:
            self._check_waited(call)
        if call.finals > 1 or call.waits > 1:
            self.world.fail(InvariantBroken(f"{name} was answered twice"))
        if not isinstance(outcome, Waiting) and not call.answered.done():
            if not at_the_door:
                self.world.ledger.told = max(self.world.ledger.told, *_claims(outcome), 0)
                self.world.ledger.note(call.asked, call.caller, call.command, outcome)
            call.answered.set_result(outcome)
        if self.world.faults.strikes("crash_on_answer"):
            self.crash(f"while answering {name}")

    def _check_waited(self, call: Call) -> None:
        """D2: namespace time runs at most a tenth faster than time does, whatever the wall clock says."""
        waited_ns = self.clock.monotonic_ns() - call.waits_from_ns
        if waited_ns * 11 < call.wait_ns * 10 - NS_PER_SECOND // 1000:
            self.world.fail(InvariantBroken(f"D2: a wait of {call.wait_ns} ns was over after {waited_ns} ns"))

    def _check_durable(self, sequence: int, what: str) -> None:
        durable = self.world.durable.highest
        if sequence > durable:
            self.world.fail(InvariantBroken(f"D4: {what} was answered from {sequence}, durable is {durable}"))


def _rows(state: NamespaceState) -> int:
    """How much there is to look at."""
    rows = len(state.waiters) + len(state.agents) + len(state.grants) + len(state.attempts)
    return rows + len(state.entries) + sum(len(run.tasks) for run in state.runs.values())


def check_frame(coordinator: Coordinator, stream: SessionStream, sequence: int) -> None:
    """D4: what is pushed to an agent is durable."""
    if not coordinator.dead:
        coordinator._check_durable(sequence, f"a stream of {stream.opened and stream.opened.agent_id}")


def _as_of(command: Command, outcome: Outcome) -> int | None:
    """The sequence that an answer is true at, where it says that."""
    if isinstance(outcome, AgentRead | AgentsRead | LockRead | LocksRead):
        return outcome.sequence
    now = isinstance(outcome, StateRead) and isinstance(command, GetState) and not command.revision
    return outcome.sequence if now else None


def _claims(outcome: Outcome) -> Iterator[int]:
    """The sequences that an answer speaks of."""
    if isinstance(outcome, Published):
        yield from outcome.sequences
    elif isinstance(outcome, SessionOpened):
        yield outcome.attached_sequence
    elif isinstance(outcome, Acquired):
        yield outcome.request_sequence
        yield from (grant.fencing_token for grant in outcome.grants)
    elif isinstance(outcome, Done | RunAccepted | StateRead):
        yield outcome.sequence
    elif isinstance(outcome, Waiting | LockTimeout | Deadlock):
        yield outcome.request_sequence
    elif isinstance(outcome, StateConflict):
        yield outcome.conflict_sequence
