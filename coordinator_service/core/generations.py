"""Generations: a run that is over is tried again, everything of it that did not succeed (R15).

It stays the same run under the same id: what succeeded keeps its result and is not executed again; the rest begins
anew, with fresh attempts and time-outs. A run that is no longer in memory is first restated from what the log says of
it, one event a task, so that nothing refers to events that may be gone tomorrow.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Final

from coordinator_service.core import reasons, runs, scheduler, subjects
from coordinator_service.core.answers import FromLog, RunAgain
from coordinator_service.core.events import Event, RunRestated, RunRetried, TaskRestated
from coordinator_service.core.rejections import LimitReached, NotFound, RunNotRetryable
from coordinator_service.core.specs import TaskSpec
from coordinator_service.core.state import NamespaceState, RunRow, TaskRow
from coordinator_service.core.values import RunStatus, TaskStatus

if TYPE_CHECKING:
    from coordinator_service.core.commands import RetryRun
    from coordinator_service.core.deciding import Deciding

RESTATED_BYTES_MAX: Final = 32 * 1024 * 1024
"""Inputs and results that may be restated in one decision."""


# Deciding.


def decide_retry(d: Deciding, command: RetryRun) -> RunAgain | FromLog:
    """Begins another generation; of a run that was evicted only once the shell has read back what it was (D8)."""
    state = d.state
    run = state.runs.get(command.run_id)
    if run is None and command.restated is None:
        evicted = state.evicted.get(command.run_id)
        if evicted is None:
            raise NotFound("run", command.run_id)
        if evicted.status is RunStatus.SUCCEEDED:
            raise RunNotRetryable(command.run_id, "every task of it succeeded")
        return FromLog(
            command=command,
            first_sequence=evicted.first_sequence,
            last_sequence=evicted.last_sequence,
            sequence=state.sequence,
            caller=d.caller,
        )
    submitted = command.restated if run is None else run
    assert submitted is not None
    d.require_own(submitted.principal, f"run {command.run_id}")
    if run is None:
        run = _restate(d, command)
    elif not run.status.over:
        raise RunNotRetryable(command.run_id, "it is not over")
    else:
        _check(state, run.run_id, len(run.tasks), run.count(TaskStatus.SUCCEEDED))
    retried = d.emit(
        RunRetried(
            generation=run.generation + 1,
            tasks=len(run.tasks) - run.count(TaskStatus.SUCCEEDED),
            deadline_ns=d.now_ns + runs.timeout_ns(state, run.spec, [task.spec for task in run.tasks.values()]),
        ),
        reason=reasons.CALLER,
        cause=run.completed_sequence or run.sequence,
        about=subjects.of_run(run),
    )
    return RunAgain(generation=run.generation, sequence=retried.sequence)


def _restate(d: Deciding, command: RetryRun) -> RunRow:
    restated, tasks = command.restated, command.restated_tasks
    assert restated is not None
    state = d.state
    _check(state, command.run_id, len(tasks), sum(task.status is TaskStatus.SUCCEEDED for task in tasks))
    if len(state.runs) >= state.limits.runs_live_max:
        raise LimitReached("runs_live_max", state.limits.runs_live_max)
    if sum(len(task.result or b"") + len(task.spec.input or b"") for task in tasks) > RESTATED_BYTES_MAX:
        raise LimitReached("restated_bytes_max", RESTATED_BYTES_MAX)
    about = subjects.Subject(run_id=command.run_id, traceparent=command.traceparent)
    first = d.emit(restated, reason=reasons.CALLER, about=about)
    for task in tasks:
        whose = about._replace(agent_id=task.agent_id, agent_name=task.agent_name, task_id=task.spec.task_id)
        d.emit(task, reason=reasons.CALLER, cause=first.sequence, about=whose)
    return state.runs[command.run_id]


def _check(state: NamespaceState, run_id: str, tasks: int, succeeded: int) -> None:
    if succeeded == tasks:
        raise RunNotRetryable(run_id, "every task of it succeeded")
    if state.tasks_live + tasks > state.limits.tasks_live_max:
        raise LimitReached("tasks_live_max", state.limits.tasks_live_max)


def restatement(run: RunRow) -> tuple[RunRestated, tuple[TaskRestated, ...]]:
    """What has to be said of a run so that it can be tried again: the results that stand, and what is still to do."""
    said = RunRestated(
        spec=run.spec,
        tasks=len(run.tasks),
        generation=run.generation,
        status=run.status,
        principal=run.principal,
        submitted_at_ns=run.submitted_at_ns,
        open=run.open,
    )
    return said, tuple(_task_restated(task) for task in run.tasks.values())


def _task_restated(task: TaskRow) -> TaskRestated:
    succeeded = task.status is TaskStatus.SUCCEEDED
    # Either the input is still needed or the result, so that an event never has to hold both.
    spec: TaskSpec = replace(task.spec, input=None) if succeeded else task.spec
    return TaskRestated(
        spec=spec,
        depends_on=task.depends_on,
        after=task.after,
        group=task.group,
        status=task.status,
        attempts=task.attempts,
        attempt_token=task.attempt_token,
        agent_id=task.agent_id,
        agent_name=task.agent_name,
        ready_at_ns=task.ready_at_ns,
        assigned_at_ns=task.assigned_at_ns,
        finished_at_ns=task.finished_at_ns,
        result=task.result if succeeded else None,
        result_sequence=task.result_sequence,
    )


# Applying.


def apply_restated(state: NamespaceState, event: Event, payload: RunRestated) -> None:
    """The run is in memory again, as it ended; its tasks follow, and then its next generation."""
    state.evicted.pop(event.run_id, None)
    state.runs[event.run_id] = RunRow(
        run_id=event.run_id,
        sequence=event.sequence,
        spec=payload.spec,
        principal=payload.principal,
        traceparent=event.traceparent,
        submitted_at_ns=payload.submitted_at_ns,
        deadline_ns=0,
        status=payload.status,
        generation=payload.generation,
        open=payload.open,
    )


def apply_task_restated(state: NamespaceState, event: Event, payload: TaskRestated) -> None:
    """A task of a restated run, as it ended."""
    run = state.runs[event.run_id]
    task = runs.new_task(state, run, event.sequence, payload)
    run.move(task, payload.status)
    task.attempts = payload.attempts
    task.attempt_token = payload.attempt_token
    task.agent_id, task.agent_name = payload.agent_id, payload.agent_name
    task.ready_at_ns, task.assigned_at_ns = payload.ready_at_ns, payload.assigned_at_ns
    task.finished_at_ns = payload.finished_at_ns
    task.result, task.has_result = payload.result, payload.result is not None
    task.result_sequence = payload.result_sequence
    task.over_sequence = event.sequence


def apply_retried(state: NamespaceState, event: Event, payload: RunRetried) -> None:
    """Everything that did not succeed is to be done again, in the order that it always had."""
    run = state.runs[event.run_id]
    run.generation = payload.generation
    run.retried_at_ns = event.time_ns
    run.status = RunStatus.PENDING
    run.started_at_ns = run.finished_at_ns = run.completed_sequence = 0
    run.cancel_reason = ""
    run.cancel_status = RunStatus.UNSPECIFIED
    run.deadline_ns = payload.deadline_ns
    state.add_deadline(payload.deadline_ns, "run", 0, event.run_id)
    state.tasks_live += len(run.tasks)
    again = [task for task in run.tasks.values() if task.status is not TaskStatus.SUCCEEDED]
    for task in again:
        run.move(task, TaskStatus.PENDING)
        task.failures = task.losses = 0
        task.again_sequence = event.sequence
        task.assigned_at_ns = task.finished_at_ns = task.over_sequence = 0
        task.error = task.progress = None
    for task in again:
        runs.await_upstream(state, run, task)
    for task in again:
        if not task.waiting_for:
            scheduler.make_ready(state, run, task, event.time_ns)
