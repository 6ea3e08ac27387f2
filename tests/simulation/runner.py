"""Many seeds, in as many processes as there are cores."""

from __future__ import annotations

import gc
import multiprocessing
import os
import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field

from tests.simulation.simulation import Broken, Outcome, simulate

SEEDS_PER_ERRAND = 8
PROGRESS_SECONDS = 5.0


@dataclass(frozen=True, slots=True)
class Failure:
    """A seed that broke something, as text: exceptions do not travel well."""

    seed: int
    check: str
    story: str


@dataclass(slots=True)
class Tally:
    """What came of many seeds."""

    seeds: int = 0
    events: int = 0
    decisions: int = 0
    crashes: int = 0
    seconds: float = 0.0
    sizes: Counter[str] = field(default_factory=Counter)
    troubles: Counter[str] = field(default_factory=Counter)
    asked: Counter[str] = field(default_factory=Counter)
    failure: Failure | None = None

    def add(self, outcome: Outcome) -> None:
        """One more."""
        self.seeds += 1
        self.events += outcome.events
        self.decisions += outcome.decisions
        self.crashes += outcome.crashes
        self.sizes[outcome.size] += 1
        self.troubles.update(outcome.troubles)
        self.asked.update(outcome.asked)

    def __str__(self) -> str:
        sizes = ", ".join(f"{count} {size}" for size, count in sorted(self.sizes.items()))
        rate = self.seeds / self.seconds if self.seconds else 0.0
        return (
            f"{self.seeds} seeds ({sizes}): {self.events} events, {self.decisions} decisions, {self.crashes} crashes, "
            f"{self.seconds:.1f} s, {rate:.1f} seeds/s"
        )


def cores() -> int:
    """That this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def run(seeds: Iterable[int], processes: int, progress: Callable[[Tally], None] | None = None) -> Tally:
    """Runs seeds until one breaks something. progress is called every few seconds."""
    tally = Tally()
    began = told = time.perf_counter()
    for came in results(seeds, processes):
        now = time.perf_counter()
        tally.seconds = now - began
        if isinstance(came, Failure):
            tally.failure = came
            break
        tally.add(came)
        if progress is not None and now - told > PROGRESS_SECONDS:
            told = now
            progress(tally)
    return tally


def attempt(seed: int) -> Outcome | Failure:
    """One seed."""
    try:
        return simulate(seed)
    except Broken as broken:
        return Failure(broken.seed, broken.check, str(broken))


def results(seeds: Iterable[int], processes: int) -> Iterator[Outcome | Failure]:
    """What comes of each, in their order."""
    if processes < 2:
        yield from map(attempt, seeds)
        return
    with multiprocessing.get_context("spawn").Pool(processes, initializer=_settle) as pool:
        yield from pool.imap(attempt, seeds, chunksize=SEEDS_PER_ERRAND)


def _settle() -> None:
    """What is imported, and what the first world leaves cached, is not looked at again at the end of every world."""
    simulate(0)
    gc.freeze()
