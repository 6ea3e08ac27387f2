"""What was said, held to the log: whatever was acknowledged is there, and whatever was refused was rightly refused."""

from __future__ import annotations

from coordinator_service.core import events as e
from coordinator_service.core.answers import Acquired, Done, Published, RunAccepted
from coordinator_service.core.commands import CompleteTask, DeleteState, FailTask, Publish, SubmitRun, UpdateState
from coordinator_service.core.events import Event
from coordinator_service.core.rejections import StaleFence
from tests.judging.grants import GrantHistory
from tests.judging.history import History
from tests.judging.lock_history import require
from tests.simulation.ledger import Ledger, Told
from tests.simulation.state_history import StateHistory

_REQUESTS = (UpdateState, DeleteState, SubmitRun, CompleteTask)


def check_told(ledger: Ledger, events: list[Event], history: History) -> None:
    """D3, D5, L8: what was acknowledged is in the log, as it was told, and was allowed. S3 to S7: nobody was refused
    without a conflict, and no conflict was passed over."""
    at = {event.sequence: event for event in events}
    grants = GrantHistory(events)
    states = StateHistory(events, grants)
    for told in ledger.answers:
        outcome = told.outcome
        if isinstance(outcome, Published):
            _check_published(told, outcome, at)
            _check_alive(told, max(outcome.sequences), history)
            _check_fences(told, max(outcome.sequences), grants)
        elif isinstance(outcome, Done | RunAccepted) and isinstance(told.command, _REQUESTS):
            _check_done(told, outcome.sequence, at)
            _check_alive(told, outcome.sequence, history)
            _check_fences(told, outcome.sequence, grants)
        elif isinstance(outcome, StaleFence):
            _check_stale(told, grants)
        elif isinstance(outcome, Acquired):
            _check_acquired(outcome, at)
        if isinstance(told.command, CompleteTask) and isinstance(outcome, Done):
            known = told.command.attempt_token in history.completed
            require(known, f"4: the completion of {told.command.attempt_token} was accepted and is not in the log")
        if isinstance(told.command, UpdateState | DeleteState):
            states.check(told, told.command)


def _check_published(told: Told, outcome: Published, at: dict[int, Event]) -> None:
    assert isinstance(told.command, Publish)
    require(len(outcome.sequences) == len(told.command.drafts), f"D3: {told.asked}: not all were told")
    for draft, sequence in zip(told.command.drafts, outcome.sequences, strict=True):
        event = at.get(sequence)
        payload = None if event is None else event.payload
        same = isinstance(payload, e.CustomEvent) and (payload.name, payload.data or b"") == (draft.name, draft.data)
        require(same, f"D3: {draft.name} was acknowledged as {sequence}, where there is something else")


def _check_done(told: Told, sequence: int, at: dict[int, Event]) -> None:
    event = at.get(sequence)
    require(event is not None, f"D3: acknowledged {sequence} is not in the log")
    assert event is not None
    first = event
    while first.request is None and first.sequence - 1 in at:
        first = at[first.sequence - 1]  # the first event of a decision says whose it is
    same = first.request is not None and first.request.request_id == told.asked.request_id
    require(same, f"D5: {told.asked} was told of {sequence}, which is another's")


def _check_acquired(outcome: Acquired, at: dict[int, Event]) -> None:
    for grant in outcome.grants:
        acquired = at[grant.fencing_token].payload
        held = isinstance(acquired, e.ResourceAcquired) and acquired.resource == grant.resource
        require(held, f"L8: fencing token {grant.fencing_token} is no grant of {grant.resource}")


def _check_fences(told: Told, sequence: int, grants: GrantHistory) -> None:
    """L8: what named locks was decided while they were held."""
    for fence in told.caller.fences:
        held = grants.held(fence.resource, fence.fencing_token, sequence)
        require(held, f"L8: {told.asked} took effect at {sequence}, when {fence} was not held")


def _check_stale(told: Told, grants: GrantHistory) -> None:
    """L8: what was refused for a lock had lost one."""
    lost = any(
        fence.fencing_token not in grants.grants or grants.grants[fence.fencing_token].released_at
        for fence in told.caller.fences
    )
    require(lost, f"L8: {told.asked} was refused, and never lost any of its locks")


def _check_alive(told: Told, sequence: int, history: History) -> None:
    """L8, R8: what is done in an attempt or a session is done while it lives."""
    token = told.asked.attempt_token
    if isinstance(told.command, CompleteTask | FailTask):
        token = told.command.attempt_token
    if token:
        ended = history.attempts_ended.get(token, sequence)
        require(token < sequence <= ended, f"L8: {told.asked} at {sequence} is of attempt {token}, over at {ended}")
    session_id = told.asked.session_id
    if session_id:
        ended = history.sessions_ended.get(session_id, sequence)
        require(sequence <= ended, f"L8: {told.asked} at {sequence} is of session {session_id}, over at {ended}")
