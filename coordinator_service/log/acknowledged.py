"""What a process knows to have been acknowledged of a log.

A store that replicas share may lose it: a replica that lagged is promoted, power is lost before the fsync. Then the log
ends before it, or another thing lies in its place, and whoever remembers finds out.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from coordinator_service.log.base import StoredBatch, chain


@dataclass(slots=True)
class Acknowledged:
    """Up to where, and the chain hash there. No log_id: nothing is known."""

    log_id: str = ""
    sequence: int = 0
    hash: bytes = b""

    def told(self, log_id: str, sequence: int, digest: bytes) -> None:
        """Somebody was told, or the log was claimed as it is."""
        self.log_id, self.sequence, self.hash = log_id, sequence, digest

    def forget(self) -> None:
        """It is no longer so: an operator has accepted that it is lost."""
        self.told("", 0, b"")

    def until(self, log_id: str, committed: int) -> int:
        """Up to where a log is durable: what was acknowledged here is committed, whether or not others know it yet."""
        return max(committed, self.sequence) if self.log_id == log_id else committed

    def goes_beyond(self, log_id: str, last_sequence: int) -> bool:
        """Whether a log ends before what was acknowledged of it."""
        return self.log_id == log_id and self.sequence > last_sequence

    def is_in_doubt(self, log_id: str, found: Sequence[StoredBatch]) -> bool:
        """Whether batches that were read do not go on from what is known, or contradict it: then the store is asked."""
        if self.log_id != log_id:
            return False
        for stored in found:
            first, last = stored.batch.first_sequence, stored.batch.last_sequence
            if first == self.sequence + 1:
                return chain(self.hash, stored.batch.events) != stored.hash
            if first > self.sequence + 1:
                return True
            if last >= self.sequence:
                return (last, stored.hash) != (self.sequence, self.hash)
        return False

    def read(self, log_id: str, found: Sequence[StoredBatch]) -> None:
        """Batches were read that are durable, and whoever follows the log here may tell of them."""
        newest = found[-1]
        if self.log_id != log_id or newest.batch.last_sequence > self.sequence:
            self.told(log_id, newest.batch.last_sequence, newest.hash)
