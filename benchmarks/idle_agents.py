"""What a connected agent costs that does nothing: the coordinator's memory beside that of a bare server of streams."""

from __future__ import annotations

import subprocess
import sys

from benchmarks import servers
from benchmarks.figure import Figure, Sample, Target
from benchmarks.footprint import resident_bytes
from benchmarks.servers import Server
from benchmarks.settings import Settings

WARM_UP = 50
COUNT = 500


def measure(settings: Settings) -> list[Figure]:
    """KiB of the coordinator for each, above those of the bare server: each on a connection of its own."""
    figure = Figure(
        name="idle agent, above a bare connection with a stream",
        unit="KiB",
        target=Target(floor=20, goal=12, of="concert", lower_is_better=True),
    )
    for _ in range(min(settings.rounds, 3)):
        with servers.ceiling(settings.loop) as bare:
            stream = _bytes_for_one(bare, settings)
        with servers.concert(settings.loop) as coordinator:
            agent = _bytes_for_one(coordinator, settings)
        details = {"agent_kib": agent / 1024, "bare_stream_kib": stream / 1024}
        figure.samples.append(Sample(concert=(agent - stream) / 1024, details=details))
    return [figure]


def _bytes_for_one(server: Server, settings: Settings) -> float:
    """The first are connected before it is measured: they have the server load what it needs for all."""
    first = _connect(server, settings, "first", WARM_UP)
    before = resident_bytes(server.process.pid)
    others = _connect(server, settings, "other", COUNT)
    after = resident_bytes(server.process.pid)
    for each in (first, others):
        each.communicate(b"\n")
    return (after - before) / COUNT


def _connect(server: Server, settings: Settings, name: str, count: int) -> subprocess.Popen[bytes]:
    """So many agents, connected, until something is written to the process."""
    command = [
        sys.executable,
        "-m",
        "benchmarks.idle_client",
        "--loop",
        settings.loop,
        server.address,
        name,
        str(count),
    ]
    process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    assert process.stdout is not None
    if process.stdout.readline() != b"connected\n":
        raise servers.ServerFailed(f"{command} did not connect")
    return process
