"""The reckoning: the log as Redis has it is read from its first event and held to the rules, and whoever was told
anything is held to the log."""

from __future__ import annotations

import dataclasses
from collections import Counter
from dataclasses import dataclass
from typing import Any

from concert.v1 import event_pb2

from coordinator_service.core import events as e
from coordinator_service.core.apply import apply
from coordinator_service.core.events import Event
from coordinator_service.core.limits import Limits
from coordinator_service.core.state import NamespaceState
from coordinator_service.core.values import path_covers
from coordinator_service.log.base import EventLog
from coordinator_service.log.codec import decode_event, split
from coordinator_service.log.redis import RedisStore
from coordinator_service.log.redis_options import RedisOptions
from coordinator_service.replay import replay
from tests.chaos.agents import STEPS_KEY
from tests.chaos.told import Told, View, Watched, Written
from tests.judging.grants import GrantHistory
from tests.judging.history import check_history
from tests.judging.linearizability import UNKNOWN, Call, check_linearizable
from tests.judging.lock_history import require
from tests.judging.models import Free, Key, Lock

NAMESPACE = "default"
SLACK_SECONDS = 0.05


@dataclass(slots=True)
class WholeLog:
    """A log, read from its first event to its last."""

    encoded: list[bytes]
    events: list[Event]

    def state(self) -> NamespaceState:
        """What it folds to."""
        folded = NamespaceState(NAMESPACE)
        for event in self.events:
            apply(folded, event)
        return folded


async def read_whole(url: str) -> WholeLog:
    """Invariants 5 and 7, D9: reads it, proves its chain, and that each snapshot is what it folds to. Raises
    InvariantBroken."""
    store = RedisStore(RedisOptions(url=url))
    try:
        log = await store.open(NAMESPACE)
        replayed = await replay(log)
        require(not replayed.findings, f"7: the log does not agree: {replayed.findings}")
        encoded = await _encoded(log)
    finally:
        await store.close()
    return WholeLog(encoded, [decode_event(each) for each in encoded])


async def _encoded(log: EventLog) -> list[bytes]:
    found: list[bytes] = []
    after = 0
    while batches := await log.read(after):
        for each in batches:
            found += split(each.batch.events)
        after = batches[-1].batch.last_sequence
    return found


def reckon(log: WholeLog, told: Told, executed: list[int]) -> None:
    """Invariants 1 to 12, D3, D5, A5, E2, L8. Raises InvariantBroken."""
    history = check_history(log.events, Limits().request_window_ms)
    check_published(log.events, told)
    check_written(log.events, told)
    check_granted(log.events, told)
    check_runs(log.events, told)
    for view in told.views:
        check_view(log.encoded, log.events, view)
    check_visits(log.events, told.visits)
    check_watched(log.events, told.watched)
    check_executed(log.events, executed, set(history.completed))
    check_histories(told)


def check_published(events: list[Event], told: Told) -> None:
    """Invariant 6, D3, D5: what was acknowledged is there once, where it was said to be; of the rest all or nothing."""
    named = Counter(each.payload.name for each in _custom(events))
    at = {each.sequence: each.payload for each in events}
    for batch in told.batches:
        counts = [named[name] for name in batch.names]
        if batch.sequences:
            require(set(counts) == {1}, f"6: {batch} was acknowledged, and is there {counts} times")
            for name, sequence in zip(batch.names, batch.sequences, strict=True):
                payload = at.get(sequence)
                same = isinstance(payload, e.CustomEvent) and payload.name == name
                require(same, f"D3: {name} was acknowledged as {sequence}, where there is {payload}")
        else:
            require(set(counts) in ({0}, {1}), f"D3: {batch} was published at once, and is there {counts} times")


def check_written(events: list[Event], told: Told) -> None:
    """Invariants 6 and 10, L8: an acknowledged change is there, on what it relied on, under the lock that it named."""
    grants = GrantHistory(events)
    changes: dict[str, list[tuple[int, Any]]] = {}
    for event in events:
        if isinstance(event.payload, e.StateUpdated):
            for update in event.payload.updates:
                changes.setdefault(update.key, []).append((event.sequence, update.value))
            for key in event.payload.deletes:
                changes.setdefault(key, []).append((event.sequence, None))
    for each in told.written:
        there = [sequence for sequence, _ in changes.get(each.key, ())]
        require(each.revision in there, f"6: {each} was acknowledged and is not in the log")
        require((each.revision, each.value) in changes[each.key], f"6: {each} is another value in the log")
        _check_base(each, there)
        if each.lock is not None:
            held = grants.held(*each.lock, each.revision)
            require(held, f"L8: {each} took effect when its lock was not held")


