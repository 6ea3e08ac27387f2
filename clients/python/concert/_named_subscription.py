"""Named subscriptions: a cursor kept by the coordinator, so that a consumer goes on where its last one stopped.

Every event is handed out at least once, across crashes of the consumer and of the coordinator: what was handed out and
not acknowledged comes again. By itself an event counts as processed once the next one is asked for; what is processed
is acknowledged beside the loop, one acknowledgement at a time, the latest position only.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import AsyncGenerator, Sequence
from datetime import datetime
from typing import Any

from concert._caller import Caller, Origin
from concert._following import is_transient
from concert._limits import ACKNOWLEDGE_SECONDS_MAX, ACKNOWLEDGE_SECONDS_MIN
from concert._methods import ACKNOWLEDGE, CREATE_SUBSCRIPTION, DELETE_SUBSCRIPTION, LIST_SUBSCRIPTIONS
from concert._pages import read_pages
from concert._subscription import Start, Subscription, check_position, write_start
from concert.errors import AlreadyExists, ConcertError, CursorBehind
from concert.v1 import event_pb2, event_service_pb2

_log = logging.getLogger("concert.subscription")


class Subscriptions:
    """The named subscriptions of the namespace."""

    def __init__(self, origin: Origin) -> None:
        """Asks as `origin`."""
        self._origin = origin

    async def create(
        self,
        name: str,
        *,
        after: event_service_pb2.Cursor | int | None = None,
        since: datetime | None = None,
        start: Start = "latest",
    ) -> Any:
        """A new one, as NamedSubscription. Starts as `subscribe` does. Raises AlreadyExists, LimitReached."""
        request = event_service_pb2.CreateSubscriptionRequest(name=name)
        write_start(request, after=after, since=since, start=start)
        return (await self._origin.caller.call(CREATE_SUBSCRIPTION, request)).subscription

    async def list(self) -> list[Any]:
        """All of them, by name: how far each is, and how many events the log has after that."""
        request = event_service_pb2.ListSubscriptionsRequest()
        return await read_pages(self._origin.caller, LIST_SUBSCRIPTIONS, request, "subscriptions")

    async def acknowledge(self, name: str, cursor: event_service_pb2.Cursor, *, reset: bool = False) -> Any:
        """Says that everything up to a cursor was dealt with; with `reset` puts it there wherever it was.

        Durable when it returns. Raises CursorBehind, CursorInFuture, NotFound, and LogMismatch when the coordinator has
        another log now: look at what is there, then reset.
        """
        request = event_service_pb2.AcknowledgeRequest(name=name, cursor=cursor, reset=reset)
        return (await self._origin.caller.call(ACKNOWLEDGE, request)).subscription

    async def delete(self, name: str) -> bool:
        """Whether it was there."""
        request = event_service_pb2.DeleteSubscriptionRequest(name=name)
        return bool((await self._origin.caller.call(DELETE_SUBSCRIPTION, request)).deleted)


class NamedSubscription:
    """Events under a name: `async with client.named_subscription("paid") as events: async for event in events: ...`.

    Entering makes the subscription if there is none and waits until it stands; leaving acknowledges what was processed.
    """

    def __init__(
        self,
        origin: Origin,
        name: str,
        selection: event_pb2.EventFilter,
        *,
        start: Start,
        acknowledge: bool,
    ) -> None:
        """See Surface.named_subscription."""
        check_position(start)
        self.name = name
        self._origin = origin
        self._caller: Caller = origin.caller
        self._selection = selection
        self._start = start
        self._automatic = acknowledge
        self._inner: Subscription | None = None
        self._asking = False
        self._processed = event_service_pb2.Cursor()
        self._acknowledged = 0
        self._due = asyncio.Event()
        self._acknowledging: asyncio.Task[None] | None = None

    async def __aenter__(self) -> NamedSubscription:
        """Makes it if there is none, and waits for the coordinator's first word."""
        with contextlib.suppress(AlreadyExists):
            await Subscriptions(self._origin).create(self.name, start=self._start)
        self._inner = await Subscription(self._caller, self._selection, name=self.name).__aenter__()
        if self._automatic:
            self._acknowledging = asyncio.create_task(self._acknowledge_beside(), name=f"acknowledge {self.name}")
        return self

    async def __aexit__(self, kind: type[BaseException] | None, *_exc: object) -> None:
        """Acknowledges what was processed, and ends."""
        try:
            await self.aclose()
        except ConcertError as error:
            if kind is None:
                raise
            _log.info("%s: what was processed is not acknowledged: %s", self.name, error)

    async def __aiter__(self) -> AsyncGenerator[Any, None]:
        """Each matching event after the last acknowledged one, in order. Raises what stands in the way."""
        if self._inner is None:
            raise RuntimeError("a named subscription is entered with `async with` before it is read")
        async with contextlib.aclosing(self._inner.batches()) as batches:
            while True:
                try:
                    events = await self._next(batches)
                except StopAsyncIteration:  # it was closed
                    return
                for event in events:
                    yield event
                    self._note(event.log_id, event.sequence)

    async def ack(self, event: Any) -> None:
        """Acknowledges everything up to an event, if that is not acknowledged yet; durable when it returns."""
        await self._acknowledge(event_service_pb2.Cursor(log_id=event.log_id, sequence=event.sequence))

    async def aclose(self) -> None:
        """Acknowledges what was processed, and ends the subscription. Its name and place stay."""
        acknowledging, self._acknowledging = self._acknowledging, None
        inner, self._inner = self._inner, None
        if acknowledging is not None:
            acknowledging.cancel()
            await asyncio.gather(acknowledging, return_exceptions=True)
        if inner is not None:
            await inner.aclose()
            if self._automatic and self._processed.sequence > self._acknowledged:
                await self._acknowledge(self._processed)

    async def _next(self, batches: AsyncGenerator[Sequence[Any], None]) -> Sequence[Any]:
        """The next events, or why acknowledging failed for good."""
        asked = asyncio.ensure_future(self._ask(batches))
        acknowledging = self._acknowledging
        try:
            if acknowledging is not None:
                await asyncio.wait({asked, acknowledging}, return_when=asyncio.FIRST_COMPLETED)
                if acknowledging.done() and not acknowledging.cancelled():
                    acknowledging.result()
            return await asked
        finally:
            asked.cancel()
            await asyncio.gather(asked, return_exceptions=True)

    async def _ask(self, batches: AsyncGenerator[Sequence[Any], None]) -> Sequence[Any]:
        """Meanwhile everything handed out is processed, and bookmarks tell of what no filter let through."""
        self._asking = True
        try:
            return await anext(batches)
        finally:
            self._asking = False  # in the very step in which the events arrive: they are not processed yet

    def _note(self, log_id: str, sequence: int) -> None:
        self._processed.sequence, self._processed.log_id = sequence, log_id
        self._due.set()

    async def _acknowledge_beside(self) -> None:
        """One acknowledgement at a time, of the latest position. Ends by raising what cannot be mended by waiting."""
        while True:
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(ACKNOWLEDGE_SECONDS_MAX):
                    await self._due.wait()
            self._due.clear()
            if self._asking and self._inner is not None and self._inner.cursor.sequence > self._processed.sequence:
                self._processed = self._inner.cursor
            if self._processed.sequence <= self._acknowledged:
                continue
            cursor = event_service_pb2.Cursor()
            cursor.CopyFrom(self._processed)
            try:
                await self._acknowledge(cursor)
            except ConcertError as error:
                if not is_transient(error):
                    raise
                _log.info("%s: what was processed is not acknowledged yet: %s", self.name, error)
            await asyncio.sleep(ACKNOWLEDGE_SECONDS_MIN)

    async def _acknowledge(self, cursor: event_service_pb2.Cursor) -> None:
        with contextlib.suppress(CursorBehind):  # another consumer of the name is further
            await Subscriptions(self._origin).acknowledge(self.name, cursor)
        self._acknowledged = max(self._acknowledged, cursor.sequence)
