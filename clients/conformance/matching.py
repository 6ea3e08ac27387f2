"""What a scenario's data means: variables, values made large, and whether something found is what was expected."""

from __future__ import annotations

import base64
import re
from collections.abc import Mapping
from typing import Any

from concert.v1 import event_pb2
from google.protobuf import unknown_fields


class Mismatch(Exception):  # noqa: N818 - what it says is what was found
    """What was found is not what was expected; says where."""


def filled(value: Any, variables: Mapping[str, Any]) -> Any:
    """The value with `$name` and `$name.path` replaced, and `{$repeat: [text, times]}` made."""
    if isinstance(value, str) and re.fullmatch(r"\$[a-z_][a-z0-9_]*(\.[\w/-]+)*", value):
        name, _, path = value[1:].partition(".")
        if name not in variables:
            raise KeyError(f"no step has saved {name!r}")
        return found_at(variables[name], path)
    if isinstance(value, dict):
        if set(value) == {"$repeat"}:
            text, times = value["$repeat"]
            return text * times
        if set(value) == {"$plus"}:
            first, second = (filled(each, variables) for each in value["$plus"])
            return int(first) + int(second)
        if set(value) == {"$text"}:
            return "".join(str(filled(each, variables)) for each in value["$text"])
        return {key: filled(each, variables) for key, each in value.items()}
    if isinstance(value, (list, tuple)):
        return [filled(each, variables) for each in value]
    return value


def found_at(value: Any, path: str) -> Any:
    """What is at a dotted path; numbers index lists."""
    for step in path.split(".") if path else []:
        value = value[int(step)] if isinstance(value, list) else value[step]
    return value


def check(expected: Any, found: Any, where: str = "") -> None:
    """Raises Mismatch unless what was found has all that is expected. Maps may have more, lists may not."""
    if isinstance(expected, dict):
        operator = next((key for key in expected if key.startswith("$") and key in _OPERATORS), None)
        if operator is not None:
            _OPERATORS[operator](expected[operator], found, where)
            return
        if not isinstance(found, dict):
            raise Mismatch(f"{where or 'it'} is {_short(found)}, not a map with {', '.join(expected)}")
        for key, value in expected.items():
            at = f"{where}.{key}" if where else str(key)
            if key not in found and value is not None:
                raise Mismatch(f"{at} is not there: {_short(found)}")
            check(value, found.get(key), at)
    elif isinstance(expected, list):
        if not isinstance(found, list) or len(found) != len(expected):
            raise Mismatch(f"{where} is {_short(found)}, not {_short(expected)}")
        for index, (one, other) in enumerate(zip(expected, found, strict=True)):
            check(one, other, f"{where}[{index}]")
    elif not _same(expected, found):
        raise Mismatch(f"{where or 'it'} is {_short(found)}, not {_short(expected)}")


def matches(expected: Any, found: Any) -> bool:
    """Whether `check` has nothing to say."""
    try:
        check(expected, found)
    except Mismatch:
        return False
    return True


def _same(expected: Any, found: Any) -> bool:
    if isinstance(expected, bool) or isinstance(found, bool):
        return expected is found
    if isinstance(expected, int) and isinstance(found, str):  # protobuf's JSON writes 64-bit integers as text
        return str(expected) == found
    return bool(expected == found)


def _any(_expected: Any, found: Any, where: str) -> None:
    if found is None:
        raise Mismatch(f"{where} is not there")


def _at_least(expected: Any, found: Any, where: str) -> None:
    if found is None or float(found) < float(expected):
        raise Mismatch(f"{where} is {_short(found)}, not at least {expected}")


def _at_most(expected: Any, found: Any, where: str) -> None:
    if found is None or float(found) > float(expected):
        raise Mismatch(f"{where} is {_short(found)}, not at most {expected}")


def _contains(expected: Any, found: Any, where: str) -> None:
    for one in expected:
        if not any(matches(one, each) for each in found or []):
            raise Mismatch(f"{where} has no {_short(one)}: {_short(found)}")


def _pattern(expected: Any, found: Any, where: str) -> None:
    if not isinstance(found, str) or re.search(expected, found) is None:
        raise Mismatch(f"{where} is {_short(found)}, which does not match {expected!r}")


def _size(expected: Any, found: Any, where: str) -> None:
    if found is None or len(found) != expected:
        raise Mismatch(f"{where} has a size of {len(found or ())}, not {expected}")


def _differs(expected: Any, found: Any, where: str) -> None:
    if matches(expected, found):
        raise Mismatch(f"{where} is {_short(found)}, and must not be")


def _same_trace(expected: Any, found: Any, where: str) -> None:
    if not isinstance(found, str) or found.split("-")[1:2] != str(expected).split("-")[1:2]:
        raise Mismatch(f"{where} is {_short(found)}, which is not of the trace of {expected}")
    if found == expected:
        raise Mismatch(f"{where} is the span that was given, not one of its own")


def _fields(event: event_pb2.Event) -> Any:
    return unknown_fields.UnknownFieldSet(event)


def _unknown_field(expected: Any, found: Any, where: str) -> None:
    event = event_pb2.Event.FromString(base64.b64decode(found["$bytes"]))
    if expected not in {field.field_number for field in _fields(event)}:
        raise Mismatch(f"{where} has lost its field {expected}")


_OPERATORS: dict[str, Any] = {
    "$any": _any,
    "$ge": _at_least,
    "$le": _at_most,
    "$contains": _contains,
    "$matches": _pattern,
    "$size": _size,
    "$not": _differs,
    "$unknown_field": _unknown_field,
    "$same_trace": _same_trace,
}


def _short(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= 400 else f"{text[:300]}... ({len(text)} characters)"
