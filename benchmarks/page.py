"""What those who look cost those who decide: the live page and the scrape, at rest and under load.

Each round measures the same with nobody looking and with viewers and a scraper, in turn, on one coordinator that has
a run of some hundred tasks to show. What a decision waits for those who look is told by how long their turns on the
coordinator's loop are, in CPU time (page_turns.py): unlike the clock, that does not depend on what else the machine
does.
"""

from __future__ import annotations

import contextlib
import json
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

from benchmarks import servers
from benchmarks.figure import Figure, Sample, Target
from benchmarks.servers import Server
from benchmarks.settings import Settings

VIEWERS = 20
REST_SECONDS = 15.0
LOAD_SECONDS_MIN = 6.0


def measure(settings: Settings) -> list[Figure]:
    """Per cent of a core at rest, above nobody looking; milliseconds under load: of a turn of those who look, and of
    what the clock says of decisions."""
    looked_at = f"page with {VIEWERS} viewers and scrape"
    rest = Figure(
        name=f"{looked_at}, at rest",
        unit="% of a core",
        target=Target(floor=2.0, goal=1.0, of="concert", lower_is_better=True),
    )
    turn = Figure(
        name=f"{looked_at}, under load: their turns on the loop, p99",
        unit="ms",
        target=Target(floor=5.0, goal=2.0, of="concert", lower_is_better=True),
    )
    clock = Figure(name=f"{looked_at}, under load: decisions by the clock, p99", unit="ms", ceiling="nobody looking")
    for _ in range(settings.rounds):
        with _coordinator(settings) as server:
            _ask(server, settings, "prepare")
            alone = _cpu_share(server, REST_SECONDS)
            with _viewers(server):
                viewed = _cpu_share(server, REST_SECONDS)
            details: dict[str, object] = {"alone": alone * 100, "viewed": viewed * 100}
            rest.samples.append(Sample(concert=(viewed - alone) * 100, details=details))
        with tempfile.TemporaryDirectory() as directory:
            file = Path(directory, "turns.json")
            with _coordinator(settings, file) as server:
                _ask(server, settings, "prepare")
                quiet = _ask(server, settings, "decide")
                with _viewers(server):
                    busy = _ask(server, settings, "decide")
            turns = [seconds * 1000 for seconds in json.loads(file.read_text())]
        clock.samples.append(Sample(concert=busy["p99_ms"], ceiling=quiet["p99_ms"]))
        details = {"longest_ms": turns[-1], "together_ms": sum(turns), "turns": len(turns)}
        turn.samples.append(Sample(concert=turns[len(turns) * 99 // 100], details=details))
    return [rest, turn, clock]


@contextlib.contextmanager
def _coordinator(settings: Settings, turns: Path | None = None) -> Iterator[Server]:
    """One with everything served; with a file for its turns, one that measures them."""
    with tempfile.TemporaryDirectory(prefix="concert-bench-", dir=servers.disk()) as data:
        any_port = "127.0.0.1:0"
        arguments = ["--listen", any_port, "--web-listen", any_port, "--metrics-listen", any_port, "--data-dir", data]
        module, environment = "coordinator_service", {"CONCERT_EVENT_LOOP": settings.loop}
        if turns is not None:
            module, environment = "benchmarks.page_turns", {"CONCERT_EVENT_LOOP": "asyncio", "PAGE_TURNS": str(turns)}
        with servers.serving(module, arguments, environment) as server:
            yield server


def _cpu_share(server: Server, seconds: float) -> float:
    """Of a core, over some time."""
    before, began = server.cpu_seconds(), time.monotonic()
    time.sleep(seconds)
    return (server.cpu_seconds() - before) / (time.monotonic() - began)


def _command(server: Server, what: str, *more: str) -> list[str]:
    return [sys.executable, "-m", "benchmarks.page_clients", what, server.address, *more]


def _ask(server: Server, settings: Settings, what: str) -> dict[str, float]:
    command = _command(server, what, str(max(LOAD_SECONDS_MIN, settings.seconds)))
    done = subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, text=True, check=True, timeout=120)
    return dict(json.loads(done.stdout))


@contextlib.contextmanager
def _viewers(server: Server) -> Iterator[None]:
    """Some who view the page, and one who scrapes, from a process of their own."""
    command = _command(server, "view", server.also["web"], server.also["metrics"], str(VIEWERS))
    process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, cwd=Path(__file__).parents[1])
    assert process.stdout is not None
    try:
        if process.stdout.readline() != b"viewing\n":
            raise servers.ServerFailed(f"{command} does not view")
        yield
    finally:
        process.communicate(b"\n", timeout=30)
