"""docs/testing.md tells what is so: its mutants are those that are tested, its tests are there."""

from __future__ import annotations

import ast
import re
from pathlib import Path

from tests.simulation.mutants.finding import all_mutants
from tests.simulation.mutants.table import GUIDE, table, written

ROOT = Path(__file__).resolve().parent.parent
PROMISED = (
    "a_lock_is_granted_twice",
    "a_release_wakes_nobody",
    "a_resume_skips_one_event",
    "a_fence_is_not_checked",
    "a_request_is_forgotten_early",
    "reads_before_the_commit",
    "assigns_to_the_detached",
    "ageing_starves",
    "a_circuit_never_half_opens",
    "the_conflict_window_is_off_by_its_boundary",
)
"""Faults that the simulator has to find, whatever else it does."""


def test_the_table_of_mutants_is_the_one_that_is_tested() -> None:
    """When this fails: python -m tests.simulation.mutants --write."""
    assert written(GUIDE.read_text()) == table()


def test_every_fault_that_has_to_be_found_is_put_in() -> None:
    """tests/simulation/test_mutants.py puts each of the list in, and finds it."""
    assert [name for name in PROMISED if name not in {mutant.name for mutant in all_mutants()}] == []


def test_every_fault_of_the_past_has_its_test() -> None:
    """Which is where the guide says it is."""
    past = GUIDE.read_text().partition("## Faults of the past")[2]
    named = re.findall(r"`(tests/[\w/]+\.py)::(test_\w+)`", past)
    assert len(named) == past.count("\n| ") - 2 >= 20
    missing = [f"{path}::{name}" for path, name in named if name not in _functions(ROOT / path)]
    assert missing == []


def _functions(path: Path) -> set[str]:
    kinds = ast.FunctionDef | ast.AsyncFunctionDef
    return {node.name for node in ast.walk(ast.parse(path.read_text())) if isinstance(node, kinds)}
