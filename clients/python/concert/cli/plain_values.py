"""Messages of the contract as plain values, for JSON and YAML.

Names are those of the contract. Numbers are numbers (64-bit ones too), enum values stand without the prefix of their
type, durations are seconds, times are RFC 3339 in UTC, bytes are base64. What is not set is left out, except numbers,
texts, enums and lists.
"""

from __future__ import annotations

import base64
import re
from typing import Any

from concert._time import from_duration
from concert._value import JSON, from_value

_SPECIAL = {
    "google.protobuf.Timestamp": lambda message: message.ToJsonString(),
    "google.protobuf.Duration": from_duration,
    "google.protobuf.Value": from_value,
}


def plain(message: Any) -> JSON:
    """A message, or a list of messages."""
    if isinstance(message, list):
        return [plain(each) for each in message]
    special = _SPECIAL.get(message.DESCRIPTOR.full_name)
    if special is not None:
        return special(message)
    values = {}
    for field in message.DESCRIPTOR.fields:
        if field.has_presence and not message.HasField(field.name):
            continue
        values[field.name] = _field(field, getattr(message, field.name))
    return values


def enum_name(kind: Any, number: int) -> str:
    """The name of an enum value without the prefix of its type; the number where it is of a later version."""
    if hasattr(kind, "DESCRIPTOR"):
        kind = kind.DESCRIPTOR
    found = kind.values_by_number.get(number)
    return str(number) if found is None else str(found.name).removeprefix(_prefix(kind.name))


def _prefix(name: str) -> str:
    return re.sub(r"(?<!^)(?=[A-Z])", "_", name).upper() + "_"


def _field(field: Any, value: Any) -> JSON:
    if field.message_type is not None and field.message_type.GetOptions().map_entry:
        of = field.message_type.fields_by_name["value"]
        return {str(key): _one(of, value[key]) for key in sorted(value)}
    if field.is_repeated:
        return [_one(field, each) for each in value]
    return _one(field, value)


def _one(field: Any, value: Any) -> JSON:
    if field.message_type is not None:
        return plain(value)
    if field.enum_type is not None:
        return enum_name(field.enum_type, value)
    return base64.b64encode(value).decode() if isinstance(value, bytes) else value
