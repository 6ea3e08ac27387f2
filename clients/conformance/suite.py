"""All scenarios for one language, many at a time."""

from __future__ import annotations

import asyncio
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from clients.conformance.driver import Language
from clients.conformance.play import Failed, Play
from clients.conformance.scenario import Scenario
from clients.conformance.stage import Stage

SCENARIO_SECONDS_MAX = 400.0


@dataclass(frozen=True, slots=True)
class Verdict:
    """What came of a scenario. `failure` is empty when it passed."""

    scenario: Scenario
    failure: str
    seconds: float


async def run_suite(
    language: Language, scenarios: Sequence[Scenario], *, at_once: int, tell: Callable[[Verdict], None] | None = None
) -> list[Verdict]:
    """Plays them; the verdicts in their order. `tell` hears of each as it comes."""
    with tempfile.TemporaryDirectory(prefix="concert-conformance-") as directory:
        stage = Stage(language, Path(directory))
        turns = asyncio.Semaphore(at_once)

        async def play(number: int, scenario: Scenario) -> Verdict:
            async with turns:
                begun = time.monotonic()
                failure = ""
                try:
                    one = Play(scenario, number, stage)
                    await one.set_up()
                    begun = time.monotonic()
                    async with asyncio.timeout(SCENARIO_SECONDS_MAX):
                        await one.run()
                except Failed as failed:
                    failure = str(failed)
                except TimeoutError:
                    failure = f"not over within {SCENARIO_SECONDS_MAX:g} s"
                except (AssertionError, OSError) as error:
                    failure = f"what it is played on did not come up: {error}"
                verdict = Verdict(scenario, failure, time.monotonic() - begun)
                if tell is not None:
                    tell(verdict)
                return verdict

        try:
            return await asyncio.gather(*(play(number, each) for number, each in enumerate(scenarios, 1)))
        finally:
            await stage.stop()
