"""Rejections on the wire: google.rpc.Status with the details that contract and error.proto promise.

gRPC refuses large trailers, so the details of one status stay under DETAILS_BYTES_MAX together: lists are cut, and
values of a conflict are left out and named by size and digest. Read them at their revision.
"""

from __future__ import annotations

import asyncio
import hashlib
import json
from collections.abc import Callable, Iterable
from typing import Any, NoReturn

import grpc
from concert.v1 import error_pb2
from google.protobuf import duration_pb2
from google.protobuf.message import Message
from google.rpc import code_pb2, error_details_pb2, status_pb2
from grpc_status import rpc_status

from coordinator_service.core import rejections as core
from coordinator_service.core.specs import ConflictingKey
from coordinator_service.core.values import NS_PER_MS, JsonValue
from coordinator_service.log.mirror import fill, fill_duration

DOMAIN = "concert"
DETAILS_KEY = "grpc-status-details-bin"
"""The trailing metadata that a Status travels in."""
DETAILS_BYTES_MAX = 4096
TEXT_BYTES_MAX = 400
"""Of Status.message: it travels twice, once of them percent-encoded."""
DESCRIPTION_BYTES_MAX = 256
NAMES_BYTES_MAX = 512
KEYS_MAX = 20
CYCLE_TASKS_MAX = 100
_ANY_BYTES = 64
"""What wrapping a detail in an Any costs, its type's name included, at most."""


def to_status(rejection: core.Rejection) -> Any:
    """The google.rpc.Status of a rejection."""
    status = status_pb2.Status(
        code=code_pb2.Code.Value(rejection.code), message=_cut(rejection.message, TEXT_BYTES_MAX)
    )
    info = error_details_pb2.ErrorInfo(reason=rejection.reason, domain=DOMAIN)
    if isinstance(rejection, core.PermissionDenied | core.Unauthenticated):
        for name, value in rejection.needed:
            info.metadata[name] = _cut(value, NAMES_BYTES_MAX)
    left = DETAILS_BYTES_MAX - _put(status, info)
    for detail in _details(rejection, left - 2 * _ANY_BYTES):
        _put(status, detail)
    return status


def code_name(status: Any) -> str:
    """The name of a Status' code."""
    name: str = code_pb2.Code.Name(status.code)
    return name


async def abort(context: grpc.aio.ServicerContext[Any, Any], rejection: core.Rejection) -> NoReturn:
    """Ends a call with a rejection."""
    status = rpc_status.to_status(to_status(rejection))
    try:
        await context.abort(status.code, status.details, status.trailing_metadata)
    except grpc.aio.InternalError:  # the client has gone meanwhile: the call is cancelled, and nobody hears of it
        raise asyncio.CancelledError from None


def _put(status: Any, detail: Message) -> int:
    packed = status.details.add()
    packed.Pack(detail)
    return int(packed.ByteSize())


def _details(rejection: core.Rejection, left: int) -> Iterable[Message]:
    for kind in type(rejection).__mro__:
        make = _DETAILS.get(kind)
        if make is not None:
            return make(rejection, left)
    return ()


# One function for each kind of detail. `left` is how many bytes it may have.


def _bad_request(rejection: core.InvalidField, left: int) -> Iterable[Message]:
    detail = error_details_pb2.BadRequest()
    for field, fault in rejection.violations:
        detail.field_violations.add(
            field=_cut(field, NAMES_BYTES_MAX), description=_cut(fault, DESCRIPTION_BYTES_MAX), reason=rejection.reason
        )
        if detail.ByteSize() > left:
            del detail.field_violations[-1]
            break
    yield detail


def _cycle(rejection: core.DependencyCycle, left: int) -> Iterable[Message]:
    detail = error_pb2.DependencyCycle()
    for task_id in rejection.task_ids[:CYCLE_TASKS_MAX]:
        detail.task_ids.append(task_id)
        if detail.ByteSize() > left:
            del detail.task_ids[-1]
            break
    yield detail


def _resource(rejection: core.NotFound | core.AlreadyExists, _left: int) -> Iterable[Message]:
    yield error_details_pb2.ResourceInfo(
        resource_type=rejection.kind,
        resource_name=_cut(rejection.name, NAMES_BYTES_MAX),
        description=_cut(rejection.message, DESCRIPTION_BYTES_MAX),
    )


def _state_conflict(rejection: core.StateConflict, left: int) -> Iterable[Message]:
    detail = error_pb2.StateConflict(
        conflict_sequence=rejection.conflict_sequence,
        current_revision=rejection.current_revision,
        conflict_type=rejection.conflict_type,
    )
    keys = rejection.keys[:KEYS_MAX]
    for key in keys:  # the names first: which keys, whose revision
        _fill_key(key, detail.keys.add(), left, with_values=False)
        if detail.ByteSize() > left:
            del detail.keys[-1]
            break
    for key, message in zip(keys, detail.keys, strict=False):  # then what values there is room for
        bare = message.ByteSize()
        room = left - detail.ByteSize() + bare
        full = type(message)()
        _fill_key(key, full, left, with_values=True)
        if full.ByteSize() + 4 <= room:
            message.CopyFrom(full)
    yield detail


