"""The ownership port of a cluster: a lease of this replica, who else has one, and what follows for each namespace.

Each replica has one lease, renewed LEASE_BEATS times in its length, and with it stands for everything that it owns: a
beat costs the same for one namespace and for ten thousand. What a namespace has of its own is in its log: epoch, nonce
and holder. So a replica takes a namespace when placement.py ranks it first and the holder has let go or its lease has
run out, and the claim fences whatever that holder may still send.

By its own clock a replica counts its lease from before it asked for it, the store from when it was asked: nobody
believes longer in a lease than the others do. One that stood still (SIGSTOP, a long pause) finds its lease run out
before it says anything.
"""

from __future__ import annotations

import asyncio
import logging
import secrets
from collections.abc import Callable

from coordinator_service.clock import Clock, Timer
from coordinator_service.cluster.members import Member, Members
from coordinator_service.cluster.placement import ranked
from coordinator_service.core.rejections import Unavailable
from coordinator_service.core.values import NS_PER_MS, NS_PER_SECOND
from coordinator_service.log.base import LogError
from coordinator_service.ownership import Replica

_log = logging.getLogger(__name__)

LEASE_BEATS = 3
LET_GO = "let go"
MEMBERS = "members"
RANKS_KEPT_MAX = 100_000
"""Namespaces whose ranks are remembered while the members stay the same."""


