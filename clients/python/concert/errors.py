"""What can go wrong: one exception for each reason of the contract, built from google.rpc.Status.

ConcertError                        .code .reason .message .details
├── InvalidArgument                 malformed or over a limit              .violations
│   ├── InvalidPayload              (also ValueError) refused before it was sent
│   ├── DependencyCycleError        tasks depend on each other in a circle .cycle
│   ├── DependencyUnknown           a dependency refers to nothing
│   ├── RequestIdReused             another request was made under the id
│   ├── CursorInFuture              the cursor points beyond the log
│   └── CursorBehind                the cursor lies before what was acknowledged
├── NotFound                        no such run, task, lock, agent, event  .resource
├── AlreadyExists                   the id is taken                        .resource
├── Aborted
│   ├── StateConflictError          a state conflict was lost              .keys .current_revision
│   ├── Deadlock                    waiting for the lock would never end   .cycle
│   ├── StaleAttempt                the attempt is not the current one     .token .current_token
│   └── StaleFence                  a lock relied on is gone               .token .current_token .resource
├── FailedPrecondition
│   ├── NotHolder                   the lock is not held by the caller
│   ├── LockUpgrade                 held in a weaker mode: release first
│   ├── LockLost                    the lock was held and no longer is
│   ├── RunOver                     the run is over
│   ├── RunNotRetryable             it is not over, or has nothing left to do
│   ├── NoSession                   the call needs a session or an attempt
│   └── SessionOver                 the session ended, or another stream took it
├── DeadlineExceeded                no answer in time
│   └── LockTimeout                 the lock was not granted in time       .holders .position
├── LimitReached                    a queue, quota or rate limit           .retry_after .violations
├── CursorCompacted                 the cursor lies below what is kept     .oldest_sequence .log_id
├── LogMismatch                     a cursor or token of another log       .log_id .requested_log_id
├── LogTailLost                     acknowledged events are gone           .log_id
├── FeatureMissing                  the coordinator is too old for this    .feature_level
├── Unavailable                     failing over, shutting down, no route  .retry_after
├── PermissionDenied                the caller may not do this             .needed
├── Unauthenticated                 the caller is not known                .needed
├── Cancelled                       the peer cancelled the call
└── InternalError                   a fault of the coordinator

Times are seconds. Everything is an instance of ConcertError; asyncio.CancelledError is never wrapped.
"""

# ruff: noqa: N818 - the names are the contract's words for what went wrong
from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, TypedDict

import grpc
from google.protobuf.message import DecodeError
from google.rpc import code_pb2, error_details_pb2, status_pb2
from grpc_status import rpc_status

from concert._conflict_details import ConflictKey, conflict_advice, conflict_key
from concert._lock_details import LockHolder, LockWait, lock_holder, lock_wait
from concert.v1 import error_pb2

_DOMAIN = "concert"
_DETAIL_TYPES: tuple[Any, ...] = (
    error_details_pb2.ErrorInfo,
    error_details_pb2.BadRequest,
    error_details_pb2.ResourceInfo,
    error_details_pb2.PreconditionFailure,
    error_details_pb2.QuotaFailure,
    error_details_pb2.RetryInfo,
    error_pb2.DependencyCycle,
    error_pb2.StateConflict,
    error_pb2.StaleToken,
    error_pb2.Deadlock,
    error_pb2.LockContention,
    error_pb2.LogPosition,
)


class ConcertError(Exception):
    """A call was refused or could not be made.

    `code` is the name of the gRPC status code, `reason` a word from the contract's ErrorReason (without
    prefix; empty when the answer did not come from a coordinator), `details` the decoded detail messages.
    """

    code: str = "UNKNOWN"
    reason: str = ""

    def __init__(
        self,
        message: str = "",
        *,
        code: str | None = None,
        reason: str | None = None,
        details: Sequence[Any] = (),
    ) -> None:
        """Keeps the parts; `code` and `reason` default to those of the class."""
        super().__init__(message)
        self.message = message
        self.code = code or type(self).code
        self.reason = reason if reason is not None else type(self).reason
        self.details: tuple[Any, ...] = tuple(details)

    def __str__(self) -> str:
        word = self.reason or self.code
        return f"{word}: {self.message}" if self.message else word

    def detail(self, kind: type[Any]) -> Any | None:
        """The first detail message of that type, or None."""
        return next((detail for detail in self.details if isinstance(detail, kind)), None)


class Violation(TypedDict):
    """A field, or the subject of a quota, and what is wrong with it."""

    field: str
    description: str


