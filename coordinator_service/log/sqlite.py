"""Logs in one SQLite file: the embedded default.

An acknowledged batch survives power loss: WAL with synchronous=FULL, one group commit at a time
(sqlite_writer.py), checkpoints beside it (sqlite_checkpointer.py), and a lock file that keeps a second
coordinator out. Reads have a thread and a connection of their own. What is large (snapshots, trims) is
written in small transactions between which appends pass.
"""

from __future__ import annotations

import asyncio
import secrets
import sqlite3
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, Protocol, TypeVar

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
from coordinator_service.log.packing import pack, unpack
from coordinator_service.log.sqlite_checkpointer import Checkpointer
from coordinator_service.log.sqlite_cursors import read_cursors, write_cursors
from coordinator_service.log.sqlite_file import FileLock, connect, make_directory, prepare
from coordinator_service.log.sqlite_writer import Writer, read_tail
from coordinator_service.log.timings import LogTimings

SNAPSHOTS_KEPT = 2
SNAPSHOT_PART_BYTES = 256 * 1024
SNAPSHOT_PARTS_DROPPED_AT_ONCE = 32
TRIM_BATCHES_AT_ONCE = 64
TRIM_BYTES_AT_ONCE = 8 * 1024 * 1024

FORMER = " "
"""A name that begins so is that of a log which a namespace had before, and no namespace: what follows is its log_id."""

T = TypeVar("T")


class SqliteStore:
    """The logs in the file at `path`. Opening blocks for some milliseconds. Raises StoreInUse, LogError."""

    def __init__(self, path: str | Path) -> None:
        self._path = Path(path).absolute()
        make_directory(self._path.parent)
        self._lock = FileLock(self._path)
        try:
            prepare(self._path)
            self._read_connection = connect(self._path, reading=True)
            self._checkpointer = Checkpointer(self._path, restart=self._restart_wal)
            self._writer = Writer(self._path, written=self._checkpointer.written)
        except BaseException:
            self._lock.release()
            raise
        self._reader = ThreadPoolExecutor(max_workers=1, thread_name_prefix="concert-log-reader")
        self._logs: dict[str, SqliteLog] = {}
        self._closed = False

    @property
    def timings(self) -> LogTimings:
        """How long appends and commits took."""
        return self._writer.timings

    async def open(self, namespace: str) -> SqliteLog:
        """The log of a namespace, created empty with a new log_id when there is none. Raises LogCorrupt."""
        found = await self.reading(lambda connection: find_log(connection, namespace))
        if found is None:
            found = await self.writing(0, lambda connection: _create(connection, namespace))
        row, log_id = found
        await self.reading(lambda connection: _check_last_link(connection, row))
        return self._logs.setdefault(namespace, SqliteLog(self, namespace, row, log_id))

    async def namespaces(self) -> list[str]:
        """Names of the namespaces that have a log, in order."""
        return await self.reading(read_namespaces)

    async def close(self) -> None:
        """Waits for appends under way and lets go of the file."""
        if self._closed:
            return
        self._closed = True
        await asyncio.to_thread(self._close)

    def _close(self) -> None:
        self._reader.shutdown(wait=True)
        self._read_connection.close()
        self._checkpointer.close()
        self._writer.close()  # last: SQLite checkpoints when its last connection closes
        self._lock.release()

    def _restart_wal(self) -> None:
        self._writer.checkpoint_soon()

    async def reading(self, read: Callable[[sqlite3.Connection], T]) -> T:
        """What `read` returns, called in the reading thread within one transaction. Raises LogError."""
        if self._closed:
            raise LogError("the store is closed")
        loop = asyncio.get_running_loop()
        return await loop.run_in_executor(self._reader, read_from, self._read_connection, read)

    async def appending(self, row: int, batch: Batch, epoch: int) -> None:
        """Returns once a batch is durable. Raises LogError."""
        await self._writer.append(row, batch, epoch)

    async def writing(self, row: int, change: Callable[[sqlite3.Connection], T]) -> T:
        """What `change` returns, called in the writing thread, once its transaction is durable. Raises
        LogError.
        """
        return await self._writer.change(row, change)


class Access(Protocol):
    """What a log needs of the file that it lies in."""

    async def reading(self, read: Callable[[sqlite3.Connection], T]) -> T:
        """What `read` returns, within one transaction. Raises LogError."""

    async def appending(self, row: int, batch: Batch, epoch: int) -> None:
        """Returns once a batch is durable. Raises LogError."""

    async def writing(self, row: int, change: Callable[[sqlite3.Connection], T]) -> T:
        """What `change` returns, once its transaction is durable. Raises LogError."""


