"""Snapshots: folded from the committed log by a follower, never from live state (architecture, decision 9).

So a snapshot is what any reader of the log would have come to, and a fault in the live state cannot hide in it. The
fold is a second copy of the namespace's tables, and with them the metrics (core/metrics.py); it lags behind until there
is enough to fold, or until somebody asks for what is counted. What it reads is the durable batches, link by link; those
events that are still in memory, as the very bytes of the batch, are not decoded again: that would be half of what a
published event costs.
"""

from __future__ import annotations

import asyncio
import gc
import hashlib
import logging
from collections.abc import Awaitable, Callable, Generator, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, TypeVar

import msgspec

from coordinator_service.core.apply import apply
from coordinator_service.core.events import Event
from coordinator_service.core.fold import restored, tidy
from coordinator_service.core.metrics import Metrics, observe
from coordinator_service.core.ownership import NewerLog, check_format
from coordinator_service.core.rejections import Unavailable
from coordinator_service.core.state import NamespaceState, Tables
from coordinator_service.log.base import (
    GENESIS_HASH,
    Batch,
    EventLog,
    LogCorrupt,
    LogEnds,
    LogError,
    LogTooNew,
    Snapshot,
    StoredBatch,
)
from coordinator_service.log.codec import decode_event, split
from coordinator_service.log.verify import check_chain
from coordinator_service.ports import Committed

_log = logging.getLogger(__name__)

T = TypeVar("T")

FORMAT = 3
"""Version of the encoded tables. A snapshot of another version is passed over: the log has everything, unless it was
trimmed. So a release that raises this has to read what the release before it wrote. A field with a default raises
nothing."""
_HEAD_BYTES = 33
FOLD_EVENTS_PER_TURN = 50
"""Events folded before others on the loop get their turn."""
LAG_EVENTS = 2_000
"""So many events are folded at a time: a crowd costs less than one by one, and they are still in memory."""
AGAIN_SECONDS = 1.0
"""Between a failure to read the log and another attempt."""
SNAPSHOT_BYTES_PER_EVENT = 64
"""A snapshot waits for as many events as the one before has bytes, divided by this: however large the state, writing it
down again and again costs an event the same."""

Recent = Callable[[int, int], list[Committed] | None]
"""Committed events after a sequence, at most so many, or None when they are no longer in memory."""


def _none_recent(_after: int, _events_max: int) -> None:
    return None


