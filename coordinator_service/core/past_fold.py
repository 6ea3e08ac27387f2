"""The past of shared state, folded again from its events where memory no longer has it (S1, D8)."""

from __future__ import annotations

from collections.abc import Iterable

from coordinator_service.core import past_state, shared_state
from coordinator_service.core.answers import StateRead
from coordinator_service.core.commands import GetState
from coordinator_service.core.events import Event, StateUpdated
from coordinator_service.core.limits import Limits
from coordinator_service.core.sorted_keys import SortedKeys
from coordinator_service.core.state import NamespaceState, Tables


class PastFold:
    """Shared state alone, from the tables of a snapshot or from nothing."""

    def __init__(self, namespace: str, tables: Tables | None = None) -> None:
        self._state = NamespaceState(namespace)
        self._state.limits = Limits(state_history_values_max=0)
        if tables is not None:
            self._state.entries = tables.entries
            self._state.index.keys = SortedKeys(tables.entries)

    def take(self, happened: Iterable[Event]) -> None:
        """The next events of the log; those that do not change shared state are passed over."""
        for event in happened:
            if isinstance(event.payload, StateUpdated):
                shared_state.apply_change(self._state, event, event.payload)

    def answer(self, asked: GetState) -> StateRead:
        """What keys held, once every event up to the revision asked for was taken."""
        return past_state.read_now(self._state, asked)
