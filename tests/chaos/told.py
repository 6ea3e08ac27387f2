"""What clients asked for and were told, to be held to the log and to itself afterwards."""

from __future__ import annotations

import time
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from tests.judging.linearizability import UNKNOWN, Call
from tests.judging.models import Acquire, Delete, Exchange, Free, Read, Write


def now() -> float:
    """Seconds, by the one clock of all that is written down here."""
    return time.monotonic()


@dataclass(slots=True)
class Batch:
    """Events that were published together: where the log has them, or nothing where nobody said."""

    names: tuple[str, ...]
    sequences: tuple[int, ...] = ()


@dataclass(frozen=True, slots=True)
class Written:
    """A change of shared state that was acknowledged; with the revision it relied on, and with the lock, if any."""

    key: str
    value: str
    revision: int
    base: int | None = None
    lock: tuple[str, int] | None = None


@dataclass(slots=True)
class View:
    """What a subscriber saw: each event as it came. `all`: it asked for everything, not for published events only."""

    all: bool
    events: list[Any] = field(default_factory=list)


@dataclass(slots=True)
class Watched:
    """What a watcher of shared state held at the end, which was at that revision."""

    prefix: str
    held: dict[str, Any] = field(default_factory=dict)
    revision: int = 0


@dataclass(slots=True)
class Told:
    """All of it."""

    keys: dict[str, list[Call[Read | Write | Exchange | Delete]]] = field(default_factory=lambda: defaultdict(list))
    locks: dict[str, list[Call[Acquire | Free]]] = field(default_factory=lambda: defaultdict(list))
    batches: list[Batch] = field(default_factory=list)
    written: list[Written] = field(default_factory=list)
    views: list[View] = field(default_factory=list)
    watched: list[Watched] = field(default_factory=list)
    visits: list[list[int]] = field(default_factory=list)
    """What a consumer with a name saw of what is published, each time that it came back: sequences."""
    runs: list[str] = field(default_factory=list)
    """Submitted, and acknowledged."""
    stalled_seconds: float = 0.0
    """For how long, at most, the clients did not get their turn: as much later they may have noticed something."""

    def called(self, calls: list[Call[Any]], what: Any, begun: float, by: str, *, known: bool = True) -> None:
        """A call has ended, or nobody knows how it did."""
        calls.append(Call(what, begun, now() if known else UNKNOWN, by))

    def tally(self) -> str:
        """For people."""
        acknowledged = sum(len(each.sequences) for each in self.batches)
        unknown = sum(not each.sequences for each in self.batches)
        for calls in (*self.keys.values(), *self.locks.values()):
            unknown += sum(each.ended == UNKNOWN for each in calls)
        return (
            f"{acknowledged} events published, {_count(self.keys.values())} calls on keys,"
            f" {_count(self.locks.values())} on locks, {len(self.runs)} runs, {unknown} outcomes unknown"
        )


def _count(histories: Any) -> int:
    return sum(len(calls) for calls in histories)


def unique(by: str, count: int, *more: object) -> str:
    """A name or value that nobody else gives."""
    return "/".join((by, str(count), *map(str, more)))


def as_names(drafts: Sequence[Any]) -> tuple[str, ...]:
    """Of what is to be published."""
    return tuple(draft.custom.name for draft in drafts)
