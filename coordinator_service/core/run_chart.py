"""A run as a chart: every task with its times, apart by waiting and executing, the critical path, and why tasks wait.

What never changes of a task is told once; what does is a row of its own, so that whoever watches can be told of changes
alone.
"""

from __future__ import annotations

from collections.abc import Iterable
from itertools import islice
from typing import Any, Final, TypeAlias

from coordinator_service.core import critical_path
from coordinator_service.core.explain import Present
from coordinator_service.core.overview import RunLine, Steps, WaitLine, run_line, task_wait
from coordinator_service.core.rejections import NotFound
from coordinator_service.core.specs import RunView, TaskView
from coordinator_service.core.state import NamespaceState, RunRow, TaskRow
from coordinator_service.core.values import TaskStatus, value

TASKS_MAX: Final = 10_000
"""Tasks of a run that are shown; the first ones."""
WAITS_MAX: Final = 40
"""Tasks that wait whose reason is told."""
_TASKS_PER_STEP: Final = 100
_TEXT_MAX: Final = 300

Fixed: TypeAlias = tuple[str, str, int, tuple[int, ...], tuple[int, ...], int]
"""Task id, target, group, places of what it depends on and of what it comes after, priority."""
Moving: TypeAlias = tuple[int, int, int, int, int, str, float, str, str, int]
"""Status, attempts, when it was ready, assigned, finished; agent, progress, what was said, error, attempt token."""


@value
class RunChart:
    """A run. places: of the tasks in `rows`; of all tasks where that is empty."""

    run: RunLine
    deadline_ns: int
    traceparent: str
    tasks_total: int
    fixed: tuple[Fixed, ...]
    moving: tuple[Moving, ...]
    critical: tuple[int, ...]
    """Places of the tasks of the critical path, in their order."""
    critical_ns: int
    waits: tuple[WaitLine, ...]
    cancel_reason: str
    metadata: dict[str, str]


def run_chart(state: NamespaceState, run_id: str, now_ns: int, *, with_fixed: bool) -> Steps[RunChart]:
    """The chart of a run that is in memory; without what never changes where the reader has it. Raises NotFound."""
    run = state.runs.get(run_id)
    if run is None:
        raise NotFound("run", run_id)
    places = {task_id: place for place, task_id in enumerate(islice(run.tasks, TASKS_MAX))}
    fixed: list[Fixed] = []
    moving: list[Moving] = []
    for number, task in enumerate(islice(run.tasks.values(), TASKS_MAX)):
        if number % _TASKS_PER_STEP == 0:
            yield
        if with_fixed:
            fixed.append(_fixed(task, places))
        moving.append(_moving(task))
    path = yield from critical_path.of(run, now_ns)
    waits = yield from _waits(state, run, now_ns)
    return RunChart(
        run=run_line(run),
        deadline_ns=run.deadline_ns,
        traceparent=run.traceparent,
        tasks_total=len(run.tasks),
        fixed=tuple(fixed),
        moving=tuple(moving),
        critical=tuple(places[each] for each in path.task_ids if each in places),
        critical_ns=path.time_ns,
        waits=waits,
        cancel_reason=run.cancel_reason,
        metadata=run.spec.metadata,
    )


def _waits(state: NamespaceState, run: RunRow, now_ns: int) -> Steps[tuple[WaitLine, ...]]:
    if run.status.over or not run.count(TaskStatus.READY, TaskStatus.BACKING_OFF):
        return ()
    present = Present.of(state, now_ns)
    lines: list[WaitLine] = []
    for number, task in enumerate(run.tasks.values()):
        if number % _TASKS_PER_STEP == 0:
            yield
        if task.status in (TaskStatus.READY, TaskStatus.BACKING_OFF):
            lines.append(task_wait(present, run, task))
            yield
            if len(lines) == WAITS_MAX:
                break
    return tuple(lines)


def _fixed(task: TaskRow, places: dict[str, int]) -> Fixed:
    target = task.spec.target
    return (
        task.spec.task_id,
        target.capability or target.agent_name or target.agent_id,
        task.group,
        _places(task.depends_on, places),
        _places(task.after, places),
        task.priority,
    )


def _places(task_ids: Iterable[str], places: dict[str, int]) -> tuple[int, ...]:
    return tuple(places[each] for each in task_ids if each in places)


def _moving(task: TaskRow) -> Moving:
    progress: Any = task.progress
    error = task.error if task.status is not TaskStatus.SUCCEEDED else None
    return (
        int(task.status),
        task.attempts,
        task.ready_at_ns,
        task.assigned_at_ns,
        task.finished_at_ns,
        task.agent_id,
        0.0 if progress is None else progress.fraction,
        "" if progress is None else progress.message[:_TEXT_MAX],
        "" if error is None else _error_words(error),
        task.attempt_token,
    )


def _error_words(error: Any) -> str:
    if error.cause_task_id:
        return f"{error.cause_task_id} did not succeed"[:_TEXT_MAX]
    return ": ".join(part for part in (error.error_type, error.message) if part)[:_TEXT_MAX]


def chart_of(run: RunView) -> RunChart:
    """The chart of a run that is no longer in memory."""
    shown = run.tasks[:TASKS_MAX]
    places = {task.task_id: place for place, task in enumerate(shown)}
    return RunChart(
        run=RunLine(
            run_id=run.run_id,
            name=run.name,
            status=run.status,
            cancelling=run.cancelling,
            open=run.open,
            generation=run.generation,
            counts=run.counts,
            began_at_ns=run.submitted_at_ns,
            finished_at_ns=run.finished_at_ns,
            sequence=run.sequence,
        ),
        deadline_ns=run.deadline_ns,
        traceparent=run.traceparent,
        tasks_total=len(run.tasks),
        fixed=tuple(
            (
                task.task_id,
                task.target.capability or task.target.agent_name or task.target.agent_id,
                task.group,
                _places(task.depends_on, places),
                _places(task.after, places),
                task.priority,
            )
            for task in shown
        ),
        moving=tuple(map(_moving_of, shown)),
        critical=(),
        critical_ns=0,
        waits=(),
        cancel_reason="",
        metadata=run.metadata,
    )


def _moving_of(task: TaskView) -> Moving:
    return (
        int(task.status),
        task.attempts,
        task.ready_at_ns,
        task.assigned_at_ns,
        task.finished_at_ns,
        task.agent_id,
        0.0,
        "",
        "" if task.error is None else _error_words(task.error),
        task.attempt_token,
    )
