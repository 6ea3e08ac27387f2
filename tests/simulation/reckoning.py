"""The reckoning, when everything has come to rest: the log is held to what it must be, and everybody who was told
anything to what they were told.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from coordinator_service.core.answers import StateRead
from coordinator_service.core.apply import apply
from coordinator_service.core.commands import GetState
from coordinator_service.core.invariants import InvariantBroken
from coordinator_service.core.metrics import Metrics, observe
from coordinator_service.core.past_state import keys_under
from coordinator_service.core.state import NamespaceState
from coordinator_service.core.values import NS_PER_SECOND, CircuitStatus
from coordinator_service.local_namespace import LocalNamespace
from coordinator_service.log.verify import verify
from coordinator_service.snapshots import decode_folds, recover
from tests.judging.compare import require_same
from tests.judging.history import check_history
from tests.simulation.consumers import Consumer
from tests.simulation.coordinator import NAMESPACE
from tests.simulation.subscribers import Subscriber
from tests.simulation.told import check_told
from tests.simulation.watchers import Watcher
from tests.simulation.world import World

SLACK_NS = NS_PER_SECOND
"""How late something that is due may be decided."""


@dataclass(slots=True)
class Followers:
    """Everybody who follows what happens, each in a way of its own."""

    subscribers: list[Subscriber]
    watchers: list[Watcher]
    consumers: list[Consumer]

    def all(self) -> Iterator[Subscriber | Watcher | Consumer]:
        """Whatever they are."""
        yield from self.subscribers
        yield from self.watchers
        yield from self.consumers


async def reckon(world: World, port: LocalNamespace, followers: Followers) -> None:
    """Raises InvariantBroken."""
    coordinators = world.here()
    for life in world.lives:
        if not life.dead:
            life.check_all_told()
    state, end = port.sequencer.state, world.durable.end
    for subscriber in followers.subscribers:
        subscriber.check(world.durable.encoded, world.durable.events)
    for consumer in followers.consumers:
        consumer.check(world.durable.events)
    check_cooled_down(state, port._time.now_ns())
    if state.sequence != end:
        raise InvariantBroken(f"D3: the state is at {state.sequence}, the log at {end}")
    folded = _fold(world, followers.watchers)
    require_same(state.tables(), folded.tables(), "the live state, and what the log folds to")
    events = world.durable.events
    history = check_history(events, world.limits.request_window_ms)
    check_told(world.ledger, events, history)
    log = await coordinators[0].store.open(NAMESPACE)
    await verify(log)
    recovered = (await recover(log)).state
    if recovered.sequence == folded.sequence:  # nobody began anything meanwhile
        require_same(recovered.tables(), folded.tables(), "the newest snapshot with what follows it, and the log")


async def close(world: World) -> None:
    """Ends every coordinator as on SIGTERM. Raises InvariantBroken."""
    coordinators, end = world.here(), world.durable.end
    for coordinator in coordinators:
        await coordinator.close()
    for coordinator in coordinators:
        if coordinator.unanswered():
            raise InvariantBroken(f"8: {len(coordinator.unanswered())} callers were never answered")
    if world.durable.end < end:
        raise InvariantBroken("D3: closing lost something")


def check_cooled_down(state: NamespaceState, now_ns: int) -> None:
    """R14: no circuit is open for longer than it takes to cool down."""
    for agent_id, agent in state.agents.items():
        for capability, row in agent.circuits.items():
            if row.status is CircuitStatus.OPEN and row.until_ns + SLACK_NS < now_ns:
                raise InvariantBroken(f"R14: {agent_id} has cooled down for {capability!r}, its circuit is still open")


def _fold(world: World, watchers: list[Watcher]) -> NamespaceState:
    """Folds everything there ever was, and holds what was read and put down on the way to what it was then."""
    record = world.record()
    assert record is not None
    snapshots = {each.sequence: each for each in record.snapshots if each.sequence not in world.spoiled}
    reads: dict[int, list[tuple[GetState, StateRead]]] = {}
    for told in world.ledger.answers:
        if isinstance(told.outcome, StateRead) and isinstance(told.command, GetState):
            reads.setdefault(told.outcome.sequence, []).append((told.command, told.outcome))
    folded, counted = NamespaceState(NAMESPACE), Metrics()
    for event in world.durable.events:
        observe(counted, folded, event)
        apply(folded, event)
        for command, read in reads.pop(event.sequence, ()):
            _check_read(folded, command, read)
        for watcher in watchers:
            watcher.check(folded)
        snapshot = snapshots.get(event.sequence)
        if snapshot is not None:
            folds = decode_folds(snapshot.data)
            what = f"the snapshot at {event.sequence}, and what the log folds to"
            require_same(folds.tables, folded.tables(), what)
            if folds.metrics != counted:
                raise InvariantBroken(f"7: the metrics of the snapshot at {event.sequence} are not those of the log")
    if reads:
        raise InvariantBroken(f"D4: a read is of {min(reads)}, where no event is")
    return folded


def _check_read(folded: NamespaceState, command: GetState, read: StateRead) -> None:
    """A read is what the log up to its sequence folds to."""
    if command.keys:
        keys = [key for key in sorted(set(command.keys)) if key in folded.entries]
    else:
        keys = list(keys_under(folded, command.prefix, command.after_key))[: command.count_max]
    expected = {key: folded.entries[key] for key in keys}
    found = {entry.key: (entry.value, entry.revision) for entry in read.entries}
    if found != {key: (row.value, row.revision) for key, row in expected.items()}:
        raise InvariantBroken(f"D4: a read at {read.sequence} is not what the log says")
