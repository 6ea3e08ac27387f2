"""Circuits: an agent that keeps failing at a capability is given no more of it for a while (R14).

After M. Nygard, "Release It!" (2007). One for each agent and capability; tasks that name the agent itself have the one
without a capability. It opens on failures in a row or on their rate within a window, half-opens after a cool-down for
one trial, and closes when that succeeds. Only what speaks against the agent counts as failure: not an attempt that was
lost with its session or stopped with its run, and not a failure that would be the same elsewhere (not retryable).

A circuit without failures is not kept. One that is open outlives the agent's session: a restart does not close it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from coordinator_service.core import capacity, reasons, subjects
from coordinator_service.core.events import (
    AgentFailed,
    CircuitClosed,
    CircuitHalfOpened,
    CircuitOpened,
    Event,
)
from coordinator_service.core.policies import policy_of
from coordinator_service.core.specs import AgentSpec, CircuitPolicy
from coordinator_service.core.state import AgentRow, AttemptRow, CircuitRow, NamespaceState, RunRow
from coordinator_service.core.values import CircuitStatus

if TYPE_CHECKING:
    from coordinator_service.core.deciding import Deciding

WINDOW_SLICES = 10
"""A window moves on by this part of it at a time."""


def is_trial(state: NamespaceState, attempt: AttemptRow) -> bool:
    """Whether a half-open circuit waits for how an attempt ends."""
    agent = state.agents.get(attempt.agent_id)
    if agent is None or not agent.circuits:
        return False
    return any(row.trial_token == attempt.token for row in agent.circuits.values())


# Deciding.


def judge(d: Deciding, attempt: AttemptRow, ended: Event, *, trial: bool) -> None:
    """The attempt ended: its agent's circuit may open or close. trial says whether it was one."""
    agent = d.state.agents.get(attempt.agent_id)
    capability = _capability(d.state.runs[attempt.run_id], attempt)
    row = None if agent is None else agent.circuits.get(capability)
    if agent is None or row is None:
        return
    if isinstance(ended.payload, AgentFailed):
        if trial and _counts(d.state.runs[attempt.run_id], ended.payload):
            _open(d, agent, capability, attempt.policy, reasons.TRIAL_FAILED, ended)
        elif row.status is CircuitStatus.CLOSED:
            reason = _too_many(row, _circuit_of(d.state, attempt.policy))
            if reason:
                _open(d, agent, capability, attempt.policy, reason, ended)
    elif trial:
        d.emit(
            CircuitClosed(capability=capability),
            reason=reasons.TRIAL_SUCCEEDED,
            cause=ended.sequence,
            about=subjects.of_agent(agent),
        )


def half_open(d: Deciding, agent_id: str, capability: str) -> None:
    """The cool-down is over."""
    agent = d.state.agents[agent_id]
    d.emit(
        CircuitHalfOpened(capability=capability),
        reason=reasons.COOLED_DOWN,
        cause=agent.circuits[capability].opened_sequence,
        about=subjects.of_agent(agent),
    )


def _open(d: Deciding, agent: AgentRow, capability: str, policy: str, reason: str, ended: Event) -> None:
    row = agent.circuits[capability]
    circuit = _circuit_of(d.state, policy)
    d.emit(
        CircuitOpened(
            capability=capability,
            failures=row.failures,
            window_attempts=sum(attempts for _, attempts, _ in row.window),
            window_failures=sum(failures for _, _, failures in row.window),
            until_ns=d.now_ns + (circuit.cool_down_ns or 0),
        ),
        reason=reason,
        cause=ended.sequence,
        about=subjects.of_agent(agent),
    )


def _too_many(row: CircuitRow, circuit: CircuitPolicy) -> str:
    """Why a circuit has to open, empty when it has not."""
    if circuit.failures_max and row.failures >= circuit.failures_max:
        return reasons.CONSECUTIVE_FAILURES
    if circuit.failure_rate_max:
        attempts = sum(count for _, count, _ in row.window)
        failures = sum(count for _, _, count in row.window)
        if attempts >= circuit.attempts_min and failures >= circuit.failure_rate_max * attempts:
            return reasons.FAILURE_RATE
    return ""


