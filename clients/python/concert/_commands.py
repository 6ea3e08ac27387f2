"""The commands of a session that have no reply yet: in order, bounded, ready to be sent again."""

from __future__ import annotations

import asyncio
from collections import deque
from typing import Any

from concert._frames import framed_size
from concert._limits import COMMANDS_PENDING_BYTES_MAX, COMMANDS_PENDING_MAX
from concert._methods import Method
from concert.errors import ConcertError, SessionOver
from concert.v1 import session_service_pb2


class Command:
    """One of them. Serialised once, since it may be sent more often."""

    __slots__ = ("attempt_token", "encoded", "future", "method", "size_bytes")

    def __init__(self, method: Method, encoded: bytes, attempt_token: int, future: asyncio.Future[Any]) -> None:
        """`future` is what the caller waits for."""
        self.method = method
        self.encoded = encoded
        self.size_bytes = framed_size(encoded)
        self.attempt_token = attempt_token
        self.future = future

    def fail(self, error: ConcertError) -> None:
        """Tells the caller, if it still waits."""
        if not self.future.done():
            self.future.set_exception(error)

    def unread(self) -> Any:
        """The response that came, and was not read because its caller was cancelled in the same turn of the loop."""
        if not self.future.done() or self.future.cancelled() or self.future.exception() is not None:
            return None
        return self.future.result()


class Commands:
    """All of them. `outgoing` are those that the present stream has not carried."""

    def __init__(self, wake: asyncio.Event) -> None:
        """Sets `wake` when there is something to send."""
        self.outgoing: deque[bytes] = deque()
        self._wake = wake
        self._pending: dict[int, Command] = {}
        self._pending_bytes = 0
        self._correlation_id = 0
        self._queued = 0
        self._turn = asyncio.Lock()
        self._room = asyncio.Event()
        self._over: str | None = None

    def __len__(self) -> int:
        return len(self._pending)

    async def add(self, method: Method, request: Any, traceparent: str) -> Command:
        """Takes a command up; waits, in order, while too much is pending. Raises SessionOver once closed."""
        self._correlation_id += 1
        correlation_id = self._correlation_id
        message = session_service_pb2.ClientMessage()
        message.command.correlation_id = correlation_id
        message.command.traceparent = traceparent
        body = getattr(message.command, method.frame)
        body.SetInParent()
        body.CopyFrom(request)
        encoded = message.SerializeToString()
        await self._admit(len(encoded))
        if self._over is not None:
            raise SessionOver(self._over)
        future = asyncio.get_running_loop().create_future()
        command = Command(method, encoded, getattr(request, "attempt_token", 0), future)
        self._pending[correlation_id] = command
        self._pending_bytes += command.size_bytes
        self.outgoing.append(encoded)
        self._wake.set()
        return command

    def settle(self, correlation_id: int) -> Command | None:
        """Takes out the command that a reply is for."""
        command = self._pending.pop(correlation_id, None)
        if command is not None:
            self._pending_bytes -= command.size_bytes
            self._room.set()
        return command

    def send_again(self) -> None:
        """Has everything without a reply sent on another stream, in the same order."""
        self.outgoing = deque(command.encoded for command in self._pending.values())
        self._wake.set()

    def forget_attempt(self, attempt_token: int, error: ConcertError) -> None:
        """Fails the commands of an attempt that no longer counts."""
        for correlation_id, command in list(self._pending.items()):
            if command.attempt_token == attempt_token:
                self.settle(correlation_id)
                command.fail(error)

    def close(self, message: str) -> None:
        """Fails everything, now and from now on, with SessionOver."""
        self._over = message
        for command in self._pending.values():
            command.fail(SessionOver(message))
        self._pending.clear()
        self.outgoing.clear()
        self._room.set()

    async def _admit(self, size_bytes: int) -> None:
        if not self._queued and self._has_room(size_bytes):
            return
        self._queued += 1
        try:
            async with self._turn:
                while self._over is None and not self._has_room(size_bytes):
                    self._room.clear()
                    await self._room.wait()
        finally:
            self._queued -= 1

    def _has_room(self, size_bytes: int) -> bool:
        """One command always has; more while both limits are kept."""
        if not self._pending:
            return True
        within_bytes = self._pending_bytes + size_bytes <= COMMANDS_PENDING_BYTES_MAX
        return within_bytes and len(self._pending) < COMMANDS_PENDING_MAX
