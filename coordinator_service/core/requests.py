"""Idempotency: a request that comes again gets its first answer, not a second effect (D5).

A command that produced events is remembered, in apply, under (principal, method, request_id), for request_window. A
pure refusal is not: it is decided afresh.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from coordinator_service.core.ages import take_due
from coordinator_service.core.events import Event, ResourceRequested
from coordinator_service.core.rejections import RequestIdReused
from coordinator_service.core.state import NamespaceState, PublishedRow, RequestRow
from coordinator_service.core.values import NS_PER_MS

if TYPE_CHECKING:
    from coordinator_service.core.commands import Caller

WAITING: Final = "waiting"
"""The outcome of an acquire that has none yet."""


def request_key(principal: str, method: str, request_id: str) -> str:
    """What names a request."""
    return f"{principal}\0{method}\0{request_id}"


def remembered(state: NamespaceState, caller: Caller, now_ns: int) -> RequestRow | None:
    """The row of the same request made before. Raises RequestIdReused for another request under that id."""
    row = state.requests.get(request_key(caller.principal, caller.method, caller.request_id))
    if row is None or row.time_ns + state.limits.request_window_ms * NS_PER_MS <= now_ns:
        return None
    if row.digest != caller.digest:
        raise RequestIdReused(("request_id", f"{caller.request_id!r} was used for another {caller.method} request"))
    return row


def apply_request(state: NamespaceState, event: Event) -> None:
    """Remembers the request of a decision, and forgets those whose window is over."""
    record = event.request
    assert record is not None
    key = request_key(event.principal, record.method, record.request_id)
    if key in state.requests:
        forget(state, key)
    row = RequestRow(digest=record.digest, first_sequence=event.sequence, count=record.count, time_ns=event.time_ns)
    state.requests[key] = row
    state.index.request_ages.append((event.time_ns, key, event.sequence))
    if len(state.requests) > state.limits.requests_max:
        _forget_oldest(state)
    state.forget_at(event.time_ns + state.limits.request_window_ms * NS_PER_MS)
    if isinstance(event.payload, ResourceRequested):
        row.outcome = WAITING
        state.index.acquires[event.sequence] = row


def published(state: NamespaceState, event_id: str, now_ns: int) -> int:
    """The sequence of the event that a publisher named so within the window; 0 when there is none."""
    row = state.published.get(event_id)
    if row is None or row.time_ns + state.limits.request_window_ms * NS_PER_MS <= now_ns:
        return 0
    return row.sequence


def apply_published(state: NamespaceState, event: Event) -> None:
    """Remembers a publisher's event_id."""
    if event.event_id:
        state.published.pop(event.event_id, None)
        state.published[event.event_id] = PublishedRow(sequence=event.sequence, time_ns=event.time_ns)
        state.index.published_ages.append((event.time_ns, event.event_id, event.sequence))
        while len(state.published) > state.limits.requests_max:
            _, event_id, sequence = state.index.published_ages.popleft()
            if _is_published(state, event_id, sequence):
                del state.published[event_id]
        state.forget_at(event.time_ns + state.limits.request_window_ms * NS_PER_MS)


def forget_old(state: NamespaceState) -> None:
    """D8: what is older than the window goes, by event time."""
    window_ns = state.limits.request_window_ms * NS_PER_MS
    until_ns = state.time_ns - window_ns
    ages = state.index.request_ages
    for _, key, _ in take_due(ages, until_ns, lambda aged: _is_request(state, *aged[1:])):
        forget(state, key)
    if ages:
        state.forget_at(ages[0][0] + window_ns)
    ages = state.index.published_ages
    for _, event_id, _ in take_due(ages, until_ns, lambda aged: _is_published(state, *aged[1:])):
        del state.published[event_id]
    if ages:
        state.forget_at(ages[0][0] + window_ns)


def _forget_oldest(state: NamespaceState) -> None:
    """There are more than may be: the oldest go (the limit may have been lowered by a new owner)."""
    while len(state.requests) > state.limits.requests_max:
        _, key, sequence = state.index.request_ages.popleft()
        if _is_request(state, key, sequence):
            forget(state, key)


def _is_request(state: NamespaceState, key: str, sequence: int) -> bool:
    row = state.requests.get(key)
    return row is not None and row.first_sequence == sequence


def _is_published(state: NamespaceState, event_id: str, sequence: int) -> bool:
    row = state.published.get(event_id)
    return row is not None and row.sequence == sequence


def forget(state: NamespaceState, key: str) -> None:
    """The request will be decided afresh when it comes again."""
    row = state.requests.pop(key, None)
    if row is not None:
        state.index.acquires.pop(row.first_sequence, None)
