"""Added tasks: a run that grows while it lives, from within or, while it is open, from outside (R15).

What names and capabilities mean is resolved once, when a task is added: those that were there before wait for nothing
that came later. So a circle can only be among the tasks added together.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from coordinator_service.core import attempts, graph, reasons, runs, subjects
from coordinator_service.core.answers import Done
from coordinator_service.core.events import Event, RunExtended, TaskSkipped
from coordinator_service.core.rejections import InvalidField, LimitReached, NotFound, PermissionDenied, RunOver
from coordinator_service.core.state import NamespaceState, RunRow, TaskRow
from coordinator_service.core.values import TaskStatus

if TYPE_CHECKING:
    from coordinator_service.core.commands import AddTasks
    from coordinator_service.core.deciding import Deciding


# Deciding.


def decide_add(d: Deciding, command: AddTasks) -> Done:
    """Accepts more tasks of a run, all or none: RUN_EXTENDED, then a TASK_ADDED for each task, one batch."""
    state = d.state
    run = state.runs.get(command.run_id)
    if run is None:
        raise RunOver(command.run_id) if command.run_id in state.evicted else NotFound("run", command.run_id)
    if run.status.over or run.cancel_reason:
        raise RunOver(command.run_id)
    _check_caller(d, run)
    nodes = _checked(state, run, command)
    attempt = state.attempts.get(d.caller.attempt_token)
    extended = d.emit(
        RunExtended(tasks=len(nodes), last=command.last),
        reason=reasons.CALLER,
        cause=run.sequence if attempt is None else attempt.token,
        about=subjects.of_run(run) if attempt is None else subjects.of_attempt(state, attempt),
    )
    runs.add_nodes(d, run, nodes, extended)
    for node in nodes:
        _skip_if_in_vain(d, run, run.tasks[node.spec.task_id])
    runs.complete_if_over(d, run, extended)
    return Done(sequence=extended.sequence)


def _check_caller(d: Deciding, run: RunRow) -> None:
    """Whoever runs a task of the run may add to it; to an open run also who submitted it."""
    if d.caller.attempt_token:
        attempt = attempts.require(d, d.caller.attempt_token)
        if attempt.run_id != run.run_id:
            raise PermissionDenied(f"attempt {attempt.token} is one of run {attempt.run_id}, not of run {run.run_id}")
    elif not run.open:
        raise PermissionDenied(f"run {run.run_id} is not open: tasks are added to it by attempts of its tasks alone")
    elif run.principal != d.caller.principal:
        raise PermissionDenied(f"run {run.run_id} belongs to another principal")


def _checked(state: NamespaceState, run: RunRow, command: AddTasks) -> list[graph.Node]:
    tasks = command.tasks
    if not tasks and not command.last:
        raise InvalidField(("tasks", "must have 1 entry, unless last is set"))
    if len(run.tasks) + len(tasks) > state.limits.run_tasks_max:
        count, limit = len(run.tasks), state.limits.run_tasks_max
        raise InvalidField(("tasks", f"has {len(tasks)}, the run has {count} already, the limit is {limit}"))
    runs.check_policies(state, "tasks", tasks)
    nodes = graph.resolve(tasks, present=run.tasks, field="tasks")
    if state.tasks_live + len(nodes) > state.limits.tasks_live_max:
        raise LimitReached("tasks_live_max", state.limits.tasks_live_max)
    return nodes


def _skip_if_in_vain(d: Deciding, run: RunRow, task: TaskRow) -> None:
    """R10: a task that was added after what it depends on had failed will never run."""
    for each in task.depends_on:
        upstream = run.tasks[each]
        if task.status.over or not upstream.status.over or upstream.status is TaskStatus.SUCCEEDED:
            continue
        skipped_for = "" if upstream.error is None else upstream.error.cause_task_id
        skipped = d.emit(
            TaskSkipped(cause_task_id=skipped_for or each),
            reason=reasons.DEPENDENCY_FAILED,
            cause=upstream.over_sequence,
            about=subjects.of_run(run, task.spec.task_id),
        )
        runs.skip_downstream(d, run, skipped, skipped_for or each)


# Applying.


def apply_extended(state: NamespaceState, event: Event, payload: RunExtended) -> None:
    """The tasks follow; after the last ones the run is as any other."""
    if payload.last:
        state.runs[event.run_id].open = False
