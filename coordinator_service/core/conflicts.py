"""Conflicts: when two writers met on shared state, who wins, and what the loser is told (S3 to S8).

An update conflicts when a path that overlaps one of its own was changed after the revision it is based on. Paths
overlap when one is a prefix of the other, by whole segments; appends never conflict with appends. This is optimistic
concurrency control by backward validation (Kung and Robinson, "On optimistic methods for concurrency control", 1981).
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator
from typing import TYPE_CHECKING, NamedTuple, TypeAlias

from coordinator_service.core import reasons, subjects
from coordinator_service.core.events import (
    ConflictDetected,
    ConflictResolved,
    CoordinationRequired,
    Event,
    StateUpdated,
)
from coordinator_service.core.policies import policy_of_caller
from coordinator_service.core.rejections import StateConflict
from coordinator_service.core.specs import ConflictingKey, StateChange
from coordinator_service.core.state import AttemptRow, Change, NamespaceState, PathRow, Trail
from coordinator_service.core.values import ConflictStrategy, JsonValue, MergeStrategy, path_parts

if TYPE_CHECKING:
    from coordinator_service.core.deciding import Deciding

KEYS_NAMED_MAX = 100
"""Keys that a CONFLICT_DETECTED names."""
VALUE_BYTES_MAX = 64 * 1024
"""Values larger than this are named by size and digest (S7)."""
VALUES_BYTES_MAX = 512 * 1024
"""Values of one CONFLICT_DETECTED together; those beyond are named by size and digest."""


Met: TypeAlias = "tuple[StateChange, str, JsonValue, Change]"
"""A change, the key and value of it that met another writer's change, and that."""


def check(
    d: Deciding, changes: tuple[StateChange, ...], writer: str, attempt: AttemptRow | None, priority: int
) -> None:
    """Emits the conflict if any of the changes meets another writer's; raises StateConflict if they lose it."""
    state = d.state
    policy = policy_of_caller(d, attempt)
    window_from_ns = d.now_ns - (policy.conflict_window_ns or 0)
    found: list[Met] = []
    rivals: list[Change] = []
    for change in changes:
        base = change.base_revision
        if base is None and attempt is not None:
            base = attempt.token
        besides = writer if attempt is not None or base is None else None
        for key, value in _written(change):
            appends = change.strategy is MergeStrategy.APPEND
            theirs = latest_overlapping(state, key, appends=appends, besides=besides)
            if theirs is None or not _stands(theirs, base, window_from_ns):
                continue
            found.append((change, key, value, theirs))
            if policy.conflict_strategy is ConflictStrategy.PRIORITY_BASED:
                among = _overlapping_above(state, key, appends=appends, besides=besides)
                rivals.extend(each for each in (theirs, *among) if _stands(each, base, window_from_ns))
    if found:
        _resolve(d, _Conflict(found, rivals, writer, priority, attempt), policy.conflict_strategy)


def _stands(theirs: Change, base: int | None, window_from_ns: int) -> bool:
    """Whether a change is in conflict with a write that is based on a revision, or on nothing (S3, S5)."""
    return theirs.revision > base if base is not None else theirs.time_ns > window_from_ns


def _written(change: StateChange) -> Iterator[tuple[str, JsonValue]]:
    for update in change.updates:
        yield update.key, update.value
    if change.prefix and change.strategy is MergeStrategy.REPLACE:
        yield change.prefix, None


class _Conflict(NamedTuple):
    """Two or more writers that met. rivals are the changes whose priority counts, where priority does."""

    found: list[Met]
    rivals: list[Change]
    writer: str
    priority: int
    attempt: AttemptRow | None

    @property
    def latest(self) -> Change:
        """The latest change that was met."""
        return max((theirs for *_, theirs in self.found), key=lambda change: change.revision)

    @property
    def base(self) -> int | None:
        """What the first of the changes is based on."""
        given = self.found[0][0].base_revision
        return given if given is not None else self.attempt.token if self.attempt is not None else None


