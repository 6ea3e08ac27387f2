"""Why a task is not over yet: what it depends on, when it is tried again, who could take it, what leaves no room (X1).

What is said here is what the scheduler looks at, said in full: it stops at the first thing that stands in the way of a
task, whoever asks is told all of them.
"""

from __future__ import annotations

import heapq
from dataclasses import dataclass, field
from itertools import islice
from typing import Final

from coordinator_service.core import capacity
from coordinator_service.core.explanations import (
    BlockerView,
    CandidateVerdict,
    CandidateView,
    TaskRefView,
    WaitingView,
    WaitKind,
)
from coordinator_service.core.lock_waits import NAMED_MAX, LockWaits, in_seconds, in_words, listed
from coordinator_service.core.specs import TaskTarget
from coordinator_service.core.state import AgentRow, CircuitRow, NamespaceState, RunRow, TaskRow
from coordinator_service.core.values import CircuitStatus, TaskStatus

CANDIDATES_MAX: Final = 50
"""Agents that a task is told of."""
_GONE_LOOKED_AT_MAX: Final = 1000
"""Agents without a session that are looked at for one that could have taken a task."""

_KINDS: Final = {
    CandidateVerdict.NO_SLOT: (WaitKind.SLOTS, "no free slot: {}"),
    CandidateVerdict.DETACHED: (WaitKind.DETACHED, "lost their stream: {}"),
    CandidateVerdict.DRAINING: (WaitKind.DRAINING, "draining: {}"),
    CandidateVerdict.CIRCUIT_OPEN: (WaitKind.CIRCUIT, "circuit open: {}"),
}


@dataclass(slots=True)
class _Staff:
    """Who answers to a target: a few of them, and what keeps all of them from taking a task; nothing if one could."""

    candidates: tuple[CandidateView, ...]
    blockers: list[BlockerView]


