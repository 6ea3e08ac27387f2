"""The one thread of the client, and the one place where threads and asyncio meet.

The sessions of hosted agents live on an event loop of their own, in a thread of their own, so that their
heartbeats go out however long an execute blocks the loop it runs on. Agents' code stays on the loop that
`run_agents` was called on, where its own asyncio objects live. Nothing is shared between the two but what
passes through here: coroutines are run over there and awaited over here, and calls are posted from either
side to the other, in order.

(What this cannot help against is native code that keeps the interpreter lock for longer than the lease.)
"""

from __future__ import annotations

import asyncio
import threading
from collections.abc import AsyncGenerator, Callable, Coroutine
from typing import Any, TypeVar

from concert._limits import CLOSE_SECONDS_MAX
from concert._methods import Method
from concert._session import SessionStream
from concert._tracing import current_traceparent
from concert.errors import SessionOver

T = TypeVar("T")
_END = object()


class IoThread:
    """An event loop in a thread. Started and stopped from the loop that uses it."""

    def __init__(self, name: str = "concert-io") -> None:
        """Not running yet."""
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._serve, name=name, daemon=True)

    def start(self) -> None:
        """Starts the thread."""
        self._thread.start()

    async def run(self, start: Callable[[], Coroutine[Any, Any, T]]) -> T:
        """Runs a coroutine over there and waits for it; cancelling the wait cancels the coroutine."""
        if self._loop.is_closed():
            raise SessionOver("the agents of this process are no longer hosted")
        return await asyncio.wrap_future(asyncio.run_coroutine_threadsafe(start(), self._loop))

    def post(self, act: Callable[..., object], *arguments: object) -> None:
        """Has something called over there, in the order of posting; nothing once the thread has stopped."""
        post_to(self._loop, act, *arguments)

    def stop(self) -> None:
        """Cancels what still runs over there and waits for the thread to end."""
        if self._thread.is_alive():
            self._loop.call_soon_threadsafe(self._loop.stop)
            self._thread.join(CLOSE_SECONDS_MAX)
        elif not self._loop.is_closed():
            self._loop.close()

    def _serve(self) -> None:
        asyncio.set_event_loop(self._loop)
        try:
            self._loop.run_forever()
            left = asyncio.all_tasks(self._loop)
            for task in left:
                task.cancel()
            self._loop.run_until_complete(asyncio.gather(*left, return_exceptions=True))
            self._loop.run_until_complete(self._loop.shutdown_asyncgens())
        finally:
            asyncio.set_event_loop(None)
            self._loop.close()


class BridgedCaller:
    """A session that lives in the I/O thread, as a caller for another loop."""

    def __init__(self, thread: IoThread, inner: SessionStream) -> None:
        """Carries calls to `inner`."""
        self._thread = thread
        self._inner = inner
        self.lock_identity = inner.lock_identity
        self.place = inner.place
        self.call_seconds = inner.call_seconds
        self.retry_seconds = inner.retry_seconds

    async def call(self, method: Method, request: Any, *, timeout: float | None = None) -> Any:
        """See Caller.call."""
        traceparent = current_traceparent()
        return await self._thread.run(
            lambda: self._inner.call(method, request, timeout=timeout, traceparent=traceparent)
        )

    async def stream(self, method: Method, request: Any) -> AsyncGenerator[Any, None]:
        """See Caller.stream."""
        responses = self._inner.stream(method, request)
        try:
            while (response := await self._thread.run(lambda: _next(responses))) is not _END:
                yield response
        finally:
            await self._thread.run(lambda: _close(responses))

    def on_lost(self, lost: Callable[[], None]) -> Callable[[], None]:
        """See Caller.on_lost: called on the loop that asked."""
        home = asyncio.get_running_loop()
        forgotten = False
        forget_inner: Callable[[], None] | None = None

        def call_home() -> None:
            if not forgotten:
                lost()

        def register() -> None:
            nonlocal forget_inner
            forget_inner = self._inner.on_lost(lambda: post_to(home, call_home))

        def unregister() -> None:
            if forget_inner is not None:
                forget_inner()

        def forget() -> None:
            nonlocal forgotten
            forgotten = True
            self._thread.post(unregister)

        self._thread.post(register)
        return forget


def post_to(loop: asyncio.AbstractEventLoop, act: Callable[..., object], *arguments: object) -> None:
    """Has something called on a loop, unless that loop is gone."""
    try:
        loop.call_soon_threadsafe(act, *arguments)
    except RuntimeError:
        if not loop.is_closed():
            raise


async def _next(responses: AsyncGenerator[Any, None]) -> Any:
    return await anext(responses, _END)


async def _close(responses: AsyncGenerator[Any, None]) -> None:
    await responses.aclose()
