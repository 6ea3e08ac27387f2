"""What lock events make of the tables: grants, waiters, and how requests ended (L1 to L9). locks.py decides."""

from __future__ import annotations

from coordinator_service.core import guards, lock_queues, reasons
from coordinator_service.core.events import (
    Event,
    ResourceAcquired,
    ResourceReleased,
    ResourceRequested,
    ResourceRequestReattached,
    ResourceRequestRefused,
    ResourceRequestTimedOut,
    ResourceRequestWithdrawn,
)
from coordinator_service.core.requests import forget, request_key
from coordinator_service.core.state import GrantRow, LockRow, NamespaceState, QueueKey, WaiterRow
from coordinator_service.core.values import NS_PER_MS

_LOST = (reasons.RELEASED_BY_SESSION, reasons.RELEASED_BY_FORCE)
"""Why a lock ends that its attempt goes on without: it is fenced by that (L8)."""


def queue_key(state: NamespaceState, priority: int, ready_at_ns: int, sequence: int) -> QueueKey:
    """R5: the turn of a request."""
    step_ns = state.limits.ageing_step_ms * NS_PER_MS
    return ((ready_at_ns - priority * step_ns) // step_ns, 0, sequence)


def apply_requested(state: NamespaceState, event: Event, payload: ResourceRequested) -> None:
    """A request with a deadline waits; one without is answered by the events that follow."""
    if not payload.deadline_ns:
        return
    waiter = WaiterRow(
        request_sequence=event.sequence,
        requests=payload.requests,
        holder=payload.holder,
        principal=event.principal,
        session_id=payload.session_id,
        attempt_token=payload.attempt_token,
        deadline_ns=payload.deadline_ns,
        queue_key=queue_key(state, payload.priority, event.time_ns, event.sequence),
        since_ns=event.time_ns,
        request_key=""
        if event.request is None
        else request_key(event.principal, event.request.method, event.request.request_id),
        traceparent=event.traceparent,
        passes=payload.passes,
    )
    state.waiters[event.sequence] = waiter
    lock_queues.enter(state, lock_queues.place_of(waiter))
    _let_pass(state, payload.passed_by, event.sequence)
    state.add_deadline(waiter.deadline_ns, "wait", event.sequence)
    _, waiters = _belongings(state, payload.session_id, payload.attempt_token)
    if waiters is not None:
        waiters[event.sequence] = None


def apply_acquired(state: NamespaceState, event: Event, payload: ResourceAcquired) -> None:
    """The holder has the lock; its event's sequence is the fencing token."""
    waiter = state.waiters.get(payload.request_sequence)
    if waiter is not None and payload.resource == waiter.requests[-1].resource:
        _drop_waiter(state, waiter)
    if payload.existing_token:
        grant = state.grants[payload.existing_token]
        grant.count += 1
        if payload.guards and payload.guards not in guards.paths(grant):
            grant.guards_also = (*grant.guards_also, payload.guards)
            guards.add(state, grant, payload.guards)
    else:
        row = state.locks.get(payload.resource)
        if row is None:
            row = state.locks[payload.resource] = LockRow(mode=payload.mode)
        row.holders[payload.holder] = event.sequence
        grant = state.grants[event.sequence] = GrantRow(
            token=event.sequence,
            request_sequence=payload.request_sequence,
            resource=payload.resource,
            mode=payload.mode,
            holder=payload.holder,
            principal=event.principal if waiter is None else waiter.principal,
            lease_ns=payload.lease_ns or 0,
            session_id=payload.session_id,
            attempt_token=payload.attempt_token,
            guards=payload.guards,
            granted_at_ns=event.time_ns,
        )
        lock_queues.note_granted(state, grant)
        if payload.guards:
            guards.add(state, grant, payload.guards)
        grants, _ = _belongings(state, payload.session_id, payload.attempt_token)
        if grants is not None:
            grants[event.sequence] = None
    _note_outcome(state, payload.request_sequence, "granted", payload.existing_token or event.sequence)


def apply_released(state: NamespaceState, event: Event, payload: ResourceReleased) -> None:
    """The lock is gone, or stands on one request less."""
    if payload.remaining:
        state.grants[payload.fencing_token].count = payload.remaining
        return
    grant = state.grants.pop(payload.fencing_token)
    row = state.locks[grant.resource]
    del row.holders[grant.holder]
    lock_queues.note_released(state, grant)
    if grant.guards or grant.guards_also:
        guards.drop(state, grant)
    if not row.holders:
        del state.locks[grant.resource]
    grants, _ = _belongings(state, grant.session_id, grant.attempt_token)
    if grants is not None:
        grants.pop(grant.token, None)
    attempt = state.attempts.get(grant.attempt_token)
    if attempt is not None and event.reason in _LOST:
        attempt.lost[grant.token] = grant.resource


def apply_timed_out(state: NamespaceState, _event: Event, payload: ResourceRequestTimedOut) -> None:
    """The request waits no more."""
    _note_outcome(state, payload.request_sequence, "timed_out")
    _drop_waiter(state, state.waiters[payload.request_sequence])


def apply_refused(state: NamespaceState, event: Event, payload: ResourceRequestRefused) -> None:
    """The request was refused; one that waited waits no more."""
    _note_outcome(state, payload.request_sequence, f"{event.reason}:{payload.resource}")
    waiter = state.waiters.get(payload.request_sequence)
    if waiter is not None:
        _drop_waiter(state, waiter)


def apply_withdrawn(state: NamespaceState, _event: Event, payload: ResourceRequestWithdrawn) -> None:
    """The request waits no more. It was never answered, so it is decided afresh should it come again."""
    waiter = state.waiters[payload.request_sequence]
    row = state.requests.get(waiter.request_key)
    if row is not None and row.first_sequence == waiter.request_sequence:
        forget(state, waiter.request_key)
    _drop_waiter(state, waiter)


def apply_reattached(state: NamespaceState, _event: Event, payload: ResourceRequestReattached) -> None:
    """The request's caller is there again: the request is queued anew, in its old place."""
    waiter = state.waiters[payload.request_sequence]
    lock_queues.start_over(state, waiter)
    lock_queues.attach(state, waiter, payload.passes)
    _let_pass(state, payload.passed_by, waiter.request_sequence)


def _let_pass(state: NamespaceState, sequences: tuple[int, ...], passed: int) -> None:
    for sequence in sequences:
        lock_queues.let_pass(state, state.waiters[sequence], passed)


def _drop_waiter(state: NamespaceState, waiter: WaiterRow) -> None:
    del state.waiters[waiter.request_sequence]
    _, waiters = _belongings(state, waiter.session_id, waiter.attempt_token)
    if waiters is not None:
        waiters.pop(waiter.request_sequence, None)
    lock_queues.leave(state, waiter)


def _belongings(
    state: NamespaceState, session_id: int, attempt_token: int
) -> tuple[dict[int, None] | None, dict[int, None] | None]:
    """Where the grants and waits of an attempt, else of a session, are listed."""
    attempt = state.attempts.get(attempt_token) if attempt_token else None
    if attempt is not None:
        return attempt.grants, attempt.waiters
    agent = state.agent_of_session(session_id) if session_id and not attempt_token else None
    return (None, None) if agent is None else (agent.grants, agent.waiters)


def _note_outcome(state: NamespaceState, request_sequence: int, outcome: str, token: int = 0) -> None:
    row = state.index.acquires.get(request_sequence)
    if row is not None:
        row.outcome = outcome
        if token:
            row.tokens = (*row.tokens, token)
