"""The members port: how replicas tell each other that they live."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

from coordinator_service.ownership import Replica


@dataclass(frozen=True, slots=True, kw_only=True)
class Member:
    """A replica whose lease stands. One that drains owns what it owns until others have taken it."""

    replica: Replica
    draining: bool = False


class Members(Protocol):
    """The replicas of one cluster, kept where their logs are."""

    async def beat(self, member: Member, lease_ms: int) -> tuple[Member, ...]:
        """Makes this replica's lease whole again by the clock of the store; all whose leases stand. Raises LogError."""

    async def leave(self, member: Member) -> None:
        """Ends its lease. Raises LogError."""

    async def tell(self, word: str) -> None:
        """Says something to all of them. It may be lost. Raises LogError."""

    async def listen(self, heard: Callable[[str], None]) -> None:
        """Has `heard` called with whatever is told from now on. Raises LogError."""