@dataclass(frozen=True, slots=True, kw_only=True)
class SnapshotLimits:
    """When snapshots are taken."""

    snapshot_events: int = 50_000
    """Events between two snapshots; more where the state is large."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Folds:
    """All that is folded of a log (D9)."""

    tables: Tables
    metrics: Metrics


def encode_tables(tables: Tables, metrics: Metrics | None = None) -> bytes:
    """The folds as bytes, with their digest: equal folds give equal bytes."""
    encoded = msgspec.msgpack.encode(Folds(tables=tables, metrics=metrics or Metrics()))
    return bytes([FORMAT]) + hashlib.sha256(encoded).digest() + encoded


def decode_tables(data: bytes) -> Tables:
    """The tables that were encoded. Raises LogCorrupt."""
    return decode_folds(data).tables


def decode_folds(data: bytes) -> Folds:
    """The folds that were encoded. Raises LogCorrupt."""
    if not data:
        raise LogCorrupt("a snapshot that cannot be read")
    if data[0] != FORMAT:
        raise LogCorrupt("a snapshot of another format")
    digest, encoded = data[1:_HEAD_BYTES], data[_HEAD_BYTES:]
    if hashlib.sha256(encoded).digest() != digest:
        raise LogCorrupt("a snapshot that is not what was written")
    try:
        with _no_collection():
            return msgspec.msgpack.decode(encoded, type=Folds)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as fault:
        raise LogCorrupt(f"not a snapshot: {fault}") from None


@contextmanager
def _no_collection() -> Iterator[None]:
    """Everything that is made here stays: looking for garbage in it, again and again, took two thirds of the time."""
    collects = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if collects:
            gc.enable()


@dataclass(slots=True)
class Fold:
    """How far a log is folded: the state, the chain hash up to it, and the metrics where somebody wants them."""

    state: NamespaceState
    hash: bytes
    recent: Recent = _none_recent
    metrics: Metrics | None = None

    async def through(self, batches: list[StoredBatch]) -> None:
        """Folds batches that follow, checking the chain. Raises LogCorrupt."""
        folded = 0
        for stored in batches:
            check_chain(stored, self.state.sequence, self.hash)
            for event in self._events_of(stored.batch):
                if event.sequence != self.state.sequence + 1:
                    raise LogCorrupt(f"event {event.sequence} follows {self.state.sequence}", sequence=event.sequence)
                if self.metrics is not None:
                    observe(self.metrics, self.state, event)
                try:
                    apply(self.state, event)
                except NewerLog as newer:
                    raise LogTooNew(str(newer), sequence=event.sequence) from None
                folded += 1
                if folded % FOLD_EVENTS_PER_TURN == 0:
                    await asyncio.sleep(0)
            if self.state.sequence != stored.batch.last_sequence:
                missing = self.state.sequence + 1
                raise LogCorrupt(
                    f"the batch that ends at {stored.batch.last_sequence} does not hold it", sequence=missing
                )
            self.hash = stored.hash

    def _events_of(self, batch: Batch) -> Iterable[Event]:
        recent = self.recent(batch.first_sequence - 1, batch.last_sequence - batch.first_sequence + 1)
        if recent is not None and b"".join([each.frame for each in recent]) == batch.events:
            return [each.event for each in recent]
        return map(decode_event, split(batch.events))


async def fold_start(log: EventLog) -> Fold:
    """The newest snapshot that can be read, else the beginning of the log. Raises LogCorrupt when that is gone."""
    ends = await log.ends()
    for snapshot in await log.snapshots():
        try:
            return fold_of(log.namespace, snapshot, ends)
        except LogTooNew:
            raise
        except LogCorrupt as fault:
            _log.warning("snapshot at %d of namespace %s is passed over: %s", snapshot.sequence, log.namespace, fault)
    if ends.base_hash != GENESIS_HASH:
        lost = "the log begins here, and no snapshot of what was before can be read"
        raise LogCorrupt(lost, sequence=ends.oldest_sequence)
    return fold_of_beginning(log.namespace, ends)


def fold_of_beginning(namespace: str, ends: LogEnds) -> Fold:
    """Nothing was folded yet, of a log that has its beginning."""
    state = NamespaceState(namespace)
    state.sequence = ends.oldest_sequence - 1
    return Fold(state, ends.base_hash, metrics=Metrics())


def fold_of(namespace: str, snapshot: Snapshot, ends: LogEnds) -> Fold:
    """The fold that a snapshot is of. Raises LogCorrupt, LogTooNew."""
    folds = _folds_of(snapshot, ends)
    with _no_collection():
        state = restored(namespace, folds.tables)
    return Fold(state, snapshot.hash, metrics=folds.metrics)


def _folds_of(snapshot: Snapshot, ends: LogEnds) -> Folds:
    if not ends.oldest_sequence - 1 <= snapshot.sequence <= ends.last_sequence:
        raise LogCorrupt(f"the log holds {ends.oldest_sequence} to {ends.last_sequence}")
    folds = decode_folds(snapshot.data)
    if folds.tables.sequence != snapshot.sequence:
        raise LogCorrupt(f"it is of {folds.tables.sequence}")
    try:
        check_format(folds.tables.log_format)
    except NewerLog as newer:
        raise LogTooNew(str(newer), sequence=snapshot.sequence) from None
    return folds


async def recover(log: EventLog) -> Fold:
    """The state at the end of the log, without its metrics. Raises LogCorrupt naming the first sequence that does not
    fit."""
    fold = await fold_start(log)
    fold.metrics = None
    await fold_to_end(log, fold)
    return fold


async def fold_to_end(log: EventLog, fold: Fold) -> None:
    """Folds what follows. Raises LogCorrupt where it does not fit."""
    while batches := await log.read(fold.state.sequence):
        await fold.through(batches)


class Snapshotter:
    """Follows a log, saves a snapshot every so many events, and shows the fold to whoever asks."""

    def __init__(
        self,
        log: EventLog,
        epoch: int,
        limits: SnapshotLimits,
        committed: Callable[[int], Awaitable[None]],
        recent: Recent = _none_recent,
    ) -> None:
        self._log = log
        self._epoch = epoch
        self._limits = limits
        self._committed = committed
        self._recent = recent
        self._asked: list[_Asked] = []
        self._woken: asyncio.Future[None] | None = None
        self._over = False

    async def look(self, sequence: int, read: Callable[[NamespaceState, Metrics], Generator[None, None, T]]) -> T:
        """What `read` makes of the fold once it has reached a committed sequence; others have their turn between its
        steps. Raises what it raises, Unavailable when nothing is folded any more."""
        if self._over:
            raise _not_folded()
        asked = _Asked(sequence, read, asyncio.get_running_loop().create_future())
        self._asked.append(asked)
        if self._woken is not None and not self._woken.done():
            self._woken.set_result(None)
        found: T = await asked.answered
        return found

    async def follow(self) -> None:
        """Until cancelled: waits for enough, folds it, saves. `committed(n)` waits until the log has reached n.

        Reading a snapshot holds up whoever is to be served (half a second where the state is large), and who has just
        become an owner is waited for: it begins once there is enough to fold, or somebody asks. Where the log cannot be
        read those who ask are told so, and after a while it begins anew. Raises LogCorrupt.
        """
        try:
            while True:
                try:
                    await self._follow()
                except LogCorrupt:
                    raise
                except LogError as error:
                    _log.warning("namespace %s is not folded for a while: %s", self._log.namespace, error)
                self._refuse_all()
                await asyncio.sleep(AGAIN_SECONDS)
        finally:
            self._over = True
            self._refuse_all()

    def _refuse_all(self) -> None:
        asked, self._asked = self._asked, []
        for each in asked:
            each.fail(_not_folded())

    async def _follow(self) -> None:
        reached: asyncio.Future[None] | None = None
        try:
            enough = min(LAG_EVENTS, self._limits.snapshot_events)
            reached = asyncio.ensure_future(self._committed((await self._log.ends()).last_sequence + enough))
            await self._wait(reached)
            fold = await fold_start(self._log)
            fold.recent = self._recent
            saved = fold.state.sequence
            due = self._limits.snapshot_events
            until = saved
            while True:
                if reached is None:
                    until = min(fold.state.sequence + LAG_EVENTS, saved + due)
                    reached = asyncio.ensure_future(self._committed(until))
                await self._wait(reached)
                if self._asked:
                    await self._show(fold)
                if not reached.done():
                    continue
                reached.result()
                reached = None
                await self._fold_to(fold, until)
                if fold.state.sequence < saved + due:
                    continue
                written = await self._save(fold)
                saved = fold.state.sequence
                due = max(self._limits.snapshot_events, written // SNAPSHOT_BYTES_PER_EVENT)
        finally:
            if reached is not None:
                reached.cancel()
                await asyncio.gather(reached, return_exceptions=True)

    async def _wait(self, reached: asyncio.Future[None]) -> None:
        """Until a snapshot is due, or somebody asks."""
        if self._asked or reached.done():
            return
        self._woken = asyncio.get_running_loop().create_future()
        try:
            await asyncio.wait({reached, self._woken}, return_when=asyncio.FIRST_COMPLETED)
        finally:
            self._woken = None

    async def _show(self, fold: Fold) -> None:
        while self._asked:
            await self._fold_to(fold, self._asked[0].sequence)
            assert fold.metrics is not None
            await self._asked[0].tell(fold.state, fold.metrics)
            del self._asked[0]

    async def _fold_to(self, fold: Fold, sequence: int) -> None:
        while fold.state.sequence < sequence:
            batches = await self._log.read(fold.state.sequence)
            if not batches:
                raise LogCorrupt("the log ends before what was committed", sequence=fold.state.sequence + 1)
            await fold.through(batches)

    async def _save(self, fold: Fold) -> int:
        """Saves a snapshot; how many bytes it has."""
        data = encode_tables(fold.state.tables(), fold.metrics)
        tidy(fold.state)
        try:
            await self._log.save_snapshot(
                Snapshot(sequence=fold.state.sequence, hash=fold.hash, data=data), self._epoch
            )
        except LogError as error:
            _log.warning("a snapshot of namespace %s was not saved: %s", self._log.namespace, error)
        return len(data)


@dataclass(slots=True)
class _Asked:
    """Somebody who wants to see the fold at, or after, a sequence."""

    sequence: int
    read: Callable[[NamespaceState, Metrics], Generator[None, None, Any]]
    answered: asyncio.Future[Any]

    async def tell(self, state: NamespaceState, metrics: Metrics) -> None:
        """Reads it, as long as that is wanted."""
        steps = self.read(state, metrics)
        while not self.answered.done():
            try:
                next(steps)
            except StopIteration as end:
                self.answered.set_result(end.value)
            except Exception as failure:
                self.fail(failure)
            else:
                await asyncio.sleep(0)

    def fail(self, failure: Exception) -> None:
        """There is nothing to see."""
        if not self.answered.done():
            self.answered.set_exception(failure)


def _not_folded() -> Unavailable:
    return Unavailable("the log is no longer followed here")
