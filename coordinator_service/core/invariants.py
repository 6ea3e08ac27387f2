"""Invariants: what must hold of every state, checked by tests and by the simulator after every step
(docs/semantics.md).
"""

from __future__ import annotations

from collections import Counter

from coordinator_service.core import capacity, guards, lock_queues, scheduler
from coordinator_service.core.state import NamespaceState, RunRow
from coordinator_service.core.values import LockMode, TaskStatus

_UNDER_WAY = frozenset((TaskStatus.RUNNING, TaskStatus.CANCELLING))
_STARTED = _UNDER_WAY | {TaskStatus.READY, TaskStatus.SUCCEEDED}


class InvariantBroken(AssertionError):  # noqa: N818 (it says what happened)
    """A state that must never be. The message begins with the number of the invariant."""


def check_invariants(state: NamespaceState) -> None:
    """Raises InvariantBroken when the state breaks one."""
    _check_locks(state)
    _check_attempts(state)
    for run in state.runs.values():
        _check_run(state, run)
    _check_waiters(state)
    _check_no_cycle(state)
    _check_nothing_overlooked(state)
    _check_shared_state(state)


def _require(holds: bool, number: int, what: str) -> None:
    if not holds:
        raise _broken(number, what)


def _broken(number: int, what: str) -> InvariantBroken:
    """Where much is looked at, the words are found only when something is wrong."""
    return InvariantBroken(f"{number}: {what}")


def _check_locks(state: NamespaceState) -> None:
    listed = 0
    for resource, row in state.locks.items():
        _require(bool(row.holders), 1, f"{resource} is listed as held by nobody")
        if row.mode is LockMode.EXCLUSIVE:
            _require(len(row.holders) == 1, 1, f"{resource} has {len(row.holders)} exclusive holders")
        for holder, token in row.holders.items():
            listed += 1
            grant = state.grants.get(token)
            _require(grant is not None, 1, f"{resource}: grant {token} is gone")
            assert grant is not None
            _require(
                grant.holder == holder and grant.resource == resource, 1, f"{resource}: grant {token} is another's"
            )
            _require(grant.mode is row.mode, 1, f"{resource}: modes are mixed")
            _require(grant.count >= 1, 1, f"grant {token} stands on nothing")
            listed_guards = all(token in state.index.guarded.get(path, ()) for path in guards.paths(grant))
            _require(listed_guards, 1, f"grant {token} guards a path that it is not found by")
            _require(token <= state.sequence, 2, f"fencing token {token} lies in the future")
            if grant.attempt_token:
                _require(grant.attempt_token in state.attempts, 4, f"grant {token} outlived its attempt")
            elif grant.session_id:
                _require(grant.session_id in state.index.sessions, 4, f"grant {token} outlived its session")
    _require(listed == len(state.grants), 1, "a grant is listed under no lock")
    guarding = {token for tokens in state.index.guarded.values() for token in tokens}
    guarding.update(token for tokens in state.index.guarded_within.values() for token in tokens)
    _require(guarding <= state.grants.keys(), 1, "a lock that is gone still guards a path")


def _check_attempts(state: NamespaceState) -> None:
    if len(state.attempts) > state.limits.agents_running_max:
        newest_ns = max(attempt.assigned_at_ns for attempt in state.attempts.values())
        _require(newest_ns <= state.owner_since_ns, 9, "an assignment exceeded agents_running_max")
    current = Counter((attempt.run_id, attempt.task_id) for attempt in state.attempts.values())
    for (run_id, task_id), count in current.items():
        _require(count == 1, 4, f"{run_id}/{task_id} has {count} live attempts")
    for token, attempt in state.attempts.items():
        task = state.runs[attempt.run_id].tasks[attempt.task_id]
        if task.attempt_token != token:
            raise _broken(4, f"attempt {token} is not its task's current one")
        if task.status not in _UNDER_WAY:
            raise _broken(4, f"attempt {token}: {task.status.name}")
        agent = state.agents[attempt.agent_id]
        if token not in agent.attempts:
            raise _broken(4, f"attempt {token} is not listed by its agent")
        if agent.session_id != attempt.session_id:
            raise _broken(4, f"attempt {token} outlived its session")
    for agent in state.agents.values():
        if not state.attempts.keys() >= set(agent.attempts):
            raise _broken(4, f"{agent.spec.agent_id} lists a dead attempt")


