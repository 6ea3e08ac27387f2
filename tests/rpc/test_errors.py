"""Every row of the contract's error table: code, reason, details; and none ever too large for a trailer."""

from __future__ import annotations

import asyncio
from typing import Any

import grpc
import pytest
from concert.v1 import error_pb2, event_service_pb2
from google.rpc import code_pb2, error_details_pb2

from coordinator_service.core import rejections as core
from coordinator_service.core.specs import ConflictingKey, LockGrant, LockWait
from coordinator_service.core.values import JsonValue, LockMode
from coordinator_service.rpc.calls import Calls
from coordinator_service.rpc.errors import DETAILS_BYTES_MAX, TEXT_BYTES_MAX, abort, to_status

LONG = "ä" * 60  # 120 bytes
GRANT = LockGrant(resource="bucket/blog", mode=LockMode.EXCLUSIVE, holder="session/3", fencing_token=9, lease_ns=10**9)


def conflict(count: int, value: JsonValue) -> core.StateConflict:
    keys = tuple(
        ConflictingKey(
            key=f"site/{number}",
            their_key=f"site/{number}",
            their_writer="content-1",
            their_revision=40 + number,
            their_timestamp_ns=1_700_000_000_123_456_789,
            their_traceparent="00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01",
            attempted=value,
            current=value,
        )
        for number in range(count)
    )
    return core.StateConflict(77, keys, "concurrent_modification")


REJECTIONS = [
    core.InvalidField(("run.tasks[3].task_id", "must have 1 to 128 bytes")),
    core.InvalidField(*((f"run.tasks[{number}].{LONG}", LONG * 5) for number in range(50))),
    core.DependencyCycle(("a", "b", "c")),
    core.DependencyCycle(tuple(f"{LONG}{number}" for number in range(1000))),
    core.DependencyUnknown(("run.tasks[0].depends_on[0]", "refers to nothing")),
    core.RequestIdReused(("request_id", "was used for another request")),
    core.CursorInFuture(("after", "is 9, the log ends at 3")),
    core.CursorBehind(("cursor.sequence", "is 1")),
    core.NotFound("run", "r-1"),
    core.NotFound("task", LONG * 100),
    core.AlreadyExists("run", "r-1"),
    conflict(1, 3.0),
    conflict(100, 3.0),
    conflict(3, {"text": "x" * 3000}),
    conflict(100, ["x" * 60_000]),
    core.StaleAttempt(5, 9),
    core.StaleFence("bucket/blog", 5, 9),
    core.StaleFence(LONG * 100, 5),
    core.Deadlock(5, tuple(LockWait(holder=name, request_sequence=5, resource="b", fencing_token=3) for name in "xy")),
    core.Deadlock(5, tuple(LockWait(holder=LONG, request_sequence=5, resource=LONG * 4) for _ in range(100))),
    core.NotHolder(5),
    core.LockUpgrade("bucket/blog", 5),
    core.LockLost(5),
    core.RunOver("r-1"),
    core.RunNotRetryable("r-1", "it is not over"),
    core.NoSession("this needs a session"),
    core.SessionOver(5),
    core.LockTimeout(5, (GRANT,), 2),
    core.LockTimeout(5, (GRANT,) * 1000, 2),
    core.LimitReached("agents_max", 10),
    core.CursorCompacted("log-1", 500, 900),
    core.LogMismatch("log-1", LONG * 100),
    core.LogTailLost("log-1", 90, LONG),
    core.Unavailable("the coordinator is shutting down"),
    core.PermissionDenied("agent a belongs to another principal"),
    core.PermissionDenied("alice needs more", needed={"role": "operator", "namespace": LONG * 100}),
    core.Unauthenticated("the token has expired", needed={"credential": "a bearer token"}),
    core.Fault("a fault"),
]


def detail(status: Any, kind: Any) -> Any:
    for packed in status.details:
        if packed.Is(kind.DESCRIPTOR):
            found = kind()
            packed.Unpack(found)
            return found
    raise AssertionError(f"no {kind.DESCRIPTOR.name}")


@pytest.mark.parametrize("rejection", REJECTIONS, ids=lambda each: f"{type(each).__name__}-{len(each.message)}")
def test_every_rejection_has_its_code_and_reason_within_bounds(rejection: core.Rejection) -> None:
    """Each carries an ErrorInfo from the documented list, and its details stay under 4 KiB together."""
    status = to_status(rejection)
    info = detail(status, error_details_pb2.ErrorInfo)
    assert code_pb2.Code.Name(status.code) == rejection.code
    assert (info.reason, info.domain) == (rejection.reason, "concert")
    assert f"ERROR_REASON_{info.reason}" in error_pb2.ErrorReason.keys()  # noqa: SIM118 (an enum wrapper)
    assert sum(packed.ByteSize() for packed in status.details) <= DETAILS_BYTES_MAX
    assert len(status.message.encode()) <= TEXT_BYTES_MAX


