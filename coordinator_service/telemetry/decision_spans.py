"""Decision spans: what one event looks like in a trace (T1, T2).

An event that ends something is a span from its beginning to its end: TASK_ASSIGNED is the wait of a task,
AGENT_COMPLETED an execution, RESOURCE_ACQUIRED the wait for a lock, RESOURCE_RELEASED what it was held for,
RUN_COMPLETED the run. Every other event is a moment. How long it was is in the event itself, so that a span is a
function of its event alone.

Under what a span lies: what happens to an attempt lies under its TASK_ASSIGNED, whose span id an agent is also
given in AgentTask.traceparent; everything else under the span in which its caller asked for it. What was handed
over is a link: from an assignment to the event that made the task ready, from a lock to the release that freed it,
from a lost conflict to the write that won.

Spans are written as the bytes of OTLP at once, with neither a span object of the SDK nor a message in between
(otlp.py): a thirtieth of the cost.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache
from typing import Any, Final, TypeAlias

from opentelemetry.proto.trace.v1.trace_pb2 import Span, Status

from coordinator_service.core import events
from coordinator_service.core.events import Event, EventType
from coordinator_service.core.values import NS_PER_SECOND, RunStatus
from coordinator_service.telemetry import otlp
from coordinator_service.telemetry.sampling import Sampling
from coordinator_service.telemetry.trace_ids import SPAN_ID, TRACE_ID, TraceIds

ATTRIBUTE_CHARACTERS_MAX = 4096
"""Longer values are cut, unless OTEL_SPAN_ATTRIBUTE_VALUE_LENGTH_LIMIT or OTEL_ATTRIBUTE_VALUE_LENGTH_LIMIT says."""
_RELEASES_MAX = 4096
_KEYS_NAMED_MAX = 16

Attributes: TypeAlias = dict[str, Any]
Describe: TypeAlias = Callable[[Any, Attributes, Event], float]
"""Adds what is special of a payload; how many seconds ago it began."""


class DecisionSpans:
    """Writes the spans of one log. Events are shown to it in order."""

    def __init__(self, log_id: str, sampling: Sampling, *, characters_max: int = ATTRIBUTE_CHARACTERS_MAX) -> None:
        self._ids = TraceIds(log_id)
        self._sampling = sampling
        self._characters_max = characters_max
        self._released: dict[str, Event] = {}

    def note(self, event: Event) -> None:
        """Remembers what later events refer to; enough for one that is not exported."""
        payload: Any = event.payload
        if type(payload) is events.ResourceReleased and not payload.remaining:
            self._released.pop(payload.resource, None)
            self._released[payload.resource] = event
            if len(self._released) > _RELEASES_MAX:
                del self._released[next(iter(self._released))]

    def is_sampled(self, event: Event) -> bool:
        """Whether an event is exported. Custom events are, where they belong to a run: what is only passed on is none
        of the platform's decisions."""
        context = event.traceparent
        sampled = self._sampling.continued(context) if context else self._sampling.root(self.trace_of(event))
        return sampled and (event.type is not EventType.CUSTOM or bool(event.run_id))

    def trace_of(self, event: Event) -> bytes:
        """The trace that an event belongs to: its caller's, else that of its run, else of what it follows from."""
        if event.traceparent:
            return bytes.fromhex(event.traceparent[TRACE_ID])
        if event.run_id:
            return self._ids.run_trace(event.run_id)
        return self._ids.trace(_origin(event))

    def encode(self, event: Event) -> bytes:
        """The span of an event, as an element of a request."""
        payload: Any = event.payload
        kind = type(payload)
        attributes: Attributes = {}
        describe = _DESCRIBE.get(kind)
        seconds = describe(payload, attributes, event) if describe is not None else 0.0
        trace_id = self.trace_of(event)
        end_ns = event.time_ns
        span_kind = Span.SPAN_KIND_PRODUCER if kind in _PRODUCERS else Span.SPAN_KIND_INTERNAL
        parts = [
            otlp.ids(trace_id, self._ids.span(event.sequence)),
            otlp.name(self._name_of(event)),
            otlp.kind_and_times(span_kind, end_ns - round(seconds * NS_PER_SECOND), end_ns),
            otlp.number("concert.sequence", event.sequence),
            _TYPES[event.type],
            _surroundings(event.reason, event.agent_id, event.agent_name, event.run_id, event.task_id, event.principal),
        ]
        if event.cause:
            parts.append(otlp.number("concert.cause", event.cause))
        parent = self._parent_of(event)
        if parent:
            parts.append(otlp.parent(parent))
        for key, value in attributes.items():
            parts.append(otlp.attribute(key, value[: self._characters_max] if type(value) is str else value))
        if kind in _FAULTS or (kind is events.RunCompleted and payload.status in _FAILED_RUNS):
            why = attributes.get("exception.message", event.reason)[: self._characters_max]
            parts.append(otlp.status(Status.STATUS_CODE_ERROR, why))
        self._link(event, trace_id, parts)
        return otlp.span(parts)

    def _name_of(self, event: Event) -> str:
        payload: Any = event.payload
        kind = type(payload)
        if kind is events.CustomEvent:
            return f"publish {payload.name}"[: self._characters_max]
        name = _NAMES.get(kind)
        if name is None:
            return event.type.name.lower().replace("_", " ")
        return f"{name} {event.agent_name}" if kind in _OF_AN_AGENT and event.agent_name else name

    def _parent_of(self, event: Event) -> bytes:
        """Nothing where a trace begins."""
        payload: Any = event.payload
        if type(payload) in _OF_AN_ATTEMPT and payload.attempt_token:
            return self._ids.span(payload.attempt_token)
        if event.traceparent:
            return bytes.fromhex(event.traceparent[SPAN_ID])
        if event.run_id:
            return self._ids.span(event.cause) if event.cause and type(payload) is not events.RunSubmitted else b""
        origin = _origin(event)
        return self._ids.span(origin) if origin != event.sequence else b""

    def _link(self, event: Event, trace_id: bytes, parts: list[bytes]) -> None:
        payload: Any = event.payload
        kind = type(payload)
        if kind is events.TaskAssigned:
            if event.cause:  # what makes a task ready belongs to its run
                parts.append(otlp.link(trace_id, self._ids.span(event.cause)))
        elif kind is events.ResourceAcquired:
            freed = self._released.get(payload.resource)
            if freed is not None and payload.wait_time_seconds and freed.time_ns == event.time_ns:
                parts.append(otlp.link(self.trace_of(freed), self._ids.span(freed.sequence)))
        elif kind is events.ConflictDetected:
            for key in payload.keys[:_KEYS_NAMED_MAX]:
                if key.their_traceparent:
                    theirs = bytes.fromhex(key.their_traceparent[TRACE_ID])
                    parts.append(otlp.link(theirs, self._ids.span(key.their_revision)))


