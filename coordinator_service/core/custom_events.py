"""Custom events: facts stated by clients (E1)."""

from __future__ import annotations

from typing import TYPE_CHECKING

from coordinator_service.core import reasons, subjects
from coordinator_service.core.answers import Published
from coordinator_service.core.events import CustomEvent, Event
from coordinator_service.core.requests import apply_published, published
from coordinator_service.core.state import NamespaceState, RequestRow
from coordinator_service.core.subjects import Subject

if TYPE_CHECKING:
    from coordinator_service.core.commands import EventDraft, Publish
    from coordinator_service.core.deciding import Deciding


def decide_publish(d: Deciding, command: Publish) -> Published:
    """Appends the drafts, all of them.

    One whose event_id is known already is not stored again; its sequence is returned.
    """
    state = d.state
    about = subjects.of_holder(state, d.caller.session_id, d.caller.attempt_token, d.caller.traceparent)
    sequences = []
    for draft in command.drafts:
        known = published(state, draft.event_id, d.now_ns) if draft.event_id else 0
        if known:
            sequences.append(known)
            continue
        event = d.emit(
            CustomEvent(name=draft.name, data=draft.data),
            reason=reasons.CALLER,
            cause=d.caller.attempt_token,
            event_id=draft.event_id,
            metadata=draft.metadata,
            about=_named(about, draft),
        )
        sequences.append(event.sequence)
    return Published(sequences=tuple(sequences))


def again(d: Deciding, command: Publish, row: RequestRow) -> Published:
    """The sequences that the same request was given before: its own events follow each other (D5)."""
    following = row.first_sequence
    sequences = []
    for draft in command.drafts:
        known = d.state.published.get(draft.event_id) if draft.event_id else None
        sequence = following if known is None else known.sequence
        following += sequence == following
        sequences.append(sequence)
    return Published(sequences=tuple(sequences), replayed=True)


def apply_custom(state: NamespaceState, event: Event, _payload: CustomEvent) -> None:
    """Nothing but its event_id is remembered: the log is where it lives."""
    apply_published(state, event)


def _named(about: Subject, draft: EventDraft) -> Subject:
    """What the draft says it is about comes before what its publisher is."""
    if not (draft.run_id or draft.task_id or draft.traceparent):
        return about
    return about._replace(
        run_id=draft.run_id or about.run_id,
        task_id=draft.task_id or about.task_id,
        traceparent=draft.traceparent or about.traceparent,
    )
