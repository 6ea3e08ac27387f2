"""Retention: drops the oldest of a log, a little at a time, when it is older, longer or larger than asked for (D8).

Four things hold it back. A log is never trimmed past the older of its two snapshots (the store sees to that), nor past
what a run in memory or a remembered request refers to. A named subscription holds what it has not acknowledged, but no
more than subscription_hold_events_max of it: one that nobody reads must not fill the disk. And the store drops whole
batches in small transactions, between which appends pass.
"""

from __future__ import annotations

import asyncio
import logging
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass

from coordinator_service.core.values import NS_PER_MS
from coordinator_service.log.base import EventLog, LogEnds, LogError

_log = logging.getLogger(__name__)

MEASURED_EVENTS = 10_000
"""The size of a log is known in steps of so many events."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RetentionLimits:
    """What of a log is kept, for each namespace. 0 is without bound: everything is kept."""

    log_retention_ms: int = 0
    """Events older than this go."""
    log_events_max: int = 0
    """Older events than this many newest go."""
    log_bytes_max: int = 0
    """The oldest go when all are larger together, give or take MEASURED_EVENTS."""
    subscription_hold_events_max: int = 1_000_000
    """What named subscriptions that have not acknowledged may hold beyond that."""
    trim_interval_ms: int = 10_000
    """How often is looked."""

    @property
    def keeps_everything(self) -> bool:
        """Whether there is nothing to do."""
        return not (self.log_retention_ms or self.log_events_max or self.log_bytes_max)


class Retention:
    """Trims one log, as its owner. `needed` says from which sequence on the log is needed, `acknowledged` how far the
    last of its named subscriptions is.
    """

    def __init__(
        self,
        log: EventLog,
        epoch: int,
        limits: RetentionLimits,
        *,
        now_ns: Callable[[], int],
        needed: Callable[[], int],
        acknowledged: Callable[[], int | None],
    ) -> None:
        self._log = log
        self._epoch = epoch
        self._limits = limits
        self._now_ns = now_ns
        self._needed = needed
        self._acknowledged = acknowledged
        self._measured: deque[tuple[int, int]] = deque()
        self._measured_to = 0

    async def follow(self) -> None:
        """Until cancelled."""
        while not self._limits.keeps_everything:
            await asyncio.sleep(self._limits.trim_interval_ms / 1000)
            try:
                await self.trim()
            except LogError as error:
                _log.warning("the log of namespace %s was not trimmed: %s", self._log.namespace, error)

    async def trim(self) -> int:
        """Drops what may go now; the oldest sequence that is kept. Raises LogError."""
        ends = await self._log.ends()
        below = min(await self._unwanted_below(ends), self._needed())
        acknowledged = self._acknowledged()
        if acknowledged is not None:
            below = min(below, max(acknowledged + 1, below - self._limits.subscription_hold_events_max))
        if below <= ends.oldest_sequence:
            return ends.oldest_sequence
        oldest = await self._log.trim(below, self._epoch)
        if oldest > ends.oldest_sequence:
            _log.debug("the log of namespace %s begins at %d now", self._log.namespace, oldest)
        return oldest

    async def _unwanted_below(self, ends: LogEnds) -> int:
        """Retention asks for nothing below this."""
        limits, below = self._limits, ends.oldest_sequence
        if limits.log_retention_ms:
            below = max(below, await self._log.locate(self._now_ns() - limits.log_retention_ms * NS_PER_MS) + 1)
        if limits.log_events_max:
            below = max(below, ends.last_sequence - limits.log_events_max + 1)
        if limits.log_bytes_max:
            below = max(below, await self._too_large_below(ends))
        return below

    async def _too_large_below(self, ends: LogEnds) -> int:
        """What comes from here on has at most log_bytes_max."""
        measured = self._measured
        self._measured_to = max(self._measured_to, ends.oldest_sequence - 1)
        while self._measured_to < ends.last_sequence:
            until = min(self._measured_to + MEASURED_EVENTS, ends.last_sequence)
            measured.append((until, await self._log.measure(self._measured_to, until)))
            self._measured_to = until
        while measured and measured[0][0] < ends.oldest_sequence:
            measured.popleft()
        size = 0
        for until, part in reversed(measured):
            size += part
            if size > self._limits.log_bytes_max:
                return until + 1
        return ends.oldest_sequence