class SqliteLog:
    """The log of one namespace: `row` is its id in the file."""

    def __init__(self, store: Access, namespace: str, row: int, log_id: str) -> None:
        self._store = store
        self._namespace = namespace
        self._row = row
        self._log_id = log_id
        self._tidying = asyncio.Lock()
        self._growth = Growth()

    @property
    def namespace(self) -> str:
        """Whose log this is."""
        return self._namespace

    @property
    def exclusive(self) -> bool:
        """The file lock keeps others out."""
        return True

    async def ends(self) -> LogEnds:
        """Where the durable log begins and ends now."""
        return await self._store.reading(self._read_ends)

    async def holder(self) -> Holder:
        """Who owns the log."""
        return await self._store.reading(lambda connection: _read_holder(connection, self._row))

    async def claim(self, holder: str, *, after: int | None = None, accepting: bool = False) -> int:  # noqa: ARG002
        """Takes ownership under a name and returns its epoch."""
        return await self._store.writing(self._row, lambda connection: _claim(connection, self._row, holder, after))

    async def release(self, epoch: int) -> None:
        """Lets go: the epoch is fenced from here on, and nobody owns the log. Raises Fenced, LogError."""
        await self._store.writing(self._row, lambda connection: _claim(connection, self._row, "", epoch))

    async def confirm(self, epoch: int) -> None:
        """Returns when the epoch was the last one claimed at some moment during the call."""
        _check_epoch(await self.holder(), epoch)

    async def append(self, batch: Batch, epoch: int) -> None:
        """Makes a batch durable. Raises LogError."""
        await self._store.appending(self._row, batch, epoch)
        self._growth.reached(batch.last_sequence)

    async def read(self, after: int, *, bytes_max: int = 2 * 1024 * 1024) -> list[StoredBatch]:
        """Durable batches that hold events after a sequence: one when there is any, more up to bytes_max."""
        return await self._store.reading(lambda connection: _read_batches(connection, self._row, after, bytes_max))

    async def grown(self, after: int) -> int:
        """Waits until the durable log goes beyond a sequence; where it ends then."""
        return await self._growth.beyond(after, (await self.ends()).last_sequence)

    async def locate(self, time_ns: int) -> int:
        """The last sequence of the last batch that ended before time_ns, else that before the oldest."""
        return await self._store.reading(lambda connection: _locate(connection, self._row, time_ns))

    async def save_snapshot(self, snapshot: Snapshot, epoch: int) -> None:
        """Keeps a snapshot beside the log, and the one before it; older ones go. Raises Fenced, LogError."""
        compressed = await asyncio.to_thread(pack, snapshot.data)
        async with self._tidying:
            await self._drop_leftovers()
            saved = await self._fenced(epoch, lambda connection: _begin_snapshot(connection, self._row, snapshot))
            for part, start in enumerate(range(0, len(compressed), SNAPSHOT_PART_BYTES)):
                row = (saved, part, compressed[start : start + SNAPSHOT_PART_BYTES])
                await self._fenced(epoch, _inserting_part(row))
            await self._fenced(epoch, lambda connection: _complete_snapshot(connection, self._row, saved))
            await self._drop_leftovers()

    async def snapshots(self) -> list[Snapshot]:
        """The snapshots kept, newest first, at most two. One that cannot be read comes with empty data."""
        found = await self._store.reading(lambda connection: _read_snapshots(connection, self._row))
        return [
            Snapshot(sequence=sequence, hash=digest, data=await asyncio.to_thread(unpack, stored))
            for sequence, digest, stored in found
        ]

    async def trim(self, below: int, epoch: int) -> int:
        """Drops whole batches that end below a sequence, never past the older of two snapshots."""
        loop = asyncio.get_running_loop()
        async with self._tidying:
            began = loop.time()
            while await self._fenced(epoch, lambda connection: _trim_some(connection, self._row, below)):
                # There is no hurry: the writer is free as long as each step took.
                await asyncio.sleep(loop.time() - began)
                began = loop.time()
        return (await self.ends()).oldest_sequence

    async def measure(self, after: int, until: int) -> int:
        """Bytes of the events of the batches that end in (after, until]."""
        return await self._store.reading(lambda connection: _measure(connection, self._row, after, until))

    async def cursors(self) -> list[Cursor]:
        """The cursors of named subscriptions, by name."""
        return await self._store.reading(lambda connection: read_cursors(connection, self._row))

    async def save_cursors(self, saved: Sequence[Cursor], epoch: int, *, dropped: Sequence[str] = ()) -> None:
        """Keeps cursors, each in place of the one of its name, and drops others, all or none."""
        await self._fenced(epoch, lambda connection: write_cursors(connection, self._row, saved, dropped))

    async def _fenced(self, epoch: int, change: Callable[[sqlite3.Connection], T]) -> T:
        """A change by the owner. Raises Fenced."""

        def checked(connection: sqlite3.Connection) -> T:
            _check_epoch(_read_holder(connection, self._row), epoch)
            return change(connection)

        return await self._store.writing(self._row, checked)

    async def loss(self) -> TailLost | None:
        """Nothing that a process notices: whoever put an older copy of the file in place knows."""
        return None

    async def rebase(self, log_id: str, snapshot: Snapshot, epoch: int) -> None:
        """Goes on as another log, with the state of a snapshot, after its sequence. The old one stays in the file under
        a name that is no namespace's. Whoever does it lets go by that. Raises Fenced, LogError."""
        compressed = await asyncio.to_thread(pack, snapshot.data)
        self._row = await self._fenced(
            epoch, lambda connection: _rebase(connection, self, log_id, snapshot, compressed)
        )
        self._log_id = log_id

    async def _drop_leftovers(self) -> None:
        """Drops what replaced or broken-off snapshots left, some at a time."""
        while await self._store.writing(self._row, lambda connection: _drop_some_parts(connection, self._row)):
            pass

    def _read_ends(self, connection: sqlite3.Connection) -> LogEnds:
        base, base_hash = connection.execute(
            "SELECT base_sequence, base_hash FROM logs WHERE id = ?", (self._row,)
        ).fetchone()
        tail = read_tail(connection, self._row)
        return LogEnds(
            log_id=self._log_id,
            oldest_sequence=base + 1,
            last_sequence=tail.last_sequence,
            hash=tail.hash,
            base_hash=base_hash,
        )


