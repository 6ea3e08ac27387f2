"""Where a deployment's time went: waiting and executing apart, the longest chain, and what parallelism saved."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

import msgspec


class TaskTiming(msgspec.Struct, frozen=True, kw_only=True):
    """One task. Seconds of its last attempt, by the coordinator's clock; None for what did not take place."""

    wait_seconds: float | None
    execution_seconds: float | None


class RunTiming(msgspec.Struct, frozen=True, kw_only=True):
    """A run."""

    tasks: dict[str, TaskTiming]
    makespan_seconds: float
    # Ids of the chain of tasks, each waiting for the one before, that executed longest, and how long that was.
    critical_path: list[str]
    critical_path_seconds: float
    # How long all tasks one after another would have taken, divided by the makespan.
    speed_up: float


def timing_of(run: Any) -> RunTiming:
    """The timing of a finished concert.v1 Run."""
    tasks = {task.task_id: _task_timing(task) for task in run.tasks}
    executing = {name: timing.execution_seconds or 0.0 for name, timing in tasks.items()}
    before = {task.task_id: [*task.depends_on, *task.after] for task in run.tasks}
    path = critical_path(executing, before)
    makespan = _between(run, "submitted_at", "finished_at") or 0.0
    return RunTiming(
        tasks=tasks,
        makespan_seconds=makespan,
        critical_path=path,
        critical_path_seconds=round(sum(executing[name] for name in path), 6),
        speed_up=round(sum(executing.values()) / makespan, 3) if makespan else 0.0,
    )


def critical_path(seconds: Mapping[str, float], before: Mapping[str, Iterable[str]]) -> list[str]:
    """The chain that takes longest, first task first. `before` names what each task waits for, without circles."""
    chains: dict[str, tuple[float, list[str]]] = {}

    def chain(name: str) -> tuple[float, list[str]]:
        if name not in chains:
            longest = max((chain(earlier) for earlier in before.get(name, ())), default=(0.0, []))
            chains[name] = (longest[0] + seconds[name], [*longest[1], name])
        return chains[name]

    return max((chain(name) for name in seconds), default=(0.0, []))[1]


def _task_timing(task: Any) -> TaskTiming:
    return TaskTiming(
        wait_seconds=_between(task, "ready_at", "assigned_at"),
        execution_seconds=_between(task, "assigned_at", "finished_at"),
    )


def _between(thing: Any, start: str, end: str) -> float | None:
    if not (thing.HasField(start) and thing.HasField(end)):
        return None
    first, last = getattr(thing, start), getattr(thing, end)
    seconds: float = (last.seconds - first.seconds) + (last.nanos - first.nanos) / 1e9
    return round(seconds, 6)
