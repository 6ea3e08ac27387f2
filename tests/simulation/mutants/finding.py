"""Finding mutants: how many seeds it takes."""

from __future__ import annotations

from dataclasses import dataclass

import pytest

from tests.simulation.mutants import cluster, core, shell  # noqa: F401 (they list themselves)
from tests.simulation.mutants.mutant import MUTANTS, Mutant
from tests.simulation.simulation import Broken, simulate
from tests.simulation.swarm import swarm_of_seed

SEEDS_MAX = 2000


@dataclass(frozen=True, slots=True)
class Finding:
    """The first seed that a mutant breaks, and the check that said so."""

    seeds: int
    check: str
    what: str


class Unnoticed(AssertionError):  # noqa: N818 (it says what happened)
    """No seed found it, or another check than those that should."""


def find(mutant: Mutant, seeds_max: int = SEEDS_MAX) -> Finding:
    """Runs seeds from 0 with a fault put in until one breaks. Raises Unnoticed."""
    with pytest.MonkeyPatch.context() as patch:
        mutant.apply(patch)
        for seed in range(mutant.first_seed, seeds_max):
            if mutant.replicas and not swarm_of_seed(seed).replicas:
                continue
            try:
                simulate(seed, alone=not mutant.replicas)
            except Broken as broken:
                if broken.check not in mutant.checks:
                    raise Unnoticed(f"{mutant.name} is found by {broken.check}: {broken.what}") from None
                return Finding(seed + 1, broken.check, broken.what)
    raise Unnoticed(f"{mutant.name} went unnoticed by seeds 0 to {seeds_max - 1}")


def all_mutants() -> list[Mutant]:
    """In the order in which they are written."""
    return list(MUTANTS.values())
