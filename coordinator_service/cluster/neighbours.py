"""Neighbours: the links of this replica, and the namespaces that it reaches through them.

A link is made when it is first needed and again when it was lost. A namespace whose owner changes, or is out of reach,
is dropped: whoever asks next gets the port of the new owner.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from functools import partial

from coordinator_service.clock import Clock
from coordinator_service.cluster.handshake import ClusterSecret, Identity
from coordinator_service.cluster.link import Link
from coordinator_service.cluster.remote_namespace import RemoteNamespace
from coordinator_service.cluster.wire import Wire
from coordinator_service.core.commands import Caller, GetEnds
from coordinator_service.core.rejections import Rejection, Unavailable
from coordinator_service.log.base import LogStore
from coordinator_service.ownership import Ownership, Replica
from coordinator_service.ports import ask

_log = logging.getLogger(__name__)

MOVE_RETRY_MS = 100
"""When to try again while a namespace moves from one replica to another."""


class Neighbours:
    """Makes the ports of namespaces that are owned elsewhere."""

    def __init__(
        self,
        store: LogStore,
        clock: Clock,
        ownership: Ownership,
        *,
        connect: Callable[[str], Wire],
        tail_bytes_max: int,
        secret: ClusterSecret,
    ) -> None:
        self._store = store
        self._clock = clock
        self._ownership = ownership
        self._connect = connect
        self._tail_bytes_max = tail_bytes_max
        self._secret = secret
        self._links: dict[str, Link] = {}
        self._running: dict[str, asyncio.Task[None]] = {}
        self._ports: dict[str, tuple[Replica, RemoteNamespace]] = {}
        self._opening: dict[str, asyncio.Lock] = {}
        self._complaints: dict[str, str] = {}
        self._there: set[str] = set()
        """Namespaces that the store was seen to have: none of them goes."""
        ownership.on_change(self._owners_changed)

    async def port_of(self, namespace: str, owner: Replica) -> RemoteNamespace:
        """The port of a namespace that another replica owns, made there if there is none. Raises Rejection,
        LogError."""
        async with self._opening.setdefault(namespace, asyncio.Lock()):
            known = self._ports.get(namespace)
            if known is not None and known[0] == owner and not known[1].dropped:
                return known[1]
            if known is not None:
                known[1].drop(_moved(owner))
            if namespace not in self._there:
                self._there.update(await self._store.namespaces())
            if namespace not in self._there:
                await self._have_made(namespace, self._link(owner))
            log = await self._store.open(namespace)
            ends = await log.ends()
            port = RemoteNamespace(log, ends, self._link(owner), tail_bytes_max=self._tail_bytes_max)
            self._ports[namespace] = owner, port
            return port

    async def close(self, reason: Rejection) -> None:
        """Ends every link."""
        for _, port in self._ports.values():
            port.drop(reason)
        running = list(self._running.values())
        for task in running:
            task.cancel()
        await asyncio.gather(*running, return_exceptions=True)

    async def _have_made(self, namespace: str, link: Link) -> None:
        """A namespace begins where it is owned, or is refused there."""
        await ask(partial(link.ask, namespace), lambda *_: None, GetEnds(), Caller(method="Follow"))

    def _link(self, owner: Replica) -> Link:
        link = self._links.get(owner.holder)
        if link is None:
            here = self._ownership.here
            link = self._links[owner.holder] = Link(
                self._connect(owner.address),
                Identity(here.replica_id, here.holder, self._secret),
                owner.replica_id,
                self._clock,
                lambda failure: self._lost(owner, failure),
            )
            running = self._running[owner.holder] = asyncio.get_running_loop().create_task(link.run())
            running.add_done_callback(lambda _: self._running.pop(owner.holder, None))
        return link

    def _lost(self, owner: Replica, failure: Rejection) -> None:
        self._links.pop(owner.holder, None)
        if self._complaints.get(owner.replica_id) != failure.message:  # not once for every call that finds it so
            self._complaints[owner.replica_id] = failure.message
            _log.warning("%s", failure.message)
        for known, port in self._ports.values():
            if known == owner:
                port.drop(failure)

    def _owners_changed(self) -> None:
        for namespace, (known, port) in list(self._ports.items()):
            try:
                owner = self._ownership.owner_of(namespace)
            except Unavailable:
                continue
            if owner != known:
                del self._ports[namespace]
                port.drop(_moved(owner or self._ownership.here))


def _moved(owner: Replica) -> Unavailable:
    return Unavailable(f"the namespace moves to {owner.replica_id}", retry_after_ms=MOVE_RETRY_MS)
