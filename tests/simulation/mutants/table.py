"""The table of mutants in docs/testing.md, as this list of them makes it."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

from tests.simulation.mutants.finding import SEEDS_MAX, all_mutants
from tests.simulation.mutants.mutant import Mutant

GUIDE = Path(__file__).resolve().parents[3] / "docs" / "testing.md"
BEGIN, END = "<!-- mutants: written by python -m tests.simulation.mutants -->\n", "<!-- end of mutants -->"


def table() -> str:
    """The rows, and how many worlds each is given."""
    return "\n".join(_lines()) + "\n"


def written(guide: str) -> str:
    """The table as a guide has it. Raises ValueError where it has none."""
    _, rest = guide.split(BEGIN)
    return rest.split(END)[0]


def rewritten(guide: str) -> str:
    """The guide with the table as it is."""
    return guide.replace(BEGIN + written(guide), BEGIN + table())


def _lines() -> Iterator[str]:
    mutants = all_mutants()
    yield f"{len(mutants)} faults, each found within the first {SEEDS_MAX} worlds, by one of the checks that are named."
    yield ""
    yield "| fault put in | layer | found by |"
    yield "| --- | --- | --- |"
    for mutant in mutants:
        layer = mutant.apply.__module__.rpartition(".")[2]
        yield f"| `{mutant.name}`: {mutant.broken} | {layer} | {_checks(mutant)} |"


def _checks(mutant: Mutant) -> str:
    rules = [check for check in mutant.checks if re.fullmatch(r"[A-Z]\d+", check)]
    invariants = sorted(int(check) for check in mutant.checks if check.isdecimal())
    faults = [check for check in mutant.checks if not check.isdecimal() and check not in rules]
    said = [*rules, *(f"invariant {number}" for number in invariants), *(f"`{fault}`" for fault in faults)]
    return ", ".join(said)
