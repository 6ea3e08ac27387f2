"""The end of a log, for whoever has to find out what went wrong."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from coordinator_service.core.events import Event

if TYPE_CHECKING:
    from tests.simulation.world import World

EVENTS_TOLD = 40
LINE_CHARACTERS_MAX = 200
_NOTHING = r"\w+=(?:''|0|None|\(\)|\{\}|False|0\.0|b'')"
_EMPTY = re.compile(rf"\b{_NOTHING}, |, {_NOTHING}(?=[,)])")


def last_events(world: World) -> list[str]:
    """One line for each of the last events that are durable."""
    events = world.durable.events
    return [_line(event, events[0].time_ns) for event in events[-EVENTS_TOLD:]]


def _line(event: Event, start_ns: int) -> str:
    where = "/".join(filter(None, (event.run_id, event.task_id))) or event.agent_id
    request = "" if event.request is None else f" [{event.request.request_id}]"
    seconds = (event.time_ns - start_ns) / 1e9
    payload = _EMPTY.sub("", repr(event.payload))
    return f"  {event.sequence:5} {seconds:9.4f} {event.reason:20} {where:20} {payload}{request}"[:LINE_CHARACTERS_MAX]
