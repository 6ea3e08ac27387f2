"""What a mutant is."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeAlias

import pytest

Apply: TypeAlias = Callable[[pytest.MonkeyPatch], None]


@dataclass(frozen=True, slots=True)
class Mutant:
    """A fault. checks: how the finding may begin; several where it is a matter of chance what shows first."""

    name: str
    broken: str
    checks: tuple[str, ...]
    apply: Apply
    replicas: bool
    """It shows only where there are several, and is looked for there; others are where there is one coordinator."""
    first_seed: int = 0
    """Earlier worlds are known not to show it: it takes two rare things at once."""


MUTANTS: dict[str, Mutant] = {}


def mutant(broken: str, *checks: str, replicas: bool = False, first_seed: int = 0) -> Callable[[Apply], Apply]:
    """Lists a function that puts a fault in. broken says which, in words for the table."""

    def listed(apply: Apply) -> Apply:
        MUTANTS[apply.__name__] = Mutant(apply.__name__, broken, checks, apply, replicas, first_seed)
        return apply

    return listed
