"""python -m tests.simulation [--seed N | --seeds COUNT --start N]: runs seeds, says how to replay one that breaks."""

from __future__ import annotations

import argparse
import sys
import time

from tests.simulation.simulation import Broken, simulate


def main() -> int:
    """Returns 1 at the first seed that breaks something."""
    parser = argparse.ArgumentParser(prog="python -m tests.simulation", description=__doc__)
    parser.add_argument("--seed", type=int, help="replay this one, and say what happened in it")
    parser.add_argument("--seeds", type=int, default=100, help="how many to run")
    parser.add_argument("--start", type=int, default=0, help="the first of them")
    asked = parser.parse_args()
    if asked.seed is not None:
        return _run([asked.seed], say_all=True)
    return _run(list(range(asked.start, asked.start + asked.seeds)), say_all=False)


def _run(seeds: list[int], *, say_all: bool) -> int:
    began = time.perf_counter()
    events = decisions = crashes = 0
    for seed in seeds:
        try:
            outcome = simulate(seed)
        except Broken as broken:
            print(broken, file=sys.stderr)
            if say_all:
                raise
            return 1
        events += outcome.events
        decisions += outcome.decisions
        crashes += outcome.crashes
        if say_all:
            print(*outcome.notes, sep="\n")
            print(f"log {outcome.digest}")
    seconds = time.perf_counter() - began
    print(f"seeds {seeds[0]}..{seeds[-1]}: {events} events, {decisions} decisions, {crashes} crashes, {seconds:.1f} s")
    return 0


if __name__ == "__main__":
    sys.exit(main())
