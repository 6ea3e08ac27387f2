"""Copies the write-ahead log back into the database off the commit path, and bounds it.

A checkpoint beside the writer never reaches the end of a log that keeps growing, and SQLite begins a log
anew only once all of it was copied. So when the log has grown large the writer is asked to copy the small
rest between two commits.
"""

from __future__ import annotations

import logging
import sqlite3
import threading
from collections.abc import Callable
from pathlib import Path

from coordinator_service.log.sqlite_file import connect

CHECKPOINT_BYTES = 4 * 1024 * 1024
"""A checkpoint begins when about this much was written since the last one."""

RESTART_BYTES = 16 * 1024 * 1024
"""A log longer than this is to begin anew."""

_log = logging.getLogger(__name__)


class Checkpointer:
    """A thread with a connection of its own. `restart` is called when the log is too long."""

    def __init__(self, path: Path, *, restart: Callable[[], None]) -> None:
        self._connection = connect(path)
        page_bytes = self._connection.execute("PRAGMA page_size").fetchone()[0]
        self._restart_pages = RESTART_BYTES // page_bytes
        self._restart = restart
        self._written_bytes = 0
        self._due = threading.Event()
        self._closed = False
        self._thread = threading.Thread(target=self._run, name="concert-log-checkpointer", daemon=True)
        self._thread.start()

    def written(self, count: int) -> None:
        """Counts what a commit wrote, in bytes. Called by the writer's thread only."""
        self._written_bytes += count
        if self._written_bytes >= CHECKPOINT_BYTES:
            self._written_bytes = 0
            self._due.set()

    def close(self) -> None:
        """Ends the thread. Blocks."""
        self._closed = True
        self._due.set()
        self._thread.join()
        self._connection.close()

    def _run(self) -> None:
        while True:
            self._due.wait()
            self._due.clear()
            if self._closed:
                return
            self._checkpoint()

    def _checkpoint(self) -> None:
        try:
            _, pages, _ = self._connection.execute("PRAGMA wal_checkpoint(PASSIVE)").fetchone()
        except sqlite3.Error as fault:
            _log.warning("could not checkpoint: %s", fault)
            return
        if pages > self._restart_pages:
            self._restart()
