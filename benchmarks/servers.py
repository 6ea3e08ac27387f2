"""Servers: the processes under measurement, started, found by their ready file, and stopped by their id."""

from __future__ import annotations

import contextlib
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

START_SECONDS_MAX = 90.0
STOP_SECONDS_MAX = 15.0
READY_POLL_SECONDS = 0.02
_CPUCLOCK_SCHED = 2
"""Of clock_getcpuclockid(3), which Linux makes from a process id so: to the nanosecond, where /proc counts in ticks."""


class ServerFailed(Exception):  # noqa: N818
    """A server did not start. The text has the end of its log."""


@dataclass(slots=True)
class Server:
    """A process that serves at an address."""

    process: subprocess.Popen[bytes]
    address: str
    also: Mapping[str, str] = field(default_factory=dict)
    """Its other addresses, by name, where it serves more."""

    def cpu_seconds(self) -> float:
        """CPU time it used so far, user and system; 0.0 where the system does not tell."""
        try:
            return time.clock_gettime((~self.process.pid << 3) | _CPUCLOCK_SCHED)
        except OSError:
            return 0.0


@contextlib.contextmanager
def serving(module: str, arguments: Sequence[str], environment: Mapping[str, str] | None = None) -> Iterator[Server]:
    """Runs `python -m module`, which writes its address into the file that --ready-file names, and stops it."""
    with tempfile.TemporaryDirectory(prefix="concert-bench-") as directory:
        ready_file = Path(directory, "ready.json")
        log_file = Path(directory, "log")
        with log_file.open("wb") as log:
            process = subprocess.Popen(
                [sys.executable, "-m", module, "--ready-file", str(ready_file), *arguments],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                env={**os.environ, **(environment or {})},
            )
        try:
            said = _said(process, ready_file, log_file)
            yield Server(process, str(said["address"]), said)
        finally:
            stop(process)


@contextlib.contextmanager
def concert(loop: str, data_parent: Path | None = None, *, data: Path | None = None) -> Iterator[Server]:
    """A coordinator on an empty data directory of its own, on a real disk, or on one that is there."""
    if data is None:
        with (
            tempfile.TemporaryDirectory(prefix="concert-bench-", dir=data_parent or disk()) as empty,
            concert(loop, data=Path(empty)) as server,
        ):
            yield server
        return
    arguments = ["--listen", "127.0.0.1:0", "--data-dir", str(data)]
    with serving("coordinator_service", arguments, {"CONCERT_EVENT_LOOP": loop}) as server:
        yield server


@contextlib.contextmanager
def ceiling(loop: str, *, answers: bool = False) -> Iterator[Server]:
    """The bare servers of benchmarks.ceilings."""
    with serving("benchmarks.ceilings", ["--loop", loop, *(["--answers"] if answers else [])]) as server:
        yield server


def stop(process: subprocess.Popen[bytes]) -> None:
    """Asks a process to stop, and insists after STOP_SECONDS_MAX."""
    if process.poll() is None:
        process.terminate()
        try:
            process.wait(STOP_SECONDS_MAX)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def disk() -> Path:
    """Where data directories go: beside the results, because /tmp is memory on many systems."""
    results = Path(__file__).parent / "results"
    results.mkdir(exist_ok=True)
    return results


def _said(process: subprocess.Popen[bytes], ready_file: Path, log_file: Path) -> dict[str, Any]:
    given_up_at = time.monotonic() + START_SECONDS_MAX
    while time.monotonic() < given_up_at and process.poll() is None:
        try:
            return dict(json.loads(ready_file.read_bytes()))
        except (FileNotFoundError, json.JSONDecodeError):
            time.sleep(READY_POLL_SECONDS)
    raise ServerFailed(f"a server did not start: {process.args!r}\n{log_file.read_text(errors='replace')[-4000:]}")
