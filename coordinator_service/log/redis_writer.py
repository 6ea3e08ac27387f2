"""The writer of one log in Redis: changes go out one after another, in the order in which they were asked for.

Appends that wait together go out as one script, so that the round trip is paid once for all of them.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar

from coordinator_service.log.base import Batch, LogError

T = TypeVar("T")

APPEND_BYTES_MAX = 8 * 1024 * 1024
"""Batches beyond this go out with the next script."""


@dataclass(slots=True, eq=False)
class Appending:
    """A batch that somebody waits for. asked_ns is when."""

    batch: Batch
    epoch: int
    done: asyncio.Future[None]
    asked_ns: int


@dataclass(slots=True, eq=False)
class _Changing:
    change: Callable[[], Awaitable[Any]]
    done: asyncio.Future[Any]


class RedisWriter:
    """Changes in turn. `append` gets batches of one epoch, settles each, and does not raise."""

    def __init__(self, append: Callable[[Sequence[Appending]], Awaitable[None]]) -> None:
        self._append = append
        self._waiting: deque[Appending | _Changing] = deque()
        self._writing: asyncio.Task[None] | None = None
        self._closed = False

    async def append(self, batch: Batch, epoch: int, asked_ns: int) -> None:
        """Returns once a batch is durable. Raises LogError."""
        appending = Appending(batch, epoch, asyncio.get_running_loop().create_future(), asked_ns)
        self._take(appending)
        await appending.done

    async def change(self, change: Callable[[], Awaitable[T]]) -> T:
        """What `change` returns, called when its turn has come."""
        changing = _Changing(change, asyncio.get_running_loop().create_future())
        self._take(changing)
        changed: T = await changing.done
        return changed

    async def close(self) -> None:
        """Takes no more, and waits for what was asked for."""
        self._closed = True
        if self._writing is not None:
            await asyncio.wait([self._writing])

    def _take(self, asked: Appending | _Changing) -> None:
        if self._closed:
            raise LogError("the store is closed")
        self._waiting.append(asked)
        if self._writing is None:
            self._writing = asyncio.get_running_loop().create_task(self._write())

    async def _write(self) -> None:
        while self._waiting:
            head = self._waiting.popleft()
            if isinstance(head, Appending):
                await self._append(self._together(head))
            else:
                await _perform(head)
        self._writing = None

    def _together(self, head: Appending) -> list[Appending]:
        together = [head]
        size = len(head.batch.events)
        while self._waiting:
            following = self._waiting[0]
            if not isinstance(following, Appending) or following.epoch != head.epoch:
                break
            size += len(following.batch.events)
            if size > APPEND_BYTES_MAX:
                break
            together.append(following)
            self._waiting.popleft()
        return together


async def _perform(changing: _Changing) -> None:
    try:
        changed = await changing.change()
    except Exception as failure:
        if not changing.done.done():
            changing.done.set_exception(failure)
    else:
        if not changing.done.done():
            changing.done.set_result(changed)
