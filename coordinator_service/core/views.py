"""Reads: what callers are shown of runs, agents, locks and attempts."""

from __future__ import annotations

import bisect
import itertools
from dataclasses import replace
from typing import TYPE_CHECKING

from coordinator_service.core import lock_queues, locks, runs
from coordinator_service.core.answers import (
    AgentRead,
    AgentsRead,
    AttemptRead,
    Done,
    FromLog,
    LockRead,
    LocksRead,
    ResultRead,
    RunRead,
    RunsRead,
    SummaryRead,
)
from coordinator_service.core.rejections import NotFound
from coordinator_service.core.specs import (
    AgentTaskView,
    AgentView,
    CircuitView,
    LockView,
    LockWaiterView,
    RunView,
    TaskResultView,
    TaskView,
)
from coordinator_service.core.state import AgentRow, AttemptRow, NamespaceState, RunRow, TaskRow
from coordinator_service.core.values import TaskStatus

if TYPE_CHECKING:
    from coordinator_service.core.commands import (
        GetAgent,
        GetAttempt,
        GetEnds,
        GetLock,
        GetRun,
        GetSummary,
        GetTaskResult,
        ListAgents,
        ListLocks,
        ListRuns,
    )
    from coordinator_service.core.deciding import Deciding

RESULTS_INLINE_BYTES_MAX = 1024 * 1024
"""Results of direct dependencies that are handed to a task by value (R16)."""


def get_ends(d: Deciding, _command: GetEnds) -> Done:
    """How far the namespace is."""
    return Done(sequence=d.state.sequence)


def get_summary(d: Deciding, _command: GetSummary) -> SummaryRead:
    """How far the namespace is and who is there."""
    return SummaryRead(
        sequence=d.state.sequence,
        runs_active=sum(not run.status.over for run in d.state.runs.values()),
        sessions=len(d.state.index.sessions),
    )


def get_run(d: Deciding, command: GetRun) -> RunRead | FromLog:
    """A run and its tasks."""
    run = d.state.runs.get(command.run_id)
    if run is None:
        return _from_log(d, command)
    return read_run(run, command, d.state.sequence)


def list_runs(d: Deciding, command: ListRuns) -> RunsRead:
    """Runs without their tasks, newest first."""
    matching = (
        run
        for run in reversed(d.state.runs.values())
        if (not command.below_sequence or run.sequence < command.below_sequence)
        and (not command.status or run.status is command.status)
    )
    page = list(itertools.islice(matching, command.count_max))
    more = next(matching, None) is not None
    return RunsRead(
        runs=tuple(view_run(run) for run in page),
        sequence=d.state.sequence,
        next_sequence=page[-1].sequence if more else 0,
    )


def get_task_result(d: Deciding, command: GetTaskResult) -> ResultRead | FromLog:
    """What a task produced."""
    run = d.state.runs.get(command.run_id)
    if run is None:
        return _from_log(d, command)
    return view_result(run, command)


def _from_log(d: Deciding, command: GetRun | GetTaskResult) -> FromLog:
    """D8: what is evicted is still answered from the log."""
    evicted = d.state.evicted.get(command.run_id)
    if evicted is None:
        raise NotFound("run", command.run_id)
    return FromLog(
        command=command,
        first_sequence=evicted.first_sequence,
        last_sequence=evicted.last_sequence,
        sequence=d.state.sequence,
    )


def view_result(run: RunRow, command: GetTaskResult) -> ResultRead:
    """What a task of a run produced. Raises NotFound."""
    task = run.tasks.get(command.task_id)
    if task is None:
        raise NotFound("task", f"{command.run_id}/{command.task_id}")
    if task.status is not TaskStatus.SUCCEEDED:
        why = f": {task.error}" if task.error is not None else ""
        raise NotFound("result", f"{command.run_id}/{command.task_id}", f"is {task.status.name}{why}")
    return ResultRead(result=task.result, agent_name=task.agent_name, sequence=task.result_sequence)


def get_attempt(d: Deciding, command: GetAttempt) -> AttemptRead:
    """What the agent of an attempt is to be sent; nothing when the attempt is over."""
    attempt = d.state.attempts.get(command.attempt_token)
    if attempt is None:
        return AttemptRead(task=None)
    if attempt.fenced_at_ns:
        return AttemptRead(
            task=None, cancel_reason=attempt.cancel_reason, grace_ns=max(0, attempt.fenced_at_ns - d.now_ns)
        )
    return AttemptRead(task=_view_attempt(d, attempt))


def get_agent(d: Deciding, command: GetAgent) -> AgentRead:
    """An agent."""
    agent = d.state.agents.get(command.agent_id)
    if agent is None:
        raise NotFound("agent", command.agent_id)
    return AgentRead(agent=_view_agent(agent), sequence=d.state.sequence)


def list_agents(d: Deciding, command: ListAgents) -> AgentsRead:
    """Agents by id."""
    ids = sorted(d.state.agents)
    following = ids[bisect.bisect_right(ids, command.after_agent_id) :] if command.after_agent_id else ids
    matching = (agent for agent_id in following if _matches(agent := d.state.agents[agent_id], command))
    page = list(itertools.islice(matching, command.count_max))
    return AgentsRead(
        agents=tuple(_view_agent(agent) for agent in page),
        sequence=d.state.sequence,
        next_agent_id=page[-1].spec.agent_id if next(matching, None) is not None else "",
    )


def get_lock(d: Deciding, command: GetLock) -> LockRead:
    """A lock that is held or waited for."""
    resource = command.resource
    if resource not in d.state.locks and resource not in d.state.index.lock_queues:
        raise NotFound("lock", resource)
    return LockRead(lock=_view_lock(d.state, resource), sequence=d.state.sequence)


