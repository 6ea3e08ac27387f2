"""Leases: how long sessions and locks stand without a word from their holder (D7).

Leases live in memory, start whole with each owner, and are made whole again by every sign of life. When one ends a
command is submitted, and checked again when it is decided: a renewal received before then wins. A stall of this process
by d extends all of them by d, since nobody could be heard meanwhile.
"""

from __future__ import annotations

import heapq
from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeAlias

from coordinator_service.clock import Clock, Timer
from coordinator_service.core.values import NS_PER_MS, NS_PER_SECOND

LeaseKey: TypeAlias = tuple[str, int]
"""("session", session_id) or ("lock", fencing_token)."""

SWEEP_MS = 100
ORDER_TIDY_MIN = 1000
"""Entries below which nothing is looked for that no longer stands."""
STALL_MS_MIN = 50
"""A sweep that comes this much late means that the process stood still."""


@dataclass(slots=True)
class _Lease:
    duration_ns: int
    ends_at_ns: int


class Leases:
    """Leases by key; expired(key) is called once for each that ended and was not renewed since."""

    def __init__(self, clock: Clock, expired: Callable[[LeaseKey], None]) -> None:
        self._clock = clock
        self._expired = expired
        self._leases: dict[LeaseKey, _Lease] = {}
        self._order: list[tuple[int, LeaseKey]] = []
        self._stalled_ns = 0
        self._sweep_due_ns = 0
        self._timer: Timer | None = None

    def grant(self, key: LeaseKey, duration_ns: int) -> None:
        """Begins a lease, whole."""
        known = key in self._leases
        ends_at_ns = self._now_ns() + duration_ns
        self._leases[key] = _Lease(duration_ns, ends_at_ns)
        if not known:
            heapq.heappush(self._order, (ends_at_ns, key))
            if len(self._order) > ORDER_TIDY_MIN + 2 * len(self._leases):
                self._order = [entry for entry in self._order if entry[1] in self._leases]
                heapq.heapify(self._order)
        if self._timer is None:
            self._schedule()

    def renew(self, key: LeaseKey) -> int:
        """Makes a lease whole again; nanoseconds it now has, 0 when there is none."""
        lease = self._leases.get(key)
        if lease is None:
            return 0
        lease.ends_at_ns = self._now_ns() + lease.duration_ns
        return lease.duration_ns

    def left_ns(self, key: LeaseKey) -> int:
        """Nanoseconds that a lease stands without another sign of life, 0 when there is none."""
        lease = self._leases.get(key)
        return 0 if lease is None else max(0, lease.ends_at_ns - self._now_ns())

    def drop(self, key: LeaseKey) -> None:
        """Ends a lease without a word."""
        self._leases.pop(key, None)

    def is_over(self, key: LeaseKey) -> bool:
        """Whether a lease has ended and was not renewed."""
        lease = self._leases.get(key)
        return lease is not None and lease.ends_at_ns <= self._now_ns()

    def close(self) -> None:
        """Stops watching."""
        if self._timer is not None:
            self._timer.cancel()
        self._timer = None
        self._leases.clear()

    def _now_ns(self) -> int:
        """Monotonic time less the time that this process stood still."""
        return self._clock.monotonic_ns() - self._stalled_ns

    def _schedule(self) -> None:
        self._sweep_due_ns = self._clock.monotonic_ns() + SWEEP_MS * NS_PER_MS
        self._timer = self._clock.call_later(SWEEP_MS * NS_PER_MS / NS_PER_SECOND, self._sweep)

    def _sweep(self) -> None:
        late_ns = self._clock.monotonic_ns() - self._sweep_due_ns
        if late_ns > STALL_MS_MIN * NS_PER_MS:
            self._stalled_ns += late_ns
        now_ns = self._now_ns()
        while self._order and self._order[0][0] <= now_ns:
            _, key = heapq.heappop(self._order)
            lease = self._leases.get(key)
            if lease is None:
                continue
            if lease.ends_at_ns > now_ns:
                heapq.heappush(self._order, (lease.ends_at_ns, key))
            else:
                # Kept until the decision: a renewal until then wins. Looked at again, should the command come to
                # nothing.
                heapq.heappush(self._order, (now_ns + lease.duration_ns, key))
                self._expired(key)
        if self._leases:
            self._schedule()
        else:
            self._order.clear()
            self._timer = None
