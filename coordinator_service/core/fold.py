"""From tables to a state that can decide: the index is rebuilt from the rows."""

from __future__ import annotations

import heapq

from coordinator_service.core import capacity, claims, deadlines, guards, lock_queues, trails
from coordinator_service.core.sorted_keys import SortedKeys
from coordinator_service.core.state import NamespaceState, Tables
from coordinator_service.core.values import TaskStatus


def restored(namespace: str, tables: Tables) -> NamespaceState:
    """The state that a snapshot holds the tables of."""
    state = NamespaceState(namespace, tables)
    for agent in state.agents.values():
        if agent.session_id:
            state.index.sessions[agent.session_id] = agent.spec.agent_id
            capacity.join_pools(state, agent)
    gone = [(each.disconnected_at_ns, each.spec.agent_id) for each in state.agents.values() if not each.session_id]
    state.index.disconnected.extend(sorted(gone))  # a heap
    _restore_runs(state)
    claims.note_all(state)
    lock_queues.restore(state)
    for grant in state.grants.values():
        for path in guards.paths(grant):
            guards.add(state, grant, path)
    state.index.keys = SortedKeys(state.entries)
    state.index.past.extend(state.past)
    trails.rebuild(state)
    for key, row in state.requests.items():
        state.index.request_ages.append((row.time_ns, key, row.first_sequence))
        if row.outcome:
            state.index.acquires[row.first_sequence] = row
    state.index.published_ages.extend((row.time_ns, key, row.sequence) for key, row in state.published.items())
    state.index.evicted_ages.extend((row.finished_at_ns, run_id) for run_id, row in state.evicted.items())
    deadlines.rebuild(state)
    return state


def _restore_runs(state: NamespaceState) -> None:
    finished = []
    for run in state.runs.values():
        if run.status.over:
            finished.append((run.finished_at_ns, run.completed_sequence, run.run_id))
            continue
        for task in run.tasks.values():
            for each in () if task.status.over else (*task.depends_on, *task.after):
                state.index.dependents.setdefault((run.run_id, each), []).append(task.spec.task_id)
            if task.status is TaskStatus.READY:
                capacity.offer(state, run.run_id, task)
            if task.spec.locks and capacity.is_waiting(task):
                claims.make(state, run, task)
    state.index.finished_runs.extend((at_ns, run_id) for at_ns, _, run_id in sorted(finished))
    running = state.index.policy_running
    for attempt in state.attempts.values():
        running[attempt.policy] = running.get(attempt.policy, 0) + 1


def tidy(state: NamespaceState) -> None:
    """Drops from the pools what no longer stands. Where nothing is decided nobody takes from them, so that they would
    grow with what happened, not with what lives."""
    for pool in state.index.pools.values():
        pool.ready = [entry for entry in pool.ready if capacity.is_queued(state, *entry)]
        heapq.heapify(pool.ready)
        pool.listed = {entry for entry in pool.listed if entry[1] in pool.members}
        pool.idle = [entry for entry in pool.idle if entry in pool.listed]
        heapq.heapify(pool.idle)
