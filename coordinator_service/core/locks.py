"""Locks: who holds what, who waits, and who comes next (L1 to L9).

A request for several resources is granted whole or not at all (L3). It is obstructed by a conflicting holder, or by a
conflicting waiter whose turn is earlier; so nobody overtakes, and a shared request does not slip past an exclusive one
(L2). Only who waits for the request's holder already is passed, and a request that would close a cycle of waiting is
refused (L4): wait_for.py finds out. The fencing token is the sequence of the RESOURCE_ACQUIRED event (L8): after
M. Burrows, "The Chubby lock service" (2006), where it is called a sequencer.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from coordinator_service.core import lock_queues, lock_tables, reasons, subjects, wait_for
from coordinator_service.core.answers import Acquired, Done, Waiting
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
from coordinator_service.core.policies import policy_of_caller
from coordinator_service.core.rejections import (
    Deadlock,
    InvalidField,
    LimitReached,
    LockLost,
    LockTimeout,
    LockUpgrade,
    NotHolder,
    PermissionDenied,
    StaleFence,
)
from coordinator_service.core.specs import LockGrant, LockRequest, TaskLock
from coordinator_service.core.state import (
    GrantRow,
    NamespaceState,
    Place,
    QueueKey,
    RequestRow,
    WaiterRow,
)
from coordinator_service.core.values import NS_PER_SECOND, LockMode

if TYPE_CHECKING:
    from collections.abc import Iterable

    from coordinator_service.core.commands import Acquire, ExpireLock, Release, WithdrawRequest
    from coordinator_service.core.deciding import Deciding

LEASE_DEFAULT_NS = 30 * NS_PER_SECOND
HOLDERS_NAMED_MAX = 20
"""Holders that a refusal names."""
HOLDERS_RESERVED = ("attempt/", "session/")
"""Names that only attempts and sessions hold locks under."""


# Deciding.


def decide_acquire(d: Deciding, command: Acquire) -> Acquired | Waiting:
    """Grants at once, or refuses at once, or lets the request wait (L2, L3, L5, L6)."""
    state, caller, requests = d.state, d.caller, command.requests
    _check_request(state, requests)
    attempt = state.attempts.get(caller.attempt_token) if caller.attempt_token else None
    session_id = attempt.session_id if attempt else caller.session_id
    sequence = state.sequence + 1
    holder = _holder(d, requests[0].holder, sequence)
    if requests[0].holder == holder:
        _check_holder(d, requests)
    policy = policy_of_caller(d, attempt)
    priority = max((r.priority for r in requests if r.priority is not None), default=policy.priority)
    key = lock_tables.queue_key(state, priority, d.now_ns, sequence)

    refusal: Deadlock | LockUpgrade | LockTimeout | None = _upgrade_refused(state, requests, holder)
    place = None if refusal is not None or _is_free(state, requests, holder) else _place(requests, holder, key)
    ahead = wait_for.FREE if place is None else wait_for.look_ahead(state, place, d.now_ns)
    wait_ns = min((r.wait_timeout_ns for r in requests if r.wait_timeout_ns is not None), default=None)
    wait_ns = policy.resource_timeout_ns if wait_ns is None else wait_ns
    waits = ahead.obstructed and bool(wait_ns) and not ahead.cycle
    if waits and len(state.waiters) >= state.limits.lock_waiters_max:
        raise LimitReached("lock_waiters_max", state.limits.lock_waiters_max)

    requested = d.emit(
        ResourceRequested(
            requests=requests,
            holder=holder,
            session_id=session_id,
            attempt_token=caller.attempt_token,
            deadline_ns=d.now_ns + (wait_ns or 0) if waits else 0,
            priority=priority,
            passes=tuple(sorted(ahead.passes)) if waits else (),
            passed_by=tuple(sorted(ahead.passed_by)) if waits else (),
        ),
        reason=reasons.CALLER,
        about=subjects.of_holder(state, session_id, caller.attempt_token, caller.traceparent),
    )
    if waits:
        return Waiting(request_sequence=sequence)
    if place is not None and ahead.cycle and wait_ns:
        refusal = Deadlock(sequence, wait_for.waits(state, ahead.cycle, place))
    elif ahead.obstructed:
        refusal = LockTimeout(sequence, _in_the_way(state, requests, holder), 1)
    if refusal is not None:
        _record_refusal(d, refusal, requests, holder, requested)
        raise refusal
    acquired = _grant(d, requests, holder, session_id, caller.attempt_token, reasons.LOCK_FREE, requested)
    _grant_others_of(d, requests, holder)
    return acquired


def again(d: Deciding, row: RequestRow) -> Acquired | Waiting:
    """Answers an acquire that comes again (D5, D6): what it was granted if that stands, else its place in the queue."""
    sequence = row.first_sequence
    waiter = d.state.waiters.get(sequence)
    if waiter is not None:
        if not waiter.attached:
            take_up(d, [waiter], reasons.CALLER_RETURNED, sequence)
        if sequence in d.state.waiters:
            return Waiting(request_sequence=sequence, replayed=True)
    if row.outcome == "granted":
        if not all(token in d.state.grants for token in row.tokens):
            raise LockLost(sequence)
        return Acquired(grants=_grants_of(d.state, row.tokens), request_sequence=sequence, replayed=True)
    if row.outcome.startswith(reasons.LOCK_UPGRADE):
        raise LockUpgrade(row.outcome.partition(":")[2], 0)
    if row.outcome.startswith(reasons.DEADLOCK):
        raise Deadlock(sequence, ())
    raise LockTimeout(sequence, (), 0)


def check_fences(d: Deciding) -> None:
    """L8: whether every lock that the command relies on is held still. Raises StaleFence."""
    for fence in d.caller.fences:
        grant = d.state.grants.get(fence.fencing_token)
        if grant is None or grant.resource != fence.resource:
            raise stale_fence(d.state, fence.resource, fence.fencing_token)


def stale_fence(state: NamespaceState, resource: str, token: int) -> StaleFence:
    """What is told of a lock that is not held under a token any more, or never was."""
    row = state.locks.get(resource)
    return StaleFence(resource, token, 0 if row is None else max(row.holders.values()))


def decide_release(d: Deciding, command: Release) -> Done:
    """Gives locks back, all or none, and grants to the next in line in the same decision.

    What is taken by force is gone at once, however often it was counted, and fences the attempt that held it (L8).
    """
    state, force = d.state, command.force
    counted: dict[int, int] = {}
    for token in command.fencing_tokens:
        counted[token] = counted.get(token, 0) + 1
        grant = state.grants.get(token)
        if grant is None or counted[token] > (1 if force else grant.count):
            raise NotHolder(token)
        if force:
            d.require_own(grant.principal, f"lock {token}")
        elif not _may_release(d, grant):
            raise NotHolder(token)
    first = state.sequence + 1
    resources = [
        _release(d, state.grants[token], _release_reason(d, command, token), whole=force)
        for token in command.fencing_tokens
    ]
    pump(d, resources)
    return Done(sequence=first)


def _release_reason(d: Deciding, command: Release, token: int) -> str:
    if command.force:
        return reasons.RELEASED_BY_FORCE
    own = d.state.grants[token].attempt_token in (0, d.caller.attempt_token)
    return reasons.RELEASED_BY_HOLDER if own else reasons.RELEASED_BY_SESSION


def decide_expire(d: Deciding, command: ExpireLock) -> Done:
    """L7: the lease of a lock ended; the next in line is granted in the same decision.

    A lock of an attempt or a session has no lease of its own: it ends with them, so that no attempt lives on without
    a lock it was granted (L8).
    """
    grant = d.state.grants.get(command.fencing_token)
    if grant is not None and not grant.session_id:
        pump(d, [_release(d, grant, reasons.LEASE_EXPIRED, whole=True)])
    return Done(sequence=d.state.sequence)


def decide_withdraw(d: Deciding, command: WithdrawRequest) -> Done:
    """The caller of a waiting request has gone."""
    waiter = d.state.waiters.get(command.request_sequence)
    if waiter is not None:
        withdraw(d, waiter, reasons.CALLER_GONE)
        pump(d, [request.resource for request in waiter.requests])
    return Done(sequence=d.state.sequence)


def time_out(d: Deciding, waiter: WaiterRow) -> None:
    """L6: the wait is over."""
    d.emit(
        ResourceRequestTimedOut(
            request_sequence=waiter.request_sequence,
            holders=_in_the_way(d.state, waiter.requests, waiter.holder),
            position=lock_queues.position(d.state, d.state.index.places[waiter.request_sequence]),
            wait_time_seconds=_waited_seconds(d, waiter),
        ),
        reason=reasons.WAIT_TIMED_OUT,
        cause=waiter.request_sequence,
        about=subjects.of_holder(d.state, waiter.session_id, waiter.attempt_token, waiter.traceparent),
    )
    pump(d, [request.resource for request in waiter.requests])


def withdraw(d: Deciding, waiter: WaiterRow, reason: str) -> None:
    """The request waits no more. The caller of this pumps its resources."""
    d.emit(
        ResourceRequestWithdrawn(
            request_sequence=waiter.request_sequence, wait_time_seconds=_waited_seconds(d, waiter)
        ),
        reason=reason,
        cause=waiter.request_sequence,
        about=subjects.of_holder(d.state, waiter.session_id, waiter.attempt_token, waiter.traceparent),
    )


def _waited_seconds(d: Deciding, waiter: WaiterRow) -> float:
    return (d.now_ns - waiter.since_ns) / NS_PER_SECOND


def end_holdings(d: Deciding, grants: Iterable[int], waiters: Iterable[int], ended: Event, reason: str) -> list[str]:
    """All locks and waits of an attempt or a session end with it. Returns the resources to pump."""
    about = subjects.of_event(ended)
    resources: dict[str, None] = {}
    for sequence in list(waiters):
        waiter = d.state.waiters[sequence]
        payload = ResourceRequestWithdrawn(request_sequence=sequence, wait_time_seconds=_waited_seconds(d, waiter))
        d.emit(payload, reason=reason, cause=ended.sequence, about=about)
        resources.update(dict.fromkeys(request.resource for request in waiter.requests))
    for token in list(grants):
        grant = d.state.grants[token]
        released = ResourceReleased(
            resource=grant.resource,
            holder=grant.holder,
            fencing_token=token,
            hold_time_seconds=(d.now_ns - grant.granted_at_ns) / NS_PER_SECOND,
        )
        d.emit(released, reason=reason, cause=ended.sequence, about=about)
        resources[grant.resource] = None
    return list(resources)


def grant_task_locks(d: Deciding, task_locks: tuple[TaskLock, ...], assigned: Event) -> None:
    """The locks that a task declares, granted with its assignment."""
    for lock in task_locks:
        d.emit(
            ResourceAcquired(
                request_sequence=assigned.sequence,
                resource=lock.resource,
                mode=lock.mode,
                holder=f"attempt/{assigned.sequence}",
                session_id=d.state.attempts[assigned.sequence].session_id,
                attempt_token=assigned.sequence,
                guards=lock.guards,
            ),
            reason=reasons.TASK_LOCK,
            cause=assigned.sequence,
            about=subjects.of_event(assigned),
        )


def take_up(d: Deciding, waiters: list[WaiterRow], reason: str, cause: int) -> None:
    """Detached waiters are there again, in their old places; who would close a cycle by that is refused (L4, L6)."""
    state = d.state
    returned, freed = [], []
    for waiter in waiters:
        if waiter.attached:
            continue
        place = state.index.places[waiter.request_sequence]
        ahead = wait_for.look_ahead(state, place, d.now_ns)
        about = subjects.of_holder(state, waiter.session_id, waiter.attempt_token, waiter.traceparent)
        if ahead.cycle:
            payload = ResourceRequestRefused(
                request_sequence=waiter.request_sequence,
                resource=waiter.requests[0].resource,
                holders=_in_the_way(state, waiter.requests, waiter.holder),
                cycle=wait_for.waits(state, ahead.cycle, place),
            )
            d.emit(payload, reason=reasons.DEADLOCK, cause=cause, about=about)
            freed += [request.resource for request in waiter.requests]
            continue
        reattached = ResourceRequestReattached(
            request_sequence=waiter.request_sequence,
            passes=tuple(sorted(ahead.passes)),
            passed_by=tuple(sorted(ahead.passed_by)),
        )
        d.emit(reattached, reason=reason, cause=cause, about=about)
        returned.append(waiter)
    pump(d, [*freed, *(request.resource for waiter in returned for request in waiter.requests)])
    for waiter in returned:
        # What its holder has by now is free to it wherever it stands in the queue (L5).
        if waiter.request_sequence in state.waiters:
            _grant_if_free(d, waiter)


def pump(d: Deciding, resources: Iterable[str]) -> None:
    """Grants to those whose turn it is on resources where something changed."""
    state = d.state
    for resource in dict.fromkeys(resources):
        if resource in state.index.lock_queues:
            _pump_one(d, resource)
        if state.index.parked:
            state.open_gate(lock_queues.gate(resource, LockMode.SHARED))
            state.open_gate(lock_queues.gate(resource, LockMode.EXCLUSIVE))


def _pump_one(d: Deciding, resource: str) -> None:
    state = d.state
    while (first := lock_queues.first(state, resource, d.now_ns)) is not None:
        waiter = state.waiters[first.sequence]
        if not (waiter.attached and _grant_if_free(d, waiter)):
            break
    row = state.locks.get(resource)
    if first is None or (row is not None and row.mode is LockMode.EXCLUSIVE):
        return
    # The first in line has to wait. Others may go on before it only where they do not conflict with it (L2, L5): up to
    # the first that wants the lock for itself alone, and behind that one the requests of the same holder; and those who
    # pass others.
    exclusively = first.wants[resource] is LockMode.EXCLUSIVE
    for place in [first] if exclusively else lock_queues.waiting_for(state, resource):
        _grant_place(d, place.sequence)
        if place.wants[resource] is LockMode.EXCLUSIVE and place.blocks and place.sequence in state.waiters:
            _grant_own(d, [resource], place.holder)
            break
    queue = state.index.lock_queues.get(resource)
    if queue is not None and queue.passing:
        for sequence in sorted(queue.passing, key=lambda each: state.index.places[each].key):
            _grant_place(d, sequence)


def _grant_place(d: Deciding, sequence: int) -> None:
    waiter = d.state.waiters.get(sequence)
    if waiter is not None and waiter.attached:
        _grant_if_free(d, waiter)


def _grant_if_free(d: Deciding, waiter: WaiterRow, *, in_turn: bool = False, others: bool = True) -> bool:
    """in_turn is for a request that no earlier one of its holder could be granted before; without others its caller
    looks at the other requests of the holder.
    """
    place = d.state.index.places[waiter.request_sequence]
    if lock_queues.is_blocked(d.state, place, d.now_ns):
        return False
    if not in_turn and len(d.state.index.waits_of[place.holder]) > 1:
        _grant_own(d, list(place.wants), place.holder, before=place.key)
        if waiter.request_sequence not in d.state.waiters:
            return True
        if lock_queues.is_blocked(d.state, place, d.now_ns):
            return False
    _grant(d, waiter.requests, waiter.holder, waiter.session_id, waiter.attempt_token, reasons.NEXT_IN_LINE, waiter)
    if others:
        _grant_others_of(d, waiter.requests, waiter.holder)
    return True


def _grant_others_of(d: Deciding, requests: tuple[LockRequest, ...], holder: str) -> None:
    """L5: whoever holds a lock now waits for it no more with its other requests, and may have all of theirs."""
    if holder in d.state.index.waits_of:
        _grant_own(d, [request.resource for request in requests], holder)


def _grant_own(d: Deciding, resources: list[str], holder: str, before: QueueKey | None = None) -> None:
    """What a holder waits for on some resources, as far as it is free, in the order of its requests; then what it waits
    for on those that it was granted by that. A loop: there may be thousands.
    """
    index = d.state.index
    while resources:
        own = {sequence for resource in resources for sequence in index.waiting.get((resource, holder), ())}
        places = [index.places[each] for each in own] if before is None or len(own) > 1 else []
        in_turn = sorted((place.key, place.sequence) for place in places if before is None or place.key < before)
        looked_at = set(resources)
        granted: dict[str, LockMode] = {}
        for _, sequence in in_turn:
            waiter = d.state.waiters.get(sequence)
            if waiter is None or not waiter.attached:
                continue
            wants = index.places[sequence].wants
            if _grant_if_free(d, waiter, in_turn=wants.keys() <= looked_at, others=False):
                granted.update(wants)
        resources, before = list(granted), None


def _grant(
    d: Deciding,
    requests: tuple[LockRequest, ...],
    holder: str,
    session_id: int,
    attempt_token: int,
    reason: str,
    asked: Event | WaiterRow,
) -> Acquired:
    """Grants all of a request: of one that was just made, or of one that waited."""
    state = d.state
    sequence = asked.request_sequence if isinstance(asked, WaiterRow) else asked.sequence
    about = subjects.of_holder(state, session_id, attempt_token, asked.traceparent)
    waited = _waited_seconds(d, asked) if isinstance(asked, WaiterRow) else 0.0
    grants = []
    for request in requests:
        row = state.locks.get(request.resource)
        existing = row.holders.get(holder, 0) if row is not None else 0
        why = reasons.LOCK_HELD_ALREADY if existing else reason
        if row is not None and why is reasons.LOCK_FREE:
            why = reasons.LOCK_SHARED
        event = d.emit(
            ResourceAcquired(
                request_sequence=sequence,
                resource=request.resource,
                mode=request.mode,
                holder=holder,
                lease_ns=request.lease_ns or LEASE_DEFAULT_NS,
                session_id=session_id,
                attempt_token=attempt_token,
                guards=request.guards,
                existing_token=existing,
                wait_time_seconds=waited,
            ),
            reason=why,
            cause=sequence,
            about=about,
        )
        grants.append(as_grant(state.grants[existing or event.sequence]))
    return Acquired(grants=tuple(grants), request_sequence=sequence)


def _release(d: Deciding, grant: GrantRow, reason: str, *, whole: bool = False) -> str:
    d.emit(
        ResourceReleased(
            resource=grant.resource,
            holder=grant.holder,
            fencing_token=grant.token,
            remaining=0 if whole else grant.count - 1,
            hold_time_seconds=(d.now_ns - grant.granted_at_ns) / NS_PER_SECOND,
        ),
        reason=reason,
        cause=grant.token,
        about=subjects.of_holder(d.state, grant.session_id, grant.attempt_token, d.caller.traceparent),
    )
    return grant.resource


def _record_refusal(
    d: Deciding,
    refusal: Deadlock | LockUpgrade | LockTimeout,
    requests: tuple[LockRequest, ...],
    holder: str,
    requested: Event,
) -> None:
    reason = reasons.LOCK_TIMEOUT
    if not isinstance(refusal, LockTimeout):
        reason = reasons.LOCK_UPGRADE if isinstance(refusal, LockUpgrade) else reasons.DEADLOCK
    d.emit(
        ResourceRequestRefused(
            request_sequence=requested.sequence,
            resource=refusal.resource if isinstance(refusal, LockUpgrade) else requests[0].resource,
            holders=_in_the_way(d.state, requests, holder),
            cycle=refusal.cycle if isinstance(refusal, Deadlock) else (),
        ),
        reason=reason,
        cause=requested.sequence,
        about=subjects.of_event(requested),
    )


def _check_request(state: NamespaceState, requests: tuple[LockRequest, ...]) -> None:
    holder = requests[0].holder
    if len(requests) > 1:
        named: set[str] = set()
        for number, request in enumerate(requests):
            if request.resource in named:
                raise InvalidField((f"requests[{number}].resource", f"{request.resource!r} is named twice"))
            if request.holder != holder:
                raise InvalidField((f"requests[{number}].holder", "must be the same in all requests of a call"))
            named.add(request.resource)
    if holder.startswith(HOLDERS_RESERVED):
        raise InvalidField(("requests[0].holder", f"must not begin with {' or '.join(HOLDERS_RESERVED)}"))
    if len(state.grants) + len(requests) > state.limits.locks_max:
        raise LimitReached("locks_max", state.limits.locks_max)


def _holder(d: Deciding, named: str, sequence: int) -> str:
    """L1: the attempt, else the session, else the name given, else the request itself."""
    if d.caller.attempt_token:
        return f"attempt/{d.caller.attempt_token}"
    if d.caller.session_id:
        return f"session/{d.caller.session_id}"
    return named or f"request/{sequence}"


def _check_holder(d: Deciding, requests: tuple[LockRequest, ...]) -> None:
    """L5: a holder's requests never conflict with each other, so nobody may ask under a name that is another's."""
    holder = requests[0].holder
    for request in requests:
        row = d.state.locks.get(request.resource)
        token = 0 if row is None else row.holders.get(holder, 0)
        others = {d.state.grants[token].principal} if token else set()
        waiting = d.state.index.waiting.get((request.resource, holder), ())
        others.update(d.state.waiters[sequence].principal for sequence in waiting)
        if others - {d.caller.principal}:
            raise PermissionDenied(f"the holder {holder} of {request.resource} belongs to another principal")


def _may_release(d: Deciding, grant: GrantRow) -> bool:
    if grant.session_id and d.caller.session_id:
        return grant.session_id == d.caller.session_id
    if grant.attempt_token:
        return grant.attempt_token == d.caller.attempt_token
    return grant.principal == d.caller.principal


def _upgrade_refused(state: NamespaceState, requests: tuple[LockRequest, ...], holder: str) -> LockUpgrade | None:
    for request in requests:
        row = state.locks.get(request.resource)
        if row is None or holder not in row.holders:
            continue
        if row.mode is LockMode.SHARED and request.mode is LockMode.EXCLUSIVE:
            return LockUpgrade(request.resource, row.holders[holder])
    return None


# Looking.


def _is_free(state: NamespaceState, requests: tuple[LockRequest, ...], holder: str) -> bool:
    """Whether it is plain that nobody is in the way."""
    for request in requests:
        row = state.locks.get(request.resource)
        if row is not None and holder not in row.holders and LockMode.EXCLUSIVE in (request.mode, row.mode):
            return False
        if request.resource in state.index.lock_queues or request.resource in state.index.claims:
            return False
    return True


def _place(requests: tuple[LockRequest, ...], holder: str, key: QueueKey) -> Place:
    wants = {request.resource: request.mode for request in requests}
    return Place(sequence=key[2], key=key, holder=holder, wants=wants)


def as_grant(row: GrantRow) -> LockGrant:
    """What a holder is told of its lock."""
    return LockGrant(
        resource=row.resource,
        mode=row.mode,
        holder=row.holder,
        fencing_token=row.token,
        lease_ns=row.lease_ns or None,
    )


def _grants_of(state: NamespaceState, tokens: tuple[int, ...]) -> tuple[LockGrant, ...]:
    return tuple(as_grant(state.grants[token]) for token in tokens)


def _in_the_way(state: NamespaceState, requests: tuple[LockRequest, ...], holder: str) -> tuple[LockGrant, ...]:
    found: list[LockGrant] = []
    for request in requests:
        row = state.locks.get(request.resource)
        if row is None or holder in row.holders:
            continue
        if request.mode is LockMode.EXCLUSIVE or row.mode is LockMode.EXCLUSIVE:
            found.extend(as_grant(state.grants[token]) for token in row.holders.values())
        if len(found) >= HOLDERS_NAMED_MAX:
            break
    return tuple(found[:HOLDERS_NAMED_MAX])