def _origin(event: Event) -> int:
    """What an event follows from that has no run and no trace: a lock request, a conflict, a session; else itself."""
    payload: Any = event.payload
    for name in ("request_sequence", "conflict_sequence", "session_id"):
        sequence = getattr(payload, name, 0)
        if sequence:
            return int(sequence)
    return event.sequence


@lru_cache(maxsize=4096)
def _surroundings(reason: str, agent_id: str, agent_name: str, run_id: str, task_id: str, principal: str) -> bytes:
    """What events that follow each other often have in common, encoded."""
    text = otlp.text
    return b"".join(
        (
            text("concert.reason", reason),
            text("concert.agent_id", agent_id),
            text("concert.agent_name", agent_name),
            text("concert.run_id", run_id),
            text("concert.task_id", task_id),
            text("concert.principal", principal),
        )
    )


_TYPES: Final = {each: otlp.text("concert.event", each.name) for each in EventType}

_NAMES: Final[dict[type, str]] = {
    events.TaskAssigned: "wait",
    events.AgentCompleted: "execute",
    events.AgentFailed: "execute",
    events.RunCompleted: "run",
    events.ResourceAcquired: "lock wait",
    events.ResourceRequestTimedOut: "lock wait",
    events.ResourceRequestWithdrawn: "lock wait",
    events.ResourceReleased: "lock held",
}
_OF_AN_AGENT: Final = frozenset((events.TaskAssigned, events.AgentCompleted, events.AgentFailed))
_OF_AN_ATTEMPT: Final = frozenset(
    (
        events.AgentStarted,
        events.AgentCompleted,
        events.AgentFailed,
        events.TaskProgressed,
        events.TaskCancelRequested,
        events.TaskCancelled,
    )
)
_PRODUCERS: Final = frozenset((events.TaskAssigned, events.CustomEvent))
_FAULTS: Final = frozenset((events.AgentFailed, events.ResourceRequestTimedOut, events.ResourceRequestRefused))
_FAILED_RUNS: Final = frozenset((RunStatus.FAILED, RunStatus.PARTIAL_FAILURE, RunStatus.TIMED_OUT))


# What is special of each.


def _assigned(payload: events.TaskAssigned, attributes: Attributes, event: Event) -> float:
    attributes["concert.attempt"] = payload.attempt
    attributes["concert.policy"] = payload.policy
    attributes["messaging.system"] = "concert"
    attributes["messaging.operation.type"] = "send"
    attributes["messaging.operation.name"] = "assign"
    attributes["messaging.destination.name"] = event.agent_name
    attributes["messaging.message.id"] = str(event.sequence)
    return payload.wait_time_seconds


def _ended(payload: events.AgentCompleted | events.TaskCancelled, attributes: Attributes, _event: Event) -> float:
    if payload.attempt_token:
        attributes["concert.attempt_token"] = payload.attempt_token
    return payload.execution_time_seconds or getattr(payload, "wait_time_seconds", 0.0)


