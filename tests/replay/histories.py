"""Logs that a coordinator wrote: small, with something of everything, whole or trimmed."""

from __future__ import annotations

import asyncio
from pathlib import Path

from coordinator_service.clock import SystemClock
from coordinator_service.core.commands import Caller, UpdateState
from coordinator_service.core.specs import StateChange, StateUpdate
from coordinator_service.local_namespace import ShellLimits
from coordinator_service.log.base import EventLog, StoredBatch
from coordinator_service.log.sqlite import SqliteStore
from coordinator_service.namespaces import Namespaces
from coordinator_service.snapshots import SnapshotLimits
from tests.shell.bench import acquire, publish, submit

NAME = "tested"
SNAPSHOT_EVENTS = 12


async def write_history(path: Path, *, trimmed: bool = False, rounds: int = 6) -> None:
    """Owns a namespace in a new store until it has two snapshots, and lets go."""
    store = SqliteStore(path)
    shell = ShellLimits(snapshots=SnapshotLimits(snapshot_events=SNAPSHOT_EVENTS))
    namespaces = Namespaces(store, SystemClock(), replica_id="replica", shell=shell)
    port = await namespaces.get(NAME)
    log = await store.open(NAME)
    number = 0
    while number < rounds or len(await log.snapshots()) < 2:
        number += 1
        caller = Caller(principal="tester", method="Any", request_id=f"r{number}", digest=b"d")
        update = StateUpdate(key=f"pages/{number}", value={"n": float(number)})
        await port.call(publish("seen", "done", event_id=""), caller)
        await port.call(UpdateState(change=StateChange(updates=(update,))), Caller(principal="tester"))
        await port.call(submit("build", run_id=f"run-{number}"), Caller(principal="tester"))
        await port.call(acquire(f"r{number}"), Caller(principal="tester"))
        await asyncio.sleep(0)
    await namespaces.close()
    if trimmed:
        older = (await log.snapshots())[-1]
        assert await log.trim(older.sequence - 3, await log.claim("replica")) > 1
    await store.close()


async def stored_batches(log: EventLog) -> list[StoredBatch]:
    """Every batch of a log."""
    found: list[StoredBatch] = []
    after = (await log.ends()).oldest_sequence - 1
    while page := await log.read(after):
        found += page
        after = found[-1].batch.last_sequence
    return found
