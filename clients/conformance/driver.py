"""The drivers: which languages there are, how a driver is made and started, and how it is spoken to (README.md)."""

from __future__ import annotations

import asyncio
import itertools
import json
import shutil
import signal
import subprocess
import sys
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

ROOT = Path(__file__).resolve().parents[2]
ANSWER_SECONDS_MAX = 120.0
EXIT_SECONDS_MAX = 60.0
BUILD_SECONDS_MAX = 900
LINE_BYTES_MAX = 64 * 1024 * 1024
_STDERR_LINES = 60


class DriverFailed(Exception):  # noqa: N818 - it says what happened
    """The driver does not keep to the protocol, or is gone."""


class Refused(Exception):  # noqa: N818 - it says what happened
    """The driver answered with an error."""

    def __init__(self, error: dict[str, Any]) -> None:
        super().__init__(f"{error.get('code')} {error.get('reason', '')}: {error.get('message', '')}")
        self.error = error


@dataclass(frozen=True, slots=True)
class Language:
    """A client and its driver."""

    key: str
    name: str
    requires: tuple[str, ...]
    directory: Path
    build: tuple[str, ...]
    command: tuple[str, ...]
    examples: tuple[str, ...]
    load: tuple[str, ...] = ()
    """What benchmarks/languages puts loads with."""
    basic: bool = False
    """Whether it is no whole client, and plays the basic scenarios only."""

    def example(self, name: str) -> list[str]:
        """How one of its examples is started; arguments follow."""
        return [word.replace("{example}", name) for word in self.examples]

    def missing(self) -> list[str]:
        """Programs it needs that are not here."""
        return [program for program in self.requires if shutil.which(program) is None]

    def make(self) -> None:
        """Builds the driver. Raises DriverFailed with what the build said."""
        if not self.build:
            return
        done = subprocess.run(self.build, cwd=self.directory, capture_output=True, text=True, timeout=BUILD_SECONDS_MAX)
        if done.returncode:
            raise DriverFailed(f"{' '.join(self.build)} exited with {done.returncode}:\n{done.stdout}{done.stderr}")


def languages() -> list[Language]:
    """Every language that has a driver, by name."""
    found = [_language(file) for file in sorted(ROOT.glob("clients/*/conformance/driver.yaml"))]
    return sorted(found, key=lambda each: each.name)


def _language(file: Path) -> Language:
    said = yaml.safe_load(file.read_text())
    return Language(
        key=file.parent.parent.name,
        name=said["name"],
        requires=tuple(said.get("requires", ())),
        directory=ROOT / said.get("directory", "."),
        build=tuple(said.get("build", ())),
        command=_command(said["command"]),
        examples=_command(said.get("examples", ())),
        load=_command(said.get("load", ())),
        basic=said.get("basic", False),
    )


def _command(words: Sequence[str]) -> tuple[str, ...]:
    return tuple(sys.executable if word == "{python}" else word for word in words)


class Driver:
    """A driver that runs. Requests may be made concurrently."""

    def __init__(self, language: Language) -> None:
        self._language = language
        self._process: asyncio.subprocess.Process | None = None
        self._waiting: dict[int, asyncio.Future[Any]] = {}
        self._ids = itertools.count(1)
        self._listeners: dict[str, Callable[[dict[str, Any]], None]] = {}
        self._reading: list[asyncio.Task[None]] = []
        self._stderr: deque[str] = deque(maxlen=_STDERR_LINES)

    async def start(self) -> None:
        """Starts the process."""
        command = self._language.command
        self._process = await asyncio.create_subprocess_exec(
            *command,
            cwd=self._language.directory,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            limit=LINE_BYTES_MAX,
        )
        self._reading = [asyncio.create_task(self._read()), asyncio.create_task(self._read_stderr())]

    def listen(self, prefix: str, listener: Callable[[dict[str, Any]], None]) -> None:
        """Has notices of things whose name begins with `prefix` and a colon handed to `listener`."""
        self._listeners[prefix] = listener

    async def request(self, op: str, on: str, args: dict[str, Any], seconds: float = ANSWER_SECONDS_MAX) -> Any:
        """The result of an op. Raises Refused, DriverFailed."""
        process = self._running()
        number = next(self._ids)
        message: dict[str, Any] = {"id": number, "op": op, "args": args}
        if on:
            message["on"] = on
        answer: asyncio.Future[Any] = asyncio.get_running_loop().create_future()
        self._waiting[number] = answer
        assert process.stdin is not None
        try:
            process.stdin.write(json.dumps(message, ensure_ascii=False).encode() + b"\n")
            await process.stdin.drain()
            async with asyncio.timeout(seconds):
                return await answer
        except TimeoutError:
            raise DriverFailed(f"{op} on {on or 'nothing'} was not answered within {seconds:g} s") from None
        except ConnectionError:
            raise DriverFailed(f"the driver is gone:\n{self.said()}") from None
        finally:
            self._waiting.pop(number, None)

    async def kill(self) -> None:
        """SIGKILL."""
        process = self._running()
        process.kill()
        await self._gone()

    async def terminate(self) -> int:
        """SIGTERM; its exit code."""
        process = self._running()
        process.send_signal(signal.SIGTERM)
        return await self._gone()

    async def stop(self) -> None:
        """Ends its input, and it with that; kills it when it does not."""
        if self._process is None:
            return
        assert self._process.stdin is not None
        self._process.stdin.close()
        try:
            await self._gone()
        except TimeoutError:
            await self.kill()

    def said(self) -> str:
        """The end of its standard error."""
        return "\n".join(self._stderr)

    def _running(self) -> asyncio.subprocess.Process:
        if self._process is None:
            raise DriverFailed("the driver does not run")
        return self._process

    async def _gone(self) -> int:
        process = self._running()
        async with asyncio.timeout(EXIT_SECONDS_MAX):
            code = await process.wait()
        await asyncio.wait(self._reading, timeout=5)
        self._process = None
        self._break("the driver is gone")
        return code

    def _break(self, because: str) -> None:
        for answer in self._waiting.values():
            if not answer.done():
                answer.set_exception(DriverFailed(f"{because}:\n{self.said()}"))

    async def _read(self) -> None:
        process = self._running()
        assert process.stdout is not None
        while line := await process.stdout.readline():
            try:
                message = json.loads(line)
                self._take(message)
            except (json.JSONDecodeError, KeyError, TypeError) as error:
                self._break(f"the driver wrote what is no answer ({error}): {line[:300]!r}")
        self._break("the driver closed its output")

    def _take(self, message: dict[str, Any]) -> None:
        if "notice" in message:
            listener = self._listeners.get(str(message["on"]).partition(":")[0])
            if listener is not None:
                listener(message)
            return
        answer = self._waiting.get(message["id"])
        if answer is None or answer.done():
            return
        if "error" in message:
            answer.set_exception(Refused(message["error"]))
        else:
            answer.set_result(message["result"])

    async def _read_stderr(self) -> None:
        process = self._running()
        assert process.stderr is not None
        while line := await process.stderr.readline():
            self._stderr.append(line.decode(errors="replace").rstrip()[:500])
