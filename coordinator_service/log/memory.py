"""Logs in memory, for tests, the simulator, and whoever wants no durability.

What is kept (MemoryPlace) is apart from those who use it (MemoryStore), as a disk is from a process: a
store that is abandoned at any await and opened again over the same place finds what was appended, and the
abandoned one can no longer change it.
"""

from __future__ import annotations

import asyncio
import secrets
from bisect import bisect_left, bisect_right
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from operator import attrgetter
from typing import Final

from coordinator_service.log.acknowledged import Acknowledged
from coordinator_service.log.base import (
    GENESIS_HASH,
    Batch,
    Cursor,
    Fenced,
    Holder,
    LogCorrupt,
    LogEnds,
    LogError,
    Snapshot,
    StoredBatch,
    TailLost,
    chain,
)
from coordinator_service.log.growth import Growth

SNAPSHOTS_KEPT = 2

_end = attrgetter("batch.last_sequence")
_time = attrgetter("batch.time_ns")


def random_log_id() -> str:
    """A name that no other log has."""
    return secrets.token_hex(8)


@dataclass(slots=True, kw_only=True)
class MemoryRecord:
    """What is kept of one namespace. base_sequence and base_hash are those before the oldest batch."""

    log_id: str
    epoch: int = 0
    nonce: int = 0
    """Of the last claim: it tells apart two claims of one epoch, of which one was lost with a tail."""
    holder: str = ""
    acknowledged: int | None = None
    """Set where something up to that sequence was acknowledged and is gone: nobody may claim the log then."""
    base_sequence: int = 0
    base_hash: bytes = GENESIS_HASH
    batches: list[StoredBatch] = field(default_factory=list)
    snapshots: list[Snapshot] = field(default_factory=list)
    cursors: dict[str, Cursor] = field(default_factory=dict)
    growth: Growth = field(default_factory=Growth)

    @property
    def last_sequence(self) -> int:
        """The sequence of the newest event."""
        return self.batches[-1].batch.last_sequence if self.batches else self.base_sequence

    @property
    def hash(self) -> bytes:
        """The hash of the whole chain."""
        return self.batches[-1].hash if self.batches else self.base_hash

    def hash_at(self, sequence: int) -> bytes | None:
        """The chain hash up to a sequence that ends a batch."""
        if sequence == self.base_sequence:
            return self.base_hash
        position = bisect_left(self.batches, sequence, key=_end)
        if position < len(self.batches) and _end(self.batches[position]) == sequence:
            return self.batches[position].hash
        return None

    def check_whole(self, known: Acknowledged) -> None:
        """Marks the log where something that was acknowledged of it is gone. Raises TailLost once it is marked."""
        is_kept = known.log_id == self.log_id and known.sequence > self.base_sequence
        if self.acknowledged is None and is_kept and self.hash_at(known.sequence) != known.hash:
            self.acknowledged = known.sequence
            self.epoch += 1
            self.nonce, self.holder = 0, ""
        loss = self.loss
        if loss is not None:
            raise loss

    @property
    def loss(self) -> TailLost | None:
        """What the log is marked with."""
        if self.acknowledged is None:
            return None
        return TailLost(log_id=self.log_id, last_sequence=self.last_sequence, acknowledged=self.acknowledged)


@dataclass(slots=True, kw_only=True)
class MemoryPlace:
    """What outlives a store. mint_log_id names new logs; a simulator passes one of its own seed. In a shared place
    several stores are open at once, as the replicas of a cluster have theirs."""

    mint_log_id: Callable[[], str] = random_log_id
    records: dict[str, MemoryRecord] = field(default_factory=dict)
    openings: int = 0
    claims: int = 0
    """Ever made, of any log."""
    shared: bool = False


async def at_once() -> None:
    """Commits without delay, but lets others run as a real commit would."""
    await asyncio.sleep(0)


