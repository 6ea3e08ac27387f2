"""A coordinator whose wall clock is off: `python -m clients.conformance.skewed_coordinator SECONDS [options]`."""

from __future__ import annotations

import runpy
import sys
import time

from coordinator_service.clock import SystemClock


def main() -> None:
    """Moves the wall clock and starts the coordinator as it is."""
    ahead_ns = int(float(sys.argv.pop(1)) * 1e9)

    def wall_ns(_self: SystemClock) -> int:
        return time.time_ns() + ahead_ns

    SystemClock.wall_ns = wall_ns  # type: ignore[method-assign,assignment]
    runpy.run_module("coordinator_service", run_name="__main__", alter_sys=True)


main()
