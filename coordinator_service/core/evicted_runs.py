"""Evicted runs: those that ended long ago and are no longer in memory, told again from their events (D8)."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import replace
from typing import Any

from coordinator_service.core import added_tasks, attempts, events, explain, generations, runs, scheduler, views
from coordinator_service.core.answers import Explained, FromLog, ResultRead, RunRead
from coordinator_service.core.commands import Explain, GetRun, RetryRun
from coordinator_service.core.rejections import NotFound, Rejection
from coordinator_service.core.specs import AgentSpec
from coordinator_service.core.state import AgentRow, NamespaceState

_FOLDED: dict[type, Callable[[NamespaceState, events.Event, Any], None]] = {
    events.RunSubmitted: runs.apply_submitted,
    events.TaskAdded: runs.apply_task_added,
    events.TaskAssigned: scheduler.apply_assigned,
    events.AgentStarted: attempts.apply_started,
    events.TaskProgressed: attempts.apply_progressed,
    events.TaskCancelRequested: attempts.apply_stop_requested,
    events.AgentCompleted: attempts.apply_completed,
    events.AgentFailed: attempts.apply_failed,
    events.TaskRetryScheduled: attempts.apply_retry_scheduled,
    events.TaskSkipped: runs.apply_skipped,
    events.TaskCancelled: runs.apply_task_cancelled,
    events.RunCancelled: runs.apply_cancelled,
    events.RunCompleted: runs.apply_completed,
    events.RunExtended: added_tasks.apply_extended,
    events.RunRetried: generations.apply_retried,
    events.RunRestated: generations.apply_restated,
    events.TaskRestated: generations.apply_task_restated,
}


class EvictedRun:
    """A fold of one run's events alone. The agents it had are stood in for: nothing is asked of them."""

    def __init__(self, namespace: str, asked: FromLog) -> None:
        self._asked = asked
        self._state = NamespaceState(namespace)

    def take(self, happened: Iterable[events.Event]) -> None:
        """The next events of the log; those that are not the run's are passed over."""
        for event in happened:
            applier = _FOLDED.get(type(event.payload))
            if applier is None or event.run_id != self._asked.command.run_id:
                continue
            if isinstance(event.payload, events.TaskAssigned):
                self._state.agents.setdefault(event.agent_id, _stand_in(event))
            applier(self._state, event, event.payload)

    def answer(self) -> RunRead | ResultRead | Explained | RetryRun | Rejection:
        """What was asked, once every event up to the run's last was taken; or the command with what it lacked (D8)."""
        command = self._asked.command
        run = self._state.runs.get(command.run_id)
        if run is None:
            return NotFound("run", command.run_id)
        if isinstance(command, RetryRun):
            restated, tasks = generations.restatement(run)
            return replace(command, restated=restated, restated_tasks=tasks, traceparent=run.traceparent)
        if isinstance(command, GetRun):
            return views.read_run(run, command, self._asked.sequence)
        try:
            if isinstance(command, Explain):
                present = explain.Present.of(self._state, run.finished_at_ns)
                found = present.run_or_task(run.run_id, command.task_id)
                return replace(found, explanation=replace(found.explanation, sequence=self._asked.sequence))
            return views.view_result(run, command)
        except NotFound as nothing:
            return nothing


def _stand_in(event: events.Event) -> AgentRow:
    spec = AgentSpec(agent_id=event.agent_id, agent_name=event.agent_name)
    return AgentRow(spec=spec, principal="", session_id=0, lease_ns=0, registered_at_ns=0)
