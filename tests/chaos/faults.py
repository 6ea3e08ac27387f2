"""What befalls the cluster: one thing after another, sometimes two at once, chosen and timed by a seed.

A fault is over when what it broke is whole again; what nobody mends by himself is mended here.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from random import Random

from redis.exceptions import RedisError

from tests.chaos.agents import AgentProcess
from tests.chaos.cluster import Cluster, Replica
from tests.relay import Relay

HANDS = 2
"""How many faults there may be at once."""
PAUSE_SECONDS = 0.4


class Faults:
    """Does it, and tells what it did."""

    def __init__(self, cluster: Cluster, agents: list[AgentProcess], random: Random) -> None:
        self.story: list[str] = []
        self._cluster = cluster
        self._agents = agents
        self._randoms = [Random(random.getrandbits(64)) for _ in range(HANDS)]
        self._begun = time.monotonic()

    async def strike(self, seconds: float) -> None:
        """For so long; returns when all is whole."""
        self._begun = time.monotonic()
        async with asyncio.TaskGroup() as hands:
            for random in self._randoms:
                hands.create_task(self._strike(random, self._begun + seconds))

    def note(self, what: str) -> None:
        """For whoever wonders."""
        self.story.append(f"{time.monotonic() - self._begun:6.2f} s: {what}")

    async def _strike(self, random: Random, until: float) -> None:
        while time.monotonic() < until:
            await asyncio.sleep(random.expovariate(1 / PAUSE_SECONDS))
            if time.monotonic() < until:
                # All is drawn before anything is done: the same seed draws the same whatever the machine does.
                fault, rank, share = random.choice(_FAULTS), random.random(), random.random()
                await fault(self, rank, share)

    async def _replica(self, rank: float) -> Replica:
        """Half of the time whoever owns the namespace: that is where it hurts."""
        if rank < 0.5 and not self._cluster.store_turn.locked():
            try:
                owner = await asyncio.wait_for(self._cluster.owner(), 1.0)
            except (OSError, RedisError):
                owner = None
            if owner is not None:
                return owner
        replicas = self._cluster.replicas
        return replicas[int(rank * 2 * len(replicas)) % len(replicas)]

    @asynccontextmanager
    async def _turn(self, turn: asyncio.Lock, what: str) -> AsyncIterator[None]:
        async with turn:
            self.note(what)
            try:
                yield
            finally:
                self.note(f"over: {what}")

    # Processes.

    async def kill_replica(self, rank: float, share: float) -> None:
        """SIGKILL, and another one in its place."""
        replica = await self._replica(rank)
        async with self._turn(replica.process_turn, f"replica {replica.name} is killed"):
            await replica.kill()
            await asyncio.sleep(share)
            await replica.start()

    async def terminate_replica(self, rank: float, share: float) -> None:
        """SIGTERM, and another one in its place."""
        replica = await self._replica(rank)
        async with self._turn(replica.process_turn, f"replica {replica.name} is told to stop"):
            await replica.terminate()
            await asyncio.sleep(share)
            await replica.start()

    async def pause_replica(self, rank: float, share: float) -> None:
        """SIGSTOP, for less or for more than its lease, and SIGCONT."""
        replica = await self._replica(rank)
        seconds = 0.2 + 3.0 * share
        async with self._turn(replica.process_turn, f"replica {replica.name} stands still for {seconds:.1f} s"):
            replica.pause()
            try:
                await asyncio.sleep(seconds)
            finally:
                replica.resume()

    async def kill_agent(self, rank: float, share: float) -> None:
        """SIGKILL, and another one in its place."""
        agent = self._agents[int(rank * len(self._agents))]
        async with self._turn(agent.turn, f"agent {agent.name} is killed"):
            await asyncio.to_thread(agent.kill)
            await asyncio.sleep(share)
            agent.start()

    async def pause_agent(self, rank: float, share: float) -> None:
        """SIGSTOP, for less or for more than its lease, and SIGCONT."""
        agent = self._agents[int(rank * len(self._agents))]
        seconds = 0.5 + 5.0 * share * share
        async with self._turn(agent.turn, f"agent {agent.name} stands still for {seconds:.1f} s"):
            agent.pause()
            try:
                await asyncio.sleep(seconds)
            finally:
                agent.resume()

    # The store.

    async def kill_store(self, _rank: float, share: float) -> None:
        """SIGKILL of Redis, which comes again with what it had, or whose replica takes its place."""
        async with self._turn(self._cluster.store_turn, "Redis is killed"):
            await self._cluster.store.kill(share)

    async def pause_store(self, _rank: float, share: float) -> None:
        """SIGSTOP of Redis, and SIGCONT."""
        seconds = 0.2 + 2.5 * share
        async with self._turn(self._cluster.store_turn, f"Redis stands still for {seconds:.1f} s"):
            await self._cluster.store.pause(seconds)

    # The network.

    async def cut(self, rank: float, share: float) -> None:
        """Connections break, and for a while there are no others."""
        replica = await self._replica(rank)
        async with self._turn(replica.network_turn, f"{_told(replica, rank)} is cut off"):
            for way in _ways(replica, rank):
                way.cut = True
                way.break_connections()
            await asyncio.sleep(1.5 * share)
            for way in _ways(replica, rank):
                way.cut = False

    async def slow(self, rank: float, share: float) -> None:
        """Everything arrives late."""
        replica = await self._replica(rank)
        seconds = 0.02 + 0.2 * share
        async with self._turn(replica.network_turn, f"{_told(replica, rank)} is slower by {seconds * 1000:.0f} ms"):
            for way in _ways(replica, rank):
                way.delay_seconds = seconds
            await asyncio.sleep(2.0)
            for way in _ways(replica, rank):
                way.delay_seconds = 0.0

    async def hold(self, rank: float, share: float) -> None:
        """Nothing arrives for a while, and then everything that was on its way."""
        replica = await self._replica(rank)
        seconds = 0.3 + 2.5 * share
        async with self._turn(replica.network_turn, f"{_told(replica, rank)} hears nothing for {seconds:.1f} s"):
            for way in _ways(replica, rank):
                way.hold()
            await asyncio.sleep(seconds)
            for way in _ways(replica, rank):
                way.let_pass()

    async def lose_answers(self, rank: float, share: float) -> None:
        """What is asked arrives, its answers do not: the connections break first."""
        replica = await self._replica(rank)
        async with self._turn(replica.network_turn, f"answers of {_told(replica, rank)} are lost"):
            for way in _ways(replica, rank):
                way.hold(asks=False)
            await asyncio.sleep(0.1 + 0.5 * share)
            for way in _ways(replica, rank):
                way.break_connections()
                way.let_pass()


def _ways(replica: Replica, rank: float) -> list[Relay]:
    """Which of its connections: to clients, to the other replicas, to its store, or all."""
    ways = [replica.clients, replica.peers, *([replica.store_way] if replica.store_way else [])]
    chosen = int(rank * 40) % (len(ways) + 1)
    return ways if chosen == len(ways) else [ways[chosen]]


def _told(replica: Replica, rank: float) -> str:
    named = {id(replica.clients): "clients", id(replica.peers): "replicas", id(replica.store_way): "Redis"}
    return f"replica {replica.name} to {', '.join(named[id(way)] for way in _ways(replica, rank))}"


_FAULTS: tuple[Callable[[Faults, float, float], Awaitable[None]], ...] = (
    *(Faults.kill_replica, Faults.terminate_replica, Faults.pause_replica, Faults.pause_replica),
    *(Faults.kill_agent, Faults.pause_agent),
    *(Faults.kill_store, Faults.kill_store, Faults.pause_store),
    *(Faults.cut, Faults.slow, Faults.hold, Faults.lose_answers),
)
