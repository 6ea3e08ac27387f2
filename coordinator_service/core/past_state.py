"""Past state: what keys held at earlier revisions (S1).

Memory keeps the values that the latest changes put an end to: at most state_history_values_max of them, each for
state_history_ms, and none that is larger than about VALUE_BYTES_MAX. With what is there now they tell what any key held
at any revision since `past_from`. Anything older, or larger, is told from the log by whoever folds it (PastFold).
"""

from __future__ import annotations

import heapq
import itertools
from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING

from coordinator_service.core.answers import ChangedValues, PastFromLog, StateRead
from coordinator_service.core.rejections import CursorInFuture
from coordinator_service.core.specs import StateEntryView
from coordinator_service.core.state import EntryRow, NamespaceState, PastRow, PastValue
from coordinator_service.core.trails import latest_overlapping
from coordinator_service.core.values import NS_PER_MS, JsonValue, path_covers

if TYPE_CHECKING:
    from coordinator_service.core.commands import GetChangedValues, GetState
    from coordinator_service.core.deciding import Deciding
    from coordinator_service.core.events import Event

VALUE_BYTES_MAX = 4096
"""An earlier value that is larger than about this is not kept in memory."""
_NODE_BYTES = 64
"""What each number, text, list and map of a value counts for, besides the characters of its texts."""

# Remembering: apply calls this.


def remember(state: NamespaceState, event: Event, ended: list[PastValue]) -> None:
    """Keeps what a change put an end to, and lets go of the oldest where that is too much."""
    state.index.past.append(event.sequence)
    state.past[event.sequence] = PastRow(time_ns=event.time_ns, values=tuple(ended))
    state.past_values += len(ended)
    _drop_beyond_limit(state)
    state.forget_at(event.time_ns + state.limits.state_history_ms * NS_PER_MS)


def ended(key: str, entry: EntryRow | None) -> PastValue:
    """What a key held before a change."""
    if entry is None or is_small(entry.value):
        return PastValue(key=key, entry=entry)
    return PastValue(key=key, entry=None, kept=False)


def is_small(value: JsonValue) -> bool:
    """Whether a value is kept. Looks at no more of it than may be kept."""
    left = VALUE_BYTES_MAX - _NODE_BYTES
    if isinstance(value, str):
        return len(value) <= left
    if not isinstance(value, dict | list):
        return True
    waiting: list[JsonValue] = [value]
    while waiting:
        each = waiting.pop()
        if isinstance(each, str):
            left -= len(each)
        elif isinstance(each, dict):
            left -= _NODE_BYTES * len(each)
            if left >= 0:
                left -= sum(map(len, each))
                waiting.extend(each.values())
        elif isinstance(each, list):
            left -= _NODE_BYTES * len(each)
            if left >= 0:
                waiting.extend(each)
        if left < 0:
            return False
    return True


def forget_old(state: NamespaceState) -> None:
    """D8: earlier values go after a while, by event time, and when the limit becomes smaller."""
    _drop_beyond_limit(state)
    kept_ns = state.limits.state_history_ms * NS_PER_MS
    revisions = state.index.past
    while revisions:
        oldest = state.past[revisions[0]]
        if oldest.time_ns + kept_ns > state.time_ns:
            state.forget_at(oldest.time_ns + kept_ns)
            return
        _drop_oldest(state)


def _drop_beyond_limit(state: NamespaceState) -> None:
    while state.past_values > state.limits.state_history_values_max:
        _drop_oldest(state)


def _drop_oldest(state: NamespaceState) -> None:
    revision = state.index.past.popleft()
    state.past_values -= len(state.past.pop(revision).values)
    state.past_from = revision


# Reading.


def read(d: Deciding, command: GetState) -> StateRead | PastFromLog:
    """What keys hold, or held at a revision, in the order of the keys."""
    state, revision = d.state, command.revision
    if not revision:
        return read_now(state, command)
    if revision > state.sequence:
        raise CursorInFuture(("revision", f"is {revision}, the log ends at {state.sequence}"))
    found = _remembered(state, command) if revision >= state.past_from else _unchanged(state, command)
    return PastFromLog(command=command) if found is None else found


