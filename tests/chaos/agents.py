"""Agents in processes of their own: `python -m tests.chaos.agents` hosts one, which writes down what it executes before
it does."""

from __future__ import annotations

import argparse
import asyncio
import os
import random
import signal
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from concert.agent import Agent, AgentHost, TaskContext

LEASE_SECONDS = 4.0
SLOTS = 2
STEPS_KEY = "steps"
"""Where every completed attempt adds its token."""


class Step(Agent):
    """A short piece of work, which fails at times."""

    capabilities = ("step",)
    slots = SLOTS

    def __init__(self, name: str, record: int) -> None:
        self.name = name
        self._record = record

    async def execute(self, context: TaskContext) -> Any:
        """Writes the token down, works, and says so together with its completion."""
        os.write(self._record, f"{context.attempt_token}\n".encode())
        await asyncio.sleep(random.uniform(0.0, 0.3))
        if random.random() < 0.1:
            raise RuntimeError("as the dice fell")
        context.set_state({STEPS_KEY: [context.attempt_token]}, strategy="append")
        return {"task": context.task_id, "before": sorted(context.previous_results)}


class AgentProcess:
    """One of them, that can be killed."""

    def __init__(self, name: str, directory: Path, addresses: Sequence[str]) -> None:
        self.name = name
        self.turn = asyncio.Lock()
        self._addresses = addresses
        self._record = directory / f"{name}.executed"
        self._log = directory / f"{name}.log"
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        """Returns at once: it finds its way by itself."""
        command = [sys.executable, "-m", "tests.chaos.agents", "--name", self.name, "--record", str(self._record)]
        with self._log.open("ab") as log:
            self._process = subprocess.Popen(
                [*command, *self._addresses], stdin=subprocess.DEVNULL, stdout=log, stderr=log
            )

    def kill(self) -> None:
        """SIGKILL."""
        if self._process is not None:
            self._process.kill()
            self._process.wait()
            self._process = None

    def pause(self) -> None:
        """SIGSTOP."""
        assert self._process is not None
        self._process.send_signal(signal.SIGSTOP)

    def resume(self) -> None:
        """SIGCONT."""
        assert self._process is not None
        self._process.send_signal(signal.SIGCONT)

    def stop(self) -> None:
        """SIGTERM: it says goodbye, and ends as one that was asked to."""
        assert self._process is not None
        self._process.terminate()
        code = self._process.wait(60.0)
        self._process = None
        assert code == 0, f"agent {self.name} ended with {code}:\n{self.log_tail()}"

    def executed(self) -> list[int]:
        """Attempt tokens, each as often as it was begun."""
        return [int(line) for line in self._record.read_text().split()] if self._record.exists() else []

    def log_tail(self) -> str:
        """The end of what it wrote."""
        return self._log.read_text(errors="replace")[-4000:] if self._log.exists() else ""


async def _host(name: str, record: int, addresses: Sequence[str]) -> None:
    async with AgentHost(Step(name, record), address=addresses, lease=LEASE_SECONDS) as host:
        asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, host.drain)
        await host.wait()


def main() -> None:
    """Until it is told to stop."""
    parser = argparse.ArgumentParser(prog="python -m tests.chaos.agents")
    parser.add_argument("--name", required=True)
    parser.add_argument("--record", required=True, type=Path)
    parser.add_argument("addresses", nargs="+")
    asked = parser.parse_args()
    record = os.open(asked.record, os.O_WRONLY | os.O_APPEND | os.O_CREAT)
    asyncio.run(_host(asked.name, record, asked.addresses))


if __name__ == "__main__":
    main()