class MemoryStore:
    """The logs of one place. commit is awaited before each batch is kept: it may take its time, or raise
    LogError.
    """

    timings: Final = None

    def __init__(self, place: MemoryPlace | None = None, *, commit: Callable[[], Awaitable[None]] = at_once) -> None:
        self._place = place or MemoryPlace()
        self._place.openings += 1
        self._opening = self._place.openings
        self._closed = False
        self._commit = commit
        self._turn = asyncio.Lock()
        self._acknowledged: dict[str, Acknowledged] = {}
        self._nonces: dict[tuple[str, int], int] = {}

    @property
    def shared(self) -> bool:
        """Whether others have the place open too."""
        return self._place.shared

    async def open(self, namespace: str) -> MemoryLog:
        """The log of a namespace, created empty with a new log_id when there is none."""
        self.check_open()
        records = self._place.records
        if namespace not in records:
            records[namespace] = MemoryRecord(log_id=self._place.mint_log_id())
        record = records[namespace]
        _check_last_link(record)
        return MemoryLog(self, namespace, record)

    def acknowledged(self, namespace: str) -> Acknowledged:
        """What this process knows to have been acknowledged of a log."""
        return self._acknowledged.setdefault(namespace, Acknowledged())

    def claimed(self, namespace: str, record: MemoryRecord) -> None:
        """A log is this process's from here on."""
        self._place.claims += 1
        record.nonce = self._nonces[namespace, record.epoch] = self._place.claims

    def holds(self, namespace: str, record: MemoryRecord) -> bool:
        """Whether the last claim of a log was made here; where nobody else has the place open the epoch says that."""
        return not self.shared or self._nonces.get((namespace, record.epoch)) == record.nonce

    async def namespaces(self) -> list[str]:
        """Names of the namespaces that have a log, in order."""
        self.check_open()
        return sorted(self._place.records)

    async def close(self) -> None:
        """Waits for appends under way."""
        async with self._turn:
            self._closed = True

    async def committed(self, change: Callable[[], None]) -> None:
        """Makes a change when its turn has come: in the order of the calls, one after another."""
        self.check_open()
        async with self._turn:
            await self._commit()
            self.check_open()
            change()

    def check_open(self) -> None:
        """Raises LogError once the store was closed, or another was opened over the same place."""
        if self._closed or (not self.shared and self._opening != self._place.openings):
            raise LogError("the store is closed")


