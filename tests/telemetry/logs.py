"""Reading a log through the client: what spans are compared with."""

from __future__ import annotations

from typing import Any

import concert
from concert.v1 import event_pb2


async def events_of(client: concert.Client) -> list[Any]:
    """All events that are kept, in order."""
    found: list[Any] = []
    while True:
        page = await client.events.list(after=found[-1].sequence if found else 0, limit=1000)
        if not page:
            return found
        found += page


async def platform_sequences(client: concert.Client) -> set[int]:
    """Of the events that the platform stated itself."""
    return {each.sequence for each in await events_of(client) if each.type != event_pb2.EVENT_TYPE_CUSTOM}
