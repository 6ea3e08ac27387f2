"""Shared state: keys, values, and how updates join them (S1, S2, S9). conflicts.py decides whether they may, and
past_state.py reads."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

from coordinator_service.core import conflicts, past_state, reasons, subjects, trails
from coordinator_service.core.answers import Done
from coordinator_service.core.events import Event, StateUpdated
from coordinator_service.core.rejections import (
    CursorCompacted,
    CursorInFuture,
    InvalidField,
    LimitReached,
    NotFound,
    PermissionDenied,
)
from coordinator_service.core.specs import StateChange, StateUpdate
from coordinator_service.core.state import AttemptRow, EntryRow, NamespaceState, PastValue
from coordinator_service.core.values import JsonValue, MergeStrategy

if TYPE_CHECKING:
    from coordinator_service.core.commands import DeleteState, UpdateState
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
    writer = writer_of(d, attempt, command.writer)
    sequence = write(d, (command.change,), writer, attempt, command.priority, field="change.")
    return Done(sequence=sequence)


def decide_delete(d: Deciding, command: DeleteState) -> Done:
    """Deletes keys, or whatever is at and under a path; like an update in everything else."""
    if command.prefix and not trails.is_live(d.state, command.prefix):
        raise NotFound("key", command.prefix)
    attempt = d.state.attempts.get(d.caller.attempt_token) if d.caller.attempt_token else None
    change = StateChange(
        strategy=MergeStrategy.REPLACE,
        prefix=command.prefix,
        deletes=command.keys,
        base_revision=command.base_revision,
    )
    writer = writer_of(d, attempt, command.writer)
    return Done(sequence=write(d, (change,), writer, attempt, command.priority, field=""))


def writer_of(d: Deciding, attempt: AttemptRow | None, named: str = "") -> str:
    """S4, S5: the task inside an attempt; else the session's agent, the writer named, the principal, or nobody."""
    if attempt is not None:
        return f"task/{attempt.run_id}/{attempt.task_id}"
    agent = d.state.agent_of_session(d.caller.session_id) if d.caller.session_id else None
    if agent is not None:
        return agent.spec.agent_id
    if named:
        _check_writer(d, named)
    return named or d.caller.principal or f"request/{d.state.sequence + 1}"


def _check_writer(d: Deciding, named: str) -> None:
    """S5: who shares a writer's name never conflicts with it, so nobody may write under what is another's."""
    agent = d.state.agents.get(named)
    if agent is not None and agent.principal != d.caller.principal:
        raise PermissionDenied(f"the writer {named} is an agent of another principal")


def write(
    d: Deciding,
    changes: tuple[StateChange, ...],
    writer: str,
    attempt: AttemptRow | None,
    priority: int = 0,
    *,
    field: str = "state_changes[{}].",
) -> int:
    """Makes changes that conflict with nothing or win, all of them, and says at which sequence the first of them is;
    else emits the conflict and raises StateConflict. priority is the task's inside an attempt (S7); field is where the
    caller wrote a change, by its number."""
    _check_bases(d.state, changes, field)
    _check(d.state, changes, field)
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
            deletes=change.deletes,
        ),
        reason=reason,
        cause=attempt.token if attempt is not None else 0,
        about=subjects.of_holder(
            state, d.caller.session_id, 0 if attempt is None else attempt.token, d.caller.traceparent
        ),
    )


def _check_bases(state: NamespaceState, changes: tuple[StateChange, ...], field: str) -> None:
    """S3: a base that nobody can have read yet, or from before what paths remember, is refused. 0 is neither: who has
    read nothing relies on nothing."""
    for number, change in enumerate(changes):
        base = change.base_revision or 0
        where = f"{field.format(number)}base_revision"
        if base > state.sequence:
            raise CursorInFuture((where, f"is {base}, the log ends at {state.sequence}"))
        if 0 < base < state.forgotten_revision:
            oldest = state.forgotten_revision
            message = f"{where} is {base}: what was deleted before {oldest} is forgotten; read again"
            raise CursorCompacted("", oldest, state.sequence, message)


