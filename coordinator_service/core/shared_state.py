"""Shared state: keys, values, and how updates join them (S1, S2, S9). conflicts.py decides whether they may."""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING

from coordinator_service.core import conflicts, reasons, subjects
from coordinator_service.core.answers import Done, StateRead
from coordinator_service.core.events import Event, StateUpdated
from coordinator_service.core.rejections import InvalidField, LimitReached
from coordinator_service.core.specs import StateChange, StateEntryView, StateUpdate
from coordinator_service.core.state import AttemptRow, EntryRow, NamespaceState
from coordinator_service.core.values import JsonValue, MergeStrategy, path_covers

if TYPE_CHECKING:
    from coordinator_service.core.commands import GetState, UpdateState
    from coordinator_service.core.deciding import Deciding

_ABSENT = object()


def merged(old: JsonValue, new: JsonValue) -> JsonValue:
    """S2 MERGE: maps deeply, lists concatenated, anything else replaced. Neither argument is changed."""
    if isinstance(old, dict) and isinstance(new, dict):
        result = dict(old)
        for key, value in new.items():
            result[key] = merged(old[key], value) if key in old else value
        return result
    if isinstance(old, list) and isinstance(new, list):
        return [*old, *new]
    return new


def joined(old: object, new: JsonValue, strategy: MergeStrategy) -> JsonValue:
    """What a key holds after an update; old is _ABSENT where there is none. An append to what is no list: TypeError."""
    if strategy is MergeStrategy.APPEND:
        if not (old is _ABSENT or isinstance(old, list)):
            raise TypeError("not a list")
        items = new if isinstance(new, list) else [new]
        return [*old, *items] if isinstance(old, list) else list(items)
    if strategy is MergeStrategy.MERGE and old is not _ABSENT:
        return merged(old, new)  # type: ignore[arg-type]
    return new


# Deciding.


def decide_update(d: Deciding, command: UpdateState) -> Done:
    """Changes keys, or records the conflict and refuses."""
    attempt = d.state.attempts.get(d.caller.attempt_token) if d.caller.attempt_token else None
    sequence = write(d, (command.change,), writer_of(d, attempt, command.writer), attempt, command.priority)
    return Done(sequence=sequence)


def writer_of(d: Deciding, attempt: AttemptRow | None, named: str = "") -> str:
    """S4, S5: the task inside an attempt; else the session's agent, the writer named, the principal, or nobody."""
    if attempt is not None:
        return f"task/{attempt.run_id}/{attempt.task_id}"
    agent = d.state.agent_of_session(d.caller.session_id) if d.caller.session_id else None
    if agent is not None:
        return agent.spec.agent_id
    return named or d.caller.principal or f"request/{d.state.sequence + 1}"


def write(
    d: Deciding, changes: tuple[StateChange, ...], writer: str, attempt: AttemptRow | None, priority: int = 0
) -> int:
    """Makes changes that conflict with nothing or win, all of them, and says at which sequence the first of them is;
    else emits the conflict and raises StateConflict. priority is the task's inside an attempt (S7)."""
    _check(d.state, changes)
    if attempt is not None:
        priority = d.state.task(attempt.run_id, attempt.task_id).priority
    conflicts.check(d, changes, writer, attempt, priority)
    first = d.state.sequence + 1
    for change in changes:
        emit_update(d, change, writer, reasons.UPDATED, attempt, priority)
    return first


def emit_update(
    d: Deciding, change: StateChange, writer: str, reason: str, attempt: AttemptRow | None, priority: int = 0
) -> None:
    """One change, as an event."""
    state = d.state
    d.emit(
        StateUpdated(
            updates=change.updates,
            merge_strategy=change.strategy,
            prefix=change.prefix,
            writer=writer,
            new_state_size=_size_after(state, change),
            priority=priority,
        ),
        reason=reason,
        cause=attempt.token if attempt is not None else 0,
        about=subjects.of_holder(state, d.caller.session_id, 0 if attempt is None else attempt.token),
    )


