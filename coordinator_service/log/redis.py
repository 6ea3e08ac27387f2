"""Logs in Redis: for several replicas over one store.

A batch is one entry of a stream. One script appends a batch after it has checked epoch, nonce and where the log ends
(redis_scripts.py): no owner that was overtaken, paused or cut off appends anything. Readers stop at `committed`, which
follows the condition under which a batch counts as durable (redis_durability.py).

Redis may lose what it acknowledged. The processes that were told remember (acknowledged.py), and so does what lies
beside the log (snapshots, cursors): a log that ends before, or has another thing where, something was acknowledged is
marked, and nobody can claim it until an operator accepts the loss (TailLost).
"""

from __future__ import annotations

import asyncio
import secrets
import time
from collections.abc import Sequence
from typing import Any

import msgspec

from coordinator_service.log.acknowledged import Acknowledged
from coordinator_service.log.base import (
    GENESIS_HASH,
    Batch,
    Cursor,
    Fenced,
    Holder,
    LogCorrupt,
    LogEnds,
    LogError,
    Snapshot,
    StoredBatch,
    TailLost,
    chain,
)
from coordinator_service.log.growth import Growth
from coordinator_service.log.packing import pack
from coordinator_service.log.redis_feed import RedisFeed
from coordinator_service.log.redis_options import RedisOptions
from coordinator_service.log.redis_place import FORMAT, RedisPlace, check_format
from coordinator_service.log.redis_scripts import (
    APPEND,
    CLAIM,
    COMMIT,
    CONFIRM,
    CURSORS,
    LOCATE,
    MEASURE,
    OPEN,
    REACH,
    REBASE,
    RELEASE,
    REPORT,
    SNAPSHOT_DONE,
    SNAPSHOT_PART,
    TRIM,
    Script,
)
from coordinator_service.log.redis_servers import Client
from coordinator_service.log.redis_snapshots import (
    PART_TTL_MS,
    SNAPSHOTS_KEPT,
    StoredSnapshots,
    parts_of,
    snapshot_name,
    told_of,
)
from coordinator_service.log.redis_writer import Appending, RedisWriter
from coordinator_service.log.timings import LogTimings

TRIM_EVENTS_AT_ONCE = 5_000
READ_BATCHES_MAX = 4_096
READ_BATCHES_FIRST = 16
"""So many are read at first, however large they are; more only as far as they are not too large."""
COMMIT_AGAIN_SECONDS = 0.25
GROWN_LOOK_SECONDS = 1.0
"""Whoever waits for a log to grow looks by itself this often: what is published may be lost."""


class RedisStore:
    """The logs under one prefix. Nothing is connected before it is used."""

    def __init__(self, options: RedisOptions) -> None:
        self.place = RedisPlace(options)
        self.feed = RedisFeed(self.place)
        self.timings = LogTimings()
        self._logs: dict[str, RedisLog] = {}

    async def check(self) -> None:
        """Raises LogError: UnfitServer, LogTooNew or LogCorrupt where logs must not be kept there."""
        await self.place.check()

    async def open(self, namespace: str) -> RedisLog:
        """The log of a namespace, created empty with a new log_id when there is none. Raises LogCorrupt."""
        place = self.place

        async def enter(client: Client) -> None:
            await client.sadd(place.index_key, namespace)

        await place.using(place.index_key, enter, again=True)
        log = self._logs.get(namespace)
        if log is None:
            log = self._logs[namespace] = RedisLog(self, namespace)
        await log.open()
        return log

    async def namespaces(self) -> list[str]:
        """Names of the namespaces that have a log, in order."""
        place = self.place

        async def members(client: Client) -> set[bytes]:
            found: set[bytes] = await client.smembers(place.index_key)
            return found

        return sorted(name.decode() for name in await place.using(place.index_key, members, again=True))

    async def close(self) -> None:
        """Waits for appends under way and closes every connection."""
        await asyncio.gather(*(log.close() for log in self._logs.values()))
        await self.feed.close()
        await self.place.close()


