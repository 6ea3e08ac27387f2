"""Runs that do not fit into one message."""

from __future__ import annotations

from typing import Any

import concert
from concert.v1 import run_pb2, run_service_pb2

from coordinator_service.server import CoordinatorServer

from .peer import Peer, refused, submit
from .test_runs import messages

TASKS = 8_000
NOTE = "n" * 330
"""With it a run has about 3 MB, more than a message may hold and less than a request."""


def large() -> Any:
    """A request to submit such a run."""
    request = submit(*(f"t{number}" for number in range(TASKS)), run_id="large")
    for task in request.run.tasks:
        task.metadata["note"] = NOTE
    return request


async def test_a_run_is_read_in_pages(peer: Peer) -> None:
    """A page has as many tasks as were asked for, or fit; together they are all, in the order of submission."""
    await peer.runs.SubmitRun(large())
    asked = run_service_pb2.GetRunRequest(run_id="large")
    found, sizes = [], []
    while True:
        page = await peer.runs.GetRun(asked)
        assert page.run.counts.ready == TASKS
        found += [task.task_id for task in page.run.tasks]
        sizes.append(page.ByteSize())
        if not page.next_page_token:
            break
        asked.page_token = page.next_page_token
    assert found == [f"t{number}" for number in range(TASKS)]
    assert len(sizes) == 2
    assert max(sizes) < 2 * 1024 * 1024 + 1024
    few = await peer.runs.GetRun(run_service_pb2.GetRunRequest(run_id="large", page_size=3))
    assert [task.task_id for task in few.run.tasks] == ["t0", "t1", "t2"]
    next_few = run_service_pb2.GetRunRequest(run_id="large", page_size=3, page_token=few.next_page_token)
    assert [task.task_id for task in (await peer.runs.GetRun(next_few)).run.tasks] == ["t3", "t4", "t5"]


async def test_a_page_that_was_not_given_out_is_refused(peer: Peer) -> None:
    """INVALID_ARGUMENT with the field."""
    await peer.submit("a", run_id="r")
    for wrong, field in (({"page_token": "x"}, "page_token"), ({"page_size": 10_001}, "page_size")):
        refusal = await refused(peer.runs.GetRun(run_service_pb2.GetRunRequest(run_id="r", **wrong)))
        assert (refusal.code, list(refusal.fields)) == ("INVALID_ARGUMENT", [field])


async def test_a_watch_tells_a_large_run_in_several_messages(peer: Peer) -> None:
    """Each but the last of them says that the run goes on; the run as it ended comes so, too."""
    await peer.runs.SubmitRun(large())
    watching = peer.runs.WatchRun(run_service_pb2.WatchRunRequest(run_id="large"))
    first = [await watching.read(), await watching.read()]
    assert [part.run_continues for part in first] == [True, False]
    assert [task.task_id for part in first for task in part.run.tasks] == [f"t{number}" for number in range(TASKS)]
    assert (first[0].run.counts.ready, first[0].sequence) == (TASKS, first[1].sequence)
    await peer.runs.CancelRun(run_service_pb2.CancelRunRequest(run_id="large"))
    rest = await messages(watching)
    last = [message for message in rest if message.HasField("run")]
    assert [part.run_continues for part in last] == [True, False]
    assert sum(len(part.run.tasks) for part in last) == TASKS
    assert last[0].run.status == run_pb2.RUN_STATUS_CANCELLED
    assert max(message.ByteSize() for message in rest) < 2 * 1024 * 1024 + 1024


async def test_a_client_puts_a_large_run_together(coordinator: CoordinatorServer, peer: Peer) -> None:
    """Read or waited for, it is one run to the caller."""
    await peer.runs.SubmitRun(large())
    async with concert.connect(coordinator.address) as client:
        run = client.run("large")
        assert len((await run.get()).tasks) == TASKS
        await run.cancel()
        over = await run.wait()
        assert (len(over.tasks), over.status) == (TASKS, run_pb2.RUN_STATUS_CANCELLED)
