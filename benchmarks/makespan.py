"""The makespan of a run against its critical path: three agents of one second each, side by side."""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import subprocess
import sys
import time
from collections.abc import Iterator
from typing import Any

import concert
from concert.agent import Agent, TaskContext, run_agents
from concert.v1 import run_pb2

from benchmarks import servers
from benchmarks.figure import Figure, Sample, Target
from benchmarks.loops import LOOPS, run
from benchmarks.settings import Settings

AGENTS = ("first", "second", "third")
TASK_SECONDS = 1.0
RUN_SECONDS_MAX = 30.0


class RunFailed(Exception):  # noqa: N818
    """The run did not succeed. The text is the run."""


class Sleeper(Agent):
    """Takes one second for every task."""

    def __init__(self, name: str) -> None:
        self.name = name

    async def execute(self, context: TaskContext) -> Any:  # noqa: ARG002
        """Waits."""
        await asyncio.sleep(TASK_SECONDS)


def measure(settings: Settings) -> list[Figure]:
    """Seconds from the submission until the submitter knows that the run is over, by the critical path."""
    figure = Figure(
        name="makespan, three 1 s agents",
        unit="s",
        ceiling="critical path",
        target=Target(floor=1.05, goal=1.01, lower_is_better=True),
    )
    with servers.concert(settings.loop) as coordinator:
        for number in range(settings.rounds):
            namespace = settings.namespace("makespan", number)
            with agents(coordinator.address, namespace, settings.loop):
                took = run(_deploy(coordinator.address, namespace), settings.loop)
            figure.samples.append(Sample(concert=took, ceiling=TASK_SECONDS))
    return [figure]


@contextlib.contextmanager
def agents(address: str, namespace: str, loop: str) -> Iterator[None]:
    """The three agents, each a process."""
    hosts = [
        subprocess.Popen(
            [sys.executable, "-m", "benchmarks.makespan", "--loop", loop, address, namespace, name],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
        )
        for name in AGENTS
    ]
    try:
        yield
    finally:
        for host in hosts:
            servers.stop(host)


async def _deploy(address: str, namespace: str) -> float:
    async with concert.connect(address, namespace=namespace) as client:
        await _all_there(client)
        began = time.perf_counter()
        submitted = await client.submit_run(tasks=[concert.task(name, agent=name) for name in AGENTS])
        async with asyncio.timeout(RUN_SECONDS_MAX):
            over = await submitted.wait()
        took = time.perf_counter() - began
        if over.status != run_pb2.RUN_STATUS_SUCCEEDED:
            raise RunFailed(str(over))
        return took


async def _all_there(client: concert.Client) -> None:
    async with asyncio.timeout(servers.START_SECONDS_MAX):
        while len(await client.agents.list(connected=True)) < len(AGENTS):  # noqa: ASYNC110 - in another process
            await asyncio.sleep(servers.READY_POLL_SECONDS)


def main() -> None:
    """Hosts one agent until SIGTERM."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.makespan")
    parser.add_argument("--loop", choices=LOOPS, required=True)
    parser.add_argument("address")
    parser.add_argument("namespace")
    parser.add_argument("name")
    arguments = parser.parse_args()
    agent = Sleeper(arguments.name)
    run(run_agents(agent, address=arguments.address, namespace=arguments.namespace), arguments.loop)


if __name__ == "__main__":
    main()
