"""Capacity: which agents could take a task, and what room the limits leave (R6).

Tasks that ask for the same target (a capability, an agent name, an agent id) wait in one pool, and the agents that
answer to it are its members, those with a free slot listed by load.
"""

from __future__ import annotations

import heapq
from collections.abc import Iterator

from coordinator_service.core.policies import policy_of
from coordinator_service.core.specs import AgentSpec, TaskTarget
from coordinator_service.core.state import AgentRow, NamespaceState, Pool, QueueKey, RunRow, TaskRow
from coordinator_service.core.values import CircuitStatus, TaskStatus

NAMESPACE_GATE = "namespace"


def pool_name(target: TaskTarget) -> str:
    """The pool that tasks for a target wait in."""
    if target.capability:
        return f"capability:{target.capability}"
    return f"name:{target.agent_name}" if target.agent_name else f"id:{target.agent_id}"


def pools_of(spec: AgentSpec) -> list[str]:
    """The pools that an agent takes tasks from."""
    names = [f"capability:{capability.name}" for capability in spec.capabilities]
    own = [f"name:{spec.agent_name}", f"id:{spec.agent_id}"] if names else [f"id:{spec.agent_id}"]
    return list(dict.fromkeys([*names, *own]))


# Agents.


def join_pools(state: NamespaceState, agent: AgentRow) -> None:
    """The agent's session began, or it describes itself anew."""
    for name in pools_of(agent.spec):
        _pool(state, name).members[agent.spec.agent_id] = None
    offer_agent(state, agent)
    reconsider(state, agent)


def leave_pools(state: NamespaceState, agent: AgentRow) -> None:
    """The agent's session ended, or it is about to describe itself anew."""
    reconsider(state, agent)
    for name in pools_of(agent.spec):
        pool = state.index.pools[name]
        pool.members.pop(agent.spec.agent_id, None)
        if not pool.members and first_key(state, pool.ready) is None:
            del state.index.pools[name]
            state.index.stirred.pop(name, None)


def offer_agent(state: NamespaceState, agent: AgentRow) -> None:
    """Notes in its pools that an agent may take a task, and that this may be what a task there waits for."""
    if not takes_tasks(agent):
        return
    for name in list_agent(state, agent):
        state.index.stirred[name] = None


def list_agent(state: NamespaceState, agent: AgentRow) -> list[str]:
    """Enters an agent into its pools under its load; those of the pools where tasks wait."""
    entry = (len(agent.attempts), agent.spec.agent_id)
    waiting = []
    for name in pools_of(agent.spec):
        pool = state.index.pools[name]
        if entry not in pool.listed:
            pool.listed.add(entry)
            heapq.heappush(pool.idle, entry)
        if pool.ready:
            waiting.append(name)
    return waiting


def takes_tasks(agent: AgentRow) -> bool:
    """Whether an agent may be given a task now, as far as it is concerned (R6)."""
    return serves(agent) and len(agent.attempts) < agent.spec.slots


def serves(agent: AgentRow) -> bool:
    """Whether an agent may be given a task now or as soon as it has a free slot."""
    return bool(agent.session_id) and agent.attached and not agent.draining


def is_served(state: NamespaceState, pool: Pool) -> bool:
    """Whether some agent serves a pool, busy or not."""
    return any(serves(agent) and admits(agent, pool.capability) for agent in _members(state, pool))


def could_take(agent: AgentRow, pool: Pool) -> bool:
    """Whether a member of a pool may be given a task of it now."""
    return takes_tasks(agent) and admits(agent, pool.capability)


def admits(agent: AgentRow, capability: str) -> bool:
    """Whether an agent's circuit lets a task through: closed, or half-open without a trial (R6, R14)."""
    row = agent.circuits.get(capability) if agent.circuits else None
    if row is None or row.status is CircuitStatus.CLOSED:
        return True
    return row.status is CircuitStatus.HALF_OPEN and not row.trial_token


def least_loaded(state: NamespaceState, pool: Pool) -> AgentRow | None:
    """The least loaded agent that may take a task of the pool, ties by id; entries that no longer stand are dropped."""
    while pool.idle:
        load, agent_id = pool.idle[0]
        agent = state.agents.get(agent_id)
        if agent is not None and agent_id in pool.members and could_take(agent, pool) and len(agent.attempts) == load:
            return agent
        pool.listed.discard(heapq.heappop(pool.idle))
    return None


def reconsider(state: NamespaceState, agent: AgentRow) -> None:
    """Notes that an agent may serve less than before: claims that counted on it may hold up nobody any more (R7)."""
    if not state.index.held_up:
        return
    for name in pools_of(agent.spec):
        state.index.freed.update(state.index.held_up.pop(name, {}))


# Tasks.


def offer(state: NamespaceState, run_id: str, task: TaskRow) -> None:
    """Puts a ready task into its pool."""
    name = pool_name(task.spec.target)
    heapq.heappush(_pool(state, name).ready, (task.queue_key, run_id, task.spec.task_id))
    state.index.stirred[name] = None


def is_waiting(task: TaskRow) -> bool:
    """Whether the task waits for an agent (or backs off: its time is checked by the deadline that offers it)."""
    return task.status in (TaskStatus.READY, TaskStatus.BACKING_OFF)


def first_key(state: NamespaceState, heap: list[tuple[QueueKey, str, str]]) -> QueueKey | None:
    """The key of the first task that still waits; entries that no longer stand are dropped."""
    while heap:
        if is_queued(state, *heap[0]):
            return heap[0][0]
        heapq.heappop(heap)
    return None


def is_queued(state: NamespaceState, key: QueueKey, run_id: str, task_id: str) -> bool:
    """Whether an entry of a pool still stands for a task that waits."""
    run = state.runs.get(run_id)
    task = None if run is None else run.tasks.get(task_id)
    return task is not None and task.queue_key == key and is_waiting(task)


# Limits.


def closed_limit(state: NamespaceState, run: RunRow, policy_name: str) -> str:
    """The gate of the limit that leaves no room for another task of a run under a policy; empty when all do."""
    if len(state.attempts) >= state.limits.agents_running_max:
        return NAMESPACE_GATE
    if run.spec.running_max and run.running >= run.spec.running_max:
        return f"run:{run.run_id}"
    policy = policy_of(state, policy_name)
    if policy.running_max and state.index.policy_running.get(policy_name, 0) >= policy.running_max:
        return f"policy:{policy_name}"
    return ""


def limits_in_force(state: NamespaceState, run: RunRow, policy_name: str) -> Iterator[tuple[str, int, int]]:
    """All that closed_limit looks at, for whoever has to be told: what it is called, what it allows, what is in use."""
    yield "agents_running_max of the namespace", state.limits.agents_running_max, len(state.attempts)
    if run.spec.running_max:
        yield f"running_max of run {run.run_id}", run.spec.running_max, run.running
    policy = policy_of(state, policy_name)
    if policy.running_max:
        running = state.index.policy_running.get(policy_name, 0)
        yield f"running_max of policy {policy_name}", policy.running_max, running


def _pool(state: NamespaceState, name: str) -> Pool:
    pool = state.index.pools.get(name)
    if pool is None:
        kind, _, capability = name.partition(":")
        pool = state.index.pools[name] = Pool(capability=capability if kind == "capability" else "")
    return pool


def _members(state: NamespaceState, pool: Pool) -> Iterator[AgentRow]:
    return (state.agents[agent_id] for agent_id in pool.members)
