"""A namespace with a past: a log of many events, as decisions of the core made them, and what is left in memory of it.

A few events of everything, again and again: events published, state updated, locks taken and given back, runs of one
task. Time passes in it, so that what is over is evicted as it would be: after the first hour as much is left as ever
will be.
"""

from __future__ import annotations

import asyncio
import time
from pathlib import Path

from benchmarks.core_decisions import Core
from coordinator_service.config import SQLITE_FILE
from coordinator_service.core import commands
from coordinator_service.core.answers import Acquired
from coordinator_service.core.commands import Caller, Command
from coordinator_service.core.decide import decide
from coordinator_service.core.events import Event
from coordinator_service.core.rejections import Rejection
from coordinator_service.core.specs import LockRequest, RunSpec, StateChange, StateUpdate, TaskSpec, TaskTarget
from coordinator_service.core.state import NamespaceState
from coordinator_service.core.values import NS_PER_MS, MergeStrategy
from coordinator_service.log.base import Batch, EventLog, LogStore, Snapshot
from coordinator_service.log.codec import EventCodec, frame
from coordinator_service.log.sqlite import SqliteStore
from coordinator_service.snapshots import Fold, encode_tables, fold_start

NAMESPACE = "default"
KEYS = 1_000
BATCH_EVENTS = 100
"""Events of one append: about what a busy coordinator commits at once."""
STEP_NS = 20 * NS_PER_MS
"""From one decision to the next: fifty a second."""
EVENTS_PER_CYCLE = 15
SNAPSHOT_LAG_EVENTS = 5_000
STEPS_PER_CYCLE = 7
DECIDED_EVENTS_MAX = 1_000_000
"""Of a longer past, the rest are events that were published many at a time: as much is left of it in memory."""


class Past(Core):
    """Decides, and hands over the events."""

    def __init__(self, events: int) -> None:
        cycles = min(events, DECIDED_EVENTS_MAX) // EVENTS_PER_CYCLE
        self.events: list[Event] = []
        self._past_ns = time.time_ns() - cycles * STEPS_PER_CYCLE * STEP_NS
        draft = commands.EventDraft(name="page_built", data=b'{"page":1}')
        self._drafts = (draft,) * (1 + max(0, events - DECIDED_EVENTS_MAX) // max(1, cycles))
        super().__init__()

    def decide(self, command: Command, who: str = "nobody") -> object:
        """As Core.decide, a step of time later."""
        self._past_ns += STEP_NS
        caller: Caller = self._caller(getattr(self, who, 0))
        decision = decide(self.state, command, caller, self._past_ns)
        if isinstance(decision.answer, Rejection):
            raise decision.answer
        self.events += decision.events
        return decision.answer

    def cycle(self, number: int) -> None:
        """A few events of everything."""
        self.decide(commands.Publish(drafts=self._drafts), "client")
        update = StateUpdate(key=f"site/pages/{number % KEYS}", value={"built": float(number)})
        change = StateChange(updates=(update,), strategy=MergeStrategy.REPLACE)
        self.decide(commands.UpdateState(change=change), "client")
        locked = self.decide(commands.Acquire(requests=(LockRequest(resource="door"),)), "client")
        assert isinstance(locked, Acquired)
        self.decide(commands.Release(fencing_tokens=(locked.grants[0].fencing_token,)), "client")
        task = TaskSpec(task_id="build", target=TaskTarget(capability="work"))
        self.decide(commands.SubmitRun(spec=RunSpec(tasks=(task,))), "client")
        [token] = self.state.attempts
        self.decide(commands.StartTask(attempt_token=token), "agent")
        self.decide(commands.CompleteTask(attempt_token=token), "agent")


def write(directory: Path, events: int) -> None:
    """Makes a store in a directory whose log has about so many events, the last of them now, and two snapshots."""

    async def wrote() -> None:
        store = SqliteStore(directory / SQLITE_FILE)
        await write_into(store, events)
        await store.close()

    asyncio.run(wrote())


async def write_into(store: LogStore, events: int, *, snapshot_lag: int = SNAPSHOT_LAG_EVENTS) -> None:
    """The same in a store that is open; the newer snapshot is so many events before the end."""
    log = await store.open(NAMESPACE)
    epoch = await log.claim("past")
    codec = EventCodec(NAMESPACE, (await log.ends()).log_id)
    past = Past(events)
    written = number = 0
    appends: list[asyncio.Task[None]] = []
    while written < events:
        while len(past.events) < BATCH_EVENTS:
            past.cycle(number)
            number += 1
        written += len(past.events)
        appends.append(asyncio.create_task(log.append(_batch(past.events, codec), epoch)))
        past.events.clear()
        if len(appends) == 50:
            await asyncio.gather(*appends)
            appends.clear()
    await asyncio.gather(*appends)
    await save_snapshots(log, epoch, snapshot_lag)


def _batch(events: list[Event], codec: EventCodec) -> Batch:
    return Batch(
        first_sequence=events[0].sequence,
        last_sequence=events[-1].sequence,
        time_ns=events[-1].time_ns,
        events=b"".join([frame(codec.encode(event)) for event in events]),
    )


async def save_snapshots(log: EventLog, epoch: int, lag: int = SNAPSHOT_LAG_EVENTS) -> None:
    """Two, as a coordinator leaves them: the newer so many events before the end."""
    last = (await log.ends()).last_sequence
    fold = await fold_start(log)
    for sequence in (last * 9 // 10, last - min(lag, last // 20)):
        await _fold_to(log, fold, sequence)
        data = encode_tables(fold.state.tables(), fold.metrics)
        await log.save_snapshot(Snapshot(sequence=fold.state.sequence, hash=fold.hash, data=data), epoch)


async def _fold_to(log: EventLog, fold: Fold, sequence: int) -> None:
    while fold.state.sequence < sequence:
        for stored in await log.read(fold.state.sequence):
            if fold.state.sequence < sequence:
                await fold.through([stored])


def left_in_memory(state: NamespaceState) -> dict[str, int]:
    """What a past has left."""
    return {
        "runs": len(state.runs),
        "requests": len(state.requests),
        "keys": len(state.entries),
        "evicted_runs": len(state.evicted),
    }
