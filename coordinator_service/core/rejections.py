"""Rejections: why a command was refused. rpc/errors.py gives each its details on the wire.

    Rejection
    ├── InvalidField         INVALID_ARGUMENT     INVALID_FIELD
    ├── DependencyCycle      INVALID_ARGUMENT     DEPENDENCY_CYCLE
    ├── DependencyUnknown    INVALID_ARGUMENT     DEPENDENCY_UNKNOWN
    ├── RequestIdReused      INVALID_ARGUMENT     REQUEST_ID_REUSED
    ├── CursorInFuture       INVALID_ARGUMENT     CURSOR_IN_FUTURE
    ├── CursorBehind         INVALID_ARGUMENT     CURSOR_BEHIND
    ├── NotFound             NOT_FOUND            NOT_FOUND
    ├── AlreadyExists        ALREADY_EXISTS       ALREADY_EXISTS
    ├── StateConflict        ABORTED              STATE_CONFLICT
    ├── StaleAttempt         ABORTED              STALE_ATTEMPT
    ├── Deadlock             ABORTED              DEADLOCK
    ├── StaleFence           ABORTED              STALE_FENCE
    ├── NotHolder            FAILED_PRECONDITION  NOT_HOLDER
    ├── LockUpgrade          FAILED_PRECONDITION  LOCK_UPGRADE
    ├── LockLost             FAILED_PRECONDITION  LOCK_LOST
    ├── RunOver              FAILED_PRECONDITION  RUN_OVER
    ├── RunNotRetryable      FAILED_PRECONDITION  RUN_NOT_RETRYABLE
    ├── NoSession            FAILED_PRECONDITION  NO_SESSION
    ├── SessionOver          FAILED_PRECONDITION  SESSION_OVER
    ├── LockTimeout          DEADLINE_EXCEEDED    LOCK_TIMEOUT
    ├── LimitReached         RESOURCE_EXHAUSTED   LIMIT_REACHED
    ├── CursorCompacted      OUT_OF_RANGE         CURSOR_COMPACTED
    ├── LogMismatch          DATA_LOSS            LOG_MISMATCH
    ├── LogTailLost          DATA_LOSS            LOG_TAIL_LOST
    ├── Unavailable          UNAVAILABLE          UNAVAILABLE
    ├── Unauthenticated      UNAUTHENTICATED      UNAUTHENTICATED
    ├── PermissionDenied     PERMISSION_DENIED    PERMISSION_DENIED
    └── Fault                INTERNAL             INTERNAL

A rejection raised before a decision emitted anything means that nothing happened. The one that comes with events is
StateConflict: the conflict itself is a fact (D1).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar

from coordinator_service.core.specs import ConflictingKey, LockGrant, LockWait


class Rejection(Exception):  # noqa: N818 (a refusal is an answer, not an error)
    """A command was refused. code is the name of a gRPC status, reason one of ErrorReason without its prefix."""

    code: ClassVar[str]
    reason: ClassVar[str]

    def __init__(self, message: str) -> None:
        super().__init__(message)
        self.message = message


class InvalidField(Rejection):
    """A field is malformed or over a limit. violations: (field path, what is wrong with it, with the limit)."""

    code = "INVALID_ARGUMENT"
    reason = "INVALID_FIELD"

    def __init__(self, *violations: tuple[str, str]) -> None:
        super().__init__("; ".join(f"{field}: {fault}" for field, fault in violations))
        self.violations = violations


class DependencyCycle(Rejection):
    """Tasks depend on each other in a circle: each on the one before, the first on the last."""

    code = "INVALID_ARGUMENT"
    reason = "DEPENDENCY_CYCLE"

    def __init__(self, task_ids: tuple[str, ...]) -> None:
        super().__init__(f"circular dependency: {' -> '.join((*task_ids[:20], task_ids[0]))}")
        self.task_ids = task_ids


class DependencyUnknown(InvalidField):
    """A dependency refers to nothing."""

    reason = "DEPENDENCY_UNKNOWN"


class RequestIdReused(InvalidField):
    """Another request was made under this request_id."""

    reason = "REQUEST_ID_REUSED"


class CursorInFuture(InvalidField):
    """The cursor points beyond the end of the log."""

    reason = "CURSOR_IN_FUTURE"


class CursorBehind(InvalidField):
    """The cursor lies before what the named subscription has acknowledged (E5)."""

    reason = "CURSOR_BEHIND"


class NotFound(Rejection):
    """No such thing. kind is "run", "task", "lock", "agent", "event", "result", "subscription" or "key"."""

    code = "NOT_FOUND"
    reason = "NOT_FOUND"

    def __init__(self, kind: str, name: str, because: str = "") -> None:
        super().__init__(f"no such {kind}: {name}" + (f" {because}" if because else ""))
        self.kind = kind
        self.name = name


class AlreadyExists(Rejection):
    """The id is used for something else."""

    code = "ALREADY_EXISTS"
    reason = "ALREADY_EXISTS"

    def __init__(self, kind: str, name: str, message: str = "") -> None:
        super().__init__(message or f"{kind} exists already: {name}")
        self.kind = kind
        self.name = name


class StateConflict(Rejection):
    """Somebody else changed what was to be written, or guards it (S6, S8). What is handed over is true at the sequence
    of the conflict: that is the revision to base the next try on."""

    code = "ABORTED"
    reason = "STATE_CONFLICT"

    def __init__(
        self,
        conflict_sequence: int,
        keys: tuple[ConflictingKey, ...],
        conflict_type: str,
    ) -> None:
        first = keys[0]
        if first.guarded_by is not None:
            what = f"{first.key} is guarded by the lock {first.guarded_by.resource}, which {first.their_writer} holds"
        else:
            by = first.their_writer or "the platform"
            what = f"{first.key} was changed by {by} at revision {first.their_revision}"
        super().__init__(what + (f", and {len(keys) - 1} more" if len(keys) > 1 else ""))
        self.conflict_type = conflict_type
        self.conflict_sequence = conflict_sequence
        self.keys = keys
        self.current_revision = conflict_sequence


class StaleAttempt(Rejection):
    """The attempt is not the current one (R8). current is 0 when there is none."""

    code = "ABORTED"
    reason = "STALE_ATTEMPT"

    def __init__(self, token: int, current: int = 0) -> None:
        super().__init__(f"attempt {token} is not current" + (f", {current} is" if current else ""))
        self.token = token
        self.current = current


class Deadlock(Rejection):
    """The request would have closed a cycle of waiting (L4). cycle is empty when the request was made again."""

    code = "ABORTED"
    reason = "DEADLOCK"

    def __init__(self, request_sequence: int, cycle: tuple[LockWait, ...]) -> None:
        steps = [f"{each.holder} for {each.resource}" for each in cycle]
        super().__init__(f"waiting would never end: {', '.join(steps[:10])}" if steps else "waiting would never end")
        self.request_sequence = request_sequence
        self.cycle = cycle


class StaleFence(Rejection):
    """A lock that the command relies on is no longer held under that token (L8). current is the newest token that the
    resource is held under; 0 when it is held by nobody.
    """

    code = "ABORTED"
    reason = "STALE_FENCE"

    def __init__(self, resource: str, token: int, current: int = 0) -> None:
        super().__init__(f"{resource} is not held under {token}" + (f" but under {current}" if current else ""))
        self.resource = resource
        self.token = token
        self.current = current


class NotHolder(Rejection):
    """The caller does not hold that lock."""

    code = "FAILED_PRECONDITION"
    reason = "NOT_HOLDER"

    def __init__(self, token: int) -> None:
        super().__init__(f"fencing token {token} is not a lock that the caller holds")
        self.token = token


class LockUpgrade(Rejection):
    """The holder holds the lock in a weaker mode (L5)."""

    code = "FAILED_PRECONDITION"
    reason = "LOCK_UPGRADE"

    def __init__(self, resource: str, token: int) -> None:
        super().__init__(
            f"{resource} is held shared under fencing token {token}: release it before taking it exclusive"
        )
        self.resource = resource
        self.token = token


class LockLost(Rejection):
    """The grant that this repeated request once got no longer stands (D5)."""

    code = "FAILED_PRECONDITION"
    reason = "LOCK_LOST"

    def __init__(self, request_sequence: int) -> None:
        super().__init__(f"what request {request_sequence} was granted no longer stands")
        self.request_sequence = request_sequence


class RunOver(Rejection):
    """The run is over or being stopped."""

    code = "FAILED_PRECONDITION"
    reason = "RUN_OVER"

    def __init__(self, run_id: str) -> None:
        super().__init__(f"run {run_id} is over")
        self.run_id = run_id


class RunNotRetryable(Rejection):
    """The run cannot begin again: it is not over, or has nothing left to do (R15)."""

    code = "FAILED_PRECONDITION"
    reason = "RUN_NOT_RETRYABLE"

    def __init__(self, run_id: str, why: str) -> None:
        super().__init__(f"run {run_id} cannot be tried again: {why}")
        self.run_id = run_id


class NoSession(Rejection):
    """The call needs a session or an attempt."""

    code = "FAILED_PRECONDITION"
    reason = "NO_SESSION"


class SessionOver(Rejection):
    """The session is over."""

    code = "FAILED_PRECONDITION"
    reason = "SESSION_OVER"

    def __init__(self, session_id: int) -> None:
        super().__init__(f"session {session_id} is over")
        self.session_id = session_id


class LockTimeout(Rejection):
    """The locks were not granted in time (L6)."""

    code = "DEADLINE_EXCEEDED"
    reason = "LOCK_TIMEOUT"

    def __init__(self, request_sequence: int, holders: tuple[LockGrant, ...], position: int) -> None:
        names = ", ".join(f"{grant.resource} by {grant.holder}" for grant in holders[:5]) or "earlier waiters"
        super().__init__(f"not granted in time: held are {names}; place {position} in the queue")
        self.request_sequence = request_sequence
        self.holders = holders
        self.position = position


class LimitReached(Rejection):
    """A queue or quota is full. subject names the limit."""

    code = "RESOURCE_EXHAUSTED"
    reason = "LIMIT_REACHED"

    def __init__(self, subject: str, limit: int, retry_after_ms: int = 1000) -> None:
        super().__init__(f"{subject} is reached: {limit}")
        self.subject = subject
        self.limit = limit
        self.retry_after_ms = retry_after_ms


class CursorCompacted(Rejection):
    """The cursor, or a revision, lies below the oldest that is kept (E4, S1)."""

    code = "OUT_OF_RANGE"
    reason = "CURSOR_COMPACTED"

    def __init__(self, log_id: str, oldest_sequence: int, last_sequence: int, message: str = "") -> None:
        super().__init__(message or f"the oldest event kept is {oldest_sequence}")
        self.log_id = log_id
        self.oldest_sequence = oldest_sequence
        self.last_sequence = last_sequence


class LogMismatch(Rejection):
    """The cursor or token is one of another log (E4)."""

    code = "DATA_LOSS"
    reason = "LOG_MISMATCH"

    def __init__(self, log_id: str, requested_log_id: str) -> None:
        super().__init__(f"the log is {log_id}, not {requested_log_id}")
        self.log_id = log_id
        self.requested_log_id = requested_log_id


class LogTailLost(Rejection):
    """The store lost what was acknowledged: last_sequence is where the log ends now."""

    code = "DATA_LOSS"
    reason = "LOG_TAIL_LOST"

    def __init__(self, log_id: str, last_sequence: int, message: str) -> None:
        super().__init__(message)
        self.log_id = log_id
        self.last_sequence = last_sequence


class Unavailable(Rejection):
    """Failing over or shutting down: the same request may be made again."""

    code = "UNAVAILABLE"
    reason = "UNAVAILABLE"

    def __init__(self, message: str, retry_after_ms: int = 200) -> None:
        super().__init__(message)
        self.retry_after_ms = retry_after_ms


class Unauthenticated(Rejection):
    """The caller is not known. Says why, and nothing of the credential; needed says by name what would do."""

    code = "UNAUTHENTICATED"
    reason = "UNAUTHENTICATED"

    def __init__(self, message: str, needed: Mapping[str, str] | None = None) -> None:
        super().__init__(message)
        self.needed = tuple((needed or {}).items())


class PermissionDenied(Rejection):
    """The caller may not do this; needed says by name what it lacks."""

    code = "PERMISSION_DENIED"
    reason = "PERMISSION_DENIED"

    def __init__(self, message: str, needed: Mapping[str, str] | None = None) -> None:
        super().__init__(message)
        self.needed = tuple((needed or {}).items())


class Fault(Rejection):
    """A fault of the coordinator."""

    code = "INTERNAL"
    reason = "INTERNAL"
