"""What only the SQLite store has to show: it survives being killed, a full disk, a second opener and an edited file."""

from __future__ import annotations

import asyncio
import os
import random
import sqlite3
import subprocess
import sys
import threading
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from coordinator_service.log import sqlite_file
from coordinator_service.log.base import Cursor, LogCorrupt, LogError, Snapshot, StoreInUse
from coordinator_service.log.sqlite import SNAPSHOT_PART_BYTES, SqliteStore
from coordinator_service.log.sqlite_archive import SqliteArchive
from coordinator_service.log.sqlite_checkpointer import RESTART_BYTES
from coordinator_service.log.sqlite_writer import Writer
from coordinator_service.log.verify import verify
from tests.log import append_until_full, append_until_killed
from tests.log.batches import batch, fill

ROOT = Path(__file__).resolve().parents[2]
KILLS = 8


def start(script: str, *arguments: str) -> subprocess.Popen[str]:
    """Starts one of the scripts beside this file."""
    command = [sys.executable, script, *arguments]
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    return subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=environment)


def edit(path: Path, statement: str) -> None:
    """Changes the file behind the store's back."""
    connection = sqlite3.connect(path)
    connection.create_function("flipped", 1, flipped, deterministic=True)
    with connection:
        assert connection.execute(statement).rowcount
    connection.close()


def flipped(content: bytes) -> bytes:
    """The same with one bit of its middle byte changed."""
    middle = len(content) // 2
    return content[:middle] + bytes((content[middle] ^ 1,)) + content[middle + 1 :]


async def test_what_was_acknowledged_survives_sigkill(tmp_path: Path) -> None:
    """D3: killed at random moments, the store has every acknowledged batch, no gap, and a chain that verifies."""
    path = tmp_path / "log.db"
    acknowledged: dict[str, int] = {}
    moments = random.Random(7)
    for _ in range(KILLS):
        with start(append_until_killed.__file__, str(path)) as child:
            assert child.stdout is not None
            for line_number, line in enumerate(child.stdout):
                name, sequence = line.split()
                acknowledged[name] = max(acknowledged.get(name, 0), int(sequence))
                if line_number == 0:
                    kill_at = moments.randrange(400)
                if line_number == kill_at:
                    child.kill()
        store = SqliteStore(path)
        for namespace, last_sequence in acknowledged.items():
            assert await verify(await store.open(namespace)) >= last_sequence
        await store.close()
    assert len(acknowledged) == 3


