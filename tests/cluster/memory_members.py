"""Members in memory: the replicas of one cluster in one process, each with a clock and a connection of its own."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass, field

from coordinator_service.clock import Clock
from coordinator_service.cluster.members import Member
from coordinator_service.log.base import LogError


@dataclass(slots=True)
class MemberPlace:
    """What all of them see. clock is that of the store."""

    clock: Clock
    leases: dict[str, tuple[int, Member]] = field(default_factory=dict)
    listening: list[tuple[MemoryMembers, Callable[[str], None]]] = field(default_factory=list)


class MemoryMembers:
    """As one replica reaches the place. While it is cut off nothing gets through."""

    def __init__(self, place: MemberPlace) -> None:
        self._place = place
        self.cut_off = False

    async def beat(self, member: Member, lease_ms: int) -> tuple[Member, ...]:
        """Makes this replica's lease whole again; all whose leases stand."""
        await self._reach()
        place, now_ns = self._place, self._place.clock.monotonic_ns()
        place.leases[member.replica.incarnation] = (now_ns + lease_ms * 1_000_000, member)
        place.leases = {key: lease for key, lease in place.leases.items() if lease[0] > now_ns}
        return tuple(lease[1] for _, lease in sorted(place.leases.items()))

    async def leave(self, member: Member) -> None:
        """Ends its lease."""
        await self._reach()
        self._place.leases.pop(member.replica.incarnation, None)

    async def tell(self, word: str) -> None:
        """Says something to all who can hear it."""
        await self._reach()
        for members, heard in self._place.listening:
            if not members.cut_off:
                heard(word)

    async def listen(self, heard: Callable[[str], None]) -> None:
        """Has `heard` called with whatever is told from now on."""
        await self._reach()
        self._place.listening.append((self, heard))

    async def _reach(self) -> None:
        await asyncio.sleep(0.0005)
        if self.cut_off:
            raise LogError("the store cannot be reached")
