"""Several replicas over one Redis, for the scenarios in which a client loses the one it talks to."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from pathlib import Path

from tests.cluster.processes import Replicas
from tests.coordinator_process import CoordinatorProcess
from tests.redis_process import RedisProcess


class Exited(AssertionError):  # noqa: N818 - it says what happened
    """A replica did not end as it should."""


class Cluster:
    """Replicas by number, from 1. They share the Redis with other clusters, under a prefix of their own."""

    def __init__(self, directory: Path, redis: RedisProcess, count: int, options: Sequence[str]) -> None:
        self._names = [f"r{number}" for number in range(1, count + 1)]
        self._replicas = Replicas(directory, redis, ["--redis-prefix", directory.name, *options])

    @property
    def addresses(self) -> list[str]:
        """Where they serve, or served, by number."""
        return [self._replicas.processes[name].address for name in self._names]

    async def start(self) -> None:
        """All of them."""
        await asyncio.gather(*(asyncio.to_thread(self._replicas.start, name) for name in self._names))

    async def do(self, action: str, number: int) -> None:
        """`kill`, `stop` (SIGTERM) or `start` one. Raises Exited where it does not end with 0."""
        name = self._names[number - 1]
        process = self._replicas.processes[name]
        actions: dict[str, Callable[[], object]] = {
            "kill": process.kill,
            "stop": lambda: _stop(name, process),
            "start": process.start,
        }
        await asyncio.to_thread(actions[action])

    def stop(self) -> None:
        """All of them, whatever state they are in."""
        self._replicas.stop()


def _stop(name: str, process: CoordinatorProcess) -> None:
    code = process.terminate()
    if code:
        raise Exited(f"{name} exited with {code} after SIGTERM:\n{process.log_tail()}")
