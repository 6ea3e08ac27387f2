"""Durable decisions over one session stream: many commands to a frame, one commit for many commands.

A bare echo sends a frame of 32 commands back as one message and never looks inside, so beside it every microsecond
that a command costs shows 32-fold. The figures beside a server that parses and answers each command, nothing else,
show how much of that is the price of speaking the contract at all.
"""

from __future__ import annotations

from benchmarks.figure import Figure, Target
from benchmarks.load import Load
from benchmarks.rounds import interleaved
from benchmarks.settings import Settings

ECHO = "bidi echo of the same frames"
ANSWERS = "each command parsed and answered"


def measure(settings: Settings) -> list[Figure]:
    """With 32 in flight beside the echo, which the target is about; beside bare answers; and with 256 in flight."""
    target = Target(floor=0.25, goal=0.45)
    return [
        _measure(settings, 32, Figure(name="session, 32 in flight", unit="decisions/s", ceiling=ECHO, target=target)),
        _measure(settings, 32, Figure(name="session, 32 in flight", unit="decisions/s", ceiling=ANSWERS)),
        _measure(settings, 256, Figure(name="session, 256 in flight", unit="decisions/s", ceiling=ANSWERS)),
    ]


def _measure(settings: Settings, in_flight: int, figure: Figure) -> Figure:
    load = Load(kind="commands", address="", namespace="", seconds=settings.seconds, in_flight=in_flight)
    answers = figure.ceiling == ANSWERS
    name = f"session-{in_flight}-{answers}"
    figure.samples.extend(interleaved(settings, name, load, answers=answers))
    return figure
