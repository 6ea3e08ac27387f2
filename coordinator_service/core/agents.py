"""Agents and their sessions: one lease over the stream, the attempts and the locks of an agent (A1 to A7).

A session is named by the sequence of its AGENT_REGISTERED event. It is attached while it has a stream. Losing the
stream detaches it at once: it keeps what it has and is given nothing new. Its lease, which the shell keeps, decides
when it is over; then everything it had ends with it, in one decision (A4).
"""

from __future__ import annotations

import heapq
from dataclasses import replace
from typing import TYPE_CHECKING

from coordinator_service.core import attempts, capacity, circuits, lock_queues, locks, policies, reasons, subjects
from coordinator_service.core.ages import take_due
from coordinator_service.core.answers import Done, SessionOpened
from coordinator_service.core.events import (
    AgentAttached,
    AgentDetached,
    AgentDisconnected,
    AgentDraining,
    AgentRegistered,
    AgentUpdated,
    Event,
)
from coordinator_service.core.rejections import (
    AlreadyExists,
    LimitReached,
    NoSession,
    NotFound,
    PermissionDenied,
    SessionOver,
)
from coordinator_service.core.specs import AgentSpec, TaskTarget
from coordinator_service.core.state import AgentRow, NamespaceState, RequestRow, WaiterRow
from coordinator_service.core.values import NS_PER_MS

if TYPE_CHECKING:
    from coordinator_service.core.commands import (
        DetachSession,
        DrainAgent,
        EndSession,
        OpenSession,
        ResumeSession,
        UpdateAgent,
    )
    from coordinator_service.core.deciding import Deciding


# Deciding.


def decide_open(d: Deciding, command: OpenSession) -> SessionOpened:
    """A1, A2: begins a session, ending the one that lives under the agent_id if told to take over."""
    state = d.state
    spec = command.spec
    agent_id = spec.agent_id or f"client-{state.sequence + 1}"
    spec = replace(spec, agent_id=agent_id, agent_name=spec.agent_name or agent_id)
    policies.check_claims(state, spec)
    existing = state.agents.get(agent_id)
    if existing is None and len(state.agents) >= state.limits.agents_max:
        raise LimitReached("agents_max", state.limits.agents_max)
    if existing is not None and existing.session_id:
        if not command.takeover:
            raise AlreadyExists("agent", agent_id, f"agent {agent_id} has a session that lives: resume it or take over")
        if existing.principal != d.caller.principal:
            raise PermissionDenied(f"agent {agent_id} belongs to another principal")
        end(d, existing, reasons.TAKEN_OVER)
    event = d.emit(
        AgentRegistered(spec=spec, lease_ns=command.lease_ns),
        reason=reasons.SESSION_OPENED,
        about=subjects.Subject(agent_id, spec.agent_name),
    )
    return SessionOpened(
        session_id=event.sequence,
        attached_sequence=event.sequence,
        agent_id=agent_id,
        lease_ns=command.lease_ns,
    )


def decide_again(d: Deciding, row: RequestRow) -> SessionOpened:
    """D5, A2: a Hello that comes again, since its answer was lost, takes up the session that it opened. Raises
    SessionOver when that ended meanwhile."""
    d.remembers = False
    opened = range(row.first_sequence, row.first_sequence + row.count)
    session_id = next((each for each in opened if each in d.state.index.sessions), row.first_sequence)
    return _take_up(d, session_id, ())


def decide_resume(d: Deciding, command: ResumeSession) -> SessionOpened:
    """A5: takes up a session again; says what the agent is missing and what it holds that does not count."""
    return _take_up(d, command.session_id, command.attempt_tokens)


