"""Durable decisions over one session stream: many commands to a frame, one commit for many commands.

The ceiling is a bare server that parses every frame and answers every command in it, nothing else: the least that any
server of this contract has to do (docs/decisions/0008). A bare echo, which sends a frame of 32 commands back as one
message and never looks inside, is shown beside it.
"""

from __future__ import annotations

from benchmarks.figure import Figure, Target
from benchmarks.load import Load
from benchmarks.rounds import interleaved
from benchmarks.settings import Settings

ECHO = "bidi echo of the same frames"
ANSWERS = "each command parsed and answered"


def measure(settings: Settings) -> list[Figure]:
    """With 32 in flight beside bare answers, which the target is about; beside the echo; and with 256 in flight."""
    target = Target(floor=0.25, goal=0.45)
    return [
        _measure(
            settings, 32, Figure(name="session, 32 in flight", unit="decisions/s", ceiling=ANSWERS, target=target)
        ),
        _measure(settings, 32, Figure(name="session, 32 in flight", unit="decisions/s", ceiling=ECHO)),
        _measure(settings, 256, Figure(name="session, 256 in flight", unit="decisions/s", ceiling=ANSWERS)),
    ]


def _measure(settings: Settings, in_flight: int, figure: Figure) -> Figure:
    load = Load(kind="commands", address="", namespace="", seconds=settings.seconds, in_flight=in_flight)
    answers = figure.ceiling == ANSWERS
    name = f"session-{in_flight}-{answers}"
    figure.samples.extend(interleaved(settings, name, load, answers=answers))
    return figure