def _check(state: NamespaceState, changes: tuple[StateChange, ...], field: str) -> None:
    """Refuses an append to what will be no list by then, the deletion of what will not be there, and more keys than
    there may be."""
    ahead: dict[str, object] = {}
    added = 0

    def then(key: str) -> object:
        entry = state.entries.get(key)
        return ahead.get(key, _ABSENT if entry is None else entry.value)

    for number, change in enumerate(changes):
        if len(changes) > 1:
            given = [update.key for update in change.updates]
            ahead.update(dict.fromkeys(_replaced_away(state, change, given), _ABSENT))
        for key in change.deletes:
            if then(key) is _ABSENT:
                raise NotFound("key", key)
            ahead[key] = _ABSENT
        for position, update in enumerate(change.updates):
            old = then(update.key)
            added += old is _ABSENT
            try:
                ahead[update.key] = joined(old, update.value, change.strategy)
            except TypeError:
                where = f"{field.format(number)}updates[{position}]"
                raise InvalidField((where, f"{update.key!r} holds no list to append to")) from None
    if len(state.entries) + added > state.limits.state_keys_max:
        raise LimitReached("state_keys_max", state.limits.state_keys_max)


def _size_after(state: NamespaceState, change: StateChange) -> int:
    given = {update.key for update in change.updates}
    gone = len(change.deletes) + (len(_replaced_away(state, change, given)) if change.prefix else 0)
    return len(state.entries) + sum([key not in state.entries for key in given]) - gone


def _replaced_away(state: NamespaceState, change: StateChange | StateUpdated, given: Iterable[str]) -> list[str]:
    """With REPLACE and a prefix: the other keys under it."""
    strategy = change.strategy if isinstance(change, StateChange) else change.merge_strategy
    if not change.prefix or strategy is not MergeStrategy.REPLACE:
        return []
    kept = set(given)
    return [key for key in past_state.keys_under(state, change.prefix) if key not in kept]


# Applying.


def apply_updated(state: NamespaceState, event: Event, payload: StateUpdated) -> None:
    """Shared state changed, perhaps by an attempt."""
    apply_change(state, event, payload)
    if event.run_id:
        conflicts.note_outcome(state, event, 0)


def apply_change(state: NamespaceState, event: Event, payload: StateUpdated) -> None:
    """The keys hold what the updates make of them; the event's sequence is their revision."""
    ended: list[PastValue] = []
    if payload.prefix and payload.merge_strategy is MergeStrategy.REPLACE:
        away = _replaced_away(state, payload, [update.key for update in payload.updates])
        ended.extend([_take_away(state, event, key, payload) for key in away])
        trails.note_gone(state, event, payload.prefix, payload)
    if payload.deletes:
        ended.extend([_take_away(state, event, key, payload) for key in payload.deletes])
    for update in payload.updates:
        _apply_one(state, event, payload, update, ended)
    past_state.remember(state, event, ended)


def _take_away(state: NamespaceState, event: Event, key: str, payload: StateUpdated) -> PastValue:
    entry = state.entries.pop(key)
    state.index.keys.remove(key)
    trails.note_gone(state, event, key, payload)
    return past_state.ended(key, entry)


def _apply_one(
    state: NamespaceState, event: Event, payload: StateUpdated, update: StateUpdate, ended: list[PastValue]
) -> None:
    key = update.key
    entry = state.entries.get(key)
    if entry is None:
        state.index.keys.add(key)
    if entry is None or entry.revision != event.sequence:  # else a key that is named twice
        ended.append(past_state.ended(key, entry))
    state.entries[key] = EntryRow(
        value=joined(_ABSENT if entry is None else entry.value, update.value, payload.merge_strategy),
        revision=event.sequence,
        writer=payload.writer,
        updated_at_ns=event.time_ns,
    )
    if event.reason != reasons.TASK_RESULT:
        trails.note(state, event, key, payload, hard=payload.merge_strategy is not MergeStrategy.APPEND)