def read_changed(d: Deciding, command: GetChangedValues) -> ChangedValues:
    """What changes made of their keys, where memory knows it."""
    state = d.state
    found: dict[tuple[str, int], StateEntryView] = {}
    missing: set[tuple[str, int]] = set()
    for key, revision in command.wanted:
        entry = state.entries.get(key)
        if entry is not None and entry.revision == revision:
            found[key, revision] = view(key, entry)
        else:
            missing.add((key, revision))
    oldest = min((revision for _, revision in missing), default=state.sequence)
    for ended_by in reversed(state.past):
        if ended_by <= oldest:
            break
        for each in state.past[ended_by].values:
            if each.entry is not None and (each.key, each.entry.revision) in missing:
                found[each.key, each.entry.revision] = view(each.key, each.entry)
    return ChangedValues(values=tuple(found.get(each) for each in command.wanted))


def _remembered(state: NamespaceState, command: GetState) -> StateRead | None:
    """From what is there and what was ended since; None when a value that is asked for was too large to keep."""
    before: dict[str, PastValue] = {}
    for ended_by in reversed(state.past):
        if ended_by <= command.revision:
            break
        for each in state.past[ended_by].values:
            before[each.key] = each
    candidates: Iterable[str]
    if command.keys:
        candidates = sorted(set(command.keys))
        count_max = len(candidates)
    else:
        there = (key for key in keys_under(state, command.prefix, command.after_key) if key not in before)
        were = (
            key
            for key, each in before.items()
            if (each.entry is not None or not each.kept)
            and path_covers(command.prefix, key)
            and key > command.after_key
        )
        candidates = heapq.merge(there, sorted(were))
        count_max = command.count_max
    found: list[StateEntryView] = []
    for key in candidates:
        past = before.get(key)
        entry = state.entries.get(key) if past is None else past.entry
        if len(found) == count_max:
            return StateRead(entries=tuple(found), sequence=command.revision, next_key=found[-1].key)
        if past is not None and not past.kept:
            return None
        if entry is not None:
            found.append(view(key, entry))
    return StateRead(entries=tuple(found), sequence=command.revision)


def _unchanged(state: NamespaceState, command: GetState) -> StateRead | None:
    """What is there now, where nothing that is asked for was changed since; else None.

    The platform's own writes leave no trail, but they delete nothing: what they wrote is there, or was deleted since.
    """
    revision = command.revision
    if revision < state.forgotten_revision:
        return None
    for path in command.keys or (command.prefix,):
        latest = latest_overlapping(state, path, appends=False, besides=None)
        if not path or (latest is not None and latest.revision > revision):
            return None
    found = read_now(state, command)
    return None if any(each.revision > revision for each in found.entries) else found


def read_now(state: NamespaceState, command: GetState) -> StateRead:
    """What is there."""
    sequence = command.revision or state.sequence
    if command.keys:
        given = sorted(set(command.keys))
        return StateRead(
            entries=tuple(view(key, state.entries[key]) for key in given if key in state.entries), sequence=sequence
        )
    keys = keys_under(state, command.prefix, command.after_key)
    page = list(itertools.islice(keys, command.count_max))
    return StateRead(
        entries=tuple(view(key, state.entries[key]) for key in page),
        sequence=sequence,
        next_key=page[-1] if next(keys, None) is not None else "",
    )


def keys_under(state: NamespaceState, prefix: str, after_key: str = "") -> Iterator[str]:
    """Keys at and under a path, after a key, in order."""
    if not prefix:
        for key in state.index.keys.starting_at(after_key):
            if key != after_key:
                yield key
        return
    if prefix > after_key and prefix in state.entries:
        yield prefix
    below = f"{prefix}/"
    for key in state.index.keys.starting_at(max(below, after_key)):
        if not key.startswith(below):
            return
        if key != after_key:
            yield key


def view(key: str, entry: EntryRow) -> StateEntryView:
    """What a reader sees of a key."""
    return StateEntryView(
        key=key,
        value=entry.value,
        revision=entry.revision,
        writer=entry.writer,
        updated_at_ns=entry.updated_at_ns,
    )