def _take_up(d: Deciding, session_id: int, attempt_tokens: tuple[int, ...]) -> SessionOpened:
    state = d.state
    agent = state.agent_of_session(session_id)
    if agent is None:
        raise SessionOver(session_id)
    if agent.principal != d.caller.principal:
        raise PermissionDenied(f"session {session_id} belongs to another principal")
    attached = d.emit(
        AgentAttached(session_id=agent.session_id),
        reason=reasons.SESSION_RESUMED,
        cause=agent.session_id,
        about=subjects.of_agent(agent),
    )
    locks.take_up(d, _waiters(state, agent), reasons.SESSION_RESUMED, attached.sequence)
    named = set(attempt_tokens)
    return SessionOpened(
        session_id=agent.session_id,
        attached_sequence=attached.sequence,
        agent_id=agent.spec.agent_id,
        lease_ns=agent.lease_ns,
        resumed=True,
        live=tuple(token for token in agent.attempts if token not in named),
        stale=tuple(token for token in attempt_tokens if token not in agent.attempts),
        cancelling=tuple(token for token in agent.attempts if state.attempts[token].fenced_at_ns),
        draining=agent.draining,
    )


def decide_detach(d: Deciding, command: DetachSession) -> Done:
    """D6: the session lost its stream."""
    agent = d.state.agent_of_session(command.session_id)
    if agent is not None and agent.attached and agent.attached_sequence == command.attached_sequence:
        d.emit(
            AgentDetached(session_id=agent.session_id),
            reason=reasons.STREAM_LOST,
            cause=agent.session_id,
            about=subjects.of_agent(agent),
        )
        locks.pump(d, _awaited(d.state, agent))
    return Done(sequence=d.state.sequence)


def decide_end(d: Deciding, command: EndSession) -> Done:
    """The session is over."""
    agent = d.state.agent_of_session(command.session_id)
    if agent is None:
        raise SessionOver(command.session_id)
    sequence = d.state.sequence + 1
    end(d, agent, command.reason)
    return Done(sequence=sequence)


def end(d: Deciding, agent: AgentRow, reason: str) -> None:
    """A4: AGENT_DISCONNECTED, its attempts lost, its locks released, in one decision."""
    session_id = agent.session_id
    lost = list(agent.attempts)
    grants, waiters = list(agent.grants), [waiter.request_sequence for waiter in _waiters(d.state, agent)]
    ended = d.emit(
        AgentDisconnected(session_id=session_id),
        reason=reason,
        cause=session_id,
        about=subjects.of_agent(agent),
    )
    # Its waits end first, those of its attempts among them: nothing that it gives up may come back to it.
    freed = locks.end_holdings(d, grants, waiters, ended, reasons.SESSION_ENDED)
    for token in lost:
        attempts.lose(d, token, ended, reason)
    locks.pump(d, freed)


def decide_update(d: Deciding, command: UpdateAgent) -> Done:
    """A3: capabilities, labels and limits change; the ids stay."""
    agent = calling_agent(d)
    spec = replace(command.spec, agent_id=agent.spec.agent_id, agent_name=agent.spec.agent_name)
    policies.check_claims(d.state, spec)
    event = d.emit(
        AgentUpdated(spec=spec),
        reason=reasons.CALLER,
        about=subjects.of_agent(agent),
    )
    return Done(sequence=event.sequence)


def decide_drain(d: Deciding, command: DrainAgent) -> Done:
    """A7: the agent is given no new tasks."""
    agent = d.state.agents.get(command.agent_id)
    if agent is None or not agent.session_id:
        raise NotFound("agent", command.agent_id)
    d.require_own(agent.principal, f"agent {command.agent_id}")
    if agent.draining:
        return Done(sequence=agent.session_id)
    event = d.emit(
        AgentDraining(session_id=agent.session_id),
        reason=reasons.CALLER,
        about=subjects.of_agent(agent),
    )
    return Done(sequence=event.sequence)


def calling_agent(d: Deciding) -> AgentRow:
    """The agent whose session the caller speaks in."""
    if not d.caller.session_id:
        raise NoSession("this needs a session")
    agent = d.state.agent_of_session(d.caller.session_id)
    if agent is None:
        raise SessionOver(d.caller.session_id)
    return agent


# Applying.


def apply_registered(state: NamespaceState, event: Event, payload: AgentRegistered) -> None:
    """The session lives."""
    spec = payload.spec
    agent = AgentRow(
        spec=spec,
        principal=event.principal,
        session_id=event.sequence,
        lease_ns=payload.lease_ns or 0,
        registered_at_ns=event.time_ns,
        attached_sequence=event.sequence,
    )
    earlier = state.agents.pop(spec.agent_id, None)
    if earlier is not None:
        agent.circuits = circuits.kept(earlier.circuits, spec)
    state.agents[spec.agent_id] = agent
    _remember_role(state, spec)
    state.index.sessions[event.sequence] = spec.agent_id
    capacity.join_pools(state, agent)


