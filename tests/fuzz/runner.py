"""Runs targets and surfaces, counts, and keeps what fails."""

from __future__ import annotations

import asyncio
import tempfile
import time
import traceback
from dataclasses import dataclass
from pathlib import Path
from random import Random

from tests.fuzz.surface import WORLDS, Trouble, fuzz_surface, replay_surface
from tests.fuzz.targets import TARGETS, Target

FAILURES_MAX = 5
"""A target that fails so often is left alone."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """What to run: so many cases of each target, in rounds with seeds that follow each other until the time is over."""

    seed: int
    cases: int
    until: float | None
    only: tuple[str, ...]
    failures: Path


def run(plan: Plan) -> int:
    """Runs it, tells, and returns the exit code."""
    failed, total, seed = 0, 0, plan.seed
    while True:
        for target in TARGETS:
            if not plan.only or target.name in plan.only:
                failed += _run_target(target, seed, plan)
                total += plan.cases
        for world in WORLDS:
            if not plan.only or world in plan.only:
                failed += _run_world(world, seed, plan)
                total += plan.cases
        seed += 1
        if failed or plan.until is None or time.monotonic() >= plan.until:
            break
    print(f"{total} cases, {failed} failed")
    return 1 if failed else 0


def case_of(target: Target, seed: int, number: int) -> bytes:
    """The input of a case: the same whenever it is asked for."""
    return target.make(Random(f"{seed}/{target.name}/{number}"))


def check_cases(target: Target, seed: int, cases: int) -> None:
    """Checks cases until one fails. Raises AssertionError that names it."""
    for number in range(cases):
        content = case_of(target, seed, number)
        try:
            target.check(content)
        except Exception as fault:
            raise AssertionError(f"{target.name}: case {number} of seed {seed}: {content!r}") from fault


def replay(file: Path) -> int:
    """Does once more what failed. A file of the corpus will do, too."""
    name = file.name.partition("-")[0] if file.suffix == ".input" else file.parent.name
    for target in TARGETS:
        if target.name == name:
            target.check(file.read_bytes())
            print(f"{file}: nothing is wrong")
            return 0
    if file.suffix == ".journal":
        with tempfile.TemporaryDirectory() as directory:
            asyncio.run(replay_surface(name_of_world(file), file.read_bytes(), Path(directory)))
        print(f"{file}: nothing is wrong")
        return 0
    print(f"{file}: no target is named {name!r}")
    return 2


def name_of_world(file: Path) -> str:
    """The world that a journal is of."""
    return file.name.partition("-")[0]


def _run_target(target: Target, seed: int, plan: Plan) -> int:
    began, failed = time.monotonic(), 0
    for number in range(plan.cases):
        content = case_of(target, seed, number)
        try:
            target.check(content)
        except Exception:
            failed += 1
            file = plan.failures / f"{target.name}-{seed}-{number}.input"
            _keep(file, content)
            traceback.print_exc()
            if failed == FAILURES_MAX:
                break
    seconds = time.monotonic() - began
    print(f"{target.name}: {plan.cases} cases in {seconds:.1f} s, {failed} failed", flush=True)
    return failed


def _run_world(world: str, seed: int, plan: Plan) -> int:
    with tempfile.TemporaryDirectory() as directory:
        try:
            told = asyncio.run(fuzz_surface(world, seed, plan.cases, Path(directory)))
        except Trouble as trouble:
            _keep(plan.failures / f"{world}-{seed}.journal", trouble.journal)
            print(f"{world}: {trouble}", flush=True)
            return 1
    print(f"{world}: {told}", flush=True)
    return 0


def _keep(file: Path, content: bytes) -> None:
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_bytes(content)
    print(f"replay it with: make fuzz REPLAY={file}", flush=True)
