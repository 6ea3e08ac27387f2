"""The simulator finds what it is there to find: each fault put in on purpose breaks one of the first seeds."""

from __future__ import annotations

import pytest

from tests.simulation.mutants.finding import MUTANTS, find


@pytest.mark.timeout(3000)
@pytest.mark.parametrize("name", MUTANTS)
def test_a_fault_put_in_on_purpose_is_found(name: str) -> None:
    """A simulator that finds nothing has to be shown to find something."""
    found = find(MUTANTS[name])
    print(f"{name}: {found}")
