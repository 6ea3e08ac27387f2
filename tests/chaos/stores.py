"""Where the replicas keep their logs: one Redis that is killed and started again, or two of which one is promoted."""

from __future__ import annotations

import asyncio
import time
from pathlib import Path
from typing import Protocol

from redis.asyncio import Redis
from redis.exceptions import RedisError

from tests.redis_process import RedisProcess
from tests.relay import Relay

SECONDS_MAX = 60.0
SERVICE = "main"
ASTRAY_SECONDS = 2.0
"""How long a primary that was replaced while it stood still serves as if it had not been."""


class Store(Protocol):
    """A Redis, and a way of each replica to it."""

    options: tuple[str, ...]
    """What a replica is told about it, beside its address."""

    async def start(self, names: tuple[str, ...]) -> None:
        """Begins; those are the replicas that will ask for it."""

    def url_for(self, name: str) -> str:
        """As REDIS_URL of a replica."""

    @property
    def url(self) -> str:
        """As REDIS_URL of whoever reads the log when all is over."""

    async def asking(self) -> Redis:
        """A client of the server that has the log now."""

    def way_of(self, name: str) -> Relay | None:
        """The connections of a replica, where they can be cut."""

    async def kill(self, down_seconds: float) -> None:
        """SIGKILL; returns when the store is whole again."""

    async def pause(self, seconds: float) -> None:
        """SIGSTOP and SIGCONT; returns when the store is whole again."""

    async def end(self) -> None:
        """Ends everything."""


class SingleStore(Store):
    """One server, that fsyncs every batch before it says so."""

    options = ()

    def __init__(self, directory: Path) -> None:
        self._redis = RedisProcess(directory / "redis", "--appendfsync", "always")
        self._ways: dict[str, Relay] = {}

    async def start(self, names: tuple[str, ...]) -> None:
        """See Store."""
        await asyncio.to_thread(self._redis.start)
        for name in names:
            self._ways[name] = Relay(f"127.0.0.1:{self._redis.port}")
            await self._ways[name].start()

    def url_for(self, name: str) -> str:
        """See Store."""
        return f"redis://{self._ways[name].address}/0"

    @property
    def url(self) -> str:
        """See Store."""
        return self._redis.url

    async def asking(self) -> Redis:
        """See Store."""
        return Redis.from_url(self._redis.url)

    def way_of(self, name: str) -> Relay | None:
        """See Store."""
        return self._ways[name]

    async def kill(self, down_seconds: float) -> None:
        """See Store."""
        await asyncio.to_thread(self._redis.kill)
        await asyncio.sleep(down_seconds)
        await asyncio.to_thread(self._redis.start)

    async def pause(self, seconds: float) -> None:
        """See Store."""
        self._redis.pause()
        try:
            await asyncio.sleep(seconds)
        finally:
            self._redis.resume()

    async def end(self) -> None:
        """See Store."""
        for way in self._ways.values():
            await way.end()
        await asyncio.to_thread(self._redis.stop)


class ReplicatedStore(Store):
    """A primary and a replica that has everything before it counts (wait:1), and a Sentinel that promotes it."""

    options = ("--redis-durability", "wait:1", "--redis-wait-ms", "2000")

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        self._sentinel = RedisProcess(directory / "sentinel", sentinel=directory / "sentinel.conf")
        self._servers = [RedisProcess(directory / "one")]

    async def start(self, names: tuple[str, ...]) -> None:
        """See Store."""
        await asyncio.to_thread(self._servers[0].start)
        self._servers.append(await self._following("two", self._servers[0].port))
        self._directory.joinpath("sentinel.conf").write_text(
            f"sentinel monitor {SERVICE} 127.0.0.1 {self._servers[0].port} 1\n"
            f"sentinel down-after-milliseconds {SERVICE} 500\nsentinel failover-timeout {SERVICE} 3000\n"
        )
        await asyncio.to_thread(self._sentinel.start)
        await self._until_whole()

    def url_for(self, name: str) -> str:
        """See Store."""
        return self.url

    @property
    def url(self) -> str:
        """See Store."""
        return f"redis+sentinel://127.0.0.1:{self._sentinel.port}/{SERVICE}"

    async def asking(self) -> Redis:
        """See Store."""
        return Redis.from_url((await self._primary()).url)

    def way_of(self, name: str) -> Relay | None:
        """See Store: where the servers are is what Sentinel says."""
        return None

    async def kill(self, down_seconds: float) -> None:
        """The other is promoted, and what was the primary follows it."""
        old = await self._primary()
        await asyncio.to_thread(old.kill)
        promoted = await self._promoted(old.port)
        await asyncio.sleep(down_seconds)
        # As its operator starts it: it must not serve as the primary that it was.
        self._servers = [promoted, await self._following(old.directory.name, promoted.port, old.port)]
        await self._until_whole()

    async def pause(self, seconds: float) -> None:
        """Long enough, and the other is promoted while it sleeps; it wakes as one that takes itself for the primary."""
        old = await self._primary()
        old.pause()
        try:
            await asyncio.sleep(seconds)
        finally:
            old.resume()
        await asyncio.sleep(ASTRAY_SECONDS)
        if (port := await self._primary_port()) != old.port:  # Sentinel would tell it too, in a while
            async with Redis.from_url(old.url) as asking:
                await asking.execute_command("REPLICAOF", "127.0.0.1", port)
        await self._until_whole()

    async def end(self) -> None:
        """See Store."""
        for server in (self._sentinel, *self._servers):
            await asyncio.to_thread(server.stop)

    async def _following(self, name: str, primary_port: int, port: int = 0) -> RedisProcess:
        server = RedisProcess(self._directory / name, "--replicaof", "127.0.0.1", str(primary_port), port=port)
        await asyncio.to_thread(server.start)
        return server

    async def _primary(self) -> RedisProcess:
        port = await self._primary_port()
        return next(each for each in self._servers if each.port == port)

    async def _primary_port(self) -> int:
        async with Redis.from_url(self._sentinel.url) as asking:
            _, port = await asking.execute_command("SENTINEL", "GET-MASTER-ADDR-BY-NAME", SERVICE)
        return int(port)

    async def _promoted(self, old_port: int) -> RedisProcess:
        deadline = time.monotonic() + SECONDS_MAX
        while (port := await self._primary_port()) == old_port:
            assert time.monotonic() < deadline, "Sentinel promotes nobody"
            await asyncio.sleep(0.05)
        return next(each for each in self._servers if each.port == port)

    async def _until_whole(self) -> None:
        """The primary that Sentinel knows is one, the other follows it, and Sentinel knows that."""
        deadline = time.monotonic() + SECONDS_MAX
        while not await self._is_whole():
            assert time.monotonic() < deadline, "the servers do not come together again"
            await asyncio.sleep(0.05)

    async def _is_whole(self) -> bool:
        try:
            primary = await self._primary()
            async with Redis.from_url(self._sentinel.url) as asking:
                known = await asking.execute_command("SENTINEL", "REPLICAS", SERVICE)
            async with Redis.from_url(primary.url, socket_timeout=1.0) as asking:
                said = await asking.info("replication")
        except (RedisError, OSError):
            return False
        return bool(known) and said["role"] == "master" and said["connected_slaves"] >= 1
