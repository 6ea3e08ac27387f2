"""The tail: the newest committed events in memory, shared by all followers, and the cursors that read it.

A follower that keeps up never touches the log; one that lags reads from it, so that a slow subscriber costs the
coordinator neither memory nor anybody else's time (E3).
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

from coordinator_service.core.rejections import Rejection, Unavailable
from coordinator_service.log.base import EventLog, LogError
from coordinator_service.log.codec import frame, split
from coordinator_service.ports import Committed, Stretch

READ_BYTES_MAX = 2 * 1024 * 1024
"""Read from the log at once."""
EVENT_BYTES = 256
"""How large an event is taken to be before any was read."""


class Tail:
    """Committed events after `base`, up to `last`. Old ones are dropped once they exceed bytes_max."""

    def __init__(self, log: EventLog, after: int, *, bytes_max: int) -> None:
        self._log = log
        self._bytes_max = bytes_max
        self._bytes = 0
        self._base = after
        self._events: list[Committed] = []
        self._dropped = 0
        self._latest = (0, Stretch())
        self._waiting: list[asyncio.Future[None]] = []
        self._failure: Rejection | None = None
        self._event_bytes = EVENT_BYTES

    @property
    def last(self) -> int:
        """The last committed sequence."""
        return self._base + len(self._events) - self._dropped

    def extend(self, committed: list[Committed]) -> None:
        """Takes up what was just committed, and wakes whoever waits for it."""
        self._events.extend(committed)
        self._bytes += sum(len(each.frame) for each in committed)
        while self._bytes > self._bytes_max and self._dropped < len(self._events) - 1:
            self._bytes -= len(self._events[self._dropped].frame)
            self._dropped += 1
            self._base += 1
        if self._dropped > len(self._events) // 2:
            del self._events[: self._dropped]
            self._dropped = 0
        self._wake()

    def fail(self, failure: Rejection) -> None:
        """The namespace is dropped: followers are told."""
        self._failure = failure
        self._wake()

    def slice(self, after: int, events_max: int) -> Stretch | None:
        """Events after a sequence, or None when they are no longer in memory.

        Followers that keep up ask for the same ones, one after another: they are handed the same stretch.
        """
        if after < self._base:
            return None
        start = self._dropped + after - self._base
        count = min(len(self._events) - start, events_max)
        if self._latest[0] == after and len(self._latest[1]) == count:
            return self._latest[1]
        found = Stretch(self._events[start : start + count])
        if found:
            self._latest = after, found
        return found

    async def read(self, after: int, events_max: int) -> Stretch:
        """Events after a sequence, from memory or from the log; waits until there is any. Raises Rejection."""
        while True:
            if self._failure is not None:
                raise self._failure
            found = self.slice(after, events_max)
            if found is None:
                return await self._read_log(after, events_max)
            if found:
                return found
            waiter: asyncio.Future[None] = asyncio.get_running_loop().create_future()
            self._waiting.append(waiter)
            try:
                await waiter
            finally:
                if waiter in self._waiting:
                    self._waiting.remove(waiter)

    async def _read_log(self, after: int, events_max: int) -> Stretch:
        found = Stretch()
        try:
            # About as much as is wanted: whatever is read beyond that is read again.
            batches = await self._log.read(after, bytes_max=min(READ_BYTES_MAX, events_max * self._event_bytes))
        except LogError as error:
            raise self._failure or Unavailable(f"the log cannot be read: {error}") from None
        if batches:
            count = batches[-1].batch.last_sequence - batches[0].batch.first_sequence + 1
            self._event_bytes = 1 + sum(len(stored.batch.events) for stored in batches) // count
        for stored in batches:
            sequence = stored.batch.first_sequence
            for encoded in split(stored.batch.events):
                if sequence > after:
                    found.append(Committed(sequence, frame(encoded)))
                    if len(found) == events_max:
                        return found
                sequence += 1
        return found

    def _wake(self) -> None:
        waiting, self._waiting = self._waiting, []
        for waiter in waiting:
            if not waiter.done():
                waiter.set_result(None)


class TailFollower:
    """A cursor over a tail."""

    def __init__(self, tail: Tail, after: int, check: Callable[[int], Awaitable[None]]) -> None:
        self._tail = tail
        self._position = after
        self._check = check

    @property
    def position(self) -> int:
        """The last sequence read."""
        return self._position

    async def read(self, *, events_max: int = 1000) -> Stretch:
        """The next events, in order, at least one. Raises Rejection; CursorCompacted when it lags below the oldest."""
        found = await self._tail.read(self._position, events_max)
        if not found or found[0].sequence != self._position + 1:
            await self._check(self._position)
            raise Unavailable(f"the log cannot be read after {self._position}")  # never a silent gap (E4)
        self._position = found[-1].sequence
        return found

    def ready(self) -> bool:
        """Whether read would return at once."""
        return self._tail.last > self._position

    def close(self) -> None:
        """Nothing to let go of: a cursor is a number."""
