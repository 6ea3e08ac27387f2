"""One life of a replica: a coordinator among others over one store, that may stand still and go on."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from typing import TYPE_CHECKING, Any, TypeVar, cast

from coordinator_service.cluster.handshake import ClusterSecret, Identity
from coordinator_service.cluster.neighbours import Neighbours
from coordinator_service.cluster.ownership import ClusterOwnership
from coordinator_service.cluster.relay import Relay
from coordinator_service.cluster.wire import Wire, WireLost
from coordinator_service.core.limits import Limits
from coordinator_service.core.rejections import Unavailable
from coordinator_service.local_namespace import LocalNamespace
from coordinator_service.namespaces import Namespaces
from coordinator_service.ports import NamespacePort
from coordinator_service.sequencer import Sequencer
from coordinator_service.sessions import SessionHub
from coordinator_service.standby import Standby
from tests.simulation.clock import NS, VirtualClock
from tests.simulation.coordinator import NAMESPACE, Coordinator, Lost
from tests.simulation.process import Gone, Process
from tests.simulation.shared_store import Connection, SharedMembers, SharedStore

if TYPE_CHECKING:
    from tests.simulation.cluster import Cluster

T = TypeVar("T")


class Replica(Coordinator):
    """A process of a cluster. Whoever calls in from outside does so through `call` and `within`."""

    def __init__(self, cluster: Cluster, name: str, limits: Limits) -> None:
        self.cluster = cluster
        self.name = name
        self.process = Process()
        self.listens = False
        self.leaving = False
        world = cluster.world
        self.connection = Connection(cluster.random, world.faults, world.swarm.grid)
        self._address = f"{name}:{len(world.lives)}"
        super().__init__(world, limits)
        self._renewed = cluster.renewed

    def _build(self, limits: Limits) -> None:
        self.process.call(self._build_inside, limits)

    def _build_inside(self, limits: Limits) -> None:
        cluster, world = self.cluster, self.world
        self.clock = VirtualClock(world.loop, wall_off_ns=cluster.random.choice((0, 0, -5, 5, 3600)) * NS)
        self.store = SharedStore(world.place, world.random, world.faults, world.durable, self.connection)
        members = SharedMembers(cluster.members, self.connection, self.process.call)
        self.ownership = ClusterOwnership(members, self.clock, replica_id=self.name, lease_ms=cluster.lease_ms)
        self._secret = ClusterSecret()
        self._neighbours = Neighbours(
            self.store,
            self.clock,
            self.ownership,
            connect=lambda address: cast("Wire", cluster.wires.connect(self, address)),
            tail_bytes_max=world.shell.tail_bytes_max,
            secret=self._secret,
        )
        self._standby = Standby(self.store, self.ownership, namespaces_max=1)
        self.namespaces = Namespaces(
            self.store,
            self.clock,
            replica_id=self.name,
            limits=limits,
            shell=world.shell,
            ownership=self.ownership,
            elsewhere=self._neighbours.port_of,
            standby=self._standby,
            on_decided=self._decided,
            on_owned=self._own,
        )
        self._begun = self.process.spawn(self._begin())
        self._running: list[asyncio.Task[None]] = []
        self._relays: set[Relay] = set()
        self.ownership.on_lapse(self._lapsed)

    async def _begin(self) -> None:
        self.cluster.wires.listen(self._address, self)
        await self.ownership.begin(self._address)
        self.listens = True
        for work in (self.namespaces.keep_owning(), self._standby.keep()):
            self._running.append(self.process.spawn(self._watch(work)))

    async def _watch(self, work: Coroutine[Any, Any, None]) -> None:
        try:
            await work
        except Exception as broken:
            broken.add_note(f"in replica {self.name}")
            self.world.fail(broken)

    # From outside.

    def call(self, function: Callable[..., T], *args: Any) -> T:
        """Calls a function as code of this process."""
        return self.process.call(function, *args)

    async def within(self, work: Coroutine[Any, Any, T]) -> T:
        """Has something done in this process. Raises Lost when it dies meanwhile."""
        try:
            return await self.process.run(work)
        except Gone:
            raise Lost from None

    async def port(self) -> NamespacePort:
        """The namespace, wherever it is owned. Raises Rejection, Lost."""
        return cast("NamespacePort", Inside(await self.within(self._port()), self))

    async def hub(self) -> SessionHub:
        """The hub of the namespace. Raises Rejection, Lost."""
        return await self.within(self._hub())

    async def _port(self) -> NamespacePort:
        await asyncio.wait([self._begun])
        if self.dead:
            raise Lost
        return await self.namespaces.get(NAMESPACE)

    async def _hub(self) -> SessionHub:
        return await self.hubs.of(await self._port())

    def may_append(self) -> bool:
        """Whether what this process decides can become durable: nobody else has claimed the log."""
        record = self.world.record()
        return record is not None and record.holder == self.ownership.here.holder

    def has_lapsed(self) -> bool:
        """Whether its lease is over, by its own clock."""
        return self.clock.monotonic_ns() >= self.ownership._stands_until_ns

    def owns(self, port: NamespacePort) -> bool:
        """Whether what is asked of a port is decided in this process."""
        return isinstance(port, Inside) and isinstance(port.port, LocalNamespace)

    def decides(self, port: NamespacePort) -> Sequencer | None:
        """Nobody, where the namespace is owned elsewhere or the process stands still."""
        return cast("LocalNamespace", port).sequencer if self.owns(port) and not self.paused else None

    def owner_here(self) -> LocalNamespace | None:
        """The namespace, if it is served from here."""
        return next((each for each in self.namespaces.owned() if each._leaving is None), None)

    # Other replicas.

    def _lapsed(self) -> None:
        for relay in list(self._relays):
            relay.end("the lease of this replica has run out")

    def serve(self, end: Any) -> None:
        """Another replica has connected."""

        async def relay() -> None:
            here = self.ownership.here
            relay = Relay(end, Identity(here.replica_id, here.holder, self._secret), self.namespaces.own)
            self._relays.add(relay)
            try:
                await relay.run()
            except WireLost:
                pass
            finally:
                self._relays.discard(relay)
                end.close()

        self.process.spawn(self._watch(relay()))

    # Standing still, going, dying.

    @property
    def paused(self) -> bool:
        """Whether it stands still."""
        return self.world.loop.holds(self.process)

    def pause(self) -> None:
        """As SIGSTOP."""
        self.pauses += 1
        self.world.loop.hold(self.process)

    def wake(self) -> None:
        """As SIGCONT."""
        self.world.loop.let_go(self.process)

    async def leave(self) -> None:
        """As on SIGTERM: hands over what it owns, and ends."""
        self.leaving = True
        try:
            await self.within(self._leave())
        except Lost:
            return  # it died on the way

    async def _leave(self) -> None:
        await self.ownership.drain()
        self.sever()
        await self._end_owning()
        await self._neighbours.close(Unavailable("the coordinator is shutting down"))
        await self.namespaces.close()
        self.listens = False
        self.cluster.wires.end_of(self)
        await self.ownership.close()

    async def _end_owning(self) -> None:
        for task in self._running:
            task.cancel()
        await asyncio.gather(*self._running, return_exceptions=True)

    async def bury(self) -> None:
        """As of any coordinator; its lease has to run out."""
        self.connection.cut = True
        self._begun.cancel()
        self.cluster.wires.end_of(self)
        self.wake()
        await super().bury()
        for port in list(self._neighbours._ports.values()):
            self.call(port[1].drop, Unavailable("crashed"))
        closing = asyncio.gather(
            self.process.spawn(self._neighbours.close(Unavailable("crashed"))),
            self.process.spawn(self._end_owning()),
            self.process.spawn(self.ownership.close()),
            return_exceptions=True,
        )
        await closing
        self.process.end()

    async def close(self) -> None:
        """Ends as on SIGTERM."""
        await self.leave()
        await self.store.close()
        self.process.end()


class Inside:
    """A port of a replica as it is used from outside: what is asked of it is done in its process."""

    def __init__(self, port: NamespacePort, replica: Replica) -> None:
        self.port = port
        self._replica = replica

    def __getattr__(self, name: str) -> Any:
        found = getattr(self.port, name)
        if not callable(found):
            return found
        if asyncio.iscoroutinefunction(found):
            return lambda *args, **named: self._within(found(*args, **named))
        return lambda *args, **named: self._replica.call(lambda: found(*args, **named))

    async def _within(self, work: Coroutine[Any, Any, Any]) -> Any:
        return await self._replica.within(work)