def _failed(payload: events.AgentFailed, attributes: Attributes, _event: Event) -> float:
    attributes["concert.attempt_token"] = payload.attempt_token
    attributes["concert.final"] = payload.final
    attributes["exception.type"] = payload.error.error_type
    attributes["exception.message"] = payload.error.message
    if payload.error.traceback:
        attributes["exception.stacktrace"] = payload.error.traceback
    return payload.execution_time_seconds


def _run_submitted(payload: events.RunSubmitted, attributes: Attributes, _event: Event) -> float:
    attributes["concert.run.name"] = payload.spec.name
    attributes["concert.run.tasks"] = payload.tasks
    return 0.0


def _run_completed(payload: events.RunCompleted, attributes: Attributes, _event: Event) -> float:
    attributes["concert.run.status"] = payload.status.name
    return payload.execution_time_seconds


def _requested(payload: events.ResourceRequested, attributes: Attributes, _event: Event) -> float:
    attributes["concert.resource"] = ", ".join(each.resource for each in payload.requests[:_KEYS_NAMED_MAX])
    attributes["concert.lock.holder"] = payload.holder
    return 0.0


def _acquired(payload: events.ResourceAcquired, attributes: Attributes, _event: Event) -> float:
    attributes["concert.resource"] = payload.resource
    attributes["concert.lock.mode"] = payload.mode.name
    attributes["concert.lock.holder"] = payload.holder
    attributes["concert.request_sequence"] = payload.request_sequence
    return payload.wait_time_seconds


def _released(payload: events.ResourceReleased, attributes: Attributes, _event: Event) -> float:
    attributes["concert.resource"] = payload.resource
    attributes["concert.lock.holder"] = payload.holder
    attributes["concert.fencing_token"] = payload.fencing_token
    return payload.hold_time_seconds


def _waited_in_vain(
    payload: events.ResourceRequestTimedOut | events.ResourceRequestWithdrawn, attributes: Attributes, _event: Event
) -> float:
    attributes["concert.request_sequence"] = payload.request_sequence
    return payload.wait_time_seconds


def _state_updated(payload: events.StateUpdated, attributes: Attributes, _event: Event) -> float:
    attributes["concert.state.keys"] = ", ".join(each.key for each in payload.updates[:_KEYS_NAMED_MAX])
    attributes["concert.state.strategy"] = payload.merge_strategy.name
    attributes["concert.state.writer"] = payload.writer
    return 0.0


def _conflict(payload: events.ConflictDetected, attributes: Attributes, _event: Event) -> float:
    attributes["concert.conflict.type"] = payload.conflict_type
    attributes["concert.conflict.strategy"] = "" if payload.strategy is None else payload.strategy.name
    attributes["concert.state.keys"] = ", ".join(each.key for each in payload.keys[:_KEYS_NAMED_MAX])
    attributes["concert.state.writer"] = payload.writer
    return 0.0


def _resolved(payload: events.ConflictResolved, attributes: Attributes, _event: Event) -> float:
    attributes["concert.conflict.winner"] = payload.winner
    attributes["concert.conflict.loser"] = payload.loser
    return 0.0


def _retried(payload: events.TaskRetryScheduled, attributes: Attributes, _event: Event) -> float:
    attributes["concert.attempt"] = payload.attempt
    attributes["concert.ready_at_ns"] = payload.ready_at_ns
    return 0.0


def _skipped(payload: events.TaskSkipped, attributes: Attributes, _event: Event) -> float:
    attributes["concert.cause_task_id"] = payload.cause_task_id
    return 0.0


def _circuit(payload: events.CircuitOpened, attributes: Attributes, _event: Event) -> float:
    attributes["concert.capability"] = payload.capability
    return 0.0


def _published(payload: events.CustomEvent, attributes: Attributes, _event: Event) -> float:
    attributes["messaging.system"] = "concert"
    attributes["messaging.operation.type"] = "send"
    attributes["messaging.operation.name"] = "publish"
    attributes["messaging.destination.name"] = payload.name
    return 0.0


_DESCRIBE: Final[dict[type, Describe]] = {
    events.TaskAssigned: _assigned,
    events.AgentCompleted: _ended,
    events.TaskCancelled: _ended,
    events.AgentFailed: _failed,
    events.RunSubmitted: _run_submitted,
    events.RunCompleted: _run_completed,
    events.ResourceRequested: _requested,
    events.ResourceAcquired: _acquired,
    events.ResourceReleased: _released,
    events.ResourceRequestTimedOut: _waited_in_vain,
    events.ResourceRequestWithdrawn: _waited_in_vain,
    events.StateUpdated: _state_updated,
    events.ConflictDetected: _conflict,
    events.ConflictResolved: _resolved,
    events.TaskRetryScheduled: _retried,
    events.TaskSkipped: _skipped,
    events.CircuitOpened: _circuit,
    events.CircuitHalfOpened: _circuit,
    events.CircuitClosed: _circuit,
    events.CustomEvent: _published,
}