def apply_updated(state: NamespaceState, event: Event, payload: AgentUpdated) -> None:
    """The agent is what it says from now on."""
    agent = state.agents[event.agent_id]
    capacity.leave_pools(state, agent)
    agent.spec = payload.spec
    agent.circuits = circuits.kept(agent.circuits, agent.spec)
    _remember_role(state, payload.spec)
    capacity.join_pools(state, agent)


def apply_detached(state: NamespaceState, event: Event, _payload: AgentDetached) -> None:
    """The session has no stream; its waiters wait detached."""
    agent = state.agents[event.agent_id]
    agent.attached = False
    capacity.reconsider(state, agent)
    for waiter in _waiters(state, agent):
        lock_queues.detach(state, waiter)


def apply_attached(state: NamespaceState, event: Event, _payload: AgentAttached) -> None:
    """The session has a stream again. Its waiters are taken up by events of their own."""
    agent = state.agents[event.agent_id]
    agent.attached = True
    agent.attached_sequence = event.sequence
    capacity.offer_agent(state, agent)


def apply_disconnected(state: NamespaceState, event: Event, payload: AgentDisconnected) -> None:
    """The session is over; what it had ends with the events that follow."""
    agent = state.agents[event.agent_id]
    capacity.leave_pools(state, agent)
    del state.index.sessions[payload.session_id]
    agent.session_id = 0
    agent.attached = False
    agent.draining = False
    agent.disconnected_at_ns = event.time_ns
    agent.attempts.clear()
    agent.grants.clear()
    agent.waiters.clear()
    heapq.heappush(state.index.disconnected, (event.time_ns, event.agent_id))
    state.forget_at(event.time_ns + state.limits.agent_retention_ms * NS_PER_MS)


def apply_draining(state: NamespaceState, event: Event, _payload: AgentDraining) -> None:
    """The agent is given no new tasks."""
    agent = state.agents[event.agent_id]
    agent.draining = True
    capacity.reconsider(state, agent)


def forget_old(state: NamespaceState) -> None:
    """D8: agents that disconnected long ago go, by event time. Their role's latest description stays (R2)."""
    retention_ns = state.limits.agent_retention_ms * NS_PER_MS
    ages = state.index.disconnected
    until_ns = state.time_ns - retention_ns
    for _, agent_id in take_due(ages, until_ns, lambda aged: _is_gone(state, *aged), heapq.heappop):
        _forget_role(state, state.agents.pop(agent_id).spec.agent_name)
    if ages:
        state.forget_at(ages[0][0] + retention_ns)


def _is_gone(state: NamespaceState, since_ns: int, agent_id: str) -> bool:
    agent = state.agents.get(agent_id)
    return agent is not None and not agent.session_id and agent.disconnected_at_ns == since_ns


def _remember_role(state: NamespaceState, spec: AgentSpec) -> None:
    if spec.capabilities:
        state.roles[spec.agent_name] = spec


def _forget_role(state: NamespaceState, name: str) -> None:
    """D8: a role whose last agent is gone stays while there are not too many such, so that names made up for each agent
    do not pile up for ever."""
    if len(state.roles) <= state.limits.roles_max:
        return
    pool = state.index.pools.get(capacity.pool_name(TaskTarget(agent_name=name)))
    if pool is None or not pool.members:
        state.roles.pop(name, None)


def _waiters(state: NamespaceState, agent: AgentRow) -> list[WaiterRow]:
    """The waiting requests of the session and of its attempts."""
    sequences = [*agent.waiters]
    for token in agent.attempts:
        sequences.extend(state.attempts[token].waiters)
    return [state.waiters[sequence] for sequence in sequences]


def _awaited(state: NamespaceState, agent: AgentRow) -> list[str]:
    return [request.resource for waiter in _waiters(state, agent) for request in waiter.requests]
