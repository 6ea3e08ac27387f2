"""A process that appends to a SQLite store and says what was acknowledged, until it is killed.

Usage: append_until_killed.py PATH. Prints one line "<namespace> <last_sequence>" per acknowledged batch.
"""

from __future__ import annotations

import asyncio
import os
import random
import sys

from coordinator_service.log.base import EventLog
from coordinator_service.log.sqlite import SqliteStore
from tests.log.batches import batch

IN_FLIGHT = 8


async def append_on(log: EventLog, epoch: int) -> None:
    """Appends with some batches in flight, as a sequencer does."""
    first = (await log.ends()).last_sequence + 1
    flying: list[asyncio.Task[None]] = []
    while True:
        count = random.randint(1, 5)
        flying.append(asyncio.create_task(append_one(log, epoch, first, count)))
        first += count
        if len(flying) >= IN_FLIGHT:
            await flying.pop(0)


async def append_one(log: EventLog, epoch: int, first: int, count: int) -> None:
    """Appends one batch and reports it."""
    await log.append(batch(first, count, data_bytes=random.choice((10, 3000))), epoch)
    os.write(1, f"{log.namespace} {first + count - 1}\n".encode())


async def main(path: str) -> None:
    """Appends to three namespaces at once."""
    store = SqliteStore(path)
    logs = [await store.open(name) for name in ("a", "b", "c")]
    await asyncio.gather(*[append_on(log, await log.claim("replica")) for log in logs])


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1]))
