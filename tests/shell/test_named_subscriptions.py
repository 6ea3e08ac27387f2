"""Named subscriptions at the port: cursors that are durable before they are told, and follow the owner's fence."""

from __future__ import annotations

import asyncio
from dataclasses import replace

import pytest

from coordinator_service.core.rejections import (
    AlreadyExists,
    CursorBehind,
    CursorCompacted,
    CursorInFuture,
    LimitReached,
    LogMismatch,
    NotFound,
    Rejection,
    Unavailable,
)
from coordinator_service.local_namespace import LocalNamespace, ShellLimits
from coordinator_service.log.memory import MemoryLog
from coordinator_service.named_subscriptions import NamedSubscriptionLimits
from coordinator_service.snapshots import SnapshotLimits
from tests.shell.bench import NAME, Bench, publish, settle


async def opened(bench: Bench, events: int = 5) -> LocalNamespace:
    """A namespace with some events and a subscription "s" from the beginning."""
    port = await bench.open()
    for _ in range(events):
        await port.call(publish("a"), bench.caller())
    await port.create_subscription("s", 0, "", "first")
    return port


async def test_a_cursor_outlives_its_owner_and_adds_no_event(bench: Bench) -> None:
    """E5: what was acknowledged is there for the next owner, and is no event of the log."""
    port = await opened(bench)
    before = bench.durable
    moved = await port.acknowledge("s", port.log_id, 3, reset=False)
    assert (moved.sequence, moved.log_id) == (3, port.log_id)
    assert bench.durable == before
    port = await bench.reopen()
    assert await port.named_subscriptions() == [moved]


async def test_a_cursor_moves_forward_only(bench: Bench) -> None:
    """E5: bad input: behind what was acknowledged, beyond the log, of another log, of nobody: nothing is moved."""
    port = await opened(bench)
    await port.acknowledge("s", port.log_id, 3, reset=False)
    again = await port.acknowledge("s", port.log_id, 3, reset=False)
    refusals: list[tuple[type[Rejection], str, str, int]] = [
        (CursorBehind, "s", port.log_id, 2),
        (CursorInFuture, "s", port.log_id, bench.durable + 1),
        (LogMismatch, "s", "another", 4),
        (NotFound, "t", port.log_id, 4),
    ]
    for kind, name, log_id, sequence in refusals:
        with pytest.raises(kind):
            await port.acknowledge(name, log_id, sequence, reset=False)
    assert await port.named_subscriptions() == [again]
    assert (await port.acknowledge("s", port.log_id, 1, reset=True)).sequence == 1


async def test_another_log_is_data_loss_until_reset(bench: Bench) -> None:
    """E5: after a change of log_id neither reading nor acknowledging goes on by itself; reset says that it may."""
    port = await opened(bench)
    record = bench.place.records[NAME]
    record.cursors["s"] = replace(record.cursors["s"], log_id="the log before")
    port = await bench.reopen()
    cursor = await port.named_subscription("s")
    with pytest.raises(LogMismatch) as mismatch:
        await port.follow(cursor.sequence, cursor.log_id)
    assert (mismatch.value.log_id, mismatch.value.requested_log_id) == (port.log_id, "the log before")
    with pytest.raises(LogMismatch):
        await port.acknowledge("s", port.log_id, 4, reset=False)
    assert (await port.acknowledge("s", port.log_id, 2, reset=True)).log_id == port.log_id
    assert (await port.acknowledge("s", port.log_id, 4, reset=False)).sequence == 4


async def test_nothing_is_told_before_it_is_durable(bench: Bench) -> None:
    """D4: while the disk holds back, nobody hears of an acknowledgement, and what is asked meanwhile is one write."""
    port = await opened(bench)
    bench.disk.hold()
    first = asyncio.ensure_future(port.acknowledge("s", port.log_id, 1, reset=False))
    await settle()
    begun = bench.disk.begun
    others = [asyncio.ensure_future(port.acknowledge("s", port.log_id, n, reset=False)) for n in (2, 3, 4)]
    await settle()
    assert not first.done()
    assert (await port.named_subscription("s")).sequence == 0
    bench.disk.release()
    assert [each.sequence for each in await asyncio.gather(first, *others)] == [1, 2, 3, 4]
    assert bench.disk.begun == begun + 1
    assert (await port.named_subscription("s")).sequence == 4


