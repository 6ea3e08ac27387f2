"""Files as they are on disk: read at the start, looked at again and again, and taken up when they have changed.

A look opens each path, whatever links lead to it now, and compares digests. So it makes no difference whether a file
was edited in place, renamed over, or swapped with the whole directory behind a link, as a mounted ConfigMap or Secret
is. A new content counts once two looks in a row have found it: half of a file that is being written does not, nor a
certificate whose key has not come yet. What is bad changes nothing; what is wrong with it is logged once and told until
it is mended.
"""

from __future__ import annotations

import asyncio
import hashlib
import logging
import os
import stat
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Generic, TypeVar

from coordinator_service.clock import Clock
from coordinator_service.yaml_nodes import FileFault

_log = logging.getLogger(__name__)

Value = TypeVar("Value")


class FileUnusable(Exception):  # noqa: N818 (it says what happened)
    """A file that a coordinator was to start with is bad; the text says which, where and why, in one line."""


@dataclass(frozen=True, slots=True, kw_only=True)
class _Look:
    """What was found: the contents of the files, or why there are none. key tells two looks apart."""

    key: str
    contents: tuple[bytes, ...] = ()
    unreadable: str = ""
    changed_at_ns: int = 0


class FileWatch(Generic[Value]):
    """Files that are one thing together, such as a certificate and its key. `load` before anything else, then `begin`,
    `close` at the end.

    read makes a value of their contents, in the order of the paths; it raises FileFault.
    """

    def __init__(
        self,
        what: str,
        paths: Sequence[Path],
        read: Callable[[Sequence[bytes]], Value],
        clock: Clock,
        poll_seconds: float,
        *,
        bytes_max: int,
    ) -> None:
        self.looks = 0
        """How often they were looked at since `begin`."""
        self.fault = ""
        """What is wrong with them now."""
        self.failing_since_ns = 0
        self.loaded_at_ns = 0
        self.changed_monotonic_ns = 0
        """When they became what they are."""
        self._what = what
        self._paths = tuple(paths)
        self._read = read
        self._clock = clock
        self._poll_seconds = poll_seconds
        self._bytes_max = bytes_max
        self._taken: Callable[[Value], None] = lambda _: None
        self._used = ""
        self._judged = ""
        self._candidate = ""
        self._hurried = False
        self._woken: asyncio.Future[None] | None = None
        self._watching: asyncio.Task[None] | None = None

    @property
    def name(self) -> str:
        """For people."""
        return f"{self._what} {', '.join(str(path) for path in self._paths)}"

    def load(self) -> Value:
        """Reads the files for the first time. Raises FileUnusable."""
        look = self._look()
        try:
            value = self._value_of(look)
        except FileFault as fault:
            raise FileUnusable(f"{self.name}: {fault}") from None
        self._use(look, unchanged_ns=max(0, self._clock.wall_ns() - look.changed_at_ns))
        return value

    def begin(self, taken: Callable[[Value], None]) -> None:
        """Looks at the files from now on, and hands over what they say when that has changed."""
        self._taken = taken
        self._watching = asyncio.get_running_loop().create_task(self._watch())

    async def close(self) -> None:
        """Looks no more."""
        if self._watching is not None:
            self._watching.cancel()
            await asyncio.gather(self._watching, return_exceptions=True)

    def reload(self) -> None:
        """Has a look at once, and takes what is there without a second one."""
        self._hurried = True
        self._wake()

    async def _watch(self) -> None:
        while True:
            await self._pause()
            hurried, self._hurried = self._hurried, False
            try:
                await self._consider(await asyncio.to_thread(self._look), hurried=hurried)
            except Exception:
                _log.exception("the %s could not be looked at", self.name)
            self.looks += 1

    async def _pause(self) -> None:
        if self._hurried:
            return
        self._woken = asyncio.get_running_loop().create_future()
        timer = self._clock.call_later(self._poll_seconds, self._wake)
        try:
            await self._woken
        finally:
            timer.cancel()

    def _wake(self) -> None:
        if self._woken is not None and not self._woken.done():
            self._woken.set_result(None)

    async def _consider(self, look: _Look, *, hurried: bool) -> None:
        """Judges what was found if it is new, and was there the last time too."""
        before, self._candidate = self._candidate, look.key
        if look.key == self._judged or not (hurried or look.key == before):
            return
        self._judged = look.key
        try:
            value = await asyncio.to_thread(self._value_of, look)
        except FileFault as fault:
            self._refuse(fault)
            return
        if self.fault:
            _log.info("%s: can be used again", self.name)
        self.fault, self.failing_since_ns = "", 0
        if look.key != self._used:
            self._use(look, unchanged_ns=0)
            self._taken(value)

    def _refuse(self, fault: FileFault) -> None:
        _log.error("%s: %s; what it said before stays, digest %s", self.name, fault, self._used[:12])
        if not self.fault:
            self.failing_since_ns = self._clock.wall_ns()
        self.fault = str(fault)

    def _use(self, look: _Look, *, unchanged_ns: int) -> None:
        self._used = self._judged = look.key
        self.loaded_at_ns = self._clock.wall_ns()
        self.changed_monotonic_ns = self._clock.monotonic_ns() - unchanged_ns
        _log.info("%s: digest %s", self.name, look.key[:12])

    def _value_of(self, look: _Look) -> Value:
        """What the files say. Raises FileFault."""
        if look.unreadable:
            raise FileFault(0, "", look.unreadable)
        return self._read(look.contents)

    def _look(self) -> _Look:
        found: list[tuple[bytes, int]] = []
        for path in self._paths:
            try:
                found.append(_read_file(path, self._bytes_max))
            except OSError as error:
                why = f"cannot be read: {error.strerror}" if error.errno else str(error)
                why = why if len(self._paths) == 1 else f"{path} {why}"
                return _Look(key=why, unreadable=why)
        contents = tuple(content for content, _ in found)
        key = contents[0] if len(contents) == 1 else b"".join(hashlib.sha256(each).digest() for each in contents)
        changed_at_ns = max(changed for _, changed in found)
        return _Look(key=hashlib.sha256(key).hexdigest(), contents=contents, changed_at_ns=changed_at_ns)


def _read_file(path: Path, bytes_max: int) -> tuple[bytes, int]:
    """Its content, up to a byte more than it may have, and when it changed. Raises OSError."""
    # Not to wait for the other end of a pipe, should the path lead to one.
    descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK)
    found = os.fstat(descriptor)
    if not stat.S_ISREG(found.st_mode):
        os.close(descriptor)
        raise OSError("is not a file")
    with os.fdopen(descriptor, "rb") as file:
        content = file.read(bytes_max + 1)
    # A link that leads elsewhere since is a change, too.
    return content, max(found.st_ctime_ns, os.lstat(path).st_ctime_ns)
