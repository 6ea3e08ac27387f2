"""Following a stream of the coordinator: opened again, where it was left, whenever it breaks, ends or falls silent."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncGenerator, Callable
from typing import Any

from concert._backoff import Backoff
from concert._caller import Caller
from concert._connection import is_cancelled
from concert._limits import BOOKMARK_SILENCE_SECONDS_MAX
from concert._methods import Method
from concert.errors import Cancelled, ConcertError, InternalError, LimitReached, Unavailable

_log = logging.getLogger("concert.subscription")


class Following:
    """The responses of a stream that proves with bookmarks that it is alive.

    What cannot be mended by waiting is raised, and so is whatever stands in the way of the very first response
    for longer than the caller's `retry_seconds`.
    """

    def __init__(self, caller: Caller, method: Method, request: Callable[[], Any]) -> None:
        """`request` is asked for each time the stream is opened: it says where to go on."""
        self._caller = caller
        self._method = method
        self._request = request
        self._established = False
        self._closed = False
        self._stream: AsyncGenerator[Any, None] | None = None
        self._reading: asyncio.Future[Any] | None = None

    async def next(self) -> Any:
        """The next response; None once it is closed."""
        loop = asyncio.get_running_loop()
        give_up_at = loop.time() + self._caller.retry_seconds
        backoff = Backoff()
        while not self._closed:
            try:
                response = await self._read()
            except ConcertError as error:
                pause = backoff.pause_seconds(
                    error.retry_after if isinstance(error, (Unavailable, LimitReached)) else None
                )
                if not is_transient(error) or (not self._established and loop.time() + pause > give_up_at):
                    raise
                _log.info("%s goes on in %.2f s: %s", self._method.name, pause, error)
                await asyncio.sleep(pause)
                continue
            self._established = True
            return response
        return None

    async def close(self) -> None:
        """Ends it for good: a `next` that waits is told so."""
        self._closed = True
        if self._reading is not None:
            self._reading.cancel()
            await asyncio.wait([self._reading])
        await self.drop()

    async def drop(self) -> None:
        """Ends the stream; whoever asks for the next response opens another."""
        stream, self._stream = self._stream, None
        if stream is not None:
            await stream.aclose()

    async def _read(self) -> Any:
        if self._stream is None:
            self._stream = self._caller.stream(self._method, self._request())
        self._reading = asyncio.ensure_future(anext(self._stream))
        try:
            async with asyncio.timeout(BOOKMARK_SILENCE_SECONDS_MAX):
                return await self._reading
        except asyncio.CancelledError:
            if self._closed and not is_cancelled():
                return None
            raise
        except (ConcertError, TimeoutError, StopAsyncIteration) as error:
            await self.drop()
            if isinstance(error, ConcertError):
                raise
            raise Unavailable(
                "the stream ended" if isinstance(error, StopAsyncIteration) else "no bookmark came"
            ) from None
        finally:
            self._reading = None


def is_transient(error: ConcertError) -> bool:
    """Whether waiting may mend it."""
    return isinstance(error, (Unavailable, Cancelled, LimitReached, InternalError)) or error.code == "UNKNOWN"