def _check(state: NamespaceState, changes: tuple[StateChange, ...]) -> None:
    """Refuses an append to what will be no list by then, and more keys than there may be."""
    ahead: dict[str, object] = {}
    added = 0
    for number, change in enumerate(changes):
        if len(changes) > 1:
            given = [update.key for update in change.updates]
            ahead.update(dict.fromkeys(_replaced_away(state, change, given), _ABSENT))
        for position, update in enumerate(change.updates):
            entry = state.entries.get(update.key)
            old = ahead.get(update.key, _ABSENT if entry is None else entry.value)
            added += old is _ABSENT
            try:
                ahead[update.key] = joined(old, update.value, change.strategy)
            except TypeError:
                where = f"changes[{number}].updates[{position}]"
                raise InvalidField((where, f"{update.key!r} holds no list to append to")) from None
    if len(state.entries) + added > state.limits.state_keys_max:
        raise LimitReached("state_keys_max", state.limits.state_keys_max)


def _size_after(state: NamespaceState, change: StateChange) -> int:
    given = {update.key for update in change.updates}
    size = len(state.entries) + sum(1 for key in given if key not in state.entries)
    return size - sum(1 for _ in _replaced_away(state, change, given))


def _replaced_away(state: NamespaceState, change: StateChange | StateUpdated, given: Iterable[str]) -> list[str]:
    """With REPLACE and a prefix: the other keys under it."""
    strategy = change.strategy if isinstance(change, StateChange) else change.merge_strategy
    if not change.prefix or strategy is not MergeStrategy.REPLACE:
        return []
    kept = set(given)
    return [key for key in keys_under(state, change.prefix) if key not in kept]


def keys_under(state: NamespaceState, prefix: str, after_key: str = "") -> Iterator[str]:
    """Keys at and under a path, after a key, in order."""
    for key in state.index.keys.starting_at(max(prefix, after_key)):
        if not key.startswith(prefix):
            return
        if key != after_key and path_covers(prefix, key):
            yield key


# Applying.


def apply_updated(state: NamespaceState, event: Event, payload: StateUpdated) -> None:
    """The keys hold what the updates make of them; the event's sequence is their revision."""
    for key in _replaced_away(state, payload, [update.key for update in payload.updates]):
        del state.entries[key]
        state.index.keys.remove(key)
        conflicts.note_change(state, event, key, payload)
    if payload.prefix and payload.merge_strategy is MergeStrategy.REPLACE:
        conflicts.note_change(state, event, payload.prefix, payload)
    for update in payload.updates:
        _apply_one(state, event, payload, update)
    if event.run_id:
        conflicts.note_outcome(state, event, 0)


def _apply_one(state: NamespaceState, event: Event, payload: StateUpdated, update: StateUpdate) -> None:
    entry = state.entries.get(update.key)
    if entry is None:
        value = joined(_ABSENT, update.value, payload.merge_strategy)
        state.entries[update.key] = EntryRow(
            value=value, revision=event.sequence, writer=payload.writer, updated_at_ns=event.time_ns
        )
        state.index.keys.add(update.key)
    else:
        entry.value = joined(entry.value, update.value, payload.merge_strategy)
        entry.revision = event.sequence
        entry.writer = payload.writer
        entry.updated_at_ns = event.time_ns
    if event.reason != reasons.TASK_RESULT:
        conflicts.note_change(state, event, update.key, payload)


# Reading.


def read(d: Deciding, command: GetState) -> StateRead:
    """Keys and values, in the order of the keys."""
    state = d.state
    if command.keys:
        found = [_view(key, state.entries[key]) for key in sorted(set(command.keys)) if key in state.entries]
        return StateRead(entries=tuple(found), sequence=state.sequence)
    keys = keys_under(state, command.prefix, command.after_key)
    page = list(itertools.islice(keys, command.count_max))
    return StateRead(
        entries=tuple(_view(key, state.entries[key]) for key in page),
        sequence=state.sequence,
        next_key=page[-1] if next(keys, None) is not None else "",
    )


def _view(key: str, entry: EntryRow) -> StateEntryView:
    return StateEntryView(
        key=key,
        value=entry.value,
        revision=entry.revision,
        writer=entry.writer,
        updated_at_ns=entry.updated_at_ns,
    )
