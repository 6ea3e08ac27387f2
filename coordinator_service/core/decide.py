"""From a command to the noun that owns it; what every decision has in common is here."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

from coordinator_service.core import (
    added_tasks,
    agents,
    attempts,
    commands,
    custom_events,
    deadlines,
    explain,
    generations,
    locks,
    ownership,
    past_state,
    policies,
    requests,
    runs,
    scheduler,
    shared_state,
    views,
)
from coordinator_service.core.answers import Answer, Recall
from coordinator_service.core.apply import apply
from coordinator_service.core.commands import Caller, Command
from coordinator_service.core.deciding import Deciding
from coordinator_service.core.events import Event
from coordinator_service.core.rejections import Rejection, SessionOver
from coordinator_service.core.state import NamespaceState


class Decision(NamedTuple):
    """The events that follow from a command, in order, one atomic batch (D3), and what the caller is told."""

    events: list[Event]
    answer: Answer | Rejection


_DECIDERS: dict[type, Callable[[Deciding, Any], Answer]] = {
    commands.StartOwner: ownership.decide_start_owner,
    commands.ChangePolicies: policies.decide_policies,
    commands.Tick: deadlines.decide_tick,
    commands.Publish: custom_events.decide_publish,
    commands.OpenSession: agents.decide_open,
    commands.ResumeSession: agents.decide_resume,
    commands.DetachSession: agents.decide_detach,
    commands.EndSession: agents.decide_end,
    commands.UpdateAgent: agents.decide_update,
    commands.DrainAgent: agents.decide_drain,
    commands.SubmitRun: runs.decide_submit,
    commands.PlanRun: runs.plan,
    commands.CancelRun: runs.decide_cancel,
    commands.AddTasks: added_tasks.decide_add,
    commands.RetryRun: generations.decide_retry,
    commands.StartTask: attempts.decide_start,
    commands.ProgressTask: attempts.decide_progress,
    commands.CompleteTask: attempts.decide_complete,
    commands.FailTask: attempts.decide_fail,
    commands.Acquire: locks.decide_acquire,
    commands.Release: locks.decide_release,
    commands.ExpireLock: locks.decide_expire,
    commands.WithdrawRequest: locks.decide_withdraw,
    commands.UpdateState: shared_state.decide_update,
    commands.DeleteState: shared_state.decide_delete,
    commands.GetState: past_state.read,
    commands.GetChangedValues: past_state.read_changed,
    commands.GetRun: views.get_run,
    commands.ListRuns: views.list_runs,
    commands.GetTaskResult: views.get_task_result,
    commands.GetAttempt: views.get_attempt,
    commands.GetAgent: views.get_agent,
    commands.ListAgents: views.list_agents,
    commands.GetLock: views.get_lock,
    commands.ListLocks: views.list_locks,
    commands.GetEnds: views.get_ends,
    commands.GetSummary: views.get_summary,
    commands.Explain: explain.explain,
}

_FENCED = (
    commands.Publish,
    commands.SubmitRun,
    commands.AddTasks,
    commands.RetryRun,
    commands.Acquire,
    commands.UpdateState,
    commands.DeleteState,
)
"""Commands that count only while the session and the attempt they are made in live (L8). Release always passes."""


def decide(state: NamespaceState, command: Command, caller: Caller, now_ns: int) -> Decision:
    """Decides one command at a namespace time, and advances the state by the events that follow.

    now_ns must not lie before the state's time. A Rejection that comes without events means that nothing
    happened. Any other exception is a fault: the state is no longer to be trusted and has to be folded again
    from the log.
    """
    d = Deciding(state, caller, now_ns, apply)
    answer: Answer | Rejection
    try:
        answer = _answer(d, command)
    except Rejection as rejection:
        answer = rejection
    index = state.index
    if (index.stirred or index.opened or index.freed or index.held_up) and (d.events or not caller.request_id):
        scheduler.settle(d)
    if d.events:
        _seal(state, d.events)
    return Decision(d.events, answer)


def _answer(d: Deciding, command: Command) -> Answer:
    caller = d.caller
    if caller.request_id:
        row = requests.remembered(d.state, caller, d.now_ns)
        if row is not None:
            if isinstance(command, commands.Acquire):
                d.remembers = False
                return locks.again(d, row)
            if isinstance(command, commands.OpenSession):
                return agents.decide_again(d, row)
            if isinstance(command, commands.Publish):
                return custom_events.again(d, command, row)
            return Recall(method=caller.method, first_sequence=row.first_sequence, count=row.count)
    if isinstance(command, _FENCED):
        if caller.session_id and caller.session_id not in d.state.index.sessions:
            raise SessionOver(caller.session_id)
        if caller.attempt_token:
            attempts.require(d, caller.attempt_token)
    if caller.fences:
        locks.check_fences(d)
    return _DECIDERS[type(command)](d, command)


def _seal(state: NamespaceState, events: list[Event]) -> None:
    """Writes into the first event, which says one, how many there are, and into the row that remembers it (D5)."""
    record = events[0].request
    if record is not None and record.count != len(events):
        record.count = len(events)
        row = state.requests.get(requests.request_key(events[0].principal, record.method, record.request_id))
        if row is not None and row.first_sequence == events[0].sequence:
            row.count = len(events)
