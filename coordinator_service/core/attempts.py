"""Attempts: what agents report of the tasks they were given, and how an attempt ends (R8 to R12, R18).

An attempt is named by the sequence of its TASK_ASSIGNED event, and only the current one of a task may report (R8). It
ends in one of four ways: completed, failed, lost with its session, or fenced after it was told to stop and the grace
ran out.
"""

from __future__ import annotations

import zlib
from typing import TYPE_CHECKING

from coordinator_service.core import circuits, locks, reasons, runs, scheduler, shared_state, subjects
from coordinator_service.core.answers import Done
from coordinator_service.core.events import (
    AgentCompleted,
    AgentFailed,
    AgentStarted,
    Event,
    TaskCancelled,
    TaskCancelRequested,
    TaskProgressed,
    TaskRetryScheduled,
)
from coordinator_service.core.policies import merged_retry, policy_of
from coordinator_service.core.rejections import PermissionDenied, StaleAttempt
from coordinator_service.core.specs import StateChange, StateUpdate, TaskError
from coordinator_service.core.state import AttemptRow, NamespaceState, RunRow, TaskRow
from coordinator_service.core.values import NS_PER_SECOND, MergeStrategy, TaskStatus

if TYPE_CHECKING:
    from coordinator_service.core.commands import CompleteTask, FailTask, ProgressTask, StartTask
    from coordinator_service.core.deciding import Deciding


def require(d: Deciding, token: int, *, fenced: bool = True) -> AttemptRow:
    """The live attempt of a token, if it is the caller's. Raises StaleAttempt, PermissionDenied, and when it is fenced
    also StaleFence: it has lost a lock that it was granted (L8).
    """
    attempt = d.state.attempts.get(token)
    if attempt is None:
        raise StaleAttempt(token)
    if d.caller.session_id:
        if d.caller.session_id != attempt.session_id:
            raise PermissionDenied(f"attempt {token} belongs to another session")
    elif d.caller.principal != d.state.agents[attempt.agent_id].principal:
        raise PermissionDenied(f"attempt {token} belongs to another principal")
    if fenced and attempt.lost:
        lost = next(iter(attempt.lost))
        raise locks.stale_fence(d.state, attempt.lost[lost], lost)
    return attempt


# Deciding.


def decide_start(d: Deciding, command: StartTask) -> Done:
    """R18: the agent executes the attempt."""
    attempt = require(d, command.attempt_token)
    if attempt.started_sequence:
        return Done(sequence=attempt.started_sequence, replayed=True)
    run = d.state.runs[attempt.run_id]
    task = run.tasks[attempt.task_id]
    agent = d.state.agents[attempt.agent_id]
    event = d.emit(
        AgentStarted(
            attempt_token=attempt.token,
            capabilities=tuple(capability.name for capability in agent.spec.capabilities),
            dependencies=task.depends_on,
            context=run.spec.context,
        ),
        reason=reasons.ATTEMPT_STARTED,
        cause=attempt.token,
        about=subjects.of_attempt(d.state, attempt),
    )
    return Done(sequence=event.sequence)


def decide_progress(d: Deciding, command: ProgressTask) -> Done:
    """The agent says how far it is."""
    attempt = require(d, command.attempt_token)
    event = d.emit(
        TaskProgressed(attempt_token=attempt.token, progress=command.progress),
        reason=reasons.PROGRESS_REPORTED,
        cause=attempt.token,
        about=subjects.of_attempt(d.state, attempt),
    )
    return Done(sequence=event.sequence)


def decide_complete(d: Deciding, command: CompleteTask) -> Done:
    """R9: the completion, its state updates, the release of its locks and what that frees are one decision."""
    attempt = require(d, command.attempt_token)
    state = d.state
    task = state.task(attempt.run_id, attempt.task_id)
    trial = circuits.is_trial(state, attempt)
    first = shared_state.write(d, command.changes, shared_state.writer_of(d, attempt), attempt)
    if command.result_is_json:
        _write_result(d, attempt, task.agent_name, command)
    completed = d.emit(
        AgentCompleted(
            attempt_token=attempt.token,
            result=command.result,
            execution_time_seconds=(d.now_ns - attempt.assigned_at_ns) / NS_PER_SECOND,
            state_changes=len(command.changes),
        ),
        reason=reasons.ATTEMPT_SUCCEEDED,
        cause=attempt.token,
        about=subjects.of_attempt(state, attempt),
    )
    if trial:
        circuits.judge(d, attempt, completed, trial=True)
    _give_back(d, attempt, completed)
    runs.settle(d, state.runs[attempt.run_id], completed)
    return Done(sequence=first)


