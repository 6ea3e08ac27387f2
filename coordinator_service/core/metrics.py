"""Metrics: what is counted of a namespace, as a fold of its log that a restart does not zero (M1, M2).

It is a second fold beside that of the tables: `observe` is called with each event before `apply`, so that it sees the
task that is being assigned and the request that waited. It reads the tables and never changes them, and no decision
reads it: whoever decides does not pay for it. A follower of the log runs it (snapshots.py), and each snapshot holds it.

Bounds. What is counted by name is kept for the NAMES_MAX names last heard of, before others for those that live; what
was counted of a name that goes is added to `agents_gone` or `resources_gone`, so that sums never fall. The window of
health has one slot a second.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import field
from typing import Any, Final, get_args

from coordinator_service.core import events
from coordinator_service.core.events import Event
from coordinator_service.core.histogram import Histogram
from coordinator_service.core.specs import LockRequest
from coordinator_service.core.state import NamespaceState
from coordinator_service.core.values import NS_PER_SECOND, row

NAMES_MAX: Final = 1000
"""Agent names, and resources, that are kept apart."""
_NAMES_SLACK: Final = 250
"""How many more there may be before the least of them go: looking for those is not for every event."""
WINDOW_SECONDS: Final = 300
"""What health looks back on (M1)."""
_KEPT: Final = 0.7
"""How much of a moving average an event leaves as it was (M2)."""


@row
class Rhythm:
    """How often something happened, when last, and the moving average of what lay between, in nanoseconds."""

    count: int = 0
    last_ns: int = 0
    interval_ns: float = 0.0

    def beat(self, time_ns: int) -> None:
        """It happened."""
        if self.count == 1:
            self.interval_ns = float(time_ns - self.last_ns)
        elif self.count:
            self.interval_ns = _KEPT * self.interval_ns + (1 - _KEPT) * (time_ns - self.last_ns)
        self.count += 1
        self.last_ns = time_ns

    def join(self, other: Rhythm) -> None:
        """Takes up the count of another, whose beat is lost."""
        self.count += other.count
        self.last_ns = max(self.last_ns, other.last_ns)


@row
class AgentCounts:
    """What was counted of an agent name. executions are attempts begun; lost ones are among the failures."""

    last_ns: int = 0
    events: dict[int, Rhythm] = field(default_factory=dict)
    executions: int = 0
    successes: int = 0
    failures: int = 0
    lost: int = 0
    cancelled: int = 0
    waiting: Histogram = field(default_factory=Histogram)
    executing: Histogram = field(default_factory=Histogram)

    def join(self, other: AgentCounts) -> None:
        """Takes up what was counted of another name."""
        self.last_ns = max(self.last_ns, other.last_ns)
        for kind, rhythm in other.events.items():
            self.events.setdefault(kind, Rhythm()).join(rhythm)
        self.executions += other.executions
        self.successes += other.successes
        self.failures += other.failures
        self.lost += other.lost
        self.cancelled += other.cancelled
        self.waiting.join(other.waiting)
        self.executing.join(other.executing)


@row
class ResourceCounts:
    """What was counted of a resource. waited: however the wait ended; timed_out counts those that ended so."""

    last_ns: int = 0
    acquisitions: int = 0
    waits: int = 0
    timed_out: int = 0
    waited: Histogram = field(default_factory=Histogram)
    held: Histogram = field(default_factory=Histogram)

    def join(self, other: ResourceCounts) -> None:
        """Takes up what was counted of another resource."""
        self.last_ns = max(self.last_ns, other.last_ns)
        self.acquisitions += other.acquisitions
        self.waits += other.waits
        self.timed_out += other.timed_out
        self.waited.join(other.waited)
        self.held.join(other.held)


@row
class Slot:
    """One second of the window."""

    events: int = 0
    failures: int = 0


@row
class Metrics:
    """All that is counted, up to and including sequence."""

    sequence: int = 0
    events: dict[int, Rhythm] = field(default_factory=dict)
    agents: dict[str, AgentCounts] = field(default_factory=dict)
    agents_gone: AgentCounts = field(default_factory=AgentCounts)
    resources: dict[str, ResourceCounts] = field(default_factory=dict)
    resources_gone: ResourceCounts = field(default_factory=ResourceCounts)
    runs_active: dict[str, None] = field(default_factory=dict)
    runs_over: dict[int, int] = field(default_factory=dict)
    """By how they ended."""
    makespans: Histogram = field(default_factory=Histogram)
    window: dict[int, Slot] = field(default_factory=dict)
    """By second since 1970, the oldest first."""


def observe(metrics: Metrics, state: NamespaceState, event: Event) -> None:
    """Counts the event that comes after `state`."""
    payload_class = type(event.payload)
    kind = _KINDS[payload_class]
    time_ns = event.time_ns
    metrics.sequence = event.sequence
    rhythm = metrics.events.get(kind)
    if rhythm is None:
        rhythm = metrics.events[kind] = Rhythm()
    rhythm.beat(time_ns)
    if event.agent_name:
        counts = _agent(metrics, state, event)
        rhythm = counts.events.get(kind)
        if rhythm is None:
            rhythm = counts.events[kind] = Rhythm()
        rhythm.beat(time_ns)
    second = time_ns // NS_PER_SECOND
    slot = metrics.window.get(second)
    if slot is None:
        slot = _next_slot(metrics, second)
    slot.events += 1
    counter = _COUNTERS.get(payload_class)
    if counter is not None:
        counter(metrics, state, event, event.payload)


def _next_slot(metrics: Metrics, second: int) -> Slot:
    """The slot of a second that begins; those that health no longer looks back on go."""
    window = metrics.window
    while window and (oldest := next(iter(window))) <= second - WINDOW_SECONDS:
        del window[oldest]
    slot = window[second] = Slot()
    return slot


# Names. The ones last heard of stand last.


def _agent(metrics: Metrics, state: NamespaceState, event: Event) -> AgentCounts:
    counts = metrics.agents.pop(event.agent_name, None) or AgentCounts()
    metrics.agents[event.agent_name] = counts
    counts.last_ns = event.time_ns
    if len(metrics.agents) > NAMES_MAX + _NAMES_SLACK:
        live = {agent.spec.agent_name for agent in state.agents.values() if agent.session_id}
        for name in _least(metrics.agents, live.__contains__):
            metrics.agents_gone.join(metrics.agents.pop(name))
    return counts


def _resource(metrics: Metrics, state: NamespaceState, name: str, time_ns: int) -> ResourceCounts:
    counts = metrics.resources.pop(name, None) or ResourceCounts()
    metrics.resources[name] = counts
    counts.last_ns = time_ns
    if len(metrics.resources) > NAMES_MAX + _NAMES_SLACK:
        for gone in _least(metrics.resources, lambda each: each in state.locks or each in state.index.lock_queues):
            metrics.resources_gone.join(metrics.resources.pop(gone))
    return counts


def _least(names: dict[str, Any], lives: Callable[[str], bool]) -> list[str]:
    """The names that are too many: those that live no more, then the rest, each from the one longest unheard of."""
    ordered = sorted(list(names)[:-1], key=lives)  # the one that is being counted stays
    return ordered[: len(names) - NAMES_MAX]


# What events of a kind add.


def _assigned(metrics: Metrics, state: NamespaceState, event: Event, _payload: events.TaskAssigned) -> None:
    counts = metrics.agents.get(event.agent_name)
    if counts is not None:
        counts.executions += 1
        counts.waiting.add(max(0, event.time_ns - state.task(event.run_id, event.task_id).ready_at_ns))


def _ended(metrics: Metrics, state: NamespaceState, event: Event, attempt_token: int) -> AgentCounts | None:
    """An attempt is over: what is counted of its agent, with the time that it took."""
    attempt = state.attempts.get(attempt_token)
    counts = metrics.agents.get(event.agent_name)
    if attempt is None or counts is None:
        return None
    counts.executing.add(event.time_ns - attempt.assigned_at_ns)
    return counts


def _completed(metrics: Metrics, state: NamespaceState, event: Event, payload: events.AgentCompleted) -> None:
    counts = _ended(metrics, state, event, payload.attempt_token)
    if counts is not None:
        counts.successes += 1


def _failed(metrics: Metrics, state: NamespaceState, event: Event, payload: events.AgentFailed) -> None:
    metrics.window[event.time_ns // NS_PER_SECOND].failures += 1
    counts = _ended(metrics, state, event, payload.attempt_token)
    if counts is not None:
        counts.failures += 1
        counts.lost += payload.lost


def _cancelled(metrics: Metrics, state: NamespaceState, event: Event, payload: events.TaskCancelled) -> None:
    counts = _ended(metrics, state, event, payload.attempt_token)
    if counts is not None:
        counts.cancelled += 1


def _run_submitted(metrics: Metrics, _state: NamespaceState, event: Event, _payload: events.RunSubmitted) -> None:
    metrics.runs_active[event.run_id] = None


def _run_retried(metrics: Metrics, _state: NamespaceState, event: Event, _payload: events.RunRetried) -> None:
    metrics.runs_active[event.run_id] = None


def _run_completed(metrics: Metrics, state: NamespaceState, event: Event, payload: events.RunCompleted) -> None:
    metrics.runs_active.pop(event.run_id, None)
    status = int(payload.status)
    metrics.runs_over[status] = metrics.runs_over.get(status, 0) + 1
    metrics.makespans.add(event.time_ns - state.runs[event.run_id].began_at_ns)


def _requested(metrics: Metrics, state: NamespaceState, event: Event, payload: events.ResourceRequested) -> None:
    if payload.deadline_ns:
        for request in payload.requests:
            _resource(metrics, state, request.resource, event.time_ns).waits += 1


def _acquired(metrics: Metrics, state: NamespaceState, event: Event, payload: events.ResourceAcquired) -> None:
    counts = _resource(metrics, state, payload.resource, event.time_ns)
    counts.acquisitions += 1
    waiter = state.waiters.get(payload.request_sequence)
    if waiter is not None:
        counts.waited.add(event.time_ns - waiter.since_ns)


def _released(metrics: Metrics, state: NamespaceState, event: Event, payload: events.ResourceReleased) -> None:
    if not payload.remaining:
        held_ns = event.time_ns - state.grants[payload.fencing_token].granted_at_ns
        _resource(metrics, state, payload.resource, event.time_ns).held.add(held_ns)


def _waits_of(state: NamespaceState, request_sequence: int) -> tuple[tuple[LockRequest, ...], int]:
    waiter = state.waiters.get(request_sequence)
    return ((), 0) if waiter is None else (waiter.requests, waiter.since_ns)


def _wait_timed_out(
    metrics: Metrics, state: NamespaceState, event: Event, payload: events.ResourceRequestTimedOut
) -> None:
    requests, since_ns = _waits_of(state, payload.request_sequence)
    for request in requests:
        counts = _resource(metrics, state, request.resource, event.time_ns)
        counts.timed_out += 1
        counts.waited.add(event.time_ns - since_ns)


def _wait_ended(
    metrics: Metrics,
    state: NamespaceState,
    event: Event,
    payload: events.ResourceRequestWithdrawn | events.ResourceRequestRefused,
) -> None:
    requests, since_ns = _waits_of(state, payload.request_sequence)
    for request in requests:
        _resource(metrics, state, request.resource, event.time_ns).waited.add(event.time_ns - since_ns)


_KINDS: dict[type, int] = {payload_class: int(payload_class.type) for payload_class in get_args(events.Payload)}
_COUNTERS: dict[type, Callable[[Metrics, NamespaceState, Event, Any], None]] = {
    events.TaskAssigned: _assigned,
    events.AgentCompleted: _completed,
    events.AgentFailed: _failed,
    events.TaskCancelled: _cancelled,
    events.RunSubmitted: _run_submitted,
    events.RunRetried: _run_retried,
    events.RunCompleted: _run_completed,
    events.ResourceRequested: _requested,
    events.ResourceAcquired: _acquired,
    events.ResourceReleased: _released,
    events.ResourceRequestTimedOut: _wait_timed_out,
    events.ResourceRequestWithdrawn: _wait_ended,
    events.ResourceRequestRefused: _wait_ended,
}
