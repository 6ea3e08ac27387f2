"""Waiting for a log to grow."""

from __future__ import annotations

import asyncio


class Growth:
    """Those who wait until a log has gone beyond a sequence."""

    def __init__(self) -> None:
        self._waiting: list[tuple[int, asyncio.Future[int]]] = []

    async def beyond(self, after: int, last_sequence: int) -> int:
        """Where the log ends once that is beyond a sequence; it ends at last_sequence now. Raises what fail is told."""
        if last_sequence > after:
            return last_sequence
        waiter: asyncio.Future[int] = asyncio.get_running_loop().create_future()
        self._waiting.append((after, waiter))
        try:
            return await waiter
        finally:
            self._waiting = [each for each in self._waiting if each[1] is not waiter]

    def reached(self, last_sequence: int) -> None:
        """The log ends there now."""
        for after, waiter in self._waiting:
            if after < last_sequence and not waiter.done():
                waiter.set_result(last_sequence)

    def fail(self, failure: Exception) -> None:
        """Nobody follows the log any more."""
        for _, waiter in self._waiting:
            if not waiter.done():
                waiter.set_exception(failure)