class MemoryLog:
    """The log of one namespace."""

    def __init__(self, store: MemoryStore, namespace: str, record: MemoryRecord) -> None:
        self._store = store
        self._namespace = namespace
        self._record = record
        self._acknowledged = store.acknowledged(namespace)
        self._in_doubt = store.shared

    @property
    def namespace(self) -> str:
        """Whose log this is."""
        return self._namespace

    @property
    def exclusive(self) -> bool:
        """Unless others have the place open too."""
        return not self._store.shared

    async def ends(self) -> LogEnds:
        """Where the durable log begins and ends now."""
        self._store.check_open()
        record = self._record
        if self._in_doubt or self._acknowledged.goes_beyond(record.log_id, record.last_sequence):
            self.report()
            self._in_doubt = False
        return LogEnds(
            log_id=record.log_id,
            oldest_sequence=record.base_sequence + 1,
            last_sequence=record.last_sequence,
            hash=record.hash,
            base_hash=record.base_hash,
        )

    async def holder(self) -> Holder:
        """Who owns the log."""
        self._store.check_open()
        return Holder(epoch=self._record.epoch, name=self._record.holder)

    async def claim(self, holder: str, *, after: int | None = None, accepting: bool = False) -> int:
        """Takes ownership under a name and returns its epoch. accepting: even though something is lost."""
        record = self._record
        epoch = 0

        def change() -> None:
            nonlocal epoch
            if not accepting:
                self.report()
            if after is not None and after != record.epoch:
                raise _fenced(after, record.epoch)
            record.epoch += 1
            record.holder = holder
            epoch = record.epoch
            self._store.claimed(self._namespace, record)
            self._acknowledged.told(record.log_id, record.last_sequence, record.hash)
            self._in_doubt = False

        await self._store.committed(change)
        return epoch

    def report(self) -> None:
        """Marks the log if something that this process knows to be acknowledged is gone. Raises TailLost."""
        if self._store.shared:
            self._record.check_whole(self._acknowledged)

    async def loss(self) -> TailLost | None:
        """What the log was marked with, if anything is lost."""
        self._store.check_open()
        return self._record.loss

    async def release(self, epoch: int) -> None:
        """Lets go: the epoch is fenced from here on, and nobody owns the log. Raises Fenced, LogError."""
        record = self._record

        def change() -> None:
            self._check_epoch(epoch)
            record.epoch += 1
            record.holder = ""
            if self._acknowledged.goes_beyond(record.log_id, record.last_sequence):
                self.report()

        await self._store.committed(change)

    async def confirm(self, epoch: int) -> None:
        """Returns when the epoch was the last one claimed at some moment during the call."""
        self._store.check_open()
        self._check_epoch(epoch)
        if self._acknowledged.goes_beyond(self._record.log_id, self._record.last_sequence):
            self.report()
        await asyncio.sleep(0)

    async def append(self, batch: Batch, epoch: int) -> None:
        """Makes a batch durable. Raises LogError."""
        record = self._record

        def change() -> None:
            self._check_epoch(epoch)
            if batch.first_sequence != record.last_sequence + 1:
                self.report()  # or was it not overtaken, but robbed of its past?
                raise Fenced(f"the log ends at {record.last_sequence}, the batch begins at {batch.first_sequence}")
            record.batches.append(StoredBatch(batch=batch, hash=chain(record.hash, batch.events)))
            record.growth.reached(batch.last_sequence)
            self._acknowledged.told(record.log_id, batch.last_sequence, record.hash)

        await self._store.committed(change)

    async def read(self, after: int, *, bytes_max: int = 2 * 1024 * 1024) -> list[StoredBatch]:
        """Durable batches that hold events after a sequence: one when there is any, more up to bytes_max."""
        self._store.check_open()
        batches = self._record.batches
        found: list[StoredBatch] = []
        size = 0
        for position in range(bisect_right(batches, after, key=_end), len(batches)):
            size += len(batches[position].batch.events)
            if found and size > bytes_max:
                break
            found.append(batches[position])
        if found and self._store.shared:
            if self._acknowledged.is_in_doubt(self._record.log_id, found):
                self.report()
            self._acknowledged.read(self._record.log_id, found)
        return found

    async def grown(self, after: int) -> int:
        """Waits until the durable log goes beyond a sequence; where it ends then."""
        self._store.check_open()
        return await self._record.growth.beyond(after, self._record.last_sequence)

    async def locate(self, time_ns: int) -> int:
        """The last sequence of the last batch that ended before time_ns, else that before the oldest."""
        self._store.check_open()
        position = bisect_left(self._record.batches, time_ns, key=_time)
        return self._record.batches[position - 1].batch.last_sequence if position else self._record.base_sequence

    async def save_snapshot(self, snapshot: Snapshot, epoch: int) -> None:
        """Keeps a snapshot beside the log, and the one before it; older ones go. Raises Fenced, LogError."""

        def change() -> None:
            self._check_epoch(epoch)
            if self._record.hash_at(snapshot.sequence) != snapshot.hash:
                raise LogCorrupt("the snapshot is of another log", sequence=snapshot.sequence)
            others = [each for each in self._record.snapshots if each.sequence != snapshot.sequence]
            kept = sorted([snapshot, *others], key=lambda each: -each.sequence)
            self._record.snapshots = kept[:SNAPSHOTS_KEPT]

        await self._store.committed(change)

    async def snapshots(self) -> list[Snapshot]:
        """The snapshots kept, newest first, at most two."""
        self._store.check_open()
        return list(self._record.snapshots)

    async def trim(self, below: int, epoch: int) -> int:
        """Drops whole batches that end below a sequence, never past the older of two snapshots."""
        record = self._record

        def change() -> None:
            self._check_epoch(epoch)
            if len(record.snapshots) < SNAPSHOTS_KEPT:
                return
            count = bisect_right(record.batches, min(below - 1, record.snapshots[-1].sequence), key=_end)
            if count:
                last = record.batches[count - 1]
                record.base_sequence, record.base_hash = last.batch.last_sequence, last.hash
                del record.batches[:count]

        await self._store.committed(change)
        return record.base_sequence + 1

    async def measure(self, after: int, until: int) -> int:
        """Bytes of the events of the batches that end in (after, until]."""
        self._store.check_open()
        batches = self._record.batches
        first, last = bisect_right(batches, after, key=_end), bisect_right(batches, until, key=_end)
        return sum(len(batches[position].batch.events) for position in range(first, last))

    async def cursors(self) -> list[Cursor]:
        """The cursors of named subscriptions, by name."""
        self._store.check_open()
        return [cursor for _, cursor in sorted(self._record.cursors.items())]

    async def save_cursors(self, saved: Sequence[Cursor], epoch: int, *, dropped: Sequence[str] = ()) -> None:
        """Keeps cursors, each in place of the one of its name, and drops others, all or none."""
        cursors = self._record.cursors

        def change() -> None:
            self._check_epoch(epoch)
            for name in dropped:
                cursors.pop(name, None)
            cursors.update((cursor.name, cursor) for cursor in saved)

        await self._store.committed(change)

    async def rebase(self, log_id: str, snapshot: Snapshot, epoch: int) -> None:
        """Goes on as another log, with the state of a snapshot, after its sequence. Whoever does it lets go by that.
        Raises Fenced, LogError."""
        record = self._record

        def change() -> None:
            self._check_epoch(epoch)
            record.base_sequence, record.base_hash = snapshot.sequence, snapshot.hash
            record.log_id, record.batches, record.snapshots = log_id, [], [snapshot]
            record.acknowledged = None
            record.epoch += 1
            record.nonce, record.holder = 0, ""
            self._acknowledged.forget()

        await self._store.committed(change)

    def _check_epoch(self, epoch: int) -> None:
        if epoch != self._record.epoch or not self._store.holds(self._namespace, self._record):
            self.report()
            raise _fenced(epoch, self._record.epoch)


def _fenced(epoch: int, current: int) -> Fenced:
    return Fenced(f"epoch {epoch} is not the last one claimed, {current}")


def _check_last_link(record: MemoryRecord) -> None:
    """Raises LogCorrupt when the last batch does not fit the one before."""
    if not record.batches:
        return
    last = record.batches[-1]
    previous = record.batches[-2].hash if len(record.batches) > 1 else record.base_hash
    if chain(previous, last.batch.events) != last.hash:
        raise LogCorrupt("the last batch does not fit its hash", sequence=last.batch.first_sequence)
