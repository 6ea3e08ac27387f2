"""How long a store took to make batches durable, counted where it happens and read by whoever wants to show it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Protocol

from coordinator_service.core.histogram import Histogram
from coordinator_service.log.base import Batch


class _Append(Protocol):
    @property
    def batch(self) -> Batch: ...

    @property
    def asked_ns(self) -> int: ...


@dataclass(slots=True)
class LogTimings:
    """Since the process began. Written by one thread, read by another: a reader may miss what is being added."""

    appends: Histogram = field(default_factory=Histogram)
    """From when a batch was given to the store until it was durable."""
    commits: Histogram = field(default_factory=Histogram)
    """The transaction itself: writing and fsync, of whatever waited."""
    batches: Counter[int] = field(default_factory=Counter)
    """How many batches had so many events, by the bit length of that number."""
    events: int = 0
    errors: int = 0
    """Transactions that failed."""

    def committed(self, began_ns: int, ended_ns: int, appends: Sequence[_Append]) -> None:
        """A transaction is durable."""
        self.commits.add(ended_ns - began_ns)
        for append in appends:
            batch = append.batch
            count = batch.last_sequence - batch.first_sequence + 1
            self.appends.add(ended_ns - append.asked_ns)
            self.batches[count.bit_length()] += 1
            self.events += count