class ClusterOwnership:
    """Who owns what, among the replicas whose leases stand. `begin` before anything else, `close` at the end."""

    def __init__(self, members: Members, clock: Clock, *, replica_id: str, lease_ms: int) -> None:
        self._members = members
        self._clock = clock
        self._lease_ms = lease_ms
        incarnation = f"{clock.wall_ns():016x}-{secrets.token_hex(4)}"
        self._me = Member(replica=Replica(replica_id=replica_id, incarnation=incarnation, address=""))
        self._living: tuple[Member, ...] = ()
        self._stands_until_ns = clock.monotonic_ns()
        self._ranks: dict[str, list[Replica]] = {}
        self._waiting: list[asyncio.Future[None]] = []
        self._changed: list[Callable[[], None]] = []
        self._on_lapse: list[Callable[[], None]] = []
        self._doubted: dict[str, bool] = {}
        self._beating: asyncio.Task[None] | None = None
        self._telling: set[asyncio.Task[None]] = set()
        self._early: asyncio.Future[None] | None = None
        self._hurried = False
        self._listening = False
        self._lapse: Timer | None = None
        self._lapse_noted = True
        self._faulty = False

    # The port.

    @property
    def here(self) -> Replica:
        """This replica."""
        return self._me.replica

    def owner_of(self, namespace: str) -> Replica | None:
        """The replica that is to own a namespace; None when that is this one. Raises Unavailable."""
        first = self.ranks(namespace)[0]
        return None if first.incarnation == self.here.incarnation else first

    def is_next(self, namespace: str) -> bool:
        """Whether this replica comes second in the order of those that are to own a namespace."""
        if not self.stands():
            return False
        ranks = self.ranks(namespace)
        return len(ranks) > 1 and ranks[1].incarnation == self.here.incarnation

    def stands(self) -> bool:
        """Whether this replica's lease has not run out."""
        return self._clock.monotonic_ns() < self._stands_until_ns

    def lives(self, holder: str) -> bool:
        """Whether another process that claimed a log under this name still has its lease.

        One that is not known may have come just now: the others are asked once more before it counts as gone.
        """
        if not holder or holder == self.here.holder:
            return False
        if any(each.replica.holder == holder for each in self._living):
            return True
        if self._doubted.setdefault(holder, True):
            self._beat_soon()
        return self._doubted[holder]

    async def change(self) -> None:
        """Waits until any answer here may be another, or another replica let go of something."""
        waiter: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._waiting.append(waiter)
        try:
            await waiter
        finally:
            if waiter in self._waiting:
                self._waiting.remove(waiter)

    def on_change(self, changed: Callable[[], None]) -> None:
        """Has `changed` called when replicas came or went, or this one's lease ran out or came back."""
        self._changed.append(changed)

    def on_lapse(self, lapsed: Callable[[], None]) -> None:
        """Has `lapsed` called each time that this replica's lease has run out, before it stands by another."""
        self._on_lapse.append(lapsed)

    def announce(self) -> None:
        """Tells the other replicas that this one let go of something, so that they look."""
        self._tell(LET_GO)

    # What a cluster has beside it.

    def ranks(self, namespace: str) -> list[Replica]:
        """The replicas in the order in which they are to own a namespace. Raises Unavailable."""
        if not self.stands():
            raise Unavailable("this replica has no lease: it does not know who owns the namespace")
        found = self._ranks.get(namespace)
        if found is None:
            staying = [each.replica for each in self._living if not each.draining]
            found = ranked(namespace, staying or [each.replica for each in self._living])
            if len(self._ranks) >= RANKS_KEPT_MAX:
                self._ranks.clear()
            self._ranks[namespace] = found
        return found

    @property
    def living(self) -> tuple[Member, ...]:
        """The replicas whose leases stand, as far as it is known here."""
        return self._living

    async def begin(self, address: str) -> None:
        """Joins: the others reach this replica at HOST:PORT. Returns once it has a lease, or could not get one yet."""
        here = self.here
        self._me = Member(replica=Replica(replica_id=here.replica_id, incarnation=here.incarnation, address=address))
        await self._beat()
        self._tell(MEMBERS)
        self._beating = asyncio.get_running_loop().create_task(self._keep_beating())

    async def drain(self) -> None:
        """From now on the others are to own what this replica owns; if there are any. Returns when they may know."""
        self._me = Member(replica=self.here, draining=True)
        await self._beat()
        self._tell(MEMBERS)

    async def close(self) -> None:
        """Leaves: nobody waits for this replica's lease to run out."""
        if self._beating is not None:
            self._beating.cancel()
            await asyncio.gather(self._beating, *self._telling, return_exceptions=True)
        if self._lapse is not None:
            self._lapse.cancel()
        self._stands_until_ns = self._clock.monotonic_ns()
        try:
            async with asyncio.timeout(self._lease_ms / 1000):
                await self._members.leave(self._me)
                await self._members.tell(MEMBERS)
        except (LogError, TimeoutError) as error:
            _log.warning("the cluster was not told that this replica leaves, its lease has to run out: %s", error)

    # Beating.

    async def _keep_beating(self) -> None:
        while True:
            await self._pause(self._lease_ms / 1000 / LEASE_BEATS)
            await self._beat()

    async def _beat(self) -> None:
        asked_ns = self._clock.monotonic_ns()
        doubted = list(self._doubted)
        try:
            async with asyncio.timeout(self._lease_ms / 1000):
                if not self._listening:
                    await self._members.listen(self._heard)
                    self._listening = True
                living = await self._members.beat(self._me, self._lease_ms)
        except (LogError, TimeoutError) as error:
            if not self._faulty:
                _log.warning("this replica's lease was not renewed: %s", error)
            self._faulty = True
            return
        if self._faulty:
            _log.info("this replica's lease is renewed again")
        self._faulty = False
        stood = self.stands()
        if not stood:
            self._note_lapse()
        self._stands_until_ns = asked_ns + self._lease_ms * NS_PER_MS
        self._lapse_noted = not self.stands()
        self._watch_lapse()
        for holder in doubted:
            self._doubted[holder] = False
        if living != self._living:
            self._see(living)
        elif not stood:
            self._tell_here()
        self._wake()

    def _see(self, living: tuple[Member, ...]) -> None:
        came = {each.replica.incarnation for each in living} - {each.replica.incarnation for each in self._living}
        for each in living:
            if each.replica.incarnation in came and each.replica.incarnation != self.here.incarnation:
                _log.info("replica %s is here, at %s", each.replica.replica_id, each.replica.address)
        for each in self._living:
            if all(each.replica.incarnation != other.replica.incarnation for other in living):
                _log.info("replica %s is gone", each.replica.replica_id)
        self._living = living
        self._ranks.clear()
        self._doubted.clear()
        self._tell_here()

    def _watch_lapse(self) -> None:
        if self._lapse is not None:
            self._lapse.cancel()
        left_ns = self._stands_until_ns - self._clock.monotonic_ns()
        self._lapse = self._clock.call_later(max(0.0, left_ns / NS_PER_SECOND), self._lapsed)

    def _lapsed(self) -> None:
        if self.stands():
            self._watch_lapse()
            return
        _log.warning("this replica's lease has run out: it serves nothing until it has another")
        self._note_lapse()
        self._tell_here()
        self._wake()

    def _note_lapse(self) -> None:
        """Once for each lease: by the timer, or by the next beat where that comes first after a pause."""
        if self._lapse_noted:
            return
        self._lapse_noted = True
        for lapsed in self._on_lapse:
            lapsed()

    async def _pause(self, seconds: float) -> None:
        self._early = asyncio.get_running_loop().create_future()
        if not self._hurried:
            timer = self._clock.call_later(seconds, self._beat_soon)
            try:
                await self._early
            finally:
                timer.cancel()
        self._early = None
        self._hurried = False

    def _beat_soon(self) -> None:
        self._hurried = True
        if self._early is not None and not self._early.done():
            self._early.set_result(None)

    # Telling.

    def _heard(self, word: str) -> None:
        if word == MEMBERS:
            self._beat_soon()
        else:
            self._wake()

    def _wake(self) -> None:
        waiting, self._waiting = self._waiting, []
        for waiter in waiting:
            if not waiter.done():
                waiter.set_result(None)

    def _tell_here(self) -> None:
        for changed in self._changed:
            changed()

    def _tell(self, word: str) -> None:
        async def tell() -> None:
            try:
                await self._members.tell(word)
            except LogError as error:
                _log.debug("nobody was told %r: %s", word, error)

        task = asyncio.get_running_loop().create_task(tell())
        self._telling.add(task)
        task.add_done_callback(self._telling.discard)
