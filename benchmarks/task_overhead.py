"""What the coordinator adds to every task: a chain of empty ones over a raw session."""

from __future__ import annotations

from benchmarks.figure import Figure, Target
from benchmarks.load import Load
from benchmarks.rounds import interleaved
from benchmarks.settings import Settings

TASKS = 100


def measure(settings: Settings) -> list[Figure]:
    """Milliseconds a task: its assignment, its two reports and what they free. A bare round trip beside it."""
    load = Load(kind="chain", address="", namespace="", tasks=TASKS)
    figure = Figure(
        name=f"overhead per task, chain of {TASKS}",
        unit="ms",
        ceiling="bidi round trip of frames as long",
        target=Target(floor=5.0, goal=2.0, of="concert", lower_is_better=True),
    )
    figure.samples.extend(interleaved(settings, "chain", load, "ms_per_task"))
    return [figure]
