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

from collections.abc import Callable
from dataclasses import Field, fields, is_dataclass
from enum import IntEnum
from math import isfinite
from operator import attrgetter
from typing import Any

from concert.v1 import (  # noqa: F401 (they register their messages)
    agent_pb2,
    event_pb2,
    lock_pb2,
    payload_pb2,
    policy_pb2,
    run_pb2,
    state_pb2,
    task_pb2,
)
from google.protobuf import descriptor_pool, message_factory
from google.protobuf.descriptor import FieldDescriptor
from google.protobuf.message import Message

from coordinator_service.core import events, specs, values
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
        joint = "." if inner and not inner.startswith("[") else ""
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
        return {key: read_json(item, depth_left - 1) for key, item in value.struct_value.fields.items()}
    if kind == "list_value":
        if not depth_left:
            raise InvalidField("", f"nests deeper than {JSON_DEPTH_MAX} levels")
        return [read_json(item, depth_left - 1) for item in value.list_value.values]
    if kind == "bool_value":
        return bool(value.bool_value)
    return None


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
    seconds, nanos = divmod(abs(ns), NS_PER_SECOND)
    sign = -1 if ns < 0 else 1
    duration.seconds = sign * seconds
    duration.nanos = sign * nanos


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


def mirrored_classes() -> dict[str, type]:
    """The core's dataclasses by the name of the message that each mirrors."""
    return {
        name.removesuffix("View"): each
        for module in (specs, events)
        for name, each in vars(module).items()
        if is_dataclass(each) and isinstance(each, type) and each.__module__ == module.__name__
    }