def list_locks(d: Deciding, command: ListLocks) -> LocksRead:
    """Locks that are held or waited for, by name."""
    names = sorted(
        name
        for name in {**d.state.locks, **d.state.index.lock_queues}
        if name > command.after_resource and name.startswith(command.prefix)
    )
    page = names[: command.count_max]
    return LocksRead(
        locks=tuple(_view_lock(d.state, name) for name in page),
        sequence=d.state.sequence,
        next_resource=page[-1] if len(names) > len(page) else "",
    )


def read_run(run: RunRow, command: GetRun, sequence: int) -> RunRead:
    """A run with the tasks that were asked for."""
    until = command.tasks_before + command.tasks_max if command.tasks_max else None
    tasks = tuple(_view_task(task) for task in itertools.islice(run.tasks.values(), command.tasks_before, until))
    return RunRead(
        run=replace(view_run(run), tasks=tasks),
        sequence=sequence,
        tasks_before=command.tasks_before,
        tasks_left=max(0, len(run.tasks) - command.tasks_before - len(tasks)),
    )


def view_run(run: RunRow) -> RunView:
    """What a reader sees of a run, without its tasks."""
    return RunView(
        run_id=run.run_id,
        name=run.spec.name,
        status=run.status,
        sequence=run.sequence,
        counts=runs.counts(run),
        submitted_at_ns=run.submitted_at_ns,
        started_at_ns=run.started_at_ns,
        finished_at_ns=run.finished_at_ns,
        deadline_ns=run.deadline_ns,
        cancelling=bool(run.cancel_reason) and not run.status.over,
        metadata=run.spec.metadata,
        traceparent=run.traceparent,
        generation=run.generation,
        open=run.open,
    )


def _view_task(task: TaskRow) -> TaskView:
    return TaskView(
        task_id=task.spec.task_id,
        target=task.spec.target,
        status=task.status,
        depends_on=task.depends_on,
        after=task.after,
        group=task.group,
        attempts=task.attempts,
        attempt_token=task.attempt_token,
        agent_id=task.agent_id,
        agent_name=task.agent_name,
        ready_at_ns=task.ready_at_ns,
        assigned_at_ns=task.assigned_at_ns,
        finished_at_ns=task.finished_at_ns,
        progress=task.progress,
        error=task.error if task.status is not TaskStatus.SUCCEEDED else None,
        has_result=task.has_result,
        priority=task.priority,
        metadata=task.spec.metadata,
    )


def _view_attempt(d: Deciding, attempt: AttemptRow) -> AgentTaskView:
    run = d.state.runs[attempt.run_id]
    task = run.tasks[attempt.task_id]
    return AgentTaskView(
        namespace=d.state.namespace,
        run_id=attempt.run_id,
        task_id=attempt.task_id,
        attempt=task.attempts,
        attempt_token=attempt.token,
        capability=task.spec.target.capability,
        input=task.spec.input,
        context=run.spec.context,
        results=_results(run, task),
        locks=tuple(locks.as_grant(d.state.grants[token]) for token in attempt.grants),
        deadline_ns=attempt.deadline_ns,
        time_left_ns=max(0, attempt.deadline_ns - d.now_ns),
        policy=attempt.policy,
        traceparent=run.traceparent,
        metadata=task.spec.metadata,
        agent_name=task.agent_name,
    )


def _results(run: RunRow, task: TaskRow) -> tuple[TaskResultView, ...]:
    """R16: results of direct dependencies by value up to 1 MiB in all, smallest first; the rest by reference."""
    sources = [run.tasks[each] for each in (*task.depends_on, *task.after) if run.tasks[each].has_result]
    left = RESULTS_INLINE_BYTES_MAX
    inline: set[str] = set()
    for source in sorted(sources, key=lambda each: len(each.result or b"")):
        left -= len(source.result or b"")
        if left < 0:
            break
        inline.add(source.spec.task_id)
    return tuple(
        TaskResultView(
            task_id=source.spec.task_id,
            agent_name=source.agent_name,
            result=source.result if source.spec.task_id in inline else None,
            by_reference=source.spec.task_id not in inline,
        )
        for source in sources
    )


def _view_agent(agent: AgentRow) -> AgentView:
    return AgentView(
        spec=agent.spec,
        status=agent.status,
        session_id=agent.session_id,
        attempt_tokens=tuple(agent.attempts),
        registered_at_ns=agent.registered_at_ns,
        circuits=tuple(
            CircuitView(
                capability=capability,
                status=row.status,
                failures=row.failures,
                until_ns=row.until_ns,
                trial_token=row.trial_token,
            )
            for capability, row in agent.circuits.items()
        ),
    )


def _matches(agent: AgentRow, command: ListAgents) -> bool:
    if command.connected and not agent.session_id:
        return False
    if command.agent_name and agent.spec.agent_name != command.agent_name:
        return False
    return not command.capability or any(each.name == command.capability for each in agent.spec.capabilities)


def _view_lock(state: NamespaceState, resource: str) -> LockView:
    row = state.locks.get(resource)
    return LockView(
        resource=resource,
        holders=() if row is None else tuple(locks.as_grant(state.grants[token]) for token in row.holders.values()),
        waiters=tuple(
            LockWaiterView(
                request_sequence=waiter.request_sequence,
                holder=waiter.holder,
                mode=next(request.mode for request in waiter.requests if request.resource == resource),
                detached=not waiter.attached,
                since_ns=waiter.since_ns,
            )
            for waiter in (state.waiters[place.sequence] for place in lock_queues.waiting_for(state, resource))
        ),
    )
