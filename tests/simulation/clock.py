"""The Clock port over virtual time: its wall time may be off and may jump, and the process may stand still."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

START_NS = 1_700_000_000_000_000_000
"""Wall time at the start of every simulation, before it is put off."""
NS = 1_000_000_000


class VirtualClock:
    """The Clock port over a loop. Wall time may be off and may jump; a stall makes monotonic time jump."""

    def __init__(self, loop: asyncio.AbstractEventLoop, *, wall_off_ns: int = 0) -> None:
        self._loop = loop
        self.wall_off_ns = wall_off_ns
        self._stalled_ns = 0

    def monotonic_ns(self) -> int:
        """Since the loop began."""
        return round(self._loop.time() * NS) + self._stalled_ns

    def wall_ns(self) -> int:
        """Since 1970."""
        return START_NS + self.monotonic_ns() + self.wall_off_ns

    def call_later(self, seconds: float, due: Callable[[], None]) -> asyncio.TimerHandle:
        """By the loop."""
        return self._loop.call_later(seconds, due)

    def stall(self, seconds: float) -> None:
        """The process stood still for so long."""
        self._stalled_ns += round(seconds * NS)
