"""Reads of the past: what shared state was at a revision that memory does not know any more (S1).

Folded from the newest snapshot before that revision, else from the beginning of the log, and from the events of shared
state alone: the others are told apart by their bytes and never decoded.
"""

from __future__ import annotations

import asyncio
from typing import Final

from coordinator_service.core.answers import StateRead
from coordinator_service.core.commands import GetState
from coordinator_service.core.events import EventType
from coordinator_service.core.past_fold import PastFold
from coordinator_service.core.rejections import CursorCompacted
from coordinator_service.log.base import GENESIS_HASH, EventLog, LogCorrupt
from coordinator_service.log.codec import decode_event, may_be, split
from coordinator_service.snapshots import decode_tables

BYTES_PER_TURN: Final = 64 * 1024
"""Looked at before others on the loop get their turn. Not a turn for every batch: where the loop is busy a turn takes
milliseconds, and a batch may be one event."""


async def read_past(log: EventLog, asked: GetState) -> StateRead:
    """What keys held at a revision that is durable. Raises CursorCompacted naming the oldest it can tell, LogError."""
    fold, position = await _start(log, asked.revision)
    looked_at_bytes = 0
    while position < asked.revision:
        batches = await log.read(position)
        if not batches:
            raise LogCorrupt("the log ends too soon", sequence=position + 1)
        for batch in (stored.batch for stored in batches):
            if batch.first_sequence > position + 1:  # what was to be read was dropped meanwhile
                fold, position = await _start(log, asked.revision)
                break
            if may_be(batch.events, EventType.STATE_UPDATED):
                changes = [each for each in split(batch.events) if may_be(each, EventType.STATE_UPDATED)]
                fold.take([each for each in map(decode_event, changes) if position < each.sequence <= asked.revision])
            position = batch.last_sequence
            if position >= asked.revision:
                break
            looked_at_bytes += len(batch.events)
            if looked_at_bytes >= BYTES_PER_TURN:
                looked_at_bytes = 0
                await asyncio.sleep(0)
    return fold.answer(asked)


async def _start(log: EventLog, revision: int) -> tuple[PastFold, int]:
    """A fold of what was before a revision, and where it stands."""
    ends = await log.ends()
    snapshots = await log.snapshots()
    for snapshot in snapshots:
        if snapshot.sequence <= revision:
            try:
                return PastFold(log.namespace, decode_tables(snapshot.data)), snapshot.sequence
            except LogCorrupt:
                continue  # the one before it, or the log, has everything too
    if ends.base_hash == GENESIS_HASH:
        return PastFold(log.namespace), ends.oldest_sequence - 1
    oldest = min((snapshot.sequence for snapshot in snapshots if snapshot.data), default=ends.last_sequence)
    message = f"revision {revision} is kept no more, the oldest is {oldest}"
    raise CursorCompacted(ends.log_id, oldest, ends.last_sequence, message)
