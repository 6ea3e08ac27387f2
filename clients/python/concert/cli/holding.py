"""A command that runs for as long as a lock is held: the process, its signals, and its end.

Where this command has no terminal, the process gets a process group of its own, and signals go to all of it. In the
foreground of a terminal both stay in one group, as with timeout(1) --foreground: Ctrl-C reaches the process by itself.
"""

from __future__ import annotations

import asyncio
import os
import signal
from collections.abc import Mapping, Sequence

import concert
from concert.cli import exit_codes
from concert.cli.place import Place

FORWARDED = (
    signal.SIGINT,
    signal.SIGTERM,
    signal.SIGHUP,
    signal.SIGQUIT,
    signal.SIGUSR1,
    signal.SIGUSR2,
    signal.SIGWINCH,
)
FROM_TERMINAL = (signal.SIGINT, signal.SIGQUIT, signal.SIGWINCH)
"""What a terminal sends to everybody in its foreground by itself."""


class EndedBy(Exception):  # noqa: N818 - it says what happened
    """The command could not be run; `code` says so to the caller."""

    def __init__(self, message: str, code: int) -> None:
        super().__init__(message)
        self.code = code


async def hold_and_run(
    scope: concert.LockScope, place: Place, command_line: Sequence[str], kill_after_seconds: float
) -> int:
    """The exit code of the command, 128 and the signal's number where one ended it.

    Raises EndedBy, LockLost after the command was ended, and what taking the lock raises. Signals that come before the
    lock is granted withdraw the request.
    """
    async with scope as lock:
        process = _Process(own_group=not _in_foreground())
        await process.start(command_line, _environment(lock, place))
        try:
            code = await process.wait()
        except asyncio.CancelledError:  # the lock is lost: nobody else may find the command at work
            await process.end(kill_after_seconds)
            raise
    return code if code >= 0 else exit_codes.SIGNALLED - code


def _environment(lock: concert.Lock, place: Place) -> dict[str, str]:
    tokens = lock.fencing_tokens
    return {
        **os.environ,
        "CONCERT_FENCING_TOKEN": str(lock.fencing_token),
        "CONCERT_FENCING_TOKENS": "\n".join(f"{token} {resource}" for resource, token in tokens.items()),
        "CONCERT_ADDRESS": place.address,
        "CONCERT_NAMESPACE": place.namespace or "default",
    }


class _Process:
    """The command. Signals go to it from here on; those that come before it runs, when it does."""

    def __init__(self, *, own_group: bool) -> None:
        self._own_group = own_group
        self._process: asyncio.subprocess.Process | None = None
        self._early: list[signal.Signals] = []
        loop = asyncio.get_running_loop()
        for number in FORWARDED:
            loop.add_signal_handler(number, self._pass_on, number)

    async def start(self, command_line: Sequence[str], environment: Mapping[str, str]) -> None:
        """Starts it. Raises EndedBy."""
        name = command_line[0]
        try:
            self._process = await asyncio.create_subprocess_exec(
                *command_line, env=environment, process_group=0 if self._own_group else None
            )
        except FileNotFoundError:
            raise EndedBy(f"{name}: no such command", exit_codes.COMMAND_NOT_FOUND) from None
        except (OSError, ValueError) as fault:
            because = getattr(fault, "strerror", None) or str(fault)
            raise EndedBy(f"{name}: {because}", exit_codes.COMMAND_NOT_EXECUTABLE) from None
        for number in self._early:
            self._send(number)

    async def wait(self) -> int:
        """Its exit code; negative the number of the signal that ended it."""
        assert self._process is not None
        return await self._process.wait()

    async def end(self, kill_after_seconds: float) -> None:
        """SIGTERM, and SIGKILL to what is left of it after that time or when it has ended."""
        self._send(signal.SIGTERM)
        self._send(signal.SIGCONT)
        try:
            async with asyncio.timeout(kill_after_seconds):
                await self.wait()
        except TimeoutError:
            self._send(signal.SIGKILL)
            await self.wait()
        if self._own_group:
            self._send(signal.SIGKILL)

    def _pass_on(self, number: signal.Signals) -> None:
        if not self._own_group and number in FROM_TERMINAL:
            return
        if self._process is None:
            self._early.append(number)
        else:
            self._send(number)

    def _send(self, number: signal.Signals) -> None:
        assert self._process is not None
        try:
            if self._own_group:
                os.killpg(self._process.pid, number)
            else:
                self._process.send_signal(number)
        except ProcessLookupError:
            pass  # it has ended meanwhile


def _in_foreground() -> bool:
    """Whether a terminal's keys send their signals to this process group."""
    for descriptor in (0, 1, 2):
        try:
            if os.isatty(descriptor) and os.tcgetpgrp(descriptor) == os.getpgrp():
                return True
        except OSError:
            continue
    return False
