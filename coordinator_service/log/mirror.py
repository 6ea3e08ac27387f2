"""The one table that translates core dataclasses to concert.v1 messages and back.

It is derived from the message descriptors and the dataclass fields once, when imported, so that a field
which exists on one side only cannot be forgotten quietly: building the table fails. The rules:

- a Timestamp `x` is `x_ns`, 0 when unset; a Duration `x` is `x_ns`, None when unset; Event.timestamp is
  `time_ns`;
- an absent message or `optional` field is None where the dataclass allows None, otherwise the empty value;
- repeated fields are tuples, maps dicts, enums the core's IntEnums, a google.protobuf.Value is plain JSON;
- a Payload stays encoded bytes;
- UNSPECIFIED is None where the dataclass allows None, otherwise the default that the contract documents.

What a caller sent and the core cannot hold (an unknown enum number, NaN, a time out of range) raises
InvalidField.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable
from dataclasses import Field, dataclass, fields, is_dataclass
from enum import IntEnum
from math import isfinite
from types import ModuleType
from typing import Any

from concert.v1 import (  # noqa: F401 (they register their messages)
    agent_pb2,
    event_pb2,
    explanation_pb2,
    lock_pb2,
    metrics_pb2,
    payload_pb2,
    policy_pb2,
    run_pb2,
    state_pb2,
    task_pb2,
)
from google.protobuf import descriptor_pool, message_factory
from google.protobuf.descriptor import FieldDescriptor
from google.protobuf.message import Message

from coordinator_service.core import events, explanations, figures, specs, values
from coordinator_service.core.values import NS_PER_SECOND, JsonValue

PACKAGE = "concert.v1"
JSON_DEPTH_MAX = 28
"""How many lists and maps may lie within each other: protobuf parsers stop at 100 nested messages."""

TIMESTAMP_SECONDS_MIN = -62_135_596_800
TIMESTAMP_SECONDS_MAX = 253_402_300_799
DURATION_SECONDS_MAX = 315_576_000_000

Fill = Callable[[Any, Any], None]
Read = Callable[[Any], Any]
MessageClass = Callable[[str], type[Message]]


class InvalidField(ValueError):  # noqa: N818 (it says what is wrong)
    """A message holds what the core cannot: field is its path, for example "spec.tasks[3].locks[0].mode"."""

    def __init__(self, field: str, description: str) -> None:
        super().__init__(f"{field}: {description}" if field else description)
        self.field = field
        self.description = description

    def within(self, outer: str) -> InvalidField:
        """The same fault, seen from the message around it."""
        inner = self.field
        joint = "." if outer and inner and not inner.startswith("[") else ""
        return InvalidField(f"{outer}{joint}{inner}", self.description)


# JSON


def fill_json(json: JsonValue, value: Any) -> None:
    """Writes a JSON value into an empty google.protobuf.Value."""
    kind = type(json)
    if kind is str:
        value.string_value = json
    elif kind is float or kind is int:
        value.number_value = json
    elif kind is dict:
        _fill_struct(json, value)  # type: ignore[arg-type]
    elif kind is list:
        _fill_list(json, value)  # type: ignore[arg-type]
    elif json is None:
        value.null_value = 0
    elif kind is bool:
        value.bool_value = json
    else:
        raise TypeError(f"{kind.__name__} is no JSON value")


def _fill_struct(json: dict[str, JsonValue], value: Any) -> None:
    struct = value.struct_value
    if json:
        entries = struct.fields
        for key, item in json.items():
            fill_json(item, entries[key])
    else:
        struct.SetInParent()


def _fill_list(json: list[JsonValue], value: Any) -> None:
    items = value.list_value
    if json:
        add = items.values.add
        for item in json:
            fill_json(item, add())
    else:
        items.SetInParent()


def read_json(value: Any, depth_left: int = JSON_DEPTH_MAX) -> JsonValue:
    """The JSON value that a google.protobuf.Value holds; numbers are floats. Raises InvalidField."""
    kind = value.WhichOneof("kind")
    if kind == "string_value":
        text: str = value.string_value
        return text
    if kind == "number_value":
        number: float = value.number_value
        if not isfinite(number):
            raise InvalidField("", "NaN and infinity are not JSON")
        return number
    if kind == "struct_value":
        if not depth_left:
            raise InvalidField("", f"nests deeper than {JSON_DEPTH_MAX} levels")
        # A map is read in whatever order its hash table has: sorted, so that a fold gives the same everywhere (D1).
        return {key: read_json(item, depth_left - 1) for key, item in sorted(value.struct_value.fields.items())}
    if kind == "list_value":
        if not depth_left:
            raise InvalidField("", f"nests deeper than {JSON_DEPTH_MAX} levels")
        return [read_json(item, depth_left - 1) for item in value.list_value.values]
    if kind == "bool_value":
        return bool(value.bool_value)
    return None


def fill_payload(encoded: bytes, payload: Any) -> None:
    """Writes an encoded Payload into an empty one."""
    payload.SetInParent()
    payload.MergeFromString(encoded)


# Time


def fill_timestamp(ns: int, timestamp: Any) -> None:
    """Writes nanoseconds since 1970 into a Timestamp."""
    timestamp.seconds, timestamp.nanos = divmod(ns, NS_PER_SECOND)


def read_timestamp(timestamp: Any) -> int:
    """Nanoseconds since 1970. Raises InvalidField outside of the years 1 to 9999."""
    seconds: int = timestamp.seconds
    nanos: int = timestamp.nanos
    if not (TIMESTAMP_SECONDS_MIN <= seconds <= TIMESTAMP_SECONDS_MAX and 0 <= nanos < NS_PER_SECOND):
        raise InvalidField("", "not a time of the years 1 to 9999 with 0 to 999999999 nanos")
    return seconds * NS_PER_SECOND + nanos


def fill_duration(ns: int, duration: Any) -> None:
    """Writes nanoseconds into a Duration, whose seconds and nanos have the same sign."""
    if ns >= 0:
        duration.seconds, duration.nanos = divmod(ns, NS_PER_SECOND)
    else:
        seconds, nanos = divmod(-ns, NS_PER_SECOND)
        duration.seconds, duration.nanos = -seconds, -nanos


def read_duration(duration: Any) -> int:
    """Nanoseconds. Raises InvalidField outside of about 10 000 years either way."""
    seconds: int = duration.seconds
    nanos: int = duration.nanos
    if abs(seconds) > DURATION_SECONDS_MAX or abs(nanos) >= NS_PER_SECOND or seconds * nanos < 0:
        raise InvalidField("", "not a duration of at most 315576000000 seconds, nanos below a second, of one sign")
    return seconds * NS_PER_SECOND + nanos


# The table

_ALIASES = {"Event": {"timestamp": "time_ns"}}
_PROTO_ONLY = {"Event": {"log_id", "namespace", "type"}}
_ENUM_DEFAULTS = {"LockMode": values.LockMode.EXCLUSIVE, "MergeStrategy": values.MergeStrategy.MERGE}
_TIMESTAMP = "google.protobuf.Timestamp"
_DURATION = "google.protobuf.Duration"
_VALUE = "google.protobuf.Value"
_PAYLOAD = f"{PACKAGE}.Payload"


_LOGGED = (specs, events)
_SHOWN = (figures, explanations)
"""Modules of what is only ever shown: the log does not know their messages."""


def mirrored_classes(*more: ModuleType) -> dict[str, type]:
    """The core's dataclasses by the name of the message that each mirrors."""
    return {
        name.removesuffix("View"): each
        for module in (*_LOGGED, *more)
        for name, each in vars(module).items()
        if is_dataclass(each) and isinstance(each, type) and each.__module__ == module.__name__
    }