async def test_a_file_that_may_not_grow_fails_appends_and_then_goes_on(tmp_path: Path) -> None:
    """D3: when writing fails, what waits is refused, nothing half is there, and with room the log goes on."""
    with start(append_until_full.__file__, str(tmp_path / "log.db"), str(2 * 1024 * 1024)) as child:
        printed, _ = child.communicate(timeout=60)
    assert child.returncode == 0
    acknowledged, refused, end = map(int, printed.split())
    assert acknowledged + refused == 300
    assert refused > 0
    assert end == acknowledged + 50


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A real file system of 4 MiB."""
    mounted = tmp_path / "disk"
    mounted.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=4m", "tmpfs", str(mounted)]
    if os.geteuid() != 0 or subprocess.run(mount, check=False, capture_output=True).returncode != 0:
        pytest.skip("mounting a small disk needs root")
    yield mounted
    subprocess.run(["umount", str(mounted)], check=True)


async def test_a_full_disk_fails_appends_and_then_goes_on(small_disk: Path) -> None:
    """Bad input: on a full disk every waiting append is refused; once there is room the log goes on from its end."""
    ballast = small_disk / "ballast"
    ballast.write_bytes(bytes(2 * 1024 * 1024))
    store = SqliteStore(small_disk / "log.db")
    log = await store.open("blog")
    epoch = await log.claim("replica")
    appends = [log.append(batch(first, data_bytes=20_000), epoch) for first in range(1, 301)]
    outcomes = await asyncio.gather(*appends, return_exceptions=True)
    acknowledged = outcomes.count(None)
    assert acknowledged < 300
    assert outcomes[:acknowledged] == [None] * acknowledged
    assert all(isinstance(outcome, LogError) for outcome in outcomes[acknowledged:])
    ballast.unlink()
    await fill(log, epoch, 20)
    assert await verify(log) == acknowledged + 20
    await store.close()
    store = SqliteStore(small_disk / "log.db")
    assert await verify(await store.open("blog")) == acknowledged + 20
    await store.close()


async def test_a_second_opener_is_refused(tmp_path: Path) -> None:
    """D6: two coordinators cannot share a file; the refusal names who has it, and closing lets the next one in."""
    path = tmp_path / "log.db"
    store = SqliteStore(path)
    with pytest.raises(StoreInUse, match=str(os.getpid())):
        SqliteStore(path)
    opener = f"from coordinator_service.log.sqlite import SqliteStore; SqliteStore({str(path)!r})"
    other = await asyncio.create_subprocess_exec(sys.executable, "-c", opener, stderr=subprocess.PIPE)
    _, printed = await other.communicate()
    assert other.returncode != 0
    assert b"StoreInUse" in printed
    await store.close()
    await SqliteStore(path).close()


async def written(path: Path, batches: int = 9, count: int = 3) -> None:
    """A closed store with one log of some batches."""
    store = SqliteStore(path)
    log = await store.open("blog")
    await fill(log, await log.claim("replica"), batches, count=count)
    await store.close()


@pytest.mark.parametrize(
    ("statement", "sequence"),
    [
        ("UPDATE batches SET events = flipped(events) WHERE first_sequence = 10", 10),
        ("UPDATE batches SET hash = zeroblob(32) WHERE first_sequence = 13", 13),
        ("DELETE FROM batches WHERE first_sequence = 16", 16),
        (
            "UPDATE batches SET events = (SELECT events FROM batches AS other WHERE other.first_sequence ="
            " 26 - batches.first_sequence) WHERE first_sequence IN (10, 16)",
            10,
        ),
        ("UPDATE logs SET base_hash = flipped(base_hash)", 1),
    ],
    ids=["edited", "hash", "missing", "reordered", "base"],
)
async def test_tampering_is_found_and_its_sequence_named(tmp_path: Path, statement: str, sequence: int) -> None:
    """D9: an edited byte, a missing or a reordered batch is found by the chain at the first event concerned."""
    path = tmp_path / "log.db"
    await written(path)
    edit(path, statement)
    store = SqliteStore(path)
    log = await store.open("blog")
    with pytest.raises(LogCorrupt) as found:
        await verify(log)
    assert found.value.sequence == sequence
    await store.close()


async def test_an_edited_last_batch_is_found_on_opening(tmp_path: Path) -> None:
    """D9: the last link is checked whenever a log is opened."""
    path = tmp_path / "log.db"
    await written(path)
    edit(path, "UPDATE batches SET events = flipped(events) WHERE first_sequence = 25")
    store = SqliteStore(path)
    with pytest.raises(LogCorrupt) as found:
        await store.open("blog")
    assert found.value.sequence == 25
    await store.close()


async def test_a_file_of_something_else_is_refused(tmp_path: Path) -> None:
    """What is no database, or one of a later version, is left alone with a clear error, and its lock let go."""
    path = tmp_path / "log.db"
    path.write_text("not a database, but long enough to have a header of one hundred bytes" * 20)
    for _ in range(2):
        with pytest.raises(LogCorrupt, match=r"log\.db"):
            SqliteStore(path)
    path.unlink()
    await written(path)
    connection = sqlite3.connect(path)
    connection.execute("PRAGMA user_version = 99")
    connection.close()
    with pytest.raises(LogError, match="schema 99"):
        SqliteStore(path)


async def test_a_file_of_the_first_schema_is_brought_up_to_date(tmp_path: Path) -> None:
    """D3, E5: every event stays; snapshots, whose form has changed, are made again; cursors can be kept."""
    path = tmp_path / "log.db"
    await written(path)
    store = SqliteStore(path)
    log = await store.open("blog")
    ends, stored = await log.ends(), await log.read(0)
    await log.save_snapshot(Snapshot(sequence=3, hash=stored[0].hash, data=b"x"), await log.claim("replica"))
    await store.close()
    connection = sqlite3.connect(path)
    connection.executescript("DROP TABLE cursors; PRAGMA user_version = 1;")
    connection.close()
    with pytest.raises(LogError, match="schema 1"):
        SqliteArchive(path)
    store = SqliteStore(path)
    log = await store.open("blog")
    assert (await log.ends(), await log.read(0), await log.snapshots()) == (ends, stored, [])
    cursor = Cursor(name="s", log_id=ends.log_id, sequence=3, created_at_ns=1)
    await log.save_cursors([cursor], await log.claim("replica"))
    assert await log.cursors() == [cursor]
    await store.close()
    archive = SqliteArchive(path)
    assert await archive.namespaces() == ["blog"]
    with pytest.raises(LogError):
        await (await archive.open("blog")).claim("reader")
    await archive.close()


async def test_what_waits_is_one_commit_and_one_wake_up(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever waits, of all namespaces, becomes durable together and wakes the event loop once."""
    path = tmp_path / "log.db"
    store = SqliteStore(path)
    logs = [await store.open(name) for name in ("a", "b")]
    epochs = [await log.claim("replica") for log in logs]
    await store.close()
    commits: list[int] = []
    wake_ups: list[object] = []
    loop = asyncio.get_running_loop()
    call_soon_threadsafe = loop.call_soon_threadsafe

    def counted(*arguments: object) -> asyncio.Handle:
        wake_ups.append(arguments)
        return call_soon_threadsafe(*arguments)  # type: ignore[arg-type]

    writer = Writer(path, written=commits.append)
    begun, gate = threading.Event(), threading.Event()

    def hold(_connection: sqlite3.Connection) -> None:
        begun.set()
        gate.wait()

    held = writer.change(0, hold)
    await asyncio.to_thread(begun.wait)  # now the thread has taken this alone, and what comes waits
    appends = [
        writer.append(row, batch(first), epoch)
        for first in range(1, 101)
        for row, epoch in zip((1, 2), epochs, strict=True)
    ]
    monkeypatch.setattr(loop, "call_soon_threadsafe", counted)
    gate.set()
    await held
    await asyncio.gather(*appends)
    assert len(commits) == len(wake_ups) == 2  # the held change, then everything else
    writer.close()


