"""Faults between replicas: take-over, links, and what is known where."""

from __future__ import annotations

from typing import Any

import pytest

from coordinator_service import local_namespace, namespaces
from coordinator_service.cluster import link
from coordinator_service.log import acknowledged, memory
from coordinator_service.log.base import EventLog, LogEnds
from tests.simulation.mutants.mutant import mutant


@mutant("a new owner reads the log before the one before it is fenced", "7", replicas=True)
def an_owner_recovers_before_it_claims(patch: pytest.MonkeyPatch) -> None:
    claim = namespaces.Namespaces._claim
    found: dict[EventLog, Any] = {}

    async def early(self: namespaces.Namespaces, log: EventLog) -> int:
        found[log] = await namespaces.recover(log)
        return await claim(self, log)

    async def known(_self: namespaces.Namespaces, log: EventLog, _ends: LogEnds) -> Any:
        return found.pop(log)

    patch.setattr(namespaces.Namespaces, "_claim", early)
    patch.setattr(namespaces.Namespaces, "_fold", known)


@mutant("whoever asked over a link that is lost is told nothing", "8", replicas=True)
def a_lost_link_forgets_who_asked(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(link.Link, "_tell_all", lambda *_: None)
    patch.setattr(link.Link, "abandon", lambda *_: None)


@mutant("an owner takes what it has not yet heard is durable for the future", "E5", "E2", "S1", replicas=True)
def an_owner_refuses_what_others_have_read(patch: pytest.MonkeyPatch) -> None:
    async def at_once(_self: local_namespace.LocalNamespace, _sequence: int) -> None:
        """Asks nobody."""

    patch.setattr(local_namespace.LocalNamespace, "_hear_of", at_once)


class _Whatever(int):
    """An epoch that nobody looks at."""


@mutant(
    "an append is not held to the epoch that was claimed last; everything else is", "12", replicas=True, first_seed=500
)
def an_append_is_not_fenced(patch: pytest.MonkeyPatch) -> None:
    append, check = memory.MemoryLog.append, memory.MemoryLog._check_epoch

    async def unfenced(self: memory.MemoryLog, batch: Any, epoch: int) -> None:
        await append(self, batch, _Whatever(epoch))

    def but_of_appends(self: memory.MemoryLog, epoch: int) -> None:
        if not isinstance(epoch, _Whatever):
            check(self, epoch)

    patch.setattr(memory.MemoryLog, "append", unfenced)
    patch.setattr(memory.MemoryLog, "_check_epoch", but_of_appends)


@mutant("an owner goes on when its lease is over, until the store fences it", "D4", replicas=True)
def an_owner_outlives_its_lease(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(local_namespace.LocalNamespace, "_may_speak", lambda self: not self.dropped)


@mutant("whoever was told of what the store has lost does not remember", "6", replicas=True)
def a_lost_tail_is_not_noticed(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(acknowledged.Acknowledged, "goes_beyond", lambda *_: False)
    patch.setattr(memory.MemoryRecord, "check_whole", lambda *_: None)