# In the reading thread


def read_from(connection: sqlite3.Connection, read: Callable[[sqlite3.Connection], T]) -> T:
    """What `read` returns, called within one transaction. Raises LogError."""
    try:
        connection.execute("BEGIN")
        try:
            return read(connection)
        finally:
            connection.rollback()
    except sqlite3.OperationalError as fault:
        raise LogError(f"not read: {fault}") from fault
    except sqlite3.DatabaseError as fault:
        raise LogCorrupt(str(fault)) from fault


def _measure(connection: sqlite3.Connection, log: int, after: int, until: int) -> int:
    size: int = connection.execute(
        "SELECT coalesce(sum(length(events)), 0) FROM batches"
        " WHERE log = ? AND last_sequence > ? AND last_sequence <= ?",
        (log, after, until),
    ).fetchone()[0]
    return size


def _read_holder(connection: sqlite3.Connection, log: int) -> Holder:
    epoch, name = connection.execute("SELECT epoch, replica_id FROM logs WHERE id = ?", (log,)).fetchone()
    return Holder(epoch=epoch, name=name)


def _check_epoch(holder: Holder, epoch: int) -> None:
    if epoch != holder.epoch:
        raise Fenced(f"epoch {epoch} is not the last one claimed, {holder.epoch}")


def find_log(connection: sqlite3.Connection, namespace: str) -> tuple[int, str] | None:
    """Row and log_id of the log of a namespace."""
    row: tuple[int, str] | None = connection.execute(
        "SELECT id, log_id FROM logs WHERE namespace = ?", (namespace,)
    ).fetchone()
    return row


def _check_last_link(connection: sqlite3.Connection, log: int) -> None:
    """Raises LogCorrupt when the last batch does not fit the one before."""
    found = connection.execute(
        "SELECT first_sequence, hash, events FROM batches WHERE log = ? ORDER BY last_sequence DESC LIMIT 1",
        (log,),
    ).fetchone()
    if found is None:
        return
    first, digest, encoded = found
    previous = _hash_at(connection, log, first - 1)
    if previous is None or chain(previous, encoded) != digest:
        raise LogCorrupt("the last batch does not fit the one before", sequence=first)


