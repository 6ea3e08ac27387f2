"""Runs: tasks that order themselves, from their submission to the end of the last one (R1 to R4, R10 to R13)."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from coordinator_service.core import attempts, capacity, claims, graph, reasons, scheduler, subjects
from coordinator_service.core.ages import take_due
from coordinator_service.core.answers import Done, Planned, RunAccepted
from coordinator_service.core.events import (
    Event,
    RunCancelled,
    RunCompleted,
    RunSubmitted,
    TaskAdded,
    TaskCancelled,
    TaskRestated,
    TaskSkipped,
)
from coordinator_service.core.graph import Node
from coordinator_service.core.policies import policy_name, policy_of
from coordinator_service.core.rejections import (
    AlreadyExists,
    InvalidField,
    LimitReached,
    NotFound,
    RunOver,
)
from coordinator_service.core.specs import (
    ExecutionGroup,
    RunPlan,
    RunSpec,
    TaskCounts,
    TaskError,
    TaskSpec,
    TaskTarget,
)
from coordinator_service.core.state import EvictedRow, NamespaceState, RunRow, TaskRow
from coordinator_service.core.values import NS_PER_MS, NS_PER_SECOND, RunStatus, TaskStatus

if TYPE_CHECKING:
    from coordinator_service.core.commands import CancelRun, PlanRun, SubmitRun
    from coordinator_service.core.deciding import Deciding


# Deciding.


def decide_submit(d: Deciding, command: SubmitRun) -> RunAccepted:
    """Accepts a run, whole or not at all (R3): RUN_SUBMITTED, then a TASK_ADDED for each task, one batch."""
    state, spec = d.state, command.spec
    nodes = _checked(state, spec)
    run_id = spec.run_id or f"run-{state.sequence + 1}"
    if run_id in state.runs or run_id in state.evicted:
        raise AlreadyExists("run", run_id)
    if len(state.runs) >= state.limits.runs_live_max:
        raise LimitReached("runs_live_max", state.limits.runs_live_max)
    if state.tasks_live + len(nodes) > state.limits.tasks_live_max:
        raise LimitReached("tasks_live_max", state.limits.tasks_live_max)
    submitted = d.emit(
        RunSubmitted(
            spec=replace(spec, run_id=run_id, tasks=(), agents=()),
            tasks=len(nodes),
            deadline_ns=d.now_ns + timeout_ns(state, spec, [node.spec for node in nodes]),
        ),
        reason=reasons.CALLER,
        about=subjects.Subject(run_id=run_id),
        metadata=spec.metadata,
    )
    add_nodes(d, state.runs[run_id], nodes, submitted)
    return RunAccepted(run_id=run_id, sequence=submitted.sequence)


def add_nodes(d: Deciding, run: RunRow, nodes: list[Node], cause: Event) -> None:
    """A TASK_ADDED for each."""
    for node in nodes:
        d.emit(
            TaskAdded(spec=node.spec, depends_on=node.depends_on, after=node.after, group=node.group),
            reason=reasons.CALLER,
            cause=cause.sequence,
            about=subjects.of_run(run, node.spec.task_id),
        )


def plan(d: Deciding, command: PlanRun) -> Planned:
    """What SubmitRun would do: groups, the longest chain, targets that nobody serves now."""
    nodes = _checked(d.state, command.spec)
    groups: dict[int, list[str]] = {}
    for node in nodes:
        groups.setdefault(node.group, []).append(node.spec.task_id)
    unserved = dict.fromkeys(node.spec.target for node in nodes if not _is_served(d.state, node.spec.target))
    return Planned(
        plan=RunPlan(
            groups=tuple(ExecutionGroup(task_ids=tuple(groups[level])) for level in sorted(groups)),
            critical_path=graph.critical_path(nodes),
            unserved=tuple(unserved),
        ),
        sequence=d.state.sequence,
    )


def decide_cancel(d: Deciding, command: CancelRun) -> Done:
    """R12: what has not started is cancelled, what runs is told."""
    run = d.state.runs.get(command.run_id)
    if run is None:
        raise RunOver(command.run_id) if command.run_id in d.state.evicted else NotFound("run", command.run_id)
    d.require_own(run.principal, f"run {command.run_id}")
    if run.status.over or run.cancel_reason:
        raise RunOver(command.run_id)
    sequence = d.state.sequence + 1
    cancel(d, run, RunStatus.CANCELLED, reasons.RUN_CANCELLED)
    return Done(sequence=sequence)


def cancel(d: Deciding, run: RunRow, status: RunStatus, reason: str, cause: int = 0) -> None:
    """Stops a run; status is how it will end, UNSPECIFIED to let the outcomes of its tasks say."""
    cancelled = d.emit(RunCancelled(status=status), reason=reason, cause=cause, about=subjects.of_run(run))
    for task_id, task in run.tasks.items():
        if task.status in (TaskStatus.PENDING, TaskStatus.READY, TaskStatus.BACKING_OFF):
            if task.spec.locks and capacity.is_waiting(task):
                claims.note_cancelled(d.state, task)
            waited_ns = d.now_ns - task.ready_at_ns if task.status is TaskStatus.READY else 0
            d.emit(
                TaskCancelled(wait_time_seconds=waited_ns / NS_PER_SECOND),
                reason=reason,
                cause=cancelled.sequence,
                about=subjects.of_run(run, task_id),
            )
    running = [task.attempt_token for task in run.tasks.values() if task.status is TaskStatus.RUNNING]
    for token in running:
        attempts.request_stop(d, d.state.attempts[token], reason, cancelled.sequence)
    complete_if_over(d, run, cancelled)


def settle(d: Deciding, run: RunRow, ended: Event) -> None:
    """A task of the run may be over: what depended on it in vain is skipped, and the run ends with its last task."""
    task = run.tasks[ended.task_id]
    if task.status in (TaskStatus.FAILED, TaskStatus.CANCELLED) and not run.cancel_reason:
        skip_downstream(d, run, ended, ended.task_id)
        if run.spec.fail_fast:
            cancel(d, run, RunStatus.UNSPECIFIED, reasons.FAIL_FAST, ended.sequence)
            return
    complete_if_over(d, run, ended)


def skip_downstream(d: Deciding, run: RunRow, over: Event, failed_task_id: str) -> None:
    """R10: everything downstream by depends_on of a task that is over is SKIPPED, naming the one that failed."""
    causes = [(over.task_id, over.sequence)]
    for cause_id, cause_sequence in causes:
        for dependent_id in d.state.index.dependents.get((run.run_id, cause_id), ()):
            dependent = run.tasks[dependent_id]
            if dependent.status.over or cause_id not in dependent.depends_on:
                continue
            skipped = d.emit(
                TaskSkipped(cause_task_id=failed_task_id),
                reason=reasons.DEPENDENCY_FAILED,
                cause=cause_sequence,
                about=subjects.of_run(run, dependent_id),
            )
            causes.append((dependent_id, skipped.sequence))


def complete_if_over(d: Deciding, run: RunRow, cause: Event) -> None:
    """R13: the run ends with its last task; one that is open only when it is closed or stopped (R15)."""
    if run.unfinished or run.status.over or (run.open and not run.cancel_reason):
        return
    d.emit(
        RunCompleted(
            status=run.cancel_status or _outcome(run),
            counts=counts(run),
            execution_time_seconds=(d.now_ns - run.began_at_ns) / NS_PER_SECOND,
        ),
        reason=reasons.ALL_TASKS_OVER,
        cause=cause.sequence,
        about=subjects.of_run(run),
    )


def _outcome(run: RunRow) -> RunStatus:
    """R13."""
    succeeded = run.count(TaskStatus.SUCCEEDED)
    if succeeded == len(run.tasks):
        return RunStatus.SUCCEEDED
    return RunStatus.PARTIAL_FAILURE if succeeded else RunStatus.FAILED


def counts(run: RunRow) -> TaskCounts:
    """How many tasks stand where."""
    return TaskCounts(
        pending=run.count(TaskStatus.PENDING),
        ready=run.count(TaskStatus.READY, TaskStatus.BACKING_OFF),
        running=run.running,
        succeeded=run.count(TaskStatus.SUCCEEDED),
        failed=run.count(TaskStatus.FAILED),
        skipped=run.count(TaskStatus.SKIPPED),
        cancelled=run.count(TaskStatus.CANCELLED),
    )


def _checked(state: NamespaceState, spec: RunSpec) -> list[Node]:
    """The tasks of a run, made from agents where it names agents (R2), resolved and checked."""
    if bool(spec.tasks) == bool(spec.agents) and not (spec.open and not spec.tasks):
        raise InvalidField(("run", "names either tasks or agents, and at least one unless it is open"))
    tasks = spec.tasks or tuple(_task_of_agent(state, name, number) for number, name in enumerate(spec.agents))
    if len(tasks) > state.limits.run_tasks_max:
        raise InvalidField(("run.tasks", f"has {len(tasks)}, the limit is {state.limits.run_tasks_max}"))
    if spec.policy:
        _check_policy(state, "run.policy", spec.policy)
    check_policies(state, "run.tasks", tasks)
    return graph.resolve(tasks)


def _task_of_agent(state: NamespaceState, name: str, number: int) -> TaskSpec:
    role = state.roles.get(name)
    if role is None:
        raise InvalidField((f"run.agents[{number}]", f"no agent named {name!r} has ever registered"))
    return TaskSpec(
        task_id=name,
        target=TaskTarget(agent_name=name),
        capabilities=tuple(capability.name for capability in role.capabilities),
        depends_on=role.depends_on,
        after=role.after,
    )


def check_policies(state: NamespaceState, field: str, tasks: tuple[TaskSpec, ...]) -> None:
    """Every policy that a task names has to be there; field is where the tasks are in the request."""
    for number, task in enumerate(tasks):
        if task.policy:
            _check_policy(state, f"{field}[{number}].policy", task.policy)


def _check_policy(state: NamespaceState, field: str, name: str) -> None:
    if name not in state.policies:
        raise InvalidField((field, f"there is no policy {name!r}, but {', '.join(state.policies)}"))


def _policy_name(state: NamespaceState, run: RunSpec, task: TaskSpec) -> str:
    return policy_name(state, task.policy, run.policy, task.target.agent_name)


def timeout_ns(state: NamespaceState, spec: RunSpec, tasks: list[TaskSpec]) -> int:
    """R11: its own, else the namespace's, never below what one of its tasks may take."""
    if spec.timeout_ns is not None:
        return spec.timeout_ns
    longest = 0
    for task in tasks:
        policy = policy_of(state, _policy_name(state, spec, task))
        longest = max(longest, task.max_execution_time_ns or policy.max_execution_time_ns or 0)
    return max(state.limits.run_timeout_ms * NS_PER_MS, longest)


