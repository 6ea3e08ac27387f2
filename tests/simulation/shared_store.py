"""The memory store as replicas share one: a server at the end of a network, that answers late or cannot be reached."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from contextlib import suppress
from random import Random
from typing import TYPE_CHECKING, TypeVar

from coordinator_service.log.base import Batch, Cursor, Holder, LogEnds, LogError, Snapshot, StoredBatch, TailLost
from coordinator_service.log.memory import MemoryPlace
from tests.cluster.memory_members import MemberPlace, MemoryMembers
from tests.simulation.process import NOWHERE
from tests.simulation.store import FaultyLog, FaultyStore

if TYPE_CHECKING:
    from tests.simulation.durable import Durable
    from tests.simulation.faults import Faults

T = TypeVar("T")

LATE_SECONDS_MAX = 5.0
LATE_LOOK_SECONDS = 0.005
LOOK_SECONDS = 1.0
"""Whoever waits for a log to grow looks by itself this often, as with a real store."""


class Connection:
    """How one replica reaches the store. While it is cut nothing gets there, and no answer comes back."""

    def __init__(self, random: Random, faults: Faults, grid: int) -> None:
        self._random = random
        self._tick = 1 / grid if grid else 0.0
        self._faults = faults
        self._way_seconds_max = random.choice((0.0, 0.001, 0.02))
        self.cut = False
        self._late: dict[asyncio.Task[None], None] = {}

    async def ask(self, ask: Callable[[], Awaitable[T]]) -> T:
        """One request and its answer; when the answer is lost nobody knows what came of it. Raises LogError."""
        await self._go()
        answer = await ask()
        await self._go()
        return answer

    async def ask_perhaps_late(self, ask: Callable[[], Awaitable[T]], overtaken: Callable[[], bool]) -> T:
        """A request that, where nothing gets through, may arrive when nobody waits for it any more: perhaps right after
        another has claimed the log. Raises LogError."""
        try:
            return await self.ask(ask)
        except LogError:
            if self.cut and self._random.random() < 0.5:
                arriving = asyncio.get_running_loop().create_task(self._arrive(ask, overtaken), context=NOWHERE.copy())
                self._late[arriving] = None
                arriving.add_done_callback(lambda done: self._late.pop(done, None), context=NOWHERE)
            raise

    async def _arrive(self, ask: Callable[[], Awaitable[T]], overtaken: Callable[[], bool]) -> None:
        for _ in range(round(LATE_SECONDS_MAX / LATE_LOOK_SECONDS)):
            if overtaken() or self._faults.calm:
                break
            await asyncio.sleep(LATE_LOOK_SECONDS)
        with suppress(LogError):
            await ask()

    async def _go(self) -> None:
        seconds = 0.0002 if self._faults.calm else self._random.random() * self._way_seconds_max
        await asyncio.sleep(seconds if seconds > self._tick / 2 else 0)
        if self.cut:
            await asyncio.sleep(self._random.random() * 0.5)
            raise LogError("the store cannot be reached")


class SharedStore(FaultyStore):
    """One replica's way to the logs that all of them share."""

    def __init__(
        self, place: MemoryPlace, random: Random, faults: Faults, durable: Durable, connection: Connection
    ) -> None:
        super().__init__(place, random, faults, durable)
        self.connection = connection

    async def open(self, namespace: str) -> SharedLog:
        """As MemoryStore.open."""
        opening = super().open
        log = await self.connection.ask(lambda: opening(namespace))
        return SharedLog(self, namespace, log._record)

    async def namespaces(self) -> list[str]:
        """As MemoryStore.namespaces."""
        return await self.connection.ask(super().namespaces)


class SharedLog(FaultyLog):
    """A log at the other end of a connection."""

    def __init__(self, store: SharedStore, namespace: str, record: object) -> None:
        super().__init__(store, namespace, record)
        self._connection = store.connection

    async def ends(self) -> LogEnds:
        """As EventLog.ends."""
        return await self._connection.ask(super().ends)

    async def holder(self) -> Holder:
        """As EventLog.holder."""
        return await self._connection.ask(super().holder)

    async def claim(self, holder: str, *, after: int | None = None, accepting: bool = False) -> int:
        """As MemoryLog.claim."""
        claim = super().claim
        return await self._connection.ask(lambda: claim(holder, after=after, accepting=accepting))

    async def loss(self) -> TailLost | None:
        """As MemoryLog.loss."""
        return await self._connection.ask(super().loss)

    async def rebase(self, log_id: str, snapshot: Snapshot, epoch: int) -> None:
        """As MemoryLog.rebase."""
        rebase = super().rebase
        await self._connection.ask(lambda: rebase(log_id, snapshot, epoch))

    async def release(self, epoch: int) -> None:
        """As EventLog.release."""
        release = super().release
        await self._connection.ask(lambda: release(epoch))

    async def confirm(self, epoch: int) -> None:
        """As EventLog.confirm."""
        confirm = super().confirm
        await self._connection.ask(lambda: confirm(epoch))

    async def append(self, batch: Batch, epoch: int) -> None:
        """As EventLog.append."""
        append, claimed = super().append, self._record.epoch
        await self._connection.ask_perhaps_late(lambda: append(batch, epoch), lambda: self._record.epoch != claimed)

    async def read(self, after: int, *, bytes_max: int = 2 * 1024 * 1024) -> list[StoredBatch]:
        """As EventLog.read."""
        read = super().read
        return await self._connection.ask(lambda: read(after, bytes_max=bytes_max))

    async def grown(self, after: int) -> int:
        """As EventLog.grown."""
        while True:
            ends = await self.ends()
            try:
                async with asyncio.timeout(LOOK_SECONDS):
                    return await self._record.growth.beyond(after, ends.last_sequence)
            except TimeoutError:
                continue

    async def locate(self, time_ns: int) -> int:
        """As EventLog.locate."""
        locate = super().locate
        return await self._connection.ask(lambda: locate(time_ns))

    async def save_snapshot(self, snapshot: Snapshot, epoch: int) -> None:
        """As EventLog.save_snapshot."""
        save = super().save_snapshot
        await self._connection.ask(lambda: save(snapshot, epoch))

    async def snapshots(self) -> list[Snapshot]:
        """As EventLog.snapshots."""
        return await self._connection.ask(super().snapshots)

    async def trim(self, below: int, epoch: int) -> int:
        """As EventLog.trim."""
        trim = super().trim
        return await self._connection.ask(lambda: trim(below, epoch))

    async def measure(self, after: int, until: int) -> int:
        """As EventLog.measure."""
        measure = super().measure
        return await self._connection.ask(lambda: measure(after, until))

    async def cursors(self) -> list[Cursor]:
        """As EventLog.cursors."""
        return await self._connection.ask(super().cursors)

    async def save_cursors(self, saved: Sequence[Cursor], epoch: int, *, dropped: Sequence[str] = ()) -> None:
        """As EventLog.save_cursors."""
        save = super().save_cursors
        await self._connection.ask(lambda: save(saved, epoch, dropped=dropped))


class SharedMembers(MemoryMembers):
    """The members, at the other end of the same connection."""

    def __init__(self, place: MemberPlace, connection: Connection, call: Callable[..., None]) -> None:
        super().__init__(place)
        self._connection = connection
        self._call = call

    async def listen(self, heard: Callable[[str], None]) -> None:
        """As Members.listen: what is told is heard in the process."""
        await super().listen(lambda word: self._connection.cut or self._call(heard, word))

    async def _reach(self) -> None:
        await self._connection.ask(_nothing)


async def _nothing() -> None:
    """Only the way there and back."""
