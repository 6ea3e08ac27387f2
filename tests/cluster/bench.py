"""Replicas in one process over one place in memory, under virtual time: each may stand still, be cut off, or die."""

from __future__ import annotations

import asyncio
from typing import Any

from coordinator_service.clock import Clock
from coordinator_service.cluster.ownership import ClusterOwnership
from coordinator_service.core.answers import Answer, Done, StateRead
from coordinator_service.core.commands import Caller, GetState, UpdateState
from coordinator_service.core.events import Event, OwnerStarted
from coordinator_service.core.invariants import check_invariants
from coordinator_service.core.rejections import Unavailable
from coordinator_service.core.specs import StateChange, StateUpdate
from coordinator_service.local_namespace import LocalNamespace
from coordinator_service.log.codec import frame, split
from coordinator_service.log.memory import MemoryPlace, MemoryStore
from coordinator_service.namespaces import Namespaces
from coordinator_service.ports import Committed
from coordinator_service.standby import Standby
from tests.cluster.memory_members import MemberPlace, MemoryMembers
from tests.simulation.clock import VirtualClock

LEASE_MS = 1_000


class BenchReplica:
    """One process: its clock, its connection to the store, what it owns."""

    def __init__(self, bench: ClusterBench, name: str) -> None:
        self.name = name
        self.clock = VirtualClock(asyncio.get_running_loop())
        self.members = MemoryMembers(bench.member_place)
        self.store = MemoryStore(bench.place)
        self.ownership = ClusterOwnership(self.members, self.clock, replica_id=name, lease_ms=LEASE_MS)
        self.standby = Standby(self.store, self.ownership, namespaces_max=100)
        self.namespaces = Namespaces(
            self.store,
            self.clock,
            replica_id=name,
            ownership=self.ownership,
            standby=self.standby,
            on_decided=lambda state, _command, _decision: check_invariants(state),
        )
        self._running: list[asyncio.Task[None]] = []

    async def begin(self) -> None:
        """Joins."""
        await self.ownership.begin(f"{self.name}:7420")
        self._running = [asyncio.create_task(self.namespaces.keep_owning()), asyncio.create_task(self.standby.keep())]

    async def leave(self) -> None:
        """As on SIGTERM."""
        await self.ownership.drain()
        await self._end_owning()
        await self.namespaces.close()
        await self.ownership.close()

    async def die(self) -> None:
        """As on SIGKILL: it says nothing any more, and nobody is told."""
        self.members.cut_off = True
        await self._end_owning()
        for owned in self.namespaces.owned():
            owned.drop(Unavailable("killed"))
        await self.ownership.close()

    def owns(self, name: str) -> bool:
        """Whether it serves a namespace."""
        return any(each.namespace == name and each.serves for each in self.namespaces.owned())

    async def own(self, name: str) -> LocalNamespace:
        """A namespace that it is to own."""
        return await self.namespaces.own(name)

    async def _end_owning(self) -> None:
        for task in self._running:
            task.cancel()
        await asyncio.gather(*self._running, return_exceptions=True)


class ClusterBench:
    """The place, and the replicas over it."""

    def __init__(self) -> None:
        self.place = MemoryPlace(shared=True)
        clock: Clock = VirtualClock(asyncio.get_running_loop())
        self.member_place = MemberPlace(clock)
        self.replicas: dict[str, BenchReplica] = {}

    async def join(self, *names: str) -> list[BenchReplica]:
        """New replicas, that have joined."""
        joined = []
        for name in names:
            replica = self.replicas[name] = BenchReplica(self, name)
            await replica.begin()
            joined.append(replica)
        return joined

    def owner(self, name: str) -> BenchReplica | None:
        """Who serves a namespace."""
        return next((replica for replica in self.replicas.values() if replica.owns(name)), None)

    async def owned(self, name: str, *, other_than: BenchReplica | None = None) -> BenchReplica:
        """Who serves a namespace, once somebody does."""
        while (found := self.owner(name)) is None or found is other_than:  # noqa: ASYNC110
            await asyncio.sleep(0.001)
        return found

    async def settled(self, name: str) -> BenchReplica:
        """Who serves a namespace, once that is who is to own it."""
        while (found := self.owner(name)) is None or found.ownership.owner_of(name) is not None:  # noqa: ASYNC110
            await asyncio.sleep(0.001)
        return found

    async def epochs(self, name: str) -> list[int]:
        """The epochs of the log in the order in which they begin: checked to rise (invariant 12)."""
        reading = await MemoryStore(self.place).open(name)
        found: list[int] = []
        for stored in await reading.read(0):
            events = _events(stored.batch.events, stored.batch.first_sequence)
            found += [event.payload.epoch for event in events if isinstance(event.payload, OwnerStarted)]
        assert found == sorted(set(found))
        return found

    async def end(self) -> None:
        """All of them."""
        for replica in self.replicas.values():
            await replica.die()


def _events(encoded: bytes, first: int) -> list[Event]:
    return [Committed(first + place, frame(each)).event for place, each in enumerate(split(encoded))]


def update_of(key: str, value: Any) -> UpdateState:
    """Writes a key."""
    return UpdateState(change=StateChange(updates=(StateUpdate(key=key, value=value),)), writer="tester")


async def update(port: LocalNamespace, key: str, value: Any) -> Answer:
    """Writes shared state. Raises Rejection."""
    return await port.call(update_of(key, value), Caller())


async def revision(port: LocalNamespace, key: str, value: Any) -> int:
    """Writes shared state; its revision. Raises Rejection."""
    answer = await update(port, key, value)
    assert isinstance(answer, Done)
    return answer.sequence


async def read(port: LocalNamespace, key: str) -> Any:
    """Reads shared state. Raises Rejection."""
    answer = await port.call(GetState(keys=(key,)), Caller())
    assert isinstance(answer, StateRead)
    return answer.entries[0].value if answer.entries else None