def _fill_key(key: ConflictingKey, message: Any, bytes_max: int, *, with_values: bool) -> None:
    if with_values and _json_size_least(key.attempted) + _json_size_least(key.current) <= bytes_max:
        fill(key, message)
        return
    message.key, message.their_key, message.their_writer = key.key, key.their_key, key.their_writer
    message.their_revision, message.their_traceparent = key.their_revision, key.their_traceparent
    message.their_priority = key.their_priority
    if key.their_timestamp_ns:
        message.their_timestamp.FromNanoseconds(key.their_timestamp_ns)
    if key.guarded_by is not None:
        fill(key.guarded_by, message.guarded_by)
    message.attempted_digest = key.attempted_digest or _digest(key.attempted)
    message.current_digest = key.current_digest or _digest(key.current)


def _json_size_least(value: JsonValue) -> int:
    """No more bytes than an encoded Value will have: tells the large ones apart without encoding them."""
    return len(value) if isinstance(value, (str, list, dict)) else 0


def _digest(value: JsonValue) -> str:
    """Size and SHA-256 of a value that is left out, as the core names those that are too large for the log."""
    if value is None:
        return ""
    encoded = json.dumps(value, ensure_ascii=False, sort_keys=True, separators=(",", ":")).encode()
    return f"{len(encoded)}:{hashlib.sha256(encoded).hexdigest()}"


def _stale_attempt(rejection: core.StaleAttempt, _left: int) -> Iterable[Message]:
    yield error_pb2.StaleToken(token=rejection.token, current=rejection.current)


def _stale_fence(rejection: core.StaleFence, _left: int) -> Iterable[Message]:
    resource = _cut(rejection.resource, NAMES_BYTES_MAX)
    yield error_pb2.StaleToken(token=rejection.token, current=rejection.current, resource=resource)


def _deadlock(rejection: core.Deadlock, left: int) -> Iterable[Message]:
    detail = error_pb2.Deadlock(request_sequence=rejection.request_sequence, length=len(rejection.cycle))
    for step in rejection.cycle:
        fill(step, detail.cycle.add())
        if detail.ByteSize() > left:
            del detail.cycle[-1]
            break
    yield detail


def _precondition(rejection: core.Rejection, _left: int) -> Iterable[Message]:
    detail = error_details_pb2.PreconditionFailure()
    detail.violations.add(
        type=rejection.reason,
        subject=_cut(_subject(rejection), NAMES_BYTES_MAX),
        description=_cut(rejection.message, DESCRIPTION_BYTES_MAX),
    )
    yield detail


def _subject(rejection: core.Rejection) -> str:
    match rejection:
        case core.NotHolder():
            return f"fencing token {rejection.token}"
        case core.LockUpgrade():
            return rejection.resource
        case core.LockLost():
            return f"request {rejection.request_sequence}"
        case core.RunOver() | core.RunNotRetryable():
            return rejection.run_id
        case core.SessionOver():
            return f"session {rejection.session_id}"
    return ""


def _contention(rejection: core.LockTimeout, left: int) -> Iterable[Message]:
    detail = error_pb2.LockContention(request_sequence=rejection.request_sequence, position=rejection.position)
    for grant in rejection.holders:
        fill(grant, detail.holders.add())
        if detail.ByteSize() > left:
            del detail.holders[-1]
            break
    yield detail


def _limit(rejection: core.LimitReached, _left: int) -> Iterable[Message]:
    quota = error_details_pb2.QuotaFailure()
    quota.violations.add(subject=rejection.subject, description=f"the limit is {rejection.limit}")
    yield quota
    yield _retry_after(rejection.retry_after_ms)


def _unavailable(rejection: core.Unavailable, _left: int) -> Iterable[Message]:
    yield _retry_after(rejection.retry_after_ms)


def _retry_after(ms: int) -> Message:
    delay = duration_pb2.Duration()
    fill_duration(ms * NS_PER_MS, delay)
    detail: Message = error_details_pb2.RetryInfo(retry_delay=delay)
    return detail


def _compacted(rejection: core.CursorCompacted, _left: int) -> Iterable[Message]:
    yield error_pb2.LogPosition(
        log_id=rejection.log_id, oldest_sequence=rejection.oldest_sequence, last_sequence=rejection.last_sequence
    )


def _other_log(rejection: core.LogMismatch, _left: int) -> Iterable[Message]:
    asked = _cut(rejection.requested_log_id, NAMES_BYTES_MAX)
    yield error_pb2.LogPosition(log_id=rejection.log_id, requested_log_id=asked)


def _tail_lost(rejection: core.LogTailLost, _left: int) -> Iterable[Message]:
    yield error_pb2.LogPosition(log_id=rejection.log_id, last_sequence=rejection.last_sequence)


_DETAILS: dict[type, Callable[[Any, int], Iterable[Message]]] = {
    core.InvalidField: _bad_request,
    core.DependencyCycle: _cycle,
    core.NotFound: _resource,
    core.AlreadyExists: _resource,
    core.StateConflict: _state_conflict,
    core.StaleAttempt: _stale_attempt,
    core.StaleFence: _stale_fence,
    core.Deadlock: _deadlock,
    core.NotHolder: _precondition,
    core.LockUpgrade: _precondition,
    core.LockLost: _precondition,
    core.RunOver: _precondition,
    core.RunNotRetryable: _precondition,
    core.NoSession: _precondition,
    core.SessionOver: _precondition,
    core.LockTimeout: _contention,
    core.LimitReached: _limit,
    core.CursorCompacted: _compacted,
    core.LogMismatch: _other_log,
    core.LogTailLost: _tail_lost,
    core.Unavailable: _unavailable,
}


def _cut(text: str, bytes_max: int) -> str:
    """The beginning of a text, marked where it was cut."""
    encoded = text.encode()
    if len(encoded) <= bytes_max:
        return text
    return encoded[: bytes_max - 3].decode(errors="ignore") + "…"
