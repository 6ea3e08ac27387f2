"""Conflicts: when two writers met on shared state, who wins, and what the loser is told (S3 to S8).

An update conflicts when a path that overlaps one of its own was changed after the revision it is based on. Paths
overlap when one is a prefix of the other, by whole segments; appends never conflict with appends. This is optimistic
concurrency control by backward validation (Kung and Robinson, "On optimistic methods for concurrency control", 1981).
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator
from typing import TYPE_CHECKING

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


def check(d: Deciding, changes: tuple[StateChange, ...], writer: str, attempt: AttemptRow | None) -> None:
    """Emits the conflict and raises StateConflict if any of the changes meets another writer's."""
    state = d.state
    policy = policy_of_caller(d, attempt)
    window_from_ns = d.now_ns - (policy.conflict_window_ns or 0)
    found: list[tuple[StateChange, str, JsonValue, Change]] = []
    for change in changes:
        base = change.base_revision
        if base is None and attempt is not None:
            base = attempt.token
        besides = writer if attempt is not None or base is None else None
        for key, value in _written(change):
            appends = change.strategy is MergeStrategy.APPEND
            theirs = latest_overlapping(state, key, appends=appends, besides=besides)
            if theirs is None:
                continue
            if theirs.revision > base if base is not None else theirs.time_ns > window_from_ns:
                found.append((change, key, value, theirs))
    if found:
        _lose(d, found, writer, attempt)


def _written(change: StateChange) -> Iterator[tuple[str, JsonValue]]:
    for update in change.updates:
        yield update.key, update.value
    if change.prefix and change.strategy is MergeStrategy.REPLACE:
        yield change.prefix, None


def _lose(
    d: Deciding,
    found: list[tuple[StateChange, str, JsonValue, Change]],
    writer: str,
    attempt: AttemptRow | None,
) -> None:
    """timestamp_based: the first writer wins, the other is told to retry."""
    state = d.state
    keys = _conflicting_keys(state, found[:KEYS_NAMED_MAX])
    given = found[0][0].base_revision
    base = given if given is not None else attempt.token if attempt is not None else None
    latest = max((theirs for *_, theirs in found), key=lambda change: change.revision)
    about = subjects.of_holder(state, d.caller.session_id, 0 if attempt is None else attempt.token)
    strategy = ConflictStrategy.TIMESTAMP_BASED
    detected = d.emit(
        ConflictDetected(
            conflict_type="concurrent_modification",
            writer=writer,
            base_revision=base or 0,
            keys=keys,
            strategy=strategy,
        ),
        reason=reasons.CHANGED_IN_WINDOW if base is None else reasons.CHANGED_SINCE_BASE,
        cause=latest.revision,
        about=about,
    )
    d.emit(
        CoordinationRequired(
            action="retry_state_update",
            target=writer,
            winner=latest.writer,
            conflict_sequence=detected.sequence,
        ),
        reason=reasons.FIRST_WRITER_WINS,
        cause=detected.sequence,
        about=about,
    )
    d.emit(
        ConflictResolved(
            conflict_sequence=detected.sequence,
            winner=latest.writer,
            loser=writer,
            strategy=strategy,
        ),
        reason=reasons.FIRST_WRITER_WINS,
        cause=detected.sequence,
        about=about,
    )
    raise StateConflict(detected.sequence, keys, latest.revision)


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
    if trail.latest is not None and trail.latest.writer != change.writer:
        trail.latest_other = trail.latest
    trail.latest = change
    if hard:
        if trail.hard is not None and trail.hard.writer != change.writer:
            trail.hard_other = trail.hard
        trail.hard = change
