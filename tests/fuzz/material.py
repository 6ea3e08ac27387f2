"""Messages made from their descriptors: sensible enough to get somewhere, wild enough to find what nobody thought of.

What answers said (ids, tokens, sequences, page tokens) is remembered by the name of the field that it was in, and comes
back in later requests: they speak of things that are there. The vocabulary is finite, so that what a coordinator keeps
of it is bounded.
"""

from __future__ import annotations

from collections import defaultdict, deque
from random import Random
from typing import Any, TypeAlias

from google.protobuf.descriptor import FieldDescriptor
from google.protobuf.message import Message

from coordinator_service.rpc.page_tokens import write_token

NAMES = ("a", "b", "c", "build", "deploy", "page/index", "site")
WILD_TEXTS = (
    "",
    "ä",
    "a//b",
    "/a",
    "a/",
    "\n",
    "\x00",
    "\x85",
    "session/3",
    "attempt/9",
    "task/run/a",
    "default",
    "x" * 128,
    "x" * 129,
    "x" * 513,
    "é" * 700,
    "y" * 5000,
    "..",
    "%s%n",
    "🎼" * 20,
    "‮",
    "ZXZlbnRzOjksOSw5OTk5OTk5OTk5OTk5OTk5OTk5OSw",
    "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01",
    "00-00000000000000000000000000000000-b7ad6b7169203331-01",
)
SMALL = (0, 1, 2, 3, 5, 8)
WILD_NUMBERS = (
    9,
    10,
    63,
    64,
    65,
    100,
    999,
    1000,
    1001,
    2**31 - 1,
    2**31,
    2**32 - 1,
    2**53,
    2**63 - 1,
    2**63,
    2**64 - 1,
)
FLOATS = (0.5, 1.0, 0.0, 2.0, -1.0, 100.0, float("nan"), float("inf"), -float("inf"), 1e300, 5e-324)
MILLISECONDS = (2000, 2000, 2000, 2000, 5000, 1000, 20, 0)
REMEMBERED_MAX = 40
NUMBER_POOL = "number"
DEPTH_MAX = 6

_INTEGERS = {
    FieldDescriptor.TYPE_INT32: (-(2**31), 2**31 - 1),
    FieldDescriptor.TYPE_UINT32: (0, 2**32 - 1),
    FieldDescriptor.TYPE_INT64: (-(2**63), 2**63 - 1),
    FieldDescriptor.TYPE_UINT64: (0, 2**64 - 1),
}
_ALIASES = {"agent": "agent_id", "holders": "holder", "keys": "key", "prefix": "key", "guards": "key"}
"""Fields that hold the same kind of thing under another name."""


Memory: TypeAlias = dict[str, deque[Any]]
"""What answers said, by the kind of field."""


def memory_of_answers() -> Memory:
    """An empty one."""
    return defaultdict(lambda: deque(maxlen=REMEMBERED_MAX))


