"""A decision in the making: what it may look at, and the one way in which it makes something happen."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from coordinator_service.core.commands import Caller
from coordinator_service.core.events import Event, Payload, RequestRecord
from coordinator_service.core.rejections import PermissionDenied
from coordinator_service.core.state import NamespaceState
from coordinator_service.core.subjects import NOBODY, Subject

_NO_METADATA: dict[str, str] = {}


class Deciding:
    """Gathers the events of one decision.

    Each is applied as it is emitted, so that what follows sees what went before: a completion and the assignments it
    frees are one decision and one batch (R9).
    """

    __slots__ = ("_apply", "caller", "events", "now_ns", "remembers", "state")

    def __init__(
        self, state: NamespaceState, caller: Caller, now_ns: int, apply: Callable[[NamespaceState, Event], None]
    ) -> None:
        self.state = state
        self.caller = caller
        self.now_ns = now_ns
        self.events: list[Event] = []
        self.remembers = True
        """Whether the events are what the caller's request is remembered by (D5)."""
        self._apply = apply

    def require_own(self, principal: str, what: str) -> None:
        """Raises PermissionDenied for what belongs to another principal, where the caller is kept to its own."""
        if self.caller.own_only and principal != self.caller.principal:
            raise PermissionDenied(f"{what} belongs to another principal", needed={"role": "operator"})

    def emit(
        self,
        payload: Payload,
        *,
        reason: str,
        cause: int = 0,
        about: Subject = NOBODY,
        event_id: str = "",
        metadata: Mapping[str, str] | None = None,
    ) -> Event:
        """Makes something happen."""
        caller = self.caller
        request = None
        if caller.request_id and self.remembers and not self.events:
            request = RequestRecord(method=caller.method, request_id=caller.request_id, digest=caller.digest, count=1)
        event = Event(
            sequence=self.state.sequence + 1,
            time_ns=self.now_ns,
            payload=payload,
            cause=cause,
            reason=reason,
            agent_id=about.agent_id,
            agent_name=about.agent_name,
            run_id=about.run_id,
            task_id=about.task_id,
            traceparent=about.traceparent or caller.traceparent,
            principal=caller.principal,
            event_id=event_id,
            metadata=_NO_METADATA if metadata is None else dict(metadata),
            request=request,
        )
        self._apply(self.state, event)
        self.events.append(event)
        return event
