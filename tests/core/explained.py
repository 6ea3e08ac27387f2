"""X1, checked from outside: everything that waits is explained, and what it is told stands in its way really does.

Written against the tables alone, as tests/simulation/stuck.py is: an explanation that names what is not there, or
leaves out what is, breaks it.
"""

from __future__ import annotations

from collections.abc import Callable

from coordinator_service.core.answers import Explained
from coordinator_service.core.apply import apply
from coordinator_service.core.commands import COORDINATOR, Explain
from coordinator_service.core.deciding import Deciding
from coordinator_service.core.explain import WAITING_MAX, explain
from coordinator_service.core.explanations import BlockerView, ExplanationView, WaitingView, WaitKind
from coordinator_service.core.invariants import InvariantBroken
from coordinator_service.core.lock_waits import NAMED_MAX
from coordinator_service.core.policies import policy_of
from coordinator_service.core.specs import TaskTarget
from coordinator_service.core.state import AgentRow, NamespaceState, RunRow, TaskRow, WaiterRow
from coordinator_service.core.task_waits import CANDIDATES_MAX
from coordinator_service.core.values import CircuitStatus, LockMode, TaskStatus

AGENT_KINDS = {
    WaitKind.NO_AGENT,
    WaitKind.SLOTS,
    WaitKind.DETACHED,
    WaitKind.DRAINING,
    WaitKind.CIRCUIT,
}


def check_everything_is_explained(state: NamespaceState, now_ns: int) -> None:
    """Raises InvariantBroken when something waits that is not explained, or is explained by what is not so."""
    for run in state.runs.values():
        if not run.status.over:
            _check_run(state, now_ns, run)
    for waiter in state.waiters.values():
        _check_request(state, now_ns, waiter)
    for agent in state.agents.values():
        told = _explain(state, now_ns, Explain(agent_id=agent.spec.agent_id))
        _require(bool(told.summary), f"agent {agent.spec.agent_id} has no summary")
        if agent.session_id and not agent.attached:
            _require(WaitKind.DETACHED in _kinds(told.waiting[0]), f"agent {agent.spec.agent_id} is detached")
    for resource in {**state.locks, **state.index.lock_queues, **state.index.claims}:
        told = _explain(state, now_ns, Explain(resource=resource))
        waiting = [row for row in state.waiters.values() if any(each.resource == resource for each in row.requests)]
        listed = [each.request_sequence for each in told.waiting if each.request_sequence]
        known = sorted(row.request_sequence for row in waiting)
        _require(sorted(listed) == known or len(known) > WAITING_MAX, f"{resource}: {listed}")


def _require(holds: bool, what: str) -> None:
    if not holds:
        raise InvariantBroken(f"X1: {what}")


def _explain(state: NamespaceState, now_ns: int, asked: Explain) -> ExplanationView:
    deciding = Deciding(state, COORDINATOR, max(now_ns, state.time_ns), apply)
    answer = explain(deciding, asked)
    _require(deciding.events == [], "an explanation changed something")
    assert isinstance(answer, Explained)
    told = answer.explanation
    _require(bool(told.summary) and answer.about <= state.sequence, f"{told.subject} has no summary")
    for each in told.waiting:
        if not each.blockers:
            raise InvariantBroken(f"X1: {told.subject}: {each} waits for nothing")
        _require(all(blocker.text for blocker in each.blockers), f"{told.subject}: a blocker without words")
        for blocker in each.blockers:
            _check_locks_of(state, blocker)
    return told


def _kinds(waiting: WaitingView) -> set[WaitKind]:
    return {blocker.kind for blocker in waiting.blockers}


def _check_locks_of(state: NamespaceState, blocker: BlockerView) -> None:
    """Whoever is said to hold a lock does; whoever is said to come first waits for it."""
    for grant in blocker.holders:
        _require(state.locks[blocker.resource].holders[grant.holder] == grant.fencing_token, f"{grant} is not held")
    for sequence in blocker.requests:
        wanted = [each.resource for each in state.waiters[sequence].requests]
        _require(not blocker.resource or blocker.resource in wanted, f"{sequence} does not want {blocker.resource}")
    for task in blocker.tasks:
        status = state.task(task.run_id, task.task_id).status
        _require(not status.over, f"{task} is over and stands in nobody's way")


# Runs and tasks.


def _check_run(state: NamespaceState, now_ns: int, run: RunRow) -> None:
    told = _explain(state, now_ns, Explain(run_id=run.run_id))
    unfinished = [task for task in run.tasks.values() if not task.status.over]
    _require(told.waiting_total == 1 + len(unfinished), f"run {run.run_id} waits for {told.waiting_total}")
    kinds = _kinds(told.waiting[0])
    _require((WaitKind.TASKS in kinds) == bool(unfinished), f"run {run.run_id}: {kinds}")
    _require((WaitKind.OPEN in kinds) == run.open, f"run {run.run_id} is open: {run.open}, {kinds}")
    for task in unfinished:
        alone = _explain(state, now_ns, Explain(run_id=run.run_id, task_id=task.spec.task_id))
        (waiting,) = alone.waiting
        _CHECKS[task.status](state, now_ns, run, task, waiting)


def _check_pending(state: NamespaceState, now_ns: int, run: RunRow, task: TaskRow, waiting: WaitingView) -> None:
    (blocker,) = waiting.blockers
    named = {each.task_id for each in blocker.tasks}
    left = {each for each in (*task.depends_on, *task.after) if not run.tasks[each].status.over}
    _require(blocker.kind is WaitKind.DEPENDENCY and named == left, f"{waiting.text}: it waits for {left}")