def decide_fail(d: Deciding, command: FailTask) -> Done:
    """R10: the attempt failed, or stopped as it was told."""
    attempt = require(d, command.attempt_token, fenced=False)
    first = d.state.sequence + 1
    if attempt.fenced_at_ns and command.cancelled:
        stop(d, attempt, reasons.ATTEMPT_FAILED)
    else:
        fail(
            d,
            attempt,
            command.error,
            retryable=command.retryable,
            reason=reasons.ATTEMPT_FAILED,
            context=command.context,
        )
    return Done(sequence=first)


def lose(d: Deciding, token: int, ended: Event, reason: str) -> None:
    """A4: the attempt is lost with its session."""
    attempt = d.state.attempts[token]
    error = TaskError(error_type="SESSION_LOST", message=f"the agent's session ended: {reason}")
    fail(d, attempt, error, retryable=True, lost=True, reason=reasons.AGENT_LOST_TASK, cause=ended.sequence)


def request_stop(d: Deciding, attempt: AttemptRow, reason: str, cause: int) -> None:
    """R11, R12: the agent is told to stop; until it answers, or the grace is over, a completion is still accepted."""
    if attempt.fenced_at_ns:
        return
    grace_ns = policy_of(d.state, attempt.policy).cancel_grace_ns or 0
    d.emit(
        TaskCancelRequested(attempt_token=attempt.token, fenced_at_ns=d.now_ns + grace_ns),
        reason=reason,
        cause=cause,
        about=subjects.of_attempt(d.state, attempt),
    )


def stop(d: Deciding, attempt: AttemptRow, reason: str) -> None:
    """The attempt stopped as it was told, or is fenced: cancelled with its run, or failed by its own time-out."""
    run = d.state.runs[attempt.run_id]
    if run.cancel_reason:
        cancelled = d.emit(
            TaskCancelled(
                attempt_token=attempt.token,
                execution_time_seconds=(d.now_ns - attempt.assigned_at_ns) / NS_PER_SECOND,
            ),
            reason=run.cancel_reason,
            cause=attempt.cancel_sequence,
            about=subjects.of_attempt(d.state, attempt),
        )
        _give_back(d, attempt, cancelled)
        runs.settle(d, run, cancelled)
        return
    if attempt.conflict_sequence:
        message = f"timed out; its last report conflicted, see event {attempt.conflict_sequence}"
        error = TaskError(error_type="STATE_CONFLICT", message=message)
    else:
        seconds = (attempt.deadline_ns - attempt.assigned_at_ns) / NS_PER_SECOND
        error = TaskError(error_type="TIMEOUT", message=f"not over within {seconds:g} s")
    fail(d, attempt, error, retryable=True, reason=reason, cause=attempt.cancel_sequence)


def fail(
    d: Deciding,
    attempt: AttemptRow,
    error: TaskError,
    *,
    retryable: bool,
    reason: str,
    lost: bool = False,
    cause: int = 0,
    context: bytes | None = None,
) -> None:
    """The attempt failed: tried again by policy, cancelled with its run, or failed for good (R10)."""
    run = d.state.runs[attempt.run_id]
    task = run.tasks[attempt.task_id]
    trial = circuits.is_trial(d.state, attempt)
    again = not run.cancel_reason and _may_retry(d.state, task, retryable=retryable, lost=lost)
    failed = d.emit(
        AgentFailed(
            attempt_token=attempt.token,
            error=error,
            retryable=retryable,
            lost=lost,
            execution_time_seconds=(d.now_ns - attempt.assigned_at_ns) / NS_PER_SECOND,
            context=context,
            final=not again and not run.cancel_reason,
        ),
        reason=reason,
        cause=cause or attempt.token,
        about=subjects.of_attempt(d.state, attempt),
    )
    if run.cancel_reason:
        d.emit(
            TaskCancelled(),
            reason=run.cancel_reason,
            cause=failed.sequence,
            about=subjects.of_run(run, attempt.task_id),
        )
    elif again:
        d.emit(
            TaskRetryScheduled(
                ready_at_ns=d.now_ns + _backoff_ns(d.state, run, task, lost=lost), attempt=task.attempts + 1
            ),
            reason=reasons.RETRY_POLICY,
            cause=failed.sequence,
            about=subjects.of_run(run, attempt.task_id),
        )
    circuits.judge(d, attempt, failed, trial=trial)
    _give_back(d, attempt, failed)
    runs.settle(d, run, failed)


def _give_back(d: Deciding, attempt: AttemptRow, ended: Event) -> None:
    """All locks and waits of the attempt end with it, and the next in line are granted."""
    if attempt.grants or attempt.waiters:
        locks.pump(d, locks.end_holdings(d, attempt.grants, attempt.waiters, ended, reasons.ATTEMPT_OVER))


