"""`python -m tests.fuzz`: many cases from a seed, and a file for whatever fails, which replays it."""

from __future__ import annotations

import argparse
import secrets
import sys
import time
from pathlib import Path

from tests.fuzz.runner import Plan, replay, run
from tests.fuzz.surface import WORLDS
from tests.fuzz.targets import TARGETS

FAILURES = Path("build/fuzz")


def main() -> int:
    """Returns 0 when nothing failed, 1 when something did, 2 for arguments that are none."""
    given = _parser().parse_args()
    if given.replay is not None:
        return replay(given.replay)
    seed = given.seed if given.seed is not None else secrets.randbelow(2**32)
    until = None if given.minutes is None else time.monotonic() + given.minutes * 60
    print(f"seed {seed}", flush=True)
    return run(Plan(seed=seed, cases=given.n, until=until, only=tuple(given.target), failures=FAILURES))


def _parser() -> argparse.ArgumentParser:
    names = [each.name for each in TARGETS] + list(WORLDS)
    parser = argparse.ArgumentParser(prog="python -m tests.fuzz", description=__doc__, allow_abbrev=False)
    parser.add_argument("--n", type=int, default=10_000, help="cases of each target (10000); of surfaces, messages")
    parser.add_argument("--minutes", type=float, help="go on, in rounds of N, until so much time is over")
    parser.add_argument("--seed", type=int, help="the first; else one at random, which is printed")
    parser.add_argument("--target", action="append", default=[], choices=names, help="only this one; may be repeated")
    parser.add_argument("--replay", type=Path, metavar="FILE", help="a failure that was kept")
    return parser


if __name__ == "__main__":
    sys.exit(main())
