"""The scheduler: which ready task goes to which agent, and when (R4 to R6).

A task is ready the moment everything it waits for is over. Ready tasks that ask for the same target (a capability, an
agent name, an agent id) wait in one pool, ordered by a key that is fixed when they are queued, so that a decision costs
O(log n) whatever the backlog. A task that a limit or a held lock stands in the way of is parked at that gate and comes
back to its pool when the gate opens. An assignment takes all the locks that the task declares in the same decision, or
does not happen: nobody sits idle holding half of what it needs.
"""

from __future__ import annotations

import heapq
from typing import TYPE_CHECKING

from coordinator_service.core import capacity, circuits, claims, lock_queues, locks, reasons, subjects
from coordinator_service.core.events import Event, TaskAssigned
from coordinator_service.core.policies import policy_of
from coordinator_service.core.state import AgentRow, AttemptRow, NamespaceState, QueueKey, RunRow, TaskRow
from coordinator_service.core.values import NS_PER_MS, NS_PER_SECOND, RunStatus, TaskStatus

if TYPE_CHECKING:
    from coordinator_service.core.deciding import Deciding


def queue_key(state: NamespaceState, priority: int, ready_at_ns: int, load: int, sequence: int) -> QueueKey:
    """R5: ready_at less what the priority is worth in waiting, in whole ageing steps; then load; then sequence."""
    step_ns = state.limits.ageing_step_ms * NS_PER_MS
    return ((ready_at_ns - priority * step_ns) // step_ns, load, sequence)


# What apply calls to keep tasks, agents and pools in step.


def make_ready(state: NamespaceState, run: RunRow, task: TaskRow, ready_at_ns: int) -> None:
    """The task waits for nothing but an agent from now on."""
    task.ready_at_ns = ready_at_ns
    task.queue_key = queue_key(state, task.priority, ready_at_ns, run.load, task.sequence)
    run.move(task, TaskStatus.READY)
    capacity.offer(state, run.run_id, task)
    if task.spec.locks:
        claims.make(state, run, task)


def back_off(state: NamespaceState, run: RunRow, task: TaskRow, ready_at_ns: int) -> None:
    """The task is ready again at a time, in a place in its queue that is fixed now; its deadline offers it."""
    task.ready_at_ns = ready_at_ns
    task.queue_key = queue_key(state, task.priority, ready_at_ns, run.load, task.sequence)
    run.move(task, TaskStatus.BACKING_OFF)
    state.add_deadline(ready_at_ns, "backoff", 0, run.run_id, task.spec.task_id)
    if task.spec.locks:
        claims.make(state, run, task)


def apply_assigned(state: NamespaceState, event: Event, payload: TaskAssigned) -> None:
    """The agent has the task; the event's sequence is the attempt token."""
    run = state.runs[event.run_id]
    task = run.tasks[event.task_id]
    if run.status is RunStatus.PENDING:
        run.status = RunStatus.RUNNING
        run.started_at_ns = event.time_ns
    if task.spec.locks:
        claims.end(state, run, task)
    run.move(task, TaskStatus.RUNNING)
    task.attempts = payload.attempt
    task.attempt_token = event.sequence
    task.agent_id = event.agent_id
    task.agent_name = event.agent_name
    task.assigned_at_ns = event.time_ns
    task.progress = None
    state.attempts[event.sequence] = AttemptRow(
        token=event.sequence,
        run_id=event.run_id,
        task_id=event.task_id,
        agent_id=event.agent_id,
        session_id=payload.session_id,
        assigned_at_ns=event.time_ns,
        deadline_ns=payload.deadline_ns,
        policy=payload.policy,
    )
    state.index.policy_running[payload.policy] = state.index.policy_running.get(payload.policy, 0) + 1
    state.add_deadline(payload.deadline_ns, "attempt", event.sequence)
    agent = state.agents[event.agent_id]
    agent.attempts[event.sequence] = None
    if agent.circuits:
        circuits.note_assigned(agent, task.spec.target.capability, event.sequence)
    if capacity.takes_tasks(agent):
        capacity.list_agent(state, agent)
    if state.index.held_up:
        claims.note_assigned(state, run, agent, payload.policy)


def close_attempt(state: NamespaceState, token: int) -> None:
    """The attempt lives no more: its agent has a free slot, its gates open."""
    attempt = state.attempts.pop(token)
    left = state.index.policy_running[attempt.policy] - 1
    if left:
        state.index.policy_running[attempt.policy] = left
    else:
        del state.index.policy_running[attempt.policy]
    agent = state.agents.get(attempt.agent_id)
    if agent is not None:
        agent.attempts.pop(token, None)
        if agent.circuits:
            circuits.forget_trial(agent, token)
        capacity.offer_agent(state, agent)
    if state.index.gone_held:
        state.forget_at(state.time_ns)
    if state.index.parked:
        state.open_gate(f"run:{attempt.run_id}")
        state.open_gate(f"policy:{attempt.policy}")
        state.open_gate(capacity.NAMESPACE_GATE)


# Deciding.


def settle(d: Deciding) -> None:
    """Assigns and grants until nothing that the decision did makes another assignment or grant possible."""
    index = d.state.index
    looked_at = 0
    while True:
        if index.held_up:
            looked_at = claims.note_grants(d, looked_at)
        if index.freed:
            resources = sorted(index.freed)
            index.freed.clear()
            locks.pump(d, resources)
        elif index.stirred or index.opened:
            assign_ready(d)
        else:
            return


def assign_ready(d: Deciding) -> None:
    """Assigns until nothing that happened makes another assignment possible.

    Pools and gates where something changed are looked at in the order of their first task, so that of all tasks that
    may go now the first by R5 goes first, wherever it waits.
    """
    index = d.state.index
    order: list[tuple[QueueKey, bool, str]] = []
    while index.stirred or index.opened or order:
        if index.stirred or index.opened:
            _gather(d.state, order)
            continue
        key, is_gate, name = heapq.heappop(order)
        following = _let_one_through(d, name) if is_gate else _assign_one(d, name, key)
        if following is not None:
            heapq.heappush(order, (following, is_gate, name))


def _gather(state: NamespaceState, order: list[tuple[QueueKey, bool, str]]) -> None:
    """Takes note of the pools and gates where something changed."""
    index = state.index
    for name in index.stirred:
        pool = index.pools.get(name)
        key = None if pool is None else capacity.first_key(state, pool.ready)
        if key is not None:
            heapq.heappush(order, (key, False, name))
    index.stirred.clear()
    for gate in index.opened:
        key = capacity.first_key(state, index.parked.get(gate, []))
        if key is None:
            index.parked.pop(gate, None)
        else:
            heapq.heappush(order, (key, True, gate))
    index.opened.clear()


def _assign_one(d: Deciding, name: str, key: QueueKey) -> QueueKey | None:
    """Assigns the first task of a pool, or parks it; the key of the next one while there is an agent for it."""
    state = d.state
    pool = state.index.pools[name]
    first = capacity.first_key(state, pool.ready)
    if first != key:
        return first
    agent = capacity.least_loaded(state, pool)
    if agent is None:
        return None
    entry = heapq.heappop(pool.ready)
    run = state.runs[entry[1]]
    task = run.tasks[entry[2]]
    gate = closed_gate(state, run, task, d.now_ns)
    if gate:
        heapq.heappush(state.index.parked.setdefault(gate, []), entry)
    else:
        _assign(d, run, task, agent)
    return capacity.first_key(state, pool.ready)


def _let_one_through(d: Deciding, gate: str) -> QueueKey | None:
    """Offers the first task parked at a gate to its pool, if the gate is open for it; the key of the next one then."""
    state = d.state
    parked = state.index.parked.get(gate)
    if parked is None or capacity.first_key(state, parked) is None:
        state.index.parked.pop(gate, None)
        return None
    _, run_id, task_id = parked[0]
    run = state.runs[run_id]
    task = run.tasks[task_id]
    if closed_gate(state, run, task, d.now_ns) == gate:
        return None
    heapq.heappop(parked)
    capacity.offer(state, run_id, task)
    following = capacity.first_key(state, parked)
    if following is None:
        del state.index.parked[gate]
    return following


def _assign(d: Deciding, run: RunRow, task: TaskRow, agent: AgentRow) -> None:
    policy = policy_of(d.state, task.policy)
    limit_ns = task.spec.max_execution_time_ns or policy.max_execution_time_ns or 0
    upstream = (run.tasks[each].over_sequence for each in (*task.depends_on, *task.after))
    caused_by = max((task.again_sequence, *upstream))
    assigned = d.emit(
        TaskAssigned(
            attempt=task.attempts + 1,
            session_id=agent.session_id,
            deadline_ns=d.now_ns + limit_ns,
            policy=task.policy,
            wait_time_seconds=(d.now_ns - task.ready_at_ns) / NS_PER_SECOND,
        ),
        reason=reasons.RETRY_DUE if task.attempts else reasons.DEPENDENCIES_MET,
        cause=caused_by or task.sequence,
        about=subjects.of_agent(agent)._replace(
            run_id=run.run_id, task_id=task.spec.task_id, traceparent=run.traceparent
        ),
    )
    locks.grant_task_locks(d, task.spec.locks, assigned)


def closed_gate(state: NamespaceState, run: RunRow, task: TaskRow, now_ns: int) -> str:
    """What stands in the way of a task that has an agent: a limit or a lock; empty when nothing does (R6)."""
    limit = capacity.closed_limit(state, run, task.policy)
    if limit:
        return limit
    for lock in task.spec.locks:
        if lock_queues.is_obstructed(state, lock.resource, lock.mode, "", task.queue_key, now_ns):
            return lock_queues.gate(lock.resource, lock.mode)
    return ""
