"""Watching shared state: what keys hold, then what becomes of them, once and in order (S1, E2 to E4).

A watcher is a subscription like any other: pulled, with a cursor and no queue (E3). What a change made of a key is
asked of the namespace when it is told. Where the key has changed again and memory no longer knows, that is said
instead: the later change follows, so a watcher always ends up with what is there.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator, AsyncIterator, Iterable, Iterator
from contextlib import aclosing
from typing import Any, cast

from concert.v1 import state_service_pb2 as pb

from coordinator_service.core.answers import ChangedValues, StateRead
from coordinator_service.core.commands import Caller, GetChangedValues, GetState
from coordinator_service.core.events import Event, StateUpdated
from coordinator_service.core.specs import StateEntryView
from coordinator_service.log.codec import decode_event, split
from coordinator_service.log.mirror import fill as mirror_fill
from coordinator_service.log.mirror import fill_json, fill_timestamp
from coordinator_service.ports import NamespacePort
from coordinator_service.rpc import limits
from coordinator_service.rpc.operations.state import check_keys, read_prefix
from coordinator_service.rpc.state_selector import StateSelector
from coordinator_service.rpc.validation import Faults, count_fault, optional_name_fault
from coordinator_service.subscriptions import Delivery, Subscription

_WATCHER = Caller(method="WatchState")
KEYS_PER_LOOK = 1000
"""Changed keys whose values are asked for at once."""


def read_selector(request: Any) -> StateSelector:
    """What a WatchStateRequest is about. Raises InvalidField."""
    faults = Faults()
    faults.add("keys", count_fault(request.keys, limits.KEYS_PER_READ_MAX))
    prefix = read_prefix(request, faults)
    check_keys(faults, request.keys)
    faults.add("after.log_id", optional_name_fault(request.after.log_id))
    faults.settle()
    return StateSelector(keys=frozenset(request.keys), prefix=prefix)


async def watch(
    port: NamespacePort, request: Any, selector: StateSelector, *, bookmark_seconds: float
) -> AsyncIterator[pb.WatchStateResponse]:
    """Without end. Raises CursorCompacted, LogMismatch, CursorInFuture, Unavailable."""
    after: int = request.after.sequence
    if not request.HasField("after"):
        first = await _read(port, selector, 0, "")
        after = first.sequence
        async for page in _pages(port, selector, first):
            for response in _entries(page.entries):
                yield response
    subscription = Subscription(port, selector, after, request.after.log_id)
    deliveries = cast("AsyncGenerator[Delivery]", subscription.deliveries(bookmark_seconds=bookmark_seconds))
    async with aclosing(deliveries):
        async for delivery in deliveries:
            teller = _Teller(port, selector)
            for event in map(decode_event, split(delivery.frames)):
                async for response in teller.take(event):
                    yield response
            async for response in teller.rest():
                yield response
            last = pb.WatchStateResponse(changes=teller.untold)
            last.bookmark.log_id = port.log_id
            last.bookmark.last_sequence = delivery.last_sequence
            last.bookmark.caught_up = delivery.caught_up
            yield last


# What is there.


async def _pages(port: NamespacePort, selector: StateSelector, first: StateRead) -> AsyncIterator[StateRead]:
    """All of it, at the revision of the first page."""
    page = first
    yield page
    while page.next_key:
        page = await _read(port, selector, first.sequence, page.next_key)
        yield page


async def _read(port: NamespacePort, selector: StateSelector, revision: int, after_key: str) -> StateRead:
    answer = await port.call(
        GetState(
            keys=tuple(sorted(selector.keys)),
            prefix=selector.prefix,
            after_key=after_key,
            count_max=limits.PAGE_SIZE_MAX,
            revision=revision,
        ),
        _WATCHER,
    )
    assert isinstance(answer, StateRead)
    return answer


def _entries(entries: Iterable[StateEntryView]) -> Iterator[pb.WatchStateResponse]:
    """In messages that a frame may hold; a larger entry travels alone."""
    response = pb.WatchStateResponse()
    size = 0
    for entry in entries:
        message: Any = pb.WatchStateResponse().entries.add()
        mirror_fill(entry, message)
        added = message.ByteSize()
        if size and size + added > limits.FRAME_BYTES_MAX:
            yield response
            response, size = pb.WatchStateResponse(), 0
        response.entries.append(message)
        size += added
    if size:
        yield response


# What becomes of it.


class _Teller:
    """Turns events into what a watcher is told of them."""

    def __init__(self, port: NamespacePort, selector: StateSelector) -> None:
        self._port = port
        self._selector = selector
        self._events: list[tuple[Event, StateUpdated, list[str]]] = []
        self._keys = 0
        self.untold: list[pb.WatchedChange] = []
        """Changes for the next message."""
        self._size = 0

    async def take(self, event: Event) -> AsyncIterator[pb.WatchStateResponse]:
        """One more event; what there is to tell by now."""
        payload = event.payload
        assert isinstance(payload, StateUpdated)
        keys = [key for key in dict.fromkeys(update.key for update in payload.updates) if self._selector.covers(key)]
        self._events.append((event, payload, keys))
        self._keys += len(keys)
        if self._keys >= KEYS_PER_LOOK:
            async for response in self.rest():
                yield response

    async def rest(self) -> AsyncIterator[pb.WatchStateResponse]:
        """Full messages of what was taken; what is left over is in `untold`."""
        wanted = tuple((key, event.sequence) for event, _, keys in self._events for key in keys)
        values: Iterator[StateEntryView | None] = iter(())
        if wanted:
            answer = await self._port.call(GetChangedValues(wanted=wanted), _WATCHER)
            assert isinstance(answer, ChangedValues)
            values = iter(answer.values)
        for event, payload, keys in self._events:
            for change in self._changes(event, payload, keys, values):
                added = change.ByteSize()
                if self._size and self._size + added > limits.FRAME_BYTES_MAX:
                    yield pb.WatchStateResponse(changes=self.untold)
                    self.untold, self._size = [], 0
                self.untold.append(change)
                self._size += added
        self._events, self._keys = [], 0

    def _changes(
        self, event: Event, payload: StateUpdated, keys: list[str], values: Iterator[StateEntryView | None]
    ) -> Iterator[Any]:
        if self._selector.clears(payload):
            yield _change(event, payload, payload.prefix, "cleared")
        for key in payload.deletes:
            if self._selector.covers(key):
                yield _change(event, payload, key, "deleted")
        for key in keys:
            entry = next(values)
            if entry is None:
                yield _change(event, payload, key, "superseded")
            else:
                change = _change(event, payload, key)
                fill_json(entry.value, change.value)
                yield change


def _change(event: Event, payload: StateUpdated, key: str, outcome: str = "") -> Any:
    """outcome: the field of its oneof that is true, unless it is the value."""
    change = pb.WatchedChange(key=key, revision=event.sequence, writer=payload.writer)
    if outcome:
        setattr(change, outcome, True)
    fill_timestamp(event.time_ns, change.changed_at)
    return change
