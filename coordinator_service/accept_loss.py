"""Accepting a loss: a log whose tail is gone goes on as another log, past everything that anybody was told of.

Redis lost what it had acknowledged, the replicas that were told of it found out, and nobody may own the log (TailLost).
Or an operator has restored an older copy of a store, and says so. What is left is whole: the state folded from it is
where the namespace goes on. It gets a new log_id, so that every cursor and token of the old log is recognised as such,
and sequences that begin 2^32 after the highest ever told, so that none comes twice. The old log is kept beside it.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

from coordinator_service.log.base import EventLog, LogError, Snapshot, TailLost
from coordinator_service.log.memory import random_log_id
from coordinator_service.snapshots import encode_tables, fold_start

SEQUENCE_STEP = 2**32
"""A new log begins so many sequences after the old one (D2)."""


class LossyLog(EventLog, Protocol):
    """A log that may have lost what was acknowledged of it."""

    async def loss(self) -> TailLost | None:
        """What is lost, if it is known that anything is. Raises LogError."""

    async def claim(self, holder: str, *, after: int | None = None, accepting: bool = False) -> int:
        """As EventLog.claim; accepting: even though something is lost."""

    async def rebase(self, log_id: str, snapshot: Snapshot, epoch: int) -> None:
        """Goes on as another log, with the state of a snapshot, after its sequence. Raises Fenced, LogError."""


class LossyStore(Protocol):
    """A store of such logs."""

    async def open(self, namespace: str) -> LossyLog:
        """As LogStore.open."""

    async def namespaces(self) -> list[str]:
        """As LogStore.namespaces."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Accepted:
    """What became of a log: its events from kept_until + 1 to acknowledged are gone for good."""

    namespace: str
    old_log_id: str
    new_log_id: str
    kept_until: int
    acknowledged: int
    begins_after: int


async def accept_loss(
    store: LossyStore, namespace: str, *, acknowledged: int = 0, mint_log_id: Callable[[], str] = random_log_id
) -> Accepted | None:
    """Has a namespace go on as a new log; None when nothing is lost. acknowledged: somebody may have been told of
    everything up to this sequence, whether or not it was found out. Raises LogError."""
    if namespace not in await store.namespaces():
        raise LogError(f"there is no namespace {namespace!r}")
    log = await store.open(namespace)
    loss = await log.loss()
    if loss is None:
        if not acknowledged:
            return None
        ends = await log.ends()
        loss = TailLost(log_id=ends.log_id, last_sequence=ends.last_sequence, acknowledged=acknowledged)
    told = max(loss.acknowledged, acknowledged)
    epoch = await log.claim("operator", accepting=True)
    fold = await fold_start(log)
    while batches := await log.read(fold.state.sequence):
        await fold.through(batches)
    kept_until = fold.state.sequence
    fold.state.sequence = max(kept_until, told) + SEQUENCE_STEP
    data = encode_tables(fold.state.tables(), fold.metrics)
    new_log_id = mint_log_id()
    await log.rebase(new_log_id, Snapshot(sequence=fold.state.sequence, hash=fold.hash, data=data), epoch)
    return Accepted(
        namespace=namespace,
        old_log_id=loss.log_id,
        new_log_id=new_log_id,
        kept_until=kept_until,
        acknowledged=told,
        begins_after=fold.state.sequence,
    )
