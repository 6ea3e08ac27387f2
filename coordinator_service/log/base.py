"""The log port: what every store of events promises.

A log is the ordered events of one namespace, written in *batches*. A batch is what one group commit makes
durable: whole decisions, consecutive sequences. Its bytes are a serialised `concert.v1.EventBatch`, so that
what is stored is also what is sent. Each batch carries `sha256(previous hash + bytes)` (D9): an edited,
missing or reordered batch is found.

Guarantees, held by one contract suite (tests/log) for every store:

- `append` returns when the batch is durable as the store documents it, and appends in call order. It is all
  or nothing: after a failure, or a crash at any moment, the batch is there whole or not at all, and no
  later batch is there without it.
- A batch that does not continue the log (`first_sequence == last_sequence + 1`) or comes under another
  epoch than the last one claimed is refused with `Fenced` and changes nothing.
- `read` returns durable batches only, in order, without gaps.
- `claim` returns an epoch larger than every epoch before it, and fences all earlier ones.
- Where several replicas share a store (`exclusive` is false), a read of live state is released only after
  `confirm` said that the epoch stands (D4). The stores that one coordinator has to itself need no such word.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from coordinator_service.log.timings import LogTimings

GENESIS_HASH = bytes(32)
"""The hash before the first batch."""


class LogError(Exception):
    """The store failed; what was being appended is not acknowledged. The owner loads the namespace anew."""


class Fenced(LogError):  # noqa: N818 (it says what happened)
    """Somebody else owns the log now, or the batch does not continue it."""


class LogCorrupt(LogError):  # noqa: N818 (it says what happened)
    """What is stored cannot be what was written. sequence: the first that does not fit, 0 when not known."""

    def __init__(self, description: str, *, sequence: int = 0) -> None:
        super().__init__(f"sequence {sequence}: {description}" if sequence else description)
        self.sequence = sequence


class LogTooNew(LogCorrupt):
    """A later version wrote this log: it is whole, and this version must not guess what it means."""


class TailLost(LogError):  # noqa: N818 (it says what happened)
    """The log ends before something that was acknowledged. Nobody may own it until an operator accepts the loss.

    last_sequence: where it ends; acknowledged: the last sequence that somebody was told of.
    """

    def __init__(self, *, log_id: str, last_sequence: int, acknowledged: int) -> None:
        super().__init__(
            f"log {log_id} ends at {last_sequence}, but {acknowledged} was acknowledged: what lies between is lost"
        )
        self.log_id = log_id
        self.last_sequence = last_sequence
        self.acknowledged = acknowledged


class StoreInUse(LogError):  # noqa: N818 (it says what happened)
    """Another coordinator has the place open."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Batch:
    """Consecutive events: events is a serialised EventBatch, time_ns the namespace time of its last event."""

    first_sequence: int
    last_sequence: int
    time_ns: int
    events: bytes


@dataclass(frozen=True, slots=True, kw_only=True)
class StoredBatch:
    """A batch as it lies in the log, with the hash of the chain up to and including it."""

    batch: Batch
    hash: bytes


@dataclass(frozen=True, slots=True, kw_only=True)
class Snapshot:
    """The fold of the log up to and including sequence, which ends a batch whose chain hash is hash."""

    sequence: int
    hash: bytes
    data: bytes


@dataclass(frozen=True, slots=True, kw_only=True)
class Cursor:
    """How far a named subscription is: everything up to sequence, of the log log_id, was acknowledged (E5).

    Cursors lie beside the log, under the same fence, and are no events. request_id is that of the request
    that made it.
    """

    name: str
    log_id: str
    sequence: int
    created_at_ns: int
    acknowledged_at_ns: int = 0
    request_id: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class LogEnds:
    """Where a log begins and ends. oldest_sequence is last_sequence + 1 when nothing is kept.

    hash is that of the chain up to last_sequence, base_hash that up to the sequence before the oldest: what
    the first batch kept is chained to.
    """

    log_id: str
    oldest_sequence: int
    last_sequence: int
    hash: bytes
    base_hash: bytes = GENESIS_HASH


@dataclass(frozen=True, slots=True, kw_only=True)
class Holder:
    """Who claimed a log last, and under which epoch. name is empty when it let go, or nobody ever claimed it."""

    epoch: int
    name: str


class EventLog(Protocol):
    """The log of one namespace."""

    @property
    def namespace(self) -> str:
        """Whose log this is."""

    @property
    def exclusive(self) -> bool:
        """Whether no other process can claim the log while its store is open here: what was read needs no `confirm`."""

    async def ends(self) -> LogEnds:
        """Where the durable log begins and ends now."""

    async def holder(self) -> Holder:
        """Who owns the log."""

    async def claim(self, holder: str, *, after: int | None = None) -> int:
        """Takes ownership under a name and returns its epoch. Earlier owners are fenced from here on.

        With `after`, only while that is the last epoch: of two who both saw an owner die, one gets the log and the
        other Fenced. Raises TailLost.
        """

    async def release(self, epoch: int) -> None:
        """Lets go: the epoch is fenced from here on, and nobody owns the log. Raises Fenced, LogError."""

    async def confirm(self, epoch: int) -> None:
        """Returns when the epoch was the last one claimed at some moment during the call. Raises Fenced, LogError."""

    async def append(self, batch: Batch, epoch: int) -> None:
        """Makes a batch durable. Calls may overlap; they become durable in call order. Raises LogError.

        A cancelled call may or may not have appended; the owner loads the log again before it goes on.
        """

    async def read(self, after: int, *, bytes_max: int = 2 * 1024 * 1024) -> list[StoredBatch]:
        """Durable batches that hold events after a sequence: one when there is any, more up to bytes_max."""

    async def grown(self, after: int) -> int:
        """Waits until the durable log goes beyond a sequence, whoever appends; where it ends then. Raises LogError."""

    async def locate(self, time_ns: int) -> int:
        """The last sequence of the last batch that ended before time_ns, else that before the oldest."""

    async def save_snapshot(self, snapshot: Snapshot, epoch: int) -> None:
        """Keeps a snapshot beside the log, and the one before it; older ones go. Raises Fenced, LogError."""

    async def snapshots(self) -> list[Snapshot]:
        """The snapshots kept, newest first, at most two. One that cannot be read comes with empty data."""

    async def trim(self, below: int, epoch: int) -> int:
        """Drops whole batches that end below a sequence, never past the older of two snapshots.

        In small steps, between which appends pass. Returns the oldest sequence kept. With fewer than two
        snapshots nothing is dropped. Raises LogError.
        """

    async def measure(self, after: int, until: int) -> int:
        """Bytes of the events of the batches that end in (after, until]."""

    async def cursors(self) -> list[Cursor]:
        """The cursors of named subscriptions, by name."""

    async def save_cursors(self, saved: Sequence[Cursor], epoch: int, *, dropped: Sequence[str] = ()) -> None:
        """Keeps cursors, each in place of the one of its name, and drops others, all or none. Returns when that
        is durable. Raises Fenced, LogError.
        """


class LogStore(Protocol):
    """All logs of one place."""

    @property
    def timings(self) -> LogTimings | None:
        """How long appends take; None where they take no time."""

    async def open(self, namespace: str) -> EventLog:
        """The log of a namespace, created empty with a new log_id when there is none."""

    async def namespaces(self) -> list[str]:
        """Names of the namespaces that have a log, in order."""

    async def close(self) -> None:
        """Waits for appends under way and lets go of the place."""


def chain(previous: bytes, events: bytes) -> bytes:
    """The chain hash after a batch (D9)."""
    digest = hashlib.sha256(previous)
    digest.update(events)
    return digest.digest()
