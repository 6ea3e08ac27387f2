"""A member of a cluster: this replica as the others see it, and they as it sees them."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import TypeAlias
from weakref import WeakSet

from coordinator_service.clock import Clock
from coordinator_service.cluster.grpc_wire import ClientWire, LinkCredentials, ReplicaServer
from coordinator_service.cluster.handshake import ClusterSecret, Identity
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

    def __init__(
        self,
        listen: str,
        own: Own,
        store: LogStore,
        clock: Clock,
        *,
        tail_bytes_max: int,
        secret: ClusterSecret | None = None,
        credentials: LinkCredentials | None = None,
    ) -> None:
        self._server = ReplicaServer(listen, own, credentials)
        self._credentials = credentials
        self._store = store
        self._clock = clock
        self._tail_bytes_max = tail_bytes_max
        self._secret = secret or ClusterSecret()
        self._here: Replica | None = None
        self._neighbours: Neighbours | None = None
        self._wires: WeakSet[ClientWire] = WeakSet()

    async def join(self, join: Join) -> Ownership:
        """From here on others know of this replica. What they ask waits until it serves."""
        await self._server.start()
        ownership = await join(self._server.address)
        self._here = ownership.here
        # Who asked a replica that then stood still for longer than its lease has asked another since, and was answered:
        # a refusal leaves no trace, so the same request must not be decided here once more.
        ownership.on_lapse(lambda: self._server.end_links("the lease of this replica has run out"))
        self._neighbours = Neighbours(
            self._store,
            self._clock,
            ownership,
            connect=self._connect,
            tail_bytes_max=self._tail_bytes_max,
            secret=self._secret,
        )
        return ownership

    def serve(self) -> None:
        """Answers the others."""
        assert self._here is not None
        self._server.answer(Identity(self._here.replica_id, self._here.holder, self._secret))

    async def port_of(self, namespace: str, owner: Replica) -> RemoteNamespace:
        """The port of a namespace that another replica owns. Raises Unavailable, LogError."""
        assert self._neighbours is not None
        return await self._neighbours.port_of(namespace, owner)

    async def leave(self, reason: Rejection) -> None:
        """Asks nobody any more; whoever waits is told."""
        if self._neighbours is not None:
            await self._neighbours.close(reason)
        await asyncio.gather(*(wire.closed() for wire in self._wires))

    async def stop(self) -> None:
        """Answers nobody any more."""
        await self._server.stop()

    def _connect(self, address: str) -> ClientWire:
        wire = ClientWire(address, self._credentials)
        self._wires.add(wire)
        return wire
