"""python -m tests.chaos: plays scenarios, and says how to play one again that breaks."""

from __future__ import annotations

import argparse
import asyncio
import secrets
import sys
from collections.abc import Iterator

from tests.chaos.scenario import STORES, Failed, play

SEEDS_MAX = 2**31


def seeds(count: int, first: int | None = None) -> Iterator[int]:
    """So many that follow on one another, from one that is chosen at random unless it is given."""
    start = secrets.randbelow(SEEDS_MAX) if first is None else first
    return iter(range(start, start + count))


def main() -> int:
    """Returns 1 when something does not hold."""
    parser = argparse.ArgumentParser(prog="python -m tests.chaos", description=__doc__)
    parser.add_argument("--seeds", type=int, default=5, help="how many scenarios")
    parser.add_argument("--seed", type=int, help="of the first one; the others follow it (chosen at random)")
    parser.add_argument("--store", choices=STORES, help="only with this one (in turns)")
    asked = parser.parse_args()
    broken = 0
    for number, seed in enumerate(seeds(asked.seeds, asked.seed)):
        store = asked.store or list(STORES)[number % len(STORES)]
        try:
            print(asyncio.run(play(seed, store)), flush=True)
        except Failed as failed:
            print(failed, file=sys.stderr, flush=True)
            broken += 1
    print(f"{asked.seeds - broken} of {asked.seeds} hold")
    return 1 if broken else 0


if __name__ == "__main__":
    sys.exit(main())
