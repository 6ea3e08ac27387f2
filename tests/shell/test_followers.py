"""E2 to E4: whoever follows gets everything, once, in order, from wherever they stand, and costs nobody anything."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import pytest
from concert.v1.event_pb2 import EventBatch

from coordinator_service.core.commands import EventDraft, Publish
from coordinator_service.core.events import EventType
from coordinator_service.core.rejections import CursorCompacted, CursorInFuture, LogMismatch
from coordinator_service.local_namespace import LocalNamespace, ShellLimits
from coordinator_service.log.base import Batch, LogError, StoredBatch
from coordinator_service.log.memory import MemoryLog
from coordinator_service.snapshots import SnapshotLimits
from coordinator_service.subscriptions import BATCH_BYTES_MAX, Delivery, Selector, Subscription
from tests.shell.bench import NAME, Asked, Bench, publish, refused, settle


async def publish_many(bench: Bench, port: LocalNamespace, count: int) -> None:
    asked = [Asked(port, publish(f"e{number}"), bench.caller()) for number in range(count)]
    for each in asked:
        await each.final()


async def read_to(port: LocalNamespace, after: int, last: int, *, events_max: int = 7) -> list[int]:
    follower = await port.follow(after)
    found: list[int] = []
    while follower.position < last:
        found += [each.sequence for each in await follower.read(events_max=events_max)]
    return found


async def take_until(deliveries: AsyncIterator[Delivery], last: int) -> list[Delivery]:
    taken = []
    async for delivery in deliveries:
        taken.append(delivery)
        if delivery.last_sequence >= last:
            return taken
    raise AssertionError("a subscription has no end")


def sequences(deliveries: list[Delivery]) -> list[int]:
    return [event.sequence for each in deliveries for event in EventBatch.FromString(each.frames).events]


@pytest.mark.parametrize("tail_bytes_max", [1, 2_000, 1 << 25])
async def test_a_follower_may_resume_from_every_position(bench: Bench, tail_bytes_max: int) -> None:
    """E2: everything after a position, once, in order, from memory, from the log, and across the border of the two."""
    bench.shell = ShellLimits(tail_bytes_max=tail_bytes_max)
    port = await bench.open()
    await publish_many(bench, port, 40)
    end = bench.durable
    for after in range(end):
        assert await read_to(port, after, end) == list(range(after + 1, end + 1))


async def test_a_follower_resumes_in_another_process(bench: Bench) -> None:
    """E2: a bookmark is as good after a restart, and what was published while nobody followed is not missed."""
    port = await bench.open()
    await publish_many(bench, port, 5)
    port = await bench.reopen()
    await publish_many(bench, port, 5)
    assert await read_to(port, 3, bench.durable) == list(range(4, bench.durable + 1))


async def test_a_follower_at_the_end_waits_for_what_comes(bench: Bench) -> None:
    """E2: and gets it when it is committed."""
    port = await bench.open()
    follower = await port.follow(bench.durable)
    reading = asyncio.create_task(follower.read())
    await settle()
    assert not reading.done()
    await port.call(publish("a"), bench.caller())
    assert [each.sequence for each in await reading] == [bench.durable]


async def test_a_read_that_is_given_up_loses_nothing(bench: Bench) -> None:
    """E2: the cursor moves only with what was handed over."""
    port = await bench.open()
    follower = await port.follow(bench.durable)
    for _ in range(3):
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(follower.read(), 0.1)
    await port.call(publish("a"), bench.caller())
    assert [each.sequence for each in await follower.read()] == [bench.durable]
    assert len(port._tail._waiting) <= 1  # the snapshotter's


async def test_a_cursor_of_another_log_is_refused(bench: Bench) -> None:
    """E4: DATA_LOSS, with both names."""
    port = await bench.open()
    with pytest.raises(LogMismatch) as refusal:
        await port.follow(0, "another")
    assert (refusal.value.log_id, refusal.value.requested_log_id) == (port.log_id, "another")


async def test_a_cursor_from_the_future_is_refused(bench: Bench) -> None:
    """E4: INVALID_ARGUMENT, never a wait for what may be something else."""
    port = await bench.open()
    with pytest.raises(CursorInFuture):
        await port.follow(bench.durable + 1)


async def test_a_reader_that_has_read_more_than_there_is_is_told_to_the_operator(
    bench: Bench, caplog: pytest.LogCaptureFixture
) -> None:
    """A cursor of this very log beyond its end: a mistake, or all that is left of a lost tail. Each is said once."""
    port = await bench.open()
    for beyond in (2, 2, 1, 3):
        with pytest.raises(CursorInFuture):
            await port.follow(bench.durable + beyond, port.log_id)
    told = [record.getMessage() for record in caplog.records if "has lost what was acknowledged" in record.getMessage()]
    assert [f"up to {bench.durable + beyond}," in line for beyond, line in zip((2, 3), told, strict=True)] == [True] * 2


async def compacted(bench: Bench) -> LocalNamespace:
    """A namespace of which only the newest events are kept."""
    bench.shell = ShellLimits(tail_bytes_max=1, snapshots=SnapshotLimits(snapshot_events=10))
    port = await bench.open()
    await compact(bench, port)
    return port


async def compact(bench: Bench, port: LocalNamespace) -> None:
    """Lets two snapshots be taken, and trims what lies below the older."""
    while len(bench.place.records[NAME].snapshots) < 2:
        await publish_many(bench, port, 12)
        await settle()
    await port._log.trim(bench.durable, bench.place.records[NAME].epoch)
    assert bench.place.records[NAME].base_sequence > 5


async def test_a_cursor_below_the_oldest_kept_is_refused(bench: Bench) -> None:
    """E4: OUT_OF_RANGE, naming the oldest event kept; from there on everything is there."""
    port = await compacted(bench)
    oldest = bench.place.records[NAME].base_sequence + 1
    with pytest.raises(CursorCompacted) as refusal:
        await port.follow(oldest - 2)
    assert refusal.value.oldest_sequence == oldest
    assert await read_to(port, oldest - 1, bench.durable) == list(range(oldest, bench.durable + 1))


async def test_a_follower_overtaken_by_compaction_is_told(bench: Bench) -> None:
    """E4: never a silent gap, though its cursor was good when it began."""
    bench.shell = ShellLimits(tail_bytes_max=1, snapshots=SnapshotLimits(snapshot_events=10))
    port = await bench.open()
    await publish_many(bench, port, 3)
    slow = await port.follow(1)
    await compact(bench, port)
    with pytest.raises(CursorCompacted):
        await slow.read()


async def test_a_log_that_cannot_be_read_is_unavailable(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    """E2: a fault of the disk while reading is no end of the log and no gap in it."""
    bench.shell = ShellLimits(tail_bytes_max=1)
    port = await bench.open()
    await publish_many(bench, port, 5)
    follower = await port.follow(1)

    async def fail(_after: int, **_how: int) -> list[StoredBatch]:
        raise LogError("a bad sector")

    monkeypatch.setattr(port._log, "read", fail)
    assert (await refused(follower.read())).code == "UNAVAILABLE"  # type: ignore[arg-type]
    monkeypatch.undo()
    assert (await follower.read())[0].sequence == 2


async def test_a_gap_in_what_is_read_is_never_passed_over(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    """E4: whatever a store does."""
    bench.shell = ShellLimits(tail_bytes_max=1)
    port = await bench.open()
    await publish_many(bench, port, 5)
    follower = await port.follow(1)

    async def skip(_after: int, **_how: int) -> list[StoredBatch]:
        return [StoredBatch(batch=Batch(first_sequence=4, last_sequence=4, time_ns=0, events=b"\x0a\x00"), hash=b"")]

    monkeypatch.setattr(port._log, "read", skip)
    assert (await refused(follower.read())).code == "UNAVAILABLE"  # type: ignore[arg-type]
    assert follower.position == 1


async def test_a_slow_subscriber_costs_no_memory_and_delays_nobody(bench: Bench) -> None:
    """E3: what it has not read is in the log; the tail stays within its bound, and publishes do not wait for it."""
    bench.shell = ShellLimits(tail_bytes_max=10_000)
    port = await bench.open()
    deliveries = Subscription(port, Selector(), 0).deliveries()
    await anext(deliveries)
    began = asyncio.get_running_loop().time()
    for _ in range(20):
        await publish_many(bench, port, 100)
    assert asyncio.get_running_loop().time() - began < 1.0
    assert sum(len(each.frame) for each in port._tail._events) <= 2 * 10_000
    assert sequences(await take_until(deliveries, bench.durable)) == list(range(1, bench.durable + 1))
    await deliveries.aclose()


async def test_many_slow_subscribers_share_what_is_in_memory(bench: Bench) -> None:
    """E3: a subscriber is a number; events are kept once for all."""
    port = await bench.open()
    subscriptions = [Subscription(port, Selector(), 0).deliveries() for _ in range(50)]
    for each in subscriptions:
        await anext(each)
    await publish_many(bench, port, 10)
    assert len(port._tail._events) == 11
    for each in subscriptions:
        assert len(sequences(await take_until(each, bench.durable))) == 11
        await each.aclose()


async def test_a_subscription_delivers_what_it_selects(bench: Bench) -> None:
    """E2: each matching event once, and bookmarks that settle what was passed over."""
    port = await bench.open()
    await publish_many(bench, port, 10)
    selector = Selector(types=frozenset({EventType.CUSTOM}), custom_names=frozenset({"e3", "e7"}))
    deliveries = Subscription(port, selector, 0).deliveries()
    taken = await take_until(deliveries, bench.durable)
    assert sequences(taken) == [5, 9]
    assert taken[-1].caught_up
    await deliveries.aclose()


async def test_a_quiet_subscription_gets_bookmarks(bench: Bench) -> None:
    """E2: so that its client can resume from near the end of the log, and knows that it lives."""
    port = await bench.open()
    deliveries = Subscription(port, Selector(run_ids=frozenset({"none"})), 0).deliveries(bookmark_seconds=15.0)
    began = asyncio.get_running_loop().time()
    taken = [await anext(deliveries) for _ in range(4)]
    assert [each.frames for each in taken] == [b""] * 4
    assert taken[-1].last_sequence == bench.durable
    assert asyncio.get_running_loop().time() - began == pytest.approx(30.0, abs=1)
    await deliveries.aclose()


async def test_a_subscription_may_begin_at_a_time(bench: Bench) -> None:
    """E2: `since` gives every event at or after a time and none before it."""
    port = await bench.open()
    await publish_many(bench, port, 3)
    since_ns = port.sequencer.state.time_ns + 5 * 10**9
    bench.disk.hold()
    Asked(port, publish("on its way"), bench.caller())
    await settle()
    Asked(port, publish("before it, in a batch that ends after it"), bench.caller())
    await asyncio.sleep(10)
    first = port.sequencer.state.sequence + 1
    asked = Asked(port, publish("after it"), bench.caller())
    await settle()
    bench.disk.release()
    await asked.final()
    await publish_many(bench, port, 3)
    after = await port.locate(since_ns)
    assert after < first - 1
    deliveries = Subscription(port, Selector(), after, since_ns=since_ns).deliveries()
    assert sequences(await take_until(deliveries, bench.durable)) == list(range(first, bench.durable + 1))
    await deliveries.aclose()


async def test_a_large_backlog_comes_in_bounded_batches(bench: Bench) -> None:
    """E3: no delivery is larger than a frame may be, and each says how far it settles."""
    port = await bench.open()
    large = Publish(drafts=tuple(EventDraft(name="n" * 100_000) for _ in range(50)))
    await port.call(large, bench.caller())
    deliveries = Subscription(port, Selector(), 0).deliveries()
    taken = await take_until(deliveries, bench.durable)
    assert len(taken) > 2
    assert max(len(each.frames) for each in taken) <= BATCH_BYTES_MAX
    for each in taken:
        found = sequences([each])
        assert not found or found[-1] == each.last_sequence
    assert sequences(taken) == list(range(1, bench.durable + 1))
    await deliveries.aclose()


async def test_a_reader_that_lags_reads_about_what_it_is_given(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    """E3: it costs what it reads, not many times that."""
    bench.shell = ShellLimits(tail_bytes_max=1)
    port = await bench.open()
    for _ in range(1000):
        await publish_many(bench, port, 1)
    read, fetched = MemoryLog.read, 0

    async def counted(self: MemoryLog, after: int, **how: int) -> list[StoredBatch]:
        nonlocal fetched
        found = await read(self, after, **how)
        fetched += sum(each.batch.last_sequence - each.batch.first_sequence + 1 for each in found)
        return found

    monkeypatch.setattr(MemoryLog, "read", counted)
    follower = await port.follow(0)
    while follower.position < bench.durable - 1:
        await follower.read(events_max=100)
    assert fetched < 2 * bench.durable