@dataclass(slots=True)
class TaskWaits:
    """Looks at the tasks of a state at a time, at each pool once."""

    state: NamespaceState
    now_ns: int
    locks: LockWaits
    _staff: dict[str, _Staff] = field(default_factory=dict)

    def of(self, run: RunRow, task: TaskRow) -> WaitingView:
        """A task that is not over."""
        blockers = self.blockers(run, task)
        ready = self._is_ready(task)
        return WaitingView(
            text=f"{run.run_id}/{task.spec.task_id} ({task.status.name}): {in_words(blockers)}",
            blockers=tuple(blockers),
            run_id=run.run_id,
            task_id=task.spec.task_id,
            status=task.status,
            since_ns=_since_ns(run, task),
            candidates=self._of_target(task.spec.target).candidates if ready else (),
        )

    def blockers(self, run: RunRow, task: TaskRow) -> list[BlockerView]:
        """Everything that a task waits for."""
        if task.status is TaskStatus.PENDING:
            return [_dependency(run, task)]
        if task.status in (TaskStatus.RUNNING, TaskStatus.CANCELLING):
            return [self._execution(task)]
        if not self._is_ready(task):
            return [self._back_off(task)]
        found = [*self._of_target(task.spec.target).blockers, *self._limits(run, task)]
        for lock in task.spec.locks:
            found += self.locks.blockers(lock.resource, lock.mode, "", task.queue_key)
        if not found and task.status is TaskStatus.BACKING_OFF:
            return [self._back_off(task)]  # that is over, and the next decision will say so
        return found

    def _is_ready(self, task: TaskRow) -> bool:
        """Whether the task waits for nothing but an agent, room and locks: after a back-off, from when that is over."""
        backed_off = task.status is TaskStatus.BACKING_OFF and task.ready_at_ns <= self.now_ns
        return task.status is TaskStatus.READY or backed_off

    def _back_off(self, task: TaskRow) -> BlockerView:
        left = in_seconds(task.ready_at_ns - self.now_ns)
        error = "" if task.error is None else f" after {task.error.error_type}"
        return BlockerView(
            kind=WaitKind.BACK_OFF,
            text=f"attempt {task.attempts} failed{error}; it is tried again in {left}",
            until_ns=task.ready_at_ns,
            sequence=task.attempt_token,
        )

    def _execution(self, task: TaskRow) -> BlockerView:
        attempt = self.state.attempts[task.attempt_token]
        if attempt.fenced_at_ns:
            left = in_seconds(attempt.fenced_at_ns - self.now_ns)
            return BlockerView(
                kind=WaitKind.CANCELLATION,
                text=f"{attempt.agent_id} was told to stop ({attempt.cancel_reason}); it is fenced in {left}",
                agents=(attempt.agent_id,),
                until_ns=attempt.fenced_at_ns,
                sequence=attempt.cancel_sequence,
            )
        agent = self.state.agents.get(attempt.agent_id)
        lost = "" if agent is None or agent.attached else ", which has lost its stream,"
        left = in_seconds(attempt.deadline_ns - self.now_ns)
        return BlockerView(
            kind=WaitKind.EXECUTION,
            text=f"{attempt.agent_id}{lost} executes attempt {task.attempts}; its time is over in {left}",
            agents=(attempt.agent_id,),
            until_ns=attempt.deadline_ns,
            sequence=attempt.token,
        )

    def _limits(self, run: RunRow, task: TaskRow) -> list[BlockerView]:
        return [
            BlockerView(
                kind=WaitKind.LIMIT,
                text=f"{limit} leaves no room: {in_use} of {limit_max} are running",
                limit=limit,
                limit_max=limit_max,
                in_use=in_use,
            )
            for limit, limit_max, in_use in capacity.limits_in_force(self.state, run, task.policy)
            if in_use >= limit_max
        ]

    # Agents.

    def _of_target(self, target: TaskTarget) -> _Staff:
        pool_name = capacity.pool_name(target)
        staff = self._staff.get(pool_name)
        if staff is None:
            staff = self._staff[pool_name] = self._look_at(pool_name, target)
        return staff

    def _look_at(self, pool_name: str, target: TaskTarget) -> _Staff:
        pool = self.state.index.pools.get(pool_name)
        members = [] if pool is None else [self.state.agents[agent_id] for agent_id in pool.members]
        gone = [] if members else self._gone(pool_name)
        judged = [(_verdict(agent, target.capability), agent) for agent in members or gone]
        verdicts: dict[CandidateVerdict, list[AgentRow]] = {}
        for verdict, agent in judged:
            verdicts.setdefault(verdict, []).append(agent)
        nearest = heapq.nsmallest(CANDIDATES_MAX, judged, key=_nearness)
        candidates = tuple(self._candidate(verdict, agent, target.capability) for verdict, agent in nearest)
        if CandidateVerdict.AVAILABLE in verdicts:
            return _Staff(candidates, [])
        if not members:
            return _Staff(candidates, [_no_agent(target, gone)])
        passed_over = [self._passed_over(each, verdicts[each], target.capability) for each in sorted(verdicts)]
        return _Staff(candidates, passed_over)

    def _gone(self, pool_name: str) -> list[AgentRow]:
        """Agents without a session that answered to a target, of those that went last."""
        last = islice(reversed(self.state.agents.values()), _GONE_LOOKED_AT_MAX)
        return [agent for agent in last if not agent.session_id and pool_name in capacity.pools_of(agent.spec)]

    def _passed_over(self, verdict: CandidateVerdict, agents: list[AgentRow], capability: str) -> BlockerView:
        kind, words = _KINDS[verdict]
        busy = verdict is CandidateVerdict.NO_SLOT
        tokens = [token for agent in agents[:NAMED_MAX] for token in agent.attempts] if busy else []
        attempts = [self.state.attempts[token] for token in tokens[:NAMED_MAX]]
        broken = verdict is CandidateVerdict.CIRCUIT_OPEN
        circuits = [agent.circuits[capability] for agent in agents] if broken else []
        return BlockerView(
            kind=kind,
            until_ns=min((each.until_ns for each in circuits), default=0),
            sequence=circuits[0].opened_sequence if circuits else 0,
            text=words.format(listed(agents, _of_agent)),
            agents=tuple(agent.spec.agent_id for agent in agents[:NAMED_MAX]),
            tasks=tuple(TaskRefView(run_id=each.run_id, task_id=each.task_id) for each in attempts),
        )

    def _candidate(self, verdict: CandidateVerdict, agent: AgentRow, capability: str) -> CandidateView:
        words = {
            CandidateVerdict.AVAILABLE: "could take it",
            CandidateVerdict.NO_SLOT: f"has no free slot: {len(agent.attempts)} of {agent.spec.slots} are taken",
            CandidateVerdict.DETACHED: "lost its stream",
            CandidateVerdict.DRAINING: "is draining",
            CandidateVerdict.DISCONNECTED: "has no session",
        }
        broken = verdict is CandidateVerdict.CIRCUIT_OPEN
        return CandidateView(
            agent_id=agent.spec.agent_id,
            agent_name=agent.spec.agent_name,
            verdict=verdict,
            text=self._circuit(agent.circuits[capability]) if broken else words[verdict],
            slots=agent.spec.slots,
            attempts_running=len(agent.attempts),
        )

    def _circuit(self, circuit: CircuitRow) -> str:
        if circuit.status is CircuitStatus.HALF_OPEN:
            return f"its circuit is half-open: attempt {circuit.trial_token} is the trial"
        left = in_seconds(circuit.until_ns - self.now_ns)
        return f"its circuit is open for another {left}, since event {circuit.opened_sequence}"


