"""Deadlines: times in the state at which a decision is due (D7).

The shell knows when the next one is; what it means is decided here, checked again against the state as it then is.
"""

from __future__ import annotations

import heapq
from typing import TYPE_CHECKING

from coordinator_service.core import attempts, capacity, circuits, lock_queues, locks, ownership, reasons, runs
from coordinator_service.core.answers import Done
from coordinator_service.core.state import NamespaceState
from coordinator_service.core.values import RunStatus, TaskStatus

if TYPE_CHECKING:
    from coordinator_service.core.commands import Tick
    from coordinator_service.core.deciding import Deciding

DEADLINES_TIDY_MIN = 1000
"""Deadlines below which nothing is tidied."""
DUE_MAX = 1000
"""Deadlines that one decision handles; the rest are due at once after it."""


def next_deadline_ns(state: NamespaceState) -> int | None:
    """When a decision may next be due, in namespace time; None when nothing is awaited."""
    deadlines = state.index.deadlines
    while deadlines and not _stands(state, *deadlines[0]):
        heapq.heappop(deadlines)
    return deadlines[0][0] if deadlines else None


def decide_tick(d: Deciding, _command: Tick) -> Done:
    """Handles what is due."""
    for _ in range(DUE_MAX):
        deadlines = d.state.index.deadlines
        if not deadlines or deadlines[0][0] > d.now_ns:
            break
        entry = heapq.heappop(deadlines)
        if _stands(d.state, *entry):
            _handle(d, *entry[1:])
    return Done(sequence=d.state.sequence)


def _stands(state: NamespaceState, time_ns: int, kind: str, number: int, run_id: str, task_id: str) -> bool:
    """Whether a deadline still is one: what it is about may be over, or have another by now."""
    if kind == "attempt":
        attempt = state.attempts.get(number)
        return attempt is not None and not attempt.fenced_at_ns
    if kind == "fence":
        attempt = state.attempts.get(number)
        return attempt is not None and attempt.fenced_at_ns == time_ns
    if kind == "wait":
        return number in state.waiters
    if kind == "reattach":
        waiter = state.waiters.get(number)
        return waiter is not None and waiter.grace_until_ns == time_ns
    if kind == "run":
        run = state.runs.get(run_id)
        return run is not None and run.deadline_ns == time_ns and not run.status.over and not run.cancel_reason
    if kind == "circuit":
        agent = state.agents.get(run_id)  # whose circuit it is, for the capability in the last place
        row = None if agent is None else agent.circuits.get(task_id)
        return row is not None and row.until_ns == time_ns
    if kind == "backoff":
        run = state.runs.get(run_id)
        task = None if run is None else run.tasks.get(task_id)
        return task is not None and task.status is TaskStatus.BACKING_OFF and task.ready_at_ns == time_ns
    return True


def _handle(d: Deciding, kind: str, number: int, run_id: str, task_id: str) -> None:
    state = d.state
    if kind == "attempt":
        attempts.request_stop(d, state.attempts[number], reasons.ATTEMPT_TIMED_OUT, number)
    elif kind == "fence":
        attempts.stop(d, state.attempts[number], reasons.ATTEMPT_FENCED)
    elif kind == "wait":
        locks.time_out(d, state.waiters[number])
    elif kind == "reattach":
        waiter = state.waiters[number]
        locks.withdraw(d, waiter, reasons.NOT_REATTACHED)
        locks.pump(d, [request.resource for request in waiter.requests])
    elif kind == "run":
        runs.cancel(d, state.runs[run_id], RunStatus.TIMED_OUT, reasons.RUN_TIMED_OUT)
    elif kind == "backoff":
        capacity.offer(state, run_id, state.task(run_id, task_id))
    elif kind == "circuit":
        circuits.half_open(d, run_id, task_id)
    elif kind == "hold":
        ownership.end_hold(d)


def tidy(state: NamespaceState) -> None:
    """Drops what no longer stands once that may be most of it, so that the heap grows with what lives."""
    deadlines = [entry for entry in state.index.deadlines if _stands(state, *entry)]
    heapq.heapify(deadlines)
    state.index.deadlines = deadlines
    state.index.deadlines_tidy_at = max(DEADLINES_TIDY_MIN, 2 * len(deadlines))


def rebuild(state: NamespaceState) -> None:
    """Notes every deadline that the tables hold."""
    state.index.deadlines.clear()
    for attempt in state.attempts.values():
        if attempt.fenced_at_ns:
            state.add_deadline(attempt.fenced_at_ns, "fence", attempt.token)
        else:
            state.add_deadline(attempt.deadline_ns, "attempt", attempt.token)
    for waiter in state.waiters.values():
        state.add_deadline(waiter.deadline_ns, "wait", waiter.request_sequence)
        if waiter.grace_until_ns:
            state.add_deadline(waiter.grace_until_ns, "reattach", waiter.request_sequence)
    for agent_id, agent in state.agents.items():
        for capability, row in agent.circuits.items():
            if row.until_ns:
                state.add_deadline(row.until_ns, "circuit", 0, agent_id, capability)
    hold_until_ns = lock_queues.hold_until_ns(state)
    if hold_until_ns > state.time_ns:
        state.add_deadline(hold_until_ns, "hold")
    for run in state.runs.values():
        if run.status.over:
            continue
        state.add_deadline(run.deadline_ns, "run", 0, run.run_id)
        for task_id, task in run.tasks.items():
            if task.status is TaskStatus.BACKING_OFF:
                state.add_deadline(task.ready_at_ns, "backoff", 0, run.run_id, task_id)
