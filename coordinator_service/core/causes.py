"""Causes: events as steps of a chain, each led to by the one that it names (X1)."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

from coordinator_service.core import events
from coordinator_service.core.events import Event
from coordinator_service.core.explanations import CauseStepView

CAUSES_MAX: Final = 32
"""Steps back that a chain is followed."""
EFFECTS_MAX: Final = 50
"""Events that are named as having followed from another."""
EFFECTS_LOOKED_AT_MAX: Final = 500
"""Events after one that are looked at for what followed from it."""

_TEXT_MAX: Final = 300


def step(event: Event) -> CauseStepView:
    """An event without its payload, but for what that says in words."""
    return CauseStepView(
        sequence=event.sequence,
        type=event.type,
        reason=event.reason,
        cause=event.cause,
        timestamp_ns=event.time_ns,
        text=describe(event)[:_TEXT_MAX],
        agent_id=event.agent_id,
        agent_name=event.agent_name,
        run_id=event.run_id,
        task_id=event.task_id,
        traceparent=event.traceparent,
        principal=event.principal,
    )


def describe(event: Event) -> str:
    """What happened, in words."""
    describer = _DESCRIBERS.get(type(event.payload))
    if describer is not None:
        return describer(event, event.payload)
    words = event.type.name.lower().replace("_", " ")
    about = f"{event.run_id}/{event.task_id}" if event.task_id else event.run_id or event.agent_id
    return f"{words}: {about}" if about else words


def _task(event: Event) -> str:
    return f"task {event.run_id}/{event.task_id}"


def _by(event: Event) -> str:
    return f" by {event.agent_id}" if event.agent_id else ""


def _counted(number: int, noun: str) -> str:
    return f"{number} {noun}" if number == 1 else f"{number} {noun}s"


def _failed(event: Event, payload: events.AgentFailed) -> str:
    what = "was lost" if payload.lost else "failed"
    return f"{_task(event)} {what}{_by(event)}: {payload.error}"


def _updated(_event: Event, payload: events.StateUpdated) -> str:
    return f"{payload.writer or 'the platform'} wrote {_counted(len(payload.updates), 'key')}"


def _requested(_event: Event, payload: events.ResourceRequested) -> str:
    wanted = ", ".join(f"{each.resource} ({each.mode.name.lower()})" for each in payload.requests[:5])
    return f"{payload.holder} asked for {wanted}" + (" and waits" if payload.deadline_ns else "")


def _conflict(_event: Event, payload: events.ConflictDetected) -> str:
    first = payload.keys[0]
    return f"{payload.writer} met {first.their_writer or 'another'} on {first.key}, changed at {first.their_revision}"


def _progressed(event: Event, payload: events.TaskProgressed) -> str:
    said = f", {payload.progress.message}" if payload.progress.message else ""
    return f"{_task(event)} is at {payload.progress.fraction:.0%}{said}"


def _resolved(_event: Event, payload: events.ConflictResolved) -> str:
    return f"{payload.winner or 'the first writer'} stands, {payload.loser or 'the other'} does not"


_DESCRIBERS: dict[type, Callable[[Event, Any], str]] = {
    events.OwnerStarted: lambda _, payload: f"{payload.replica_id} became the owner, epoch {payload.epoch}",
    events.AgentRegistered: lambda event, _: f"agent {event.agent_id} opened a session",
    events.AgentDisconnected: lambda event, _: f"the session of {event.agent_id} ended",
    events.AgentDetached: lambda event, _: f"agent {event.agent_id} lost its stream",
    events.AgentAttached: lambda event, _: f"agent {event.agent_id} has a stream again",
    events.RunSubmitted: lambda event, payload: (
        f"run {event.run_id} was submitted with {_counted(payload.tasks, 'task')}"
    ),
    events.RunExtended: lambda event, payload: f"run {event.run_id} was extended by {_counted(payload.tasks, 'task')}",
    events.RunRetried: lambda event, payload: f"run {event.run_id} is tried again: generation {payload.generation}",
    events.RunCompleted: lambda event, payload: f"run {event.run_id} ended: {payload.status.name}",
    events.RunCancelled: lambda event, _: f"run {event.run_id} is being stopped",
    events.TaskAdded: lambda event, _: f"{_task(event)} was added",
    events.TaskAssigned: lambda event, payload: f"{_task(event)} was given to {event.agent_id}: try {payload.attempt}",
    events.AgentStarted: lambda event, _: f"{event.agent_id} began {_task(event)}",
    events.AgentCompleted: lambda event, _: f"{_task(event)} succeeded{_by(event)}",
    events.AgentFailed: _failed,
    events.TaskRetryScheduled: lambda event, payload: f"{_task(event)} will be tried again: try {payload.attempt}",
    events.TaskSkipped: lambda event, payload: f"{_task(event)} was skipped: {payload.cause_task_id} did not succeed",
    events.TaskCancelled: lambda event, _: f"{_task(event)} was cancelled",
    events.TaskCancelRequested: lambda event, _: f"{event.agent_id} was told to stop {_task(event)}",
    events.ResourceRequested: _requested,
    events.ResourceAcquired: lambda _, payload: f"{payload.holder} was granted {payload.resource}",
    events.ResourceReleased: lambda _, payload: f"{payload.holder} gave {payload.resource} up",
    events.StateUpdated: _updated,
    events.ConflictDetected: _conflict,
    events.ConflictResolved: _resolved,
    events.CoordinationRequired: lambda _, payload: f"{payload.target} is to {payload.action.replace('_', ' ')}",
    events.TaskProgressed: _progressed,
    events.ResourceRequestTimedOut: lambda _, payload: f"request {payload.request_sequence} was not granted in time",
    events.ResourceRequestRefused: lambda _, payload: f"request {payload.request_sequence} was refused",
    events.ResourceRequestWithdrawn: lambda _, payload: f"request {payload.request_sequence} was withdrawn",
    events.ResourceRequestReattached: lambda _, payload: f"request {payload.request_sequence} was taken up again",
    events.AgentUpdated: lambda event, _: f"agent {event.agent_id} says something else of itself",
    events.AgentDraining: lambda event, _: f"agent {event.agent_id} takes no more tasks",
    events.CircuitOpened: lambda event, payload: f"{event.agent_id} is given no {payload.capability} for a while",
    events.CircuitHalfOpened: lambda event, payload: f"the next {payload.capability} of {event.agent_id} is a trial",
    events.CircuitClosed: lambda event, payload: f"{event.agent_id} is given {payload.capability} again",
    events.PolicyChanged: lambda _, payload: f"policies: {', '.join(each.name for each in payload.policies[:5])}",
    events.CustomEvent: lambda _, payload: f"{payload.name} was published",
}
