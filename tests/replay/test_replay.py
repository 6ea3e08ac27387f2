"""Replay over real files: what agrees is proven, what was edited is found, what is newer is refused."""

from __future__ import annotations

import asyncio
import re
import shutil
import sqlite3
import subprocess
import sys
from collections.abc import Callable
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from typing import Any

import concert
import pytest
from concert.v1 import event_pb2
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from coordinator_service.clock import SystemClock
from coordinator_service.config import SQLITE_FILE
from coordinator_service.core.events import CustomEvent, Event, OwnerStarted
from coordinator_service.core.ownership import LOG_FORMAT
from coordinator_service.core.rejections import Unavailable
from coordinator_service.log.base import Batch, EventLog, Snapshot
from coordinator_service.log.codec import encode_event, frame
from coordinator_service.log.sqlite import SqliteStore
from coordinator_service.namespaces import Namespaces
from coordinator_service.replay_command import AGREES, NEWER, NOT_TRIED, PARTS, run
from coordinator_service.snapshots import decode_folds, encode_tables
from tests.coordinator_process import coordinator_process
from tests.replay.histories import NAME, stored_batches, write_history

CHECKED = {
    "logs": ("id", "namespace", "log_id", "base_sequence", "base_hash"),
    "batches": ("log", "last_sequence", "first_sequence", "time_ns", "hash", "events"),
    "snapshots": ("id", "log", "sequence", "hash"),
    "snapshot_parts": ("snapshot", "part", "data"),
}
"""Columns in which no byte may change unseen. Not among them: the fence (epoch, replica_id) and the cursors, which are
no history, and whether a snapshot is complete."""

UNKNOWN_FIELD = b"\xc2\x3e\x04news"
"""Field 1000 of an event: no version has it yet."""


