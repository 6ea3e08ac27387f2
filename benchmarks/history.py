"""What a long past costs: the CPU time of a decision beside a short past, and how long recovery takes.

The floor of 1.2 is for ten million events beside ten thousand. By default the long past is shorter, so that a run of
the benchmarks stays a matter of minutes: --history-events 10000000 for the whole of it, 1000000 for the recovery that
is judged.
"""

from __future__ import annotations

import contextlib
import dataclasses
import json
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

from benchmarks import past, servers
from benchmarks.figure import Figure, Sample, Target
from benchmarks.load import Load
from benchmarks.rounds import put_on
from benchmarks.settings import Settings

SHORT_EVENTS = 10_000
RECOVERY_EVENTS = 1_000_000
"""The size that the target of recovery is for: a smaller past is only shown."""
TASKS = 1_000


def measure(settings: Settings) -> list[Figure]:
    """Recovery first, of a log that nobody has written to since; then both coordinators under the same loads."""
    with _stored(SHORT_EVENTS) as short, _stored(settings.history_events) as long:
        recovery = _measure_recovery(settings, long)
        return [*recovery, *_measure_cost(settings, short, long)]


@contextlib.contextmanager
def _stored(events: int) -> Iterator[Path]:
    with tempfile.TemporaryDirectory(prefix="concert-bench-", dir=servers.disk()) as directory:
        past.write(Path(directory), events)
        yield Path(directory)


def _measure_cost(settings: Settings, short: Path, long: Path) -> list[Figure]:
    target = Target(floor=1.2, goal=1.05, lower_is_better=True)
    against = f"{settings.history_events:,} events against {SHORT_EVENTS:,}".replace(",", " ")
    publishing = Figure(name=f"publish, {against}", unit="µs of CPU", ceiling="short past", target=target)
    lifecycle = Figure(name=f"task, {against}", unit="µs of CPU", ceiling="short past", target=target)
    with servers.concert(settings.loop, data=short) as brief, servers.concert(settings.loop, data=long) as grown:
        for number in range(settings.rounds):
            asked = Load(
                kind="commands",
                address="",
                namespace=past.NAMESPACE,
                prefix=settings.namespace("history", number),
                seconds=settings.seconds,
                tasks=TASKS,
            )
            for figure, load in ((publishing, asked), (lifecycle, dataclasses.replace(asked, kind="chain"))):
                below = put_on(brief, load, settings.loop)
                above = put_on(grown, load, settings.loop)
                figure.samples.append(Sample(concert=above["server_cpu_us"], ceiling=below["server_cpu_us"]))
    return [publishing, lifecycle]


def _measure_recovery(settings: Settings, directory: Path) -> list[Figure]:
    events = f"{settings.history_events:,} events".replace(",", " ")
    judged = Target(floor=2.0, goal=1.0, of="concert", lower_is_better=True)
    with_snapshot = Figure(
        name=f"recovery of {events}, snapshot",
        unit="s of CPU",
        target=judged if settings.history_events <= RECOVERY_EVENTS else None,
    )
    without = Figure(name=f"recovery of {events}, no snapshot", unit="s of CPU")
    for number in range(settings.rounds):
        with_snapshot.samples.append(_recovered(directory))
        if number == 0:
            without.samples.append(_recovered(directory, "--without-snapshots"))
    return [with_snapshot, without]


def _recovered(directory: Path, *options: str) -> Sample:
    """In a process of its own, as a coordinator that starts. By CPU time, which neighbours do not lengthen: it reads
    what is in the cache and computes, and waits for nothing."""
    command = [sys.executable, "-m", "benchmarks.recovery", str(directory), *options]
    told = json.loads(subprocess.run(command, capture_output=True, text=True, check=True).stdout)
    return Sample(concert=told["cpu_seconds"], details=told)