def test_every_kind_of_rejection_is_tried_here() -> None:
    """A new rejection has to be given its details."""
    kinds, todo = set(), [core.Rejection]
    while todo:
        kind = todo.pop()
        todo += kind.__subclasses__()
        if kind.__module__ == core.__name__ and kind is not core.Rejection:
            kinds.add(kind)
    assert kinds == {type(each) for each in REJECTIONS}


def test_bad_fields_are_named_one_by_one() -> None:
    """INVALID_ARGUMENT: one violation for each field, with the limit; those that do not fit are left out whole."""
    few = detail(to_status(REJECTIONS[0]), error_details_pb2.BadRequest)
    assert [(each.field, each.description) for each in few.field_violations] == list(REJECTIONS[0].violations)  # type: ignore[attr-defined]
    many = detail(to_status(REJECTIONS[1]), error_details_pb2.BadRequest)
    assert 0 < len(many.field_violations) < 50


def test_a_cycle_is_named_in_order() -> None:
    """The tasks that depend on each other, in order."""
    status = to_status(core.DependencyCycle(("a", "b", "c")))
    assert list(detail(status, error_pb2.DependencyCycle).task_ids) == ["a", "b", "c"]


def test_a_conflict_hands_over_what_a_retry_needs() -> None:
    """S8: the current value, the last writer, that write's traceparent, and the revision to base the next try on."""
    found = detail(to_status(conflict(1, 3.0)), error_pb2.StateConflict)
    (key,) = found.keys
    assert (found.conflict_sequence, found.current_revision) == (77, 77)
    assert (key.current.number_value, key.their_writer, key.their_revision) == (3.0, "content-1", 40)
    assert key.their_timestamp.ToNanoseconds() == 1_700_000_000_123_456_789
    assert key.their_traceparent


def test_values_that_do_not_fit_are_named_by_size_and_digest() -> None:
    """Large values are left out, the others stay; every key that fits is still named with its revision."""
    found = detail(to_status(conflict(3, {"text": "x" * 1000})), error_pb2.StateConflict)
    assert [key.their_revision for key in found.keys] == [40, 41, 42]
    assert found.keys[0].HasField("current")
    assert not found.keys[2].HasField("current")
    assert found.keys[2].current_digest.startswith("1011:")


def test_unavailable_says_when_to_come_again() -> None:
    """UNAVAILABLE and RESOURCE_EXHAUSTED carry RetryInfo, the latter also which limit it was."""
    delay = detail(to_status(core.Unavailable("moving", retry_after_ms=250)), error_details_pb2.RetryInfo).retry_delay
    assert delay.ToMilliseconds() == 250
    full = to_status(core.LimitReached("agents_max", 10))
    assert detail(full, error_details_pb2.RetryInfo).retry_delay.ToMilliseconds() == 1000
    (violation,) = detail(full, error_details_pb2.QuotaFailure).violations
    assert (violation.subject, "10" in violation.description) == ("agents_max", True)


def test_a_lost_cursor_is_told_where_the_log_stands() -> None:
    """E4: OUT_OF_RANGE with the oldest sequence kept; DATA_LOSS with both log ids."""
    compacted = detail(to_status(core.CursorCompacted("log-1", 500, 900)), error_pb2.LogPosition)
    assert (compacted.log_id, compacted.oldest_sequence, compacted.last_sequence) == ("log-1", 500, 900)
    other = detail(to_status(core.LogMismatch("log-1", "log-0")), error_pb2.LogPosition)
    assert (other.log_id, other.requested_log_id) == ("log-1", "log-0")


def test_a_precondition_names_its_subject() -> None:
    """FAILED_PRECONDITION: which token, request, run or session it was about."""
    for rejection, subject in [
        (core.NotHolder(5), "fencing token 5"),
        (core.LockUpgrade("bucket/blog", 5), "bucket/blog"),
        (core.LockLost(6), "request 6"),
        (core.RunOver("r-1"), "r-1"),
        (core.RunNotRetryable("r-1", "it is not over"), "r-1"),
        (core.SessionOver(7), "session 7"),
    ]:
        (violation,) = detail(to_status(rejection), error_details_pb2.PreconditionFailure).violations
        assert (violation.type, violation.subject) == (rejection.reason, subject)


async def test_a_stream_whose_client_has_gone_is_cancelled_not_broken(caplog: pytest.LogCaptureFixture) -> None:
    """Found by fuzzing: a message that the transport took no more was logged as a fault in answering."""

    async def stream(_request: Any, _context: Any) -> None:
        raise grpc.aio.InternalError("Failed execute_batch")

    nowhere: Any = None
    handler: Any = Calls(nowhere).streaming(event_service_pb2.SubscribeRequest, stream)
    with pytest.raises(asyncio.CancelledError):
        await handler.unary_stream(b"", nowhere)
    assert not caplog.records


async def test_a_call_whose_client_has_gone_is_cancelled_not_broken() -> None:
    """Found by fuzzing: the transport takes no status then, and its complaint was logged as a fault of the call."""

    class Gone:
        async def abort(self, *_: object) -> None:
            raise grpc.aio.InternalError("Failed execute_batch")

    context: Any = Gone()
    with pytest.raises(asyncio.CancelledError):
        await abort(context, core.NotFound("run", "r"))