def _write_result(d: Deciding, attempt: AttemptRow, agent_name: str, command: CompleteTask) -> None:
    """S9: the platform's own writes of a JSON result, in no conflict; the later stands."""
    updates = (
        StateUpdate(key=f"{agent_name}_result", value=command.result_json),
        StateUpdate(key=f"{agent_name}_completed_at", value=d.now_ns / NS_PER_SECOND),
        StateUpdate(key=f"{agent_name}_status", value="completed"),
    )
    # Replaced, not merged: a result is a whole, and the later one stands.
    change = StateChange(updates=updates, strategy=MergeStrategy.REPLACE)
    shared_state.emit_update(d, change, "", reasons.TASK_RESULT, attempt)


def _may_retry(state: NamespaceState, task: TaskRow, *, retryable: bool, lost: bool) -> bool:
    policy = policy_of(state, task.policy)
    assert policy.retry is not None
    retry = merged_retry(task.spec.retry, policy.retry)
    if lost:
        return task.losses < retry.lost_attempts_max
    return retryable and task.failures + 1 < retry.attempts_max


def _backoff_ns(state: NamespaceState, run: RunRow, task: TaskRow, *, lost: bool) -> int:
    """Exponential with a cap; jitter of up to a quarter less, derived from the ids: nothing here is random."""
    if lost:
        return 0
    policy = policy_of(state, task.policy)
    assert policy.retry is not None
    retry = merged_retry(task.spec.retry, policy.retry)
    longest = retry.backoff_max_ns or 0
    try:
        wait = min(float(longest), (retry.backoff_initial_ns or 0) * retry.backoff_multiplier ** (task.failures - 1))
    except OverflowError:
        wait = float(longest)
    spread = zlib.crc32(f"{run.run_id}/{task.spec.task_id}/{task.attempts}".encode()) / 0xFFFFFFFF
    return int(wait * (1 - spread / 4))


# Applying.


def apply_started(state: NamespaceState, event: Event, payload: AgentStarted) -> None:
    """The attempt is being executed."""
    attempt = state.attempts.get(payload.attempt_token)
    if attempt is not None:
        attempt.started_sequence = event.sequence


def apply_progressed(state: NamespaceState, event: Event, payload: TaskProgressed) -> None:
    """The attempt is so far."""
    state.task(event.run_id, event.task_id).progress = payload.progress


def apply_stop_requested(state: NamespaceState, event: Event, payload: TaskCancelRequested) -> None:
    """The agent was told to stop."""
    attempt = state.attempts[payload.attempt_token]
    attempt.fenced_at_ns = payload.fenced_at_ns
    attempt.cancel_reason = event.reason
    attempt.cancel_sequence = event.sequence
    run = state.runs[event.run_id]
    run.move(run.tasks[event.task_id], TaskStatus.CANCELLING)
    state.add_deadline(payload.fenced_at_ns, "fence", attempt.token)


def apply_completed(state: NamespaceState, event: Event, payload: AgentCompleted) -> None:
    """The task succeeded."""
    run = state.runs[event.run_id]
    task = run.tasks[event.task_id]
    task.result = payload.result
    task.has_result = payload.result is not None
    task.result_sequence = event.sequence
    circuits.note_ended(state, run, state.attempts[payload.attempt_token], None, event.time_ns)
    scheduler.close_attempt(state, payload.attempt_token)
    runs.finish_task(state, run, task, TaskStatus.SUCCEEDED, event)


def apply_failed(state: NamespaceState, event: Event, payload: AgentFailed) -> None:
    """The attempt failed. Unless that was final, the next event of the batch says how the task goes on."""
    run = state.runs[event.run_id]
    task = run.tasks[event.task_id]
    circuits.note_ended(state, run, state.attempts[payload.attempt_token], payload, event.time_ns)
    scheduler.close_attempt(state, payload.attempt_token)
    task.error = payload.error
    if payload.lost:
        task.losses += 1
    else:
        task.failures += 1
    if payload.final:
        runs.finish_task(state, run, task, TaskStatus.FAILED, event)
    else:
        run.move(task, TaskStatus.PENDING)


def apply_retry_scheduled(state: NamespaceState, event: Event, payload: TaskRetryScheduled) -> None:
    """The task is ready again at a time, in a place in its queue that is fixed now."""
    run = state.runs[event.run_id]
    task = run.tasks[event.task_id]
    task.again_sequence = event.sequence
    if payload.ready_at_ns <= event.time_ns:
        scheduler.make_ready(state, run, task, event.time_ns)
        return
    scheduler.back_off(state, run, task, payload.ready_at_ns)
