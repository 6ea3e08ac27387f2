"""Events as the page shows them: a line each, with what the page draws of some; and one event in full."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

from concert.v1 import event_pb2
from google.protobuf.json_format import MessageToDict

from coordinator_service.core import causes, events
from coordinator_service.core.events import Event
from coordinator_service.core.explanations import CauseStepView
from coordinator_service.core.values import value
from coordinator_service.log.codec import split
from coordinator_service.ports import Committed
from coordinator_service.web.live.clipping import clipped

KEYS_MAX: Final = 10
"""Keys of a change or a conflict that are shown in a line."""
FULL_STRING_CHARS_MAX: Final = 8_000
FULL_VALUES_MAX: Final = 2_000


@value
class EventLine:
    """An event in a line."""

    step: CauseStepView
    detail: dict[str, Any] | None = None


def event_line(event: Event) -> EventLine:
    """The event without its payload, but for what the page draws of it."""
    detail = _DETAILS.get(type(event.payload))
    return EventLine(step=causes.step(event), detail=None if detail is None else detail(event.payload))


def full_event(each: Committed) -> dict[str, Any]:
    """Everything that is in an event, as JSON has it; what is long is cut."""
    try:
        told = MessageToDict(event_pb2.Event.FromString(split(each.frame)[0]), preserving_proto_field_name=True)
    except Exception as fault:  # a number that JSON has no word for, or nesting that is too deep for it
        told = {"sequence": str(each.sequence), "fault": f"it cannot be shown as JSON: {fault}"}
    shown: dict[str, Any] = clipped(told, string_chars_max=FULL_STRING_CHARS_MAX, values_max=FULL_VALUES_MAX)
    return shown


def _updated(payload: events.StateUpdated) -> dict[str, Any]:
    return {
        "writer": payload.writer,
        "strategy": int(payload.merge_strategy),
        "prefix": payload.prefix,
        "updates": [[each.key, clipped(each.value)] for each in payload.updates[:KEYS_MAX]],
        "updates_total": len(payload.updates),
        "deletes": list(payload.deletes[:KEYS_MAX]),
    }


def _conflict(payload: events.ConflictDetected) -> dict[str, Any]:
    return {
        "kind": payload.conflict_type,
        "writer": payload.writer,
        "strategy": int(payload.strategy or 0),
        "base_revision": payload.base_revision,
        "priority": payload.priority,
        "keys": [
            {
                "key": each.key,
                "their_key": each.their_key,
                "their_writer": each.their_writer,
                "their_revision": each.their_revision,
                "their_timestamp_ns": each.their_timestamp_ns,
                "their_traceparent": each.their_traceparent,
                "their_priority": each.their_priority,
                "attempted": each.attempted_digest or clipped(each.attempted),
                "current": each.current_digest or clipped(each.current),
                "guarded_by": "" if each.guarded_by is None else each.guarded_by.resource,
            }
            for each in payload.keys[:KEYS_MAX]
        ],
        "keys_total": len(payload.keys),
    }


def _resolved(payload: events.ConflictResolved) -> dict[str, Any]:
    return {
        "conflict_sequence": payload.conflict_sequence,
        "winner": payload.winner,
        "loser": payload.loser,
        "strategy": int(payload.strategy or 0),
    }


def _required(payload: events.CoordinationRequired) -> dict[str, Any]:
    return {
        "conflict_sequence": payload.conflict_sequence,
        "action": payload.action,
        "target": payload.target,
        "winner": payload.winner,
    }


_DETAILS: Final[dict[type, Callable[[Any], dict[str, Any]]]] = {
    events.StateUpdated: _updated,
    events.ConflictDetected: _conflict,
    events.ConflictResolved: _resolved,
    events.CoordinationRequired: _required,
}