def mirrored_enums() -> dict[str, type[IntEnum]]:
    """The core's enums by the name of the enum that each mirrors."""
    return {
        name: each
        for module in (values, events)
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


class Mirror:
    """The table over one family of message classes: found by name in message_class, compiled here once."""

    def __init__(self, message_class: MessageClass) -> None:
        self._message_class = message_class
        self._classes = mirrored_classes()
        self._enums = mirrored_enums()
        self._messages: dict[type, type[Message]] = {}
        self._fill: dict[type, Fill] = {}
        self._read: dict[type, Read] = {}
        for name in self._classes:
            if name != "Event":
                self._compile(name)
        self._compile_event()

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

    def filler(self, core_class: type) -> Fill:
        """fill for one dataclass, where looking it up by type each time would count."""
        return self._fill[core_class]

    def reader(self, message_class: type[Message]) -> Read:
        """from_proto for one message class, likewise."""
        return self._read[message_class]

    # Compiling

    def _compile(self, name: str) -> tuple[Fill, Read]:
        core_class = self._classes[name]
        if core_class in self._fill:
            return self._fill[core_class], self._read[self._messages[core_class]]
        message_class = self._message_class(name)
        descriptor: Any = message_class.DESCRIPTOR
        by_name = {each.name: each for each in fields(core_class)}
        mirrored = core_fields(descriptor)
        if set(by_name) != set(mirrored):
            raise TypeError(f"{name}: {sorted(set(by_name) ^ set(mirrored))} exist on one side only")
        fill, read = self._compile_fields(core_class, by_name, mirrored)
        self._register(core_class, message_class, fill, read)
        return fill, read

    def _register(self, core_class: type, message_class: type[Message], fill: Fill, read: Read) -> None:
        self._messages[core_class] = message_class
        self._fill[core_class] = fill
        self._read[message_class] = read

    def _compile_fields(
        self, core_class: type, by_name: dict[str, Field[Any]], mirrored: dict[str, Any]
    ) -> tuple[Fill, Read]:
        plain: list[str] = []
        read_plain: list[str] = []
        fills: list[Fill] = []
        reads: list[tuple[str, Read]] = []
        for core_field_name, core_field in by_name.items():
            field = mirrored[core_field_name]
            compiled = self._compile_field(field, core_field)
            if compiled is None:
                plain.append(field.name)
                read_plain.append(field.name)
            else:
                fill, read = compiled
                if fill is None:
                    plain.append(field.name)
                else:
                    fills.append(fill)
                reads.append((core_field_name, read))
        return _filler(plain, fills), _reader(core_class, read_plain, reads)

    def _compile_field(self, field: Any, core: Field[Any]) -> tuple[Fill | None, Read] | None:
        """How one field is written and read; None for either, or both: by plain assignment."""
        none_allowed = str(core.type).endswith("| None")
        if field.type == FieldDescriptor.TYPE_MESSAGE:
            return self._compile_message_field(field, core, none_allowed)
        if field.is_repeated:
            return _repeated_scalars(field.name, core.name)
        if field.type == FieldDescriptor.TYPE_ENUM:
            return None, self._enum_reader(field, core, none_allowed)
        if none_allowed:
            return _optional_scalar(field.name, core.name)
        return None

    def _compile_message_field(self, field: Any, core: Field[Any], none_allowed: bool) -> tuple[Fill, Read]:
        inner = field.message_type
        if inner.GetOptions().map_entry:
            return _mapping(field.name, core.name)
        if field.is_repeated:
            return _repeated_messages(field.name, core.name, *self._compile(inner.name))
        if inner.full_name == _TIMESTAMP:
            return _timestamp(field.name, core.name)
        if inner.full_name == _DURATION:
            return _duration(field.name, core.name)
        if inner.full_name == _VALUE:
            may_be_left_out = f"{field.name}_digest" in field.containing_type.fields_by_name
            return _json(field.name, core.name, may_be_left_out)
        if inner.full_name == _PAYLOAD:
            return _payload(field.name, core.name)
        return _message(field.name, core.name, *self._compile(inner.name), none_allowed)

    def _enum_reader(self, field: Any, core: Field[Any], none_allowed: bool) -> Read:
        members = self._enum_members(field.enum_type, core, none_allowed)
        name = field.name
        get = attrgetter(name)

        def read(message: Any) -> Any:
            number = get(message)
            try:
                return members[number]
            except KeyError:
                raise InvalidField(name, _unknown_number(number)) from None

        return read

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

    # The envelope

    def _compile_event(self) -> None:
        message_class = self._message_class("Event")
        descriptor: Any = message_class.DESCRIPTOR
        by_name = {each.name: each for each in fields(events.Event) if each.name != "payload"}
        mirrored = core_fields(descriptor)
        if set(by_name) != set(mirrored):
            raise TypeError(f"Event: {sorted(set(by_name) ^ set(mirrored))} exist on one side only")
        fill_envelope, read_envelope = self._compile_fields(dict, by_name, mirrored)
        places = {
            self._classes[field.message_type.name]: (field.name, *self._compile(field.message_type.name))
            for field in descriptor.oneofs_by_name["payload"].fields
        }
        reads = {name: read for name, _, read in places.values()}

        def fill(event: Any, message: Any) -> None:
            fill_envelope(event, message)
            payload = event.payload
            name, fill_payload, _ = places[type(payload)]
            inner = getattr(message, name)
            inner.SetInParent()
            fill_payload(payload, inner)
            message.type = int(payload.type)

        def read(message: Any) -> events.Event:
            name = message.WhichOneof("payload")
            if name is None:
                raise InvalidField("payload", "none that this version knows")
            try:
                payload = reads[name](getattr(message, name))
            except InvalidField as fault:
                raise fault.within(name) from None
            return events.Event(payload=payload, **read_envelope(message))

        self._register(events.Event, message_class, fill, read)


def _filler(plain: list[str], fills: list[Fill]) -> Fill:
    """Writes the plain fields where they are not zero (proto3 keeps no zeros), then the others."""
    names = tuple(plain)
    take = _take_all(names)

    def fill(value: Any, message: Any) -> None:
        for name, each in zip(names, take(value), strict=True):
            if each:
                setattr(message, name, each)
        for put in fills:
            put(value, message)

    return fill


def _reader(core_class: type, plain: list[str], reads: list[tuple[str, Read]]) -> Read:
    names = tuple(plain)
    take = _take_all(names)

    def read(message: Any) -> Any:
        found = dict(zip(names, take(message), strict=True))
        for name, get in reads:
            found[name] = get(message)
        return core_class(**found)

    return read


def _take_all(names: tuple[str, ...]) -> Callable[[Any], tuple[Any, ...]]:
    if not names:
        return lambda _: ()
    if len(names) == 1:
        take_one = attrgetter(names[0])
        return lambda value: (take_one(value),)
    return attrgetter(*names)


def _unknown_number(number: int) -> str:
    return "must be set" if number == 0 else f"{number} is no value that this version knows"


def _optional_scalar(name: str, core: str) -> tuple[Fill, Read]:
    take = attrgetter(core)
    get = attrgetter(name)

    def fill(value: Any, message: Any) -> None:
        each = take(value)
        if each is not None:
            setattr(message, name, each)

    def read(message: Any) -> Any:
        return get(message) if message.HasField(name) else None

    return fill, read


def _repeated_scalars(name: str, core: str) -> tuple[Fill, Read]:
    take = attrgetter(core)
    get = attrgetter(name)

    def fill(value: Any, message: Any) -> None:
        items = take(value)
        if items:
            get(message).extend(items)

    def read(message: Any) -> Any:
        return tuple(get(message))

    return fill, read


def _repeated_messages(name: str, core: str, fill_inner: Fill, read_inner: Read) -> tuple[Fill, Read]:
    take = attrgetter(core)
    get = attrgetter(name)

    def fill(value: Any, message: Any) -> None:
        items = take(value)
        if items:
            add = get(message).add
            for item in items:
                fill_inner(item, add())

    def read(message: Any) -> Any:
        found: list[Any] = []
        try:
            for item in get(message):
                found.append(read_inner(item))  # noqa: PERF401 (the fault names the item)
        except InvalidField as fault:
            raise fault.within(f"{name}[{len(found)}]") from None
        return tuple(found)

    return fill, read


def _mapping(name: str, core: str) -> tuple[Fill, Read]:
    take = attrgetter(core)
    get = attrgetter(name)

    def fill(value: Any, message: Any) -> None:
        entries = take(value)
        if entries:
            get(message).update(entries)

    def read(message: Any) -> Any:
        entries = get(message)
        return dict(entries) if entries else {}

    return fill, read


def _timestamp(name: str, core: str) -> tuple[Fill, Read]:
    take = attrgetter(core)
    get = attrgetter(name)

    def fill(value: Any, message: Any) -> None:
        ns = take(value)
        if ns:
            fill_timestamp(ns, get(message))

    def read(message: Any) -> Any:
        try:
            return read_timestamp(get(message))
        except InvalidField as fault:
            raise fault.within(name) from None

    return fill, read


def _duration(name: str, core: str) -> tuple[Fill, Read]:
    take = attrgetter(core)
    get = attrgetter(name)

    def fill(value: Any, message: Any) -> None:
        ns = take(value)
        if ns is not None:
            duration = get(message)
            duration.SetInParent()
            fill_duration(ns, duration)

    def read(message: Any) -> Any:
        if not message.HasField(name):
            return None
        try:
            return read_duration(get(message))
        except InvalidField as fault:
            raise fault.within(name) from None

    return fill, read


def _json(name: str, core: str, may_be_left_out: bool) -> tuple[Fill, Read]:
    """may_be_left_out: None is no value rather than null."""
    take = attrgetter(core)
    get = attrgetter(name)

    def fill(value: Any, message: Any) -> None:
        json = take(value)
        if json is not None or not may_be_left_out:
            fill_json(json, get(message))

    def read(message: Any) -> Any:
        try:
            return read_json(get(message)) if message.HasField(name) else None
        except InvalidField as fault:
            raise fault.within(name) from None

    return fill, read


def _payload(name: str, core: str) -> tuple[Fill, Read]:
    take = attrgetter(core)
    get = attrgetter(name)

    def fill(value: Any, message: Any) -> None:
        encoded = take(value)
        if encoded is not None:
            payload = get(message)
            payload.SetInParent()
            payload.MergeFromString(encoded)

    def read(message: Any) -> Any:
        return get(message).SerializeToString(deterministic=True) if message.HasField(name) else None

    return fill, read


def _message(name: str, core: str, fill_inner: Fill, read_inner: Read, none_allowed: bool) -> tuple[Fill, Read]:
    take = attrgetter(core)
    get = attrgetter(name)

    def fill(value: Any, message: Any) -> None:
        each = take(value)
        if each is not None:
            inner = get(message)
            inner.SetInParent()
            fill_inner(each, inner)

    def read(message: Any) -> Any:
        if none_allowed and not message.HasField(name):
            return None
        try:
            return read_inner(get(message))
        except InvalidField as fault:
            raise fault.within(name) from None

    return fill, read


def _public_class(name: str) -> type[Message]:
    pool = descriptor_pool.Default()
    return message_factory.GetMessageClass(pool.FindMessageTypeByName(f"{PACKAGE}.{name}"))


_PUBLIC = Mirror(_public_class)

to_proto = _PUBLIC.to_proto
fill = _PUBLIC.fill
from_proto = _PUBLIC.from_proto
