"""Conflicts: when two writers met on shared state, who wins, and what the loser is told (S3 to S8).

An update conflicts when a path that overlaps one of its own was changed after the revision it is based on. Paths
overlap when one is a prefix of the other, by whole segments; appends never conflict with appends. This is optimistic
concurrency control by backward validation (Kung and Robinson, "On optimistic methods for concurrency control", 1981).
A write of a path that a lock of somebody else guards is refused without any of that (S6).
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator
from dataclasses import replace
from typing import TYPE_CHECKING, Final, NamedTuple, TypeAlias

from coordinator_service.core import guards, reasons, subjects
from coordinator_service.core.events import (
    ConflictDetected,
    ConflictResolved,
    CoordinationRequired,
    Event,
)
from coordinator_service.core.policies import policy_of_caller
from coordinator_service.core.rejections import StateConflict
from coordinator_service.core.specs import ConflictingKey, LockGrant, StateChange
from coordinator_service.core.state import AttemptRow, Change, GrantRow, NamespaceState
from coordinator_service.core.trails import latest_overlapping, overlapping_above
from coordinator_service.core.values import ConflictStrategy, JsonValue, MergeStrategy

if TYPE_CHECKING:
    from coordinator_service.core.commands import Caller
    from coordinator_service.core.deciding import Deciding

KEYS_NAMED_MAX = 100
"""Keys that a CONFLICT_DETECTED names."""
VALUE_BYTES_MAX = 64 * 1024
"""Values larger than this are named by size and digest (S7)."""
VALUES_BYTES_MAX = 512 * 1024
"""Values of one CONFLICT_DETECTED together; those beyond are named by size and digest."""

CONCURRENT_MODIFICATION: Final = "concurrent_modification"
RESOURCE_CONFLICT: Final = "resource_conflict"

Met: TypeAlias = "tuple[StateChange, str, JsonValue, Change]"
"""A change, the key and value of it that met another writer's change, and that."""


def check(
    d: Deciding, changes: tuple[StateChange, ...], writer: str, attempt: AttemptRow | None, priority: int
) -> None:
    """Emits the conflict if any of the changes meets another writer's; raises StateConflict if they lose it, and in any
    case where a path is guarded by a lock that somebody else holds."""
    state = d.state
    if state.index.guarded:
        _check_guards(d, changes, writer, attempt, priority)
    policy = policy_of_caller(d, attempt)
    window_from_ns = d.now_ns - (policy.conflict_window_ns or 0)
    found: list[Met] = []
    rivals: list[Change] = []
    for change in changes:
        base = _base_of(change, attempt)
        besides = writer if attempt is not None or base is None else None
        for key, value, appends in _written(change):
            theirs = latest_overlapping(state, key, appends=appends, besides=besides)
            if theirs is None or not _stands(theirs, base, window_from_ns):
                continue
            found.append((change, key, value, theirs))
            if policy.conflict_strategy is ConflictStrategy.PRIORITY_BASED:
                among = overlapping_above(state, key, appends=appends, besides=besides)
                rivals.extend(each for each in (theirs, *among) if _stands(each, base, window_from_ns))
    if found:
        _resolve(d, _Conflict(found, rivals, writer, priority, attempt), policy.conflict_strategy)


def _stands(theirs: Change, base: int | None, window_from_ns: int) -> bool:
    """Whether a change is in conflict with a write that is based on a revision, or on nothing (S3, S5)."""
    return theirs.revision > base if base is not None else theirs.time_ns > window_from_ns


def _written(change: StateChange) -> Iterator[tuple[str, JsonValue, bool]]:
    """The paths that a change writes, with what, and whether by appending."""
    appends = change.strategy is MergeStrategy.APPEND
    for update in change.updates:
        yield update.key, update.value, appends
    for key in change.deletes:
        yield key, None, False
    if change.prefix and change.strategy is MergeStrategy.REPLACE:
        yield change.prefix, None, False


def _base_of(change: StateChange, attempt: AttemptRow | None) -> int | None:
    """S4: what a change is based on; None for a blind one."""
    if change.base_revision is None and attempt is not None:
        return attempt.token
    return change.base_revision


# Guards.