def _is_served(state: NamespaceState, target: TaskTarget) -> bool:
    pool = state.index.pools.get(capacity.pool_name(target))
    return pool is not None and any(state.agents[agent_id].attached for agent_id in pool.members)


# Applying.


def apply_submitted(state: NamespaceState, event: Event, payload: RunSubmitted) -> None:
    """The run is there; its tasks follow."""
    state.runs[event.run_id] = RunRow(
        run_id=event.run_id,
        sequence=event.sequence,
        spec=payload.spec,
        principal=event.principal,
        traceparent=event.traceparent,
        submitted_at_ns=event.time_ns,
        deadline_ns=payload.deadline_ns,
        open=payload.spec.open,
    )
    state.add_deadline(payload.deadline_ns, "run", 0, event.run_id)


def apply_task_added(state: NamespaceState, event: Event, payload: TaskAdded) -> None:
    """The task is there. It waits for those it names that are not over; other tasks of the same batch may follow it."""
    run = state.runs[event.run_id]
    task = new_task(state, run, event.sequence, payload)
    state.tasks_live += 1
    await_upstream(state, run, task)
    if not task.waiting_for and all(run.tasks[each].status is TaskStatus.SUCCEEDED for each in task.depends_on):
        scheduler.make_ready(state, run, task, event.time_ns)


