"""Publishing in batches of 100 over a session, durable. Each batch is a frame of its own."""

from __future__ import annotations

from benchmarks.figure import Figure, Sample, Target
from benchmarks.load import Load
from benchmarks.rounds import interleaved
from benchmarks.settings import Settings

EVENTS = 100
IN_FLIGHT = 8


def measure(settings: Settings) -> list[Figure]:
    """Events a second, eight batches in flight, so that some are decided while others are on their way to disk."""
    load = Load(
        kind="commands",
        address="",
        namespace="",
        seconds=settings.seconds,
        in_flight=IN_FLIGHT,
        events=EVENTS,
        frame_commands_max=1,
    )
    figure = Figure(
        name="publish, batches of 100",
        unit="events/s",
        ceiling="bidi echo of the same bytes",
        target=Target(floor=0.1, goal=0.25),
    )
    for each in interleaved(settings, "batches", load):
        assert each.ceiling is not None
        figure.samples.append(
            Sample(concert=each.concert * EVENTS, ceiling=each.ceiling * EVENTS, details=each.details)
        )
    return [figure]
