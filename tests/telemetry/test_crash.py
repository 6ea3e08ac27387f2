"""The proof of T1: what a collector received and what the log says, through SIGKILL of the coordinator."""

from __future__ import annotations

import asyncio
import subprocess
import sys
from collections import defaultdict
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import concert
import pytest
from concert.agent import Agent, AgentHost, TaskContext

from tests.coordinator_process import CoordinatorProcess, coordinator_process

from .logs import events_of, platform_sequences
from .receiver import Receiver

KILLS = 3
RUNS = 4


class Step(Agent):
    """Short work that takes a lock and changes state."""

    name = "step"
    capabilities = ("step",)
    slots = 4

    async def execute(self, context: TaskContext) -> Any:
        """Does it."""
        async with context.lock(f"part/{context.task_id}"):
            context.set_state({f"done/{context.run_id}/{context.task_id}": True})
            await asyncio.sleep(0.05)
        if context.task_id == "2" and context.attempt == 1:
            raise RuntimeError("the first time fails")


def tasks() -> list[Any]:
    """A diamond, some of it with declared locks."""
    return [
        concert.task("0", capability="step", locks=["start"]),
        concert.task("1", capability="step", depends_on=["0"]),
        concert.task("2", capability="step", depends_on=["0"]),
        concert.task("3", capability="step", depends_on=["1", "2"]),
    ]


@contextmanager
def exporter(process: CoordinatorProcess, where: str) -> Iterator[Callable[[], None]]:
    """The exporter of a coordinator that does not export itself; what kills it and starts it again."""
    command = [sys.executable, "-m", "coordinator_service", "telemetry", "--coordinator", process.address]
    running: list[subprocess.Popen[bytes]] = []

    def start() -> None:
        if where == "elsewhere":
            running.append(subprocess.Popen(command, stdin=subprocess.DEVNULL))

    def kill() -> None:
        for each in running:
            each.kill()
            each.wait()
        running.clear()

    def restart() -> None:
        kill()
        start()

    start()
    try:
        yield restart
    finally:
        kill()


@pytest.mark.timeout(300)
@pytest.mark.parametrize("where", ["here", "elsewhere"])
async def test_log_and_spans_are_the_same_set_through_sigkill(where: str, receiver: Receiver, tmp_path: Path) -> None:
    """T1: every platform event of the log has its decision span, no span is of anything else, and a span that came
    twice came the same: whatever SIGKILL did between, to the coordinator and to an exporter that is a process of its
    own."""
    with coordinator_process(tmp_path, options=["--tracing", where]) as process, exporter(process, where) as restart:
        async with concert.connect(process.address) as client, AgentHost(Step(), address=process.address):
            for kill in range(KILLS + 1):
                runs = [await client.submit_run(tasks=tasks(), request_id=f"{kill}-{each}") for each in range(RUNS)]
                if kill < KILLS:
                    seen = len(receiver.spans)
                    await receiver.until(lambda: len(receiver.spans) > seen)  # noqa: B023 (awaited here)
                    await asyncio.to_thread(process.restart)
                    await asyncio.to_thread(restart)
                finished = [await run.wait() for run in runs]
                assert {run.status for run in finished} == {concert.RunStatus.RUN_STATUS_SUCCEEDED}
        async with concert.connect(process.address) as client:
            wanted = await platform_sequences(client)
            await receiver.until(lambda: {each.sequence for each in receiver.decisions()} >= wanted)
            final = await events_of(client)
    customs = {each.sequence for each in final} - wanted
    received = defaultdict(set)
    for each in receiver.decisions():
        received[each.sequence].add(each.encoded)
    assert received.keys() - customs - wanted <= {each for each in received if each > final[-1].sequence}
    assert {sequence for sequence, forms in received.items() if len(forms) > 1} == set()
    assert len({next(iter(received[each])) for each in wanted}) == len(wanted)