def mirrored_enums(*more: ModuleType) -> dict[str, type[IntEnum]]:
    """The core's enums by the name of the enum that each mirrors."""
    return {
        name: each
        for module in (values, events, *more)
        for name, each in vars(module).items()
        if isinstance(each, type) and issubclass(each, IntEnum) and each.__module__ == module.__name__
    }


def core_name(field: Any) -> str:
    """What a message's field is called in the dataclass."""
    alias = _ALIASES.get(field.containing_type.name, {}).get(field.name)
    if alias:
        return alias
    timed = field.message_type is not None and field.message_type.full_name in (_TIMESTAMP, _DURATION)
    return f"{field.name}_ns" if timed else field.name


def core_fields(descriptor: Any) -> dict[str, Any]:
    """The fields that a dataclass must have to mirror a message, the Event's payload oneof left out."""
    hidden = _PROTO_ONLY.get(descriptor.name, set())
    return {
        core_name(field): field
        for field in descriptor.fields
        if field.name not in hidden and not (descriptor.name == "Event" and field.containing_oneof is not None)
    }


@dataclass(frozen=True, slots=True)
class Column:
    """One field of a message: the lines that write it from `value` and the expression that reads it, from
    `message`.

    name is the field's in messages; items reads one item of a repeated field.
    """

    name: str
    write: str
    read: str
    items: Read | None = None