def new_task(state: NamespaceState, run: RunRow, sequence: int, payload: TaskAdded | TaskRestated) -> TaskRow:
    """The row of a task, which has yet to be told what it waits for."""
    spec = payload.spec
    policy = _policy_name(state, run.spec, spec)
    priorities = (spec.priority, run.spec.priority, policy_of(state, policy).priority)
    task = TaskRow(
        spec=spec,
        sequence=sequence,
        group=payload.group,
        depends_on=payload.depends_on,
        after=payload.after,
        policy=policy,
        priority=next(priority for priority in priorities if priority is not None),
    )
    run.tasks[spec.task_id] = task
    run.tally[TaskStatus.PENDING] = run.tally.get(TaskStatus.PENDING, 0) + 1
    return task


def await_upstream(state: NamespaceState, run: RunRow, task: TaskRow) -> None:
    """Counts what the task has to wait for: whatever it names that is not over, or not even there yet."""
    task.waiting_for = 0
    for each in (*task.depends_on, *task.after):
        upstream = run.tasks.get(each)
        if upstream is None or not upstream.status.over:
            task.waiting_for += 1
            state.index.dependents.setdefault((run.run_id, each), []).append(task.spec.task_id)


def apply_skipped(state: NamespaceState, event: Event, payload: TaskSkipped) -> None:
    """The task will never run."""
    run = state.runs[event.run_id]
    task = run.tasks[event.task_id]
    message = f"{payload.cause_task_id} did not succeed"
    task.error = TaskError(error_type="DEPENDENCY_FAILED", message=message, cause_task_id=payload.cause_task_id)
    finish_task(state, run, task, TaskStatus.SKIPPED, event)


