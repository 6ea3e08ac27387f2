"""What the error of a lost conflict tells of each key."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any, TypedDict

from google.protobuf import struct_pb2

from concert._lock_details import LockHolder, lock_holder
from concert._value import from_value


class ConflictKey(TypedDict):
    """One key on which two writers met. `current` and `attempted` are None when too large to be sent along,
    or deleted. `guarded_by` is the lock that stands in the way, if one does.
    """

    key: str
    their_key: str
    their_writer: str
    their_revision: int
    their_timestamp: datetime
    their_traceparent: str
    current: Any
    attempted: Any
    guarded_by: LockHolder | None


def conflict_key(key: Any) -> ConflictKey:
    """A key, as an error says it."""
    return {
        "key": key.key,
        "their_key": key.their_key,
        "their_writer": key.their_writer,
        "their_revision": key.their_revision,
        "their_timestamp": key.their_timestamp.ToDatetime(tzinfo=UTC),
        "their_traceparent": key.their_traceparent,
        "current": _optional_value(key, "current"),
        "attempted": _optional_value(key, "attempted"),
        "guarded_by": lock_holder(key.guarded_by) if key.HasField("guarded_by") else None,
    }


def conflict_advice(conflict_type: str, current_revision: int) -> str:
    """What the loser can do, as the end of a sentence; empty where a lock stands in the way, which is to be taken."""
    if not current_revision or conflict_type == "resource_conflict":
        return ""
    return (
        f"; read it again and build on it with base_revision={current_revision}, or use state.modify (without a base,"
        " writers of one name do not conflict: concert.connect(..., writer=...))"
    )


def _optional_value(key: Any, field: str) -> Any:
    value: struct_pb2.Value = getattr(key, field)
    return from_value(value) if key.HasField(field) else None
