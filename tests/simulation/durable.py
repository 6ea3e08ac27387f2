"""Everything that was ever durable, kept by a witness beside the disk: what is trimmed, lost or spoiled there is still
known here, and so is who wrote it.
"""

from __future__ import annotations

from coordinator_service.core.apply import apply
from coordinator_service.core.events import Event
from coordinator_service.core.fold import restored
from coordinator_service.core.invariants import InvariantBroken
from coordinator_service.core.state import NamespaceState
from coordinator_service.log.base import Batch
from coordinator_service.log.codec import decode_event, split
from coordinator_service.snapshots import decode_tables, encode_tables
from tests.judging.compare import require_same


class Durable:
    """The log as it landed, batch by batch."""

    def __init__(self, namespace: str) -> None:
        self._namespace = namespace
        self.end = 0
        self._undecoded: list[Batch] = []
        self._encoded: list[bytes] = []
        self._events: list[Event] = []
        self._epoch = 0
        self._claimed = 0
        self._folded = NamespaceState(namespace)
        self._skipped = 0
        """By so much the sequences of what was decoded are further than their places: a log went on as another one."""
        self.ever: set[bytes] = set()
        """What was durable and is lost or is still there, once anything was lost."""
        self.highest = 0
        """The highest sequence that was ever durable."""

    def landed(self, batch: Batch, epoch: int) -> None:
        """A batch is on the disk. Raises InvariantBroken for one that must not be (5, 12)."""
        if batch.first_sequence != self.end + 1:
            raise InvariantBroken(f"5: a batch from {batch.first_sequence} landed after {self.end}")
        if epoch < self._epoch:
            raise InvariantBroken(f"12: epoch {epoch} wrote at {batch.first_sequence}, after {self._epoch} had")
        if epoch < self._claimed:
            raise InvariantBroken(
                f"12: epoch {epoch} wrote at {batch.first_sequence}, after {self._claimed} was claimed"
            )
        self._epoch = epoch
        self.end = batch.last_sequence
        self.highest = max(self.highest, self.end)
        self._undecoded.append(batch)

    def claimed(self, epoch: int) -> None:
        """From here on no earlier epoch may write."""
        self._claimed = max(self._claimed, epoch)

    def revert(self, end: int, epoch: int) -> None:
        """What came after a sequence is no longer there; that epoch is the last one that the disk knows."""
        self._decode()
        self.ever.update(self._encoded)
        del self._encoded[end:], self._events[end:]
        self.end, self._epoch, self._claimed = end, epoch, epoch
        if self._folded.sequence > end:
            self._folded = NamespaceState(self._namespace)

    def rebase(self, after: int) -> None:
        """What is left goes on as another log."""
        self.ever.update(self.encoded)
        self._fold_to(self.end)
        self._skipped = after - self.end
        self._folded.sequence = self.end = self.highest = after

    def folded(self) -> NamespaceState:
        """The state at the end, from the log alone."""
        self._fold_to(self.end)
        return self._folded

    @property
    def events(self) -> list[Event]:
        """Every event, from the first."""
        self._decode()
        return self._events

    @property
    def encoded(self) -> list[bytes]:
        """The same as bytes."""
        self._decode()
        return self._encoded

    def check_recovered(self, state: NamespaceState, started: list[Event], epoch: int) -> None:
        """Invariant 7: what an owner recovered, perhaps from a snapshot, and then began with, is what the whole log
        folds to. The same fold, put down and taken up, is what it was. Where others may claim the log, one who was
        fenced before it began may have read less; one who read what was lost since has its append refused."""
        base = started[0].sequence - 1
        if base > self.highest:
            raise InvariantBroken(f"7: epoch {epoch} recovered up to {base}, the log never went beyond {self.highest}")
        if base > self.end:
            return
        if base < self.end and epoch >= self._epoch:
            raise InvariantBroken(f"7: epoch {epoch} recovered up to {base}, the log ends at {self.end}")
        if base < self._folded.sequence:
            return
        self._fold_to(base)
        expected = restored(self._namespace, decode_tables(encode_tables(self._folded.tables())))
        for event in started:
            apply(expected, event)
        require_same(state.tables(), expected.tables(), f"recovered at {state.sequence}, and what the log folds to")

    def _fold_to(self, sequence: int) -> None:
        for event in self.events[self._folded.sequence - self._skipped : sequence - self._skipped]:
            apply(self._folded, event)

    def _decode(self) -> None:
        for batch in self._undecoded:
            for encoded in split(batch.events):
                self._encoded.append(encoded)
                self._events.append(decode_event(encoded))
        self._undecoded.clear()
