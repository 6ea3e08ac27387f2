"""What scenarios play on: coordinators, shared by those that leave them alone, clusters of them, and drivers."""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from clients.conformance.callers import Callers
from clients.conformance.cluster import Cluster
from clients.conformance.driver import Driver, Language
from tests.coordinator_process import CoordinatorProcess
from tests.redis_process import RedisProcess

_STARTS_AT_ONCE = 2
_SKEWED = "clients.conformance.skewed_coordinator"


@dataclass(frozen=True, slots=True)
class Coordinator:
    """One that runs, and whom it knows; None where it serves everybody."""

    process: CoordinatorProcess
    callers: Callers | None


class Stage:
    """The coordinators and the driver of one language's run through the scenarios."""

    def __init__(self, language: Language, directory: Path) -> None:
        self._language = language
        self._directory = directory
        self._shared: dict[str, asyncio.Task[Coordinator]] = {}
        self._coordinators: list[CoordinatorProcess] = []
        self._drivers: list[Driver] = []
        self._driver: asyncio.Task[Driver] | None = None
        self._starting = asyncio.Semaphore(_STARTS_AT_ONCE)
        self._redis: asyncio.Task[RedisProcess] | None = None
        self._clusters: list[Cluster] = []
        self._numbers = itertools.count(1)

    async def coordinator(self, wanted: dict[str, Any]) -> Coordinator:
        """One that runs as the scenario wants it: `own`, `options`, `policies`, `clock_ahead`, `callers`,
        `mutual`, `jwt`."""
        if wanted.get("own"):
            return await self._start(wanted)
        key = repr(sorted(wanted.items()))
        if key not in self._shared:
            self._shared[key] = asyncio.create_task(self._start(wanted))
        return await self._shared[key]

    async def cluster(self, wanted: dict[str, Any]) -> Cluster:
        """One of the scenario's own: `replicas`, how many, and `options`."""
        if self._redis is None:
            self._redis = asyncio.create_task(asyncio.to_thread(RedisProcess(self._directory / "redis").start))
        options = [str(each) for each in wanted.get("options", ())]
        directory = self._directory / f"cluster-{next(self._numbers)}"
        redis = await asyncio.shield(self._redis)
        cluster = Cluster(directory, redis, wanted["replicas"], options)
        self._clusters.append(cluster)
        async with self._starting:
            await cluster.start()
        return cluster

    async def driver(self, which: str) -> Driver:
        """The shared one, or one of the scenario's own."""
        if which == "own":
            return await self._start_driver()
        if self._driver is None:
            self._driver = asyncio.create_task(self._start_driver())
        return await self._driver

    async def stop(self) -> None:
        """Ends everything."""
        await asyncio.gather(*(driver.stop() for driver in self._drivers), return_exceptions=True)
        await asyncio.gather(*(asyncio.to_thread(each.stop) for each in self._coordinators))
        await asyncio.gather(*(asyncio.to_thread(each.stop) for each in self._clusters))
        if self._redis is not None:
            await asyncio.to_thread((await self._redis).stop)

    async def _start(self, wanted: dict[str, Any]) -> Coordinator:
        directory = self._directory / f"coordinator-{len(self._coordinators)}"
        directory.mkdir()
        options: list[str] = [str(each) for each in wanted.get("options", ())]
        if "policies" in wanted:
            file = directory / "policies.yaml"
            file.write_text(wanted["policies"])
            options += ["--policy-file", str(file)]
        callers = None
        if "callers" in wanted:
            callers = Callers(
                directory, wanted["callers"], mutual=wanted.get("mutual", False), jwt=wanted.get("jwt", False)
            )
            options += callers.options()
        program: Sequence[str] = ("-m", "coordinator_service")
        if "clock_ahead" in wanted:
            program = ("-m", _SKEWED, str(wanted["clock_ahead"]))
        process = CoordinatorProcess(directory, options=options, program=program)
        self._coordinators.append(process)
        async with self._starting:
            await asyncio.to_thread(process.start)
        return Coordinator(process, callers)

    async def _start_driver(self) -> Driver:
        driver = Driver(self._language)
        self._drivers.append(driver)
        await driver.start()
        return driver
