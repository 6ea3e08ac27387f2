from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import concert
import pytest
from concert import _methods as methods
from concert import errors
from concert._payload import to_value
from concert._time import to_duration
from concert.v1 import error_pb2, lock_pb2
from google.protobuf import timestamp_pb2
from google.rpc import error_details_pb2

from .scripted_coordinator import Refused, ScriptedCoordinator, refusal


def refuse(status: Any) -> Any:
    def answer(_request: Any) -> Any:
        raise Refused(status)

    return answer


async def over_unary_and_session(coordinator: ScriptedCoordinator, client: concert.Client, status: Any) -> list[Any]:
    """The errors that publishing raises, as an rpc and as a frame."""
    coordinator.answer(methods.PUBLISH, refuse(status))
    async with client.session() as session:
        caught = []
        for surface in (client, session):
            with pytest.raises(concert.ConcertError) as error:
                await surface.publish("x")
            caught.append(error.value)
    return caught


async def test_a_lost_state_conflict_carries_what_a_retry_needs(
    coordinator: ScriptedCoordinator, client: concert.Client
) -> None:
    """S8: the loser is handed the current value, its revision, its writer, and the trace of that write, and is told
    what to do.
    """
    timestamp = timestamp_pb2.Timestamp(seconds=1_700_000_000)
    key = error_pb2.StateConflict(conflict_sequence=7, current_revision=42).keys.add(
        key="site/pages",
        their_key="site",
        their_writer="task/r/t",
        their_revision=41,
        their_timestamp=timestamp,
        their_traceparent="00-aa-bb-01",
        attempted=to_value([1]),
        current=to_value({"pages": 3}),
    )
    detail = error_pb2.StateConflict(conflict_sequence=7, keys=[key], current_revision=42)
    for error in await over_unary_and_session(coordinator, client, refusal(10, "STATE_CONFLICT", "lost", detail)):
        assert isinstance(error, concert.StateConflictError)
        assert (error.current_revision, error.conflict_sequence, error.code) == (42, 7, "ABORTED")
        assert str(error).startswith("STATE_CONFLICT: lost; read it again and build on it with base_revision=42, or")
        assert error.keys == [
            {
                "key": "site/pages",
                "their_key": "site",
                "their_writer": "task/r/t",
                "their_revision": 41,
                "their_timestamp": datetime.fromtimestamp(1_700_000_000, UTC),
                "their_traceparent": "00-aa-bb-01",
                "current": {"pages": 3},
                "attempted": [1],
                "guarded_by": None,
            }
        ]


DETAILED = [
    (
        3,
        "DEPENDENCY_CYCLE",
        error_pb2.DependencyCycle(task_ids=["a", "b"]),
        concert.DependencyCycleError,
        {"cycle": ["a", "b"]},
    ),
    (
        3,
        "INVALID_FIELD",
        error_details_pb2.BadRequest(field_violations=[{"field": "events", "description": "at most 1000"}]),
        concert.InvalidArgument,
        {"violations": [{"field": "events", "description": "at most 1000"}]},
    ),
    (
        5,
        "NOT_FOUND",
        error_details_pb2.ResourceInfo(resource_type="run", resource_name="r1"),
        concert.NotFound,
        {"resource": "run/r1"},
    ),
    (
        10,
        "STALE_ATTEMPT",
        error_pb2.StaleToken(token=4, current=9),
        concert.StaleAttempt,
        {"token": 4, "current_token": 9},
    ),
    (
        10,
        "STALE_FENCE",
        error_pb2.StaleToken(token=4, current=9, resource="bucket"),
        concert.StaleFence,
        {"token": 4, "current_token": 9, "resource": "bucket"},
    ),
    (
        10,
        "DEADLOCK",
        error_pb2.Deadlock(
            request_sequence=7,
            cycle=[
                lock_pb2.LockWait(holder="session/3", resource="b", request_sequence=7, fencing_token=5),
                lock_pb2.LockWait(holder="session/4", resource="a", request_sequence=6),
            ],
            length=2,
        ),
        concert.Deadlock,
        {
            "request_sequence": 7,
            "cycle": [
                {"holder": "session/3", "resource": "b", "request_sequence": 7, "fencing_token": 5},
                {"holder": "session/4", "resource": "a", "request_sequence": 6, "fencing_token": 0},
            ],
        },
    ),
    (
        4,
        "LOCK_TIMEOUT",
        error_pb2.LockContention(
            position=2,
            holders=[lock_pb2.LockGrant(resource="b", holder="session/3", fencing_token=8, mode="LOCK_MODE_SHARED")],
        ),
        concert.LockTimeout,
        {
            "position": 2,
            "holders": [{"resource": "b", "holder": "session/3", "mode": "shared", "fencing_token": 8}],
        },
    ),
    (
        8,
        "LIMIT_REACHED",
        error_details_pb2.RetryInfo(retry_delay=to_duration(1.5)),
        concert.LimitReached,
        {"retry_after": 1.5},
    ),
    (
        11,
        "CURSOR_COMPACTED",
        error_pb2.LogPosition(log_id="l", oldest_sequence=77),
        concert.CursorCompacted,
        {"oldest_sequence": 77, "log_id": "l"},
    ),
    (
        15,
        "LOG_MISMATCH",
        error_pb2.LogPosition(log_id="new", requested_log_id="old"),
        concert.LogMismatch,
        {"log_id": "new", "requested_log_id": "old"},
    ),
    (15, "LOG_TAIL_LOST", error_pb2.LogPosition(log_id="l"), concert.LogTailLost, {"log_id": "l"}),
]


@pytest.mark.parametrize(
    ("code", "reason", "detail", "kind", "attributes"), DETAILED, ids=[each[1] for each in DETAILED]
)
async def test_details_become_attributes(
    coordinator: ScriptedCoordinator,
    client: concert.Client,
    code: int,
    reason: str,
    detail: Any,
    kind: type[concert.ConcertError],
    attributes: dict[str, Any],
) -> None:
    """The details of an error are read into the attributes of its class, from trailers and from replies
    alike.
    """
    for error in await over_unary_and_session(coordinator, client, refusal(code, reason, "no", detail)):
        assert type(error) is kind
        assert {name: getattr(error, name) for name in attributes} == attributes
        assert (error.reason, error.message) == (reason, "no")


def test_every_reason_of_the_contract_has_a_class() -> None:
    """No ErrorReason is left to the fallback by status code."""
    reasons = {name.removeprefix("ERROR_REASON_") for name in error_pb2.ErrorReason.keys()} - {"UNSPECIFIED"}  # noqa: SIM118
    assert reasons == set(errors._BY_REASON)


def test_a_status_without_details_is_known_by_its_code() -> None:
    """What a proxy or gRPC itself answers has no ErrorInfo: the code decides."""
    error = errors.from_status(refusal(14, "", "connection refused"))
    assert isinstance(error, concert.Unavailable)
    assert str(error) == "UNAVAILABLE: connection refused"


def test_a_status_survives_the_way_back() -> None:
    """`to_status` writes what `from_status` reads."""
    error = concert.CursorCompacted("gone", details=[error_pb2.LogPosition(oldest_sequence=5)])
    back = errors.from_status(errors.to_status(error))
    assert (type(back), back.message, back.reason) == (concert.CursorCompacted, "gone", "CURSOR_COMPACTED")
