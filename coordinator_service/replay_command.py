"""`python -m coordinator_service replay`: proves that a log was not edited, or says where (D9).

A coordinator may run meanwhile: what it had committed when the replay began is read, and nothing is written. Exit
codes: 0 when everything agrees, 1 when something does not, 2 when it could not be tried (no such log, wrong arguments),
3 for a log that a later version wrote.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from coordinator_service.config import ENVIRONMENT_PREFIX, PROGRAM, SQLITE_FILE, Settings
from coordinator_service.log.base import LogCorrupt, LogError, LogTooNew
from coordinator_service.log.sqlite_archive import SqliteArchive
from coordinator_service.replay import Replayed, replay

AGREES, PARTS, NOT_TRIED, NEWER = range(4)
TELL_EVERY_SECONDS = 5.0


def run(arguments: Sequence[str]) -> int:
    """The command; returns its exit code."""
    given = _parser().parse_args(arguments)
    return asyncio.run(replay_all(given.data_dir, given.namespace, from_snapshot=given.from_snapshot))


async def replay_all(data_dir: Path, namespaces: Sequence[str], *, from_snapshot: bool) -> int:
    """Replays the namespaces, or all there are, prints what was found, and returns the exit code."""
    try:
        return await _replay_all(data_dir / SQLITE_FILE, namespaces, from_snapshot=from_snapshot)
    except LogTooNew as newer:
        print(f"{PROGRAM} replay: {newer}", file=sys.stderr)
        return NEWER
    except LogCorrupt as damage:
        print(f"{PROGRAM} replay: {damage}", file=sys.stderr)
        return PARTS
    except LogError as fault:
        print(f"{PROGRAM} replay: {fault}", file=sys.stderr)
        return NOT_TRIED


async def _replay_all(path: Path, namespaces: Sequence[str], *, from_snapshot: bool) -> int:
    archive = SqliteArchive(path)
    code = AGREES
    try:
        for stray in await archive.strays():
            print(f"{path.name}: {stray}")
            code = PARTS
        for name in namespaces or await archive.namespaces():
            log = await archive.open(name)
            replayed = await replay(log, from_snapshot=from_snapshot, seen=_Progress(name).at)
            _print(replayed)
            if any(each.newer for each in replayed.findings):
                code = NEWER
            elif replayed.findings and code == AGREES:
                code = PARTS
    finally:
        await archive.close()
    return code


def _print(replayed: Replayed) -> None:
    name = replayed.namespace
    for finding in replayed.findings:
        kind = "a later version wrote this: " if finding.newer else ""
        print(f"{name}: sequence {finding.sequence}: {kind}{finding.what}")
    if replayed.findings:
        return
    seen = f"sequences {replayed.first_sequence} to {replayed.last_sequence}"
    if replayed.last_sequence < replayed.first_sequence:
        seen = "no events"
    folded = f", folded after {replayed.folded_after}" if replayed.folded_after else ""
    agreeing = f", snapshots {' and '.join(map(str, replayed.snapshots))}" if replayed.snapshots else ""
    print(f"{name}: agrees: {seen}{folded}{agreeing}, log {replayed.log_id}, hash {replayed.hash.hex()}")


class _Progress:
    """Says on stderr how far a long replay is, where somebody looks."""

    def __init__(self, name: str) -> None:
        self._name = name
        self._told_at = time.monotonic()

    def at(self, sequence: int) -> None:
        """So far."""
        now = time.monotonic()
        if now - self._told_at >= TELL_EVERY_SECONDS and sys.stderr.isatty():
            self._told_at = now
            print(f"{self._name}: at {sequence} ...", file=sys.stderr)


class _Parser(argparse.ArgumentParser):
    def error(self, message: str) -> Any:
        print(f"{self.prog}: {message}", file=sys.stderr)
        sys.exit(NOT_TRIED)


def _parser() -> argparse.ArgumentParser:
    parser = _Parser(
        prog=f"{PROGRAM} replay",
        description="Folds logs again, recomputes their hashes, compares with snapshots, and says where they part.",
        epilog="Exit codes: 0 everything agrees, 1 something does not, 2 not tried, 3 a later version wrote it.",
        allow_abbrev=False,
    )
    default = data_dir_default()
    parser.add_argument("--data-dir", type=Path, default=default, help=f"directory of the sqlite store ({default})")
    parser.add_argument(
        "--namespace", action="append", default=[], metavar="NAME", help="only this one; may be given again (all)"
    )
    parser.add_argument(
        "--from-snapshot", action="store_true", help="begin at the older of two snapshots instead of the first event"
    )
    return parser


def data_dir_default() -> Path:
    """Where the log is unless it is said: as for the coordinator itself."""
    return Path(os.environ.get(f"{ENVIRONMENT_PREFIX}DATA_DIR") or Settings.model_fields["data_dir"].default)
