"""The small words of the core: modes, statuses and strategies. Numbers equal those of protos/concert/v1."""

from __future__ import annotations

from dataclasses import Field, dataclass
from enum import IntEnum
from typing import TYPE_CHECKING, Any, TypeAlias, TypeVar, dataclass_transform

import msgspec

if TYPE_CHECKING:
    JsonValue: TypeAlias = bool | float | str | list["JsonValue"] | dict[str, "JsonValue"] | None
    """A JSON value. Numbers are doubles. Never mutated once it is part of a command, an event or the state."""
else:
    JsonValue = Any  # the recursive alias is for type checkers; those that read annotations at run time see this

NS_PER_MS = 1_000_000
NS_PER_SECOND = 1_000_000_000

T = TypeVar("T")


@dataclass_transform(kw_only_default=True, frozen_default=True)
def value(cls: type[T]) -> type[T]:
    """A frozen, slotted, keyword-only dataclass, for what every decision makes several of."""
    return _struct(cls, frozen=True)


@dataclass_transform(kw_only_default=True)
def row(cls: type[T]) -> type[T]:
    """The same, but it changes: an entry of a table of the state."""
    return _struct(cls, frozen=False)


def _struct(cls: type[T], *, frozen: bool) -> type[T]:
    """A msgspec.Struct with the fields and methods of a class.

    Construction is most of what a decision costs: a Struct is made in C, six times as fast as a dataclass, and the
    garbage collector passes over it unless it holds a container. dataclasses.fields and replace work on it too.
    """
    namespace = {name: each for name, each in vars(cls).items() if name not in ("__dict__", "__weakref__")}
    for name, each in namespace.items():
        if isinstance(each, Field):
            default: Any = each.default_factory
            namespace[name] = msgspec.field(default_factory=default)
    metaclass: Any = type(msgspec.Struct)
    made = metaclass(cls.__name__, (msgspec.Struct,), namespace, frozen=frozen, kw_only=True)
    described = dataclass(kw_only=True, init=False, repr=False, eq=False, match_args=False)(cls)  # no code is made
    made.__dataclass_fields__ = vars(described)["__dataclass_fields__"]
    found: type[T] = made
    return found


class LockMode(IntEnum):
    """How a lock is shared (L1)."""

    EXCLUSIVE = 1
    SHARED = 2


class MergeStrategy(IntEnum):
    """How an update joins what is there (S2)."""

    MERGE = 1
    REPLACE = 2
    APPEND = 3


class ConflictStrategy(IntEnum):
    """Who wins when two writers meet (S7)."""

    TIMESTAMP_BASED = 1
    PRIORITY_BASED = 2
    LAST_WRITER_WINS = 3


class AgentStatus(IntEnum):
    """Whether an agent's session lives."""

    ATTACHED = 1
    DETACHED = 2
    DRAINING = 3
    DISCONNECTED = 4


class CircuitStatus(IntEnum):
    """Whether an agent is given tasks of a capability (R14)."""

    CLOSED = 1
    OPEN = 2
    HALF_OPEN = 3


class TaskStatus(IntEnum):
    """Where a task stands."""

    PENDING = 1
    READY = 2
    RUNNING = 3
    CANCELLING = 4
    BACKING_OFF = 5
    SUCCEEDED = 6
    FAILED = 7
    SKIPPED = 8
    CANCELLED = 9

    @property
    def over(self) -> bool:
        """Whether nothing more can happen to the task."""
        return self >= TaskStatus.SUCCEEDED


class RunStatus(IntEnum):
    """Where a run stands (R13)."""

    UNSPECIFIED = 0
    PENDING = 1
    RUNNING = 2
    SUCCEEDED = 3
    PARTIAL_FAILURE = 4
    FAILED = 5
    CANCELLED = 6
    TIMED_OUT = 7

    @property
    def over(self) -> bool:
        """Whether every task of the run is over."""
        return self >= RunStatus.SUCCEEDED


def path_parts(path: str) -> tuple[str, ...]:
    """The ancestors of a state path and the path itself, root first: "a/b" gives ("a", "a/b")."""
    if "/" not in path:
        return (path,)
    parts = []
    end = path.find("/")
    while end >= 0:
        parts.append(path[:end])
        end = path.find("/", end + 1)
    parts.append(path)
    return tuple(parts)


def path_covers(prefix: str, path: str) -> bool:
    """Whether path lies at or under prefix, by whole segments; the empty prefix covers everything."""
    return not prefix or path == prefix or (path.startswith(prefix) and path[len(prefix)] == "/")