class RedisLog:
    """The log of one namespace."""

    def __init__(self, store: RedisStore, namespace: str) -> None:
        self._store = store
        self._place = store.place
        self._namespace = namespace
        self._meta = self._place.key(namespace, "meta")
        self._stream = self._place.key(namespace, "log")
        self._cursors = self._place.key(namespace, "cursors")
        self._channel = self._place.key(namespace, "grown")
        self._snapshots = StoredSnapshots(self._place, namespace)
        self._writer = RedisWriter(self._append_together)
        self._nonces: dict[int, str] = {}
        self._end: tuple[int, bytes] | None = None
        self._log_id = ""
        self._acknowledged = Acknowledged()
        self._in_doubt = False
        self._growth = Growth()
        self._listening = False
        self._committing: asyncio.Task[None] | None = None
        self._uncommitted: tuple[int, int] | None = None
        self._closing = False
        self._tidying = asyncio.Lock()

    @property
    def namespace(self) -> str:
        """Whose log this is."""
        return self._namespace

    @property
    def exclusive(self) -> bool:
        """Other replicas may claim it at any moment."""
        return False

    async def open(self) -> None:
        """Makes the log if there is none. Raises LogCorrupt, LogTooNew, LogError."""
        args = (FORMAT, secrets.token_hex(8), GENESIS_HASH)
        answer = await self._place.run(OPEN, (self._meta, self._stream), args)
        if answer[0] == b"FOREIGN":
            raise LogCorrupt(f"the key {answer[1].decode()} is none of Concert's: choose another redis_prefix")
        _, version, log_id, epoch, nonce, last, base, newest = answer
        check_format(int(version), self._meta)
        ends = int(newest.partition(b"-")[0]) if newest else int(base)
        if ends != int(last):
            raise LogCorrupt(f"the stream ends at {ends}, the log at {int(last)}", sequence=min(ends, int(last)) + 1)
        self._log_id = log_id.decode()
        self._in_doubt = True
        if nonce:
            self._nonces.setdefault(int(epoch), nonce.decode())

    async def close(self) -> None:
        """Waits for what is under way."""
        await self._writer.close()
        self._closing = True
        if self._committing is not None:
            await asyncio.wait([self._committing])
        self._growth.fail(LogError("the store is closed"))

    # Ownership.

    async def holder(self) -> Holder:
        """Who owns the log."""
        epoch, name = await self._fields("epoch", "holder")
        return Holder(epoch=int(epoch), name=name.decode())

    async def claim(self, holder: str, *, after: int | None = None, accepting: bool = False) -> int:
        """Takes ownership under a name and returns its epoch. accepting: even though something is lost."""
        return await self._writer.change(lambda: self._claim(holder, after, accepting))

    async def _claim(self, holder: str, after: int | None, accepting: bool) -> int:
        nonce = secrets.token_hex(8)
        known = self._acknowledged if accepting else await self._known()
        args = ("" if after is None else after, holder, nonce, known.log_id, known.sequence, known.hash)
        told = "accepting" if accepting else ""
        self._end = None
        answer = await self._place.run(CLAIM, (self._meta, self._stream), (*args, told), durable=True)
        if answer[0] == b"GONE":
            raise LogError(f"the key {self._meta} is gone")
        self._check(answer)
        epoch, last = int(answer[1]), int(answer[3])
        self._log_id = answer[2].decode()
        self._nonces[epoch] = nonce
        self._end = (last, answer[4])
        self._in_doubt = False
        # Whatever the owner before left is durable now, by the same condition.
        await self._run(COMMIT, epoch, (last, self._channel))
        self._tell(last, answer[4])
        return epoch

    async def _known(self) -> Acknowledged:
        """The best evidence of what was acknowledged: what this process was told, else what lies beside the log and
        goes beyond it. A snapshot or a cursor was kept only of what had been acknowledged."""
        beside = max(
            [await self._snapshots.newest(), *(each.sequence for each in await self.cursors() if self._is_of(each))]
        )
        log_id, last = await self._fields("log_id", "last")
        known = self._acknowledged
        return known if beside <= known.until(log_id.decode(), int(last)) else Acknowledged(log_id.decode(), beside)

    def _is_of(self, cursor: Cursor) -> bool:
        return cursor.log_id == self._log_id

    async def release(self, epoch: int) -> None:
        """Lets go: the epoch is fenced from here on, and nobody owns the log. Raises Fenced, LogError."""
        await self._writer.change(lambda: self._release(epoch))

    async def _release(self, epoch: int) -> None:
        try:
            last = (await self._run(RELEASE, epoch))[1]
        except Fenced:
            await self.report()
            raise
        await self._report_beyond(self._log_id, int(last))

    async def confirm(self, epoch: int) -> None:
        """Returns when the epoch was the last one claimed at some moment during the call.

        Where replicas have to have what is appended, they have to hear of this too: a primary that was cut off from
        them does not know that another was promoted.
        """
        if self._place.options.durability.waits:
            _, last, committed = await self._run(CONFIRM, epoch, durable=True)
            if int(committed) < self._acknowledged.sequence <= int(last):
                self._commit_soon(epoch)  # a server that was promoted had not heard of it
        else:
            current, nonce, last = await self._fields("epoch", "nonce", "last")
            if int(current) != epoch or nonce.decode() != self._nonces.get(epoch):
                raise _fenced(epoch, int(current))
        await self._report_beyond(self._log_id, int(last))

    async def report(self) -> None:
        """Has the log marked if something that this process knows to be acknowledged is gone. Raises TailLost,
        LogError."""
        known = self._acknowledged
        if known.sequence:
            args = (known.log_id, known.sequence, known.hash)
            self._check(await self._place.run(REPORT, (self._meta, self._stream), args))

    async def _report_beyond(self, log_id: str, last: int) -> None:
        if self._acknowledged.goes_beyond(log_id, last):
            await self.report()

    async def loss(self) -> TailLost | None:
        """What the log was marked with, if anything is lost. Raises LogError."""

        async def read(client: Client) -> list[bytes | None]:
            return list(await client.hmget(self._meta, "log_id", "last", "acknowledged"))

        log_id, last, acknowledged = await self._place.using(self._meta, read, again=True)
        if not log_id or not last or not acknowledged:
            return None
        return TailLost(log_id=log_id.decode(), last_sequence=int(last), acknowledged=int(acknowledged))

    # Appending.

    async def append(self, batch: Batch, epoch: int) -> None:
        """Makes a batch durable. Raises LogError."""
        await self._writer.append(batch, epoch, time.monotonic_ns())

    async def _append_together(self, appends: Sequence[Appending]) -> None:
        began_ns = time.monotonic_ns()
        standing: list[Appending] = []
        try:
            end = await self._where_it_ends()
            args: list[Any] = []
            for each in appends:
                batch = each.batch
                if batch.first_sequence != end[0] + 1:
                    _settle(each, Fenced(f"the log ends at {end[0]}, the batch begins at {batch.first_sequence}"))
                    continue
                end = (batch.last_sequence, chain(end[1], batch.events))
                args += (batch.first_sequence, batch.last_sequence, batch.time_ns, end[1], batch.events)
                standing.append(each)
            if not standing:
                return
            await self._append_batches(standing[0], args)
        except Exception as failure:
            self._end = None
            self._store.timings.errors += 1
            for each in standing or appends:
                _settle(each, failure)
            return
        self._end = end
        self._tell(*end)
        self._commit_soon(appends[0].epoch)
        self._store.timings.committed(began_ns, time.monotonic_ns(), standing)
        for each in standing:
            _settle(each, None)

    async def _append_batches(self, first: Appending, args: Sequence[Any]) -> None:
        """Raises Fenced, TailLost, LogError."""
        at_once = "0" if self._place.options.durability.waits else "1"
        expected = first.batch.first_sequence - 1
        try:
            await self._run(APPEND, first.epoch, (expected, at_once, self._channel, *args), durable=True)
        except Fenced:
            await self.report()  # or was it not overtaken, but robbed of its past?
            raise

    async def _where_it_ends(self) -> tuple[int, bytes]:
        if self._end is None:
            last, digest = await self._fields("last", "hash")
            self._end = (int(last), digest)
        return self._end

    def _tell(self, sequence: int, digest: bytes) -> None:
        self._acknowledged.told(self._log_id, sequence, digest)
        self._growth.reached(sequence)

    def _commit_soon(self, epoch: int) -> None:
        """Tells the readers of other replicas, without anybody waiting for that."""
        if not self._place.options.durability.waits:
            return
        self._uncommitted = (epoch, self._acknowledged.sequence)
        if self._committing is None:
            self._committing = asyncio.get_running_loop().create_task(self._commit())

    async def _commit(self) -> None:
        try:
            while self._uncommitted is not None:
                (epoch, sequence), self._uncommitted = self._uncommitted, None
                try:
                    await self._run(COMMIT, epoch, (sequence, self._channel))
                except Fenced:
                    continue  # the next owner commits it
                except LogError:
                    if self._closing:
                        return
                    self._uncommitted = self._uncommitted or (epoch, sequence)
                    await asyncio.sleep(COMMIT_AGAIN_SECONDS)
        finally:
            self._committing = None

    # Reading.

    async def ends(self) -> LogEnds:
        """Where the durable log begins and ends now."""
        log_id, base, base_hash, committed, last, digest = await self._fields(
            "log_id", "base", "base_hash", "committed", "last", "hash"
        )
        if self._in_doubt:  # it was opened anew, and may be another than before
            await self.report()
            self._in_doubt = False
        await self._report_beyond(log_id.decode(), int(last))
        until = self._acknowledged.until(log_id.decode(), int(committed))
        if until != int(last):
            found = await self._hash_at(until)
            if found is None:
                raise LogCorrupt("no batch ends there", sequence=until)
            digest = found
        return LogEnds(
            log_id=log_id.decode(),
            oldest_sequence=int(base) + 1,
            last_sequence=until,
            hash=digest,
            base_hash=base_hash,
        )

    async def read(self, after: int, *, bytes_max: int = 2 * 1024 * 1024) -> list[StoredBatch]:
        """Durable batches that hold events after a sequence: one when there is any, more up to bytes_max."""

        async def page(client: Client) -> tuple[list[Any], Any]:
            both = client.pipeline(transaction=False)
            both.hmget(self._meta, "log_id", "committed")
            both.xrange(self._stream, min=f"{after + 1}-0", max="+", count=READ_BATCHES_FIRST)
            told, entries = await both.execute()
            return told, entries

        (log_id, committed), entries = await self._place.using(self._meta, page, again=True)
        if log_id is None:
            raise LogError(f"the key {self._meta} is gone")
        left = bytes_max - sum(len(entry[b"e"]) for _, entry in entries)
        if len(entries) == READ_BATCHES_FIRST and left > 0:
            entries += await self._more(_sequence_of(entries[-1][0]), left)
        until = self._acknowledged.until(log_id.decode(), int(committed))
        found: list[StoredBatch] = []
        size = 0
        for entry_id, entry in entries:
            stored = _stored(entry_id, entry)
            size += len(stored.batch.events)
            if stored.batch.last_sequence > until or (found and size > bytes_max):
                break
            found.append(stored)
        if found:
            if self._acknowledged.is_in_doubt(log_id.decode(), found):
                await self.report()
            self._acknowledged.read(log_id.decode(), found)
        return found

    async def _more(self, after: int, bytes_max: int) -> list[Any]:
        """The entries that go on after a sequence, as many as there is room for."""
        until = int(await self._place.run(REACH, (self._meta, self._stream), (after, bytes_max)))
        if until == after:
            return []

        async def page(client: Client) -> list[Any]:
            count = READ_BATCHES_MAX - READ_BATCHES_FIRST
            return list(await client.xrange(self._stream, min=f"{after + 1}-0", max=f"{until}-0", count=count))

        found = await self._place.using(self._meta, page, again=True)
        return found if found and int(found[0][1][b"f"]) == after + 1 else []  # it may have been cut meanwhile

    async def grown(self, after: int) -> int:
        """Waits until the durable log goes beyond a sequence, whoever appends; where it ends then."""
        if not self._listening:
            await self._store.feed.listen(self._meta, self._channel, lambda said: self._growth.reached(int(said)))
            self._listening = True
        while True:
            log_id, committed = await self._fields("log_id", "committed")
            until = self._acknowledged.until(log_id.decode(), int(committed))
            try:
                async with asyncio.timeout(GROWN_LOOK_SECONDS):
                    return await self._growth.beyond(after, until)
            except TimeoutError:
                continue

    async def locate(self, time_ns: int) -> int:
        """The last sequence of the last batch that ended before time_ns, else that before the oldest."""
        return int(await self._place.run(LOCATE, (self._meta, self._stream), (max(0, time_ns),)))

    async def measure(self, after: int, until: int) -> int:
        """Bytes of the events of the batches that end in (after, until]."""
        return int(await self._place.run(MEASURE, (self._meta, self._stream), (after, until)))

    # Beside the log.

    async def save_snapshot(self, snapshot: Snapshot, epoch: int) -> None:
        """Keeps a snapshot beside the log, and the one before it; older ones go. Raises Fenced, LogError."""
        async with self._tidying:
            await self.confirm(epoch)
            if await self._hash_at(snapshot.sequence) != snapshot.hash:
                raise LogCorrupt("the snapshot is of another log", sequence=snapshot.sequence)
            name, told = await self._store_parts(snapshot, epoch)
            keys = (self._snapshots.key, self._snapshots.parts_key(name))
            args = (snapshot.sequence, told, SNAPSHOTS_KEPT)
            answer = await self._writer.change(lambda: self._run(SNAPSHOT_DONE, epoch, args, keys=keys))
            await self._snapshots.drop(answer[1])

    async def snapshots(self) -> list[Snapshot]:
        """The snapshots kept, newest first, at most two. One that cannot be read comes with empty data."""
        return await self._snapshots.read()

    async def trim(self, below: int, epoch: int) -> int:
        """Drops whole batches that end below a sequence, never past the older of two snapshots."""
        keys = (self._stream, self._snapshots.key)
        args = (below - 1, TRIM_EVENTS_AT_ONCE)
        async with self._tidying:
            while (await self._writer.change(lambda: self._run(TRIM, epoch, args, keys=keys)))[1] == b"1":
                pass  # what others asked for meanwhile has its turn first
        return (await self.ends()).oldest_sequence

    async def cursors(self) -> list[Cursor]:
        """The cursors of named subscriptions, by name."""

        async def read(client: Client) -> dict[bytes, bytes]:
            found: dict[bytes, bytes] = await client.hgetall(self._cursors)
            return found

        found = await self._place.using(self._cursors, read, again=True)
        cursors = [msgspec.msgpack.decode(stored, type=Cursor) for stored in found.values()]
        return sorted(cursors, key=lambda each: each.name)

    async def save_cursors(self, saved: Sequence[Cursor], epoch: int, *, dropped: Sequence[str] = ()) -> None:
        """Keeps cursors, each in place of the one of its name, and drops others, all or none."""
        pairs = [part for each in saved for part in (each.name, msgspec.msgpack.encode(each))]
        args = (len(dropped), *dropped, *pairs)
        await self._writer.change(lambda: self._run(CURSORS, epoch, args, keys=(self._cursors,), durable=True))

    async def rebase(self, log_id: str, snapshot: Snapshot, epoch: int) -> None:
        """Goes on as another log: with the state of the snapshot, after its sequence, chained to where the old one
        ends. The old log is kept under a name of its own. Whoever does it lets go by that. Raises Fenced, LogError."""
        old = self._place.key(self._namespace, f"log:{self._log_id}")
        name, told = await self._store_parts(snapshot, epoch)
        keys = (self._stream, self._snapshots.key, old, self._snapshots.parts_key(name))
        args = (snapshot.sequence, told, log_id)
        await self._writer.change(lambda: self._run(REBASE, epoch, args, keys=keys, durable=True))
        self._acknowledged.forget()

    async def _store_parts(self, snapshot: Snapshot, epoch: int) -> tuple[str, str]:
        """Writes the parts, between which appends pass; the snapshot's name, and what is to be said of it."""
        parts = parts_of(await asyncio.to_thread(pack, snapshot.data))
        name = snapshot_name()
        keys = (self._snapshots.parts_key(name),)
        for part in parts:
            await self._writer.change(self._storing(epoch, keys, part))
        return name, told_of(name, parts, snapshot.hash)

    def _storing(self, epoch: int, keys: Sequence[str], part: bytes) -> Any:
        return lambda: self._run(SNAPSHOT_PART, epoch, (part, PART_TTL_MS), keys=keys)

    # What they need.

    async def _run(
        self,
        script: Script,
        epoch: int,
        args: Sequence[Any] = (),
        *,
        keys: Sequence[str] = (),
        durable: bool = False,
    ) -> Any:
        """What a script of the owner answers. Raises Fenced, LogError."""
        nonce = self._nonces.get(epoch)
        if nonce is None:
            raise Fenced(f"epoch {epoch} was not claimed here")
        keys = (self._meta, *(keys or (self._stream,)))
        answer = await self._place.run(script, keys, (epoch, nonce, *args), durable=durable)
        self._check(answer, epoch)
        return answer

    def _check(self, answer: Sequence[bytes], epoch: int = 0) -> None:
        if answer[0] == b"FENCED":
            raise _fenced(epoch, int(answer[1]))
        if answer[0] == b"GAP":
            raise Fenced(f"the log ends at {int(answer[1])}")
        if answer[0] == b"LOST":
            raise TailLost(log_id=answer[1].decode(), last_sequence=int(answer[2]), acknowledged=int(answer[3]))

    async def _fields(self, *names: str) -> list[bytes]:
        async def read(client: Client) -> list[bytes | None]:
            return list(await client.hmget(self._meta, *names))

        found = await self._place.using(self._meta, read, again=True)
        present = [each for each in found if each is not None]
        if len(present) < len(names):
            raise LogError(f"the key {self._meta} is gone")
        return present

    async def _hash_at(self, sequence: int) -> bytes | None:
        """The chain hash up to a sequence that ends a batch."""

        async def read(client: Client) -> list[Any]:
            both = client.pipeline(transaction=False)
            both.hmget(self._meta, "base", "base_hash")
            both.xrange(self._stream, min=f"{sequence}-0", max=f"{sequence}-0")
            return list(await both.execute())

        (base, base_hash), entries = await self._place.using(self._meta, read, again=True)
        if base is not None and int(base) == sequence:
            return bytes(base_hash)
        return bytes(entries[0][1][b"h"]) if entries else None


def _stored(entry_id: bytes, entry: dict[bytes, bytes]) -> StoredBatch:
    batch = Batch(
        first_sequence=int(entry[b"f"]),
        last_sequence=_sequence_of(entry_id),
        time_ns=int(entry[b"t"]),
        events=entry[b"e"],
    )
    return StoredBatch(batch=batch, hash=entry[b"h"])


def _sequence_of(entry_id: bytes) -> int:
    return int(entry_id.partition(b"-")[0])


def _settle(appending: Appending, failure: Exception | None) -> None:
    if appending.done.done():
        return
    if failure is None:
        appending.done.set_result(None)
    else:
        appending.done.set_exception(failure)


def _fenced(epoch: int, current: int) -> Fenced:
    return Fenced(f"epoch {epoch} is not the last one claimed, {current}")
