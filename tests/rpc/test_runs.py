"""RunService on the wire: submitting, refusing, watching."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import grpc
import pytest
from concert.v1 import event_pb2, run_pb2, run_service_pb2

from .peer import Peer, refused, submit
from .serving import serving

CANCELLED = run_pb2.RUN_STATUS_CANCELLED


async def messages(call: Any) -> list[Any]:
    """What is left of a stream, to its end."""
    found = []
    async with asyncio.timeout(20):
        while (response := await call.read()) is not grpc.aio.EOF:
            found.append(response)
    return found


async def test_a_cycle_is_refused_and_named(peer: Peer) -> None:
    """R3: INVALID_ARGUMENT with the cycle, in order; nothing stored."""
    request = submit("a", "b", "c", run_id="r")
    for task, on in zip(request.run.tasks, ("c", "a", "b"), strict=True):
        task.depends_on.add(task_id=on)
    for call in (
        peer.runs.SubmitRun(request),
        peer.runs.PlanRun(run_service_pb2.PlanRunRequest(run=request.run)),
    ):
        refusal = await refused(call)
        assert (refusal.code, refusal.reason) == ("INVALID_ARGUMENT", "DEPENDENCY_CYCLE")
        cycle = list(refusal.details["DependencyCycle"].task_ids)
        assert sorted(cycle) == ["a", "b", "c"]
    assert not (await peer.runs.ListRuns(run_service_pb2.ListRunsRequest())).runs


async def test_a_dependency_on_nothing_is_refused(peer: Peer) -> None:
    """R1: INVALID_ARGUMENT (DEPENDENCY_UNKNOWN) with the field."""
    request = submit("a")
    request.run.tasks[0].depends_on.add(task_id="missing")
    refusal = await refused(peer.runs.SubmitRun(request))
    assert (refusal.code, refusal.reason) == ("INVALID_ARGUMENT", "DEPENDENCY_UNKNOWN")
    assert any(field.startswith("run.tasks[0].depends_on") for field in refusal.fields)


async def test_an_id_is_used_once(peer: Peer) -> None:
    """ALREADY_EXISTS with ResourceInfo."""
    await peer.submit("a", run_id="r")
    refusal = await refused(peer.submit("a", run_id="r"))
    assert (refusal.code, refusal.reason) == ("ALREADY_EXISTS", "ALREADY_EXISTS")
    assert (refusal.details["ResourceInfo"].resource_type, refusal.details["ResourceInfo"].resource_name) == (
        "run",
        "r",
    )


async def test_an_attempt_that_is_not_current_is_fenced(peer: Peer) -> None:
    """R8: ABORTED with StaleToken, whatever is done in its name."""
    for call in (
        peer.publish("a", attempt_token=5),
        peer.update("a", attempt_token=5),
        peer.acquire("a", attempt_token=5),
    ):
        refusal = await refused(call)
        assert (refusal.code, refusal.reason) == ("ABORTED", "STALE_ATTEMPT")
        assert refusal.details["StaleToken"].token == 5


async def test_a_run_that_is_over_is_watched_in_one_message(peer: Peer) -> None:
    """A snapshot of a run that is over is all there is."""
    await peer.submit("a", run_id="r")
    await peer.runs.CancelRun(run_service_pb2.CancelRunRequest(run_id="r"))
    (only,) = await messages(peer.runs.WatchRun(run_service_pb2.WatchRunRequest(run_id="r")))
    assert (only.run.status, len(only.run.tasks), list(only.events)) == (CANCELLED, 1, [])
    again = await refused(peer.runs.CancelRun(run_service_pb2.CancelRunRequest(run_id="r")))
    assert (again.code, again.reason) == ("FAILED_PRECONDITION", "RUN_OVER")


async def test_a_run_is_watched_to_its_end(peer: Peer) -> None:
    """A snapshot first, then its own events alone, then the run as they leave it."""
    await peer.submit("a", "b", run_id="r")
    call = peer.runs.WatchRun(run_service_pb2.WatchRunRequest(run_id="r"))
    first = await call.read()
    assert (first.run.status, len(first.run.tasks)) == (run_pb2.RUN_STATUS_PENDING, 2)
    await peer.submit("z", run_id="other")
    await peer.runs.CancelRun(run_service_pb2.CancelRunRequest(run_id="r"))
    rest = await messages(call)
    events = [event for response in rest for event in response.events]
    assert {event.run_id for event in events} == {"r"}
    assert [event.sequence for event in events] == sorted({event.sequence for event in events})
    assert events[0].sequence > first.sequence
    assert events[-1].type == event_pb2.EVENT_TYPE_RUN_COMPLETED
    assert rest[-1].run.status == CANCELLED
    assert [response.HasField("run") for response in rest[:-1]] == [False] * (len(rest) - 1)


async def test_runs_are_listed_newest_first_in_pages(peer: Peer) -> None:
    """Without their tasks, with a token as long as there is more."""
    for number in range(5):
        await peer.submit("a", run_id=f"r-{number}")
    request = run_service_pb2.ListRunsRequest(page_size=2)
    listed: list[Any] = []
    while True:
        page = await peer.runs.ListRuns(request)
        listed += page.runs
        request.page_token = page.next_page_token
        if not request.page_token:
            break
    assert [run.run_id for run in listed] == [f"r-{number}" for number in (4, 3, 2, 1, 0)]
    assert not any(run.tasks for run in listed)


async def test_the_largest_run_is_accepted_and_its_plan_told(peer: Peer) -> None:
    """10 000 tasks, one event each, atomically; and everything that is read of it fits into a message."""
    request = submit(*(f"task-{number}" for number in range(10_000)), run_id="r")
    plan = (await peer.runs.PlanRun(run_service_pb2.PlanRunRequest(run=request.run))).plan
    assert [len(group.task_ids) for group in plan.groups] == [10_000]
    sequence = (await peer.runs.SubmitRun(request)).sequence
    assert await peer.last_sequence() >= sequence + 10_000
    run = (await peer.runs.GetRun(run_service_pb2.GetRunRequest(run_id="r"))).run
    assert len(run.tasks) == 10_000


@pytest.mark.parametrize("event_store", ["memory", "sqlite"])
async def test_a_run_that_is_no_longer_in_memory_is_answered_from_the_log(tmp_path: Path, event_store: str) -> None:
    """D8: GetRun says the same of a run after it was evicted as before, GetTaskResult that there is none."""
    changes = {"event_store": event_store, "run_retention_ms": 1}
    async with serving(tmp_path, **changes) as server, grpc.aio.insecure_channel(server.address) as channel:
        peer = Peer(channel)
        await peer.submit("a", "b", run_id="r")
        await peer.runs.CancelRun(run_service_pb2.CancelRunRequest(run_id="r"))
        known = await peer.runs.GetRun(run_service_pb2.GetRunRequest(run_id="r"))
        assert known.run.status == CANCELLED
        listed = run_service_pb2.ListRunsRequest()
        async with asyncio.timeout(20):
            while (await peer.runs.ListRuns(listed)).runs:
                await peer.publish("time goes by")
        again = await peer.runs.GetRun(run_service_pb2.GetRunRequest(run_id="r"))
        assert again.run == known.run
        refusal = await refused(peer.runs.GetTaskResult(run_service_pb2.GetTaskResultRequest(run_id="r", task_id="a")))
        assert refusal.code == "NOT_FOUND"
        refusal = await refused(peer.runs.CancelRun(run_service_pb2.CancelRunRequest(run_id="r")))
        assert (refusal.code, refusal.reason) == ("FAILED_PRECONDITION", "RUN_OVER")