def _check_running(state: NamespaceState, now_ns: int, run: RunRow, task: TaskRow, waiting: WaitingView) -> None:
    stopping = task.status is TaskStatus.CANCELLING
    expected = WaitKind.CANCELLATION if stopping else WaitKind.EXECUTION
    (blocker,) = waiting.blockers
    _require(blocker.kind is expected and blocker.agents == (task.agent_id,), waiting.text)


def _check_backing_off(state: NamespaceState, now_ns: int, run: RunRow, task: TaskRow, waiting: WaitingView) -> None:
    over = task.ready_at_ns <= max(now_ns, state.time_ns)
    if over and _kinds(waiting) != {WaitKind.BACK_OFF}:
        _check_ready(state, now_ns, run, task, waiting)
        return
    (blocker,) = waiting.blockers
    _require((blocker.kind, blocker.until_ns) == (WaitKind.BACK_OFF, task.ready_at_ns), waiting.text)


def _check_ready(state: NamespaceState, now_ns: int, run: RunRow, task: TaskRow, waiting: WaitingView) -> None:
    kinds = _kinds(waiting)
    candidates = [agent for agent in state.agents.values() if _answers_to(agent, task.spec.target)]
    live = [agent for agent in candidates if agent.session_id]
    there = [agent for agent in live if agent.attached and not agent.draining]
    admitted = [agent for agent in there if not _is_broken(agent, task.spec.target.capability)]
    free = [agent for agent in admitted if len(agent.attempts) < agent.spec.slots]
    broken = {agent.spec.agent_id for agent in there if agent not in admitted}
    named = {name for each in waiting.blockers if each.kind is WaitKind.CIRCUIT for name in each.agents}
    if free or len(broken) <= NAMED_MAX:
        _require(named == (broken if not free else set()), f"{waiting.text}: circuits of {broken} are open")
    _require(bool(kinds & AGENT_KINDS) != bool(free), f"{waiting.text}: {len(free)} agents are free")
    _require((WaitKind.NO_AGENT in kinds) == (not live), f"{waiting.text}: {len(live)} agents are connected")
    told, known = {each.agent_id for each in waiting.candidates}, {agent.spec.agent_id for agent in live or candidates}
    whole = told == known if len(known) <= CANDIDATES_MAX else told < known and len(told) == CANDIDATES_MAX
    _require(whole, f"{waiting.text}: candidates {waiting.candidates}")
    _require((WaitKind.LIMIT in kinds) == _is_limited(state, run, task), f"{waiting.text}: limits")
    for lock in task.spec.locks:
        row = state.locks.get(lock.resource)
        held = row is not None and LockMode.EXCLUSIVE in (lock.mode, row.mode)
        held_ones = {each.resource for each in waiting.blockers if each.kind is WaitKind.LOCK}
        _require((lock.resource in held_ones) == held, f"{waiting.text}: {lock.resource} held: {held}")


_CHECKS: dict[TaskStatus, Callable[[NamespaceState, int, RunRow, TaskRow, WaitingView], None]] = {
    TaskStatus.PENDING: _check_pending,
    TaskStatus.READY: _check_ready,
    TaskStatus.BACKING_OFF: _check_backing_off,
    TaskStatus.RUNNING: _check_running,
    TaskStatus.CANCELLING: _check_running,
}


def _answers_to(agent: AgentRow, target: TaskTarget) -> bool:
    spec = agent.spec
    if target.agent_id:
        return spec.agent_id == target.agent_id
    if target.agent_name:
        return bool(spec.capabilities) and spec.agent_name == target.agent_name
    return any(capability.name == target.capability for capability in spec.capabilities)


def _is_broken(agent: AgentRow, capability: str) -> bool:
    circuit = agent.circuits.get(capability)
    if circuit is None or circuit.status is CircuitStatus.CLOSED:
        return False
    return circuit.status is CircuitStatus.OPEN or bool(circuit.trial_token)


def _is_limited(state: NamespaceState, run: RunRow, task: TaskRow) -> bool:
    policy = policy_of(state, task.policy)
    running = sum(attempt.policy == task.policy for attempt in state.attempts.values())
    return (
        len(state.attempts) >= state.limits.agents_running_max
        or 0 < run.spec.running_max <= run.running
        or 0 < policy.running_max <= running
    )


# Lock requests.


def _check_request(state: NamespaceState, now_ns: int, waiter: WaiterRow) -> None:
    told = _explain(state, now_ns, Explain(sequence=waiter.request_sequence))
    (waiting,) = told.waiting
    _require(waiting.request_sequence == waiter.request_sequence, waiting.text)
    _require((WaitKind.DETACHED in _kinds(waiting)) == (not waiter.attached), f"{waiting.text}: detached")
    for request in waiter.requests:
        row = state.locks.get(request.resource)
        held = row is not None and LockMode.EXCLUSIVE in (request.mode, row.mode)
        if row is not None and waiter.holder in row.holders:
            held = request.mode is LockMode.EXCLUSIVE and row.mode is LockMode.SHARED
        named = {each.resource for each in waiting.blockers if each.kind is WaitKind.LOCK}
        _require((request.resource in named) == held, f"{waiting.text}: {request.resource} held: {held}")
    for blocker in waiting.blockers:
        for sequence in blocker.requests if blocker.kind is WaitKind.QUEUE else ():
            other = state.waiters[sequence]
            _require(other.holder != waiter.holder, f"{waiting.text}: it is behind itself")
