"""Durable decisions by unary calls, for clients that open no session."""

from __future__ import annotations

from benchmarks.figure import Figure, Target
from benchmarks.load import Load
from benchmarks.rounds import interleaved
from benchmarks.settings import Settings


def measure(settings: Settings) -> list[Figure]:
    """Publish of one event, 32 calls in flight."""
    load = Load(kind="calls", address="", namespace="", seconds=settings.seconds, in_flight=32)
    figure = Figure(
        name="unary, 32 in flight",
        unit="decisions/s",
        ceiling="unary echo of the same bytes",
        target=Target(floor=0.6, goal=0.75),
    )
    figure.samples.extend(interleaved(settings, "unary", load))
    return [figure]