class InvalidArgument(ConcertError):
    """Something is malformed or over a limit."""

    code = "INVALID_ARGUMENT"
    reason = "INVALID_FIELD"

    @property
    def violations(self) -> list[Violation]:
        """One entry per field at fault."""
        request = self.detail(error_details_pb2.BadRequest)
        found = [] if request is None else request.field_violations
        return [{"field": each.field, "description": each.description} for each in found]


class InvalidPayload(InvalidArgument, ValueError):
    """A value cannot be sent: NaN, too deep, too large, not JSON. Raised before anything is sent."""


class DependencyCycleError(InvalidArgument):
    """The tasks of a run depend on each other in a circle."""

    reason = "DEPENDENCY_CYCLE"

    @property
    def cycle(self) -> list[str]:
        """The ids of the tasks, in order; the first depends on the last."""
        cycle = self.detail(error_pb2.DependencyCycle)
        return [] if cycle is None else list(cycle.task_ids)


class DependencyUnknown(InvalidArgument):
    """A dependency refers to nothing."""

    reason = "DEPENDENCY_UNKNOWN"


class RequestIdReused(InvalidArgument):
    """Another request was made under this request_id."""

    reason = "REQUEST_ID_REUSED"


class CursorInFuture(InvalidArgument):
    """The cursor points beyond the end of the log."""

    reason = "CURSOR_IN_FUTURE"


class CursorBehind(InvalidArgument):
    """The cursor lies before what the named subscription has acknowledged: it moves forward only."""

    reason = "CURSOR_BEHIND"


class _Resource(ConcertError):
    """What NotFound and AlreadyExists share."""

    @property
    def resource(self) -> str:
        """`type/name` of what the error is about; empty when it was not said."""
        found = self.detail(error_details_pb2.ResourceInfo)
        return "" if found is None else f"{found.resource_type}/{found.resource_name}"


class NotFound(_Resource):
    """No such run, task, lock, agent, event or key."""

    code = "NOT_FOUND"
    reason = "NOT_FOUND"


class AlreadyExists(_Resource):
    """The id is used for something else, or an agent lives under it."""

    code = "ALREADY_EXISTS"
    reason = "ALREADY_EXISTS"


class Aborted(ConcertError):
    """The request met something newer."""

    code = "ABORTED"


class StateConflictError(Aborted):
    """A state conflict was lost: read again, or build on `current`, and write with `current_revision` as the
    base. Where a lock of somebody else guards a key, take that lock first, or wait until it is free.
    """

    reason = "STATE_CONFLICT"

    def __str__(self) -> str:
        return super().__str__() + conflict_advice(self.conflict_type, self.current_revision)

    @property
    def keys(self) -> list[ConflictKey]:
        """The keys they met on, the first 20."""
        conflict = self._conflict()
        return [] if conflict is None else [conflict_key(key) for key in conflict.keys]

    @property
    def conflict_type(self) -> str:
        """ "concurrent_modification", or "resource_conflict" where a lock of somebody else guards a key."""
        conflict = self._conflict()
        return "" if conflict is None else str(conflict.conflict_type)

    @property
    def current_revision(self) -> int:
        """Base revision for the next try; 0 when it was not said."""
        conflict = self._conflict()
        return 0 if conflict is None else int(conflict.current_revision)

    @property
    def conflict_sequence(self) -> int:
        """Sequence of the CONFLICT_DETECTED event."""
        conflict = self._conflict()
        return 0 if conflict is None else int(conflict.conflict_sequence)

    def _conflict(self) -> Any | None:
        return self.detail(error_pb2.StateConflict)


class _StaleToken(Aborted):
    """What StaleAttempt and StaleFence share."""

    @property
    def token(self) -> int:
        """The token that was sent."""
        stale = self.detail(error_pb2.StaleToken)
        return 0 if stale is None else int(stale.token)

    @property
    def current_token(self) -> int:
        """The token that counts now; 0 when there is none."""
        stale = self.detail(error_pb2.StaleToken)
        return 0 if stale is None else int(stale.current)


class StaleAttempt(_StaleToken):
    """The attempt is not the current one: stop."""

    reason = "STALE_ATTEMPT"


class StaleFence(_StaleToken):
    """A lock that the command relies on is gone: nothing was done."""

    reason = "STALE_FENCE"

    @property
    def resource(self) -> str:
        """What was locked."""
        stale = self.detail(error_pb2.StaleToken)
        return "" if stale is None else str(stale.resource)


class Deadlock(Aborted):
    """The request would have closed a cycle of waiting: give back what is held, and ask again."""

    reason = "DEADLOCK"

    @property
    def cycle(self) -> list[LockWait]:
        """Who waits for whom: each for the next one, the last for the first, which is the refused request.
        Cut short where it is too long to be sent along.
        """
        deadlock = self.detail(error_pb2.Deadlock)
        return [] if deadlock is None else [lock_wait(step) for step in deadlock.cycle]

    @property
    def request_sequence(self) -> int:
        """Sequence of the refused request's RESOURCE_REQUESTED event."""
        deadlock = self.detail(error_pb2.Deadlock)
        return 0 if deadlock is None else int(deadlock.request_sequence)


