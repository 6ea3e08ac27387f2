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
    # Whole nanoseconds until the end: rounded parts may add up to more than the rounded whole.
    executing = {task.task_id: _between_ns(task, "assigned_at", "finished_at") for task in run.tasks}
    executed = {name: taken or 0 for name, taken in executing.items()}
    before = {task.task_id: [*task.depends_on, *task.after] for task in run.tasks}
    path = critical_path(executed, before)
    makespan = _between_ns(run, "submitted_at", "finished_at") or 0
    return RunTiming(
        tasks={
            task.task_id: TaskTiming(
                wait_seconds=_seconds(_between_ns(task, "ready_at", "assigned_at")),
                execution_seconds=_seconds(executing[task.task_id]),
            )
            for task in run.tasks
        },
        makespan_seconds=makespan / 1e9,
        critical_path=path,
        critical_path_seconds=sum(executed[name] for name in path) / 1e9,
        speed_up=round(sum(executed.values()) / makespan, 3) if makespan else 0.0,
    )


def critical_path(taken: Mapping[str, int], before: Mapping[str, Iterable[str]]) -> list[str]:
    """The chain that takes longest, first task first. `before` names what each task waits for, without circles."""
    chains: dict[str, tuple[int, list[str]]] = {}

    def chain(name: str) -> tuple[int, list[str]]:
        if name not in chains:
            longest = max((chain(earlier) for earlier in before.get(name, ())), default=(0, []))
            chains[name] = (longest[0] + taken[name], [*longest[1], name])
        return chains[name]

    return max((chain(name) for name in taken), default=(0, []))[1]


def _between_ns(thing: Any, start: str, end: str) -> int | None:
    if not (thing.HasField(start) and thing.HasField(end)):
        return None
    return int(getattr(thing, end).ToNanoseconds() - getattr(thing, start).ToNanoseconds())


def _seconds(nanoseconds: int | None) -> float | None:
    return None if nanoseconds is None else nanoseconds / 1e9
