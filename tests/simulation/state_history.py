"""Who changed what, from the events alone: whether two writers met can be told by looking at all that came before."""

from __future__ import annotations

from dataclasses import dataclass

from coordinator_service.core import events as e
from coordinator_service.core import reasons
from coordinator_service.core.answers import Done
from coordinator_service.core.commands import DeleteState, UpdateState
from coordinator_service.core.conflicts import RESOURCE_CONFLICT
from coordinator_service.core.events import Event
from coordinator_service.core.rejections import StateConflict
from coordinator_service.core.specs import StateChange
from coordinator_service.core.values import MergeStrategy, path_covers
from tests.judging.grants import Grant, GrantHistory
from tests.judging.lock_history import require
from tests.simulation.ledger import Told


@dataclass(frozen=True, slots=True)
class _Change:
    sequence: int
    time_ns: int
    writer: str
    path: str
    appends: bool


class StateHistory:
    """Every change of shared state, and the conflict window at each time."""

    def __init__(self, events: list[Event], grants: GrantHistory) -> None:
        self._grants = grants
        self._at = {event.sequence: event for event in events}
        self._changes: list[_Change] = []
        self._windows: list[tuple[int, int]] = []
        for event in events:
            if isinstance(event.payload, e.StateUpdated) and event.reason != reasons.TASK_RESULT:
                self._changes += _changes(event, event.payload)
            elif isinstance(event.payload, e.PolicyChanged):
                default = next(each for each in event.payload.policies if each.name == "default")
                self._windows.append((event.sequence, default.conflict_window_ns or 0))

    def check(self, told: Told, command: UpdateState | DeleteState) -> None:
        """S3 to S7: a write that met another's was refused or says so in the log; no other was refused. None went past
        the lock that guards its path."""
        outcome, change = told.outcome, _change_of(command)
        if isinstance(outcome, Done):
            event = self._first_update(outcome.sequence)
            assert isinstance(event.payload, e.StateUpdated)
            # The first event of a decision says whose it is: if that is not the change, it is the conflict.
            said = event.request is None or event.request.request_id != told.asked.request_id
            met = self._meets(told, change, event, event.payload.writer)
            guards = self._in_the_way(told, change, outcome.sequence)
            require(not guards, f"S6: {told.asked} at {outcome.sequence} went past {guards}")
            require(said or met is None, f"S5: {told.asked} at {event.sequence} met {met}, and nobody was told")
            require(not said or met is not None, f"S7: {told.asked} at {event.sequence} met nobody, and was said to")
        elif isinstance(outcome, StateConflict):
            event = self._at[outcome.conflict_sequence]
            assert isinstance(event.payload, e.ConflictDetected)
            if event.payload.conflict_type == RESOURCE_CONFLICT:
                guards = self._in_the_way(told, change, event.sequence)
                require(guards, f"S6: {told.asked} was refused at {event.sequence}, and nobody else guards its path")
                return
            met = self._meets(told, change, event, event.payload.writer)
            require(met is not None, f"S7: {told.asked} was refused at {event.sequence}, and met nobody")

    def _first_update(self, sequence: int) -> Event:
        event = self._at[sequence]
        while not isinstance(event.payload, e.StateUpdated):
            event = self._at[event.sequence + 1]
        return event

    def _in_the_way(self, told: Told, change: StateChange, at: int) -> list[Grant]:
        """S6: the grants that guard one of its paths, of locks that who asked does not hold too: those who share a lock
        may all write."""
        found = []
        for path in _paths(change):
            standing = list(self._grants.guarding(path, at, clears=path == change.prefix))
            own = {each.resource for each in standing if _holds(told, each)}
            found += [each for each in standing if each.resource not in own]
        return found

    def _meets(self, told: Told, change: StateChange, event: Event, writer: str) -> _Change | None:
        """The change of somebody else that a write decided with an event conflicts with."""
        token = told.asked.attempt_token
        base = change.base_revision if change.base_revision is not None else token or None
        besides = writer if token or base is None else None
        since_ns = event.time_ns - self._window_ns(event.sequence)
        appends = change.strategy is MergeStrategy.APPEND
        paths = _paths(change)
        for other in reversed(self._changes):
            if other.sequence >= event.sequence or other.writer == besides or (appends and other.appends):
                continue
            if other.sequence <= base if base is not None else other.time_ns <= since_ns:
                break  # so were all before it
            if any(path_covers(other.path, path) or path_covers(path, other.path) for path in paths):
                return other
        return None

    def _window_ns(self, sequence: int) -> int:
        return next((window for since, window in reversed(self._windows) if since < sequence), 0)


def _change_of(command: UpdateState | DeleteState) -> StateChange:
    if isinstance(command, UpdateState):
        return command.change
    return StateChange(
        strategy=MergeStrategy.REPLACE,
        prefix=command.prefix,
        deletes=command.keys,
        base_revision=command.base_revision,
    )


def _paths(change: StateChange) -> list[str]:
    prefix = [change.prefix] if change.prefix and change.strategy is MergeStrategy.REPLACE else []
    return [*(update.key for update in change.updates), *change.deletes, *prefix]


def _holds(told: Told, grant: Grant) -> bool:
    """S6: whether who asked had that lock: in its attempt, in its session, or by naming it."""
    if grant.attempt_token:
        return grant.attempt_token == told.asked.attempt_token
    if grant.session_id and grant.session_id != told.asked.session_id:
        return False
    if grant.session_id and not told.asked.attempt_token:
        return True
    named = {fence.fencing_token for fence in told.caller.fences}
    return grant.principal == told.caller.principal and grant.token in named


def _changes(event: Event, payload: e.StateUpdated) -> list[_Change]:
    paths = [*(update.key for update in payload.updates), *payload.deletes]
    if payload.prefix and payload.merge_strategy is MergeStrategy.REPLACE:
        paths.append(payload.prefix)
    appends = payload.merge_strategy is MergeStrategy.APPEND
    return [_Change(event.sequence, event.time_ns, payload.writer, path, appends) for path in paths]
