"""A real coordinator as a process of its own, for tests that kill it.

It listens on a port of its choosing, which it keeps over restarts, and says through a ready file when it does.
Everything here blocks; from a coroutine use `await asyncio.to_thread(process.restart)`.
"""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

READY_SECONDS_MAX = 120.0
EXIT_SECONDS_MAX = 60.0
_POLL_SECONDS = 0.02
_LOG_TAIL_CHARACTERS = 4000


class CoordinatorProcess:
    """Started with `start`, and for good measure stopped with `stop`, whatever happened between."""

    def __init__(
        self,
        directory: Path,
        *,
        durable: bool = True,
        options: Sequence[str] = (),
        program: Sequence[str] = ("-m", "coordinator_service"),
    ) -> None:
        """Keeps its data (when `durable`), ready file and output in `directory`; `options` are further arguments of
        `program`.
        """
        self.address = ""
        self._directory = directory
        self._ready_file = directory / "ready.json"
        self._log_file = directory / "coordinator.log"
        store = ["--data-dir", str(directory / "data")] if durable else ["--event-store", "memory"]
        self._options = [*store, *options]
        self._program = tuple(program)
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def pid(self) -> int:
        """Of the process that runs."""
        return self._running().pid

    def start(self) -> None:
        """Starts it and waits until it serves: on any port the first time, on the same one after that."""
        assert self._process is None, "it runs already"
        self._ready_file.unlink(missing_ok=True)
        command = [sys.executable, *self._program]
        command += ["--listen", self.address or "127.0.0.1:0", "--ready-file", str(self._ready_file), *self._options]
        with self._log_file.open("ab") as log:
            self._process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=log, stderr=log)
        self.address = self._await_ready()

    def kill(self) -> None:
        """SIGKILL: nothing is flushed, nobody is told."""
        process = self._running()
        process.kill()
        process.wait(EXIT_SECONDS_MAX)
        self._process = None

    def terminate(self) -> int:
        """SIGTERM: it drains. Returns its exit code."""
        process = self._running()
        process.send_signal(signal.SIGTERM)
        code = process.wait(EXIT_SECONDS_MAX)
        self._process = None
        return code

    def restart(self) -> None:
        """Kills it, and starts it on the same data and port."""
        self.kill()
        self.start()

    def stop(self) -> None:
        """Makes sure that it is gone."""
        if self._process is not None:
            self.kill()

    def log(self) -> str:
        """What it wrote."""
        return self._log_file.read_text(errors="replace") if self._log_file.exists() else ""

    def log_tail(self) -> str:
        """The end of what it wrote."""
        return self.log()[-_LOG_TAIL_CHARACTERS:]

    def _running(self) -> subprocess.Popen[bytes]:
        assert self._process is not None, "it does not run"
        return self._process

    def _await_ready(self) -> str:
        process = self._running()
        deadline = time.monotonic() + READY_SECONDS_MAX
        while time.monotonic() < deadline:
            if process.poll() is not None:
                self._process = None
                raise AssertionError(f"the coordinator exited with {process.returncode}:\n{self.log_tail()}")
            try:
                return str(json.loads(self._ready_file.read_text())["address"])
            except (FileNotFoundError, json.JSONDecodeError):
                time.sleep(_POLL_SECONDS)
        self.kill()
        raise AssertionError(f"the coordinator was not ready within {READY_SECONDS_MAX} s:\n{self.log_tail()}")


@contextmanager
def coordinator_process(
    directory: Path, *, durable: bool = True, options: Sequence[str] = ()
) -> Iterator[CoordinatorProcess]:
    """One that is started, and gone afterwards."""
    process = CoordinatorProcess(directory, durable=durable, options=options)
    process.start()
    try:
        yield process
    finally:
        process.stop()