def _check_guards(
    d: Deciding, changes: tuple[StateChange, ...], writer: str, attempt: AttemptRow | None, priority: int
) -> None:
    """S6: refuses what is written under the guard of a lock that somebody else holds and the caller does not."""
    met: list[tuple[str, JsonValue, GrantRow]] = []
    writing = (
        d.caller if attempt is None else replace(d.caller, attempt_token=attempt.token)
    )  # a report names it itself
    for change in changes:
        for path, value, _ in _written(change):
            grant = _in_the_way(d.state, writing, path, clears=path == change.prefix)
            if grant is not None:
                met.append((path, value, grant))
    if not met:
        return
    detected = d.emit(
        ConflictDetected(
            conflict_type=RESOURCE_CONFLICT,
            writer=writer,
            base_revision=_base_of(changes[0], attempt) or 0,
            keys=_guarded_keys(d.state, met[:KEYS_NAMED_MAX]),
            strategy=None,
            priority=priority,
        ),
        reason=reasons.GUARDED_BY_LOCK,
        cause=met[0][2].token,
        about=subjects.of_holder(d.state, d.caller.session_id, 0 if attempt is None else attempt.token),
    )
    assert isinstance(detected.payload, ConflictDetected)
    _conclude(d, detected, None, reasons.GUARDED_BY_LOCK, ("retry_state_update", met[0][2].holder, writer))
    raise StateConflict(detected.sequence, detected.payload.keys, RESOURCE_CONFLICT)


def _in_the_way(state: NamespaceState, caller: Caller, path: str, *, clears: bool) -> GrantRow | None:
    """The grant of somebody else that guards a path, unless the caller has a grant of that lock as well."""
    standing = guards.guarding(state, path)
    if clears:
        standing += guards.guarding_within(state, path)
    own = {grant.resource for grant in standing if guards.holds(caller, grant)}
    return next((grant for grant in standing if grant.resource not in own), None)


# Concurrent modifications.


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
        return _base_of(self.found[0][0], self.attempt)


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
    raise StateConflict(detected.sequence, detected.payload.keys, CONCURRENT_MODIFICATION)


def _detect(d: Deciding, conflict: _Conflict, strategy: ConflictStrategy) -> Event:
    base = conflict.base
    return d.emit(
        ConflictDetected(
            conflict_type=CONCURRENT_MODIFICATION,
            writer=conflict.writer,
            base_revision=base or 0,
            keys=_conflicting_keys(d.state, conflict.found[:KEYS_NAMED_MAX]),
            strategy=strategy,
            priority=conflict.priority,
        ),
        reason=reasons.CHANGED_IN_WINDOW if base is None else reasons.CHANGED_SINCE_BASE,
        cause=conflict.latest.revision,
        about=subjects.of_holder(
            d.state,
            d.caller.session_id,
            0 if conflict.attempt is None else conflict.attempt.token,
            d.caller.traceparent,
        ),
    )


def _conclude(
    d: Deciding, detected: Event, strategy: ConflictStrategy | None, reason: str, outcome: tuple[str, str, str]
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


def _guarded_keys(state: NamespaceState, met: list[tuple[str, JsonValue, GrantRow]]) -> tuple[ConflictingKey, ...]:
    """What a conflict with locks says of each key: what is there, and who may write it."""
    left = VALUES_BYTES_MAX
    keys = []
    for path, value, grant in met:
        entry = state.entries.get(path)
        attempted, attempted_digest, left = _named(value, left)
        current, current_digest, left = _named(None if entry is None else entry.value, left)
        standing = LockGrant(resource=grant.resource, mode=grant.mode, holder=grant.holder, fencing_token=grant.token)
        keys.append(
            ConflictingKey(
                key=path,
                their_key=guards.guarded_part(grant, path),
                their_writer=grant.holder,
                their_revision=grant.token,
                their_timestamp_ns=0,
                attempted=attempted,
                current=current,
                attempted_digest=attempted_digest,
                current_digest=current_digest,
                guarded_by=standing,
            )
        )
    return tuple(keys)


def _named(value: JsonValue, left: int) -> tuple[JsonValue, str, int]:
    """The value, or where it is large its size and digest instead; and the bytes left for others."""
    encoded = json.dumps(value, ensure_ascii=False, sort_keys=True, separators=(",", ":")).encode()
    if len(encoded) <= min(left, VALUE_BYTES_MAX):
        return value, "", left - len(encoded)
    return None, f"{len(encoded)}:{hashlib.sha256(encoded).hexdigest()}", left


# Applying.


def apply_detected(state: NamespaceState, event: Event, _payload: ConflictDetected) -> None:
    """An attempt that times out after this fails with STATE_CONFLICT, unless it writes successfully before (R11)."""
    if event.run_id:
        note_outcome(state, event, event.sequence)


def note_outcome(state: NamespaceState, event: Event, conflict_sequence: int) -> None:
    """Whether the last write of an attempt conflicted: the sequence of the conflict, or 0."""
    attempt = state.attempts.get(state.task(event.run_id, event.task_id).attempt_token)
    if attempt is not None:
        attempt.conflict_sequence = conflict_sequence