def apply_task_cancelled(state: NamespaceState, event: Event, payload: TaskCancelled) -> None:
    """The task was cancelled, and with it the attempt named, if any."""
    run = state.runs[event.run_id]
    task = run.tasks[event.task_id]
    if payload.attempt_token:
        scheduler.close_attempt(state, payload.attempt_token)
    if task.spec.locks and capacity.is_waiting(task):
        claims.end(state, run, task)
    if task.error is None:
        task.error = TaskError(error_type="CANCELLED", message=event.reason)
    finish_task(state, run, task, TaskStatus.CANCELLED, event)


def apply_cancelled(state: NamespaceState, event: Event, payload: RunCancelled) -> None:
    """The run is being stopped."""
    run = state.runs[event.run_id]
    run.cancel_reason = event.reason
    run.cancel_status = payload.status


def apply_completed(state: NamespaceState, event: Event, payload: RunCompleted) -> None:
    """The run is over."""
    run = state.runs[event.run_id]
    run.status = payload.status
    run.finished_at_ns = event.time_ns
    state.tasks_live -= len(run.tasks)
    run.completed_sequence = event.sequence
    state.index.finished_runs.append((event.time_ns, event.run_id))
    state.forget_at(event.time_ns + state.limits.run_retention_ms * NS_PER_MS)
    state.index.parked.pop(f"run:{event.run_id}", None)
    for task_id in run.tasks:
        state.index.dependents.pop((event.run_id, task_id), None)


def finish_task(state: NamespaceState, run: RunRow, task: TaskRow, status: TaskStatus, event: Event) -> None:
    """The task is over; those that waited for it alone are ready, unless something they depend on did not succeed."""
    run.move(task, status)
    task.finished_at_ns = event.time_ns
    task.over_sequence = event.sequence
    for dependent_id in state.index.dependents.get((run.run_id, task.spec.task_id), ()):
        dependent = run.tasks[dependent_id]
        if dependent.status.over:  # cancelled, or skipped because of another
            continue
        dependent.waiting_for -= 1
        if dependent.waiting_for or dependent.status is not TaskStatus.PENDING or run.cancel_reason:
            continue
        if all(run.tasks[each].status is TaskStatus.SUCCEEDED for each in dependent.depends_on):
            scheduler.make_ready(state, run, dependent, event.time_ns)


def forget_old(state: NamespaceState) -> None:
    """D8: runs that ended long ago go, by event time. The log still has them, and where is known for a while."""
    retention_ns = state.limits.run_retention_ms * NS_PER_MS
    finished = state.index.finished_runs
    for _, run_id in take_due(finished, state.time_ns - retention_ns, lambda aged: _is_finished(state, *aged)):
        _remember_evicted(state, state.runs.pop(run_id))
    if finished:
        state.forget_at(finished[0][0] + retention_ns)
    retention_ns = state.limits.evicted_retention_ms * NS_PER_MS
    ages = state.index.evicted_ages
    for _, run_id in take_due(ages, state.time_ns - retention_ns, lambda aged: _is_evicted(state, *aged)):
        del state.evicted[run_id]
    while len(state.evicted) > state.limits.evicted_runs_max:
        finished_at_ns, run_id = ages.popleft()
        if _is_evicted(state, finished_at_ns, run_id):
            del state.evicted[run_id]
    if ages:
        state.forget_at(ages[0][0] + retention_ns)


def _is_finished(state: NamespaceState, finished_at_ns: int, run_id: str) -> bool:
    run = state.runs.get(run_id)
    return run is not None and run.status.over and run.finished_at_ns == finished_at_ns


def _is_evicted(state: NamespaceState, finished_at_ns: int, run_id: str) -> bool:
    row = state.evicted.get(run_id)
    return row is not None and row.finished_at_ns == finished_at_ns


def _remember_evicted(state: NamespaceState, run: RunRow) -> None:
    state.evicted[run.run_id] = EvictedRow(
        first_sequence=run.sequence,
        last_sequence=run.completed_sequence,
        status=run.status,
        finished_at_ns=run.finished_at_ns,
    )
    state.index.evicted_ages.append((run.finished_at_ns, run.run_id))
