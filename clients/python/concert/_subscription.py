"""Following the log without a gap: a subscription resumes by itself, after the last event it handed out.

A stream that breaks, ends, or stays silent for longer than the coordinator's bookmarks allow is opened again
with the cursor of what was seen. What cannot be resumed (compacted away, another log) is raised: never a
silent gap.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator, Iterable, Sequence
from contextlib import aclosing
from datetime import datetime
from typing import Any, Literal, TypeAlias

from concert._caller import Caller
from concert._following import Following
from concert._methods import SUBSCRIBE
from concert.errors import InvalidArgument
from concert.v1 import event_pb2, event_service_pb2

# A number of concert.EventType, or its name with or without the prefix, in either case: "agent_completed".
EventTypeLike: TypeAlias = int | str
Start: TypeAlias = Literal["latest", "earliest"]

_POSITIONS = {
    "latest": event_service_pb2.START_POSITION_LATEST,
    "earliest": event_service_pb2.START_POSITION_EARLIEST,
}


def event_type(like: EventTypeLike) -> Any:
    """The number of an event type. Raises InvalidArgument for a name there is not."""
    if isinstance(like, int):
        return like
    name = "EVENT_TYPE_" + like.upper().removeprefix("EVENT_TYPE_")
    if name not in event_pb2.EventType.keys():  # noqa: SIM118 - an enum wrapper, not a mapping
        raise InvalidArgument(f"there is no event type {like!r}")
    return event_pb2.EventType.Value(name)


def event_filter(
    *,
    types: Iterable[EventTypeLike] = (),
    agent_ids: Iterable[str] = (),
    agent_names: Iterable[str] = (),
    run_ids: Iterable[str] = (),
    task_ids: Iterable[str] = (),
    custom_names: Iterable[str] = (),
) -> event_pb2.EventFilter:
    """Selects events: all lists given must match, in each one entry is enough."""
    return event_pb2.EventFilter(
        types=[event_type(each) for each in types],
        agent_ids=agent_ids,
        agent_names=agent_names,
        run_ids=run_ids,
        task_ids=task_ids,
        custom_names=custom_names,
    )


def check_position(start: str) -> None:
    """Raises InvalidArgument unless it is an end of the log."""
    if start not in _POSITIONS:
        raise InvalidArgument(f"a subscription starts at 'latest' or 'earliest', not at {start!r}")


def write_start(
    request: Any, *, after: event_service_pb2.Cursor | int | None, since: datetime | None, start: Start
) -> None:
    """Writes where a subscription starts: after a position, else at a time, else at an end. Raises InvalidArgument."""
    check_position(start)
    if after is not None:
        cursor = after if isinstance(after, event_service_pb2.Cursor) else event_service_pb2.Cursor(sequence=after)
        request.after.CopyFrom(cursor)
    elif since is not None:
        request.since.FromDatetime(since)
    else:
        request.position = _POSITIONS[start]


class Subscription:
    """Events as they come: `async for event in subscription`.

    As `async with`, entering waits until the coordinator has taken the subscription up, so that nothing
    published afterwards is missed even when it starts at the latest event. One iteration at a time.
    """

    def __init__(
        self,
        caller: Caller,
        selection: event_pb2.EventFilter,
        *,
        after: event_service_pb2.Cursor | int | None = None,
        since: datetime | None = None,
        start: Start = "latest",
        name: str = "",
    ) -> None:
        """See Client.subscribe; with a `name` after what that named subscription has acknowledged."""
        self._request = event_service_pb2.SubscribeRequest(filter=selection)
        if name:
            self._request.subscription = name
        else:
            write_start(self._request, after=after, since=since, start=start)
        self._cursor = event_service_pb2.Cursor()
        self._cursor.CopyFrom(self._request.after)
        self._following = Following(caller, SUBSCRIBE, self._resumed_request)
        self._first: Any = None

    @property
    def cursor(self) -> event_service_pb2.Cursor:
        """The position up to which everything was handed out; resume with `after=` another time."""
        copy = event_service_pb2.Cursor()
        copy.CopyFrom(self._cursor)
        return copy

    async def __aenter__(self) -> Subscription:
        """Waits for the coordinator's first word."""
        self._first = await self._following.next()
        return self

    async def __aexit__(self, *_exc: object) -> None:
        """Ends the subscription."""
        await self.aclose()

    async def __aiter__(self) -> AsyncGenerator[Any, None]:
        """Each matching event once, in order."""
        async with aclosing(self.batches()) as batches:
            async for events in batches:
                for event in events:
                    self._advance(event.log_id, event.sequence)
                    yield event

    async def batches(self) -> AsyncGenerator[Sequence[Any], None]:
        """The events as they arrive, several at a time; the cursor covers a batch once the next one is asked
        for.
        """
        try:
            while True:
                response, self._first = self._first or await self._following.next(), None
                if response is None:
                    return
                seen = self._cursor.sequence
                events = [event for event in response.events if event.sequence > seen]
                if events:
                    yield events
                    self._advance(events[-1].log_id, events[-1].sequence)
                if response.HasField("bookmark"):
                    self._advance(response.bookmark.log_id, response.bookmark.last_sequence)
        finally:
            await self._following.drop()

    async def aclose(self) -> None:
        """Ends the subscription; iterations end with it."""
        await self._following.close()

    def _advance(self, log_id: str, sequence: int) -> None:
        if sequence >= self._cursor.sequence:
            self._cursor.sequence = sequence
            self._cursor.log_id = log_id or self._cursor.log_id

    def _resumed_request(self) -> event_service_pb2.SubscribeRequest:
        request = event_service_pb2.SubscribeRequest()
        request.CopyFrom(self._request)
        if self._cursor.sequence:
            request.after.CopyFrom(self._cursor)
        return request
