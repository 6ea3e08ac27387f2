"""Measures the clients, language by language: `python -m benchmarks.languages [LANGUAGE ...]`.

`clients/LANGUAGE/conformance/driver.yaml` names a program, `load: [program]`, that puts one load on one server:

    program KIND ADDRESS NAMESPACE WARM_UP_SECONDS SECONDS

and prints what it measured as one JSON object of numbers. `rate` is what came a second; the rest explains it. Kinds:

bare       the language's gRPC without the client: frames of publishing commands (one event, 64 bytes of payload), 32
           without an answer, each answer followed by a new command; against a server that answers every command, and
           does nothing else
commands   the same commands through the client over a session; `p50_seconds`, `p99_seconds` of each
locks      pairs of acquire and release over a session, 32 at once on a resource each
tasks      tasks that go through an agent with 32 slots, 500 a run; `round_trip_seconds`: of a task in a chain of 100
subscribe  events published in batches of 100 over a session and followed by a subscription
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
from typing import Any

from benchmarks import report, servers
from benchmarks.figure import Figure, Sample, Target
from benchmarks.loops import LOOP_DEFAULT
from benchmarks.settings import Settings
from clients.conformance.driver import Language, languages

WARM_UP_SECONDS = 1.0
LOAD_SECONDS_MAX = 120.0
CEILING = "bare gRPC of the language, each command answered"
UNITS = {"commands": "decisions/s", "locks": "pairs/s", "tasks": "tasks/s", "subscribe": "events/s"}


def measure(language: Language, settings: Settings) -> list[Figure]:
    """One figure for each kind; every round measures the ceiling and then all of them."""
    language.make()
    target = Target(floor=0.25, goal=0.45)
    figures = {
        kind: Figure(
            name=f"{language.name}, {kind}", unit=unit, ceiling=CEILING, target=target if kind == "commands" else None
        )
        for kind, unit in UNITS.items()
    }
    trip = Figure(name=f"{language.name}, one task after another", unit="ms")
    with servers.ceiling(settings.loop, answers=True) as bare, servers.concert(settings.loop) as coordinator:
        for number in range(settings.rounds):
            above = put(language, "bare", bare.address, settings.namespace("bare", number), settings.seconds)
            for kind, figure in figures.items():
                namespace = settings.namespace(f"{language.key}-{kind}", number)
                below = put(language, kind, coordinator.address, namespace, settings.seconds)
                details = {"concert_measured": below, "ceiling_measured": above}
                figure.samples.append(Sample(concert=below["rate"], ceiling=above["rate"], details=details))
                if kind == "tasks":
                    trip.samples.append(Sample(concert=below["round_trip_seconds"] * 1000))
    return [*figures.values(), trip]


def put(language: Language, kind: str, address: str, namespace: str, seconds: float) -> dict[str, Any]:
    """Puts a load on a server from a new process; what it measured."""
    command = [*language.load, kind, address, namespace, str(WARM_UP_SECONDS), str(seconds)]
    done = subprocess.run(
        command,
        cwd=language.directory,
        capture_output=True,
        text=True,
        timeout=LOAD_SECONDS_MAX + seconds,
        check=False,
    )
    if done.returncode:
        raise SystemExit(f"{' '.join(command)}\n{done.stderr[-4000:]}")
    return dict(json.loads(done.stdout))


def main() -> int:
    """The entry point."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.languages")
    parser.add_argument("languages", nargs="*", help="all whose toolchain is here")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--seconds", type=float, default=2.0, help="of each measurement, without its warm-up (2)")
    given = parser.parse_args()
    settings = Settings(rounds=given.rounds, seconds=given.seconds, loop=LOOP_DEFAULT)
    figures: list[Figure] = []
    for language in languages():
        if not language.load or (given.languages and language.key not in given.languages):
            continue
        if language.missing():
            print(f"{language.name} is left out: {', '.join(language.missing())} is not here", file=sys.stderr)
            continue
        figures += measure(language, settings)
    report.show(figures)
    below = [figure.name for figure in figures if figure.verdict == "below"]
    if below:
        print(f"Below the floor: {', '.join(below)}", file=sys.stderr)
    return 1 if below else 0


if __name__ == "__main__":
    sys.exit(main())