@pytest.fixture(scope="module")
def histories(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """A log with its beginning, and one without."""
    directory = tmp_path_factory.mktemp("histories")
    found = {"whole": directory / "whole.sqlite", "trimmed": directory / "trimmed.sqlite"}
    for kind, path in found.items():
        asyncio.run(write_history(path, trimmed=kind == "trimmed"))
    return found


@pytest.fixture(params=["whole", "trimmed"])
def history(request: pytest.FixtureRequest, histories: dict[str, Path], tmp_path: Path) -> Path:
    """A data directory with a copy of one of them."""
    shutil.copy(histories[request.param], tmp_path / SQLITE_FILE)
    return tmp_path


def replayed(directory: Path, *options: str) -> int:
    """The exit code of the command."""
    return run(["--data-dir", str(directory), *options])


def test_what_was_written_agrees(history: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """D9: state, hashes and snapshots come out as they were stored; the range and the last hash are told."""
    for options in ((), ("--from-snapshot",), ("--namespace", NAME)):
        assert replayed(history, *options) == AGREES
        printed = capsys.readouterr().out
        assert re.match(rf"{NAME}: agrees: sequences \d+ to \d+.*, log [0-9a-f]+, hash [0-9a-f]{{64}}\n$", printed)
        assert ", snapshots " in printed


Cell = tuple[str, int, str, Any]


def cells(path: Path) -> list[Cell]:
    """Everything stored that may not change unseen: table, rowid, column, content."""
    with closing(sqlite3.connect(path)) as connection:
        return [
            (table, row[0], column, content)
            for table, columns in CHECKED.items()
            for row in connection.execute(f"SELECT rowid, {', '.join(columns)} FROM {table}").fetchall()
            for column, content in zip(columns, row[1:], strict=True)
        ]


def flipped(content: Any, position: int, bit: int) -> Any:
    """One bit of a stored value changed; of text one that leaves it text."""
    if isinstance(content, int):
        return int.from_bytes(flipped(content.to_bytes(8, "big", signed=True), position, bit), "big", signed=True)
    if isinstance(content, str):
        return flipped(content.encode(), position, bit % 5).decode()
    position %= len(content)
    return content[:position] + bytes([content[position] ^ 1 << bit]) + content[position + 1 :]


@pytest.mark.parametrize("kind", ["whole", "trimmed"])
def test_an_edited_byte_anywhere_is_found(
    histories: dict[str, Path], kind: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """D9: whichever stored byte is changed (events, hashes, sequences, times, names, snapshots), replay says so, and
    for events and hashes names the batch by its first sequence."""
    original = histories[kind]
    everything = cells(original)
    by_column = sorted({(table, column) for table, _, column, _ in everything})

    @settings(max_examples=150, deadline=None, suppress_health_check=list(HealthCheck))
    @given(st.data())
    def flip_one(data: st.DataObject) -> None:
        chosen = data.draw(st.sampled_from(by_column))
        table, rowid, column, content = data.draw(
            st.sampled_from([each for each in everything if (each[0], each[2]) == chosen])
        )
        position = data.draw(st.integers(0, 7 if isinstance(content, int) else 2**20))
        edited = flipped(content, position, data.draw(st.integers(0, 7)))
        copy = tmp_path / SQLITE_FILE
        for leftover in tmp_path.iterdir():
            leftover.unlink()
        shutil.copy(original, copy)
        with closing(sqlite3.connect(copy)) as connection, connection:
            first = _first_sequence(connection, table, rowid)
            try:
                connection.execute(f"UPDATE {table} SET {column} = ? WHERE rowid = ?", (edited, rowid))
            except sqlite3.IntegrityError:
                return  # the database itself does not take it
        assert replayed(tmp_path) == PARTS, (table, rowid, column)
        printed = capsys.readouterr().out
        if column in ("events", "hash") and table == "batches":
            assert f"{NAME}: sequence {first}: " in printed

    flip_one()


def _first_sequence(connection: sqlite3.Connection, table: str, rowid: int) -> int:
    if table != "batches":
        return 0
    row = connection.execute("SELECT first_sequence FROM batches WHERE rowid = ?", (rowid,)).fetchone()
    return int(row[0])


@pytest.mark.parametrize("which", ["DELETE FROM batches WHERE rowid = 5", "DELETE FROM batches WHERE rowid = 1"])
def test_a_missing_batch_is_found(histories: dict[str, Path], tmp_path: Path, which: str) -> None:
    """D9: what was taken out leaves a hole."""
    shutil.copy(histories["whole"], tmp_path / SQLITE_FILE)
    _edit(tmp_path, which)
    assert replayed(tmp_path) == PARTS


def test_a_log_cut_off_before_its_snapshot_is_found(history: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """D9: a snapshot of what is not there shows that the end is missing."""
    _edit(history, "DELETE FROM batches WHERE last_sequence >= (SELECT max(sequence) FROM snapshots)")
    assert replayed(history) == PARTS
    assert "the log has no such sequence" in capsys.readouterr().out


def test_a_snapshot_of_another_state_is_found(
    histories: dict[str, Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """D9: a snapshot that is whole, and not what the log folds to, is found with the tables that differ."""
    shutil.copy(histories["whole"], tmp_path / SQLITE_FILE)

    async def swap(log: EventLog) -> int:
        newest = (await log.snapshots())[0]
        folds = decode_folds(newest.data)
        folds.tables.entries["pages/1"].value = "forged"
        folds.metrics.runs_over[2] = 99
        data = encode_tables(folds.tables, folds.metrics)
        forged = Snapshot(sequence=newest.sequence, hash=newest.hash, data=data)
        await log.save_snapshot(forged, await log.claim("forger"))
        return newest.sequence

    sequence = _with_log(tmp_path, swap)
    assert replayed(tmp_path) == PARTS
    expected = f"{NAME}: sequence {sequence}: the snapshot is not what the log folds to: entries, metrics\n"
    assert capsys.readouterr().out == expected


def _appended(tmp_path: Path, make: Callable[[Event], bytes]) -> int:
    """Adds an event to the log as an owner would, encoded by `make`; its sequence."""

    async def append(log: EventLog) -> int:
        last = (await stored_batches(log))[-1].batch
        sequence = last.last_sequence + 1
        event = Event(sequence=sequence, time_ns=last.time_ns, payload=CustomEvent(name="x"))
        batch = Batch(first_sequence=sequence, last_sequence=sequence, time_ns=last.time_ns, events=frame(make(event)))
        await log.append(batch, await log.claim("another"))
        return sequence

    return _with_log(tmp_path, append)


def _log_id(directory: Path) -> str:
    with closing(sqlite3.connect(directory / SQLITE_FILE)) as connection:
        return str(connection.execute("SELECT log_id FROM logs").fetchone()[0])


@pytest.mark.parametrize("what", ["format", "field", "payload"])
async def test_a_log_of_a_later_version_is_refused_by_name(
    histories: dict[str, Path], tmp_path: Path, what: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """D9: bad input: a later format, a field or a fact that this version does not know is no damage: exit code 3, with
    the sequence; and a coordinator of this version does not serve a log of a later format."""
    shutil.copy(histories["whole"], tmp_path / SQLITE_FILE)
    log_id = _log_id(tmp_path)

    def encoded(event: Event) -> bytes:
        if what == "format":
            owner = OwnerStarted(epoch=9, replica_id="next", limits={}, log_format=LOG_FORMAT + 1)
            return encode_event(replace(event, payload=owner), namespace=NAME, log_id=log_id)
        whole = encode_event(event, namespace=NAME, log_id=log_id)
        if what == "field":
            return whole + UNKNOWN_FIELD
        bare = event_pb2.Event(log_id=log_id, namespace=NAME, sequence=event.sequence, type=99)  # type: ignore[arg-type]
        return bare.SerializeToString() + UNKNOWN_FIELD

    sequence = await asyncio.to_thread(_appended, tmp_path, encoded)
    assert await asyncio.to_thread(replayed, tmp_path) == NEWER
    assert f"{NAME}: sequence {sequence}: a later version wrote this: " in capsys.readouterr().out
    if what != "field":
        store = SqliteStore(tmp_path / SQLITE_FILE)
        with pytest.raises(Unavailable, match="later version"):
            await Namespaces(store, SystemClock(), replica_id="earlier").get(NAME)
        await store.close()


def test_a_file_of_a_later_version_is_refused_by_name(history: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """D9: bad input: a later schema: exit code 3."""
    _edit(history, "PRAGMA user_version = 99")
    assert replayed(history) == NEWER
    assert "schema 99, this version reads schema 2" in capsys.readouterr().err


def test_what_cannot_be_tried_is_said(tmp_path: Path, history: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """D9: bad input: no log, no such namespace, an unknown flag: exit code 2; what is no database at all: 1."""
    assert replayed(tmp_path / "nowhere") == NOT_TRIED
    assert "there is no log at" in capsys.readouterr().err
    assert not (tmp_path / "nowhere").exists()
    assert replayed(history, "--namespace", "other") == NOT_TRIED
    assert "there is no namespace 'other'" in capsys.readouterr().err
    with pytest.raises(SystemExit) as ended:
        replayed(history, "--sideways")
    assert ended.value.code == NOT_TRIED
    (history / SQLITE_FILE).write_text("no database" * 500)
    assert replayed(history) == PARTS


async def test_a_log_is_replayed_while_a_coordinator_writes_it(tmp_path: Path) -> None:
    """D9: what was committed is read beside the coordinator, which goes on."""
    options = ["--snapshot-events", "20"]
    with coordinator_process(tmp_path, options=options) as coordinator:
        async with concert.connect(coordinator.address) as client:
            for number in range(60):
                await client.state.update({f"k/{number % 5}": number})
            command = [sys.executable, "-m", "coordinator_service", "replay", "--data-dir", str(tmp_path / "data")]
            replaying = asyncio.to_thread(subprocess.run, command, capture_output=True, text=True, check=False)
            done = asyncio.create_task(replaying)
            while not done.done():
                await client.publish("meanwhile")
            ended = await done
            assert ended.returncode == AGREES, ended.stdout + ended.stderr
            assert ended.stdout.startswith("default: agrees: sequences 1 to ")
            await client.publish("afterwards")


def _with_log(directory: Path, work: Callable[[EventLog], Any]) -> Any:
    async def opened() -> Any:
        store = SqliteStore(directory / SQLITE_FILE)
        try:
            return await work(await store.open(NAME))
        finally:
            await store.close()

    return asyncio.run(opened())


def _edit(directory: Path, statement: str) -> None:
    with closing(sqlite3.connect(directory / SQLITE_FILE)) as connection, connection:
        connection.execute(statement)
