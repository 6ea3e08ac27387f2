"""JSON and bytes to and from the contract's Payload and Value; what the contract refuses is refused before it
is sent.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any, TypeAlias

from google.protobuf import struct_pb2

from concert._limits import JSON_DEPTH_MAX, JSON_INTEGER_MAX, PAYLOAD_BYTES_MAX
from concert._value import JSON, from_value
from concert.errors import InvalidPayload
from concert.v1 import payload_pb2

# A Payload message, bytes, or JSON.
PayloadLike: TypeAlias = Any


def to_value(json: JSON) -> struct_pb2.Value:
    """The Value for a JSON-like Python value.

    Raises InvalidPayload for NaN and infinity, integers beyond 2^53 (they would lose digits: send them as
    strings), keys that are no strings, other types, and nesting beyond 28 levels.
    """
    value = struct_pb2.Value()
    _fill(value, json, 1, "")
    return value


def to_payload(content: PayloadLike, content_type: str = "") -> payload_pb2.Payload:
    """The Payload for bytes (data) or JSON; a Payload passes through. Raises InvalidPayload, also above 1 MiB
    encoded.
    """
    if isinstance(content, payload_pb2.Payload):
        payload = content
    elif isinstance(content, (bytes, bytearray, memoryview)):
        payload = payload_pb2.Payload(data=bytes(content), content_type=content_type)
    else:
        payload = payload_pb2.Payload(content_type=content_type)
        _fill(payload.json, content, 1, "")
    size_bytes = payload.ByteSize()
    if size_bytes > PAYLOAD_BYTES_MAX:
        raise InvalidPayload(f"a payload of {size_bytes} bytes is over the limit of {PAYLOAD_BYTES_MAX}")
    return payload


def from_payload(payload: payload_pb2.Payload) -> Any:
    """The Python value of a Payload: JSON, or bytes for data; None when it is empty."""
    content = payload.WhichOneof("content")
    if content == "data":
        return payload.data
    return from_value(payload.json) if content == "json" else None


def _fill(value: Any, json: JSON, depth: int, path: str) -> None:
    if json is None:
        value.null_value = struct_pb2.NULL_VALUE
    elif isinstance(json, str):
        value.string_value = _encodable(json, path)
    elif isinstance(json, bool):
        value.bool_value = json
    elif isinstance(json, (int, float)):
        value.number_value = _number(json, path)
    elif isinstance(json, struct_pb2.Value):
        value.CopyFrom(json)
    elif isinstance(json, Mapping):
        _fill_mapping(value, json, depth, path)
    elif isinstance(json, Sequence) and not isinstance(json, (bytes, bytearray, memoryview)):
        _check_depth(depth, path)
        value.list_value.SetInParent()
        for index, item in enumerate(json):
            _fill(value.list_value.values.add(), item, depth + 1, f"{path}[{index}]")
    else:
        raise InvalidPayload(f"{path or 'the value'} is {type(json).__name__}, which JSON does not have")


def _fill_mapping(value: Any, json: Mapping[Any, Any], depth: int, path: str) -> None:
    _check_depth(depth, path)
    value.struct_value.SetInParent()
    fields = value.struct_value.fields
    for key, item in json.items():
        if not isinstance(key, str):
            raise InvalidPayload(f"{path or 'the value'} has the key {key!r}: keys are strings")
        _fill(fields[_encodable(key, path)], item, depth + 1, f"{path}.{key}" if path else key)


def _number(number: int | float, path: str) -> float:
    if isinstance(number, int):
        if abs(number) > JSON_INTEGER_MAX:
            raise InvalidPayload(f"{path or 'the value'} is an integer beyond 2^53: send it as a string")
        return float(number)
    if not math.isfinite(number):
        raise InvalidPayload(f"{path or 'the value'} is {number}: JSON has no NaN and no infinity")
    return number


def _encodable(text: str, path: str) -> str:
    try:
        text.encode()
    except UnicodeEncodeError:
        raise InvalidPayload(f"{path or 'the value'} holds text that is not valid Unicode") from None
    return text


def _check_depth(depth: int, path: str) -> None:
    if depth > JSON_DEPTH_MAX:
        raise InvalidPayload(f"{path[:80]} nests deeper than {JSON_DEPTH_MAX} levels")


def clip_start(text: str, bytes_max: int) -> str:
    """The text, its beginning cut off so that it takes at most that many bytes in UTF-8."""
    encoded = text.encode(errors="replace")
    if len(encoded) <= bytes_max:
        return encoded.decode()
    return "…" + encoded[len(encoded) - bytes_max + 3 :].decode(errors="ignore")


def clip(text: str, bytes_max: int) -> str:
    """The text, its end cut off so that it takes at most that many bytes in UTF-8."""
    encoded = text.encode(errors="replace")
    if len(encoded) <= bytes_max:
        return encoded.decode()
    return encoded[: bytes_max - 3].decode(errors="ignore") + "…"
