"""One life of a coordinator process: namespaces and session hubs over the disk, watched, until it dies or is closed."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from coordinator_service.core.answers import (
    Acquired,
    Done,
    Published,
    RunAccepted,
    SessionOpened,
    StateRead,
    Waiting,
)
from coordinator_service.core.commands import COORDINATOR, Caller, Command, StartOwner
from coordinator_service.core.decide import Decision
from coordinator_service.core.invariants import InvariantBroken, check_invariants
from coordinator_service.core.rejections import Deadlock, Fault, LimitReached, LockTimeout, StateConflict, Unavailable
from coordinator_service.core.state import NamespaceState
from coordinator_service.namespaces import LocalNamespace, Namespaces
from coordinator_service.ports import Outcome
from coordinator_service.sessions import SessionHub, SessionHubs, SessionStream
from tests.core.explained import check_everything_is_explained
from tests.simulation.store import FaultyStore
from tests.simulation.stuck import check_nobody_stuck

if TYPE_CHECKING:
    from tests.simulation.world import World

NAMESPACE = "simulated"
EXPLAINED_EVERY = 50
"""Decisions between two at which everything that waits is asked what for: that costs more than they do."""


class Lost(Exception):  # noqa: N818 (it says what happened)
    """Nobody answered: the command, or the reply to it, is lost."""


@dataclass(slots=True, eq=False)
class Call:
    """A command on its way. basis is the sequence of the state that it was decided on."""

    command: Command
    answered: asyncio.Future[Outcome]
    namespace: LocalNamespace
    basis: int = 0
    floor: int = 0
    finals: int = 0
    waits: int = 0


@dataclass(slots=True)
class _Watched:
    calls: list[Call] = field(default_factory=list)
    undecided: dict[int, deque[Call]] = field(default_factory=dict)


class Coordinator:
    """A process. What it says after its death nobody hears."""

    def __init__(self, world: World) -> None:
        self.world = world
        self.dead = False
        self.store = FaultyStore(world.place, world.random, world.faults)
        self.namespaces = Namespaces(
            self.store,
            world.clock,
            replica_id=f"replica-{world.place.openings}",
            limits=world.limits,
            shell=world.shell,
            on_decided=self._decided,
            on_owned=self._own,
        )
        self.hubs = SessionHubs(world.session_limits, {})
        self.owned: list[LocalNamespace] = []
        self._watched = _Watched()

    async def port(self) -> LocalNamespace:
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

    def submit(self, port: LocalNamespace, command: Command, caller: Caller) -> Call:
        """Sends a command and watches over its answer."""
        call = Call(command, asyncio.get_running_loop().create_future(), port, floor=self.world.ledger.told)
        self._watched.calls.append(call)
        if not port.dropped:
            self._watched.undecided.setdefault(id(command), deque()).append(call)

        def respond(outcome: Outcome) -> None:
            self._heard(call, outcome)

        port.submit(command, caller, respond)
        return call

    def heard_elsewhere(self, outcome: Outcome, where: str) -> None:
        """Checks D4 for an answer that came another way."""
        if not self.dead:
            self._check_durable(max(_claims(outcome), default=0), where)

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
            namespace.drop(Unavailable("crashed"))
        self.sever()
        for call in self._watched.calls:
            if not call.answered.done():
                call.answered.set_exception(Lost())
                call.answered.exception()  # whoever awaited it is told; nobody need

    def sever(self) -> None:
        """Cuts every stream."""
        self.hubs.close(Unavailable("the connection is lost"))

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
        try:
            world.decisions += 1
            check_invariants(state)
            check_nobody_stuck(state)
            if world.decisions % EXPLAINED_EVERY == 0:
                check_everything_is_explained(state, state.time_ns)
            if isinstance(command, StartOwner):
                world.check_recovered(state, decision.events)
        except BaseException as broken:
            world.fail(broken)
        waiting = self._watched.undecided.get(id(command))
        if waiting:
            waiting.popleft().basis = state.sequence
            if not waiting:
                del self._watched.undecided[id(command)]
        if world.faults.strikes("crash_on_decision"):
            self.crash(f"after deciding {type(command).__name__}")

    def _heard(self, call: Call, outcome: Outcome) -> None:
        if self.dead:
            return
        name = type(call.command).__name__
        undecided = self._watched.undecided.get(id(call.command))
        if undecided and call in undecided:
            undecided.remove(call)  # refused before it was decided
        at_the_door = isinstance(outcome, Unavailable | LimitReached)
        if isinstance(outcome, Fault):
            self.world.fail(InvariantBroken(f"{name} met a fault: {outcome}"))
        if not at_the_door:
            self._check_durable(max(call.basis, *_claims(outcome), 0), name)
            if call.basis < call.floor:
                self.world.fail(InvariantBroken(f"6: {name} saw {call.basis}, but {call.floor} was told before it"))
        if isinstance(outcome, Waiting):
            call.waits += 1
        else:
            call.finals += 1
        if call.finals > 1 or call.waits > 1:
            self.world.fail(InvariantBroken(f"{name} was answered twice"))
        if not isinstance(outcome, Waiting) and not call.answered.done():
            if not at_the_door:
                self.world.ledger.told = max(self.world.ledger.told, *_claims(outcome), 0)
            call.answered.set_result(outcome)
        if self.world.faults.strikes("crash_on_answer"):
            self.crash(f"while answering {name}")

    def _check_durable(self, sequence: int, what: str) -> None:
        durable = self.world.durable_end()
        if sequence > durable:
            self.world.fail(InvariantBroken(f"D4: {what} was answered from {sequence}, durable is {durable}"))


def check_frame(coordinator: Coordinator, stream: SessionStream, sequence: int) -> None:
    """D4: what is pushed to an agent is durable."""
    if not coordinator.dead:
        coordinator._check_durable(sequence, f"a stream of {stream.opened and stream.opened.agent_id}")


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


__all__ = ["COORDINATOR", "NAMESPACE", "Call", "Coordinator", "Lost", "check_frame"]
