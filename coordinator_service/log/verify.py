"""Recomputes the hash chain of a log (D9)."""

from __future__ import annotations

from coordinator_service.log.base import EventLog, LogCorrupt, LogTooNew, Snapshot, StoredBatch, chain
from coordinator_service.log.codec import decode_event, split


async def verify(log: EventLog, *, from_snapshot: Snapshot | None = None) -> int:
    """Reads a log from its oldest event, or from after a snapshot, to its end and returns the sequence it
    ends at.

    Raises LogCorrupt with the first sequence that does not fit: an edited, missing or reordered batch is
    named by its first event.
    """
    ends = await log.ends()
    if from_snapshot is None:
        sequence, digest = ends.oldest_sequence - 1, ends.base_hash
    else:
        sequence, digest = from_snapshot.sequence, from_snapshot.hash
    while found := await log.read(sequence):
        for stored in found:
            check_link(stored, sequence, digest)
            sequence, digest = stored.batch.last_sequence, stored.hash
    if sequence < ends.last_sequence:
        raise LogCorrupt("the log ends early", sequence=sequence + 1)
    return sequence


def check_chain(stored: StoredBatch, after: int, digest: bytes) -> None:
    """Raises LogCorrupt unless a batch continues the chain that ends with digest at the sequence `after`.

    For those who decode the events anyway, and see for themselves whether they are the ones that the batch says.
    """
    batch = stored.batch
    if batch.first_sequence != after + 1:
        raise LogCorrupt(f"the batch after it begins at {batch.first_sequence}", sequence=after + 1)
    if chain(digest, batch.events) != stored.hash:
        raise LogCorrupt("the batch does not fit its hash", sequence=batch.first_sequence)


def check_link(stored: StoredBatch, after: int, digest: bytes) -> None:
    """As check_chain, and that the batch holds the events that it says. Raises LogCorrupt."""
    check_chain(stored, after, digest)
    batch = stored.batch
    try:
        sequences = [decode_event(encoded).sequence for encoded in split(batch.events)]
    except LogTooNew:
        raise
    except LogCorrupt as fault:
        raise LogCorrupt(str(fault), sequence=batch.first_sequence) from None
    for expected, sequence in enumerate(sequences, batch.first_sequence):
        if sequence != expected:
            raise LogCorrupt(f"in its place lies {sequence}", sequence=expected)
    if batch.first_sequence + len(sequences) != batch.last_sequence + 1:
        raise LogCorrupt("the batch holds another number of events than it says", sequence=batch.first_sequence)
