"""Reading google.protobuf.Value: JSON as Python sees it."""

from __future__ import annotations

from typing import Any, TypeAlias

from concert._limits import JSON_INTEGER_MAX

# Mappings and sequences of these go in; dicts and lists of these come out.
JSON: TypeAlias = Any


def from_value(value: Any) -> JSON:
    """The Python value: dict, list, str, bool, None, and int for whole numbers up to 2^53, else float."""
    kind = value.WhichOneof("kind")
    if kind == "string_value":
        return value.string_value
    if kind == "number_value":
        return _number(value.number_value)
    if kind == "struct_value":
        return {key: from_value(item) for key, item in value.struct_value.fields.items()}
    if kind == "list_value":
        return [from_value(item) for item in value.list_value.values]
    if kind == "bool_value":
        return value.bool_value
    return None


def _number(number: float) -> int | float:
    if number.is_integer() and abs(number) <= JSON_INTEGER_MAX:
        return int(number)
    return number
