"""The ownership port: which replica owns a namespace, as far as the shell has to know.

One replica owns a namespace at a time. Where one coordinator has the store to itself, that is this one (SoleOwner);
where several share a store, a cluster fills the port (cluster/). What makes it safe is not here but in the store, which
fences every append and every read by the epoch (log/base.py); the port only says whom to ask, and spares the store
what a lease by this replica's own clock already rules out.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol


@dataclass(frozen=True, slots=True, kw_only=True)
class Replica:
    """One process of a cluster. replica_id is its name and stays over restarts, incarnation is this process's alone;
    address is the HOST:PORT at which other replicas reach it."""

    replica_id: str
    incarnation: str
    address: str

    @property
    def holder(self) -> str:
        """What it is called in the logs that it claimed."""
        return f"{self.replica_id}/{self.incarnation}"


class Ownership(Protocol):
    """Who owns what."""

    @property
    def here(self) -> Replica:
        """This replica."""

    def owner_of(self, namespace: str) -> Replica | None:
        """The replica that owns a namespace or is about to; None when that is this one. Raises Unavailable while it is
        not known who lives: before the first word from the store, and once this replica's own lease has run out.

        It is the same on every replica that knows the same replicas. During a change two may differ, for about as long
        as it takes a replica to tell that it lives (at most its lease): a replica that is asked for a namespace
        by another, and thinks that a third owns it, answers UNAVAILABLE instead of passing it on, so that no request
        goes round in a circle.
        """

    def is_next(self, namespace: str) -> bool:
        """Whether this replica is to own a namespace should the one that is to own it now go."""

    def stands(self) -> bool:
        """Whether this replica may speak for what it owns: its lease has not run out by its own clock. False after a
        pause of the process that was longer than the lease, before anything else is noticed."""

    def lives(self, holder: str) -> bool:
        """Whether another process that claimed a log under this name (Replica.holder) still has its lease. False for
        nobody, for this very process, and for one whose lease has run out."""

    async def change(self) -> None:
        """Waits until any answer here may be another, or another replica let go of something."""

    def on_change(self, changed: Callable[[], None]) -> None:
        """Has `changed` called whenever `change` would return."""

    def on_lapse(self, lapsed: Callable[[], None]) -> None:
        """Has `lapsed` called each time that this replica's lease has run out, before it stands by another."""

    def announce(self) -> None:
        """Tells the other replicas that this one let go of something, so that they look."""


class SoleOwner:
    """Everything is owned here: nobody else has the store."""

    def __init__(self, replica_id: str) -> None:
        self._here = Replica(replica_id=replica_id, incarnation="sole", address="")

    @property
    def here(self) -> Replica:
        """This replica."""
        return self._here

    def owner_of(self, namespace: str) -> Replica | None:  # noqa: ARG002
        """Always this one."""
        return None

    def is_next(self, namespace: str) -> bool:  # noqa: ARG002
        """It owns it already."""
        return False

    def stands(self) -> bool:
        """Always: the store lets nobody else in."""
        return True

    def lives(self, holder: str) -> bool:  # noqa: ARG002
        """Whoever had the store before is gone, since it is open here."""
        return False

    async def change(self) -> None:
        """Nothing changes."""
        await asyncio.Event().wait()

    def on_change(self, changed: Callable[[], None]) -> None:
        """Nothing changes."""

    def on_lapse(self, lapsed: Callable[[], None]) -> None:
        """Nothing runs out."""

    def announce(self) -> None:
        """Nobody listens."""