class Mirror:
    """The table over one family of message classes, found by name in message_class.

    For each pair two functions are generated from its columns, as dataclasses generate __init__: reading
    a field costs what reading a field costs, about half of what walking through closures does.
    """

    def __init__(self, message_class: MessageClass, *more: ModuleType) -> None:
        self._message_class = message_class
        self._classes = mirrored_classes(*more)
        self._enums = mirrored_enums(*more)
        self._messages: dict[type, type[Message]] = {}
        self._fill: dict[type, Fill] = {}
        self._read: dict[type, Read] = {}
        self._tables: dict[type, dict[str, Column]] = {}
        self._names: dict[str, Any] = {
            "fill_json": fill_json,
            "fill_payload": fill_payload,
            "fill_timestamp": fill_timestamp,
            "fill_duration": fill_duration,
            "read_json": read_json,
            "read_timestamp": read_timestamp,
            "read_duration": read_duration,
            "InvalidField": InvalidField,
        }
        for name in self._classes:
            self._compile(name)

    def to_proto(self, value: Any) -> Any:
        """The message that says what a dataclass says."""
        message = self._messages[type(value)]()
        self._fill[type(value)](value, message)
        return message

    def fill(self, value: Any, message: Any) -> None:
        """The same into an empty message that is there already."""
        self._fill[type(value)](value, message)

    def from_proto(self, message: Any) -> Any:
        """The dataclass that says what a message says. Raises InvalidField."""
        return self._read[type(message)](message)

    def filler(self, core_class: type, names: Collection[str]) -> Fill:
        """fill for some fields of a dataclass, where what others say is known already."""
        columns = self._tables[core_class]
        scope = dict(self._names)
        exec(_fill_source("some", [columns[name] for name in names]), scope)
        some: Fill = scope["fill_some"]
        return some

    def reader(self, message_class: type[Message]) -> Read:
        """from_proto for one message class, likewise."""
        return self._read[message_class]

    # Compiling

    def _compile(self, name: str) -> tuple[Fill, Read]:
        core_class = self._classes[name]
        if core_class in self._fill:
            return self._fill[core_class], self._read[self._messages[core_class]]
        message_class = self._message_class(name)
        columns = self._tables[core_class] = self._columns(core_class, message_class)
        names = self._names
        names[f"class_{name}"] = core_class
        names[f"fault_{name}"] = _fault_finder(names, columns)
        exec(_source(name, columns), names)
        self._messages[core_class] = message_class
        fill = self._fill[core_class] = names[f"fill_{name}"]
        read = self._read[message_class] = names[f"read_{name}"]
        return fill, read

    def _columns(self, core_class: type, message_class: type[Message]) -> dict[str, Column]:
        """The columns by the names of the dataclass's fields."""
        descriptor: Any = message_class.DESCRIPTOR
        by_name = {each.name: each for each in fields(core_class)}
        mirrored = core_fields(descriptor)
        columns = {}
        if core_class is events.Event:
            del by_name["payload"]
            columns["payload"] = self._event_payload_column(descriptor)
        if set(by_name) != set(mirrored):
            raise TypeError(f"{descriptor.name}: {sorted(set(by_name) ^ set(mirrored))} exist on one side only")
        return columns | {name: self._column(mirrored[name], each) for name, each in by_name.items()}

    def _column(self, field: Any, core: Field[Any]) -> Column:
        none_allowed = str(core.type).endswith("| None")
        take, name = f"value.{core.name}", field.name
        if field.type == FieldDescriptor.TYPE_MESSAGE:
            return self._message_column(field, take, none_allowed)
        if field.is_repeated:
            return Column(name, f"if x := {take}: message.{name}.extend(x)", f"tuple(message.{name})")
        if field.type == FieldDescriptor.TYPE_ENUM:
            members = f"members_{field.containing_type.name}_{name}"
            self._names[members] = self._enum_members(field.enum_type, core, none_allowed)
            return Column(name, f"if x := {take}: message.{name} = x", f"{members}[message.{name}]")
        if none_allowed:
            return Column(name, _unless_none(take, f"message.{name} = x"), _if_present(name, f"message.{name}"))
        return Column(name, f"if x := {take}: message.{name} = x", f"message.{name}")

    def _message_column(self, field: Any, take: str, none_allowed: bool) -> Column:
        name, inner = field.name, field.message_type
        there = f"message.{name}"
        if inner.GetOptions().map_entry:
            read = f"dict(sorted(x.items())) if (x := {there}) else {{}}"
            return Column(name, f"if x := {take}: {there}.update(x)", read)
        if inner.full_name == _TIMESTAMP:
            return Column(name, f"if x := {take}: fill_timestamp(x, {there})", f"read_timestamp({there})")
        if inner.full_name == _DURATION:
            write = _unless_none(take, f"fill_duration(x, {there})")
            return Column(name, write, _if_present(name, f"read_duration({there})"))
        if inner.full_name == _VALUE:
            may_be_left_out = f"{name}_digest" in field.containing_type.fields_by_name
            write = _unless_none(take, f"fill_json(x, {there})") if may_be_left_out else f"fill_json({take}, {there})"
            return Column(name, write, _if_present(name, f"read_json({there})"))
        if inner.full_name == _PAYLOAD:
            read = f"{there}.SerializeToString(deterministic=True)"
            return Column(name, _unless_none(take, f"fill_payload(x, {there})"), _if_present(name, read))
        _, read_inner = self._compile(inner.name)
        fill_name, read_name = f"fill_{inner.name}", f"read_{inner.name}"
        if field.is_repeated:
            write = f"for each in {take}: {fill_name}(each, {there}.add())"
            return Column(name, write, f"tuple([{read_name}(each) for each in {there}])", read_inner)
        write = _unless_none(take, f"{there}.SetInParent(); {fill_name}(x, {there})")
        read = f"{read_name}({there})"
        return Column(name, write, _if_present(name, read) if none_allowed else read)

    def _enum_members(self, descriptor: Any, core: Field[Any], none_allowed: bool) -> dict[int, IntEnum | None]:
        enum = self._enums[descriptor.name]
        members: dict[int, IntEnum | None] = {int(member): member for member in enum}
        if none_allowed:
            members[0] = None
        elif isinstance(core.default, enum):
            members[0] = core.default
        elif descriptor.name in _ENUM_DEFAULTS:
            members[0] = _ENUM_DEFAULTS[descriptor.name]
        return members

    def _event_payload_column(self, descriptor: Any) -> Column:
        """What an event states: one of the payload oneof, and its type."""
        places: dict[type, tuple[str, int, Fill]] = {}
        reads: dict[str, Read] = {}
        for field in descriptor.oneofs_by_name["payload"].fields:
            core_class: Any = self._classes[field.message_type.name]
            fill_inner, reads[field.name] = self._compile(field.message_type.name)
            places[core_class] = field.name, int(core_class.type), fill_inner

        def fill(payload: Any, message: Any) -> None:
            name, number, fill_inner = places[type(payload)]
            inner = getattr(message, name)
            inner.SetInParent()
            fill_inner(payload, inner)
            message.type = number

        def read(message: Any) -> Any:
            name = message.WhichOneof("payload")
            if name is None:
                raise InvalidField("payload", "none that this version knows")
            try:
                return reads[name](getattr(message, name))
            except InvalidField as fault:
                raise fault.within(name) from None

        self._names |= {"fill_event_payload": fill, "read_event_payload": read}
        return Column("", "fill_event_payload(value.payload, message)", "read_event_payload(message)")


