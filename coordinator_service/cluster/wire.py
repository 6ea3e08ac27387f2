"""A wire: frames to another replica and back, in order, until it breaks. gRPC in life, memory in the simulator."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable, Coroutine
from typing import Any, Protocol

from coordinator_service.cluster.messages import Message, frame_of

FRAME_MESSAGES_MAX = 256


class WireLost(Exception):  # noqa: N818 (it says what happened)
    """Nothing more comes through."""


def at_work(work: Coroutine[Any, Any, None]) -> asyncio.Task[None]:
    """A task that reads or writes a wire. Whoever waits for it may be gone before it ends, and then nobody asks how."""
    task = asyncio.ensure_future(work)
    task.add_done_callback(lambda _: task.cancelled() or task.exception())
    return task


class Wire(Protocol):
    """One end of it."""

    async def read(self) -> bytes:
        """The next frame. Raises WireLost."""

    async def write(self, frame: bytes) -> None:
        """Sends a frame; waits while the other end takes none. Raises WireLost."""

    def close(self) -> None:
        """Lets go: the other end finds out."""


class Outbox:
    """Messages that wait to be written, coalesced into frames."""

    def __init__(self, messages_max: int) -> None:
        self._messages_max = messages_max
        self._messages: deque[Message] = deque()
        self._wake: asyncio.Future[None] | None = None
        self._finished = False

    def put(self, message: Message) -> bool:
        """Whether there was room for it."""
        if len(self._messages) >= self._messages_max:
            return False
        self._messages.append(message)
        self._signal()
        return True

    def discard(self, unwanted: Callable[[Message], bool]) -> None:
        """Takes back what was not written yet."""
        self._messages = deque(message for message in self._messages if not unwanted(message))

    def finish(self) -> None:
        """Nothing more is put: write_to returns once everything is written."""
        self._finished = True
        self._signal()

    async def write_to(self, wire: Wire) -> None:
        """Writes whatever is put, until it is finished or the wire is lost. Raises WireLost."""
        while True:
            while not self._messages:
                if self._finished:
                    return
                self._wake = asyncio.get_running_loop().create_future()
                await self._wake
            count = min(len(self._messages), FRAME_MESSAGES_MAX)
            await wire.write(frame_of([self._messages.popleft() for _ in range(count)]))

    def _signal(self) -> None:
        if self._wake is not None and not self._wake.done():
            self._wake.set_result(None)
