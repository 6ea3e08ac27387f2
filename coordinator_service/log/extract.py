"""A range of a log, rounded to whole batches: what the hash chain (D9) is over."""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import dataclass

from coordinator_service.log.base import EventLog, LogCorrupt, LogEnds, LogError, StoredBatch
from coordinator_service.log.verify import check_link


class OutsideLog(LogError):  # noqa: N818 (it says what is wrong)
    """The range is not in the log."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Extract:
    """Whole batches: sequences from first to last, and the hash of the chain before the first."""

    namespace: str
    log_id: str
    first_sequence: int
    last_sequence: int
    base_hash: bytes


async def find_extract(log: EventLog, first: int | None, last: int | None) -> Extract:
    """The batches that hold the sequences from first to last, by default all there are. Raises OutsideLog, LogError."""
    ends = await log.ends()
    first = ends.oldest_sequence if first is None else first
    last = ends.last_sequence if last is None else last
    if not ends.oldest_sequence <= first <= last <= ends.last_sequence:
        kept = f"sequences {ends.oldest_sequence} to {ends.last_sequence}"
        if ends.oldest_sequence > ends.last_sequence:
            kept = "no events"
        raise OutsideLog(f"sequences {first} to {last} are not in the log of {log.namespace!r}: it has {kept}")
    begins = (await _batch_with(log, first)).batch.first_sequence
    return Extract(
        namespace=log.namespace,
        log_id=ends.log_id,
        first_sequence=begins,
        last_sequence=(await _batch_with(log, last)).batch.last_sequence,
        base_hash=await _hash_before(log, ends, begins),
    )


async def extracted(log: EventLog, extract: Extract) -> AsyncIterator[StoredBatch]:
    """Its batches, each checked against the chain. Raises LogCorrupt, LogTooNew, LogError."""
    after, digest = extract.first_sequence - 1, extract.base_hash
    async for stored in batches(log, after, extract.last_sequence):
        check_link(stored, after, digest)
        after, digest = stored.batch.last_sequence, stored.hash
        yield stored
    if after != extract.last_sequence:
        raise LogCorrupt("the log ends early", sequence=after + 1)


async def batches(log: EventLog, after: int, until: int) -> AsyncIterator[StoredBatch]:
    """Those after a sequence, up to the one that ends at or behind `until`. Raises LogError when they are trimmed away
    while they are read.
    """
    while after < until and (found := await log.read(after)):
        oldest = (await log.ends()).oldest_sequence
        if after + 1 < oldest <= found[0].batch.first_sequence:
            raise LogError(f"the log was trimmed up to {oldest - 1} while it was read after {after}: begin again")
        for stored in found:
            yield stored
            after = stored.batch.last_sequence
            if after >= until:
                return


async def _batch_with(log: EventLog, sequence: int) -> StoredBatch:
    found = await log.read(sequence - 1, bytes_max=1)
    if not found or found[0].batch.first_sequence > sequence:
        raise LogCorrupt("it is missing", sequence=sequence)
    return found[0]


async def _hash_before(log: EventLog, ends: LogEnds, first: int) -> bytes:
    if first == ends.oldest_sequence:
        return ends.base_hash
    return (await _batch_with(log, first - 1)).hash