def _resolve(d: Deciding, conflict: _Conflict, strategy: ConflictStrategy | None) -> None:
    """S7: says what happened and who won. Raises StateConflict when the later writer lost."""
    if strategy is ConflictStrategy.LAST_WRITER_WINS:
        _win(d, conflict, strategy, reasons.LAST_WRITER_WINS)
    elif strategy is ConflictStrategy.PRIORITY_BASED:
        highest = max(conflict.rivals, key=lambda change: (change.priority, change.revision))
        if conflict.priority > highest.priority:
            _win(d, conflict, strategy, reasons.HIGHER_PRIORITY_WINS)
        else:
            tie = conflict.priority == highest.priority
            _lose(d, conflict, strategy, highest, reasons.FIRST_WRITER_WINS if tie else reasons.HIGHER_PRIORITY_WINS)
    else:
        _lose(d, conflict, ConflictStrategy.TIMESTAMP_BASED, conflict.latest, reasons.FIRST_WRITER_WINS)


def _win(d: Deciding, conflict: _Conflict, strategy: ConflictStrategy, reason: str) -> None:
    """The later writer wins: whoever is overwritten is told, and what they had written is in the conflict."""
    detected = _detect(d, conflict, strategy)
    theirs = [theirs.writer for *_, theirs in conflict.found] + [each.writer for each in conflict.rivals]
    losers = [each for each in dict.fromkeys(theirs) if each != conflict.writer] or [conflict.writer]
    for loser in losers[:KEYS_NAMED_MAX]:
        _conclude(d, detected, strategy, reason, ("review_state_update", conflict.writer, loser))


def _lose(d: Deciding, conflict: _Conflict, strategy: ConflictStrategy, winner: Change, reason: str) -> None:
    """The earlier writer wins: the later is refused, and told to retry."""
    detected = _detect(d, conflict, strategy)
    _conclude(d, detected, strategy, reason, ("retry_state_update", winner.writer, conflict.writer))
    assert isinstance(detected.payload, ConflictDetected)
    raise StateConflict(detected.sequence, detected.payload.keys, conflict.latest.revision)


def _detect(d: Deciding, conflict: _Conflict, strategy: ConflictStrategy) -> Event:
    base = conflict.base
    return d.emit(
        ConflictDetected(
            conflict_type="concurrent_modification",
            writer=conflict.writer,
            base_revision=base or 0,
            keys=_conflicting_keys(d.state, conflict.found[:KEYS_NAMED_MAX]),
            strategy=strategy,
            priority=conflict.priority,
        ),
        reason=reasons.CHANGED_IN_WINDOW if base is None else reasons.CHANGED_SINCE_BASE,
        cause=conflict.latest.revision,
        about=subjects.of_holder(
            d.state, d.caller.session_id, 0 if conflict.attempt is None else conflict.attempt.token
        ),
    )


def _conclude(
    d: Deciding, detected: Event, strategy: ConflictStrategy, reason: str, outcome: tuple[str, str, str]
) -> None:
    """Tells the loser what to do, and records who won. outcome: the action, the winner, the loser."""
    action, winner, loser = outcome
    about = subjects.of_event(detected)
    conflict = detected.sequence
    required = CoordinationRequired(action=action, target=loser, winner=winner, conflict_sequence=conflict)
    d.emit(required, reason=reason, cause=conflict, about=about)
    resolved = ConflictResolved(conflict_sequence=conflict, winner=winner, loser=loser, strategy=strategy)
    d.emit(resolved, reason=reason, cause=conflict, about=about)


def _conflicting_keys(
    state: NamespaceState, found: list[tuple[StateChange, str, JsonValue, Change]]
) -> tuple[ConflictingKey, ...]:
    """What a conflict says of each key; values by themselves while there is room for them in one event."""
    left = VALUES_BYTES_MAX
    keys = []
    for _, key, value, theirs in found:
        entry = state.entries.get(theirs.key)
        attempted, attempted_digest, left = _named(value, left)
        current, current_digest, left = _named(None if entry is None else entry.value, left)
        keys.append(
            ConflictingKey(
                key=key,
                their_key=theirs.key,
                their_writer=theirs.writer,
                their_revision=theirs.revision,
                their_timestamp_ns=theirs.time_ns,
                their_traceparent=theirs.traceparent,
                attempted=attempted,
                current=current,
                attempted_digest=attempted_digest,
                current_digest=current_digest,
                their_priority=theirs.priority,
            )
        )
    return tuple(keys)


