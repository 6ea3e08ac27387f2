"""Durable decisions over one session stream: many commands to a frame, one commit for many commands."""

from __future__ import annotations

from benchmarks.figure import Figure, Target
from benchmarks.load import Load
from benchmarks.rounds import interleaved
from benchmarks.settings import Settings


def measure(settings: Settings) -> list[Figure]:
    """With 32 in flight, which the target is about, and with 256."""
    few = Figure(
        name="session, 32 in flight",
        unit="decisions/s",
        ceiling="bidi echo of the same frames",
        target=Target(floor=0.25, goal=0.45),
    )
    many = Figure(name="session, 256 in flight", unit="decisions/s", ceiling="bidi echo of the same frames")
    for figure, in_flight in ((few, 32), (many, 256)):
        load = Load(kind="commands", address="", namespace="", seconds=settings.seconds, in_flight=in_flight)
        figure.samples.extend(interleaved(settings, f"session-{in_flight}", load))
    return [few, many]