class Material:
    """One stream of messages. `wild` is the share of nonsense, 0 to 1; it changes from message to message."""

    def __init__(self, chance: Random, namespaces: tuple[str, ...] = ("",), memory: Memory | None = None) -> None:
        self.chance = chance
        self._namespaces = namespaces
        self._remembered = memory_of_answers() if memory is None else memory
        self._wild = 0.1

    def message(self, kind: type[Message]) -> Any:
        """A message of a kind."""
        return self.refill(kind())

    def refill(self, message: Any) -> Any:
        """Fills an empty message in its place: one that nests too deeply cannot be copied."""
        self._wild = self.chance.choice((0.0, 0.02, 0.02, 0.1, 0.5))
        return self.fill(message)

    def fill(self, message: Any, depth: int = DEPTH_MAX) -> Any:
        """Sets some of the fields of a message."""
        special = _SPECIAL.get(message.DESCRIPTOR.full_name)
        if special is not None:
            special(self, message, depth)
            return message
        for field in self._fields(message.DESCRIPTOR):
            self._set(message, field, depth)
        return message

    def remember(self, message: Any) -> None:
        """What an answer said, for later requests."""
        for field, value in message.ListFields():
            of_map = field.message_type is not None and field.message_type.GetOptions().map_entry
            for each in () if of_map else value if field.is_repeated else (value,):
                if field.type == FieldDescriptor.TYPE_MESSAGE:
                    self.remember(each)
                elif field.type == FieldDescriptor.TYPE_STRING and 0 < len(each) <= 256:
                    self._remembered[_kind(field.name)].append(each)
                elif field.type == FieldDescriptor.TYPE_UINT64 and each:
                    self._remembered[field.name].append(each)
                    self._remembered[NUMBER_POOL].append(each)

    def text(self, name: str) -> str:
        """For a field of that name."""
        chance = self.chance
        if name == "namespace" and chance.random() > self._wild:
            return chance.choice(self._namespaces)
        if chance.random() < self._wild:
            return chance.choice(WILD_TEXTS)
        if name == "page_token" and chance.random() < 0.8:
            return self._forged_token() if chance.random() < 0.3 else ""
        known = self._remembered.get(_kind(name))
        if known and chance.random() < 0.5:
            return str(chance.choice(known))
        if name in _OFTEN_EMPTY:
            return chance.choice(_OFTEN_EMPTY[name])
        return chance.choice(NAMES)

    def _forged_token(self) -> str:
        """One that no list gave out, of the log that is there."""
        chance = self.chance
        numbers = [chance.choice((*SMALL, *WILD_NUMBERS, *self._remembered[NUMBER_POOL])) for _ in range(3)]
        log_id = chance.choice(self._remembered["log_id"] or ("log",))
        return write_token(
            chance.choice(("events", "events", "runs")), f"{numbers[0]},{numbers[1]},{numbers[2]},{log_id}"
        )

    def _fields(self, descriptor: Any) -> list[Any]:
        """Those that are set: one of each oneof, most of the others."""
        chance = self.chance
        often, seldom = 0.95 - self._wild / 2, 0.08 + self._wild / 2
        several = [each for each in descriptor.oneofs if len(each.fields) > 1]
        within = {each.name for oneof in several for each in oneof.fields}
        alone = [each for each in descriptor.fields if each.name not in within]
        found = [each for each in alone if chance.random() < (seldom if _is_seldom(descriptor, each.name) else often)]
        return found + [chance.choice(each.fields) for each in several if chance.random() < often]

    def _set(self, message: Any, field: Any, depth: int) -> None:
        if field.type == FieldDescriptor.TYPE_MESSAGE:
            self._set_message(message, field, depth)
        elif field.is_repeated:
            getattr(message, field.name).extend(self._scalar(field) for _ in range(self._count(1001)))
        else:
            setattr(message, field.name, self._scalar(field))

    def _set_message(self, message: Any, field: Any, depth: int) -> None:
        if depth <= 0:
            return
        inner = getattr(message, field.name)
        if field.message_type.GetOptions().map_entry:
            self._set_map(inner, field.message_type.fields_by_name["value"], depth)
        elif field.is_repeated:
            for _ in range(self._count()):
                self.fill(inner.add(), depth - 1)
        else:
            inner.SetInParent()
            self.fill(inner, depth - 1)

    def _set_map(self, inner: Any, value: Any, depth: int) -> None:
        for _ in range(self._count()):
            key = self.text("key")
            if value.type == FieldDescriptor.TYPE_MESSAGE:
                self.fill(inner[key], depth - 1)
            else:
                inner[key] = self._scalar(value)

    def _count(self, many: int = 65) -> int:
        if self.chance.random() < self._wild / 20:
            return many
        return self.chance.choice((0, 1, 1, 1, 1, 1, 1, 2, 2, 3))

    def _scalar(self, field: Any) -> Any:
        chance = self.chance
        if field.type == FieldDescriptor.TYPE_STRING:
            return self.text(field.name)
        if field.type == FieldDescriptor.TYPE_BYTES:
            return chance.randbytes(chance.choice((0, 1, 4, 100)))
        if field.type == FieldDescriptor.TYPE_BOOL:
            return chance.random() < 0.3
        if field.type in (FieldDescriptor.TYPE_DOUBLE, FieldDescriptor.TYPE_FLOAT):
            return chance.choice(FLOATS if chance.random() < self._wild else FLOATS[1:2])
        if field.type == FieldDescriptor.TYPE_ENUM:
            known = [value.number for value in field.enum_type.values]
            return chance.choice([*known, 77, -1] if chance.random() < self._wild else known)
        return self._integer(field)

    def _integer(self, field: Any) -> int:
        chance = self.chance
        low, high = _INTEGERS[field.type]
        known = self._remembered.get(field.name) or self._remembered.get(NUMBER_POOL)
        if chance.random() < self._wild:
            number = chance.choice((*WILD_NUMBERS, -1, -(2**63)))
        elif known and field.type == FieldDescriptor.TYPE_UINT64 and chance.random() < 0.8:
            number = int(chance.choice(known)) + chance.choice((0, 0, 0, 0, 1, -1))
        else:
            number = chance.choice(SMALL)
        return max(low, min(high, number))

    # Messages that everything is made of.

    def duration(self, message: Any, _depth: int) -> None:
        """Short, so that what waits does not wait long; or none at all."""
        if self.chance.random() < self._wild:
            message.seconds = self.chance.choice((-1, 2**63 - 1, -(2**63), 10**12, 0, 1))
            message.nanos = self.chance.choice((-1, 2**31 - 1, -(2**31), 10**9, 999_999_999, 0))
        else:
            message.FromMilliseconds(self.chance.choice(MILLISECONDS))

    def timestamp(self, message: Any, _depth: int) -> None:
        """Of these years; or of no year."""
        if self.chance.random() < self._wild:
            message.seconds = self.chance.choice((-1, 2**63 - 1, -(2**63), 253_402_300_800, -62_135_596_801))
            message.nanos = self.chance.choice((-1, 2**31 - 1, 10**9, 0))
        else:
            message.seconds = self.chance.choice((0, 1, 1_700_000_000, 1_900_000_000))

    def value(self, message: Any, depth: int) -> None:
        """JSON; at times too deep."""
        chance = self.chance
        if chance.random() < self._wild / 5:
            for level in range(chance.choice((27, 28, 29, 45))):
                message = message.list_value.values.add() if level % 2 else message.struct_value.fields["a"]
        kind = chance.choice(
            ("null", "number", "text", "truth", "map", "list", "none") if depth > 0 else ("number", "text")
        )
        if kind == "null":
            message.null_value = 0
        elif kind == "number":
            message.number_value = chance.choice(FLOATS if chance.random() < self._wild else FLOATS[:6])
        elif kind == "text":
            message.string_value = chance.choice((*NAMES, *WILD_TEXTS))
        elif kind == "truth":
            message.bool_value = chance.random() < 0.5
        elif kind == "map":
            message.struct_value.SetInParent()
            for _ in range(self._count()):
                self.value(message.struct_value.fields[chance.choice(NAMES)], depth - 2)
        elif kind == "list":
            message.list_value.SetInParent()
            for _ in range(self._count()):
                self.value(message.list_value.values.add(), depth - 2)


