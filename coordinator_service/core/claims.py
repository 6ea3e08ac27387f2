"""Claims: ready tasks stand in the queues of the locks that they declare, and may hold others up there (R7).

A claim waits as long as its task does. It holds up later ones while an agent that could take the task has a free slot;
when those agents are only busy, or a limit leaves no room, once it has waited reserve_after, so that a task that needs
much at once is not passed for ever; and nobody while no agent serves the task at all. Whether it does is never stored:
it is a function of the tables and of the time.

Claims on a resource that are alike in everything but their place (mode, pool, policy, and the run where that has a
limit) hold others up together or not at all, so they are kept together and only the first of them is looked at.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from coordinator_service.core import capacity
from coordinator_service.core.events import ResourceAcquired
from coordinator_service.core.state import (
    AgentRow,
    Claim,
    ClaimKind,
    ClaimQueue,
    NamespaceState,
    QueueKey,
    RunRow,
    TaskRow,
)
from coordinator_service.core.values import NS_PER_MS, LockMode

if TYPE_CHECKING:
    from coordinator_service.core.deciding import Deciding

_ATTEMPT = "attempt/"


# Looking.


def is_held_up(state: NamespaceState, resource: str, mode: LockMode, holder: str, key: QueueKey, now_ns: int) -> bool:
    """Whether a conflicting claim of an earlier turn stands in the way of somebody. Notes on whom that depends."""
    kinds = state.index.claims.get(resource)
    if kinds is None:
        return False
    for kind, queue in kinds.items():
        if mode is LockMode.SHARED and kind[0] is LockMode.SHARED:
            continue
        for claim in holding_up(state, kind, queue, now_ns):
            if claim[0] >= key:
                break
            if not holder or not waits_for(state, claim, holder):
                state.index.held_up.setdefault(kind[1], {})[resource] = None
                return True
    return False


def holding_up(state: NamespaceState, kind: ClaimKind, queue: ClaimQueue, now_ns: int) -> Iterator[Claim]:
    """The claims of a kind that hold up later ones now, in the order of their turn."""
    pool = state.index.pools.get(kind[1])
    first = queue.every.first()
    if pool is None or first is None:
        return
    _, run_id, task_id = first
    run = state.runs[run_id]
    if _has_room(state, run, run.tasks[task_id]):
        for claim in queue.every:
            if state.task(claim[1], claim[2]).ready_at_ns <= now_ns:
                yield claim
    elif capacity.is_served(state, pool):
        _age(queue, now_ns - state.limits.reserve_after_ms * NS_PER_MS)
        yield from queue.reserved


def waits_for(state: NamespaceState, claim: Claim, holder: str) -> bool:
    """Whether what a claim waits for is, at first hand, that a holder gives something up: a lock, or as an attempt the
    slot or the room that the task needs. Then it must not hold that holder up."""
    _, run_id, task_id = claim
    run = state.runs[run_id]
    task = run.tasks[task_id]
    for lock in task.spec.locks:
        row = state.locks.get(lock.resource)
        if row is not None and holder in row.holders and LockMode.EXCLUSIVE in (lock.mode, row.mode):
            return True
    if not holder.startswith(_ATTEMPT):
        return False
    return int(holder.removeprefix(_ATTEMPT)) in _occupied(state, run, task)


def awaited(state: NamespaceState, claim: Claim) -> Iterator[str]:
    """Everybody that a claim waits for in the sense of waits_for: its edges in the graph of who waits for whom."""
    _, run_id, task_id = claim
    run = state.runs[run_id]
    task = run.tasks[task_id]
    for lock in task.spec.locks:
        row = state.locks.get(lock.resource)
        if row is not None and LockMode.EXCLUSIVE in (lock.mode, row.mode):
            yield from row.holders
    for token in _occupied(state, run, task):
        yield f"{_ATTEMPT}{token}"


def _has_room(state: NamespaceState, run: RunRow, task: TaskRow) -> bool:
    """Whether the task could start now but for its locks."""
    pool = state.index.pools.get(capacity.pool_name(task.spec.target))
    if pool is None or capacity.least_loaded(state, pool) is None:
        return False
    return not capacity.closed_limit(state, run, task.policy)


def _occupied(state: NamespaceState, run: RunRow, task: TaskRow) -> Iterator[int]:
    """The attempts one of which has to end before there is room for a task; none when there is."""
    limit = capacity.closed_limit(state, run, task.policy)
    for token, attempt in state.attempts.items() if limit else ():
        same_run, same_policy = attempt.run_id == run.run_id, attempt.policy == task.policy
        if limit == capacity.NAMESPACE_GATE or (same_run if limit.startswith("run:") else same_policy):
            yield token
    pool = state.index.pools.get(capacity.pool_name(task.spec.target))
    if pool is not None and capacity.least_loaded(state, pool) is None:
        for agent_id in pool.members:
            yield from state.agents[agent_id].attempts


def _age(queue: ClaimQueue, until_ns: int) -> None:
    """Claims of tasks that were ready by a time have waited long enough."""
    while (oldest := queue.young.first()) is not None and oldest[0] <= until_ns:
        queue.young.remove(oldest)
        queue.reserved.add(oldest[1])
        queue.aged[oldest[1]] = None


# What apply calls to keep claims in step.


def make(state: NamespaceState, run: RunRow, task: TaskRow) -> None:
    """A task with locks is ready, or will be at a time that is fixed."""
    claim: Claim = (task.queue_key, run.run_id, task.spec.task_id)
    for lock in task.spec.locks:
        kinds = state.index.claims.setdefault(lock.resource, {})
        kind = _kind(run, task, lock.mode)
        queue = kinds.get(kind)
        if queue is None:
            queue = kinds[kind] = ClaimQueue()
        queue.every.add(claim)
        queue.young.add((task.ready_at_ns, claim))


def end(state: NamespaceState, run: RunRow, task: TaskRow) -> None:
    """The task waits no more: it has its locks, or will never need them."""
    claim: Claim = (task.queue_key, run.run_id, task.spec.task_id)
    for lock in task.spec.locks:
        kinds = state.index.claims[lock.resource]
        kind = _kind(run, task, lock.mode)
        queue = kinds[kind]
        queue.every.remove(claim)
        if claim in queue.aged:
            del queue.aged[claim]
            queue.reserved.remove(claim)
        else:
            queue.young.remove((task.ready_at_ns, claim))
        if queue.every.first() is None:
            del kinds[kind]
            if not kinds:
                del state.index.claims[lock.resource]


def sort_again(state: NamespaceState) -> None:
    """Limits changed, and with them how long a claim waits before it holds others up."""
    waiting = {
        claim: None for kinds in state.index.claims.values() for queue in kinds.values() for claim in queue.every
    }
    state.index.claims.clear()
    for _, run_id, task_id in waiting:
        run = state.runs[run_id]
        make(state, run, run.tasks[task_id])
    state.reconsider_claims()


def _kind(run: RunRow, task: TaskRow, mode: LockMode) -> ClaimKind:
    limited_run = run.run_id if run.spec.running_max else ""
    return mode, capacity.pool_name(task.spec.target), limited_run, task.policy


# What a decision notes: who was held up by claims that may hold up nobody any more.


def note_all(state: NamespaceState) -> None:
    """Takes it that every claim holds somebody up: in a restored state nobody has looked yet."""
    for resource, kinds in state.index.claims.items():
        for _, pool, _, _ in kinds:
            state.index.held_up.setdefault(pool, {})[resource] = None


def note_assigned(state: NamespaceState, run: RunRow, agent: AgentRow, policy_name: str) -> None:
    """An agent has a free slot less, and limits have less room."""
    if capacity.closed_limit(state, run, policy_name):
        state.reconsider_claims()
        return
    for name in capacity.pools_of(agent.spec):
        if name in state.index.held_up and capacity.least_loaded(state, state.index.pools[name]) is None:
            state.index.freed.update(state.index.held_up.pop(name))


def note_cancelled(state: NamespaceState, task: TaskRow) -> None:
    """A claim ended without a grant."""
    state.index.freed.update(dict.fromkeys(lock.resource for lock in task.spec.locks))


def note_grants(d: Deciding, looked_at: int) -> int:
    """A claim waits for whoever was granted what it claims, and does not hold them up any more. How far it looked."""
    index = d.state.index
    for event in d.events[looked_at:]:
        payload = event.payload
        if not isinstance(payload, ResourceAcquired) or payload.request_sequence == payload.attempt_token:
            continue
        if payload.resource in index.claims:
            d.state.reconsider_claims()
            break
    return len(d.events)
