"""Writing files so that a crash at any moment leaves either the old content or the new, never half of it."""

from __future__ import annotations

import contextlib
import fcntl
import os
import secrets
from collections.abc import Iterator
from pathlib import Path

from agent_service.faults import StaleFenceRefused


def write_atomically(path: Path, content: bytes, *, mode: int = 0o644) -> None:
    """Replaces `path` in one step, durable when it returns. `mode` is set before the content is there to be read."""
    path.parent.mkdir(parents=True, exist_ok=True)
    staged = path.with_name(f".{path.name}.{secrets.token_hex(6)}.staged")
    try:
        descriptor = os.open(staged, os.O_WRONLY | os.O_CREAT | os.O_EXCL, mode)
        with open(descriptor, "wb") as stream:
            stream.write(content)
            stream.flush()
            os.fsync(stream.fileno())
        os.replace(staged, path)
    except BaseException:
        staged.unlink(missing_ok=True)
        raise
    sync_directory(path.parent)


def sync_directory(directory: Path) -> None:
    """Makes renames inside `directory` durable."""
    descriptor = os.open(directory, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def secret_file(path: Path) -> str:
    """Reads the secret kept in `path`, creating it (32 random bytes, readable by the owner alone) when absent."""
    if not path.exists():
        write_atomically(path, secrets.token_urlsafe(32).encode(), mode=0o600)
    return path.read_text().strip()


class Fence:
    """Remembers the highest fencing token that has written to a resource and refuses lower ones.

    What goes through the coordinator is refused to a stale holder there. Files are not, so they are checked here.
    """

    def __init__(self, directory: Path) -> None:
        self._path = directory / "fence"

    @contextlib.contextmanager
    def writing(self, token: int) -> Iterator[None]:
        """Holds other processes off for the length of one write by the holder of `token`. Raises StaleFenceRefused."""
        self._path.parent.mkdir(parents=True, exist_ok=True)
        with open(self._path, "a+b") as stream:
            fcntl.flock(stream, fcntl.LOCK_EX)
            stream.seek(0)
            highest = int(stream.read() or b"0")
            if token < highest:
                raise StaleFenceRefused(
                    f"fencing token {token} is older than {highest}, which has written to {self._path.parent.name!r} "
                    f"since; if the coordinator began a new log, remove {self._path} to accept that"
                )
            if token > highest:
                stream.truncate(0)
                stream.write(str(token).encode())
                stream.flush()
            yield
