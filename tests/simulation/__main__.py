"""python -m tests.simulation: runs seeds, and says how to replay one that breaks."""

from __future__ import annotations

import argparse
import sys
import time

from tests.simulation.runner import Tally, cores, run
from tests.simulation.simulation import Broken, simulate


def main() -> int:
    """Returns 1 at the first seed that breaks something."""
    parser = argparse.ArgumentParser(prog="python -m tests.simulation", description=__doc__)
    parser.add_argument("--seed", type=int, help="replay this one, and tell all that happened in it")
    parser.add_argument("--seeds", type=int, default=100, help="how many to run")
    parser.add_argument("--start", default="0", help='the first of them, or "random" for one that the clock chooses')
    parser.add_argument("--processes", type=int, default=cores(), help="how many at once")
    asked = parser.parse_args()
    if asked.seed is not None:
        return _replay(asked.seed)
    start = time.time_ns() // 1_000_000 if asked.start == "random" else int(asked.start)
    return _run(range(start, start + asked.seeds), asked.processes)


def _replay(seed: int) -> int:
    try:
        outcome = simulate(seed)
    except Broken as broken:
        print(broken, file=sys.stderr)
        return 1
    print(*outcome.notes, sep="\n")
    print(f"log {outcome.digest}")
    print(f"{outcome.events} events, {outcome.decisions} decisions, {outcome.crashes} crashes")
    return 0


def _run(seeds: range, processes: int) -> int:
    def progress(tally: Tally) -> None:
        left = (len(seeds) - tally.seeds) * tally.seconds / tally.seeds
        print(
            f"{tally.seeds} of {len(seeds)}, {tally.seeds / tally.seconds:.1f} a second, {left:.0f} s left", flush=True
        )

    tally = run(seeds, processes, progress)
    if tally.failure is not None:
        print(tally.failure.story, file=sys.stderr)
        return 1
    print(f"seeds {seeds.start}..{seeds.stop - 1}: {tally}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
