"""What must hold of the whole log, and of what was told about it, once everything has come to rest.

Written against the events alone: it knows what each fact means, and nothing of how the core keeps its tables.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field

from coordinator_service.core import events as e
from coordinator_service.core.events import Event
from coordinator_service.core.values import RunStatus
from tests.judging.lock_history import LockHistory, require

_OPEN = -1


@dataclass(slots=True)
class _Run:
    running_max: int = 0
    depends_on: dict[str, tuple[str, ...]] = field(default_factory=dict)
    after: dict[str, tuple[str, ...]] = field(default_factory=dict)
    capabilities: dict[str, str] = field(default_factory=dict)
    live: dict[str, int] = field(default_factory=dict)
    succeeded: set[str] = field(default_factory=set)
    over: set[str] = field(default_factory=set)
    status: RunStatus | None = None


class History:
    """Reads the log from its first event and holds every event to those before it."""

    def __init__(self, window_ms: int) -> None:
        self._window_ns = window_ms * 1_000_000
        self._sequence = 0
        self._time_ns = 0
        self._epoch = 0
        self._attached: dict[int, bool] = {}
        self._runs: dict[str, _Run] = {}
        self._attempts: dict[int, tuple[str, str]] = {}
        self._policy_of: dict[int, str] = {}
        self._policy_limits: dict[str, int] = {}
        self._agents_running_max = 0
        self._requests: dict[tuple[str, str, str], int] = {}
        self._event_ids: dict[str, int] = {}
        self._circuits: dict[tuple[str, str], int] = {}
        """Circuits that are not closed: _OPEN, or half-open with the latest trial, 0 before the first."""
        self._locks = LockHistory()
        self.completed: dict[int, int] = {}
        """Where each attempt that succeeded did."""
        self.attempts_ended: dict[int, int] = {}
        """Where each attempt ended."""
        self.sessions_ended: dict[int, int] = {}

    def read(self, event: Event) -> None:
        """The next event. Raises InvariantBroken."""
        require(event.sequence == self._sequence + 1, f"5: {event.sequence} follows {self._sequence}")
        require(event.time_ns >= self._time_ns, f"5: time runs backwards at {event.sequence}")
        self._sequence, self._time_ns = event.sequence, event.time_ns
        if event.request is not None:
            self._remember(event)
        again = self._locks.read(event)
        if again is not None:
            self._requests.pop(again, None)  # never answered: it may be made again
        reader = getattr(self, f"_{type(event.payload).__name__}", None)
        if reader is not None:
            reader(event, event.payload)

    def end(self) -> None:
        """The log ends here, at rest."""
        self._locks.end()
        for run_id, run in self._runs.items():
            require(run.status is not None, f"8: {run_id} never ended")
            require(run.over == set(run.depends_on), f"8: {run_id} ended before its tasks")
        require(not self._attempts, f"8: attempts {list(self._attempts)} never ended")

    # Requests.

    def _remember(self, event: Event) -> None:
        key = _request_of(event)
        assert key is not None
        before_ns = self._requests.get(key)
        again = before_ns is not None and event.time_ns < before_ns + self._window_ns
        require(not again, f"D5: request {key} took effect twice, again at {event.sequence}")
        self._requests[key] = event.time_ns

    def _CustomEvent(self, event: Event, _payload: e.CustomEvent) -> None:  # noqa: N802
        if event.event_id:
            before_ns = self._event_ids.get(event.event_id)
            again = before_ns is not None and event.time_ns < before_ns + self._window_ns
            require(not again, f"D5: event_id {event.event_id} is in the log twice")
            self._event_ids[event.event_id] = event.time_ns

    # Owners and sessions.

    def _OwnerStarted(self, event: Event, payload: e.OwnerStarted) -> None:  # noqa: N802
        require(payload.epoch > self._epoch, f"12: epoch {payload.epoch} after {self._epoch}")
        self._epoch = payload.epoch
        self._agents_running_max = payload.limits["agents_running_max"]
        for session_id in self._attached:
            self._attached[session_id] = False

    def _AgentRegistered(self, event: Event, _payload: e.AgentRegistered) -> None:  # noqa: N802
        self._attached[event.sequence] = True
        # An agent that was gone for long comes back without its circuits, one that was not with them.
        self._circuits = {key: trial for key, trial in self._circuits.items() if key[0] != event.agent_id}

    def _AgentUpdated(self, event: Event, payload: e.AgentUpdated) -> None:  # noqa: N802
        claimed = {"", *(capability.name for capability in payload.spec.capabilities)}
        for agent_id, capability in list(self._circuits):
            if agent_id == event.agent_id and capability not in claimed:
                del self._circuits[agent_id, capability]

    def _AgentAttached(self, _event: Event, payload: e.AgentAttached) -> None:  # noqa: N802
        self._attach(payload.session_id, attached=True)

    def _AgentDetached(self, _event: Event, payload: e.AgentDetached) -> None:  # noqa: N802
        self._attach(payload.session_id, attached=False)

    def _AgentDisconnected(self, event: Event, payload: e.AgentDisconnected) -> None:  # noqa: N802
        self._attach(payload.session_id, attached=False)
        self.sessions_ended[payload.session_id] = event.sequence
        del self._attached[payload.session_id]

    def _attach(self, session_id: int, *, attached: bool) -> None:
        require(session_id in self._attached, f"A4: session {session_id} is over")
        self._attached[session_id] = attached
        self._locks.attach(session_id, attached=attached)

    # Runs.

    def _PolicyChanged(self, _event: Event, payload: e.PolicyChanged) -> None:  # noqa: N802
        self._policy_limits = {policy.name: policy.running_max or 0 for policy in payload.policies}

    def _RunSubmitted(self, event: Event, payload: e.RunSubmitted) -> None:  # noqa: N802
        self._runs[event.run_id] = _Run(running_max=payload.spec.running_max)

    def _TaskAdded(self, event: Event, payload: e.TaskAdded) -> None:  # noqa: N802
        self._runs[event.run_id].depends_on[event.task_id] = payload.depends_on
        self._runs[event.run_id].after[event.task_id] = payload.after
        self._runs[event.run_id].capabilities[event.task_id] = payload.spec.target.capability

    def _RunRetried(self, event: Event, _payload: e.RunRetried) -> None:  # noqa: N802
        run = self._runs[event.run_id]
        require(run.status is not None, f"R15: {event.run_id} is tried again before it was over")
        run.status = None
        run.over = set(run.succeeded)

    def _TaskAssigned(self, event: Event, payload: e.TaskAssigned) -> None:  # noqa: N802
        run, task = self._runs[event.run_id], event.task_id
        require(self._attached.get(payload.session_id), f"D6: {event.sequence} assigns to a detached session")
        require(task not in run.live, f"4: {event.run_id}/{task} has two live attempts")
        require(task not in run.over, f"4: {event.run_id}/{task} is over and assigned at {event.sequence}")
        require(run.succeeded.issuperset(run.depends_on[task]), f"3: {event.run_id}/{task} started too early")
        require(run.over.issuperset(run.after[task]), f"3: {event.run_id}/{task} started before what it comes after")
        self._check_limits(event, payload, run)
        self._pass_circuit(event, run.capabilities[task])
        run.live[task] = event.sequence
        self._attempts[event.sequence] = (event.run_id, task)
        self._policy_of[event.sequence] = payload.policy

    def _check_limits(self, event: Event, payload: e.TaskAssigned, run: _Run) -> None:
        running = Counter(self._policy_of[token] for token in self._attempts)
        require(len(self._attempts) < self._agents_running_max, f"9: {event.sequence} exceeds agents_running_max")
        require(not run.running_max or len(run.live) < run.running_max, f"9: {event.sequence} exceeds its run's limit")
        limit = self._policy_limits.get(payload.policy, 0)
        within = not limit or running[payload.policy] < limit
        require(within, f"9: {event.sequence} exceeds the limit of policy {payload.policy}")

    def _pass_circuit(self, event: Event, capability: str) -> None:
        trial = self._circuits.get((event.agent_id, capability))
        require(trial != _OPEN, f"R14: {event.sequence} goes through an open circuit")
        require(not trial or trial not in self._attempts, f"R14: {event.sequence} is a second trial")
        if trial is not None:
            self._circuits[event.agent_id, capability] = event.sequence

    def _CircuitOpened(self, event: Event, payload: e.CircuitOpened) -> None:  # noqa: N802
        self._circuits[event.agent_id, payload.capability] = _OPEN

    def _CircuitHalfOpened(self, event: Event, payload: e.CircuitHalfOpened) -> None:  # noqa: N802
        self._circuits[event.agent_id, payload.capability] = 0

    def _CircuitClosed(self, event: Event, payload: e.CircuitClosed) -> None:  # noqa: N802
        self._circuits.pop((event.agent_id, payload.capability), None)

    def _AgentCompleted(self, event: Event, payload: e.AgentCompleted) -> None:  # noqa: N802
        self._end_attempt(event, payload.attempt_token)
        self.completed[payload.attempt_token] = event.sequence
        self._runs[event.run_id].succeeded.add(event.task_id)
        self._end_task(event)

    def _AgentFailed(self, event: Event, payload: e.AgentFailed) -> None:  # noqa: N802
        self._end_attempt(event, payload.attempt_token)
        if payload.final:
            self._end_task(event)

    def _TaskCancelled(self, event: Event, payload: e.TaskCancelled) -> None:  # noqa: N802
        if payload.attempt_token:
            self._end_attempt(event, payload.attempt_token)
        self._end_task(event)

    def _TaskSkipped(self, event: Event, _payload: e.TaskSkipped) -> None:  # noqa: N802
        self._end_task(event)

    def _RunCompleted(self, event: Event, payload: e.RunCompleted) -> None:  # noqa: N802
        run = self._runs[event.run_id]
        require(run.status is None, f"{event.run_id} ended twice")
        run.status = payload.status
        all_succeeded = run.succeeded == set(run.depends_on)
        if payload.status is RunStatus.SUCCEEDED:
            require(all_succeeded, f"R13: {event.run_id} is SUCCEEDED, not all of its tasks are")

    def _end_attempt(self, event: Event, token: int) -> None:
        require(token in self._attempts, f"4: attempt {token} ended twice, or never began")
        self.attempts_ended[token] = event.sequence
        run_id, task_id = self._attempts.pop(token)
        require(self._runs[run_id].live.pop(task_id, 0) == token, f"4: attempt {token} was not the live one")

    def _end_task(self, event: Event) -> None:
        run = self._runs[event.run_id]
        require(event.task_id not in run.over, f"4: {event.run_id}/{event.task_id} ended twice")
        run.over.add(event.task_id)


def _request_of(event: Event) -> tuple[str, str, str] | None:
    request = event.request
    return None if request is None else (event.principal, request.method, request.request_id)


def check_history(events: list[Event], window_ms: int) -> History:
    """Reads a whole log. Raises InvariantBroken."""
    history = History(window_ms)
    for event in events:
        history.read(event)
    history.end()
    return history
