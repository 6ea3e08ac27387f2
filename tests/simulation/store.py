"""The memory store as a disk that can be slow, full, fail before or after it has written, and lose power."""

from __future__ import annotations

import asyncio
from random import Random
from typing import TYPE_CHECKING

from coordinator_service.log.base import Batch, LogError, Snapshot, StoredBatch
from coordinator_service.log.memory import MemoryLog, MemoryPlace, MemoryStore

if TYPE_CHECKING:
    from tests.simulation.durable import Durable
    from tests.simulation.faults import Faults


class FaultyStore(MemoryStore):
    """A MemoryStore whose commits take virtual time and sometimes fail. `power_off` decides what becomes of those."""

    def __init__(self, place: MemoryPlace, random: Random, faults: Faults, durable: Durable) -> None:
        super().__init__(place, commit=self._write)
        self._random = random
        self.faults = faults
        self.durable = durable
        self._writing: list[asyncio.Future[None]] = []
        self._off = False

    @property
    def writes(self) -> int:
        """How many are under way."""
        return len(self._writing)

    async def open(self, namespace: str) -> MemoryLog:
        """As MemoryStore.open."""
        log = await super().open(namespace)
        return FaultyLog(self, namespace, log._record)

    def power_off(self) -> None:
        """Each write under way is there afterwards, or not."""
        self._off = True
        for write in self._writing:
            if not write.done():
                if self._random.random() < 0.5:
                    write.set_result(None)
                else:
                    write.set_exception(LogError("the power went off"))

    async def _write(self) -> None:
        if self._off:
            raise LogError("the power is off")
        write: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._writing.append(write)
        try:
            delay = self.faults.commit_seconds()
            asyncio.get_running_loop().call_later(delay, _end, write)
            await write
        finally:
            self._writing.remove(write)
        if self.faults.disk_full:
            self.faults.count("disk_full")
            raise LogError("no space left on device")
        if self.faults.strikes("append_fails_before"):
            raise LogError("the disk failed before it wrote")


class FaultyLog(MemoryLog):
    """A log that may report a failure of what it has written, and may not be read."""

    def __init__(self, store: FaultyStore, namespace: str, record: object) -> None:
        super().__init__(store, namespace, record)  # type: ignore[arg-type]
        self._faulty = store

    async def claim(self, holder: str, *, after: int | None = None, accepting: bool = False) -> int:
        """As MemoryLog.claim."""
        epoch = await super().claim(holder, after=after, accepting=accepting)
        self._faulty.durable.claimed(epoch)
        return epoch

    async def append(self, batch: Batch, epoch: int) -> None:
        """As MemoryLog.append."""
        await super().append(batch, epoch)
        self._faulty.durable.landed(batch, epoch)
        if self._faulty.faults.strikes("append_fails_after"):
            raise LogError("the disk failed after it wrote")

    async def read(self, after: int, *, bytes_max: int = 2 * 1024 * 1024) -> list[StoredBatch]:
        """As MemoryLog.read."""
        if self._faulty.faults.strikes("read_fails"):
            raise LogError("the disk cannot be read")
        return await super().read(after, bytes_max=bytes_max)

    async def snapshots(self) -> list[Snapshot]:
        """As MemoryLog.snapshots."""
        if self._faulty.faults.strikes("read_fails"):
            raise LogError("the disk cannot be read")
        return await super().snapshots()


def _end(write: asyncio.Future[None]) -> None:
    if not write.done():
        write.set_result(None)
