"""Subjects: what an event is about, as its envelope says it: agent, run, task and the trace they belong to."""

from __future__ import annotations

from typing import NamedTuple

from coordinator_service.core.events import Event
from coordinator_service.core.state import AgentRow, AttemptRow, NamespaceState, RunRow


class Subject(NamedTuple):
    """What an event is about. An empty traceparent means the caller's."""

    agent_id: str = ""
    agent_name: str = ""
    run_id: str = ""
    task_id: str = ""
    traceparent: str = ""


NOBODY = Subject()
_TRACE_ID = slice(3, 35)
"""Where a W3C traceparent names its trace."""


def of_agent(agent: AgentRow | None) -> Subject:
    """An agent; nobody when there is none."""
    return NOBODY if agent is None else Subject(agent.spec.agent_id, agent.spec.agent_name)


def of_run(run: RunRow, task_id: str = "") -> Subject:
    """A run, or a task of it that no agent has."""
    return Subject("", "", run.run_id, task_id, run.traceparent)


def of_attempt(state: NamespaceState, attempt: AttemptRow, traceparent: str = "") -> Subject:
    """An attempt: its agent, run and task, in the run's trace; at the caller's own place in it where that is given."""
    run = state.runs[attempt.run_id]
    name = run.tasks[attempt.task_id].agent_name
    if not traceparent or traceparent[_TRACE_ID] != run.traceparent[_TRACE_ID]:
        traceparent = run.traceparent
    return Subject(attempt.agent_id, name, attempt.run_id, attempt.task_id, traceparent)


def of_holder(state: NamespaceState, session_id: int, attempt_token: int, traceparent: str = "") -> Subject:
    """Whoever holds or waits for a lock: an attempt that lives, else the agent of a session, else nobody known."""
    attempt = state.attempts.get(attempt_token) if attempt_token else None
    if attempt is not None:
        return of_attempt(state, attempt, traceparent)
    agent = state.agent_of_session(session_id) if session_id else None
    if agent is None:
        return Subject(traceparent=traceparent) if traceparent else NOBODY
    return Subject(agent.spec.agent_id, agent.spec.agent_name, "", "", traceparent)


def of_event(event: Event) -> Subject:
    """The same as another event."""
    return Subject(event.agent_id, event.agent_name, event.run_id, event.task_id, event.traceparent)