class FailedPrecondition(ConcertError):
    """Things do not stand as the request needs them."""

    code = "FAILED_PRECONDITION"


class NotHolder(FailedPrecondition):
    """The lock is not held by the caller."""

    reason = "NOT_HOLDER"


class LockUpgrade(FailedPrecondition):
    """The holder has the lock in a weaker mode; release it first."""

    reason = "LOCK_UPGRADE"


class LockLost(FailedPrecondition):
    """The lock was held and no longer is. Raised out of a lock scope whose lease ran out or whose session
    ended.
    """

    reason = "LOCK_LOST"


class RunOver(FailedPrecondition):
    """The run is over."""

    reason = "RUN_OVER"


class RunNotRetryable(FailedPrecondition):
    """The run cannot be tried again: it is not over, or every task of it succeeded."""

    reason = "RUN_NOT_RETRYABLE"


class NoSession(FailedPrecondition):
    """The call needs a session or an attempt."""

    reason = "NO_SESSION"


class SessionOver(FailedPrecondition):
    """The session ended: its lease ran out, it was closed, or another stream took it."""

    reason = "SESSION_OVER"


class DeadlineExceeded(ConcertError):
    """No answer in time; whether the request took effect is not known."""

    code = "DEADLINE_EXCEEDED"


class LockTimeout(DeadlineExceeded):
    """The lock was not granted in time."""

    reason = "LOCK_TIMEOUT"

    @property
    def holders(self) -> list[LockHolder]:
        """Who stood in the way."""
        contention = self.detail(error_pb2.LockContention)
        return [] if contention is None else [lock_holder(grant) for grant in contention.holders]

    @property
    def position(self) -> int:
        """The request's place in the queue when it gave up, from 1; 0 when it was not queued."""
        contention = self.detail(error_pb2.LockContention)
        return 0 if contention is None else int(contention.position)


class _RetryLater(ConcertError):
    """What LimitReached and Unavailable share."""

    @property
    def retry_after(self) -> float | None:
        """Seconds to wait before the next try, if the coordinator said so."""
        retry = self.detail(error_details_pb2.RetryInfo)
        return None if retry is None else float(retry.retry_delay.ToTimedelta().total_seconds())


class LimitReached(_RetryLater):
    """A queue, quota or rate limit."""

    code = "RESOURCE_EXHAUSTED"
    reason = "LIMIT_REACHED"

    @property
    def violations(self) -> list[Violation]:
        """Which limits."""
        quota = self.detail(error_details_pb2.QuotaFailure)
        found = [] if quota is None else quota.violations
        return [{"field": each.subject, "description": each.description} for each in found]


class _LogPosition(ConcertError):
    """What CursorCompacted and LogMismatch share."""

    @property
    def log_id(self) -> str:
        """The log there is."""
        position = self.detail(error_pb2.LogPosition)
        return "" if position is None else str(position.log_id)

    @property
    def oldest_sequence(self) -> int:
        """Sequence of the oldest event kept; 0 when it was not said."""
        position = self.detail(error_pb2.LogPosition)
        return 0 if position is None else int(position.oldest_sequence)


class CursorCompacted(_LogPosition):
    """The cursor lies below the oldest event kept: events between were not seen and cannot be had."""

    code = "OUT_OF_RANGE"
    reason = "CURSOR_COMPACTED"


class LogMismatch(_LogPosition):
    """The cursor or token is one of another log."""

    code = "DATA_LOSS"
    reason = "LOG_MISMATCH"

    @property
    def requested_log_id(self) -> str:
        """The log that was asked for."""
        position = self.detail(error_pb2.LogPosition)
        return "" if position is None else str(position.requested_log_id)


class FeatureMissing(ConcertError):
    """The coordinator is too old for this: it speaks an earlier feature level of the contract. Upgrade it."""

    code = "UNIMPLEMENTED"

    def __init__(self, message: str = "", *, feature_level: int | None = None, **parts: Any) -> None:
        """`feature_level`: the one that the coordinator speaks, None where it did not say."""
        super().__init__(message, **parts)
        self.feature_level = feature_level


class LogTailLost(_LogPosition):
    """The store lost events that were acknowledged: nothing is served until an operator accepts that."""

    code = "DATA_LOSS"
    reason = "LOG_TAIL_LOST"


