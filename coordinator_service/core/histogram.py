"""Histograms of time: fixed buckets, as Prometheus has them, so that a quantile of any mixture can be told.

Why buckets and not a sketch (DDSketch, t-digest): adding is an integer increment and joining two is addition, so a fold
gives the same bytes on any machine, which logarithms and floats do not promise (D1, D9); they are what the metrics page
shows as they stand; and their size is bounded by their number. The price is known beforehand: a quantile lies in the
bucket it is told from, and neighbouring bounds are at most two thirds apart.
"""

from __future__ import annotations

from bisect import bisect_left
from dataclasses import field
from typing import Final

from coordinator_service.core.values import row

_MANTISSAS = (10, 15, 20, 30, 50, 70)
_DECADES = 8
BOUNDS_NS: Final[tuple[int, ...]] = (
    *(mantissa * 10_000 * 10**decade for decade in range(_DECADES) for mantissa in _MANTISSAS),
    10_000 * 10 ** (_DECADES + 1),
)
"""Upper bounds of the buckets, each included: 0.1 ms to 10 000 s. What is longer lies in one more bucket."""


@row
class Histogram:
    """How often something took how long. buckets counts by index into BOUNDS_NS, without those that are empty."""

    count: int = 0
    sum_ns: int = 0
    max_ns: int = 0
    buckets: dict[int, int] = field(default_factory=dict)

    def add(self, time_ns: int) -> None:
        """It took this long once more."""
        self.count += 1
        self.sum_ns += time_ns
        if time_ns > self.max_ns:
            self.max_ns = time_ns
        bucket = bisect_left(BOUNDS_NS, time_ns)
        self.buckets[bucket] = self.buckets.get(bucket, 0) + 1

    def join(self, other: Histogram) -> None:
        """Takes up all that another counted."""
        self.count += other.count
        self.sum_ns += other.sum_ns
        self.max_ns = max(self.max_ns, other.max_ns)
        for bucket, count in other.buckets.items():
            self.buckets[bucket] = self.buckets.get(bucket, 0) + count

    @property
    def mean_ns(self) -> int | None:
        """The mean; None when nothing was counted."""
        return self.sum_ns // self.count if self.count else None

    def quantile_ns(self, quantile: float) -> int | None:
        """The time within which that share (0 to 1) stayed, evenly spread within its bucket; None when empty."""
        if not self.count:
            return None
        rank = quantile * self.count
        below = 0
        for bucket in sorted(self.buckets):
            count = self.buckets[bucket]
            if below + count >= rank:
                lower = BOUNDS_NS[bucket - 1] if bucket else 0
                upper = min(BOUNDS_NS[bucket], self.max_ns) if bucket < len(BOUNDS_NS) else self.max_ns
                return min(lower + int((upper - lower) * (rank - below) / count), self.max_ns)
            below += count
        return self.max_ns
