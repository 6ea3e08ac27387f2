"""Wires between simulated replicas: frames arrive late and in order, or the wire is lost and with it what was on it."""

from __future__ import annotations

import asyncio
from collections import deque
from random import Random
from typing import TYPE_CHECKING

from coordinator_service.cluster.wire import WireLost
from tests.simulation.process import NOWHERE

if TYPE_CHECKING:
    from tests.simulation.replica import Replica

KEEPALIVE_SECONDS = 10.0
"""A wire on which nothing gets through is found lost within this."""


class Wires:
    """All wires of a world, and the pairs of replicas between which nothing gets through."""

    def __init__(self, random: Random) -> None:
        self.random = random
        self.calm = False
        self.lost = 0
        self._listening: dict[str, Replica] = {}
        self._cut: set[frozenset[str]] = set()
        self._lines: list[_Line] = []
        self._delay_seconds_max = random.choice((0.0, 0.002, 0.05, 0.3))
        self._lost_chance = random.choice((0.0, 0.003, 0.02))

    def listen(self, address: str, replica: Replica) -> None:
        """From here on a replica is reached there."""
        self._listening[address] = replica

    def connect(self, asking: Replica, address: str) -> _End:
        """A new wire, as ClientWire: whether anybody is there is found out by reading."""
        answering = self._listening.get(address)
        line = _Line(self, asking, answering)
        self._lines.append(line)
        asyncio.get_running_loop().call_later(self.delay(), line.arrive, context=NOWHERE)
        return line.ends[0]

    def cut(self, one: str, other: str) -> None:
        """Nothing gets through between two replicas."""
        self._cut.add(frozenset((one, other)))

    def heal(self) -> None:
        """Everything gets through again, for whoever connects anew."""
        self._cut.clear()

    def is_cut(self, one: Replica, other: Replica) -> bool:
        """Whether nothing gets through."""
        return frozenset((one.name, other.name)) in self._cut

    def end_of(self, replica: Replica) -> None:
        """A process has died: whoever is connected to it finds out."""
        for line in [each for each in self._lines if replica in each.replicas]:
            line.end_soon("the connection was reset", self.delay())

    def delay(self) -> float:
        """How long a frame takes."""
        return 0.0001 if self.calm else self.random.random() ** 2 * self._delay_seconds_max + 0.0001

    def breaks(self) -> bool:
        """Whether a wire is lost as a frame goes onto it."""
        broken = not self.calm and self.random.random() < self._lost_chance
        self.lost += broken
        return broken

    def forget(self, line: _Line) -> None:
        """It is lost."""
        if line in self._lines:
            self._lines.remove(line)


class _End:
    """One end of a wire; see cluster.wire.Wire."""

    def __init__(self, line: _Line, place: int) -> None:
        self._line = line
        self._place = place
        self._frames: deque[bytes] = deque()
        self._wake: asyncio.Future[None] | None = None

    async def read(self) -> bytes:
        while not self._frames:
            if self._line.lost:
                raise WireLost(self._line.lost)
            self._wake = asyncio.get_running_loop().create_future()
            await self._wake
        return self._frames.popleft()

    async def write(self, frame: bytes) -> None:
        if self._line.lost:
            raise WireLost(self._line.lost)
        self._line.carry(frame, 1 - self._place)

    def close(self) -> None:
        self._line.end_soon("it ended the stream", self._line.wires.delay())

    def take(self, frame: bytes) -> None:
        """A frame arrives."""
        self._frames.append(frame)
        self.signal()

    def signal(self) -> None:
        """Whoever reads looks again."""
        if self._wake is not None and not self._wake.done():
            self._wake.set_result(None)


class _Line:
    """What is between two ends."""

    def __init__(self, wires: Wires, asking: Replica, answering: Replica | None) -> None:
        self.wires = wires
        self.replicas = (asking, answering)
        self.ends = (_End(self, 0), _End(self, 1))
        self.lost = ""
        self._dead = False
        """Nothing gets through any more, and nobody has found out."""
        self._free_at = [0.0, 0.0]
        self._under_way: tuple[deque[bytes], deque[bytes]] = (deque(), deque())

    def arrive(self) -> None:
        """The other replica is asked to serve it."""
        asking, answering = self.replicas
        if answering is None or answering.dead or not answering.listens or self.wires.is_cut(asking, answering):
            self._end("nobody answers there")
        elif not self.lost:
            answering.serve(self.ends[1])

    def carry(self, frame: bytes, to: int) -> None:
        """Takes a frame to one end, after what is on its way there already."""
        if self.replicas[1 - to] is None or self.replicas[1 - to].dead:  # type: ignore[union-attr]
            return
        if self.wires.breaks():
            self.end_soon("the connection broke", 0.0)
            return
        loop = asyncio.get_running_loop()
        self._free_at[to] = max(loop.time() + self.wires.delay(), self._free_at[to])
        self._under_way[to].append(frame)  # of two timers for one moment either may come first
        loop.call_at(self._free_at[to], self._deliver, to, context=NOWHERE)

    def _deliver(self, to: int) -> None:
        frame = self._under_way[to].popleft()
        asking, answering = self.replicas
        if answering is None or self._dead or self.lost:
            return
        if self.wires.is_cut(asking, answering):
            self._dead = True
            self.end_soon("nothing came through for too long", self.wires.random.random() * KEEPALIVE_SECONDS)
            return
        self.ends[to].take(frame)

    def end_soon(self, why: str, seconds: float) -> None:
        """Both ends find out."""
        asyncio.get_running_loop().call_later(seconds, self._end, why, context=NOWHERE)

    def _end(self, why: str) -> None:
        if not self.lost:
            self.lost = why
            self.wires.forget(self)
            for end in self.ends:
                end.signal()
