"""`concert audit` as people and scripts use it: real processes, real files, a store that a coordinator writes."""

from __future__ import annotations

import asyncio
import json
import os
import shutil
import sqlite3
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path
from typing import TypeAlias

import concert
import pytest
from concert import audit
from concert.cli.root import app

from coordinator_service.clock import SystemClock
from coordinator_service.config import SQLITE_FILE
from coordinator_service.core.commands import Caller
from coordinator_service.log.redis import RedisStore
from coordinator_service.log.redis_options import RedisOptions
from coordinator_service.namespaces import Namespaces
from tests.cli.concert_command import COMMAND, Concert, Ended
from tests.coordinator_process import coordinator_process
from tests.redis_process import RedisProcess
from tests.replay.histories import NAME, write_history
from tests.shell.bench import publish

ROOT = Path(__file__).parents[2]
HOLDS, PARTS, NOT_TRIED, NEWER = range(4)


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A data directory with a log."""
    directory = tmp_path_factory.mktemp("store")
    asyncio.run(write_history(directory / SQLITE_FILE))
    return directory


@pytest.fixture(scope="module")
def redis(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RedisProcess]:
    """A server of its own."""
    server = RedisProcess(tmp_path_factory.mktemp("redis")).start()
    yield server
    server.stop()


Here: TypeAlias = Callable[..., Ended]


@pytest.fixture
def run(tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Here:
    """Runs a command in this process. It finds no coordinator: none is needed. The keys k and k.pub are there."""
    monkeypatch.setenv("CONCERT_NAMESPACE", NAME)
    monkeypatch.setenv("CONCERT_ADDRESS", "127.0.0.1:1")

    def command(*arguments: str, **environment: str) -> Ended:
        for name, value in environment.items():
            monkeypatch.setenv(name, value)
        with pytest.raises(SystemExit) as ended:
            app(list(arguments), prog_name="concert")
        told = capsys.readouterr()
        assert isinstance(ended.value.code, int)
        return Ended(ended.value.code, told.out, told.err)

    assert command("audit", "keygen", str(tmp_path / "k")).code == HOLDS
    return command


def export(run: Here, store: Path, directory: Path, *more: str) -> Ended:
    return run("audit", "export", "--key", str(directory / "k"), "--data-dir", str(store), *more)


def test_a_key_is_its_owners_alone_and_is_not_overwritten(run: Here, tmp_path: Path) -> None:
    """A private key that others may read is none. openssl understands both halves."""
    assert (tmp_path / "k").stat().st_mode & 0o777 == 0o600
    before = (tmp_path / "k").read_bytes()
    again = run("audit", "keygen", str(tmp_path / "k"))
    assert again.code == NOT_TRIED
    assert "File exists" in again.err
    (tmp_path / "k").unlink()
    assert (run("audit", "keygen", str(tmp_path / "k"))).code == NOT_TRIED  # k.pub would be another key's
    assert not (tmp_path / "k").exists()
    (tmp_path / "k").write_bytes(before)
    if shutil.which("openssl"):
        derived = ["openssl", "pkey", "-in", str(tmp_path / "k"), "-pubout"]
        assert subprocess.run(derived, capture_output=True, check=True).stdout == (tmp_path / "k.pub").read_bytes()


def test_exported_verified_and_an_edit_named(run: Here, store: Path, tmp_path: Path) -> None:
    """D9: to a file or to standard output; the line that was edited is named as editors read it."""
    file, public = tmp_path / "log.jsonl", str(tmp_path / "k.pub")
    to_file = export(run, store, tmp_path, str(file))
    to_stdout = export(run, store, tmp_path)
    assert (to_file.code, to_stdout.code, to_file.out) == (HOLDS, HOLDS, "")
    assert file.read_text() == to_stdout.out  # Ed25519 signs the same in the same way
    assert to_file.err.startswith(f"{NAME}: sequences 1 to ")
    assert not file.with_name("log.jsonl.part").exists()
    verified = run("audit", "verify", "--key", public, str(file))
    assert verified.code == HOLDS
    assert verified.out.startswith(f"{file}: holds: {NAME}, sequences 1 to ")
    assert (run("audit", "verify", "--key", public, str(file), "-o", "json")).json["holds"] is True

    lines = file.read_text().splitlines(keepends=True)
    file.write_text("".join([*lines[:6], lines[6].replace("tester", "nobody"), *lines[7:]]))
    found = run("audit", "verify", "--key", public, str(file))
    assert found.code == PARTS
    assert found.out.startswith(f"{file}:7: ")
    assert (run("audit", "verify", "--key", public, str(file), "-o", "json")).json["line"] == 7


def test_files_that_follow_each_other_hold_together(run: Here, store: Path, tmp_path: Path) -> None:
    """D9: a month after the other; one that is left out is missed."""
    one, two, three = (tmp_path / f"{name}.jsonl" for name in ("one", "two", "three"))
    export(run, store, tmp_path, "--to", "10", str(one))
    begin = _last(one) + 1
    export(run, store, tmp_path, "--from", str(begin), "--to", "30", str(two))
    export(run, store, tmp_path, "--from", str(_last(two) + 1), str(three))
    public = str(tmp_path / "k.pub")
    assert (run("audit", "verify", "--key", public, str(one), str(two), str(three))).code == HOLDS
    gap = run("audit", "verify", "--key", public, str(one), str(three))
    assert gap.code == PARTS
    assert f"{three}:1: " in gap.out


def _last(file: Path) -> int:
    return int(json.loads(file.read_text().splitlines()[0])["lastSequence"])


def test_a_log_that_does_not_hold_is_not_signed(run: Here, store: Path, tmp_path: Path) -> None:
    """D9: an edited log, one of a later version: exit codes 1 and 3, and no file."""
    for statement, code in (
        ("UPDATE batches SET events = CAST(events || x'0a00' AS BLOB) WHERE rowid = 4", PARTS),
        ("PRAGMA user_version = 99", NEWER),
    ):
        copy = tmp_path / f"store-{code}"
        shutil.copytree(store, copy)
        with closing(sqlite3.connect(copy / SQLITE_FILE)) as connection, connection:
            connection.execute(statement)
        ended = export(run, copy, tmp_path, str(tmp_path / "bad.jsonl"))
        assert ended.code == code, ended.err
        assert not (tmp_path / "bad.jsonl").exists()
        assert not (tmp_path / "bad.jsonl.part").exists()


def test_what_cannot_be_tried_is_said(run: Here, store: Path, tmp_path: Path) -> None:
    """Bad input: exit code 2, one sentence, never a traceback."""
    key, public, nowhere = str(tmp_path / "k"), str(tmp_path / "k.pub"), str(tmp_path / "nowhere")
    good = ["--key", key, "--data-dir", str(store)]
    for arguments, word in (
        (["export", "--key", nowhere, "--data-dir", str(store)], "No such file"),
        (["export", "--key", public, "--data-dir", str(store)], "private key"),
        (["export", "--key", key, "--data-dir", nowhere], "there is no log"),
        (["export", *good, "--namespace", "other"], "there is no namespace 'other'"),
        (["export", *good, "--from", "100000"], "not in the log"),
        (["export", *good, "--from", "9", "--to", "3"], "not in the log"),
        (["export", *good, "--from", "0"], "not in the log"),
        (["export", *good, "--from", "two"], "integer"),
        (["export", *good, f"{nowhere}/file"], "No such file"),
        (["export", *good, str(tmp_path)], "Is a directory"),
        (["verify", "--key", public, nowhere], "No such file"),
        (["verify", "--key", public, str(tmp_path)], "Is a directory"),
        (["verify", "--key", key, public], "public key"),
        (["verify", "--key", public], "FILE"),
        (["keygen", f"{nowhere}/k"], "No such file"),
    ):
        ended = run("audit", *arguments)
        assert ended.code == NOT_TRIED, (arguments, ended)
        assert word in ended.err, (arguments, ended)
    memory = run("audit", "export", "--key", key, EVENT_STORE_BACKEND="memory")
    assert memory.code == NOT_TRIED
    other = run("audit", "verify", "--key", public, key)  # readable, and no audit file
    assert other.code == PARTS
    assert other.out.startswith(f"{key}:1: ")


async def test_a_log_is_exported_while_a_coordinator_writes_it_and_after_it_was_killed(tmp_path: Path) -> None:
    """D9: what was committed is exported, from a store that is in use, and from one that was left behind."""
    pair = audit.new_key_pair()
    (tmp_path / "k").write_bytes(pair.private)
    (tmp_path / "k.pub").write_bytes(pair.public)
    files = [str(tmp_path / name) for name in ("first.jsonl", "second.jsonl")]
    with coordinator_process(tmp_path) as coordinator:
        run = Concert(coordinator.address, "default")
        export = ("audit", "export", "--key", str(tmp_path / "k"), "--data-dir", str(tmp_path / "data"))
        async with concert.connect(coordinator.address) as client:
            await client.publish("before")
            exporting = asyncio.create_task(run(*export, files[0]))
            while not exporting.done():
                await client.publish("meanwhile")
            assert (await exporting).code == HOLDS, (await exporting).err
        await asyncio.to_thread(coordinator.kill)
        more = await run(*export, "--from", str(_last(Path(files[0])) + 1), files[1])
        assert more.code == HOLDS, more.err
    assert (await run("audit", "verify", "--key", str(tmp_path / "k.pub"), *files)).code == HOLDS


def test_a_log_in_redis_is_exported(run: Here, redis: RedisProcess, tmp_path: Path) -> None:
    """D9: the store is that of the coordinator's settings."""
    asyncio.run(_write_into(redis.url))
    environment = {"EVENT_STORE_BACKEND": "redis", "REDIS_URL": redis.url, "CONCERT_REDIS_PREFIX": "audited"}
    out = run("audit", "export", "--key", str(tmp_path / "k"), "-n", "default", **environment)
    assert out.code == HOLDS, out.err
    nothing = run("audit", "export", "--key", str(tmp_path / "k"), "-n", "other", **environment)
    assert nothing.code == NOT_TRIED
    (tmp_path / "log.jsonl").write_text(out.out)
    assert '"name":"seen"' in out.out
    assert run("audit", "verify", "--key", str(tmp_path / "k.pub"), str(tmp_path / "log.jsonl")).code == HOLDS


