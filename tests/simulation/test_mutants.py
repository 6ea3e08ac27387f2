"""The simulator finds what it is there to find: each fault put in on purpose breaks one of the first seeds."""

from __future__ import annotations

import inspect

import pytest

from tests.simulation import mutants
from tests.simulation.simulation import Broken, simulate

SEEDS_MAX = 30
MUTANTS = [
    mutant for mutant in vars(mutants).values() if inspect.isfunction(mutant) and mutant.__module__ == mutants.__name__
]


@pytest.mark.parametrize("mutant", MUTANTS, ids=lambda mutant: mutant.__name__)
def test_a_fault_put_in_on_purpose_is_found(mutant: mutants.Mutant, monkeypatch: pytest.MonkeyPatch) -> None:
    """A simulator that finds nothing has to be shown to find something."""
    mutant(monkeypatch)
    for seed in range(SEEDS_MAX):
        try:
            simulate(seed)
        except Broken as found:
            print(f"{mutant.__name__} is found by {str(found).splitlines()[0]}")
            return
    pytest.fail(f"{mutant.__name__} went unnoticed by seeds 0 to {SEEDS_MAX - 1}")
