"""Two hundred worlds, each from its seed; CI plays two thousand more. Many of them: `make sim N=100000`."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

from tests.simulation.runner import Tally, cores, results
from tests.simulation.simulation import Outcome, simulate
from tests.simulation.swarm import CLUSTER_TROUBLES, FEATURES, SIZES, TROUBLES, swarm_of_seed

SEEDS = 200

pytestmark = pytest.mark.xdist_group("worlds")


@pytest.fixture(scope="module")
def outcomes() -> list[Outcome]:
    """Of the first seeds."""
    found = []
    for each in results(range(SEEDS), cores()):
        assert isinstance(each, Outcome), each.story
        found.append(each)
    return found


def test_every_invariant_holds_whatever_goes_wrong(outcomes: list[Outcome]) -> None:
    """D1 to D8, E2, E4, A4, A5, R8, L2, L5 to L8, S3 to S7 and invariants 1 to 12: through crashes between any two
    steps, a disk that fails or is full, clocks an hour off, lost, late and repeated words, replicas that stand still,
    leave, or reach neither each other nor the store; after every decision, and over the whole log and all that was said
    at the end."""
    tally = Tally()
    for each in outcomes:
        tally.add(each)
    assert tally.seeds == SEEDS
    assert set(tally.sizes) == set(SIZES) - {"large"}  # of which there are two in a thousand
    for trouble in ("append_fails_before", "append_fails_after", "disk_full", "read_fails", "crash_on_answer"):
        assert tally.troubles[trouble]


def test_the_same_seed_gives_the_same_log_twice() -> None:
    """D1: in one process, one world after another."""
    assert simulate(3).digest == simulate(3).digest != simulate(4).digest


def test_the_same_seed_gives_the_same_log_in_another_process() -> None:
    """D1: no order comes from a hash, an address or the machine's clock."""
    said = [_run_seed(7, hash_seed) for hash_seed in ("1", "2")]
    assert said[0] == said[1]
    assert f"log {simulate(7).digest}" in said[0]


def test_a_seed_with_replicas_gives_the_same_log_in_another_process() -> None:
    """D1: nor does it matter how a cluster calls itself, or what its handshakes say."""
    seed = next(seed for seed in range(100) if swarm_of_seed(seed).replicas == 3)
    assert f"log {simulate(seed).digest}" in _run_seed(seed, "1")


def test_worlds_differ_enough_to_be_worth_it(outcomes: list[Outcome]) -> None:
    """Between them the first seeds know everything there is to know, and see whatever can befall a coordinator."""
    said = "\n".join(note for outcome in outcomes for note in outcome.notes)
    worlds = "\n".join(outcome.notes[0] for outcome in outcomes)
    assert [feature for feature in FEATURES if feature not in worlds] == []
    assert [trouble for trouble in (*TROUBLES, *CLUSTER_TROUBLES) if trouble not in worlds] == []
    assert sum(outcome.crashes for outcome in outcomes) >= 10
    for note in (
        "crash: chaos",
        "crash: while answering",
        "crash: after deciding",
        "it goes on as a zombie",
        "the disk failed",
        "no space left",
        "the disk has room again",
        "the log begins at",
        "is spoiled",
        "a stall",
        "the wall clock jumps by -3600",
        "a copy of long ago arrives",
        ": overlap",
        ": silent",
        ": paused",
        ": restart",
        "stands still",
        "goes on after",
        "leaves",
        "is cut off from the store",
        "do not reach each other",
    ):
        assert note in said, note


def _run_seed(seed: int, hash_seed: str) -> str:
    command = [sys.executable, "-m", "tests.simulation", "--seed", str(seed)]
    run = subprocess.run(
        command, env={**os.environ, "PYTHONHASHSEED": hash_seed}, capture_output=True, text=True, check=True
    )
    return run.stdout
