"""A coordinator whose wall clock is off: `python -m clients.conformance.skewed_coordinator SECONDS [options]`. With
each SIGUSR1 another hour has passed on it, and whatever expires by it does so at once.
"""

from __future__ import annotations

import runpy
import signal
import sys
import time

from coordinator_service.clock import SystemClock
from coordinator_service.security import gate

_HOUR_NS = 3_600_000_000_000
_LOOK_SECONDS = 0.1


def main() -> None:
    """Moves the wall clock and starts the coordinator as it is."""
    ahead_ns = int(float(sys.argv.pop(1)) * 1e9)

    def wall_ns(_self: SystemClock) -> int:
        return time.time_ns() + ahead_ns

    def an_hour_passes(*_: object) -> None:
        nonlocal ahead_ns
        ahead_ns += _HOUR_NS

    SystemClock.wall_ns = wall_ns  # type: ignore[method-assign,assignment]
    gate._TIMER_SECONDS_MAX = _LOOK_SECONDS  # type: ignore[misc]
    signal.signal(signal.SIGUSR1, an_hour_passes)
    runpy.run_module("coordinator_service", run_name="__main__", alter_sys=True)


main()
