"""EventService: stating facts, following the log, reading it again."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from contextlib import aclosing
from typing import Any, cast

import grpc
from concert.v1 import event_service_pb2 as pb

from coordinator_service.core.rejections import InvalidField, NotFound
from coordinator_service.history import Page, Token, read_one, read_page
from coordinator_service.rpc.calls import Calls, Context
from coordinator_service.rpc.history import next_token, read_query
from coordinator_service.rpc.named_subscriptions import NamedSubscriptionCalls
from coordinator_service.rpc.operations.events import PUBLISH
from coordinator_service.rpc.selectors import read_selector
from coordinator_service.rpc.starts import check_start, start_of
from coordinator_service.rpc.validation import Faults
from coordinator_service.subscriptions import Delivery, Subscription

_NO_EVENTS = Page(events=[], left=Token(log_id="", after=0, until=0, sequence=0))


class EventServicer:
    """Serves EventService."""

    def __init__(self, calls: Calls, *, scan_events_max: int, bookmark_seconds: float) -> None:
        self._calls = calls
        self._named = NamedSubscriptionCalls(calls)
        self._scan_events_max = scan_events_max
        self._bookmark_seconds = bookmark_seconds
        self.subscriptions: dict[Subscription, None] = {}
        """Those that somebody reads now."""

    def handler(self) -> grpc.GenericRpcHandler:
        """What the server registers."""
        calls = self._calls
        return calls.service(
            "EventService",
            {
                "Publish": calls.operation(PUBLISH),
                "Subscribe": calls.streaming(pb.SubscribeRequest, self._subscribe),
                "ListEvents": calls.unary(pb.ListEventsRequest, self._list),
                "GetEvent": calls.unary(pb.GetEventRequest, self._get),
                **self._named.handlers(),
            },
        )

    async def _subscribe(self, request: Any, context: Context) -> None:
        """E2 to E5. A subscriber may come before the first publisher: the namespace is made if there is none, unless a
        named subscription of it is asked for."""
        faults = Faults()
        selector = read_selector(faults, request.filter)
        since_ns = check_start(faults, request)
        faults.settle()
        port = await (
            self._named.port_of(request, request.subscription)
            if request.subscription
            else self._calls.port(request.namespace)
        )
        after, log_id = await start_of(port, request, since_ns)
        subscription = Subscription(port, selector, after, log_id, since_ns=since_ns)
        deliveries = cast("AsyncGenerator[Delivery]", subscription.deliveries(bookmark_seconds=self._bookmark_seconds))
        self.subscriptions[subscription] = None
        try:
            async with aclosing(deliveries):
                async for each in deliveries:
                    bookmark = pb.SubscribeResponse()
                    bookmark.bookmark.log_id = port.log_id
                    bookmark.bookmark.last_sequence = each.last_sequence
                    bookmark.bookmark.caught_up = each.caught_up
                    # Frames are elements of SubscribeResponse.events: encoded once, joined for every subscriber.
                    await context.write(each.frames + bookmark.SerializeToString())
        finally:
            del self.subscriptions[subscription]

    async def _list(self, request: Any, _context: Context) -> bytes:
        query = read_query(request)
        port = await self._calls.port_if_any(request.namespace)
        page = _NO_EVENTS if port is None else await read_page(port, query, scan_events_max=self._scan_events_max)
        left = page.left
        rest = pb.ListEventsResponse(next_page_token=next_token(page), sequence=left.sequence, log_id=left.log_id)
        return b"".join(page.frames) + rest.SerializeToString()

    async def _get(self, request: Any, _context: Context) -> bytes:
        sequence = request.sequence
        if not sequence:
            raise InvalidField(("sequence", "must be set"))
        port = await self._calls.port_if_any(request.namespace)
        if port is None:
            raise NotFound("event", str(sequence))
        return (await read_one(port, sequence)).frame  # an element of GetEventResponse too: field 1, a message