def _named(value: JsonValue, left: int) -> tuple[JsonValue, str, int]:
    """The value, or where it is large its size and digest instead; and the bytes left for others."""
    encoded = json.dumps(value, ensure_ascii=False, sort_keys=True, separators=(",", ":")).encode()
    if len(encoded) <= min(left, VALUE_BYTES_MAX):
        return value, "", left - len(encoded)
    return None, f"{len(encoded)}:{hashlib.sha256(encoded).hexdigest()}", left


def latest_overlapping(state: NamespaceState, path: str, *, appends: bool, besides: str | None) -> Change | None:
    """The latest change of an overlapping path by somebody besides a writer; for an append, appends left out."""
    latest: Change | None = None
    for part in path_parts(path):
        row = state.paths.get(part)
        if row is None:
            continue
        trail = row.under if part == path else row.own
        change = _latest(trail, appends=appends, besides=besides)
        if change is not None and (latest is None or change.revision > latest.revision):
            latest = change
    return latest


def _overlapping_above(state: NamespaceState, path: str, *, appends: bool, besides: str | None) -> Iterator[Change]:
    """Earlier changes of overlapping paths, of a higher priority than what came after them, by others than a writer;
    and the latest of each path, which may outrank the latest of all."""
    for part in path_parts(path):
        row = state.paths.get(part)
        if row is None:
            continue
        trail = row.under if part == path else row.own
        latest = _latest(trail, appends=appends, besides=besides)
        if latest is not None:
            yield latest
        for change in trail.hard_above if appends else trail.above:
            if change.writer != besides:
                yield change


def _latest(trail: Trail, *, appends: bool, besides: str | None) -> Change | None:
    newest, other = (trail.hard, trail.hard_other) if appends else (trail.latest, trail.latest_other)
    if newest is not None and besides is not None and newest.writer == besides:
        return other
    return newest


def apply_detected(state: NamespaceState, event: Event, _payload: ConflictDetected) -> None:
    """An attempt that times out after this fails with STATE_CONFLICT, unless it writes successfully before (R11)."""
    if event.run_id:
        note_outcome(state, event, event.sequence)


def note_outcome(state: NamespaceState, event: Event, conflict_sequence: int) -> None:
    """Whether the last write of an attempt conflicted: the sequence of the conflict, or 0."""
    attempt = state.attempts.get(state.task(event.run_id, event.task_id).attempt_token)
    if attempt is not None:
        attempt.conflict_sequence = conflict_sequence


def note_change(state: NamespaceState, event: Event, path: str, payload: StateUpdated) -> None:
    """Remembers who changed a path, for it and for everything above it."""
    change = Change(
        revision=event.sequence,
        time_ns=event.time_ns,
        writer=payload.writer,
        key=path,
        traceparent=event.traceparent,
        priority=payload.priority,
    )
    hard = payload.merge_strategy is not MergeStrategy.APPEND
    for part in path_parts(path):
        row = state.paths.get(part)
        if row is None:
            row = state.paths[part] = PathRow()
        _note(row.under, change, hard=hard)
        if part == path:
            _note(row.own, change, hard=hard)


def _note(trail: Trail, change: Change, *, hard: bool) -> None:
    latest = trail.latest
    if latest is not None:
        if latest.writer != change.writer:
            trail.latest_other = latest
        if trail.above or latest.priority > change.priority:
            trail.above = _outranking(trail.above, latest, change)
    trail.latest = change
    if hard:
        latest = trail.hard
        if latest is not None:
            if latest.writer != change.writer:
                trail.hard_other = latest
            if trail.hard_above or latest.priority > change.priority:
                trail.hard_above = _outranking(trail.hard_above, latest, change)
        trail.hard = change


def _outranking(above: tuple[Change, ...], latest: Change, change: Change) -> tuple[Change, ...]:
    return tuple(each for each in (*above, latest) if each.priority > change.priority)
