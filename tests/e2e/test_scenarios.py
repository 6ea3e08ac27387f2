"""The four scenarios of the mission, by real processes: a coordinator and three agents, each on its own."""

from __future__ import annotations

import itertools
import signal
import subprocess
import sys
import time
import uuid
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import concert
import pytest
from concert import RunStatus, TaskStatus

from tests.coordinator_process import CoordinatorProcess, coordinator_process

ROLES = ("alpha", "beta", "gamma")


@pytest.fixture(scope="module")
def coordinator(tmp_path_factory: pytest.TempPathFactory) -> Iterator[CoordinatorProcess]:
    """One for all scenarios, on disk."""
    with coordinator_process(tmp_path_factory.mktemp("coordinator")) as process:
        yield process


@pytest.fixture(scope="module")
def agents(coordinator: CoordinatorProcess, tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Alpha, beta and gamma, each a process."""
    logs = tmp_path_factory.mktemp("agents")
    processes = []
    for role in ROLES:
        command = [sys.executable, "-m", "agent_service", "host", f"tests.e2e.example_agents:{role.capitalize()}"]
        with (logs / f"{role}.log").open("wb") as log:
            arguments = [*command, "--coordinator", coordinator.address]
            processes.append(subprocess.Popen(arguments, stdout=log, stderr=log, cwd=Path(__file__).parents[2]))
    yield
    for process in processes:
        process.send_signal(signal.SIGTERM)
    assert [process.wait(20) for process in processes] == [0, 0, 0], "an agent did not drain cleanly"


@pytest.fixture
async def client(coordinator: CoordinatorProcess, agents: None) -> AsyncIterator[concert.Client]:
    """A client, once all three agents are there."""
    async with concert.connect(coordinator.address) as connected:
        async with connected.subscribe(start="earliest", types=["AGENT_REGISTERED"]) as registered:
            here: set[str] = set()
            async for event in registered:
                here.add(event.agent_name)
                if here == set(ROLES):
                    break
        yield connected


def by_id(run: Any) -> dict[str, Any]:
    """The tasks of a run."""
    return {task.task_id: task for task in run.tasks}


async def test_three_agents_of_one_second_take_about_one_second(client: concert.Client) -> None:
    """R4: what does not depend on each other runs at once."""
    before = time.monotonic()
    run = await client.submit_run(tasks=[concert.task(role, agent=role, input={"seconds": 1.0}) for role in ROLES])
    over = await run.wait()
    elapsed = time.monotonic() - before
    assert over.status == RunStatus.RUN_STATUS_SUCCEEDED
    assert 1.0 <= elapsed < 2.0
    began = [task.assigned_at.ToNanoseconds() for task in over.tasks]
    assert max(began) - min(began) < 500_000_000


@pytest.mark.parametrize("order", list(itertools.permutations(range(3))))
async def test_order_holds_whatever_the_order_of_submission(client: concert.Client, order: tuple[int, ...]) -> None:
    """R3, R4, R16: a task starts after everything it depends on, and is handed its results."""
    chain = [
        concert.task("first", agent="alpha"),
        concert.task("second", agent="beta", depends_on=["first"]),
        concert.task("third", agent="gamma", depends_on=["second", "first"]),
    ]
    run = await client.submit_run(tasks=[chain[number] for number in order])
    tasks = by_id(await run.wait())
    assert tasks["first"].finished_at.ToNanoseconds() <= tasks["second"].assigned_at.ToNanoseconds()
    assert tasks["second"].finished_at.ToNanoseconds() <= tasks["third"].assigned_at.ToNanoseconds()
    assert (await run.result("third"))["before"] == ["first", "second"]


async def test_conflicting_writers_are_detected_and_the_first_one_wins(client: concert.Client) -> None:
    """S3, S4, S7: two parallel tasks that write the same path: one conflict, never silent, and the loser succeeds when
    it is tried again."""
    key = f"shared/{uuid.uuid4().hex}"
    tasks = [
        concert.task(role, agent=role, input={"seconds": 0.3, "do": "write", "key": key}) for role in ("alpha", "beta")
    ]
    run = await client.submit_run(tasks=tasks)
    over = await run.wait()
    assert over.status == RunStatus.RUN_STATUS_SUCCEEDED
    conflicts = await client.events.list(types=["CONFLICT_DETECTED"], run_ids=[run.run_id])
    assert len(conflicts) == 1
    conflict = conflicts[0].conflict_detected
    assert conflict.keys[0].key == key
    assert {conflict.writer, conflict.keys[0].their_writer} == {
        f"task/{run.run_id}/{role}" for role in ("alpha", "beta")
    }
    required = await client.events.list(types=["COORDINATION_REQUIRED"], run_ids=[run.run_id])
    assert required[0].coordination_required.action == "retry_state_update"
    assert required[0].coordination_required.winner == conflict.keys[0].their_writer
    loser = conflict.writer.rpartition("/")[2]
    assert by_id(over)[loser].attempts == 2


async def test_a_failing_agent_leaves_the_others_alone(client: concert.Client) -> None:
    """R10, R13: one failure skips what depends on it, naming the cause; everything else goes on."""
    run = await client.submit_run(
        tasks=[
            concert.task("bad", agent="alpha", input={"do": "fail"}, retry=concert.retry(attempts_max=1)),
            concert.task("good", agent="beta", input={"seconds": 0.2}),
            concert.task("after_bad", agent="gamma", depends_on=["bad"]),
            concert.task("after_good", agent="gamma", depends_on=["good"]),
        ]
    )
    over = await run.wait()
    tasks = by_id(over)
    assert over.status == RunStatus.RUN_STATUS_PARTIAL_FAILURE
    assert tasks["bad"].status == TaskStatus.TASK_STATUS_FAILED
    assert tasks["bad"].error.error_type == "RuntimeError"
    assert tasks["after_bad"].status == TaskStatus.TASK_STATUS_SKIPPED
    assert tasks["after_bad"].error.cause_task_id == "bad"
    assert tasks["good"].status == tasks["after_good"].status == TaskStatus.TASK_STATUS_SUCCEEDED
