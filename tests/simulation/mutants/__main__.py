"""python -m tests.simulation.mutants: says how many seeds each mutant takes, or writes the table of docs/testing.md."""

from __future__ import annotations

import argparse
import sys

from tests.simulation.mutants.finding import Unnoticed, all_mutants, find
from tests.simulation.mutants.table import GUIDE, rewritten


def main() -> int:
    """Returns 1 when one goes unnoticed."""
    parser = argparse.ArgumentParser(prog="python -m tests.simulation.mutants", description=__doc__)
    parser.add_argument("names", nargs="*", help="only these")
    parser.add_argument("--write", action="store_true", help="write the table, and run nothing")
    asked = parser.parse_args()
    if asked.write:
        GUIDE.write_text(rewritten(GUIDE.read_text()))
        return 0
    unnoticed = 0
    for mutant in all_mutants():
        if asked.names and mutant.name not in asked.names:
            continue
        try:
            found = find(mutant)
        except Unnoticed as missed:
            unnoticed += 1
            print(missed)
        else:
            print(f"{mutant.name}: {found.seeds} seeds, {found.what}", flush=True)
    return 1 if unnoticed else 0


if __name__ == "__main__":
    sys.exit(main())
