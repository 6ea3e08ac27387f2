"""The fold: from an event to the noun that owns it. The only way in which the state changes (D1)."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from coordinator_service.core import (
    added_tasks,
    agents,
    attempts,
    circuits,
    conflicts,
    custom_events,
    deadlines,
    events,
    generations,
    lock_tables,
    ownership,
    past_state,
    policies,
    requests,
    runs,
    scheduler,
    shared_state,
    trails,
)
from coordinator_service.core.state import NEVER_NS, NamespaceState


def _nothing(_state: NamespaceState, _event: events.Event, _payload: object) -> None:
    """The event is a record of something that changes no table."""


_APPLIERS: dict[type, Callable[[NamespaceState, events.Event, Any], None]] = {
    events.OwnerStarted: ownership.apply_owner_started,
    events.PolicyChanged: policies.apply_policies,
    events.CustomEvent: custom_events.apply_custom,
    events.AgentRegistered: agents.apply_registered,
    events.AgentUpdated: agents.apply_updated,
    events.AgentDetached: agents.apply_detached,
    events.AgentAttached: agents.apply_attached,
    events.AgentDisconnected: agents.apply_disconnected,
    events.AgentDraining: agents.apply_draining,
    events.RunSubmitted: runs.apply_submitted,
    events.TaskAdded: runs.apply_task_added,
    events.RunExtended: added_tasks.apply_extended,
    events.RunRetried: generations.apply_retried,
    events.RunRestated: generations.apply_restated,
    events.TaskRestated: generations.apply_task_restated,
    events.RunCancelled: runs.apply_cancelled,
    events.RunCompleted: runs.apply_completed,
    events.TaskSkipped: runs.apply_skipped,
    events.TaskCancelled: runs.apply_task_cancelled,
    events.TaskAssigned: scheduler.apply_assigned,
    events.AgentStarted: attempts.apply_started,
    events.TaskProgressed: attempts.apply_progressed,
    events.AgentCompleted: attempts.apply_completed,
    events.AgentFailed: attempts.apply_failed,
    events.TaskCancelRequested: attempts.apply_stop_requested,
    events.TaskRetryScheduled: attempts.apply_retry_scheduled,
    events.ResourceRequested: lock_tables.apply_requested,
    events.ResourceAcquired: lock_tables.apply_acquired,
    events.ResourceReleased: lock_tables.apply_released,
    events.ResourceRequestTimedOut: lock_tables.apply_timed_out,
    events.ResourceRequestRefused: lock_tables.apply_refused,
    events.ResourceRequestWithdrawn: lock_tables.apply_withdrawn,
    events.ResourceRequestReattached: lock_tables.apply_reattached,
    events.CircuitOpened: circuits.apply_opened,
    events.CircuitHalfOpened: circuits.apply_half_opened,
    events.CircuitClosed: circuits.apply_closed,
    events.StateUpdated: shared_state.apply_updated,
    events.ConflictDetected: conflicts.apply_detected,
    events.CoordinationRequired: _nothing,
    events.ConflictResolved: _nothing,
}


def apply(state: NamespaceState, event: events.Event) -> None:
    """Advances the state by one event, which must be the next."""
    if event.sequence != state.sequence + 1:
        raise ValueError(f"event {event.sequence} does not follow {state.sequence}")
    state.sequence = event.sequence
    state.time_ns = event.time_ns
    if event.request is not None:
        requests.apply_request(state, event)
    _APPLIERS[type(event.payload)](state, event, event.payload)
    if event.time_ns >= state.index.forget_at_ns:
        _forget_old(state)
    if len(state.index.deadlines) > state.index.deadlines_tidy_at:
        deadlines.tidy(state)


def _forget_old(state: NamespaceState) -> None:
    """D8: eviction is part of the fold, by event time. Notes when there is something to forget again."""
    state.index.forget_at_ns = NEVER_NS
    requests.forget_old(state)
    runs.forget_old(state)
    agents.forget_old(state)
    trails.forget_old(state)
    past_state.forget_old(state)