# Applying.


def note_assigned(agent: AgentRow, capability: str, token: int) -> None:
    """The agent was given a task: through a half-open circuit as a trial."""
    row = agent.circuits.get(capability)
    if row is not None and row.status is CircuitStatus.HALF_OPEN:
        row.trial_token = token


def note_ended(
    state: NamespaceState, run: RunRow, attempt: AttemptRow, failed: AgentFailed | None, now_ns: int
) -> None:
    """An attempt ended: counted while the circuit is closed."""
    agent = state.agents.get(attempt.agent_id)
    if agent is None:
        return
    capability = _capability(run, attempt)
    row = agent.circuits.get(capability)
    circuit = _circuit_of(state, attempt.policy)
    if failed is not None and not _counts(run, failed):
        return
    if row is None:
        if failed is None and not circuit.failure_rate_max:
            return
        row = agent.circuits[capability] = CircuitRow()
    if row.status is not CircuitStatus.CLOSED:
        return
    row.failures = 0 if failed is None else row.failures + 1
    row.window = _counted(row.window, now_ns, circuit, failed=failed is not None)
    if not row.failures and not row.window:
        del agent.circuits[capability]


def forget_trial(agent: AgentRow, token: int) -> None:
    """The attempt lives no more; if it was a trial without an outcome, the next one is."""
    for row in agent.circuits.values():
        if row.trial_token == token:
            row.trial_token = 0


def kept(circuits: dict[str, CircuitRow], spec: AgentSpec) -> dict[str, CircuitRow]:
    """What an agent that describes itself anew keeps: nothing of what it claims no more."""
    claimed = {"", *(capability.name for capability in spec.capabilities)} if circuits else set()
    return {capability: row for capability, row in circuits.items() if capability in claimed}


def apply_opened(state: NamespaceState, event: Event, payload: CircuitOpened) -> None:
    """The agent is given no tasks of the capability until it has cooled down."""
    agent = state.agents[event.agent_id]
    row = agent.circuits[payload.capability]
    row.status = CircuitStatus.OPEN
    row.until_ns = payload.until_ns
    row.opened_sequence = event.sequence
    row.trial_token = 0
    row.window = ()
    state.add_deadline(payload.until_ns, "circuit", 0, event.agent_id, payload.capability)
    capacity.reconsider(state, agent)


def apply_half_opened(state: NamespaceState, event: Event, payload: CircuitHalfOpened) -> None:
    """The next task is a trial."""
    agent = state.agents[event.agent_id]
    row = agent.circuits[payload.capability]
    row.status = CircuitStatus.HALF_OPEN
    row.until_ns = 0
    capacity.offer_agent(state, agent)


def apply_closed(state: NamespaceState, event: Event, payload: CircuitClosed) -> None:
    """The agent is given tasks of the capability again; what failed before is forgotten."""
    agent = state.agents[event.agent_id]
    del agent.circuits[payload.capability]
    capacity.offer_agent(state, agent)


def _capability(run: RunRow, attempt: AttemptRow) -> str:
    return run.tasks[attempt.task_id].spec.target.capability


def _circuit_of(state: NamespaceState, policy: str) -> CircuitPolicy:
    circuit = policy_of(state, policy).circuit
    assert circuit is not None
    return circuit


def _counts(run: RunRow, failed: AgentFailed) -> bool:
    """Whether a failure speaks against the agent."""
    return failed.retryable and not failed.lost and not run.cancel_reason


def _counted(
    window: tuple[tuple[int, int, int], ...], now_ns: int, circuit: CircuitPolicy, *, failed: bool
) -> tuple[tuple[int, int, int], ...]:
    """The slices of a window (begin, attempts, failures) with one attempt more, those that lie behind it left out."""
    if not circuit.failure_rate_max:
        return ()
    length_ns = circuit.window_ns or 0
    slices = [each for each in window if each[0] + length_ns > now_ns]
    if slices and now_ns < slices[-1][0] + length_ns // WINDOW_SLICES:
        began_ns, attempts, failures = slices.pop()
        slices.append((began_ns, attempts + 1, failures + failed))
    else:
        slices.append((now_ns, 1, int(failed)))
    return tuple(slices)