def _check_run(state: NamespaceState, run: RunRow) -> None:
    tally = Counter(task.status for task in run.tasks.values())
    counted = {status: count for status, count in run.tally.items() if count}
    _require(dict(tally) == counted, 7, f"{run.run_id}: tally {counted} is not {dict(tally)}")
    if run.spec.running_max:
        _require(run.running <= run.spec.running_max, 9, f"{run.run_id} runs more than running_max")
    for task_id, task in run.tasks.items():
        if task.status in _STARTED:
            for each in task.depends_on:
                if run.tasks[each].status is not TaskStatus.SUCCEEDED:
                    raise _broken(3, f"{run.run_id}/{task_id} is {task.status.name} but {each} has not succeeded")
            # What succeeded in an earlier generation is not done again after what is.
            done_before = run.generation > 1 and task.status is TaskStatus.SUCCEEDED
            for each in () if done_before else task.after:
                if not run.tasks[each].status.over:
                    raise _broken(3, f"{run.run_id}/{task_id} started before {each} was over")
        if task.status in _UNDER_WAY and task.attempt_token not in state.attempts:
            raise _broken(4, f"{run.run_id}/{task_id} runs without an attempt")
    over = all(task.status.over for task in run.tasks.values()) and not (run.open and not run.cancel_reason)
    _require(run.status.over == over, 8, f"{run.run_id} is {run.status.name} but its tasks say otherwise")


def _check_waiters(state: NamespaceState) -> None:
    for sequence, waiter in state.waiters.items():
        _require(waiter.deadline_ns > 0, 8, f"waiter {sequence} would wait for ever")
        if waiter.attempt_token:
            _require(waiter.attempt_token in state.attempts, 8, f"waiter {sequence} outlived its attempt")
        elif waiter.session_id:
            _require(waiter.session_id in state.index.sessions, 8, f"waiter {sequence} outlived its session")
        for request in waiter.requests:
            queue = state.index.lock_queues.get(request.resource)
            line = set() if queue is None else {each for _, each in lock_queues.in_order(queue)}
            aside = queue is not None and not waiter.attached and sequence in queue.aside
            _require((sequence in line) is not aside, 8, f"waiter {sequence} is in no queue of {request.resource}")


def _check_no_cycle(state: NamespaceState) -> None:
    """L4: nobody waits for itself, over whatever holders and places. Those who are detached do not count."""
    waits: dict[str, set[str]] = {}
    places = [state.index.places[each.request_sequence] for each in state.waiters.values() if each.attached]
    for place in places:
        ahead = waits.setdefault(place.holder, set())
        for resource, mode in place.wants.items():
            row = state.locks.get(resource)
            if row is not None and LockMode.EXCLUSIVE in (mode, row.mode):
                ahead.update(row.holders)
            for other in places:
                if lock_queues.waits_for(place, other, resource):
                    ahead.add(other.holder)
        ahead.discard(place.holder)
    while waits:
        free = [holder for holder, ahead in waits.items() if not ahead & waits.keys()]
        _require(bool(free), 8, f"these wait for each other: {sorted(waits)}")
        for holder in free:
            del waits[holder]


def _check_nothing_overlooked(state: NamespaceState) -> None:
    """Nobody waits for what is there: neither a lock request nor a ready task. Between two decisions only."""
    if (
        state.index.stirred
        or state.index.opened
        or state.index.freed
        or any(kind == "hold" for _, kind, *_ in state.index.deadlines)
    ):
        return
    for sequence, waiter in state.waiters.items():
        place = state.index.places[sequence]
        free = waiter.attached and not lock_queues.is_blocked(state, place, state.time_ns)
        _require(not free, 8, f"waiter {sequence} was overlooked")
    for run in state.runs.values():
        for task_id, task in run.tasks.items():
            if task.status is not TaskStatus.READY:
                continue
            pool = state.index.pools.get(capacity.pool_name(task.spec.target))
            members = () if pool is None else pool.members
            served = pool is not None and any(capacity.could_take(state.agents[each], pool) for each in members)
            if served and not scheduler.closed_gate(state, run, task, state.time_ns):
                raise _broken(8, f"{run.run_id}/{task_id} was overlooked")


def _check_shared_state(state: NamespaceState) -> None:
    _require(list(state.index.keys) == sorted(state.entries), 7, "the sorted keys are not those of the entries")
    kept = sum(len(row.values) for row in state.past.values())
    _require(kept == state.past_values, 7, f"{state.past_values} past values are {kept}")
    _require(kept <= state.limits.state_history_values_max, 9, f"{kept} past values are kept")
    _require(list(state.index.past) == list(state.past), 7, "the order of the past is not that of its rows")
    _require(state.past_from <= state.sequence, 10, "the past begins in the future")
    for key, entry in state.entries.items():
        _require(entry.revision <= state.sequence, 10, f"{key} has a revision in the future")
