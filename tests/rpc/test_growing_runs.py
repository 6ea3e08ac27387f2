"""AddTasks and RetryRun on the wire, and what watchers see of them."""

from __future__ import annotations

import asyncio
from contextlib import aclosing
from pathlib import Path
from typing import Any

import concert
import grpc
import pytest
from concert.agent import Agent, AgentHost, TaskContext
from concert.v1 import event_pb2, lock_pb2, run_pb2, run_service_pb2, task_pb2

from .peer import Peer, refused, submit
from .serving import serving

SUCCEEDED = run_pb2.RUN_STATUS_SUCCEEDED


def adding(*task_ids: str, **fields: Any) -> Any:
    """A request that adds plain tasks to run r."""
    request = run_service_pb2.AddTasksRequest(run_id="r", **fields)
    for task_id in task_ids:
        request.tasks.add(task_id=task_id, target=task_pb2.TaskTarget(capability="nobody"))
    return request


class Worker(Agent):
    """Notes what it was granted, and adds tasks where its input names some."""

    name = "worker"
    capabilities = ("work",)
    slots = 4

    def __init__(self) -> None:
        self.executed: list[str] = []
        self.granted: dict[str, Any] = {}

    async def execute(self, context: TaskContext) -> Any:
        self.executed.append(context.task_id)
        self.granted.update(context.locks)
        for task_id in context.input or ():
            await context.add_tasks(concert.task(task_id, capability="work", depends_on=[context.task_id]))
        return {"by": context.task_id, "after": sorted(context.previous_results)}


class Helping(Worker):
    """Does what no worker does."""

    name = "helping"
    capabilities = ("help",)


async def test_what_cannot_be_added_is_refused_with_its_fields(peer: Peer) -> None:
    """R15: a circle with the circle, a duplicate, an unknown dependency, every malformed field: nothing is stored."""
    request = submit("a", run_id="r")
    request.run.open = True
    await peer.runs.SubmitRun(request)
    before = await peer.last_sequence()
    circle = adding("x", "y")
    circle.tasks[0].depends_on.add(task_id="y")
    circle.tasks[1].depends_on.add(task_id="x")
    refusal = await refused(peer.runs.AddTasks(circle))
    assert (refusal.code, refusal.reason) == ("INVALID_ARGUMENT", "DEPENDENCY_CYCLE")
    assert sorted(refusal.details["DependencyCycle"].task_ids) == ["x", "y"]
    unknown = adding("x")
    unknown.tasks[0].depends_on.add(task_id="ghost")
    malformed = adding("x")
    malformed.tasks[0].priority = 10
    malformed.tasks[0].locks.extend(task_pb2.TaskLock(resource=str(number)) for number in range(65))
    for asked, fields in (
        (adding("a"), ["tasks[0].task_id"]),
        (unknown, ["tasks[0].depends_on[0]"]),
        (malformed, ["tasks[0].locks", "tasks[0].priority"]),
        (adding(), ["tasks"]),
        (run_service_pb2.AddTasksRequest(), ["run_id"]),
    ):
        refusal = await refused(peer.runs.AddTasks(asked))
        assert refusal.code == "INVALID_ARGUMENT"
        assert list(refusal.fields) == fields
    assert await peer.last_sequence() == before


async def test_who_may_not_add_is_told_why(peer: Peer) -> None:
    """R15: PERMISSION_DENIED for a run that is not open, NOT_FOUND, RUN_OVER."""
    refusal = await refused(peer.runs.AddTasks(adding("x")))
    assert refusal.code == "NOT_FOUND"
    await peer.submit("a", run_id="r")
    refusal = await refused(peer.runs.AddTasks(adding("x")))
    assert (refusal.code, refusal.reason) == ("PERMISSION_DENIED", "PERMISSION_DENIED")
    await peer.runs.CancelRun(run_service_pb2.CancelRunRequest(run_id="r"))
    refusal = await refused(peer.runs.AddTasks(adding("x")))
    assert (refusal.code, refusal.reason) == ("FAILED_PRECONDITION", "RUN_OVER")


async def test_a_run_that_cannot_be_tried_again_says_why(peer: Peer) -> None:
    """R15: FAILED_PRECONDITION (RUN_NOT_RETRYABLE), NOT_FOUND."""
    retry = run_service_pb2.RetryRunRequest(run_id="r")
    assert (await refused(peer.runs.RetryRun(retry))).code == "NOT_FOUND"
    await peer.submit("a", run_id="r")
    refusal = await refused(peer.runs.RetryRun(retry))
    assert (refusal.code, refusal.reason) == ("FAILED_PRECONDITION", "RUN_NOT_RETRYABLE")
    assert refusal.details["PreconditionFailure"].violations[0].subject == "r"


async def test_a_repeated_retry_says_the_same_generation(peer: Peer) -> None:
    """D5, R15: and begins no other."""
    await peer.submit("a", run_id="r")
    await peer.runs.CancelRun(run_service_pb2.CancelRunRequest(run_id="r"))
    retry = run_service_pb2.RetryRunRequest(run_id="r", request_id="again")
    first = await peer.runs.RetryRun(retry)
    second = await peer.runs.RetryRun(retry)
    assert (first.generation, first.replayed) == (second.generation, False) == (2, False)
    assert (second.sequence, second.replayed) == (first.sequence, True)


