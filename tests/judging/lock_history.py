"""What must hold of locks over the whole log: who holds, who waits, and whose turn it is.

Written against the events alone. It keeps its own queues, as simple as they can be, and knows nothing of the core's.
"""

from __future__ import annotations

from dataclasses import dataclass

from coordinator_service.core import events as e
from coordinator_service.core.events import Event
from coordinator_service.core.invariants import InvariantBroken
from coordinator_service.core.values import NS_PER_MS, LockMode


def require(holds: object, what: str) -> None:
    """Raises InvariantBroken unless it holds."""
    if not holds:
        raise InvariantBroken(what)


@dataclass(slots=True)
class _Waiter:
    sequence: int
    holder: str
    session_id: int
    in_run: bool
    modes: dict[str, LockMode]
    turn: int
    deadline_ns: int
    request: tuple[str, str, str] | None
    passed_by: tuple[int, ...] = ()
    """Later requests that its holder waited for when it was queued: they go first (L2)."""
    attached: bool = True
    entangled: bool = False
    """Somebody may wait for its holder for something else, and then it passes them (L2)."""

    def comes_before(self, other: _Waiter) -> bool:
        """R5, as far as it can be told without the load of a run."""
        if self.turn != other.turn:
            return self.turn < other.turn
        return not self.in_run and not other.in_run and self.sequence < other.sequence


class LockHistory:
    """Locks and those who wait for them, from the first event on."""

    def __init__(self) -> None:
        self._step_ns = 0
        self._waiters: dict[int, _Waiter] = {}
        self._granting: _Waiter | None = None
        self._at_once: _Waiter | None = None
        """The last request that did not have to wait."""
        self._holders: dict[str, dict[str, tuple[int, LockMode]]] = {}
        self._tokens: dict[str, int] = {}

    def read(self, event: Event) -> tuple[str, str, str] | None:
        """The next event. Returns the request that may be made again because of it. Raises InvariantBroken."""
        payload = event.payload
        if not isinstance(payload, e.ResourceAcquired):
            self._end_granting()
        if isinstance(payload, e.ResourceAcquired):
            self._acquired(event, payload)
        elif isinstance(payload, e.ResourceReleased):
            self._released(event, payload)
        elif isinstance(payload, e.ResourceRequested):
            self._requested(event, payload)
        elif isinstance(payload, e.ResourceRequestReattached):
            returned = self._waiters[payload.request_sequence]
            returned.attached, returned.passed_by = True, payload.passed_by
        elif isinstance(payload, e.ResourceRequestTimedOut):
            due_ns = self._end_wait(payload.request_sequence).deadline_ns
            require(event.time_ns >= due_ns, f"L6: {event.sequence} ends a wait {due_ns - event.time_ns} ns early")
        elif isinstance(payload, e.ResourceRequestRefused):
            self._waiters.pop(payload.request_sequence, None)
        elif isinstance(payload, e.ResourceRequestWithdrawn):
            return self._end_wait(payload.request_sequence).request
        elif isinstance(payload, e.OwnerStarted):
            self._step_ns = payload.limits["ageing_step_ms"] * NS_PER_MS
            for waiter in self._waiters.values():
                waiter.attached = False
        return None

    def attach(self, session_id: int, *, attached: bool) -> None:
        """What becomes of a session becomes of those who wait in it."""
        for waiter in self._waiters.values():
            if waiter.session_id == session_id:
                waiter.attached = attached

    def end(self) -> None:
        """The log ends here, at rest."""
        self._end_granting()
        require(not self._waiters, f"8: requests {list(self._waiters)} were never answered")

    def _requested(self, event: Event, payload: e.ResourceRequested) -> None:
        request = event.request
        # Whoever asks is there, even if the stream of its session is not back yet.
        waiter = _Waiter(
            sequence=event.sequence,
            holder=payload.holder,
            session_id=payload.session_id,
            in_run=bool(payload.attempt_token),
            modes={each.resource: each.mode for each in payload.requests},
            turn=(event.time_ns - payload.priority * self._step_ns) // self._step_ns,
            deadline_ns=payload.deadline_ns,
            request=None if request is None else (event.principal, request.method, request.request_id),
            passed_by=payload.passed_by,
        )
        waiter.entangled = any(payload.holder in holders for holders in self._holders.values())
        for other in self._waiters.values():
            if other.holder == waiter.holder:
                other.entangled = waiter.entangled = True
        if payload.deadline_ns:
            self._waiters[event.sequence] = waiter
        else:
            self._at_once = waiter

    def _acquired(self, event: Event, payload: e.ResourceAcquired) -> None:
        waiter = self._waiters.get(payload.request_sequence)
        if waiter is None and self._at_once is not None and self._at_once.sequence == payload.request_sequence:
            waiter = self._at_once
        if waiter is not self._granting:
            self._end_granting()
            self._granting = waiter
        require(waiter is None or waiter.attached, f"D6: {event.sequence} grants to a detached waiter")
        holders = self._holders.setdefault(payload.resource, {})
        if payload.existing_token:
            require(holders.get(payload.holder, (0,))[0] == payload.existing_token, f"L5: {event.sequence}")
            return
        for other, (token, mode) in holders.items():
            exclusive = LockMode.EXCLUSIVE in (mode, payload.mode)
            require(not exclusive, f"1: {payload.resource} is {other}'s ({token}) and granted at {event.sequence}")
        require(event.sequence > self._tokens.get(payload.resource, 0), f"2: fencing token {event.sequence}")
        if waiter is not None:
            self._check_turn(event, payload, waiter)
        self._tokens[payload.resource] = event.sequence
        holders[payload.holder] = (event.sequence, payload.mode)
        for other in self._waiters.values():
            other.entangled |= other.holder == payload.holder

    def _check_turn(self, event: Event, payload: e.ResourceAcquired, granted: _Waiter) -> None:
        if granted.entangled:
            return
        for other in self._waiters.values():
            mode = other.modes.get(payload.resource)
            if mode is None or not other.attached or other.holder == granted.holder:
                continue
            conflict = LockMode.EXCLUSIVE in (mode, payload.mode)
            behind = other.entangled and granted.sequence in other.passed_by
            passed = conflict and other.comes_before(granted) and not behind
            require(not passed, f"L2: {event.sequence} grants {payload.resource} past {other.sequence}")

    def _released(self, event: Event, payload: e.ResourceReleased) -> None:
        holders = self._holders[payload.resource]
        require(holders.get(payload.holder, (0,))[0] == payload.fencing_token, f"1: {event.sequence} releases nothing")
        if not payload.remaining:
            del holders[payload.holder]

    def _end_wait(self, sequence: int) -> _Waiter:
        require(sequence in self._waiters, f"8: request {sequence} does not wait, and its wait ends")
        return self._waiters.pop(sequence)

    def _end_granting(self) -> None:
        """After all grants of a request: it waits no more."""
        if self._granting is not None:
            self._waiters.pop(self._granting.sequence, None)
            self._granting = None
