"""Who still has something to do, told from the log: time does not pass before they have done it.

An attempt is at work from its assignment until its report, except while it sleeps by the test's time, waits for a lock
that was not granted yet, or its agent has no stream.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from concert.v1 import event_pb2

E = event_pb2.EventType
_OVER = {
    E.EVENT_TYPE_AGENT_COMPLETED: "agent_completed",
    E.EVENT_TYPE_AGENT_FAILED: "agent_failed",
    E.EVENT_TYPE_TASK_CANCELLED: "task_cancelled",
}
_WAIT_OVER = {
    E.EVENT_TYPE_RESOURCE_ACQUIRED: "resource_acquired",
    E.EVENT_TYPE_RESOURCE_REQUEST_TIMED_OUT: "resource_request_timed_out",
    E.EVENT_TYPE_RESOURCE_REQUEST_REFUSED: "resource_request_refused",
    E.EVENT_TYPE_RESOURCE_REQUEST_WITHDRAWN: "resource_request_withdrawn",
}


@dataclass(frozen=True, slots=True)
class _Attempt:
    agent_id: str
    text: str


class Activity:
    """A fold of the log into what is under way."""

    def __init__(self) -> None:
        """Nothing is."""
        self.sequence = 0
        self.attached: set[str] = set()
        """Agents that have a stream."""
        self.runs_over: set[str] = set()
        self._attempts: dict[int, _Attempt] = {}
        self._started: set[int] = set()
        self._lock_waits: dict[int, int] = {}

    def take(self, events: Iterable[Any], rests: dict[int, int]) -> None:
        """Goes on with the next events. An attempt that was told to stop is woken from its `rests`."""
        for event in events:
            self.sequence = event.sequence
            self._take(event, rests)

    def at_work(self, rests: Mapping[int, int]) -> list[str]:
        """The attempts that have something to do, in words."""
        waiting = set(self._lock_waits.values())
        return [
            attempt.text
            for token, attempt in self._attempts.items()
            if attempt.agent_id in self.attached
            and (token not in self._started or (not rests.get(token) and token not in waiting))
        ]

    def _take(self, event: Any, rests: dict[int, int]) -> None:
        kind = event.type
        if kind == E.EVENT_TYPE_TASK_ASSIGNED:
            text = f"task {event.task_id}, attempt {event.task_assigned.attempt}, by {event.agent_id}"
            self._attempts[event.sequence] = _Attempt(event.agent_id, text)
        elif kind == E.EVENT_TYPE_AGENT_STARTED:
            self._started.add(event.agent_started.attempt_token)
        elif kind == E.EVENT_TYPE_TASK_CANCEL_REQUESTED:
            rests.pop(event.task_cancel_requested.attempt_token, None)
        elif kind in _OVER:
            self._attempts.pop(getattr(event, _OVER[kind]).attempt_token, None)
        elif kind == E.EVENT_TYPE_RESOURCE_REQUESTED:
            self._lock_waits[event.sequence] = event.resource_requested.attempt_token
        elif kind in _WAIT_OVER:
            self._lock_waits.pop(getattr(event, _WAIT_OVER[kind]).request_sequence, None)
        elif kind in (E.EVENT_TYPE_AGENT_REGISTERED, E.EVENT_TYPE_AGENT_ATTACHED):
            self.attached.add(event.agent_id)
        elif kind in (E.EVENT_TYPE_AGENT_DETACHED, E.EVENT_TYPE_AGENT_DISCONNECTED):
            self.attached.discard(event.agent_id)
        elif kind == E.EVENT_TYPE_RUN_COMPLETED:
            self.runs_over.add(event.run_id)
