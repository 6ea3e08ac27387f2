"""What is held in memory for each thing that lives: the growth of a process by many of them, in bytes for one.

    python -m benchmarks.footprint task 100000

prints the bytes, measured in a process of its own. A coordinator holds each twice: once to decide, once folded for the
next snapshot.
"""

from __future__ import annotations

import gc
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

from benchmarks.core_decisions import RUN_TASKS, Core
from benchmarks.figure import Figure, Sample
from benchmarks.settings import Settings
from coordinator_service.core import commands
from coordinator_service.core.commands import Caller
from coordinator_service.core.specs import LockRequest, RunSpec, StateChange, StateUpdate, TaskSpec, TaskTarget
from coordinator_service.core.values import MergeStrategy

COUNT = 50_000
WARM_UP = 1_000


class Unnamed(Core):
    """Its requests have no ids: what is remembered of them for some minutes is not what lives."""

    def _caller(self, session_id: int) -> Caller:
        return Caller(session_id=session_id, method="Any")


def _tasks(core: Core, count: int) -> None:
    """That wait, in runs of a hundred."""
    target = TaskTarget(capability="nobody has it")
    for _ in range(count // RUN_TASKS):
        tasks = tuple(TaskSpec(task_id=f"task-{number}", target=target) for number in range(RUN_TASKS))
        core.decide(commands.SubmitRun(spec=RunSpec(tasks=tasks)))


def _locks(core: Core, count: int) -> None:
    """That are held, each by somebody else."""
    for _ in range(count):
        number = core.state.sequence
        core.decide(commands.Acquire(requests=(LockRequest(resource=f"lock/{number}", holder=f"holder-{number}"),)))


def _waiters(core: Core, count: int) -> None:
    """That queue for one lock."""
    for _ in range(count):
        request = LockRequest(resource="door", holder=f"holder-{core.state.sequence}", wait_timeout_ns=10**15)
        core.decide(commands.Acquire(requests=(request,)))


def _agents(core: Core, count: int) -> None:
    """That are connected, with a capability."""
    for _ in range(count):
        core.open(f"agent-{core.state.sequence}", "work")


def _keys(core: Core, count: int) -> None:
    """Of shared state, with a small value."""
    for _ in range(count):
        update = StateUpdate(key=f"site/pages/{core.state.sequence}/status", value={"done": True})
        change = StateChange(updates=(update,), strategy=MergeStrategy.REPLACE)
        core.decide(commands.UpdateState(change=change), "client")


KINDS: dict[str, Callable[[Core, int], None]] = {
    "task": _tasks,
    "lock": _locks,
    "waiter": _waiters,
    "agent": _agents,
    "key": _keys,
}


def measure(settings: Settings) -> list[Figure]:
    """One figure a kind: bytes, in the state that decides."""
    figures = []
    for kind in KINDS:
        figure = Figure(name=f"memory, {kind}", unit="bytes")
        for _ in range(min(settings.rounds, 2)):
            figure.samples.append(Sample(concert=_measured(kind, COUNT)))
        figures.append(figure)
    return figures


def _measured(kind: str, count: int) -> float:
    command = [sys.executable, "-m", "benchmarks.footprint", kind, str(count)]
    return float(subprocess.run(command, capture_output=True, text=True, check=True).stdout)


def resident_bytes(pid: int | None = None) -> int:
    """The memory of a process that is in use."""
    pages = Path(f"/proc/{pid or os.getpid()}/statm").read_text().split()[1]
    return int(pages) * os.sysconf("SC_PAGE_SIZE")


def main() -> None:
    """Prints the bytes that one of a kind takes."""
    kind, count = KINDS[sys.argv[1]], int(sys.argv[2])
    core = Unnamed()
    kind(core, WARM_UP)
    gc.collect()
    before = resident_bytes()
    kind(core, count)
    gc.collect()
    print((resident_bytes() - before) / count)


if __name__ == "__main__":
    main()
