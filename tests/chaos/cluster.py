"""The replicas, each behind relays: before its clients, before the other replicas, and on its way to Redis."""

from __future__ import annotations

import asyncio
import os
import signal
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path

from tests.chaos.stores import Store
from tests.cluster.processes import LEASE_MS
from tests.coordinator_process import CoordinatorProcess
from tests.redis_process import FREE_PORT_TRIES, free_port
from tests.relay import Relay

NAMES = ("a", "b", "c")
PROGRAM = ("-m", "coordinator_service")
AGENTS_RUNNING_MAX = 3
OPTIONS = (
    *("--event-store", "redis", "--owner-lease-ms", str(LEASE_MS), "--redis-timeout-ms", "2000"),
    *("--drain-notice-seconds", "0", "--drain-grace-seconds", "1"),
    *("--agents-running-max", str(AGENTS_RUNNING_MAX), "--snapshot-events", "200", "--bookmark-seconds-max", "1"),
    *("--reattach-grace-ms", "10000", "--reattach-hold-ms", "1000"),
)


class Replica:
    """One of them. Whoever does something to its process or its connections has its turn first."""

    def __init__(self, name: str, directory: Path, store: Store, program: Sequence[str]) -> None:
        self.name = name
        self.clients, self.peers = Relay(), Relay()
        self.store_way = store.way_of(name)
        self.process_turn, self.network_turn = asyncio.Lock(), asyncio.Lock()
        self._directory = directory
        self._store = store
        self._program = program
        self._process: CoordinatorProcess | None = None

    @property
    def process(self) -> CoordinatorProcess:
        """The one that runs, or ran."""
        assert self._process is not None, "it never began"
        return self._process

    async def start(self) -> None:
        """Returns once it serves: where it listens is another port each time, behind relays that stay."""
        for left in reversed(range(FREE_PORT_TRIES)):
            self.peers.target = f"127.0.0.1:{free_port()}"
            options = [
                *("--replica-id", self.name, "--redis-url", self._store.url_for(self.name)),
                *("--cluster-listen", self.peers.target, "--cluster-advertise", self.peers.address),
                *(*OPTIONS, *self._store.options),
            ]
            self._process = CoordinatorProcess(self._directory, options=options, program=self._program)
            try:
                await asyncio.to_thread(self._process.start)
                break
            except AssertionError:
                if not left or "address" not in self._process.log_tail().lower():
                    raise
        self.clients.target = self.process.address

    async def kill(self) -> None:
        """SIGKILL."""
        await asyncio.to_thread(self.process.kill)

    async def terminate(self) -> None:
        """SIGTERM; it ends as one that was asked to."""
        code = await asyncio.to_thread(self.process.terminate)
        assert code == 0, f"replica {self.name} ended with {code}:\n{self.process.log_tail()}"

    def pause(self) -> None:
        """SIGSTOP."""
        os.kill(self.process.pid, signal.SIGSTOP)

    def resume(self) -> None:
        """SIGCONT."""
        os.kill(self.process.pid, signal.SIGCONT)

    async def end(self) -> None:
        """Whatever state it is in."""
        if self._process is not None:
            await asyncio.to_thread(self._process.stop)
        await self.clients.end()
        await self.peers.end()


class Cluster:
    """All of them, and their store."""

    def __init__(self, directory: Path, store: Store, names: Sequence[str], program: Sequence[str]) -> None:
        self.store = store
        self.store_turn = asyncio.Lock()
        self.replicas: list[Replica] = []
        self._directory = directory
        self._names = tuple(names)
        self._program = program

    @property
    def addresses(self) -> list[str]:
        """Where clients find them."""
        return [each.clients.address for each in self.replicas]

    async def owner(self) -> Replica | None:
        """Which of them the log says owns the namespace, if any."""
        async with await self.store.asking() as asking:
            holder = await asking.hget("concert:{default}:meta", "holder")
        name = (holder or b"").decode().partition("/")[0]
        return next((each for each in self.replicas if each.name == name), None)

    async def start(self) -> None:
        """Returns once they serve."""
        await self.store.start(self._names)
        for name in self._names:
            directory = self._directory / name
            directory.mkdir()
            self.replicas.append(Replica(name, directory, self.store, self._program))
        for each in self.replicas:
            await each.clients.start()
            await each.peers.start()
        await asyncio.gather(*(each.start() for each in self.replicas))

    async def stop(self) -> None:
        """Asks all to end, as one does to whom it matters."""
        await asyncio.gather(*(each.terminate() for each in self.replicas))

    async def end(self) -> None:
        """Whatever state they and their store are in."""
        for each in self.replicas:
            await each.end()
        await self.store.end()

    def logs(self) -> str:
        """What all of them wrote at the end."""
        return "\n".join(f"--- {each.name}\n{each.process.log_tail()}" for each in self.replicas)


@asynccontextmanager
async def cluster(
    directory: Path, store: Store, names: Sequence[str] = NAMES, program: Sequence[str] = PROGRAM
) -> AsyncIterator[Cluster]:
    """Running replicas, gone afterwards, and their store with them."""
    running = Cluster(directory, store, names, program)
    try:
        await running.start()
        yield running
    except BaseException:
        print(running.logs())
        raise
    finally:
        await running.end()