def _since_ns(run: RunRow, task: TaskRow) -> int:
    if task.status in (TaskStatus.RUNNING, TaskStatus.CANCELLING):
        return task.assigned_at_ns
    return run.began_at_ns if task.status is TaskStatus.PENDING else task.ready_at_ns


def _dependency(run: RunRow, task: TaskRow) -> BlockerView:
    left = [each for each in (*task.depends_on, *task.after) if not run.tasks[each].status.over]
    return BlockerView(
        kind=WaitKind.DEPENDENCY,
        text=f"waits for {listed(left, lambda each: f'{each} ({run.tasks[each].status.name})')}",
        tasks=tuple(TaskRefView(run_id=run.run_id, task_id=each) for each in left[:NAMED_MAX]),
    )


def _no_agent(target: TaskTarget, gone: list[AgentRow]) -> BlockerView:
    if target.capability:
        wanted = f"the capability {target.capability!r}"
    else:
        wanted = f"the name {target.agent_name!r}" if target.agent_name else f"the id {target.agent_id!r}"
    names = listed(gone, lambda agent: agent.spec.agent_id)
    return BlockerView(
        kind=WaitKind.NO_AGENT,
        text=f"no agent with {wanted} is connected" + (f"; {names} was, and is gone" if gone else ""),
        agents=tuple(agent.spec.agent_id for agent in gone[:NAMED_MAX]),
    )


def _of_agent(agent: AgentRow) -> str:
    return f"{agent.spec.agent_id} ({len(agent.attempts)} of {agent.spec.slots})"


def _verdict(agent: AgentRow, capability: str) -> CandidateVerdict:
    if not agent.session_id:
        return CandidateVerdict.DISCONNECTED
    if not agent.attached:
        return CandidateVerdict.DETACHED
    if agent.draining:
        return CandidateVerdict.DRAINING
    if not capacity.admits(agent, capability):
        return CandidateVerdict.CIRCUIT_OPEN
    return CandidateVerdict.AVAILABLE if capacity.takes_tasks(agent) else CandidateVerdict.NO_SLOT


def _nearness(judged: tuple[CandidateVerdict, AgentRow]) -> tuple[int, int, str]:
    verdict, agent = judged
    return verdict, len(agent.attempts), agent.spec.agent_id