async def test_the_write_ahead_log_is_bounded(tmp_path: Path) -> None:
    """However much is written without a pause, the write-ahead log begins anew instead of growing with it."""
    path = tmp_path / "log.db"
    store = SqliteStore(path)
    log = await store.open("blog")
    epoch = await log.claim("replica")
    first = 1
    largest = 0
    while first <= 6 * RESTART_BYTES // 100_000:
        await asyncio.gather(*(log.append(batch(first + n, data_bytes=100_000), epoch) for n in range(10)))
        first += 10
        largest = max(largest, (tmp_path / "log.db-wal").stat().st_size)
    assert largest < 3 * RESTART_BYTES
    await store.close()
    assert not (tmp_path / "log.db-wal").exists()


async def test_a_snapshot_that_cannot_be_read_comes_empty(tmp_path: Path) -> None:
    """D8: two are kept so that the older can stand in for a damaged newer one."""
    path = tmp_path / "log.db"
    store = SqliteStore(path)
    log = await store.open("blog")
    epoch = await log.claim("replica")
    await fill(log, epoch, 2)
    saved = [Snapshot(sequence=s.batch.last_sequence, hash=s.hash, data=b"fold" * 99) for s in await log.read(0)]
    for each in saved:
        await log.save_snapshot(each, epoch)
    await store.close()
    edit(path, "UPDATE snapshot_parts SET data = zeroblob(40) WHERE rowid = (SELECT max(rowid) FROM snapshot_parts)")
    store = SqliteStore(path)
    log = await store.open("blog")
    assert await log.snapshots() == [replace(saved[1], data=b""), saved[0]]
    await store.close()


async def test_a_snapshot_broken_off_does_not_count(tmp_path: Path) -> None:
    """A save that never ended leaves nothing that is read, and the next save clears it away."""
    path = tmp_path / "log.db"
    store = SqliteStore(path)
    log = await store.open("blog")
    epoch = await log.claim("replica")
    await fill(log, epoch, 1)
    large = Snapshot(sequence=1, hash=(await log.ends()).hash, data=random.Random(1).randbytes(8 * SNAPSHOT_PART_BYTES))
    saving = asyncio.create_task(log.save_snapshot(large, epoch))
    while not await store.reading(lambda c: c.execute("SELECT count(*) FROM snapshot_parts").fetchone()[0]):
        pass
    saving.cancel()
    await asyncio.gather(saving, return_exceptions=True)
    assert await log.snapshots() == []
    small = Snapshot(sequence=1, hash=large.hash, data=b"small")
    await log.save_snapshot(small, epoch)
    assert await log.snapshots() == [small]
    assert await store.reading(lambda c: c.execute("SELECT count(*) FROM snapshot_parts").fetchone()[0]) == 1
    await store.close()


def test_the_lock_file_stays(tmp_path: Path) -> None:
    """Removing a lock file that somebody waits on would let two in; so it is never removed."""
    lock = sqlite_file.FileLock(tmp_path / "log.db")
    lock.release()
    assert (tmp_path / "log.db.lock").exists()
