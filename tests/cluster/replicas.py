"""Replicas in the test's process, over one shared place: each serves clients and other replicas on ports of its own."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from concert._poller import quiet_poller
from concert.v1 import agent_service_pb2, lock_service_pb2
from pydantic import SecretStr

from coordinator_service.cluster.member import Join
from coordinator_service.core.rejections import Unavailable
from coordinator_service.log.memory import MemoryPlace, MemoryStore
from coordinator_service.ownership import Replica
from coordinator_service.server import CoordinatorServer
from tests.rpc.peer import Peer
from tests.rpc.serving import settings


class Town:
    """Who owns what, as the test says; every replica knows it at once."""

    def __init__(self) -> None:
        self.place = MemoryPlace(shared=True)
        self.replicas: dict[str, Replica] = {}
        self.owners: dict[str, str] = {}
        """By namespace, the replica_id; the first replica owns what is not named."""
        self.stopped: set[str] = set()
        self._told: list[Callable[[], None]] = []
        self._change = asyncio.Event()

    def owner(self, namespace: str) -> Replica:
        """Who owns a namespace."""
        named = self.owners.get(namespace)
        return self.replicas[named] if named else next(iter(self.replicas.values()))

    def move(self, namespace: str, replica_id: str) -> None:
        """Another replica is to own it from now on."""
        self.owners[namespace] = replica_id
        self.changed()

    def changed(self) -> None:
        """Tells everybody to look."""
        self._change.set()
        self._change = asyncio.Event()
        for told in self._told:
            told()

    def join(self, replica_id: str, address: str) -> Resident:
        """A replica that is here now."""
        here = Replica(replica_id=replica_id, incarnation="1", address=address)
        self.replicas[replica_id] = here
        return Resident(self, here)

    def on_change(self, told: Callable[[], None]) -> None:
        self._told.append(told)

    async def wait(self) -> None:
        await self._change.wait()


class Resident:
    """The ownership port of one of them."""

    def __init__(self, town: Town, here: Replica) -> None:
        self._town = town
        self._here = here

    @property
    def here(self) -> Replica:
        return self._here

    def owner_of(self, namespace: str) -> Replica | None:
        if self._here.replica_id in self._town.stopped:
            raise Unavailable("the lease has run out")
        owner = self._town.owner(namespace)
        return None if owner == self._here else owner

    def is_next(self, namespace: str) -> bool:
        return False

    def stands(self) -> bool:
        return self._here.replica_id not in self._town.stopped

    def lives(self, holder: str) -> bool:
        standing = [each for each in self._town.replicas.values() if each.replica_id not in self._town.stopped]
        return holder != self._here.holder and holder in [each.holder for each in standing]

    async def change(self) -> None:
        await self._town.wait()

    def on_change(self, changed: Callable[[], None]) -> None:
        self._town.on_change(changed)

    def on_lapse(self, lapsed: Callable[[], None]) -> None:
        self._town.on_change(lambda: None if self.stands() else lapsed())

    def announce(self) -> None:
        self._town.changed()


@asynccontextmanager
async def replica(
    town: Town, directory: Path, replica_id: str, secret: str = "", *, join: Join | None = None, **changes: Any
) -> AsyncIterator[CoordinatorServer]:
    """One more replica of the town."""
    quiet_poller(asyncio.get_running_loop())

    async def enter(address: str) -> Resident:
        return town.join(replica_id, address)

    server = CoordinatorServer(
        settings(
            directory,
            replica_id=replica_id,
            cluster_listen="127.0.0.1:0",
            cluster_secret=SecretStr(secret),
            **changes,
        ),
        store=MemoryStore(town.place),
        join=join or enter,
    )
    async with server:
        yield server


async def connected(peer: Peer) -> list[str]:
    """The agents that have a session, by id."""
    found = await peer.agents.ListAgents(agent_service_pb2.ListAgentsRequest(connected=True))
    return [each.spec.agent_id for each in found.agents]


async def queue_length(peer: Peer, resource: str) -> int:
    """How many wait for a lock."""
    return len((await peer.locks.GetLock(lock_service_pb2.GetLockRequest(resource=resource))).lock.waiters)
