"""Namespaces: opens, recovers and owns each on first use, and again after it was dropped; knows who owns the others."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable
from typing import TypeAlias

from coordinator_service.clock import Clock
from coordinator_service.core.commands import COORDINATOR, StartOwner
from coordinator_service.core.limits import Limits
from coordinator_service.core.rejections import LimitReached, LogTailLost, Rejection, Unavailable
from coordinator_service.core.values import NS_PER_SECOND
from coordinator_service.local_namespace import LocalNamespace, ShellLimits
from coordinator_service.log.base import EventLog, Fenced, LogCorrupt, LogEnds, LogError, LogStore, LogTooNew, TailLost
from coordinator_service.ownership import Ownership, Replica, SoleOwner
from coordinator_service.ports import NamespacePort
from coordinator_service.sequencer import OnDecided
from coordinator_service.snapshots import Fold, fold_to_end, recover
from coordinator_service.standby import Standby

_log = logging.getLogger(__name__)

OPENED_AT_ONCE = 32
LOOK_SECONDS = 5.0
"""How often is looked for namespaces that are to be owned and are not, beside whenever the owners change."""
HAND_OVER_SECONDS_MAX = 10.0
"""A replica that lives and does not let go of what it is not to own any more is fenced after this."""
MOVE_RETRY_MS = 100
"""When to try again while a namespace moves from one replica to another."""

Elsewhere: TypeAlias = Callable[[str, Replica], Awaitable[NamespacePort]]
"""The port of a namespace that another replica owns. Raises Unavailable, LogError."""


class Namespaces:
    """All namespaces, as this replica sees them: it owns some, and asks the owners of the others."""

    def __init__(
        self,
        store: LogStore,
        clock: Clock,
        *,
        replica_id: str,
        limits: Limits | None = None,
        shell: ShellLimits | None = None,
        ownership: Ownership | None = None,
        elsewhere: Elsewhere | None = None,
        standby: Standby | None = None,
        on_owned: Callable[[LocalNamespace], None] | None = None,
        on_decided: OnDecided | None = None,
    ) -> None:
        self._store = store
        self._clock = clock
        self._replica_id = replica_id
        self._limits = limits or Limits()
        self._shell = shell or ShellLimits()
        self._ownership = ownership or SoleOwner(replica_id)
        self._elsewhere = elsewhere or _not_here
        self._standby = standby
        self._on_owned = on_owned
        self._on_decided = on_decided
        self._owned: dict[str, LocalNamespace] = {}
        self._opening: dict[str, asyncio.Task[LocalNamespace]] = {}
        self._leaving: dict[str, asyncio.Task[None]] = {}
        self._closing = False
        self._looking: asyncio.Future[None] | None = None
        self._ownership.on_change(self._owners_changed)

    async def get(self, name: str) -> NamespacePort:
        """The namespace: opened and owned if this replica is to own it, else the port to its owner. Raises
        Unavailable, LimitReached, LogTailLost."""
        owned = self._owned.get(name)
        if owned is not None and owned.serves:
            return owned
        owner = self._ownership.owner_of(name)
        if owner is None:
            return await self.own(name)
        try:
            return await self._elsewhere(name, owner)
        except TailLost as loss:
            raise _not_served(name, loss) from None
        except LogError as error:
            raise Unavailable(f"the log cannot be read: {error}") from None

    async def own(self, name: str) -> LocalNamespace:
        """The namespace, opened and owned if it is not. Raises Unavailable, also when another replica is to own it;
        LimitReached."""
        owned = self._owned.get(name)
        if owned is not None and owned.serves:
            return owned
        if self._closing:
            raise Unavailable("the coordinator is shutting down")
        opening = self._opening.get(name)
        if opening is None:
            if len(self._owned) + len(self._opening) >= self._shell.namespaces_max and name not in self._owned:
                raise LimitReached("namespaces_max", self._shell.namespaces_max)
            opening = self._opening[name] = asyncio.get_running_loop().create_task(self._open(name))
            opening.add_done_callback(lambda done: self._opened(name, done))
        return await asyncio.shield(opening)

    async def names(self) -> list[str]:
        """The namespaces that have a log, by name. Raises Unavailable."""
        try:
            return sorted({*await self._store.namespaces(), *self._owned})
        except LogError as error:
            raise Unavailable(f"the log cannot be read: {error}") from None

    async def exists(self, name: str) -> bool:
        """Whether the namespace has a log, without making one. Raises Unavailable."""
        try:
            return name in self._owned or name in self._opening or name in await self._store.namespaces()
        except LogError as error:
            raise Unavailable(f"the log cannot be read: {error}") from None

    def owned(self) -> list[LocalNamespace]:
        """Those that are open now."""
        return [each for each in self._owned.values() if not each.dropped]

    async def close(self) -> None:
        """Finishes what was submitted, in every namespace, and lets go of them."""
        self._closing = True
        await asyncio.gather(*self._opening.values(), return_exceptions=True)
        await asyncio.gather(*self._leaving.values(), *(each.close() for each in self.owned()))

    def owner_of(self, name: str) -> Replica | None:
        """The other replica that owns a namespace; None when this one does. Raises Unavailable."""
        return None if name in self._owned and self._owned[name].serves else self._ownership.owner_of(name)

    async def own_all(self) -> None:
        """Owns every namespace that there is and that this replica is to own; says in the log which it cannot. Raises
        Unavailable."""
        few = asyncio.Semaphore(OPENED_AT_ONCE)
        here = [name for name in await self.names() if self._is_missing(name)]
        await asyncio.gather(*(self._own_one(name, few) for name in here))

    async def keep_owning(self) -> None:
        """Until cancelled: owns every namespace that there is and that this replica is to own, so that leases and
        deadlines go on whether or not somebody calls."""
        while True:
            self._looking = asyncio.get_running_loop().create_future()
            try:
                await self.own_all()
            except Unavailable as fault:
                _log.warning("the namespaces are not known: %s", fault.message)
            timer = self._clock.call_later(LOOK_SECONDS, self._look)
            try:
                await self._looking
            finally:
                timer.cancel()

    def _is_missing(self, name: str) -> bool:
        """Whether this replica is to own a namespace and does not."""
        owned = self._owned.get(name)
        if owned is not None and owned.serves:
            return False
        try:
            return self._ownership.owner_of(name) is None
        except Unavailable:
            return False

    async def _own_one(self, name: str, few: asyncio.Semaphore) -> None:
        async with few:
            try:
                await self.own(name)
            except Unavailable as fault:
                _log.warning("namespace %s is not owned yet: %s", name, fault.message)
            except Rejection as fault:
                _log.error("namespace %s is not served: %s", name, fault.message)

    def _look(self) -> None:
        if self._looking is not None and not self._looking.done():
            self._looking.set_result(None)

    def _owners_changed(self) -> None:
        """Lets go of what another replica is to own now, each as soon as what was submitted is done."""
        self._look()
        for name, owned in list(self._owned.items()):
            self._leave_if_moved(name, owned)

    def _leave_if_moved(self, name: str, owned: LocalNamespace) -> None:
        if not owned.serves:
            return
        try:
            owner = self._ownership.owner_of(name)
        except Unavailable:
            return
        if owner is not None:
            self._leave(name, owned, owner)

    def _leave(self, name: str, owned: LocalNamespace, owner: Replica) -> None:
        _log.info("namespace %s goes to %s", name, owner.replica_id)
        moved = Unavailable(f"the namespace moves to {owner.replica_id}", retry_after_ms=MOVE_RETRY_MS)
        leaving = self._leaving[name] = asyncio.get_running_loop().create_task(owned.close(moved))

        def done(_: asyncio.Task[None]) -> None:
            self._leaving.pop(name, None)
            if self._owned.get(name) is owned:
                del self._owned[name]

        leaving.add_done_callback(done)

    async def _open(self, name: str) -> LocalNamespace:
        leaving = self._leaving.get(name)
        if leaving is not None:
            await asyncio.wait([leaving])
        try:
            log = await self._store.open(name)
            epoch = await self._claim(log)
            ends = await log.ends()
            fold = await self._fold(log, ends)
            cursors = await log.cursors()
        except LogTooNew as newer:
            _log.error("namespace %s cannot be opened: %s", name, newer)
            raise Unavailable(
                f"namespace {name} was written by a later version: {newer}", retry_after_ms=5000
            ) from None
        except LogCorrupt as damage:
            _log.error("namespace %s cannot be opened: %s", name, damage)
            raise Unavailable(f"the log of namespace {name} is damaged: {damage}", retry_after_ms=5000) from None
        except TailLost as loss:
            raise _not_served(name, loss) from None
        except LogError as error:
            raise Unavailable(f"the log cannot be read: {error}") from None
        owned = LocalNamespace(
            log, fold.state, epoch, ends, cursors, self._clock, self._shell, self._ownership, self._on_decided
        )
        start = StartOwner(epoch=epoch, replica_id=self._replica_id, limits=self._limits)
        try:
            await owned.call(start, COORDINATOR)
        except BaseException:
            owned.drop(Unavailable("the namespace was not opened"))
            raise
        self._owned[name] = owned
        if self._on_owned is not None:
            self._on_owned(owned)
        self._leave_if_moved(name, owned)  # while it was being opened
        return owned

    def _opened(self, name: str, opening: asyncio.Task[LocalNamespace]) -> None:
        self._opening.pop(name, None)
        if not opening.cancelled():
            opening.exception()  # whoever asked for it may have gone

    async def _fold(self, log: EventLog, ends: LogEnds) -> Fold:
        """The state at the end of a log that is claimed here: what stood by goes on, unless it is of another past.
        Raises LogError."""
        warm = None if self._standby is None else await self._standby.take(log.namespace)
        if warm is not None:
            began = warm.state.sequence
            try:
                await fold_to_end(log, warm)
            except LogCorrupt as fault:
                _log.warning("namespace %s is folded anew: %s", log.namespace, fault)
            else:
                if (warm.state.sequence, warm.hash) == (ends.last_sequence, ends.hash):
                    _log.info(
                        "namespace %s is taken over at %d, folded up to %d", log.namespace, ends.last_sequence, began
                    )
                    return warm
                _log.warning("namespace %s is folded anew: its log has gone another way", log.namespace)
        return await recover(log)

    async def _claim(self, log: EventLog) -> int:
        """Claims a log once nobody else holds it. Raises Unavailable when another replica is to own it, LogError."""
        ownership = self._ownership
        began_ns = self._clock.monotonic_ns()
        while True:
            owner = ownership.owner_of(log.namespace)
            if owner is not None:
                raise Unavailable(f"the namespace is owned by {owner.replica_id}", retry_after_ms=MOVE_RETRY_MS)
            change = asyncio.ensure_future(ownership.change())
            try:
                holder = await log.holder()
                waited_seconds = (self._clock.monotonic_ns() - began_ns) / NS_PER_SECOND
                if ownership.lives(holder.name) and waited_seconds < HAND_OVER_SECONDS_MAX:
                    await change
                    continue
                return await log.claim(ownership.here.holder, after=holder.epoch)
            except Fenced:
                continue  # somebody was faster
            finally:
                change.cancel()


def _not_served(name: str, loss: TailLost) -> LogTailLost:
    _log.error("namespace %s is not served until an operator accepts the loss: %s", name, loss)
    return LogTailLost(loss.log_id, loss.last_sequence, str(loss))


async def _not_here(_name: str, owner: Replica) -> NamespacePort:
    raise Unavailable(f"the namespace is owned by {owner.replica_id}, at {owner.address}")
