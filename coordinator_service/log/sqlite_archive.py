"""A SQLite store opened for reading alone, also while a coordinator has it open: for replay.

It takes no lock and writes no row. Each page of a log is a transaction of its own, so that a long reading holds up no
checkpoint of the coordinator that writes.
"""

from __future__ import annotations

import asyncio
import sqlite3
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, TypeVar

from coordinator_service.log.base import LogCorrupt, LogError
from coordinator_service.log.sqlite import SqliteLog, find_log, read_from, read_namespaces
from coordinator_service.log.sqlite_file import check_version, connect

T = TypeVar("T")


class SqliteArchive:
    """The logs in the file at `path`. Raises LogError when there is none, LogTooNew when a later version wrote it."""

    def __init__(self, path: Path) -> None:
        if not path.is_file():
            raise LogError(f"there is no log at {path}")
        self._connection = _open(path)
        self._reader = ThreadPoolExecutor(max_workers=1, thread_name_prefix="concert-archive-reader")

    async def open(self, namespace: str) -> SqliteLog:
        """The log of a namespace. Raises LogError when there is none."""
        found = await self.reading(lambda connection: find_log(connection, namespace))
        if found is None:
            raise LogError(f"there is no namespace {namespace!r}")
        return SqliteLog(self, namespace, *found)

    async def namespaces(self) -> list[str]:
        """Names of the namespaces that have a log, in order."""
        return await self.reading(read_namespaces)

    async def strays(self) -> list[str]:
        """Rows that belong to no log, described: nothing that a store does leaves any."""
        return await self.reading(_strays)

    async def close(self) -> None:
        """Lets go of the file."""
        await asyncio.to_thread(self._reader.shutdown, wait=True)
        self._connection.close()

    async def reading(self, read: Callable[[sqlite3.Connection], T]) -> T:
        """What `read` returns, called in the reading thread within one transaction. Raises LogError."""
        return await asyncio.get_running_loop().run_in_executor(self._reader, read_from, self._connection, read)

    async def appending(self, *_: object) -> None:
        """Nothing is appended here. Raises LogError."""
        raise LogError("the store is open for reading alone")

    async def writing(self, *_: object) -> Any:
        """Nothing is written here. Raises LogError."""
        raise LogError("the store is open for reading alone")


def _strays(connection: sqlite3.Connection) -> list[str]:
    found = []
    for table, owner in (("batches", "log"), ("snapshots", "log"), ("cursors", "log"), ("snapshot_parts", "snapshot")):
        owners = "snapshots" if owner == "snapshot" else "logs"
        query = f"SELECT count(*) FROM {table} WHERE {owner} NOT IN (SELECT id FROM {owners})"
        count = connection.execute(query).fetchone()[0]
        if count:
            found.append(f"{count} rows of {table} belong to no {owner}")
    return found


def _open(path: Path) -> sqlite3.Connection:
    connection: sqlite3.Connection | None = None
    try:
        connection = connect(path, reading=True)
        check_version(path, connection.execute("PRAGMA user_version").fetchone()[0])
    except sqlite3.OperationalError as fault:
        _close(connection)
        raise LogError(f"{path}: {fault}") from fault
    except sqlite3.DatabaseError as fault:
        _close(connection)
        raise LogCorrupt(f"{path}: {fault}") from fault
    except LogError:
        _close(connection)
        raise
    return connection


def _close(connection: sqlite3.Connection | None) -> None:
    if connection is not None:
        connection.close()
