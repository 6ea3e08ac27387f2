"""What travels as what between the runner and this driver, in the contract's messages."""

from __future__ import annotations

import base64
from typing import Any

from concert.v1 import agent_pb2, error_pb2, event_pb2, lock_pb2, payload_pb2, run_pb2, task_pb2
from google.protobuf import json_format, struct_pb2
from google.rpc import error_details_pb2

_MODES = {"exclusive": lock_pb2.LOCK_MODE_EXCLUSIVE, "shared": lock_pb2.LOCK_MODE_SHARED}


def value_of(plain: Any) -> Any:
    """A Value. Raises ValueError for what JSON does not have."""
    if isinstance(plain, dict) and ("$number" in plain or "$unencodable" in plain):
        raise ValueError("this cannot be sent: JSON does not have it")
    if isinstance(plain, dict):
        return struct_pb2.Value(
            struct_value=struct_pb2.Struct(fields={key: value_of(item) for key, item in plain.items()})
        )
    if isinstance(plain, list):
        return struct_pb2.Value(list_value=struct_pb2.ListValue(values=[value_of(item) for item in plain]))
    return json_format.ParseDict(plain, struct_pb2.Value())


def plain_of(value: Any) -> Any:
    """What a Value holds."""
    plain = json_format.MessageToDict(value)
    return _whole(plain)


def _whole(plain: Any) -> Any:
    if isinstance(plain, float) and plain.is_integer() and abs(plain) <= 2**53:
        return int(plain)
    if isinstance(plain, dict):
        return {key: _whole(item) for key, item in plain.items()}
    return [_whole(item) for item in plain] if isinstance(plain, list) else plain


def payload_of(plain: Any) -> Any:
    """A Payload; None for nothing."""
    if plain is None:
        return None
    if isinstance(plain, dict) and "$bytes" in plain:
        return payload_pb2.Payload(data=base64.b64decode(plain["$bytes"]))
    return payload_pb2.Payload(json=value_of(plain))


def plain_payload(payload: Any) -> Any:
    """What a Payload holds."""
    if payload.HasField("data"):
        return {"$bytes": base64.b64encode(payload.data).decode()}
    return plain_of(payload.json) if payload.HasField("json") else None


def spec_of(args: dict[str, Any], handle: str) -> Any:
    """An AgentSpec."""
    capabilities = [
        agent_pb2.Capability(name=each) if isinstance(each, str) else agent_pb2.Capability(**each)
        for each in args.get("capabilities", ())
    ]
    role = args.get("agent_name") or handle.rpartition(":")[2]
    return agent_pb2.AgentSpec(
        agent_id=args.get("agent_id") or handle.replace(":", "-"),
        agent_name=role,
        capabilities=capabilities,
        slots=args.get("slots", 1),
        labels=args.get("labels", {}),
    )


def run_spec_of(run: dict[str, Any]) -> Any:
    """A RunSpec."""
    spec = run_pb2.RunSpec(run_id=run.get("run_id", ""), name=run.get("name", ""))
    if "context" in run:
        spec.context.CopyFrom(payload_of(run["context"]))
    for task in run["tasks"]:
        spec.tasks.append(_task_of(task))
    return spec


def _task_of(task: dict[str, Any]) -> Any:
    spec = task_pb2.TaskSpec(task_id=task["task_id"], metadata=task.get("metadata", {}))
    spec.target.capability = task["capability"]
    for name in ("depends_on", "after"):
        for each in task.get(name, ()):
            getattr(spec, name).add(task_id=each)
    if "input" in task:
        spec.input.CopyFrom(payload_of(task["input"]))
    if "max_execution_time" in task:
        spec.max_execution_time.FromNanoseconds(int(task["max_execution_time"] * 1e9))
    retry = dict(task.get("retry", {}))
    for name in ("backoff_initial", "backoff_max"):
        if name in retry:
            getattr(spec.retry, name).FromNanoseconds(int(retry.pop(name) * 1e9))
    for name, value in retry.items():
        setattr(spec.retry, name, value)
    return spec


def filter_of(wanted: dict[str, Any]) -> Any:
    """An EventFilter."""
    types = [event_pb2.EventType.Value(f"EVENT_TYPE_{each}") for each in wanted.get("types", ())]
    return event_pb2.EventFilter(types=types, **{key: item for key, item in wanted.items() if key != "types"})


def mode_of(mode: str) -> Any:
    """A LockMode."""
    return _MODES[mode]


def event_of(event: Any) -> dict[str, Any]:
    """An event, reduced to what is judged."""
    said: dict[str, Any] = {
        "sequence": event.sequence,
        "type": event_pb2.EventType.Name(event.type).removeprefix("EVENT_TYPE_"),
    }
    for name in ("agent_id", "run_id", "task_id", "traceparent"):
        if getattr(event, name):
            said[name] = getattr(event, name)
    if event.HasField("custom"):
        said |= {"custom_name": event.custom.name, "data": plain_payload(event.custom.data)}
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


def details_of(status: Any) -> dict[str, Any]:
    """The details of a status, flat."""
    said: dict[str, Any] = {}
    for any_ in status.details:
        if (found := _as(any_, error_details_pb2.ResourceInfo)) is not None:
            said["resource"] = f"{found.resource_type}/{found.resource_name}"
        elif (found := _as(any_, error_pb2.DependencyCycle)) is not None:
            said["cycle"] = list(found.task_ids)
        elif (found := _as(any_, error_pb2.StateConflict)) is not None:
            said |= {
                "conflict_type": found.conflict_type,
                "current_revision": found.current_revision,
                "conflict_sequence": found.conflict_sequence,
                "keys": [_key_of(key) for key in found.keys],
            }
    return said


def _key_of(key: Any) -> dict[str, Any]:
    said = {name: getattr(key, name) for name in ("key", "their_key", "their_writer", "their_revision")}
    return said | {name: plain_of(getattr(key, name)) for name in ("current", "attempted") if key.HasField(name)}


def _as(any_: Any, kind: Any) -> Any:
    if not any_.Is(kind.DESCRIPTOR):
        return None
    message = kind()
    any_.Unpack(message)
    return message
