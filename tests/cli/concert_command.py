"""The command `concert` as a process of its own, as people and scripts start it."""

from __future__ import annotations

import asyncio
import json
import os
import pty
import struct
import sys
import termios
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from fcntl import ioctl
from typing import Any

COMMAND = (sys.executable, "-m", "concert.cli")
SECONDS_MAX = 60.0
_ON_ITS_OWN_TERMINAL = (
    sys.executable,
    "-c",
    "import fcntl, os, sys, termios; os.setsid(); fcntl.ioctl(0, termios.TIOCSCTTY, 0);"
    " os.execv(sys.executable, [sys.executable, '-m', 'concert.cli', *sys.argv[1:]])",
)
"""The terminal's keys send signals only to those whose controlling terminal it is."""


@dataclass(frozen=True, slots=True)
class Ended:
    """How it ended, and what it said."""

    code: int
    out: str
    err: str

    @property
    def json(self) -> Any:
        """Its output as JSON."""
        return json.loads(self.out)


class Concert:
    """Runs commands against one coordinator and namespace."""

    def __init__(self, address: str, namespace: str) -> None:
        self.address = address
        self.namespace = namespace

    def environment(self, **more: str) -> dict[str, str]:
        """Of a command, without what a terminal would add."""
        kept = {name: value for name, value in os.environ.items() if name in ("PATH", "HOME", "LANG")}
        own = {
            "CONCERT_ADDRESS": self.address,
            "CONCERT_NAMESPACE": self.namespace,
            "PYTHONUTF8": "1",
            "COLUMNS": "100",
        }
        return {**kept, **own, **more}

    async def start(self, *arguments: str, **environment: str) -> asyncio.subprocess.Process:
        """A command that goes on."""
        pipe = asyncio.subprocess.PIPE
        return await asyncio.create_subprocess_exec(
            *COMMAND, *arguments, stdin=pipe, stdout=pipe, stderr=pipe, env=self.environment(**environment)
        )

    async def __call__(self, *arguments: str, stdin: str = "", **environment: str) -> Ended:
        """A command, to its end. It never tells of itself by a traceback."""
        process = await self.start(*arguments, **environment)
        async with asyncio.timeout(SECONDS_MAX):
            out, err = await process.communicate(stdin.encode())
        assert process.returncode is not None
        assert b"Traceback" not in err, err.decode()
        return Ended(process.returncode, out.decode(), err.decode())


async def until(holds: Callable[[], Awaitable[Any]]) -> None:
    """Asks again and again until something holds."""
    async with asyncio.timeout(SECONDS_MAX):
        while not await holds():  # noqa: ASYNC110 - it is in another process
            await asyncio.sleep(0.02)


@asynccontextmanager
async def on_terminal(
    concert: Concert, *arguments: str, columns: int = 100, lines: int = 30, **environment: str
) -> AsyncIterator[Terminal]:
    """A command whose input and output are a terminal of that size."""
    ours, theirs = pty.openpty()
    ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", lines, columns, 0, 0))
    given = {"TERM": "xterm-256color", "COLUMNS": str(columns), "LINES": str(lines), **environment}
    process = await asyncio.create_subprocess_exec(
        *_ON_ITS_OWN_TERMINAL, *arguments, stdin=theirs, stdout=theirs, stderr=theirs, env=concert.environment(**given)
    )
    os.close(theirs)
    terminal = Terminal(process, ours)
    try:
        yield terminal
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()
        terminal.close()


class Terminal:
    """What a command has drawn so far."""

    def __init__(self, process: asyncio.subprocess.Process, descriptor: int) -> None:
        self.process = process
        self.drawn = ""
        self._descriptor = descriptor
        self._changed = asyncio.Event()
        os.set_blocking(descriptor, False)
        asyncio.get_running_loop().add_reader(descriptor, self._read)
        self._closed = False

    def type(self, keys: str) -> None:
        """Types; \\x03 is Ctrl-C."""
        os.write(self._descriptor, keys.encode())

    async def until(self, holds: Callable[[str], bool]) -> str:
        """Waits until what was drawn is so."""
        async with asyncio.timeout(SECONDS_MAX):
            while not holds(self.drawn):
                self._changed.clear()
                await self._changed.wait()
        return self.drawn

    async def ended(self) -> int:
        """Waits for the end of the command; everything is drawn then."""
        async with asyncio.timeout(SECONDS_MAX):
            code = await self.process.wait()
        self._read()
        return code

    def close(self) -> None:
        """No longer looks."""
        self._stop()
        os.close(self._descriptor)

    def _read(self) -> None:
        try:
            while read := os.read(self._descriptor, 65536):
                self.drawn += read.decode(errors="replace")
                self._changed.set()
        except BlockingIOError:
            pass
        except OSError:  # the other end is closed
            self._stop()

    def _stop(self) -> None:
        if not self._closed:
            self._closed = True
            asyncio.get_running_loop().remove_reader(self._descriptor)
