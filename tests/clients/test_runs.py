from __future__ import annotations

from collections.abc import AsyncIterator
from datetime import timedelta
from typing import Any

import concert
import pytest
from concert import _methods as methods
from concert._payload import to_payload
from concert.v1 import event_pb2, run_pb2, run_service_pb2

from .scripted_coordinator import Refused, ScriptedCoordinator, refusal

RUNNING, SUCCEEDED = run_pb2.RUN_STATUS_RUNNING, run_pb2.RUN_STATUS_SUCCEEDED


async def test_a_task_is_written_as_the_contract_has_it(
    coordinator: ScriptedCoordinator, client: concert.Client
) -> None:
    """R1: targets, dependencies of all three kinds, locks, input and policy reach the coordinator."""
    handle = await client.submit_run(
        tasks=[
            concert.task("t0", agent="builder"),
            concert.task(
                "t1",
                capability="render",
                input={"path": "/"},
                depends_on=["t0", concert.on_agent("builder"), concert.on_capability("x")],
                after=[concert.on_task("t0")],
                locks=["bucket", concert.task_lock("site", mode="shared", guards="site")],
                priority=0,
                max_execution_time=timedelta(minutes=1),
                retry=concert.retry(3, backoff_initial=0.5),
            ),
        ],
        run_id="r1",
        context={"domain": "example.org"},
        timeout=30,
        fail_fast=True,
    )
    assert handle.run_id == "r1"
    run = coordinator.requests["SubmitRun"][0].run
    first, second = run.tasks
    assert first.target.agent_name == "builder"
    assert not first.HasField("input")
    assert second.target.capability == "render"
    assert [each.WhichOneof("on") for each in second.depends_on] == ["task_id", "agent_name", "capability"]
    assert [(lock.resource, lock.mode, lock.guards) for lock in second.locks] == [
        ("bucket", 1, ""),
        ("site", 2, "site"),
    ]
    assert second.HasField("priority")
    assert not first.HasField("priority")
    assert (second.max_execution_time.seconds, second.retry.backoff_initial.nanos) == (60, 500_000_000)
    assert (run.timeout.seconds, run.fail_fast) == (30, True)


def test_a_task_is_for_exactly_one() -> None:
    """R1: neither nobody nor two."""
    with pytest.raises(concert.InvalidArgument):
        concert.task("t")
    with pytest.raises(concert.InvalidArgument):
        concert.task("t", capability="a", agent="b")


async def test_a_result_is_read(coordinator: ScriptedCoordinator, client: concert.Client) -> None:
    """R16: results come back as they were returned: JSON, or bytes."""
    coordinator.answer(
        methods.GET_TASK_RESULT,
        lambda request: methods.GET_TASK_RESULT.response(
            result=to_payload({"t": 1} if request.task_id == "t" else b"b")
        ),
    )
    assert await client.run("r").result("t") == {"t": 1}
    assert await client.run("r").result("u") == b"b"


async def test_a_run_is_followed_over_broken_streams_without_a_gap(
    coordinator: ScriptedCoordinator, client: concert.Client
) -> None:
    """Every event of the run once, in order: what happened while the stream was gone is read from history."""
    events = {sequence: event_pb2.Event(sequence=sequence, run_id="r") for sequence in range(1, 30)}
    scripts: list[list[Any]] = [
        [
            run_service_pb2.WatchRunResponse(run=run_pb2.Run(run_id="r", status=RUNNING), sequence=10),
            run_service_pb2.WatchRunResponse(events=[events[12]], sequence=12),
            Refused(refusal(14, "UNAVAILABLE", "going away")),
        ],
        [
            run_service_pb2.WatchRunResponse(run=run_pb2.Run(run_id="r", status=RUNNING), sequence=20),
            run_service_pb2.WatchRunResponse(events=[events[25]], run=run_pb2.Run(status=SUCCEEDED), sequence=25),
        ],
    ]

    async def watch(_request: Any) -> AsyncIterator[Any]:
        for step in scripts.pop(0):
            if isinstance(step, Exception):
                raise step
            yield step

    def history(request: Any) -> Any:
        assert list(request.filter.run_ids) == ["r"]
        found = [events[n] for n in (15, 18) if request.after_sequence < n <= request.until_sequence]
        return methods.LIST_EVENTS.response(events=found)

    coordinator.answer(methods.WATCH_RUN, watch)
    coordinator.answer(methods.LIST_EVENTS, history)
    updates = [update async for update in client.run("r").watch()]
    assert [event.sequence for update in updates for event in update.events] == [12, 15, 18, 25]
    assert updates[-1].run is not None
    assert updates[-1].run.status == SUCCEEDED


async def test_waiting_ends_with_the_run(coordinator: ScriptedCoordinator, client: concert.Client) -> None:
    """`wait` returns the run as it ended; a run there is not is NotFound."""

    async def watch(request: Any) -> AsyncIterator[Any]:
        if request.run_id != "r":
            raise Refused(refusal(5, "NOT_FOUND", "no such run"))
        yield run_service_pb2.WatchRunResponse(run=run_pb2.Run(status=RUNNING), sequence=1)
        yield run_service_pb2.WatchRunResponse(run=run_pb2.Run(status=run_pb2.RUN_STATUS_TIMED_OUT), sequence=2)

    coordinator.answer(methods.WATCH_RUN, watch)
    assert (await client.run("r").wait()).status == run_pb2.RUN_STATUS_TIMED_OUT
    with pytest.raises(concert.NotFound):
        await client.run("other").wait()


async def test_runs_are_listed_by_status(coordinator: ScriptedCoordinator, client: concert.Client) -> None:
    """A status goes by its name; one that does not exist is refused here."""
    await client.runs.list(status="timed_out", limit=5)
    assert coordinator.requests["ListRuns"][0].status == run_pb2.RUN_STATUS_TIMED_OUT
    with pytest.raises(concert.InvalidArgument):
        await client.runs.list(status="finished")
