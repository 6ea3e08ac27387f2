"""The replicas of a world, and what is between them: who is there, who owns the namespace, and what befalls them."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from random import Random
from typing import TYPE_CHECKING

from coordinator_service.core.limits import Limits
from coordinator_service.local_namespace import LocalNamespace
from tests.cluster.memory_members import MemberPlace
from tests.simulation.clock import VirtualClock
from tests.simulation.replica import Replica
from tests.simulation.wires import Wires

if TYPE_CHECKING:
    from tests.simulation.world import World

NAMES = ("a", "b", "c")
LOOK_SECONDS = 0.005
"""How often is looked whether the moment has come at which a replica goes on."""


class Cluster:
    """Two or three replicas over one store."""

    def __init__(self, world: World, count: int) -> None:
        self.world = world
        self.random = world.random_of("cluster")
        self.wires = Wires(world.random_of("wires"))
        self.members = MemberPlace(VirtualClock(world.loop))
        self.lease_ms = self.random.choice((1_000, 1_000, 3_000))
        self.renewed: dict[tuple[str, int], float] = {}
        """Until when leases stand of which there was a sign of life, whoever heard it."""
        self.replicas: dict[str, Replica | None] = dict.fromkeys(NAMES[:count])
        self._routing = world.random_of("routing")

    def start(self, name: str, limits: Limits) -> Replica:
        """A new process under a name."""
        replica = self.replicas[name] = Replica(self, name, limits)
        return replica

    def here(self) -> list[Replica]:
        """Those that are there, whether or not they stand still."""
        return [each for each in self.replicas.values() if each is not None]

    def anybody(self) -> Replica | None:
        """Whom somebody asks who knows all their addresses."""
        name = self._routing.choice(list(self.replicas))
        return self.replicas[name]

    def owner(self) -> LocalNamespace | None:
        """The namespace where it is served, as far as whoever serves it knows."""
        owning = (each.owner_here() for each in self.here() if not each.dead and not each.paused)
        return next(filter(None, owning), None)

    def come_to_rest(self) -> None:
        """Whatever stands still goes on, and everything gets through again."""
        self.wires.heal()
        self.wires.calm = True
        for replica in self.here():
            if not replica.dead:
                replica.connection.cut = False
                replica.wake()

    # What befalls them.

    def _some(self, random: Random) -> Replica | None:
        living = [each for each in self.here() if not each.dead]
        return random.choice(living) if living else None

    def _owning(self, random: Random) -> Replica | None:
        """Mostly the owner: that is where it hurts."""
        owning = [each for each in self.here() if not each.dead and each.owner_here() is not None]
        return random.choice(owning) if owning and random.random() < 0.7 else self._some(random)

    async def pause(self, random: Random) -> None:
        """A process stands still, between any two steps, perhaps until its lease is long over."""
        replica = self._owning(random)
        if replica is None or replica.paused:
            return
        moment = random.choice((self._some_time, self._lease_over, self._overtaken))
        if moment == self._overtaken:
            await self._writing(replica)
        for _ in range(random.randrange(12)):
            await asyncio.sleep(0)

        def strike() -> None:
            if not replica.dead and not self.world.calm:
                self.world.note(f"replica {replica.name} stands still")
                replica.pause()

        self.world.loop.interrupt(strike, random.random())

        async def wake() -> None:
            began = self.world.loop.time()
            await moment(replica, random)
            if replica.paused:
                self.world.note(f"replica {replica.name} goes on after {self.world.loop.time() - began:.3f} s")
                replica.wake()

        self.world.spawn(wake(), "wake")
        await asyncio.sleep(0)

    async def _writing(self, replica: Replica) -> None:
        """Waits until something of a replica's is on its way to the store, or not for long."""
        until = self.world.loop.time() + 1.0
        while not replica.store.writes and self.world.loop.time() < until:  # noqa: ASYNC110
            await asyncio.sleep(LOOK_SECONDS)

    async def _some_time(self, _replica: Replica, random: Random) -> None:
        await asyncio.sleep(random.choice((0.3, 1.5, 3.0)) * random.random() * self.lease_ms / 1000)

    async def _lease_over(self, replica: Replica, random: Random) -> None:
        """Right after its lease has run out, when perhaps nobody has taken over yet."""
        while not replica.has_lapsed() and not self.world.calm:  # noqa: ASYNC110 (nobody tells of it)
            await asyncio.sleep(LOOK_SECONDS)
        await asyncio.sleep(self.world.faults.delay(0.3) + random.random() * LOOK_SECONDS)

    async def _overtaken(self, _replica: Replica, random: Random) -> None:
        """Right after another has claimed the log, and perhaps before that has read or written anything."""
        record, until = self.world.record(), self.world.loop.time() + 3 * self.lease_ms / 1000
        epoch = 0 if record is None else record.epoch
        while record is not None and record.epoch == epoch and self.world.loop.time() < until:  # noqa: ASYNC110
            await asyncio.sleep(LOOK_SECONDS)
        await asyncio.sleep(random.choice((0.0, random.random())) * LOOK_SECONDS)

    async def hand_over(self, random: Random) -> None:
        """A replica is told to stop, and comes back later, if another is there."""
        replica = self._owning(random)
        if replica is None or replica.leaving or len(self.here()) < 2:
            return
        self.world.note(f"replica {replica.name} leaves")
        self.world.spawn(self._leave_and_return(replica, random.choice((0.0, 0.3, 4.0)) * random.random()), "leave")

    async def _leave_and_return(self, replica: Replica, seconds: float) -> None:
        await replica.close()
        if replica.dead:
            return  # it was killed meanwhile, and is started again for that
        self.replicas[replica.name] = None
        await asyncio.sleep(seconds)
        self.world.start(replica.name)

    async def cut_from_store(self, random: Random) -> None:
        """A replica does not reach the store."""
        replica = self._owning(random)
        if replica is None:
            return
        self.world.note(f"replica {replica.name} is cut off from the store")
        replica.connection.cut = True

        async def heal() -> None:
            await asyncio.sleep(random.choice((0.3, 3.0)) * random.random() * self.lease_ms / 1000)
            if not replica.dead:
                replica.connection.cut = False
                self.world.note(f"replica {replica.name} reaches the store again")

        self.world.spawn(heal(), "heal")

    async def part(self, random: Random) -> None:
        """Two replicas do not reach each other."""
        one, other = random.sample(list(self.replicas), 2)
        self.world.note(f"replicas {one} and {other} do not reach each other")
        self.wires.cut(one, other)

        async def heal() -> None:
            await asyncio.sleep(random.choice((0.5, 8.0)) * random.random())
            self.wires.heal()

        self.world.spawn(heal(), "heal")

    def troubles(self) -> dict[str, Callable[[Random], Awaitable[None]]]:
        """By their names in a swarm."""
        return {
            "replica_paused": self.pause,
            "replica_leaves": self.hand_over,
            "store_cut": self.cut_from_store,
            "replicas_parted": self.part,
        }
