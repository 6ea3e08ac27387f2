"""Replay: folds a log again and says where it parts from what was stored (D9).

What is proven: each batch fits the hash of the one before and holds the events that it says, of this log, in order;
and each snapshot is what the log up to it folds to, byte for byte. What is not: that nothing was cut off the end of the
log. Whoever wants to know that keeps the hash that a replay ends with.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

import msgspec

from coordinator_service.core.invariants import InvariantBroken, check_invariants
from coordinator_service.core.state import Tables
from coordinator_service.log.base import (
    GENESIS_HASH,
    EventLog,
    LogCorrupt,
    LogEnds,
    LogTooNew,
    Snapshot,
    StoredBatch,
)
from coordinator_service.log.codec import EventCodec, decode_event, split
from coordinator_service.log.extract import batches
from coordinator_service.log.verify import check_link
from coordinator_service.snapshots import Fold, decode_folds, decode_tables, encode_tables, fold_of, fold_of_beginning

TABLES_NAMED_MAX = 5
"""Tables that a finding names."""


@dataclass(frozen=True, slots=True)
class Finding:
    """Where a log and what was made of it part. newer: it does not; a later version wrote it."""

    sequence: int
    what: str
    newer: bool = False


@dataclass(slots=True, kw_only=True)
class Replayed:
    """What a replay saw: events from first to last, the hash of the chain there, the snapshots that agreed."""

    namespace: str
    log_id: str
    first_sequence: int
    last_sequence: int
    hash: bytes
    folded_after: int = 0
    """Events up to here were checked by the chain alone; those after it were folded."""
    snapshots: list[int] = field(default_factory=list)
    findings: list[Finding] = field(default_factory=list)


async def replay(
    log: EventLog, *, from_snapshot: bool = False, seen: Callable[[int], None] = lambda _: None
) -> Replayed:
    """Reads a log, from its beginning or its older snapshot, to where it ends now. `seen` is told how far it is.

    Raises LogError when the log cannot be read. What does not agree is a finding, at most one of the log itself: behind
    it nothing is certain.
    """
    ends = await log.ends()
    replaying = _Replay(log, ends, sorted(await log.snapshots(), key=lambda each: each.sequence))
    try:
        replaying.begin(from_snapshot=from_snapshot)
        async for stored in batches(log, replaying.replayed.last_sequence, ends.last_sequence):
            await replaying.take(stored)
            seen(replaying.replayed.last_sequence)
        replaying.end()
    except LogCorrupt as fault:
        replaying.note(fault)
    return replaying.replayed


class _Replay:
    """A fold on its way through a log, and the snapshots still to be met."""

    def __init__(self, log: EventLog, ends: LogEnds, snapshots: list[Snapshot]) -> None:
        self._log = log
        self._ends = ends
        self._codec = EventCodec(log.namespace, ends.log_id)
        self._snapshots = snapshots
        self._fold: Fold | None = None
        self._anchor: Snapshot | None = None
        self.replayed = Replayed(
            namespace=log.namespace,
            log_id=ends.log_id,
            first_sequence=ends.oldest_sequence,
            last_sequence=ends.oldest_sequence - 1,
            hash=ends.base_hash,
        )

    def begin(self, *, from_snapshot: bool) -> None:
        """At the beginning of the log; where that is gone, or on request, at the oldest snapshot that can be read."""
        ends, replayed = self._ends, self.replayed
        trimmed = ends.oldest_sequence > 1
        if not trimmed and ends.base_hash != GENESIS_HASH:
            raise LogCorrupt("the chain does not begin as every chain does", sequence=1)
        readable = [each for each in self._snapshots if self._is_readable(each)]
        self._anchor = readable[0] if readable and (trimmed or from_snapshot) else None
        self._snapshots = readable
        if not trimmed and self._anchor is None:
            self._fold = fold_of_beginning(self._log.namespace, ends)
        elif trimmed and self._anchor is None:
            what = "the log begins here, and there is no snapshot of what was before: its events cannot be folded"
            replayed.findings.append(Finding(ends.oldest_sequence, what))
        elif from_snapshot and self._anchor is not None:
            replayed.first_sequence = self._anchor.sequence + 1
            replayed.last_sequence, replayed.hash = self._anchor.sequence, self._anchor.hash
        self._meet_snapshots()

    async def take(self, stored: StoredBatch) -> None:
        """The next batch. Raises LogCorrupt, LogTooNew."""
        replayed = self.replayed
        check_link(stored, replayed.last_sequence, replayed.hash)
        encoded = split(stored.batch.events)
        for each in encoded:
            self._codec.check(each)
        if decode_event(encoded[-1]).time_ns != stored.batch.time_ns:
            raise LogCorrupt("the batch has another time than its last event", sequence=stored.batch.last_sequence)
        if self._fold is not None:
            await self._fold.through([stored])
        replayed.last_sequence, replayed.hash = stored.batch.last_sequence, stored.hash
        self._meet_snapshots()

    def end(self) -> None:
        """The log has ended. Raises LogCorrupt."""
        replayed, ends = self.replayed, self._ends
        if replayed.last_sequence < ends.last_sequence:
            raise LogCorrupt("the log ends early", sequence=replayed.last_sequence + 1)
        if replayed.hash != ends.hash:
            raise LogCorrupt("the log ends with another hash", sequence=ends.last_sequence)
        for each in self._snapshots:
            self._find(each.sequence, "there is a snapshot of it, and the log has no such sequence")
        if self._fold is not None:
            try:
                check_invariants(self._fold.state)
            except InvariantBroken as broken:
                self._find(ends.last_sequence, f"invariant {broken}")

    def note(self, fault: LogCorrupt) -> None:
        """Why the log could not be followed further."""
        text = str(fault).removeprefix(f"sequence {fault.sequence}: ")
        sequence = fault.sequence or self.replayed.last_sequence + 1
        self.replayed.findings.append(Finding(sequence, text, newer=isinstance(fault, LogTooNew)))

    def _find(self, sequence: int, what: str) -> None:
        self.replayed.findings.append(Finding(sequence, what))

    def _is_readable(self, snapshot: Snapshot) -> bool:
        try:
            tables = decode_tables(snapshot.data)
            if tables.sequence != snapshot.sequence:
                raise LogCorrupt(f"the snapshot says that it is of {tables.sequence}", sequence=snapshot.sequence)
        except LogCorrupt as fault:
            self.note(LogCorrupt(str(fault), sequence=snapshot.sequence) if not fault.sequence else fault)
            return False
        return True

    def _meet_snapshots(self) -> None:
        """Compares the snapshot that was taken here, if one was; from the first of them the fold may begin."""
        position = self.replayed.last_sequence
        while self._snapshots and self._snapshots[0].sequence <= position:
            snapshot = self._snapshots.pop(0)
            if snapshot.sequence < position:
                self._find(snapshot.sequence, "there is a snapshot of it, and no batch ends there")
            elif snapshot.hash != self.replayed.hash:
                self._find(snapshot.sequence, "the snapshot has another hash than the log there")
            else:
                self._meet(snapshot)

    def _meet(self, snapshot: Snapshot) -> None:
        if snapshot is self._anchor:
            self._fold = fold_of(self._log.namespace, snapshot, self._ends)
            self.replayed.folded_after = snapshot.sequence
            return
        if self._fold is None:
            return
        stored = decode_folds(snapshot.data)
        different = _differing(self._fold.state.tables(), stored.tables)
        if self._fold.metrics is not None and self._fold.metrics != stored.metrics:
            different.append("metrics")
        if different:
            self._find(snapshot.sequence, f"the snapshot is not what the log folds to: {', '.join(different)}")
        else:
            self.replayed.snapshots.append(snapshot.sequence)


def _differing(folded: Tables, stored: Tables) -> list[str]:
    """Tables that are not the same, in content or order."""
    if encode_tables(folded) == encode_tables(stored):
        return []
    names = [
        name
        for name in Tables.__dataclass_fields__
        if msgspec.msgpack.encode(getattr(folded, name)) != msgspec.msgpack.encode(getattr(stored, name))
    ]
    more = len(names) - TABLES_NAMED_MAX
    return names[:TABLES_NAMED_MAX] + ([f"and {more} more"] if more > 0 else [])
