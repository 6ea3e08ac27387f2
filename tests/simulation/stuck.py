"""Invariant 8 as it can be seen at any moment: nobody waits for what is free.

Written against the tables alone and with none of the core's own queues, so that a wake-up that the core loses is found
at the very decision that loses it.
"""

from __future__ import annotations

from coordinator_service.core.invariants import InvariantBroken
from coordinator_service.core.policies import policy_of
from coordinator_service.core.specs import AgentSpec, TaskTarget
from coordinator_service.core.state import AgentRow, NamespaceState, QueueKey, RunRow, TaskRow
from coordinator_service.core.values import NS_PER_MS, CircuitStatus, LockMode, TaskStatus


def check_nobody_stuck(state: NamespaceState) -> None:
    """Raises InvariantBroken when a waiter could be granted, or a ready task assigned."""
    for waiter in state.waiters.values():
        if waiter.attached and all(
            _is_free(state, request.resource, request.mode, waiter.holder, waiter.queue_key, waiter.passes)
            for request in waiter.requests
        ):
            raise InvariantBroken(f"8: waiter {waiter.request_sequence} waits for what is free")
    for run in state.runs.values():
        if run.status.over or run.cancel_reason:
            continue
        for task in run.tasks.values():
            if task.status is TaskStatus.READY and _fits(state, run, task):
                for agent in state.agents.values():
                    if _could_take(agent, task.spec.target) and _admits(agent, task.spec.target):
                        raise InvariantBroken(
                            f"8: {run.run_id}/{task.spec.task_id} waits although {agent.spec.agent_id} could take it"
                        )


def _is_free(
    state: NamespaceState, resource: str, mode: LockMode, holder: str, key: QueueKey, passes: tuple[int, ...] = ()
) -> bool:
    row = state.locks.get(resource)
    if row is not None:
        others = [name for name in row.holders if name != holder]
        if others and LockMode.EXCLUSIVE in (mode, row.mode):
            return False
        if holder in row.holders and mode is LockMode.EXCLUSIVE and row.mode is LockMode.SHARED:
            return False
    # The detached block others until the end of the hold is decided (L6).
    held = any(kind == "hold" for _, kind, *_ in state.index.deadlines)
    for other in state.waiters.values():
        # Of two that conflict the later waits for the earlier, unless it passes it (L2).
        first = other.queue_key < key and other.request_sequence not in passes
        if other.holder == holder or not (first or key[2] in other.passes):
            continue
        if not other.attached and not held:
            continue
        for request in other.requests:
            if request.resource == resource and LockMode.EXCLUSIVE in (mode, request.mode):
                return False
    return not _claimed(state, resource, mode, holder, key)


def _claimed(state: NamespaceState, resource: str, mode: LockMode, holder: str, key: QueueKey) -> bool:
    """R7: whether a ready task of an earlier turn holds somebody up."""
    for run in state.runs.values():
        for task in run.tasks.values():
            ready = task.status in (TaskStatus.READY, TaskStatus.BACKING_OFF) and task.ready_at_ns <= state.time_ns
            wants = [lock.mode for lock in task.spec.locks if lock.resource == resource]
            if not ready or not wants or task.queue_key >= key or LockMode.EXCLUSIVE not in (mode, *wants):
                continue
            if _holds_up(state, run, task, holder):
                return True
    return False


def _holds_up(state: NamespaceState, run: RunRow, task: TaskRow, holder: str) -> bool:
    serving = [agent for agent in state.agents.values() if _serves(agent.spec, task.spec.target)]
    there = [agent for agent in serving if agent.session_id and agent.attached and not agent.draining]
    there = [agent for agent in there if _admits(agent, task.spec.target)]
    if not there:
        return False
    for lock in task.spec.locks:
        row = state.locks.get(lock.resource)
        if row is not None and holder in row.holders and LockMode.EXCLUSIVE in (lock.mode, row.mode):
            return False
    limit = _reached(state, run, task)
    free_slot = any(len(agent.attempts) < agent.spec.slots for agent in there)
    if free_slot and not limit:
        return True
    if task.ready_at_ns + state.limits.reserve_after_ms * NS_PER_MS > state.time_ns:
        return False
    attempt = state.attempts.get(int(holder.partition("/")[2])) if holder.startswith("attempt/") else None
    if attempt is None:
        return True
    if not free_slot and any(attempt.agent_id == agent.spec.agent_id and agent.session_id for agent in serving):
        return False
    occupies = {"namespace": True, "run": attempt.run_id == run.run_id, "policy": attempt.policy == task.policy}
    return not (limit and occupies[limit])


def _reached(state: NamespaceState, run: RunRow, task: TaskRow) -> str:
    """The first limit that leaves no room."""
    if len(state.attempts) >= state.limits.agents_running_max:
        return "namespace"
    if run.spec.running_max and run.running >= run.spec.running_max:
        return "run"
    policy = policy_of(state, task.policy)
    running = sum(1 for attempt in state.attempts.values() if attempt.policy == task.policy)
    return "policy" if policy.running_max and running >= policy.running_max else ""


def _fits(state: NamespaceState, run: RunRow, task: TaskRow) -> bool:
    return not _reached(state, run, task) and all(
        _is_free(state, lock.resource, lock.mode, "", task.queue_key) for lock in task.spec.locks
    )


def _could_take(agent: AgentRow, target: TaskTarget) -> bool:
    if not agent.session_id or not agent.attached or agent.draining or len(agent.attempts) >= agent.spec.slots:
        return False
    return _serves(agent.spec, target)


def _admits(agent: AgentRow, target: TaskTarget) -> bool:
    """R14: closed, or half-open without a trial that runs."""
    row = agent.circuits.get(target.capability)
    if row is None or row.status is CircuitStatus.CLOSED:
        return True
    return row.status is CircuitStatus.HALF_OPEN and row.trial_token not in agent.attempts


def _serves(spec: AgentSpec, target: TaskTarget) -> bool:
    if target.agent_id:
        return spec.agent_id == target.agent_id
    if target.agent_name:
        return bool(spec.capabilities) and spec.agent_name == target.agent_name
    return any(capability.name == target.capability for capability in spec.capabilities)
