"""Stating facts and reading them again."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import datetime
from typing import Any

from concert._caller import Origin
from concert._fences import Fences, to_fences
from concert._limits import PAGE_SIZE_MAX
from concert._methods import GET_EVENT, LIST_EVENTS, PUBLISH
from concert._payload import PayloadLike, to_payload
from concert._subscription import EventTypeLike, event_filter
from concert._tracing import current_traceparent
from concert.v1 import event_pb2, event_service_pb2


def draft(
    name: str,
    data: PayloadLike = None,
    *,
    event_id: str = "",
    run_id: str = "",
    task_id: str = "",
    metadata: Mapping[str, str] | None = None,
) -> event_pb2.EventDraft:
    """A custom event to publish. A second one under the same `event_id` is not stored again. Raises
    InvalidPayload.
    """
    made = event_pb2.EventDraft(
        event_id=event_id,
        run_id=run_id,
        task_id=task_id,
        metadata=metadata or {},
        traceparent=current_traceparent(),
    )
    made.custom.name = name
    if data is not None:
        made.custom.data.CopyFrom(to_payload(data))
    return made


async def publish(
    origin: Origin, drafts: Iterable[event_pb2.EventDraft], request_id: str = "", fences: Fences = ()
) -> list[int]:
    """Appends 1 to 1000 drafts, all or none; returns their sequences once they are durable."""
    request = event_service_pb2.PublishRequest(
        attempt_token=origin.attempt_token, request_id=request_id, events=drafts, fences=to_fences(fences)
    )
    response = await origin.caller.call(PUBLISH, request)
    return list(response.sequences)


class Events:
    """History."""

    def __init__(self, origin: Origin) -> None:
        """Asks as `origin`."""
        self._origin = origin

    async def get(self, sequence: int) -> Any:
        """One event. Raises NotFound, CursorCompacted."""
        response = await self._origin.caller.call(GET_EVENT, event_service_pb2.GetEventRequest(sequence=sequence))
        return response.event

    async def list(
        self,
        *,
        types: Iterable[EventTypeLike] = (),
        agent_ids: Iterable[str] = (),
        agent_names: Iterable[str] = (),
        run_ids: Iterable[str] = (),
        task_ids: Iterable[str] = (),
        custom_names: Iterable[str] = (),
        since: datetime | None = None,
        until: datetime | None = None,
        after: int = 0,
        up_to: int = 0,
        limit: int = 1000,
        descending: bool = False,
    ) -> list[Any]:
        """At most `limit` events that match, in order: after the sequence `after`, up to the sequence `up_to`
        (0: no end).
        """
        selection = event_filter(
            types=types,
            agent_ids=agent_ids,
            agent_names=agent_names,
            run_ids=run_ids,
            task_ids=task_ids,
            custom_names=custom_names,
        )
        request = event_service_pb2.ListEventsRequest(
            filter=selection, after_sequence=after, until_sequence=up_to, descending=descending
        )
        if since is not None:
            request.since.FromDatetime(since)
        if until is not None:
            request.until.FromDatetime(until)
        found: list[Any] = []
        while len(found) < limit:
            request.page_size = min(limit - len(found), PAGE_SIZE_MAX)
            page = await self._origin.caller.call(LIST_EVENTS, request)
            found += page.events
            request.page_token = page.next_page_token
            if not page.next_page_token:
                break
        return found
