"""The cursors of named subscriptions in a SQLite store: rows beside the log (E5)."""

from __future__ import annotations

import sqlite3
from collections.abc import Sequence

from coordinator_service.log.base import Cursor


def read_cursors(connection: sqlite3.Connection, log: int) -> list[Cursor]:
    """By name."""
    rows = connection.execute(
        "SELECT name, log_id, sequence, created_at_ns, acknowledged_at_ns, request_id FROM cursors"
        " WHERE log = ? ORDER BY name",
        (log,),
    )
    return [
        Cursor(
            name=name,
            log_id=log_id,
            sequence=sequence,
            created_at_ns=created_at_ns,
            acknowledged_at_ns=acknowledged_at_ns,
            request_id=request_id,
        )
        for name, log_id, sequence, created_at_ns, acknowledged_at_ns, request_id in rows
    ]


def write_cursors(connection: sqlite3.Connection, log: int, saved: Sequence[Cursor], dropped: Sequence[str]) -> None:
    """Within the caller's transaction."""
    connection.executemany("DELETE FROM cursors WHERE log = ? AND name = ?", [(log, name) for name in dropped])
    connection.executemany(
        "INSERT OR REPLACE INTO cursors (log, name, log_id, sequence, created_at_ns, acknowledged_at_ns, request_id)"
        " VALUES (?, ?, ?, ?, ?, ?, ?)",
        [
            (log, each.name, each.log_id, each.sequence, each.created_at_ns, each.acknowledged_at_ns, each.request_id)
            for each in saved
        ],
    )