def _check_base(written: Written, there: list[int]) -> None:
    if written.base is not None:
        between = [sequence for sequence in there if written.base < sequence < written.revision]
        require(not between, f"10: {written} overwrote {between}, of which it did not know")


def check_granted(events: list[Event], told: Told) -> None:
    """Invariant 6, L8: every grant that somebody was told of is in the log, under its token."""
    acquired = {each.sequence: each.payload for each in events if isinstance(each.payload, e.ResourceAcquired)}
    for resource, calls in told.locks.items():
        for call in calls:
            granted = acquired.get(call.what.token)
            there = granted is not None and granted.resource == resource
            require(there, f"L8: {call.what} of {resource} was told and is not in the log")


def check_runs(events: list[Event], told: Told) -> None:
    """Invariant 6: every run that was acknowledged is there, once."""
    submitted = Counter(each.run_id for each in events if isinstance(each.payload, e.RunSubmitted))
    lost = [run_id for run_id in told.runs if submitted[run_id] != 1]
    require(not lost, f"6: runs {lost} were acknowledged, and are not there once")


def check_view(encoded: list[bytes], events: list[Event], view: View) -> None:
    """Invariant 11, E2: what a subscriber saw is the filtered log, up to where it stopped."""
    end = view.events[-1].sequence if view.events else 0
    expected = [
        each
        for each, event in zip(encoded, events, strict=True)
        if event.sequence <= end and (view.all or isinstance(event.payload, e.CustomEvent))
    ]
    seen, want = [each.sequence for each in view.events], [event_pb2.Event.FromString(each) for each in expected]
    sequences = [each.sequence for each in want]
    first = next((pair for pair in zip([*seen, 0], [*sequences, 0], strict=False) if pair[0] != pair[1]), None)
    require(first is None and len(seen) == len(sequences), f"11: saw {len(seen)} of {len(sequences)}: {first}")
    require(view.events == want, "11: an event was shown as another than the log has")


def check_visits(events: list[Event], visits: list[list[int]]) -> None:
    """E5: a consumer goes on where it was or before, and misses nothing."""
    places = {each.sequence: place for place, each in enumerate(_custom(events))}
    last = -1
    for visit in visits:
        seen = [places[sequence] for sequence in visit]
        if seen:
            require(seen[0] <= last + 1, f"E5: it came back to the event {seen[0]}, and had seen {last}")
            require(seen == list(range(seen[0], seen[-1] + 1)), f"E5: a visit saw {visit}, and missed some")
            last = max(last, seen[-1])


def _custom(events: list[Event]) -> list[Event]:
    return [each for each in events if isinstance(each.payload, e.CustomEvent)]


def check_watched(events: list[Event], watched: list[Watched]) -> None:
    """S1: what a watcher was told makes the state that the log up to there folds to."""
    for each in watched:
        folded = NamespaceState(NAMESPACE)
        for event in events[: each.revision]:
            apply(folded, event)
        expected = {key: row.value for key, row in folded.entries.items() if path_covers(each.prefix, key)}
        require(each.held == expected, f"S1: a watcher holds {each.held} at {each.revision}, not {expected}")


def check_executed(events: list[Event], executed: list[int], completed: set[int]) -> None:
    """A5, invariant 4: no attempt is executed twice; what was completed was executed, and its change is there once."""
    twice = [token for token, count in Counter(executed).items() if count > 1]
    require(not twice, f"A5: attempts {twice} were executed twice")
    assigned = {each.sequence for each in events if isinstance(each.payload, e.TaskAssigned)}
    unknown = set(executed) - assigned
    require(not unknown, f"A5: attempts {unknown} were executed and are not in the log")
    require(completed <= set(executed), f"4: attempts {completed - set(executed)} completed without being executed")
    steps = Counter(
        token
        for each in events
        if isinstance(each.payload, e.StateUpdated)
        for update in each.payload.updates
        if update.key == STEPS_KEY and isinstance(update.value, list)
        for token in update.value
    )
    require(steps == Counter(completed), "R9: the changes of completed attempts are not there once each")


def check_histories(told: Told) -> None:
    """S1, S3, D4, L1, L8: what was told could have happened one call at a time."""
    for key, calls in told.keys.items():
        check_linearizable(Key(), calls, key)
    slack = told.stalled_seconds + SLACK_SECONDS
    for resource, calls in told.locks.items():
        check_linearizable(Lock(), [_noticed_late(each, slack) for each in calls], resource)


def _noticed_late(call: Call[Any], slack: float) -> Call[Any]:
    """A holder that lost its lock may have been told late, for want of its turn."""
    if isinstance(call.what, Free) and call.ended == UNKNOWN:
        return dataclasses.replace(call, begun=call.begun - slack)
    return call
