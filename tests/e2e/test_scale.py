"""A crowd on one machine: a thousand connected agents, twenty thousand queued tasks, and no session lost."""

from __future__ import annotations

import asyncio
from collections import Counter
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any

import concert
from concert import RunStatus
from concert.agent import Agent, AgentHost, TaskContext

from tests.coordinator_process import coordinator_process

AGENTS = 1_000
HOSTS = 4
"""Processes would be kinder to the agents; here they share one, a connection for each host."""
RUNS = 2
TASKS = 10_000
"""Of each run, the most that it may have."""
WIDTH = 2_500
"""Tasks side by side: a run is layers of so many, each task after the one above it."""
SECONDS_MAX = 240.0
LOST = ["AGENT_DISCONNECTED", "AGENT_DETACHED", "AGENT_FAILED"]


class Counting(Agent):
    """Takes a task at a time, and says which."""

    capabilities = ("count",)
    slots = 4

    def __init__(self, name: str, executed: Counter[str], took_part: set[str]) -> None:
        self.name = name
        self._executed = executed
        self._took_part = took_part

    async def execute(self, context: TaskContext) -> Any:
        """Counts."""
        self._executed[f"{context.run_id}/{context.task_id}"] += 1
        self._took_part.add(self.name)


def layers() -> list[Any]:
    """The tasks of a run."""
    return [
        concert.task(
            f"t{number}",
            capability="count",
            depends_on=[f"t{number - WIDTH}"] if number >= WIDTH else [],
        )
        for number in range(TASKS)
    ]


async def test_a_thousand_agents_run_twenty_thousand_tasks(tmp_path: Path) -> None:
    """A6, R4, R6: every task is executed once, every agent has its share, and no session is lost for load."""
    executed: Counter[str] = Counter()
    took_part: set[str] = set()
    agents = [Counting(f"agent-{number}", executed, took_part) for number in range(AGENTS)]
    with coordinator_process(tmp_path) as coordinator:
        async with AsyncExitStack() as stack, asyncio.timeout(SECONDS_MAX):
            client = await stack.enter_async_context(concert.connect(coordinator.address))
            for host in range(HOSTS):
                crowd = AgentHost(*agents[host::HOSTS], address=coordinator.address)
                await (await stack.enter_async_context(crowd)).registered()
            runs = [
                await client.submit_run(tasks=layers(), run_id=f"run-{number}", timeout=SECONDS_MAX)
                for number in range(RUNS)
            ]
            for run in runs:
                assert (await run.wait()).status == RunStatus.RUN_STATUS_SUCCEEDED
            assert await client.events.list(types=LOST) == []
    assert len(executed) == RUNS * TASKS
    assert set(executed.values()) == {1}
    assert len(took_part) == AGENTS
