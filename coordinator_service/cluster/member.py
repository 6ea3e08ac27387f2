"""A member of a cluster: this replica as the others see it, and they as it sees them."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import TypeAlias

from coordinator_service.clock import Clock
from coordinator_service.cluster.grpc_wire import ClientWire, ReplicaServer
from coordinator_service.cluster.messages import VERSION, Hello
from coordinator_service.cluster.neighbours import Neighbours
from coordinator_service.cluster.relay import Own
from coordinator_service.cluster.remote_namespace import RemoteNamespace
from coordinator_service.core.rejections import Rejection
from coordinator_service.log.base import LogStore
from coordinator_service.ownership import Ownership, Replica

Join: TypeAlias = Callable[[str], Awaitable[Ownership]]
"""Says that a replica is there, at the address where the others reach it. Raises LogError."""


class Member:
    """Serves the other replicas and asks them. Raises OSError when it cannot listen."""

    def __init__(self, listen: str, own: Own, store: LogStore, clock: Clock, *, tail_bytes_max: int) -> None:
        self._server = ReplicaServer(listen, own)
        self._store = store
        self._clock = clock
        self._tail_bytes_max = tail_bytes_max
        self._neighbours: Neighbours | None = None

    async def join(self, join: Join, secret: str = "") -> Ownership:
        """From here on others may ask. `secret` is what only replicas of this cluster know."""
        ownership = await join(self._server.address)
        here = ownership.here
        await self._server.start(Hello(VERSION, here.replica_id, here.holder, secret))
        self._neighbours = Neighbours(
            self._store,
            self._clock,
            ownership,
            connect=ClientWire,
            tail_bytes_max=self._tail_bytes_max,
            secret=secret,
        )
        return ownership

    async def port_of(self, namespace: str, owner: Replica) -> RemoteNamespace:
        """The port of a namespace that another replica owns. Raises Unavailable, LogError."""
        assert self._neighbours is not None
        return await self._neighbours.port_of(namespace, owner)

    async def leave(self, reason: Rejection) -> None:
        """Asks nobody any more; whoever waits is told."""
        if self._neighbours is not None:
            await self._neighbours.close(reason)

    async def stop(self) -> None:
        """Answers nobody any more."""
        await self._server.stop()
