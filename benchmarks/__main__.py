"""Runs the benchmarks, or only some with --only. Exits with 1 when a median is below its floor."""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Callable
from pathlib import Path

from benchmarks import (
    blog,
    cluster,
    core_decisions,
    fan_out,
    footprint,
    history,
    idle_agents,
    makespan,
    page,
    publish_batches,
    report,
    security,
    session_decisions,
    task_overhead,
    telemetry,
    unary_decisions,
)
from benchmarks.figure import Figure
from benchmarks.loops import LOOP_DEFAULT, LOOPS
from benchmarks.settings import Settings

BENCHMARKS: dict[str, Callable[[Settings], list[Figure]]] = {
    "core": core_decisions.measure,
    "session": session_decisions.measure,
    "unary": unary_decisions.measure,
    "batches": publish_batches.measure,
    "fan-out": fan_out.measure,
    "overhead": task_overhead.measure,
    "makespan": makespan.measure,
    "blog": blog.measure,
    "history": history.measure,
    "footprint": footprint.measure,
    "idle": idle_agents.measure,
    "page": page.measure,
    "telemetry": telemetry.measure,
    "security": security.measure,
    "cluster": cluster.measure,
}


def main() -> int:
    """The entry point."""
    arguments = _arguments()
    settings = Settings(
        rounds=arguments.rounds,
        seconds=arguments.seconds,
        loop=arguments.loop,
        history_events=arguments.history_events,
    )
    began = time.monotonic()
    figures: list[Figure] = []
    for name in arguments.only or BENCHMARKS:
        print(f"{time.monotonic() - began:5.0f} s  {name} ...", file=sys.stderr, flush=True)
        figures += BENCHMARKS[name](settings)
    report.show(figures)
    print(f"All rounds: {report.write(figures, settings, arguments.json)}", file=sys.stderr)
    below = [figure.name for figure in figures if figure.verdict == "below"]
    if below:
        print(f"Below the floor: {', '.join(below)}", file=sys.stderr)
    return 1 if below else 0


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument("--rounds", type=int, default=5, help="of each benchmark: its ceiling, then Concert (5)")
    parser.add_argument("--seconds", type=float, default=2.0, help="of each measurement, without its warm-up (2)")
    parser.add_argument("--only", action="append", choices=list(BENCHMARKS), metavar="NAME", help=", ".join(BENCHMARKS))
    parser.add_argument(
        "--history-events", type=int, default=200_000, metavar="N", help="of the long past in `history` (200000)"
    )
    parser.add_argument("--loop", choices=LOOPS, default=LOOP_DEFAULT, help=f"of every process ({LOOP_DEFAULT})")
    parser.add_argument("--json", type=Path, metavar="PATH", help="where the record goes (benchmarks/results/)")
    return parser.parse_args()


if __name__ == "__main__":
    sys.exit(main())
