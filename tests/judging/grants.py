"""Every grant of a lock there ever was, from the events alone: from when to when it stood, whose it was, and what it
guarded meanwhile.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field

from coordinator_service.core import events as e
from coordinator_service.core.events import Event
from coordinator_service.core.values import path_covers


@dataclass(slots=True)
class Grant:
    """It stood after its token and until released_at, 0 when it never was released."""

    token: int
    resource: str
    principal: str
    session_id: int
    attempt_token: int
    released_at: int = 0
    guards: dict[str, int] = field(default_factory=dict)
    """Paths, and since which sequence."""

    def stands(self, at: int) -> bool:
        """Whether what was decided as the event at a sequence was decided under it."""
        return self.token < at and not 0 < self.released_at < at


class GrantHistory:
    """Looks back on a whole log."""

    def __init__(self, events: list[Event]) -> None:
        self.grants: dict[int, Grant] = {}
        self._guarding: list[Grant] = []
        requested: dict[int, Event] = {}
        for event in events:
            payload = event.payload
            if isinstance(payload, e.ResourceRequested):
                requested[event.sequence] = event
            elif isinstance(payload, e.ResourceAcquired):
                self._acquired(event, payload, requested.get(payload.request_sequence))
            elif isinstance(payload, e.ResourceReleased) and not payload.remaining:
                self.grants[payload.fencing_token].released_at = event.sequence

    def held(self, resource: str, token: int, at: int) -> bool:
        """L8: whether a lock stood under its token when the event at a sequence was decided."""
        grant = self.grants.get(token)
        return grant is not None and grant.resource == resource and grant.stands(at)

    def guarding(self, path: str, at: int, *, clears: bool) -> Iterator[Grant]:
        """S6: whose locks guarded a path then, or with clears anything that lies under it."""
        for grant in self._guarding:
            if grant.stands(at):
                for guarded, since in grant.guards.items():
                    if since < at and (path_covers(guarded, path) or (clears and path_covers(path, guarded))):
                        yield grant
                        break

    def _acquired(self, event: Event, payload: e.ResourceAcquired, asked: Event | None) -> None:
        token = payload.existing_token or event.sequence
        if token not in self.grants:
            principal = event.principal if asked is None else asked.principal
            self.grants[token] = Grant(token, payload.resource, principal, payload.session_id, payload.attempt_token)
        grant = self.grants[token]
        if payload.guards:
            if not grant.guards:
                self._guarding.append(grant)
            grant.guards.setdefault(payload.guards, event.sequence)
