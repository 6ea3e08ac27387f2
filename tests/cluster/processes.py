"""A cluster of real processes over a real Redis, and a client that finds the owner of a namespace by asking each."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import concert
from concert import errors
from redis.asyncio import Redis

from tests.coordinator_process import CoordinatorProcess
from tests.redis_process import RedisProcess

SECONDS_MAX = 60.0
LEASE_MS = 1_000


class Replicas:
    """Some coordinators over one store."""

    def __init__(self, directory: Path, redis: RedisProcess, options: Sequence[str] = ()) -> None:
        self._directory = directory
        self._redis = redis
        self._options = options
        self.processes: dict[str, CoordinatorProcess] = {}

    def start(self, name: str) -> CoordinatorProcess:
        """A replica of that name: on the port that it had before, if it was here before."""
        process = self.processes.get(name)
        if process is None:
            directory = self._directory / name
            directory.mkdir(parents=True)
            process = self.processes[name] = CoordinatorProcess(
                directory,
                options=[
                    *("--event-store", "redis", "--redis-url", self._redis.url, "--replica-id", name),
                    *("--cluster-listen", "127.0.0.1:0", "--owner-lease-ms", str(LEASE_MS)),
                    *("--drain-notice-seconds", "0", "--drain-grace-seconds", "1"),
                    *self._options,
                ],
            )
        process.start()
        return process

    @property
    def addresses(self) -> list[str]:
        """Where they serve, or served."""
        return [process.address for process in self.processes.values()]

    async def owner(self, namespace: str = "default") -> str:
        """Which of them the log says owns a namespace; empty for none."""
        async with Redis.from_url(self._redis.url) as asking:
            holder = await asking.hget(f"concert:{{{namespace}}}:meta", "holder")
        return (holder or b"").decode().partition("/")[0]

    def stop(self) -> None:
        """All of them, whatever state they are in."""
        for process in self.processes.values():
            process.stop()

    def logs(self) -> str:
        """What all of them wrote at the end."""
        return "\n".join(f"--- {name}\n{process.log_tail()}" for name, process in self.processes.items())


@contextmanager
def replicas(
    directory: Path, names: Sequence[str], options: Sequence[str] = ()
) -> Iterator[tuple[Replicas, RedisProcess]]:
    """A Redis and replicas over it."""
    redis = RedisProcess(directory / "redis").start()
    cluster = Replicas(directory, redis, options)
    try:
        with ThreadPoolExecutor() as starting:
            list(starting.map(cluster.start, names))
        yield cluster, redis
    except BaseException:
        print(cluster.logs())
        raise
    finally:
        cluster.stop()
        redis.stop()


async def anywhere(addresses: Sequence[str], call: Any, *, seconds: float = SECONDS_MAX) -> tuple[str, Any]:
    """What a call answers, and from which address: asked of one replica after another until one says yes."""
    deadline = time.monotonic() + seconds
    while True:
        for address in addresses:
            try:
                async with concert.connect(address, writer="tester", call_seconds=5.0, retry_seconds=0.0) as client:
                    return address, await call(client)
            except (errors.Unavailable, errors.DeadlineExceeded):
                if time.monotonic() > deadline:
                    raise
        await asyncio.sleep(0.02)
