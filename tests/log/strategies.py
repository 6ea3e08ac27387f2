"""Hypothesis strategies for the core's dataclasses, derived from their annotations."""

from __future__ import annotations

from dataclasses import fields, is_dataclass
from enum import IntEnum
from typing import Any, get_args

from concert.v1 import payload_pb2
from hypothesis import strategies as st

from coordinator_service.core import events as core_events
from coordinator_service.core import specs, values
from coordinator_service.core.events import Event, Payload
from coordinator_service.core.specs import Dependency, TaskTarget
from coordinator_service.log.mirror import fill_json

PAYLOAD_CLASSES: tuple[type, ...] = get_args(Payload)
"""What an event can state."""

_WIDE = ("sequence", "token", "tokens", "revision", "session_id", "cause", "epoch", "size", "limits")
_TIMES_NS = st.one_of(st.just(0), st.integers(0, 253_402_300_799_999_999_999))
_DURATIONS_NS = st.integers(0, 315_576_000_000_000_000_000)

texts = st.text(max_size=12)
mappings = st.dictionaries(texts, texts, max_size=3)
floats = st.floats(allow_nan=False, allow_infinity=False)
json_values = st.recursive(
    st.none() | st.booleans() | floats | texts,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(texts, inner, max_size=3),
    max_leaves=8,
)


@st.composite
def encoded_payloads(draw: st.DrawFn) -> bytes:
    """A Payload as it comes from a caller."""
    payload = payload_pb2.Payload(content_type=draw(texts))
    if draw(st.booleans()):
        payload.data = draw(st.binary(max_size=20))
    else:
        fill_json(draw(json_values), payload.json)
    return payload.SerializeToString(deterministic=True)


def instances(cls: type) -> st.SearchStrategy[Any]:
    """Any value of a dataclass of the core."""
    if cls in (Dependency, TaskTarget):
        return st.one_of(*(st.builds(cls, **{each.name: texts}) for each in fields(cls)))
    if cls is Event:
        return events()
    return st.builds(cls, **{each.name: _values(str(each.type), each.name) for each in fields(cls)})


def events(payload: type | None = None) -> st.SearchStrategy[Event]:
    """Events, of one payload class when it is named."""
    payloads = instances(payload) if payload else st.one_of(*map(instances, PAYLOAD_CLASSES))
    others = {each.name: _values(str(each.type), each.name) for each in fields(Event) if each.name != "payload"}
    return st.builds(Event, payload=payloads, **others)


def _values(annotation: str, name: str) -> st.SearchStrategy[Any]:
    if annotation.endswith(" | None"):
        inner = annotation.removesuffix(" | None")
        return st.none() | (_DURATIONS_NS if name.endswith("_ns") else _values(inner, name))
    if annotation.startswith("tuple["):
        item = annotation.removeprefix("tuple[").removesuffix(", ...]")
        return st.lists(_values(item, name), max_size=3).map(tuple)
    if annotation == "int":
        return _TIMES_NS if name.endswith("_ns") else _integers(name)
    if annotation == "bytes":
        return st.binary(max_size=20) if name == "digest" else encoded_payloads()
    plain: dict[str, st.SearchStrategy[Any]] = {
        "str": texts,
        "bool": st.booleans(),
        "float": floats,
        "JsonValue": json_values,
        "dict[str, str]": mappings,
        "dict[str, int]": st.dictionaries(texts, _integers(name), max_size=3),
    }
    return plain[annotation] if annotation in plain else _members(_named(annotation))


def _integers(name: str) -> st.SearchStrategy[int]:
    return st.integers(0, 2**63 - 1 if name.endswith(_WIDE) else 2**32 - 1)


def _members(cls: type) -> st.SearchStrategy[Any]:
    if issubclass(cls, IntEnum):
        return st.sampled_from(cls)
    assert is_dataclass(cls)
    return st.deferred(lambda: instances(cls))


def _named(name: str) -> type:
    for module in (values, specs, core_events):
        if hasattr(module, name):
            found: type = getattr(module, name)
            return found
    raise LookupError(name)