class Unavailable(_RetryLater):
    """No coordinator answered: it is failing over, shutting down, or out of reach. Safe to try again."""

    code = "UNAVAILABLE"
    reason = "UNAVAILABLE"


class _Stranger(ConcertError):
    """What PermissionDenied and Unauthenticated share."""

    @property
    def needed(self) -> dict[str, str]:
        """What the caller lacks, by name; empty where the coordinator did not say."""
        info = self.detail(error_details_pb2.ErrorInfo)
        return {} if info is None else dict(info.metadata)


class PermissionDenied(_Stranger):
    """The caller may not do this: `needed` names the `role`, `namespace` and `principal`."""

    code = "PERMISSION_DENIED"
    reason = "PERMISSION_DENIED"


class Unauthenticated(_Stranger):
    """The caller is not known: `needed` names the `credential` that would do."""

    code = "UNAUTHENTICATED"
    reason = "UNAUTHENTICATED"


class Cancelled(ConcertError):
    """The peer cancelled the call."""

    code = "CANCELLED"


class InternalError(ConcertError):
    """A fault of the coordinator."""

    code = "INTERNAL"
    reason = "INTERNAL"


_BY_REASON: Mapping[str, type[ConcertError]] = {
    kind.reason: kind
    for kind in (
        InvalidArgument,
        DependencyCycleError,
        DependencyUnknown,
        RequestIdReused,
        CursorInFuture,
        CursorBehind,
        NotFound,
        AlreadyExists,
        StateConflictError,
        StaleAttempt,
        StaleFence,
        Deadlock,
        NotHolder,
        LockUpgrade,
        LockLost,
        RunOver,
        RunNotRetryable,
        NoSession,
        SessionOver,
        LockTimeout,
        LimitReached,
        CursorCompacted,
        LogMismatch,
        LogTailLost,
        Unavailable,
        PermissionDenied,
        Unauthenticated,
        InternalError,
    )
}
_BY_CODE: Mapping[str, type[ConcertError]] = {
    kind.code: kind
    for kind in (
        InvalidArgument,
        NotFound,
        AlreadyExists,
        Aborted,
        FailedPrecondition,
        DeadlineExceeded,
        LimitReached,
        CursorCompacted,
        LogMismatch,
        FeatureMissing,
        Unavailable,
        PermissionDenied,
        Unauthenticated,
        Cancelled,
        InternalError,
    )
}


def from_status(status: Any) -> ConcertError:
    """The exception for a google.rpc.Status."""
    details = [decoded for any_ in status.details if (decoded := _unpack(any_)) is not None]
    code = code_pb2.Code.Name(status.code) if status.code in code_pb2.Code.values() else "UNKNOWN"
    return _build(code, status.message, details)


def from_rpc_error(error: grpc.aio.AioRpcError) -> ConcertError:
    """The exception for a failed gRPC call."""
    try:
        status = rpc_status.from_call(error)
    except (
        ValueError,
        DecodeError,
    ):  # details that contradict the status are those of a proxy: the status counts
        status = None
    if status is None:
        return _build(error.code().name, error.details() or "", [])
    return from_status(status)


def to_status(error: ConcertError) -> Any:
    """The google.rpc.Status that `from_status` reads, for peers written in Python."""
    status = status_pb2.Status(code=code_pb2.Code.Value(error.code), message=error.message)
    details = error.details
    if error.reason and error.detail(error_details_pb2.ErrorInfo) is None:
        details = (error_details_pb2.ErrorInfo(reason=error.reason, domain=_DOMAIN), *details)
    for detail in details:
        status.details.add().Pack(detail)
    return status


def _build(code: str, message: str, details: list[Any]) -> ConcertError:
    info = next((detail for detail in details if isinstance(detail, error_details_pb2.ErrorInfo)), None)
    reason = info.reason if info is not None and info.domain == _DOMAIN else ""
    kind = _BY_REASON.get(reason) or _BY_CODE.get(code, ConcertError)
    return kind(_cured(message, code, info), code=code, reason=reason, details=details)


def _cured(message: str, code: str, info: error_details_pb2.ErrorInfo | None) -> str:
    """The message with what there is to do about it, where the caller was not known or may not do this."""
    if info is None or info.domain != _DOMAIN:
        return message
    if code == "UNAUTHENTICATED" and "credential" in info.metadata:
        return f"{message}: give {info.metadata['credential']} that is valid"
    if code == "PERMISSION_DENIED" and "role" in info.metadata:
        return f"{message} (granted in the coordinator's access file)"
    return message


def _unpack(any_: Any) -> Any | None:
    for kind in _DETAIL_TYPES:
        if any_.Is(kind.DESCRIPTOR):
            detail = kind()
            any_.Unpack(detail)
            return detail
    return None
