"""What only the store in memory has to show: a place outlives its stores, and commits can be slow or fail."""

from __future__ import annotations

import asyncio

import pytest

from coordinator_service.log.base import LogError
from coordinator_service.log.memory import MemoryPlace, MemoryStore
from coordinator_service.log.verify import verify
from tests.log.batches import batch, fill


async def test_an_abandoned_store_can_no_longer_write() -> None:
    """A crash: once the place is opened again, what the old store had under way is refused and never appears."""
    place = MemoryPlace()
    gate = asyncio.Event()

    async def slow() -> None:
        await gate.wait()

    gate.set()
    old = await MemoryStore(place, commit=slow).open("blog")
    epoch = await old.claim("one")
    await fill(old, epoch, 2)
    gate.clear()
    under_way = asyncio.create_task(old.append(batch(3), epoch))
    await asyncio.sleep(0)
    new = await MemoryStore(place).open("blog")
    gate.set()
    with pytest.raises(LogError):
        await under_way
    assert (await new.ends()).last_sequence == 2
    await fill(new, await new.claim("two"), 1)
    assert await verify(new) == 3


async def test_a_failed_commit_leaves_nothing() -> None:
    """D3: a batch whose commit failed is absent, and the log goes on from its durable end."""
    fails = False

    async def commit() -> None:
        if fails:
            raise LogError("no space left")

    log = await MemoryStore(commit=commit).open("blog")
    epoch = await log.claim("replica")
    await fill(log, epoch, 1)
    fails = True
    with pytest.raises(LogError, match="no space"):
        await log.append(batch(2), epoch)
    fails = False
    await fill(log, epoch, 1)
    assert await verify(log) == 2


async def test_log_ids_can_be_minted_from_a_seed() -> None:
    """A simulator that names logs itself finds the same names again."""
    names = iter(["one", "two"])
    store = MemoryStore(MemoryPlace(mint_log_id=lambda: next(names)))
    assert [(await (await store.open(name)).ends()).log_id for name in "ab"] == ["one", "two"]
