from __future__ import annotations

from typing import Any

import concert
import pytest
from concert import _methods as methods
from concert._time import to_duration
from google.rpc import error_details_pb2
from opentelemetry import trace
from opentelemetry.trace import NonRecordingSpan, SpanContext, TraceFlags

from .scripted_coordinator import Refused, ScriptedCoordinator, refusal


def unavailable(retry_after: float = 0.0) -> Refused:
    retry = error_details_pb2.RetryInfo(retry_delay=to_duration(retry_after))
    return Refused(refusal(14, "UNAVAILABLE", "failing over", retry))


async def test_what_is_unavailable_is_tried_again_under_the_same_request_id(
    coordinator: ScriptedCoordinator, client: concert.Client
) -> None:
    """D5: a repeated call carries the request id of the first, so that it cannot take effect twice."""
    failures = [unavailable(), unavailable()]

    def answer(request: Any) -> Any:
        if failures:
            raise failures.pop()
        return methods.PUBLISH.response(sequences=[5])

    coordinator.answer(methods.PUBLISH, answer)
    assert await client.publish("x") == 5
    ids = [request.request_id for request in coordinator.requests["Publish"]]
    assert len(ids) == 3
    assert len(set(ids)) == 1
    assert ids[0]


async def test_different_calls_have_different_request_ids(
    coordinator: ScriptedCoordinator, client: concert.Client
) -> None:
    """D5: only a repetition may look like one."""
    await client.publish("x")
    await client.publish("x")
    first, second = coordinator.requests["Publish"]
    assert first.request_id != second.request_id


async def test_a_coordinator_that_comes_back_is_found_again(
    coordinator: ScriptedCoordinator, client: concert.Client
) -> None:
    """A call made while nobody listens succeeds once somebody does."""
    await client.publish("x")
    await coordinator.stop()
    nobody = f"nothing listens at {coordinator.address}; `concert dev` starts a coordinator"
    with pytest.raises(concert.Unavailable, match=nobody):
        async with concert.connect(coordinator.address, retry_seconds=0.2) as impatient:
            await impatient.publish("x")
    await coordinator.start()
    assert await client.publish("x")


async def test_a_refusal_is_not_tried_again(coordinator: ScriptedCoordinator, client: concert.Client) -> None:
    """Only UNAVAILABLE is repeated."""

    def answer(_request: Any) -> Any:
        raise Refused(refusal(9, "RUN_OVER", "over"))

    coordinator.answer(methods.CANCEL_RUN, answer)
    with pytest.raises(concert.RunOver):
        await client.run("r").cancel()
    assert len(coordinator.requests["CancelRun"]) == 1


async def test_a_call_without_an_answer_ends_in_time(coordinator: ScriptedCoordinator) -> None:
    """`call_seconds` bounds a call that nobody answers."""
    coordinator.answer(methods.GET_STATE, lambda _request: coordinator.until(lambda: False))
    async with concert.connect(coordinator.address, call_seconds=0.2) as client:
        with pytest.raises(concert.DeadlineExceeded):
            await client.state.get("a")


async def test_calls_carry_the_trace_they_are_made_in(coordinator: ScriptedCoordinator, client: concert.Client) -> None:
    """T2: context crosses by traceparent, in the metadata of a call and in the draft of an event."""
    parent = SpanContext(trace_id=0xABC, span_id=0xDEF, is_remote=False, trace_flags=TraceFlags(1))
    with trace.use_span(NonRecordingSpan(parent)):
        await client.publish("x")
    expected = f"00-{0xABC:032x}-{0xDEF:016x}-01"
    assert coordinator.metadata[-1]["traceparent"] == expected
    assert coordinator.requests["Publish"][-1].events[0].traceparent == expected
    await client.publish("x")
    assert "traceparent" not in coordinator.metadata[-1]


async def test_a_request_names_the_clients_namespace(coordinator: ScriptedCoordinator) -> None:
    """The namespace given to connect is in every request."""
    async with concert.connect(coordinator.address, namespace="blog") as client:
        await client.state.update({"a": 1})
        await client.locks.list()
    assert coordinator.requests["UpdateState"][0].namespace == "blog"
    assert coordinator.requests["ListLocks"][0].namespace == "blog"
