"""Explain: the present from the core, the past from the log (X1)."""

from __future__ import annotations

from dataclasses import replace

from coordinator_service.core import causes
from coordinator_service.core.answers import Explained
from coordinator_service.core.commands import Caller, Explain
from coordinator_service.core.events import Event
from coordinator_service.core.explanations import ExplanationView
from coordinator_service.core.rejections import CursorCompacted, CursorInFuture, NotFound
from coordinator_service.history import read_one
from coordinator_service.ports import NamespacePort

_READER = Caller(method="Explain")


async def explain(port: NamespacePort, asked: Explain) -> ExplanationView:
    """The whole explanation. Raises NotFound; CursorInFuture and CursorCompacted for a sequence that is asked about."""
    event: Event | None = None
    if asked.sequence:
        event = await _event_of(port, asked.sequence)
        asked = Explain(sequence=asked.sequence, run_id=event.run_id, task_id=event.task_id)
    found = await port.call(asked, _READER)
    assert isinstance(found, Explained)
    explanation = found.explanation
    if event is not None and not explanation.summary:
        explanation = replace(explanation, summary=f"{causes.describe(event)}; it stands for nothing that waits now")
    chain, earlier = await _chain(port, found.about)
    effects = await _effects(port, found.about, explanation.sequence)
    return replace(
        explanation,
        causes=tuple(map(causes.step, chain)),
        earlier_cause=earlier,
        effects=tuple(map(causes.step, effects)),
    )


async def _event_of(port: NamespacePort, sequence: int) -> Event:
    try:
        return (await read_one(port, sequence)).event
    except NotFound:
        raise beyond_the_end(sequence, (await port.ends()).last_sequence) from None


def beyond_the_end(sequence: int, last: int) -> CursorInFuture:
    """Why a sequence cannot be explained that is not there yet."""
    return CursorInFuture(("sequence", f"is {sequence}, the log ends at {last}"))


async def _chain(port: NamespacePort, about: int) -> tuple[list[Event], int]:
    """An event, its cause, and so on back to what a caller asked for; and the cause that is not told any more."""
    chain: list[Event] = []
    sequence = about
    while sequence and len(chain) < causes.CAUSES_MAX:
        try:
            event = (await read_one(port, sequence)).event
        except CursorCompacted:
            break
        chain.append(event)
        sequence = event.cause
    return chain, sequence


async def _effects(port: NamespacePort, about: int, last: int) -> list[Event]:
    """What names the event as its cause, among those that came soon after it."""
    until = min(last, about + causes.EFFECTS_LOOKED_AT_MAX)
    if not about or about >= until:
        return []
    found: list[Event] = []
    try:
        follower = await port.follow(about)
    except CursorCompacted:
        return []
    try:
        while follower.position < until and len(found) < causes.EFFECTS_MAX:
            following = await follower.read(events_max=until - follower.position)
            found += [each.event for each in following if each.event.cause == about]
    finally:
        follower.close()
    return found[: causes.EFFECTS_MAX]
