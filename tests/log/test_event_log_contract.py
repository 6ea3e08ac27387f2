"""What every store of events promises (log/base.py), held against each of them.

A store joins by a Place: somewhere to open it, leave it, and open it again.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any, Protocol

import pytest

from coordinator_service.log.base import (
    GENESIS_HASH,
    Batch,
    Cursor,
    EventLog,
    Fenced,
    Holder,
    LogCorrupt,
    LogError,
    LogStore,
    Snapshot,
    chain,
)
from coordinator_service.log.memory import MemoryPlace, MemoryStore
from coordinator_service.log.redis import RedisStore
from coordinator_service.log.redis_options import RedisOptions
from coordinator_service.log.sqlite import SqliteStore
from coordinator_service.log.verify import verify
from tests.log.batches import TIME_STEP_NS, batch, fill, read_all
from tests.redis_process import RedisProcess


class Place(Protocol):
    """Where a store lies."""

    def open(self) -> LogStore:
        """Opens it."""


class InMemory:
    """A store in memory."""

    def __init__(self, directory: Path) -> None:
        self._place = MemoryPlace()

    def open(self) -> LogStore:
        """Opens it."""
        return MemoryStore(self._place)


class InSqlite:
    """A store in a file."""

    def __init__(self, directory: Path) -> None:
        self._path = directory / "log.db"

    def open(self) -> LogStore:
        """Opens it."""
        return SqliteStore(self._path)


class InRedis:
    """A store under a prefix of its own in a Redis server."""

    def __init__(self, server: RedisProcess, directory: Path) -> None:
        self._options = RedisOptions(url=server.url, prefix=str(directory))

    def open(self) -> LogStore:
        """Opens it."""
        return RedisStore(self._options)


@pytest.fixture(params=["memory", "sqlite", "redis"])
def place(request: pytest.FixtureRequest, tmp_path: Path) -> Place:
    """Where the store under test lies."""
    if request.param == "redis":
        return InRedis(request.getfixturevalue("redis"), tmp_path)
    return InMemory(tmp_path) if request.param == "memory" else InSqlite(tmp_path)


@pytest.fixture
async def store(place: Place) -> AsyncIterator[LogStore]:
    """The store under test."""
    opened = place.open()
    yield opened
    await opened.close()


@pytest.fixture
async def log(store: LogStore) -> EventLog:
    """An empty log."""
    return await store.open("blog")


async def snapshot_at(log: EventLog, sequence: int, data: bytes = b"state") -> Snapshot:
    """A snapshot that fits a log."""
    for stored in await log.read(sequence - 1):
        if stored.batch.last_sequence == sequence:
            return Snapshot(sequence=sequence, hash=stored.hash, data=data)
    raise LookupError(sequence)


def cursor(name: str, sequence: int, **fields: Any) -> Cursor:
    """How far a named subscription is."""
    return Cursor(name=name, log_id="l", sequence=sequence, created_at_ns=1, request_id="r", **fields)


class TestEventLogContract:
    """The guarantees, one by one."""

    async def test_a_new_log_is_empty(self, log: EventLog) -> None:
        """A log begins before sequence 1 with a log_id of its own."""
        ends = await log.ends()
        assert (ends.oldest_sequence, ends.last_sequence) == (1, 0)
        assert ends.hash == ends.base_hash == GENESIS_HASH
        assert ends.log_id
        assert log.namespace == "blog"
        assert await log.read(0) == []
        assert await log.snapshots() == []

    async def test_what_was_appended_is_read(self, log: EventLog) -> None:
        """D3, D9: batches come back as they were written, in order, each with the hash of the chain up to it."""
        epoch = await log.claim("replica")
        written = [batch(1), batch(2, 3), batch(5, 2, text="é" * 300)]
        for each in written:
            await log.append(each, epoch)
        found = await log.read(0)
        assert [stored.batch for stored in found] == written
        digest = GENESIS_HASH
        for stored in found:
            digest = chain(digest, stored.batch.events)
            assert stored.hash == digest
        ends = await log.ends()
        assert (ends.oldest_sequence, ends.last_sequence, ends.hash) == (1, 6, digest)

    async def test_overlapping_appends_are_durable_in_call_order(self, log: EventLog) -> None:
        """D2: many appends at once leave a gapless log in the order of the calls."""
        epoch = await log.claim("replica")
        done: list[int] = []

        async def append(each: Batch) -> None:
            await log.append(each, epoch)
            done.append(each.first_sequence)

        written = [batch(first, 2) for first in range(1, 201, 2)]
        await asyncio.gather(*(append(each) for each in written))
        assert await read_all(log) == written
        assert done == sorted(done)

    async def test_an_acknowledged_batch_can_be_read_at_once(self, log: EventLog) -> None:
        """D4: what was acknowledged is there for every reader."""
        epoch = await log.claim("replica")
        for first in range(1, 20):
            await log.append(batch(first), epoch)
            assert [stored.batch.first_sequence for stored in await log.read(first - 1)] == [first]
            assert (await log.ends()).last_sequence == first

    @pytest.mark.parametrize("first", [1, 3, 5, 100])
    async def test_a_batch_that_does_not_continue_the_log_is_refused(self, log: EventLog, first: int) -> None:
        """D2: a repetition, an overlap or a gap is Fenced, and nothing happened."""
        epoch = await log.claim("replica")
        await fill(log, epoch, 1, count=3)
        before = await log.ends()
        with pytest.raises(Fenced):
            await log.append(batch(first, 2), epoch)
        assert await log.ends() == before
        await log.append(batch(4), epoch)

    async def test_what_builds_on_a_refused_batch_is_refused(self, log: EventLog) -> None:
        """D3: no later batch is there without an earlier one, and the log goes on from its durable end."""
        epoch = await log.claim("replica")
        appends = [log.append(each, epoch) for each in (batch(1), batch(3), batch(4), batch(2))]
        outcomes = await asyncio.gather(*appends, return_exceptions=True)
        assert [type(outcome) for outcome in outcomes] == [type(None), Fenced, Fenced, type(None)]
        assert await read_all(log) == [batch(1), batch(2)]

    async def test_only_the_last_claimed_epoch_may_write(self, log: EventLog) -> None:
        """Invariant 12: an earlier owner, and one that never claimed, is Fenced in whatever it does."""
        old = await log.claim("one")
        await fill(log, old, 3)
        new = await log.claim("two")
        assert new > old
        saved = await snapshot_at(log, 3)
        for epoch in (0, old, new + 1):
            with pytest.raises(Fenced):
                await log.append(batch(4), epoch)
            with pytest.raises(Fenced):
                await log.save_snapshot(saved, epoch)
            with pytest.raises(Fenced):
                await log.trim(2, epoch)
        assert (await log.ends()).last_sequence == 3
        assert await log.snapshots() == []
        await log.append(batch(4), new)

    async def test_a_claim_cuts_between_overlapping_appends(self, log: EventLog) -> None:
        """Invariant 12: of an old owner's appends those before the claim are there, those after it are not."""
        old = await log.claim("one")
        before = [log.append(batch(first), old) for first in range(1, 6)]
        claim = log.claim("two")
        after = [log.append(batch(first), old) for first in range(6, 9)]
        outcomes = await asyncio.gather(*before, claim, *after, return_exceptions=True)
        assert outcomes[:5] == [None] * 5
        assert [type(outcome) for outcome in outcomes[6:]] == [Fenced] * 3
        assert (await log.ends()).last_sequence == 5

    async def test_of_two_that_claim_after_an_owner_one_gets_it(self, log: EventLog) -> None:
        """Invariant 12: a claim after an epoch that is no longer the last is Fenced, and nothing happened."""
        assert await log.holder() == Holder(epoch=0, name="")
        first = await log.claim("one", after=0)
        outcomes = await asyncio.gather(
            log.claim("two", after=first), log.claim("three", after=first), return_exceptions=True
        )
        assert [type(outcome) for outcome in outcomes] == [int, Fenced]
        assert await log.holder() == Holder(epoch=outcomes[0], name="two")
        await log.append(batch(1), outcomes[0])

    async def test_who_lets_go_is_fenced(self, log: EventLog) -> None:
        """D6: after a release nobody owns the log, and the next owner has a larger epoch."""
        old = await log.claim("one")
        await log.append(batch(1), old)
        await log.release(old)
        assert (await log.holder()).name == ""
        for attempt in (log.append(batch(2), old), log.release(old), log.confirm(old)):
            with pytest.raises(Fenced):
                await attempt
        new = await log.claim("two", after=(await log.holder()).epoch)
        assert new > old
        await log.append(batch(2), new)

    async def test_a_read_is_confirmed_by_the_last_owner_alone(self, log: EventLog) -> None:
        """D4: confirm stands for the last epoch claimed, and no other."""
        old = await log.claim("one")
        await log.confirm(old)
        new = await log.claim("two")
        await log.confirm(new)
        for epoch in (0, old, new + 1):
            with pytest.raises(Fenced):
                await log.confirm(epoch)

    async def test_whoever_waits_hears_that_the_log_has_grown(self, log: EventLog) -> None:
        """E2: a follower is woken by the append that it waits for, and at once by one that was before."""
        epoch = await log.claim("replica")
        waiting = [asyncio.ensure_future(log.grown(after)) for after in (0, 0, 2)]
        await asyncio.sleep(0)
        await log.append(batch(1, 2), epoch)
        assert [await each for each in waiting[:2]] == [2, 2]
        await log.append(batch(3), epoch)
        assert await waiting[2] == 3
        assert await log.grown(1) == 3

    async def test_epochs_rise_across_openings(self, place: Place) -> None:
        """D6: an epoch is larger than every one before it, also after the store was closed."""
        epochs: list[int] = []
        for _ in range(3):
            store = place.open()
            log = await store.open("blog")
            epochs += [await log.claim("replica"), await log.claim("replica")]
            await store.close()
        assert epochs == sorted(set(epochs))

    async def test_a_log_is_the_same_after_reopening(self, place: Place) -> None:
        """D3: log_id, batches, hashes, snapshots and the fence outlive the store that wrote them."""
        store = place.open()
        log = await store.open("blog")
        epoch = await log.claim("replica")
        await fill(log, epoch, 5, count=2)
        await log.save_snapshot(await snapshot_at(log, 4), epoch)
        ends, stored, snapshots = await log.ends(), await log.read(0), await log.snapshots()
        await store.close()
        store = place.open()
        log = await store.open("blog")
        assert (await log.ends(), await log.read(0), await log.snapshots()) == (ends, stored, snapshots)
        await log.append(batch(11), epoch)
        with pytest.raises(Fenced):
            await log.append(batch(12), epoch - 1)
        await store.close()

    async def test_read_gives_pages(self, log: EventLog) -> None:
        """A page has at least one batch and otherwise keeps to its size; reading on misses and repeats nothing."""
        epoch = await log.claim("replica")
        await fill(log, epoch, 10, count=4)
        size = len(batch(1, 4).events)
        assert [s.batch.first_sequence for s in await log.read(0, bytes_max=1)] == [1]
        page = await log.read(0, bytes_max=3 * size + size // 2)
        assert [s.batch.first_sequence for s in page] == [1, 5, 9]
        assert [s.batch.first_sequence for s in await log.read(12, bytes_max=1)] == [13]
        assert [each.first_sequence for each in await read_all(log)] == list(range(1, 41, 4))

    async def test_read_from_within_a_batch_gives_that_batch(self, log: EventLog) -> None:
        """A cursor may stand anywhere: the batch that holds the next event comes whole."""
        epoch = await log.claim("replica")
        await fill(log, epoch, 2, count=4)
        assert [s.batch.first_sequence for s in await log.read(3)] == [1, 5]
        assert [s.batch.first_sequence for s in await log.read(4)] == [5]
        assert await log.read(8) == []
        assert await log.read(10**9) == []

    async def test_locate_finds_where_a_time_begins(self, log: EventLog) -> None:
        """Reading after what locate returns misses no event at or after the time, and begins as late as it can."""
        epoch = await log.claim("replica")
        assert await log.locate(0) == 0
        await fill(log, epoch, 30, count=3)
        for time_ns in range(0, 92 * TIME_STEP_NS, 7):
            ended = [each for each in range(3, 91, 3) if each * TIME_STEP_NS < time_ns]
            assert await log.locate(time_ns) == (ended[-1] if ended else 0)

    async def test_locate_holds_when_time_stood_still(self, log: EventLog) -> None:
        """Batches of one time are all read from that time on."""
        epoch = await log.claim("replica")
        for first in range(1, 20):
            each = batch(first)
            time_ns = 5 if first < 4 else 10
            still = Batch(first_sequence=first, last_sequence=first, time_ns=time_ns, events=each.events)
            await log.append(still, epoch)
        assert [await log.locate(time_ns) for time_ns in (5, 6, 10, 11)] == [0, 3, 3, 19]

    async def test_two_snapshots_are_kept(self, log: EventLog) -> None:
        """D8: the newest two, newest first; saving at the same sequence again replaces."""
        epoch = await log.claim("replica")
        await fill(log, epoch, 4)
        for sequence in (1, 3, 2, 4):
            await log.save_snapshot(await snapshot_at(log, sequence, b"%d" % sequence), epoch)
        assert [(s.sequence, s.data) for s in await log.snapshots()] == [(4, b"4"), (3, b"3")]
        await log.save_snapshot(await snapshot_at(log, 4, b"again"), epoch)
        assert [(s.sequence, s.data) for s in await log.snapshots()] == [(4, b"again"), (3, b"3")]

    async def test_a_large_snapshot_comes_back_whole(self, log: EventLog) -> None:
        """A snapshot of megabytes, saved while appends go on, is what it was."""
        epoch = await log.claim("replica")
        await fill(log, epoch, 1)
        saved = await snapshot_at(log, 1, os.urandom(3 * 1024 * 1024))
        await asyncio.gather(log.save_snapshot(saved, epoch), fill(log, epoch, 50))
        assert await log.snapshots() == [saved]
        assert (await log.ends()).last_sequence == 51

    async def test_a_snapshot_of_something_else_is_refused(self, log: EventLog) -> None:
        """D9: a snapshot anchors the chain: its sequence ends a batch and its hash is the one there."""
        epoch = await log.claim("replica")
        await fill(log, epoch, 2, count=3)
        fits = await snapshot_at(log, 3)
        for wrong in (
            Snapshot(sequence=3, hash=bytes(32), data=b""),
            Snapshot(sequence=2, hash=fits.hash, data=b""),
            Snapshot(sequence=9, hash=fits.hash, data=b""),
        ):
            with pytest.raises(LogCorrupt):
                await log.save_snapshot(wrong, epoch)
        assert await log.snapshots() == []

    async def test_trim_drops_whole_batches_below_the_older_snapshot(self, log: EventLog) -> None:
        """D8: without two snapshots nothing goes; with them, whole batches below both bounds."""
        epoch = await log.claim("replica")
        await fill(log, epoch, 10, count=3)
        assert await log.trim(100, epoch) == 1
        await log.save_snapshot(await snapshot_at(log, 12), epoch)
        assert await log.trim(100, epoch) == 1
        await log.save_snapshot(await snapshot_at(log, 24), epoch)
        assert await log.trim(6, epoch) == 4
        assert await log.trim(7, epoch) == 7
        assert await log.trim(2, epoch) == 7
        assert await log.trim(100, epoch) == 13
        ends = await log.ends()
        assert (ends.oldest_sequence, ends.last_sequence) == (13, 30)
        assert [each.first_sequence for each in await read_all(log)] == list(range(13, 31, 3))
        assert await log.locate(0) == 12
        assert await verify(log) == 30

    async def test_a_log_trimmed_to_its_end_goes_on(self, place: Place) -> None:
        """D2: with every batch gone, sequence and chain continue, also after reopening."""
        store = place.open()
        log = await store.open("blog")
        epoch = await log.claim("replica")
        await fill(log, epoch, 2)
        await log.save_snapshot(await snapshot_at(log, 1), epoch)
        await log.save_snapshot(await snapshot_at(log, 2), epoch)
        before = await log.ends()
        assert await log.trim(100, epoch) == 2
        await log.append(batch(3), epoch)
        await log.save_snapshot(await snapshot_at(log, 3), epoch)
        await log.trim(100, epoch)
        await log.save_snapshot(await snapshot_at(log, 3), epoch)
        await store.close()
        store = place.open()
        log = await store.open("blog")
        ends = await log.ends()
        assert (ends.oldest_sequence, ends.last_sequence) == (3, 3)
        assert ends.hash == chain(before.hash, batch(3).events)
        with pytest.raises(Fenced):
            await log.append(batch(3), epoch)
        await log.append(batch(4), epoch)
        assert await verify(log) == 4
        await store.close()

    async def test_measure_counts_the_bytes_of_whole_batches(self, log: EventLog) -> None:
        """D8: what retention by size goes by: batches that end in the range, and none that was trimmed."""
        epoch = await log.claim("replica")
        written = [batch(1), batch(2, 3), batch(5, 2, text="é" * 300)]
        for each in written:
            await log.append(each, epoch)
        sizes = [len(each.events) for each in written]
        assert await log.measure(0, 6) == sum(sizes)
        assert await log.measure(1, 4) == sizes[1]
        assert await log.measure(1, 5) == sizes[1]
        assert await log.measure(6, 100) == 0

    async def test_cursors_are_kept_beside_the_log(self, place: Place) -> None:
        """E5: a cursor replaces the one of its name, comes back by name and after reopening, and adds no event."""
        store = place.open()
        log = await store.open("blog")
        assert await log.cursors() == []
        epoch = await log.claim("replica")
        first = [cursor("b", 3), cursor("a", 1), cursor("ü", 2**62)]
        await log.save_cursors(first, epoch)
        assert await log.cursors() == [first[1], first[0], first[2]]
        await log.save_cursors([cursor("a", 7, acknowledged_at_ns=5)], epoch, dropped=["b", "nobody"])
        await store.close()
        store = place.open()
        log = await store.open("blog")
        assert await log.cursors() == [cursor("a", 7, acknowledged_at_ns=5), first[2]]
        assert await (await store.open("other")).cursors() == []
        assert (await log.ends()).last_sequence == 0
        await store.close()

    async def test_cursors_are_fenced_like_the_log(self, log: EventLog) -> None:
        """E5: who is no longer the owner moves no cursor and drops none, in whatever order it asks."""
        old = await log.claim("one")
        await log.save_cursors([cursor("a", 1)], old)
        saving = asyncio.ensure_future(log.save_cursors([cursor("a", 2)], old))
        await asyncio.sleep(0)
        new = await log.claim("two")
        await saving
        with pytest.raises(Fenced):
            await log.save_cursors([cursor("a", 9), cursor("b", 9)], old, dropped=["a"])
        assert await log.cursors() == [cursor("a", 2)]
        await log.save_cursors([cursor("a", 3)], new)
        assert await log.cursors() == [cursor("a", 3)]

    async def test_trimming_many_batches_lets_appends_pass(self, log: EventLog) -> None:
        """A long trim and appends at once both succeed, and the chain holds."""
        epoch = await log.claim("replica")
        await asyncio.gather(*(log.append(batch(first), epoch) for first in range(1, 1001)))
        await log.save_snapshot(await snapshot_at(log, 990), epoch)
        await log.save_snapshot(await snapshot_at(log, 1000), epoch)
        oldest, _ = await asyncio.gather(log.trim(991, epoch), fill(log, epoch, 20))
        assert oldest == 991
        assert await verify(log) == 1020

    async def test_namespaces_are_apart(self, store: LogStore) -> None:
        """Each namespace has its own log_id, sequences, epochs, snapshots and chain, however they are interleaved."""
        logs = [await store.open(f"n{number:02}") for number in range(20)]
        epochs = [await log.claim("replica") for log in logs]
        appends = [
            log.append(batch(first, text=log.namespace), epoch)
            for first in range(1, 11)
            for log, epoch in zip(logs, epochs, strict=True)
        ]
        await asyncio.gather(*appends)
        await logs[3].save_snapshot(await snapshot_at(logs[3], 2), epochs[3])
        for log in logs:
            assert await read_all(log) == [batch(first, text=log.namespace) for first in range(1, 11)]
            assert len(await log.snapshots()) == (1 if log is logs[3] else 0)
        assert len({(await log.ends()).log_id for log in logs}) == 20
        assert await store.namespaces() == [f"n{number:02}" for number in range(20)]

    async def test_a_namespace_opened_twice_has_one_log(self, store: LogStore) -> None:
        """Whoever opens a namespace at the same time gets the same log."""
        one, other = await asyncio.gather(store.open("blog"), store.open("blog"))
        assert await one.ends() == await other.ends()
        await fill(one, await one.claim("replica"), 3)
        assert await read_all(other) == await read_all(one)
        assert await store.namespaces() == ["blog"]

    async def test_close_waits_for_what_is_under_way(self, place: Place) -> None:
        """D3: whatever close found under way is durable, or its caller was told that it is not."""
        store = place.open()
        log = await store.open("blog")
        epoch = await log.claim("replica")
        appends = [asyncio.ensure_future(log.append(batch(first), epoch)) for first in range(1, 101)]
        await asyncio.sleep(0)
        await store.close()
        outcomes = await asyncio.gather(*appends, return_exceptions=True)
        store = place.open()
        durable = (await (await store.open("blog")).ends()).last_sequence
        await store.close()
        assert outcomes[:durable] == [None] * durable
        assert all(isinstance(outcome, LogError) for outcome in outcomes[durable:])

    async def test_a_closed_store_refuses(self, store: LogStore, log: EventLog) -> None:
        """Nothing is written or read through a store that was let go."""
        epoch = await log.claim("replica")
        await store.close()
        for attempt in (
            log.append(batch(1), epoch),
            log.ends(),
            log.read(0),
            log.claim("replica"),
            store.open("blog"),
            store.namespaces(),
        ):
            with pytest.raises(LogError):
                await attempt

    async def test_a_cancelled_append_is_there_whole_or_not_at_all(self, log: EventLog) -> None:
        """D3: a caller that goes away leaves a log that continues from its durable end."""
        epoch = await log.claim("replica")
        for pauses in range(6):
            first = (await log.ends()).last_sequence + 1
            append = asyncio.ensure_future(log.append(batch(first, 3), epoch))
            for _ in range(pauses):
                await asyncio.sleep(0)
            append.cancel()
            await asyncio.gather(append, return_exceptions=True)
            epoch = await log.claim("replica")
            last = (await log.ends()).last_sequence
            assert last in (first - 1, first + 2)
        await log.append(batch(last + 1), epoch)
        assert await verify(log) == last + 1

    async def test_the_chain_verifies_from_a_snapshot(self, log: EventLog) -> None:
        """D9: a snapshot anchors the chain, and one that does not fit is found with the sequence after it."""
        epoch = await log.claim("replica")
        await fill(log, epoch, 8, count=2)
        saved = await snapshot_at(log, 6)
        assert await verify(log) == 16
        assert await verify(log, from_snapshot=saved) == 16
        other = Snapshot(sequence=6, hash=bytes(32), data=b"")
        with pytest.raises(LogCorrupt) as found:
            await verify(log, from_snapshot=other)
        assert found.value.sequence == 7

    async def test_a_batch_that_holds_other_events_than_it_says_is_found(self, log: EventLog) -> None:
        """D9: sequences within a batch are checked too."""
        epoch = await log.claim("replica")
        await fill(log, epoch, 2)
        wrong = Batch(first_sequence=3, last_sequence=5, time_ns=50, events=batch(3, 2).events)
        await log.append(wrong, epoch)
        with pytest.raises(LogCorrupt) as found:
            await verify(log)
        assert found.value.sequence == 3
