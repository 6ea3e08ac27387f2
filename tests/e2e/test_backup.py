"""Back-up and restore as docs/operations.md has it, by real processes, of both stores, while the coordinator writes."""

from __future__ import annotations

import asyncio
import os
import shutil
import sqlite3
import subprocess
import sys
from pathlib import Path

import concert
import pytest
from redis import Redis

from tests.coordinator_process import CoordinatorProcess, coordinator_process
from tests.redis_process import RedisProcess

SECONDS_MAX = 60.0
PAST = 1_000_000
"""A sequence that nobody was told of yet."""


async def test_a_sqlite_back_up_is_made_of_a_running_coordinator_and_served_again(tmp_path: Path) -> None:
    """What was acknowledged before is in it, what came later is not, and its chain holds. It goes on as a new log, so
    that no sequence comes twice."""
    copy = tmp_path / "copy"
    copy.mkdir()
    (tmp_path / "one").mkdir()
    with coordinator_process(tmp_path / "one") as running:
        log_id, _ = await _put(running.address, 1)
        await asyncio.to_thread(_back_up, tmp_path / "one" / "data" / "events.sqlite", copy / "events.sqlite")
        await _put(running.address, 2)
        assert await _get(running.address) == 2
    replayed = _run(sys.executable, "-m", "coordinator_service", "replay", "--data-dir", str(copy))
    assert replayed.startswith("default: agrees")
    said = _accept("--data-dir", str(copy), "--acknowledged", str(PAST))
    assert f"log {log_id} ends at" in said
    (tmp_path / "two").mkdir()
    restored = CoordinatorProcess(tmp_path / "two", options=["--data-dir", str(copy)])
    try:
        await asyncio.to_thread(restored.start)
        assert await _get(restored.address) == 1
        new_log_id, revision = await _put(restored.address, 3)
        assert new_log_id != log_id
        assert revision > PAST
    finally:
        restored.stop()
    assert _run(sys.executable, "-m", "coordinator_service", "replay", "--data-dir", str(copy)).startswith(
        f"default: agrees: sequences {PAST + 2**32 + 1} to "
    )


@pytest.mark.xdist_group("replicas")
async def test_a_redis_back_up_goes_on_as_a_new_log(tmp_path: Path) -> None:
    """Restored, it lacks what clients were told of since: marked as a loss and accepted, no token comes twice."""
    redis = RedisProcess(tmp_path / "redis").start()
    copy = tmp_path / "copy"
    try:
        with coordinator_process(_made(tmp_path / "one"), options=_over(redis)) as running:
            log_id, first = await _put(running.address, 1)
            with Redis.from_url(redis.url) as client:
                client.config_set("auto-aof-rewrite-percentage", 0)
                assert client.info("persistence")["aof_rewrite_in_progress"] == 0
            shutil.copytree(tmp_path / "redis", copy)
            assert (await _put(running.address, 2))[1] > first
    finally:
        redis.stop()
    restored = RedisProcess(copy).start()
    try:
        said = _accept("--acknowledged", str(PAST), REDIS_URL=restored.url)
        assert f"log {log_id} ends at" in said
        with coordinator_process(_made(tmp_path / "two"), options=_over(restored)) as running:
            assert await _get(running.address) == 1
            new_log_id, revision = await _put(running.address, 3)
            assert new_log_id != log_id
            assert revision > PAST
    finally:
        restored.stop()


def _accept(*options: str, **environment: str) -> str:
    """As an operator."""
    concert_command = str(Path(sys.executable).with_name("concert"))
    return _run(concert_command, "log", "accept-loss", "default", *options, **environment)


def _back_up(source: Path, copy: Path) -> None:
    """SQLite's online back-up, as `sqlite3 events.sqlite ".backup copy"`."""
    with sqlite3.connect(f"file:{source}?mode=ro", uri=True) as reading, sqlite3.connect(copy) as writing:
        reading.backup(writing)


def _over(redis: RedisProcess) -> list[str]:
    return ["--event-store", "redis", "--redis-url", redis.url, "--cluster-listen", "127.0.0.1:0"]


def _made(directory: Path) -> Path:
    directory.mkdir()
    return directory


def _run(*command: str, **environment: str) -> str:
    ended = subprocess.run(
        command, capture_output=True, text=True, timeout=SECONDS_MAX, env={**os.environ, **environment}, check=False
    )
    assert ended.returncode == 0, ended.stderr
    return ended.stdout


async def _put(address: str, value: int) -> tuple[str, int]:
    """Writes a key; the log it is in, and its revision."""
    async with concert.connect(address, writer="tester", call_seconds=SECONDS_MAX, retry_seconds=SECONDS_MAX) as client:
        revision = await client.state.update({"k": value})
        return (await client.events.list(limit=1))[0].log_id, revision


async def _get(address: str) -> int:
    async with concert.connect(address, call_seconds=SECONDS_MAX, retry_seconds=SECONDS_MAX) as client:
        return int((await client.state.get("k")).value)