def _unless_none(take: str, write: str) -> str:
    return f"if (x := {take}) is not None: {write}"


def _if_present(name: str, read: str) -> str:
    return f"{read} if message.HasField({name!r}) else None"


def _fill_source(name: str, columns: Iterable[Column]) -> str:
    writes = "\n".join(f"    {each.write}" for each in columns)
    return f"def fill_{name}(value, message):\n{writes}"


def _source(name: str, columns: dict[str, Column]) -> str:
    """The functions fill_<name>(value, message) and read_<name>(message).

    Whether a message can be read is found by reading it; which field stands in the way is looked for only
    then.
    """
    reads = ", ".join(f"{core}={each.read}" for core, each in columns.items())
    return f"""
{_fill_source(name, columns.values())}

def read_{name}(message):
    try:
        return class_{name}({reads})
    except (InvalidField, KeyError):
        fault_{name}(message)
        raise
"""


def _fault_finder(names: dict[str, Any], columns: dict[str, Column]) -> Callable[[Any], None]:
    """Reads a message field by field and raises InvalidField with the path of the first that cannot be read."""
    reads: list[tuple[Column, Read]] = []

    def find(message: Any) -> None:
        if not reads:
            reads.extend((each, eval(f"lambda message: {each.read}", names)) for each in columns.values())
        for column, read in reads:
            try:
                _read_items(column, message) if column.items else read(message)
            except InvalidField as fault:
                raise fault.within(column.name) from None
            except KeyError as unknown:
                raise InvalidField(column.name, _unknown_number(unknown.args[0])) from None

    return find


def _read_items(column: Column, message: Any) -> None:
    assert column.items is not None
    for number, item in enumerate(getattr(message, column.name)):
        try:
            column.items(item)
        except InvalidField as fault:
            raise fault.within(f"[{number}]") from None


def _unknown_number(number: int) -> str:
    return "must be set" if number == 0 else f"{number} is no value that this version knows"


def _public_class(name: str) -> type[Message]:
    pool = descriptor_pool.Default()
    return message_factory.GetMessageClass(pool.FindMessageTypeByName(f"{PACKAGE}.{name}"))


_PUBLIC = Mirror(_public_class, *_SHOWN)

to_proto = _PUBLIC.to_proto
fill = _PUBLIC.fill
from_proto = _PUBLIC.from_proto
