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
        self._folded = NamespaceState(namespace)

    def landed(self, batch: Batch, epoch: int) -> None:
        """A batch is on the disk. Raises InvariantBroken for one that must not be (5, 12)."""
        if batch.first_sequence != self.end + 1:
            raise InvariantBroken(f"5: a batch from {batch.first_sequence} landed after {self.end}")
        if epoch < self._epoch:
            raise InvariantBroken(f"12: epoch {epoch} wrote at {batch.first_sequence}, after {self._epoch} had")
        self._epoch = epoch
        self.end = batch.last_sequence
        self._undecoded.append(batch)

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
        fenced before it began may have read less."""
        base = started[0].sequence - 1
        if base < self.end and epoch >= self._epoch:
            raise InvariantBroken(f"7: epoch {epoch} recovered up to {base}, the log ends at {self.end}")
        if base < self._folded.sequence:
            return
        for event in self.events[self._folded.sequence : base]:
            apply(self._folded, event)
        expected = restored(self._namespace, decode_tables(encode_tables(self._folded.tables())))
        for event in started:
            apply(expected, event)
        require_same(state.tables(), expected.tables(), f"recovered at {state.sequence}, and what the log folds to")

    def _decode(self) -> None:
        for batch in self._undecoded:
            for encoded in split(batch.events):
                self._encoded.append(encoded)
                self._events.append(decode_event(encoded))
        self._undecoded.clear()
