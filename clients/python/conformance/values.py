"""What travels as what between the runner and this driver."""

from __future__ import annotations

import base64
from collections.abc import Mapping
from datetime import datetime
from typing import Any

import concert
from concert.errors import ConcertError
from concert.v1 import event_pb2, run_pb2, task_pb2

_ERROR_DETAILS = (
    "violations",
    "cycle",
    "resource",
    "conflict_type",
    "current_revision",
    "conflict_sequence",
    "keys",
    "token",
    "current_token",
    "holders",
    "position",
    "retry_after",
    "log_id",
    "oldest_sequence",
    "requested_log_id",
    "feature_level",
    "needed",
)


class Unencodable:
    """Something that no JSON has."""


def decoded(value: Any) -> Any:
    """A value of a request as the client takes it."""
    if isinstance(value, list):
        return [decoded(each) for each in value]
    if not isinstance(value, dict):
        return value
    if "$bytes" in value:
        return base64.b64decode(value["$bytes"])
    if "$number" in value:
        text = value["$number"]
        return int(text) if text.lstrip("-").isdigit() else float(text)
    if "$unencodable" in value:
        return Unencodable()
    return {key: decoded(item) for key, item in value.items()}


def encoded(value: Any) -> Any:
    """What the client gave, as an answer has it."""
    if isinstance(value, bytes):
        return {"$bytes": base64.b64encode(value).decode()}
    if isinstance(value, datetime):
        return value.isoformat()
    if isinstance(value, Mapping):
        return {key: encoded(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [encoded(each) for each in value]
    return value


def error_of(error: BaseException) -> dict[str, Any]:
    """What went wrong, with all that the typed error unpacked."""
    if not isinstance(error, ConcertError):
        return {"code": "DRIVER", "message": f"{type(error).__name__}: {error}"}
    details = {name: encoded(getattr(error, name)) for name in _ERROR_DETAILS if hasattr(error, name)}
    return {"code": error.code, "reason": error.reason, "message": error.message, "details": details}


def event_of(event: Any, *, raw: bool = False) -> dict[str, Any]:
    """An event, reduced to what is judged."""
    said: dict[str, Any] = {"sequence": event.sequence}
    # A type that this client does not know is its number.
    known = event.type in event_pb2.EventType.values()
    said["type"] = event_pb2.EventType.Name(event.type).removeprefix("EVENT_TYPE_") if known else event.type
    for name in ("agent_id", "run_id", "task_id", "traceparent"):
        if getattr(event, name):
            said[name] = getattr(event, name)
    if event.HasField("custom"):
        said |= {"custom_name": event.custom.name, "data": encoded(concert.from_payload(event.custom.data))}
    if raw:
        said["raw"] = encoded(event.SerializeToString())
    return said


def run_of(run: Any) -> dict[str, Any]:
    """A run, reduced to what is judged."""
    tasks = {
        each.task_id: {
            "status": task_pb2.TaskStatus.Name(each.status).removeprefix("TASK_STATUS_"),
            "attempts": each.attempts,
            "error_type": each.error.error_type,
            "error": each.error.message,
        }
        for each in run.tasks
    }
    return {"status": run_pb2.RunStatus.Name(run.status).removeprefix("RUN_STATUS_"), "tasks": tasks}


def run_arguments(run: dict[str, Any]) -> dict[str, Any]:
    """What submit_run takes."""
    return {**run, "tasks": [task_of(each) for each in run.get("tasks", ())]}


def task_of(task: dict[str, Any]) -> Any:
    """What concert.task makes of a task."""
    said = dict(task)
    for name in ("depends_on", "after"):
        if name in said:
            said[name] = [_dependency(each) for each in said[name]]
    if "locks" in said:
        said["locks"] = [each if isinstance(each, str) else concert.task_lock(**each) for each in said["locks"]]
    if "retry" in said:
        said["retry"] = concert.retry(**said["retry"])
    return concert.task(**said)


def _dependency(entry: Any) -> Any:
    if isinstance(entry, str):
        return entry
    return concert.on_agent(entry["agent"]) if "agent" in entry else concert.on_capability(entry["capability"])
