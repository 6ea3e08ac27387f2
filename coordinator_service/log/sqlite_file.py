"""The database file of a SQLite store: its lock, its schema and its connections."""

from __future__ import annotations

import fcntl
import os
import sqlite3
from contextlib import closing
from pathlib import Path

from coordinator_service.log.base import LogCorrupt, LogError, LogTooNew, StoreInUse

SCHEMA_VERSION = 2
APPLICATION_ID = 0x434E4352
"""Marks the file as one of ours ("CNCR")."""

WAL_BYTES_MAX = 64 * 1024 * 1024
"""The write-ahead log is cut back to this after it was larger."""

# One row per batch. batches keeps rows in the order of their commits, so that many namespaces share the pages that a
# commit writes; the one index it has finds them by sequence. base_* are those before the oldest batch kept.
_CURSORS = """
CREATE TABLE cursors (
    log INTEGER NOT NULL,
    name TEXT NOT NULL,
    log_id TEXT NOT NULL,
    sequence INTEGER NOT NULL,
    created_at_ns INTEGER NOT NULL,
    acknowledged_at_ns INTEGER NOT NULL,
    request_id TEXT NOT NULL,
    PRIMARY KEY (log, name)
) STRICT, WITHOUT ROWID;
"""
_SCHEMA = f"""
BEGIN IMMEDIATE;
CREATE TABLE logs (
    id INTEGER PRIMARY KEY,
    namespace TEXT NOT NULL UNIQUE,
    log_id TEXT NOT NULL,
    epoch INTEGER NOT NULL,
    replica_id TEXT NOT NULL,
    base_sequence INTEGER NOT NULL,
    base_hash BLOB NOT NULL
) STRICT;
CREATE TABLE batches (
    log INTEGER NOT NULL,
    last_sequence INTEGER NOT NULL,
    first_sequence INTEGER NOT NULL,
    time_ns INTEGER NOT NULL,
    hash BLOB NOT NULL,
    events BLOB NOT NULL
) STRICT;
CREATE UNIQUE INDEX batches_by_sequence ON batches (log, last_sequence);
CREATE TABLE snapshots (
    id INTEGER PRIMARY KEY,
    log INTEGER NOT NULL,
    sequence INTEGER NOT NULL,
    hash BLOB NOT NULL,
    complete INTEGER NOT NULL
) STRICT;
CREATE TABLE snapshot_parts (
    snapshot INTEGER NOT NULL,
    part INTEGER NOT NULL,
    data BLOB NOT NULL
) STRICT;
CREATE INDEX snapshot_parts_in_order ON snapshot_parts (snapshot, part);
{_CURSORS}
PRAGMA application_id = {APPLICATION_ID};
PRAGMA user_version = {SCHEMA_VERSION};
COMMIT;
"""


# Cursors came with the second schema, and a digest in front of each snapshot: those of the first are made again.
_MIGRATION = f"""
BEGIN IMMEDIATE;
{_CURSORS}
DELETE FROM snapshots;
DELETE FROM snapshot_parts;
PRAGMA user_version = 2;
COMMIT;
"""


class FileLock:
    """Holds `<path>.lock` so that no second coordinator opens the database. Raises StoreInUse."""

    def __init__(self, path: Path) -> None:
        self._file = os.open(path.with_name(f"{path.name}.lock"), os.O_RDWR | os.O_CREAT, 0o600)
        try:
            fcntl.flock(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            holder = os.read(self._file, 32).decode(errors="replace").strip()
            os.close(self._file)
            raise StoreInUse(f"{path} is open in another coordinator (process {holder or 'unknown'})") from None
        os.ftruncate(self._file, 0)
        os.pwrite(self._file, f"{os.getpid()}\n".encode(), 0)

    def release(self) -> None:
        """Lets another coordinator in. The file stays: removing it would let two in at once."""
        os.close(self._file)


def prepare(path: Path) -> None:
    """Creates directory, file and schema where they are missing, durably. Raises LogError."""
    created = not path.exists()
    try:
        with closing(connect(path)) as connection:
            version = _prepare_schema(connection)
    except sqlite3.OperationalError as fault:
        raise LogError(f"{path}: {fault}") from fault
    except sqlite3.DatabaseError as fault:
        raise LogCorrupt(f"{path}: {fault}") from fault
    check_version(path, version)
    if created:
        sync_directory(path.parent)


def check_version(path: Path, version: int) -> None:
    """Raises LogTooNew, LogError unless a file has the schema that this version reads."""
    if version > SCHEMA_VERSION:
        raise LogTooNew(f"{path} has schema {version}, this version reads schema {SCHEMA_VERSION}")
    if version < SCHEMA_VERSION:
        raise LogError(f"{path} has schema {version}: a coordinator of this version brings it to {SCHEMA_VERSION}")


def _prepare_schema(connection: sqlite3.Connection) -> int:
    """The version of the schema that is there, of a new one when the file was empty."""
    connection.execute("PRAGMA journal_mode = WAL")
    version: int = connection.execute("PRAGMA user_version").fetchone()[0]
    if version == 0 and not connection.execute("SELECT count(*) FROM sqlite_schema").fetchone()[0]:
        connection.executescript(_SCHEMA)
        return SCHEMA_VERSION
    if version == 1:
        connection.executescript(_MIGRATION)
        return SCHEMA_VERSION
    return version


def make_directory(directory: Path) -> None:
    """Creates a directory and those above it, durably."""
    missing = [each for each in (directory, *directory.parents) if not each.exists()]
    directory.mkdir(parents=True, exist_ok=True)
    for each in missing:
        sync_directory(each.parent)


def sync_directory(directory: Path) -> None:
    """Makes the entries of a directory durable."""
    opened = os.open(directory, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(opened)
    finally:
        os.close(opened)


def connect(path: Path, *, reading: bool = False) -> sqlite3.Connection:
    """A connection that commits each statement durably and never checkpoints by itself."""
    connection = sqlite3.connect(path, isolation_level=None, check_same_thread=False)
    try:
        connection.execute("PRAGMA synchronous = FULL")
        connection.execute("PRAGMA fullfsync = ON")  # where fsync alone does not reach the disk (macOS)
        connection.execute("PRAGMA wal_autocheckpoint = 0")
        connection.execute(f"PRAGMA journal_size_limit = {WAL_BYTES_MAX}")
        if reading:
            connection.execute("PRAGMA query_only = ON")
    except sqlite3.Error:
        connection.close()
        raise
    return connection
