"""A log that lost its tail goes on as another one once an operator accepts that (D2, E5)."""

from __future__ import annotations

from pathlib import Path

import pytest
from redis.asyncio import Redis

from coordinator_service.accept_loss import SEQUENCE_STEP, accept_loss
from coordinator_service.clock import SystemClock
from coordinator_service.core.commands import Caller, GetState, UpdateState
from coordinator_service.core.rejections import LogMismatch, LogTailLost
from coordinator_service.core.specs import StateChange, StateUpdate
from coordinator_service.log.base import Cursor, LogError
from coordinator_service.log.redis import RedisStore
from coordinator_service.log.redis_options import RedisOptions
from coordinator_service.log.verify import verify
from coordinator_service.namespaces import Namespaces
from tests.redis_process import RedisProcess

NAME = "blog"


def writing(key: str, value: int) -> UpdateState:
    """A change of shared state."""
    return UpdateState(change=StateChange(updates=(StateUpdate(key=key, value=value),)), writer="tester")


async def test_what_is_left_goes_on_past_everything_that_was_told(redis: RedisProcess, tmp_path: Path) -> None:
    """D2, E4, E5: the state is that of what is left; log_id and sequences are others than any that was told."""
    options = RedisOptions(url=redis.url, prefix=str(tmp_path))
    store = RedisStore(options)
    namespaces = Namespaces(store, SystemClock(), replica_id="r1")
    port = await namespaces.own(NAME)
    await port.call(writing("kept", 1), Caller())
    old_log_id, kept_until = port.log_id, port.last_sequence
    await port.create_subscription("consumer", kept_until, old_log_id, "request")
    async with Redis.from_url(redis.url) as client:
        log = await store.open(NAME)
        lagging = [(key, bytes(await client.dump(key))) for key in (log._meta, log._stream)]
        await port.call(writing("lost", 2), Caller())
        told = port.last_sequence
        for key, dumped in lagging:
            await client.restore(key, 0, dumped, replace=True)
    with pytest.raises(LogError):
        await log.append((await log.read(0))[0].batch, 1)
    port.drop(LogTailLost("", 0, ""))
    with pytest.raises(LogTailLost) as refusal:
        await namespaces.own(NAME)
    assert (refusal.value.log_id, refusal.value.last_sequence) == (old_log_id, kept_until)

    accepted = await accept_loss(store, NAME)
    assert accepted is not None
    assert (accepted.kept_until, accepted.acknowledged) == (kept_until, told)
    assert accepted.begins_after == told + SEQUENCE_STEP
    assert await accept_loss(store, NAME) is None

    port = await namespaces.own(NAME)
    assert port.log_id == accepted.new_log_id != old_log_id
    answer = await port.call(GetState(keys=("kept", "lost")), Caller())
    assert [each.key for each in answer.entries] == ["kept"]  # type: ignore[union-attr]
    written = await port.call(writing("later", 3), Caller())
    assert written.sequence > accepted.begins_after  # type: ignore[union-attr]
    with pytest.raises(LogMismatch):
        await port.follow(kept_until, old_log_id)
    cursors: list[Cursor] = await port.named_subscriptions()
    assert [each.log_id for each in cursors] == [old_log_id]
    with pytest.raises(LogMismatch):
        await port.acknowledge("consumer", old_log_id, kept_until, reset=False)
    assert await verify(log) == port.last_sequence
    await namespaces.close()
    await store.close()


async def test_nothing_is_accepted_where_nothing_is_lost(redis: RedisProcess, tmp_path: Path) -> None:
    """A log that is whole is left as it is, and one that is not there is not made."""
    store = RedisStore(RedisOptions(url=redis.url, prefix=str(tmp_path)))
    log = await store.open(NAME)
    before = await log.ends()
    assert await accept_loss(store, NAME) is None
    assert await log.ends() == before
    with pytest.raises(LogError, match="no namespace"):
        await accept_loss(store, "other")
    assert await store.namespaces() == [NAME]
    await store.close()