def _hash_at(connection: sqlite3.Connection, log: int, sequence: int) -> bytes | None:
    """The chain hash up to a sequence that ends a batch."""
    row = connection.execute(
        "SELECT hash FROM batches WHERE log = ?1 AND last_sequence = ?2"
        " UNION ALL SELECT base_hash FROM logs WHERE id = ?1 AND base_sequence = ?2",
        (log, sequence),
    ).fetchone()
    return row[0] if row else None


def _read_batches(connection: sqlite3.Connection, log: int, after: int, bytes_max: int) -> list[StoredBatch]:
    rows = connection.execute(
        "SELECT first_sequence, last_sequence, time_ns, hash, length(events), events FROM batches"
        " WHERE log = ? AND last_sequence > ? ORDER BY last_sequence",
        (log, after),
    )
    found: list[StoredBatch] = []
    size = 0
    for first, last, time_ns, digest, length, encoded in rows:
        size += length
        if found and size > bytes_max:
            break
        batch = Batch(first_sequence=first, last_sequence=last, time_ns=time_ns, events=encoded)
        found.append(StoredBatch(batch=batch, hash=digest))
    rows.close()
    return found


def _locate(connection: sqlite3.Connection, log: int, time_ns: int) -> int:
    """By halving, since times rise with sequences: no index on time needs to be kept."""
    low = connection.execute("SELECT base_sequence FROM logs WHERE id = ?", (log,)).fetchone()[0]
    high = read_tail(connection, log).last_sequence
    while low < high:
        middle = (low + high) // 2
        last, ended_ns = connection.execute(
            "SELECT last_sequence, time_ns FROM batches WHERE log = ? AND last_sequence > ?"
            " ORDER BY last_sequence LIMIT 1",
            (log, middle),
        ).fetchone()
        if last <= high and ended_ns < time_ns:
            low = last
        else:
            high = middle
    return int(low)


def _read_snapshots(connection: sqlite3.Connection, log: int) -> list[tuple[int, bytes, bytes]]:
    kept = connection.execute(
        "SELECT id, sequence, hash FROM snapshots WHERE log = ? AND complete ORDER BY sequence DESC LIMIT ?",
        (log, SNAPSHOTS_KEPT),
    ).fetchall()
    return [(sequence, digest, _joined_parts(connection, saved)) for saved, sequence, digest in kept]


def _joined_parts(connection: sqlite3.Connection, saved: int) -> bytes:
    """Nothing when a part is missing."""
    parts = connection.execute("SELECT part, data FROM snapshot_parts WHERE snapshot = ? ORDER BY part", (saved,))
    found = parts.fetchall()
    return b"".join(data for _, data in found) if [part for part, _ in found] == [*range(len(found))] else b""


# In the writing thread


def _create(connection: sqlite3.Connection, namespace: str) -> tuple[int, str]:
    connection.execute(
        "INSERT INTO logs (namespace, log_id, epoch, replica_id, base_sequence, base_hash)"
        " VALUES (?, ?, 0, '', 0, ?) ON CONFLICT DO NOTHING",
        (namespace, secrets.token_hex(8), GENESIS_HASH),
    )
    found = find_log(connection, namespace)
    assert found is not None
    return found


def read_namespaces(connection: sqlite3.Connection) -> list[str]:
    """Of the logs that go on."""
    rows = connection.execute("SELECT namespace FROM logs").fetchall()
    return sorted(name for (name,) in rows if not name.startswith(FORMER))


def _rebase(connection: sqlite3.Connection, log: SqliteLog, log_id: str, snapshot: Snapshot, compressed: bytes) -> int:
    """The row of the new log."""
    old, epoch, former_id = connection.execute(
        "SELECT id, epoch, log_id FROM logs WHERE namespace = ?", (log.namespace,)
    ).fetchone()
    connection.execute(
        "UPDATE logs SET epoch = epoch + 1, replica_id = '', namespace = ? WHERE id = ?", (f"{FORMER}{former_id}", old)
    )
    new: int = connection.execute(
        "INSERT INTO logs (namespace, log_id, epoch, replica_id, base_sequence, base_hash)"
        " VALUES (?, ?, ?, '', ?, ?) RETURNING id",
        (log.namespace, log_id, epoch + 1, snapshot.sequence, snapshot.hash),
    ).fetchone()[0]
    connection.execute("UPDATE cursors SET log = ? WHERE log = ?", (new, old))
    saved = _begin_snapshot(connection, new, snapshot)
    for part, start in enumerate(range(0, len(compressed), SNAPSHOT_PART_BYTES)):
        _inserting_part((saved, part, compressed[start : start + SNAPSHOT_PART_BYTES]))(connection)
    _complete_snapshot(connection, new, saved)
    return new