async def test_a_disk_that_fails_drops_the_namespace(bench: Bench) -> None:
    """D4: whether the write is there is not known; whoever waits is told, and the next owner knows what is durable."""
    port = await opened(bench)
    bench.disk.fails = True
    asked = [asyncio.ensure_future(port.acknowledge("s", port.log_id, n, reset=False)) for n in (1, 2)]
    for outcome in await asyncio.gather(*asked, return_exceptions=True):
        assert isinstance(outcome, Unavailable)
    assert port.dropped
    port = await bench.reopen()
    assert (await port.named_subscription("s")).sequence == 0


async def test_an_owner_of_the_past_moves_nothing(bench: Bench) -> None:
    """E5: through the owner's fence: once another replica has claimed the log, the cursor stays where it is."""
    port = await opened(bench)
    assert isinstance(port._log, MemoryLog)
    await port._log.claim("another replica")
    with pytest.raises(Unavailable):
        await port.acknowledge("s", port.log_id, 4, reset=False)
    assert port.dropped
    assert bench.place.records[NAME].cursors["s"].sequence == 0


async def test_creating_again(bench: Bench) -> None:
    """E5, D5: the same request again is the same subscription, also after a restart; another one is refused."""
    port = await opened(bench)
    made = await port.named_subscription("s")
    for reopened in (False, True):
        port = await bench.reopen() if reopened else port
        assert await port.create_subscription("s", 4, "", "first") == (made, True)
        for request_id in ("second", ""):
            with pytest.raises(AlreadyExists):
                await port.create_subscription("s", 0, "", request_id)
    assert await port.delete_subscription("s")
    assert not await port.delete_subscription("s")
    with pytest.raises(NotFound):
        await port.named_subscription("s")
    port = await bench.reopen()
    assert await port.named_subscriptions() == []


async def test_there_is_a_bound(bench: Bench) -> None:
    """E5: bad input: one more than subscriptions_max is refused by the name of the limit."""
    bench.shell = ShellLimits(named_subscriptions=NamedSubscriptionLimits(subscriptions_max=2))
    port = await opened(bench)
    await port.create_subscription("t", 0, "", "")
    with pytest.raises(LimitReached) as refusal:
        await port.create_subscription("u", 0, "", "")
    assert (refusal.value.subject, refusal.value.limit) == ("subscriptions_max", 2)
    assert [each.name for each in await port.named_subscriptions()] == ["s", "t"]


async def test_a_start_that_is_not_there_is_refused(bench: Bench) -> None:
    """E4: bad input: a subscription cannot begin in the future, in another log, or below the oldest event kept."""
    bench.shell = ShellLimits(snapshots=SnapshotLimits(snapshot_events=4), tail_bytes_max=1)
    port = await opened(bench)
    record = bench.place.records[NAME]
    while len(record.snapshots) < 2:
        await port.call(publish("a"), bench.caller())
        await settle()
    await port._log.trim(record.snapshots[1].sequence, record.epoch)
    assert record.base_sequence > 1
    refusals: list[tuple[type[Rejection], int, str]] = [
        (CursorInFuture, bench.durable + 1, ""),
        (LogMismatch, 0, "another"),
        (CursorCompacted, 1, ""),
    ]
    for kind, after, log_id in refusals:
        with pytest.raises(kind):
            await port.create_subscription("new", after, log_id, "")
    with pytest.raises(CursorCompacted):
        await port.acknowledge("s", port.log_id, 1, reset=True)
    assert [each.name for each in await port.named_subscriptions()] == ["s"]


async def test_an_answer_cut_off_by_a_drop_is_unavailable(bench: Bench) -> None:
    """D4: whoever waits when the namespace is dropped is told so."""
    port = await opened(bench)
    bench.disk.hold()
    asked = asyncio.ensure_future(port.acknowledge("s", port.log_id, 1, reset=False))
    await settle()
    port.drop(Unavailable("gone"))
    with pytest.raises(Unavailable):
        await asked
    bench.disk.release()
