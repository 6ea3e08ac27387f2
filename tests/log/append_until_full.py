"""A process whose files may not grow: it appends until the store fails, lifts the limit, and appends on.

Usage: append_until_full.py PATH BYTES. Prints "<acknowledged before> <refused> <acknowledged in the end>".
"""

from __future__ import annotations

import asyncio
import resource
import sys

from coordinator_service.log.base import LogError
from coordinator_service.log.sqlite import SqliteStore
from coordinator_service.log.verify import verify
from tests.log.batches import batch, fill


async def main(path: str, size: int) -> None:
    """Fills it, frees it, goes on."""
    store = SqliteStore(path)
    log = await store.open("blog")
    epoch = await log.claim("replica")
    _, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, hard))
    appends = [log.append(batch(first, data_bytes=20_000), epoch) for first in range(1, 301)]
    outcomes = await asyncio.gather(*appends, return_exceptions=True)
    acknowledged = outcomes.count(None)
    refused = sum(isinstance(outcome, LogError) for outcome in outcomes)
    assert outcomes[:acknowledged] == [None] * acknowledged
    assert (await log.ends()).last_sequence == acknowledged
    resource.setrlimit(resource.RLIMIT_FSIZE, (hard, hard))
    await fill(log, epoch, 50)
    print(acknowledged, refused, await verify(log))
    await store.close()


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1], int(sys.argv[2])))