async def _write_into(url: str) -> None:
    store = RedisStore(RedisOptions(url=url, prefix="audited"))
    namespaces = Namespaces(store, SystemClock(), replica_id="replica")
    await (await namespaces.own("default")).call(publish("seen", event_id=""), Caller())
    await namespaces.close()
    await store.close()


async def test_a_reader_that_goes_away_ends_the_export(store: Path, tmp_path: Path) -> None:
    """`concert audit export | head -1` ends quietly."""
    (tmp_path / "k").write_bytes(audit.new_key_pair().private)
    command = ("audit", "export", "--key", str(tmp_path / "k"), "--data-dir", str(store))
    ours, theirs = os.pipe()
    environment = Concert("127.0.0.1:1", NAME).environment()
    process = subprocess.Popen([*COMMAND, *command], stdout=theirs, stderr=subprocess.PIPE, env=environment)
    os.close(theirs)
    os.close(ours)
    _, err = await asyncio.to_thread(process.communicate)
    assert (process.returncode, err) == (141, b"")


def test_the_format_is_one_that_anybody_can_check(run: Here, store: Path, tmp_path: Path) -> None:
    """docs/audit.md shows a program that knows nothing of ours; it finds what holds and what does not."""
    program = ROOT / "docs/examples/audit/check.py"
    assert program.read_text() in (ROOT / "docs/audit.md").read_text()
    file = tmp_path / "log.jsonl"
    export(run, store, tmp_path, str(file))
    command = [sys.executable, "-I", str(program), str(tmp_path / "k.pub"), str(file)]
    assert "holds up to" in subprocess.run(command, capture_output=True, text=True, check=True).stdout
    file.write_text(file.read_text().replace("tester", "nobody", 1))
    assert "AssertionError: line" in subprocess.run(command, capture_output=True, text=True, check=False).stderr