async def test_an_agent_adds_tasks_and_is_handed_the_locks_it_declares(tmp_path: Path) -> None:
    """R15, R7: from within its attempt, over its session; the grants of a task are in its context."""
    worker = Worker()
    async with (
        serving(tmp_path) as server,
        AgentHost(worker, address=server.address),
        concert.connect(server.address) as client,
    ):
        locks = ["bucket", concert.task_lock("cdn", mode="shared", guards="site")]
        plan = concert.task("plan", capability="work", input=["x", "y"], locks=locks)
        run = await client.submit_run(tasks=[plan])
        ended = await run.wait()
        assert (ended.status, [task.task_id for task in ended.tasks]) == (SUCCEEDED, ["plan", "x", "y"])
        assert (await run.result("y"))["after"] == ["plan"]
    assert {name: grant.mode for name, grant in worker.granted.items()} == {
        "bucket": lock_pb2.LOCK_MODE_EXCLUSIVE,
        "cdn": lock_pb2.LOCK_MODE_SHARED,
    }
    assert all(grant.fencing_token for grant in worker.granted.values())


async def test_an_open_run_grows_from_outside_until_it_is_closed(tmp_path: Path) -> None:
    """R15: the client that submitted it adds tasks, and `wait` returns after the last."""
    async with (
        serving(tmp_path) as server,
        AgentHost(Worker(), address=server.address),
        concert.connect(server.address) as client,
    ):
        run = await client.submit_run(open=True)
        waiting = asyncio.ensure_future(run.wait())
        for number in range(3):
            await run.add_tasks(concert.task(f"t{number}", capability="work"))
        assert (await run.get()).open
        await run.add_tasks(last=True)
        ended = await waiting
        assert (ended.status, len(ended.tasks), ended.open) == (SUCCEEDED, 3, False)


@pytest.mark.parametrize("event_store", ["memory", "sqlite"])
@pytest.mark.parametrize("evicted", [False, True])
async def test_a_run_is_tried_again_and_watched_on(tmp_path: Path, event_store: str, evicted: bool) -> None:
    """R15, D8: also when it was no longer in memory: what had succeeded is not executed again, watchers see the
    generation, and what had failed is handed the earlier results."""
    worker, helping = Worker(), Helping()
    changes = {"event_store": event_store, "run_retention_ms": 300 if evicted else 3_600_000}
    async with (
        serving(tmp_path, **changes) as server,
        AgentHost(worker, address=server.address),
        concert.connect(server.address) as client,
    ):
        good = concert.task("good", capability="work")
        run = await client.submit_run(tasks=[good, concert.task("rest", capability="help", depends_on=["good"])])
        async with aclosing(run.watch()) as updates:
            async for update in updates:
                done = update.run is not None and update.run.counts.succeeded  # before this began to watch
                if done or any(event.type == event_pb2.EVENT_TYPE_AGENT_COMPLETED for event in update.events):
                    break
        await run.cancel()
        assert (await run.wait()).generation == 1
        while evicted and await client.runs.list():
            await client.publish("time_goes_by")
        assert await run.retry() == 2
        with pytest.raises(concert.RunNotRetryable):
            await run.retry()
        async with aclosing(run.watch()) as updates, AgentHost(helping, address=server.address):
            seen = [update.run async for update in updates if update.run is not None]
        assert [(each.generation, each.counts.succeeded) for each in (seen[0], seen[-1])] == [(2, 1), (2, 2)]
        assert seen[-1].status == SUCCEEDED
        assert (await run.result("rest"))["after"] == ["good"]
        types = [event.type for event in await client.events.list(run_ids=[run.run_id])]
    assert worker.executed == ["good"]
    assert types.count(event_pb2.EVENT_TYPE_TASK_RESTATED) == (2 if evicted else 0)
    assert types.count(event_pb2.EVENT_TYPE_RUN_RETRIED) == 1


async def test_a_watch_that_meets_another_generation_follows_it(tmp_path: Path) -> None:
    """R15: a run that is tried again before its end could be told is followed on; the last message is its real end."""
    async with serving(tmp_path) as server, grpc.aio.insecure_channel(server.address) as channel:
        peer = Peer(channel)
        await peer.submit("a", run_id="r")
        call = peer.runs.WatchRun(run_service_pb2.WatchRunRequest(run_id="r"))
        first = await call.read()
        cancel, retry = run_service_pb2.CancelRunRequest(run_id="r"), run_service_pb2.RetryRunRequest(run_id="r")
        # Sent together, they are mostly decided in one turn, before anybody is told of the first.
        await asyncio.gather(peer.runs.CancelRun(cancel), peer.runs.RetryRun(retry), return_exceptions=True)
        run = (await peer.runs.GetRun(run_service_pb2.GetRunRequest(run_id="r"))).run
        if run.generation == 2:
            await peer.runs.CancelRun(cancel)
        responses = [first]
        async with asyncio.timeout(20):
            while (response := await call.read()) is not grpc.aio.EOF:
                responses.append(response)
        last = responses[-1].run
        assert last.status == run_pb2.RUN_STATUS_CANCELLED
        ends = [e for r in responses for e in r.events if e.type == event_pb2.EVENT_TYPE_RUN_COMPLETED]
        assert len(ends) == last.generation
