"""Time behind a port: the shell never asks the operating system, so that a simulator can let hours pass in a moment."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from typing import Protocol


class Timer(Protocol):
    """A call that is due some time."""

    def cancel(self) -> None:
        """Takes it back."""


class Clock(Protocol):
    """Two readings of time, in nanoseconds, and a call when time has passed."""

    def wall_ns(self) -> int:
        """Since 1970-01-01T00:00Z. May jump."""

    def monotonic_ns(self) -> int:
        """Since some moment. Never backwards."""

    def call_later(self, seconds: float, due: Callable[[], None]) -> Timer:
        """Has `due` called on the running loop when that much monotonic time has passed."""


class SystemClock:
    """The operating system's."""

    def wall_ns(self) -> int:
        """Since 1970-01-01T00:00Z."""
        return time.time_ns()

    def monotonic_ns(self) -> int:
        """Since some moment."""
        return time.monotonic_ns()

    def call_later(self, seconds: float, due: Callable[[], None]) -> Timer:
        """By the running loop."""
        return asyncio.get_running_loop().call_later(seconds, due)


class NamespaceClock:
    """Namespace time (D2): the last event's time plus monotonic time elapsed, slewed towards the wall clock.

    Never backwards, never frozen. `start` alone may step it forward. While it differs from the wall clock it runs up to
    10 % faster or slower, as clock disciplines do (RFC 5905 slews likewise), so that a deadline is never far from what
    was meant.
    """

    SLEW = 10
    """One part in this many."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._time_ns = 0
        self._read_at_ns = clock.monotonic_ns()

    def start(self, last_event_ns: int) -> int:
        """Begins after an event, stepping forward to the wall clock if that is ahead."""
        self._time_ns = max(last_event_ns + 1, self._clock.wall_ns())
        self._read_at_ns = self._clock.monotonic_ns()
        return self._time_ns

    def now_ns(self) -> int:
        """Namespace time now."""
        monotonic_ns = self._clock.monotonic_ns()
        elapsed_ns = monotonic_ns - self._read_at_ns
        if elapsed_ns > 0:
            behind_ns = self._clock.wall_ns() - (self._time_ns + elapsed_ns)
            slew_ns = elapsed_ns // self.SLEW
            self._time_ns += elapsed_ns + max(-slew_ns, min(slew_ns, behind_ns))
            self._read_at_ns = monotonic_ns
        return self._time_ns

    def call_later(self, seconds: float, due: Callable[[], None]) -> Timer:
        """Has `due` called in so many seconds, give or take the slew."""
        return self._clock.call_later(seconds, due)
