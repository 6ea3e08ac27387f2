"""Which changes of shared state concern a key, some keys, or everything under a path."""

from __future__ import annotations

from dataclasses import dataclass

from coordinator_service.core.events import Event, EventType, StateUpdated
from coordinator_service.core.values import path_covers
from coordinator_service.subscriptions import Selector


@dataclass(frozen=True, slots=True, kw_only=True)
class StateSelector(Selector):
    """Selects STATE_UPDATED events by path. Without keys, everything at and under prefix; without that, everything."""

    types: frozenset[EventType] = frozenset((EventType.STATE_UPDATED,))
    keys: frozenset[str] = frozenset()
    prefix: str = ""

    def matches(self, event: Event) -> bool:
        """Whether an event changes, or clears, what is asked for."""
        payload = event.payload
        return isinstance(payload, StateUpdated) and (
            self.clears(payload)
            or any(self.covers(update.key) for update in payload.updates)
            or any(self.covers(key) for key in payload.deletes)
        )

    def covers(self, key: str) -> bool:
        """Whether a key is asked for."""
        return key in self.keys if self.keys else path_covers(self.prefix, key)

    def clears(self, payload: StateUpdated) -> bool:
        """Whether a change takes away a path that has to do with what is asked for."""
        if not payload.prefix:
            return False
        if self.keys:
            return any(path_covers(payload.prefix, key) for key in self.keys)
        return path_covers(self.prefix, payload.prefix) or path_covers(payload.prefix, self.prefix)
