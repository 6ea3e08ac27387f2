"""Events in words: what happened, and to what, in a line."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

from rich.text import Text

from concert._payload import from_payload
from concert._value import from_value
from concert.cli.plain_values import enum_name, plain
from concert.cli.safe_text import one_line
from concert.cli.words import clock, span
from concert.v1 import event_pb2, run_pb2

WORDS_LENGTH_MAX = 300
TYPE_WIDTH = 26
_STYLES = {
    "AGENT_COMPLETED": "green",
    "AGENT_FAILED": "red",
    "RUN_SUBMITTED": "bold",
    "RUN_COMPLETED": "bold",
    "RUN_CANCELLED": "magenta",
    "TASK_SKIPPED": "magenta",
    "TASK_CANCELLED": "magenta",
    "TASK_RETRY_SCHEDULED": "yellow",
    "CONFLICT_DETECTED": "yellow",
    "COORDINATION_REQUIRED": "yellow",
    "RESOURCE_REQUEST_TIMED_OUT": "yellow",
    "RESOURCE_REQUEST_REFUSED": "yellow",
    "CIRCUIT_OPENED": "red",
    "AGENT_DISCONNECTED": "yellow",
    "AGENT_DETACHED": "yellow",
    "CUSTOM": "cyan",
}


def type_name(event: Any) -> str:
    """Its type without the prefix."""
    return enum_name(event_pb2.EventType, event.type)


def subject(event: Any) -> str:
    """What it is about: a task, a run, an agent."""
    if event.run_id:
        return f"{event.run_id}/{event.task_id}" if event.task_id else str(event.run_id)
    return str(event.agent_id)


def words(event: Any) -> str:
    """What happened, without what `type_name` and `subject` say; one line that is safe to show."""
    kind = event.WhichOneof("payload")
    if kind is None:
        return ""
    payload = getattr(event, kind)
    tell = _WORDS.get(kind)
    text = one_line(_told(payload) if tell is None else tell(event, payload))
    return text if len(text) <= WORDS_LENGTH_MAX else text[: WORDS_LENGTH_MAX - 1] + "…"


def line(event: Any, *, namespace_time: bool = True) -> Text:
    """The event as a line: sequence, time, type, subject, words."""
    name = type_name(event)
    return Text.assemble(
        (f"{event.sequence:>7} ", "dim"),
        (f"{clock(event.timestamp)} " if namespace_time else "", "dim"),
        (f"{name:<{TYPE_WIDTH}} ", _STYLES.get(name, "")),
        (one_line(subject(event)), "bold"),
        "  " if subject(event) and words(event) else "",
        words(event),
    )


def _told(payload: Any) -> str:
    """A payload that there are no words for."""
    return json.dumps(plain(payload), ensure_ascii=False)


def _json(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False) if not isinstance(value, bytes) else f"{len(value)} bytes"


def _by(event: Any) -> str:
    return f"by {event.agent_id}" if event.agent_id else ""


def _custom(_event: Any, payload: Any) -> str:
    return f"{payload.name} {_json(from_payload(payload.data))}" if payload.HasField("data") else str(payload.name)


def _assigned(event: Any, payload: Any) -> str:
    again = f", attempt {payload.attempt}" if payload.attempt > 1 else ""
    return f"to {event.agent_id}{again}"


def _completed(event: Any, payload: Any) -> str:
    return f"{_by(event)} in {span(payload.execution_time_seconds)}"


def _failed(event: Any, payload: Any) -> str:
    lost = ", lost with its session" if payload.lost else ""
    return f"{_by(event)} after {span(payload.execution_time_seconds)}{lost}: {error_words(payload.error)}"


def error_words(error: Any) -> str:
    """Why a task did not succeed, in a line."""
    if error.cause_task_id:
        return f"{error.cause_task_id} did not succeed"
    return ": ".join(part for part in (error.error_type, error.message) if part)


def _progressed(_event: Any, payload: Any) -> str:
    return f"{payload.progress.fraction:.0%} {payload.progress.message}"


def _run_completed(_event: Any, payload: Any) -> str:
    return f"{enum_name(run_pb2.RunStatus, payload.status)} after {span(payload.execution_time_seconds)}"


def _run_submitted(_event: Any, payload: Any) -> str:
    named = f"{payload.spec.name!r}, " if payload.spec.name else ""
    return f"{named}{payload.tasks} task{'' if payload.tasks == 1 else 's'}"


def _updated(_event: Any, payload: Any) -> str:
    updates = [f"{each.key} = {_json(from_value(each.value))}" for each in payload.updates[:5]]
    more = f" and {len(payload.updates) - 5} more" if len(payload.updates) > 5 else ""
    return f"{', '.join(updates)}{more} by {payload.writer or 'the platform'}"


def _requested(_event: Any, payload: Any) -> str:
    return f"{', '.join(each.resource for each in payload.requests)} for {payload.holder}"


def _lock(_event: Any, payload: Any) -> str:
    return f"{payload.resource} by {payload.holder}"


def _released(event: Any, payload: Any) -> str:
    because = "" if event.reason in ("", "CALLER_REQUEST") else f", {event.reason}"
    return f"{payload.resource} by {payload.holder}{because}"


def _request(_event: Any, payload: Any) -> str:
    return f"request {payload.request_sequence}"


def _conflict(_event: Any, payload: Any) -> str:
    keys = ", ".join(f"{each.key} with {each.their_writer} at {each.their_revision}" for each in payload.keys[:3])
    return f"{payload.writer or 'somebody'} met {keys}"


def _resolved(_event: Any, payload: Any) -> str:
    return f"{payload.winner or 'the first'} won over {payload.loser or 'the other'}"


def _registered(_event: Any, payload: Any) -> str:
    return f"{payload.spec.agent_name}: {', '.join(each.name for each in payload.spec.capabilities)}"


def _gone(event: Any, _payload: Any) -> str:
    return str(event.reason)


_WORDS: dict[str, Callable[[Any, Any], str]] = {
    "custom": _custom,
    "task_added": lambda _, payload: f"for {target_words(payload.spec.target)}",
    "task_assigned": _assigned,
    "agent_started": lambda event, _: _by(event),
    "agent_completed": _completed,
    "agent_failed": _failed,
    "task_progressed": _progressed,
    "task_cancel_requested": lambda event, _: str(event.reason),
    "task_retry_scheduled": lambda _, payload: f"attempt {payload.attempt} at {clock(payload.ready_at)}",
    "task_skipped": lambda _, payload: f"because {payload.cause_task_id} did not succeed",
    "task_cancelled": _gone,
    "run_submitted": _run_submitted,
    "run_completed": _run_completed,
    "run_cancelled": _gone,
    "run_extended": lambda _, payload: f"{payload.tasks} tasks added" + (", the last" if payload.last else ""),
    "run_restated": lambda _, payload: f"as it ended, {payload.tasks} tasks",
    "task_restated": lambda _, payload: f"for {target_words(payload.spec.target)}",
    "run_retried": lambda _, payload: f"try {payload.generation}, of {payload.tasks} tasks",
    "state_updated": _updated,
    "resource_requested": _requested,
    "resource_acquired": _lock,
    "resource_released": _released,
    "resource_request_timed_out": _request,
    "resource_request_refused": lambda _, payload: str(payload.resource),
    "resource_request_withdrawn": _request,
    "resource_request_reattached": _request,
    "conflict_detected": _conflict,
    "conflict_resolved": _resolved,
    "coordination_required": lambda _, payload: f"{payload.action} by {payload.target}",
    "agent_registered": _registered,
    "agent_updated": _registered,
    "agent_detached": _gone,
    "agent_attached": _gone,
    "agent_disconnected": _gone,
    "agent_draining": _gone,
    "circuit_opened": lambda event, payload: f"{payload.capability}: {event.reason} after {payload.failures} failures",
    "circuit_half_opened": lambda _, payload: f"{payload.capability}: the next task is a trial",
    "circuit_closed": lambda _, payload: str(payload.capability),
    "owner_started": lambda _, payload: f"{payload.replica_id}, epoch {payload.epoch}",
    "policy_changed": lambda _, payload: f"{', '.join(each.name for each in payload.policies)}",
}


def target_words(target: Any) -> str:
    """Who a task is for."""
    kind = target.WhichOneof("target")
    return "" if kind is None else f"{kind.replace('_', ' ')} {getattr(target, kind)}"
