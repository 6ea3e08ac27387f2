"""A few hundred worlds, each from its seed. More of them: `make sim N=10000`."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

from tests.simulation.simulation import simulate

SEEDS = 200
CHUNK = 20


@pytest.mark.parametrize("start", range(0, SEEDS, CHUNK))
def test_every_invariant_holds_whatever_goes_wrong(start: int) -> None:
    """D3 to D7, E2, A4, A5, L2, L8 and invariants 1 to 12: through crashes, faults and lost words, after every decision
    and over the whole log at the end."""
    events = crashes = 0
    for seed in range(start, start + CHUNK):
        outcome = simulate(seed)
        events += outcome.events
        crashes += outcome.crashes
    print(f"seeds {start}..{start + CHUNK - 1}: {events} events, {crashes} crashes")
    assert events > 0


def test_the_same_seed_gives_the_same_log_twice() -> None:
    """D1: in one process, one world after another."""
    assert simulate(3).digest == simulate(3).digest != simulate(4).digest


def test_the_same_seed_gives_the_same_log_in_another_process() -> None:
    """D1: no order comes from a hash, an address or the machine's clock."""
    said = [_run_seed(7, hash_seed) for hash_seed in ("1", "2")]
    assert said[0] == said[1]
    assert f"log {simulate(7).digest}" in said[0]


def test_worlds_differ_enough_to_be_worth_it() -> None:
    """Between them the first seeds see crashes, restarts, faults of the disk and lost replies."""
    outcomes = [simulate(seed) for seed in range(12)]
    said = "\n".join(note for outcome in outcomes for note in outcome.notes)
    assert sum(outcome.crashes for outcome in outcomes) >= 5
    for trouble in ("crash: while answering", "the disk failed", "overlap", "silent", "restart", "a stall", "jumps"):
        assert trouble in said


def _run_seed(seed: int, hash_seed: str) -> str:
    command = [sys.executable, "-m", "tests.simulation", "--seed", str(seed)]
    run = subprocess.run(
        command, env={**os.environ, "PYTHONHASHSEED": hash_seed}, capture_output=True, text=True, check=True
    )
    return run.stdout.rsplit("\n", 2)[0]
