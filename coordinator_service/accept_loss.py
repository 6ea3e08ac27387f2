"""Accepting a loss: a log whose tail is gone goes on as another log, past everything that anybody was told of.

Redis lost what it had acknowledged, the replicas that were told of it found out, and nobody may own the log (TailLost).
What is left is whole: the state folded from it is where the namespace goes on. It gets a new log_id, so that every
cursor and token of the old log is recognised as such, and sequences that begin 2^32 after the highest ever told, so
that none comes twice. The old log is kept beside it.
"""

from __future__ import annotations

import secrets
from dataclasses import dataclass

from coordinator_service.log.base import LogError, Snapshot
from coordinator_service.log.redis import RedisStore
from coordinator_service.snapshots import encode_tables, fold_start

SEQUENCE_STEP = 2**32
"""A new log begins so many sequences after the old one (D2)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Accepted:
    """What became of a log: its events from kept_until + 1 to acknowledged are gone for good."""

    namespace: str
    old_log_id: str
    new_log_id: str
    kept_until: int
    acknowledged: int
    begins_after: int


async def accept_loss(store: RedisStore, namespace: str) -> Accepted | None:
    """Has a namespace go on as a new log; None when nothing is lost. Raises LogError."""
    if namespace not in await store.namespaces():
        raise LogError(f"there is no namespace {namespace!r}")
    log = await store.open(namespace)
    loss = await log.loss()
    if loss is None:
        return None
    epoch = await log.claim("operator", accepting=True)
    fold = await fold_start(log)
    while batches := await log.read(fold.state.sequence):
        await fold.through(batches)
    kept_until = fold.state.sequence
    fold.state.sequence = max(kept_until, loss.acknowledged) + SEQUENCE_STEP
    data = encode_tables(fold.state.tables(), fold.metrics)
    new_log_id = secrets.token_hex(8)
    await log.rebase(new_log_id, Snapshot(sequence=fold.state.sequence, hash=fold.hash, data=data), epoch)
    return Accepted(
        namespace=namespace,
        old_log_id=loss.log_id,
        new_log_id=new_log_id,
        kept_until=kept_until,
        acknowledged=loss.acknowledged,
        begins_after=fold.state.sequence,
    )
