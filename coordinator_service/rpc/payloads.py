"""Payloads: passed on unread, so they are checked without being read where that can be helped.

Walking a google.protobuf.Value from Python costs about half a microsecond a node. Two looks at its bytes, at the speed
of C, settle nearly every payload: whether a byte string that could be NaN or infinity occurs at all, and whether there
are enough bytes that could open a list or a map to nest too deeply. Only what does not pass is walked.
"""

from __future__ import annotations

import re
from typing import Any

from coordinator_service.core.values import JsonValue
from coordinator_service.log.mirror import JSON_DEPTH_MAX, read_json
from coordinator_service.log.mirror import InvalidField as MirrorFault
from coordinator_service.rpc import limits
from coordinator_service.rpc.validation import Faults, size_fault

_NOT_FINITE = re.compile(rb"\x11.{6}[\xf0-\xff][\x7f\xff]", re.DOTALL)
"""Value.number_value (field 2, a double) whose exponent is all ones: NaN or infinity. May also match by accident."""
_STRUCT_TAG = b"\x2a"
_LIST_TAG = b"\x32"


def read_payload(faults: Faults, field: str, message: Any, name: str) -> bytes | None:
    """The encoded Payload in a message's field `name`, None when unset. field is the path of the message around it."""
    if not message.HasField(name):
        return None
    payload = getattr(message, name)
    encoded: bytes = payload.SerializeToString()
    if len(encoded) > limits.PAYLOAD_BYTES_MAX:
        faults.add(f"{field}{name}", f"has {len(encoded)} bytes, the limit is {limits.PAYLOAD_BYTES_MAX}")
        return None
    if fault := size_fault(payload.content_type, limits.CONTENT_TYPE_BYTES_MAX):
        faults.add(f"{field}{name}.content_type", fault)
    if payload.HasField("json") and not _surely_json(encoded):
        read_value(faults, f"{field}{name}.json", payload.json)
    return encoded


def read_value(faults: Faults, field: str, value: Any) -> JsonValue:
    """The JSON value of a google.protobuf.Value."""
    try:
        return read_json(value)
    except MirrorFault as fault:
        faults.add(field, fault.description)
        return None


def _surely_json(encoded: bytes) -> bool:
    levels_max = encoded.count(_STRUCT_TAG) + encoded.count(_LIST_TAG)
    return levels_max <= JSON_DEPTH_MAX and _NOT_FINITE.search(encoded) is None