_SELDOM = frozenset(
    (
        "after",
        "after_sequence",
        "agent_id",
        "agents",
        "at_revision",
        "attempt_token",
        "attempt_tokens",
        "base_revision",
        "context",
        "deletes",
        "depends_on",
        "event_id",
        "feature_level",
        "fences",
        "filter",
        "guards",
        "holder",
        "last",
        "log_id",
        "max_execution_time",
        "namespace",
        "policy",
        "prefix",
        "request_id",
        "session_id",
        "since",
        "takeover",
        "timeout",
        "traceparent",
        "until",
        "until_sequence",
        "writer",
    )
)
_OFTEN_EMPTY: dict[str, tuple[str, ...]] = {
    "page_token": ("",),
    "traceparent": ("", WILD_TEXTS[-2]),
    "request_id": ("r1", "r2", "r3", "r4"),
    "policy": ("", "default", "high_priority"),
    "holder": ("", "a"),
}
_SPECIAL: dict[str, Any] = {
    "google.protobuf.Duration": Material.duration,
    "google.protobuf.Timestamp": Material.timestamp,
    "google.protobuf.Value": Material.value,
}


def _kind(name: str) -> str:
    return _ALIASES.get(
        name, name.removeprefix("next_").removesuffix("s") if name.endswith("ids") else name.removeprefix("next_")
    )


def _is_seldom(descriptor: Any, name: str) -> bool:
    """A report without its attempt is none, nor is a question after an agent without its id."""
    if name == "attempt_token":
        return not descriptor.name.startswith("Task")
    return name in _SELDOM and not (name == "agent_id" and descriptor.name.endswith("Request"))