def _claim(connection: sqlite3.Connection, log: int, replica_id: str, after: int | None) -> int:
    if after is not None:
        _check_epoch(_read_holder(connection, log), after)
    epoch: int = connection.execute(
        "UPDATE logs SET epoch = epoch + 1, replica_id = ? WHERE id = ? RETURNING epoch", (replica_id, log)
    ).fetchone()[0]
    return epoch


def _begin_snapshot(connection: sqlite3.Connection, log: int, snapshot: Snapshot) -> int:
    if _hash_at(connection, log, snapshot.sequence) != snapshot.hash:
        raise LogCorrupt("the snapshot is of another log", sequence=snapshot.sequence)
    saved: int = connection.execute(
        "INSERT INTO snapshots (log, sequence, hash, complete) VALUES (?, ?, ?, 0) RETURNING id",
        (log, snapshot.sequence, snapshot.hash),
    ).fetchone()[0]
    return saved


def _inserting_part(row: tuple[int, int, bytes]) -> Callable[[sqlite3.Connection], Any]:
    return lambda connection: connection.execute(
        "INSERT INTO snapshot_parts (snapshot, part, data) VALUES (?, ?, ?)", row
    ).close()


def _complete_snapshot(connection: sqlite3.Connection, log: int, saved: int) -> None:
    """From here on the snapshot counts, and those it replaces do not."""
    connection.execute(
        "UPDATE snapshots SET complete = 0 WHERE log = ?1 AND complete"
        " AND sequence = (SELECT sequence FROM snapshots WHERE id = ?2)",
        (log, saved),
    )
    connection.execute("UPDATE snapshots SET complete = 1 WHERE id = ?", (saved,))
    connection.execute(
        "UPDATE snapshots SET complete = 0 WHERE log = ?1 AND complete AND id NOT IN"
        " (SELECT id FROM snapshots WHERE log = ?1 AND complete ORDER BY sequence DESC LIMIT ?2)",
        (log, SNAPSHOTS_KEPT),
    )


def _drop_some_parts(connection: sqlite3.Connection, log: int) -> bool:
    """Drops some parts of snapshots that do not count; False when none were left, and their rows are gone
    too.
    """
    dropped = connection.execute(
        "DELETE FROM snapshot_parts WHERE rowid IN (SELECT snapshot_parts.rowid FROM snapshots"
        " JOIN snapshot_parts ON snapshot = id WHERE log = ? AND NOT complete LIMIT ?)",
        (log, SNAPSHOT_PARTS_DROPPED_AT_ONCE),
    ).rowcount
    if not dropped:
        connection.execute("DELETE FROM snapshots WHERE log = ? AND NOT complete", (log,))
    return dropped > 0


def _trim_some(connection: sqlite3.Connection, log: int, below: int) -> bool:
    """Drops some batches and says whether there may be more to drop."""
    kept = connection.execute(
        "SELECT sequence FROM snapshots WHERE log = ? AND complete ORDER BY sequence DESC LIMIT ?",
        (log, SNAPSHOTS_KEPT),
    ).fetchall()
    if len(kept) < SNAPSHOTS_KEPT:
        return False
    last = _last_to_trim(connection, log, min(below - 1, kept[-1][0]))
    if last is None:
        return False
    sequence, digest = last
    connection.execute("DELETE FROM batches WHERE log = ? AND last_sequence <= ?", (log, sequence))
    connection.execute("UPDATE logs SET base_sequence = ?, base_hash = ? WHERE id = ?", (sequence, digest, log))
    return True


def _last_to_trim(connection: sqlite3.Connection, log: int, limit: int) -> tuple[int, bytes] | None:
    """Which batch to drop as the last one in this transaction, with its hash."""
    rows = connection.execute(
        "SELECT last_sequence, hash, length(events) FROM batches WHERE log = ? AND last_sequence <= ?"
        " ORDER BY last_sequence LIMIT ?",
        (log, limit, TRIM_BATCHES_AT_ONCE),
    )
    last: tuple[int, bytes] | None = None
    size = 0
    for sequence, digest, length in rows:
        last = sequence, digest
        size += length
        if size > TRIM_BYTES_AT_ONCE:
            break
    rows.close()
    return last
