"""Answers: what a caller is told when a command was not refused.

The answer to a mutation is a function of the events of its decision, so that a repeated request can be answered from
the log (D5): `recalled` is that function.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TypeAlias

from coordinator_service.core.commands import COORDINATOR, Caller, Explain, GetRun, GetState, GetTaskResult, RetryRun
from coordinator_service.core.events import (
    ConflictDetected,
    Event,
    RunRetried,
    RunSubmitted,
    StateUpdated,
)
from coordinator_service.core.explanations import ExplanationView
from coordinator_service.core.rejections import Rejection, StateConflict
from coordinator_service.core.specs import (
    AgentTaskView,
    AgentView,
    LockGrant,
    LockView,
    RunPlan,
    RunView,
    StateEntryView,
)
from coordinator_service.core.values import value


@value
class Done:
    """It is part of the log: sequence is that of the first event of the decision."""

    sequence: int
    replayed: bool = False


@value
class Published:
    """The events are part of the log."""

    sequences: tuple[int, ...]
    replayed: bool = False


@value
class SessionOpened:
    """The session stands, attached by the event attached_sequence. live are its attempts that the agent did not name;
    stale those it named that do not count."""

    session_id: int
    attached_sequence: int
    agent_id: str
    lease_ns: int
    resumed: bool = False
    live: tuple[int, ...] = ()
    stale: tuple[int, ...] = ()
    cancelling: tuple[int, ...] = ()
    draining: bool = False


@value
class RunAccepted:
    """The run is accepted."""

    run_id: str
    sequence: int
    replayed: bool = False


@value
class RunAgain:
    """The run has begun again."""

    generation: int
    sequence: int
    replayed: bool = False


@value
class Acquired:
    """The locks are held, in the order of the requests."""

    grants: tuple[LockGrant, ...]
    request_sequence: int
    replayed: bool = False


@value
class Waiting:
    """The request waits; its answer comes with the event that ends the wait."""

    request_sequence: int
    replayed: bool = False


@value
class Recall:
    """The same request was decided before: read these events and call recalled."""

    method: str
    first_sequence: int
    count: int


@value
class FromLog:
    """What was asked for is no longer in memory: read these events and give them to an EvictedRun.

    A RetryRun is then to be asked again, by the same caller, with what they say.
    """

    command: GetRun | GetTaskResult | RetryRun | Explain
    first_sequence: int
    last_sequence: int
    sequence: int
    caller: Caller = COORDINATOR


@value
class PastFromLog:
    """Memory does not know what keys held then: fold the log up to that revision, and ask the fold (PastFold)."""

    command: GetState


@value
class Planned:
    """What would happen to a run."""

    plan: RunPlan
    sequence: int


@value
class StateRead:
    """Keys and values, true at sequence. next_key asks for more, empty at the end."""

    entries: tuple[StateEntryView, ...]
    sequence: int
    next_key: str = ""


@value
class ChangedValues:
    """What changes made of their keys, in the order of the question; None where memory does not know it any more."""

    values: tuple[StateEntryView | None, ...]


@value
class RunRead:
    """A run, true at sequence. Its tasks are those after the first tasks_before; tasks_left come after them."""

    run: RunView
    sequence: int
    tasks_before: int = 0
    tasks_left: int = 0


@value
class RunsRead:
    """Runs, true at sequence. next_sequence asks for more, 0 at the end."""

    runs: tuple[RunView, ...]
    sequence: int
    next_sequence: int = 0


@value
class ResultRead:
    """A task's result, an encoded Payload."""

    result: bytes | None
    agent_name: str
    sequence: int


@value
class AttemptRead:
    """What an agent is to be sent, or None when the attempt is over."""

    task: AgentTaskView | None
    cancel_reason: str = ""
    grace_ns: int = 0


@value
class AgentRead:
    """An agent, true at sequence."""

    agent: AgentView
    sequence: int


@value
class AgentsRead:
    """Agents, true at sequence. next_agent_id asks for more, empty at the end."""

    agents: tuple[AgentView, ...]
    sequence: int
    next_agent_id: str = ""


@value
class LockRead:
    """A lock, true at sequence."""

    lock: LockView
    sequence: int


@value
class LocksRead:
    """Locks, true at sequence. next_resource asks for more, empty at the end."""

    locks: tuple[LockView, ...]
    sequence: int
    next_resource: str = ""


@value
class Explained:
    """Why something is as it is; the chain of causes begins with the event `about`, 0 where there is none."""

    explanation: ExplanationView
    about: int


@value
class SummaryRead:
    """A namespace in three numbers, true at sequence."""

    sequence: int
    runs_active: int
    sessions: int


Answer: TypeAlias = (
    Done
    | Published
    | SessionOpened
    | RunAccepted
    | RunAgain
    | Acquired
    | Waiting
    | Recall
    | FromLog
    | PastFromLog
    | Planned
    | StateRead
    | ChangedValues
    | RunRead
    | RunsRead
    | ResultRead
    | AttemptRead
    | AgentRead
    | AgentsRead
    | LockRead
    | LocksRead
    | SummaryRead
    | Explained
)


def recalled(events: Sequence[Event]) -> Answer | Rejection:
    """The answer that a decision with these events gave, for a request that comes again."""
    for event in events:
        payload = event.payload
        if isinstance(payload, ConflictDetected):
            return _conflict_recalled(events, event, payload)
        if isinstance(payload, RunSubmitted):
            return RunAccepted(run_id=event.run_id, sequence=event.sequence, replayed=True)
        if isinstance(payload, RunRetried):
            return RunAgain(generation=payload.generation, sequence=event.sequence, replayed=True)
    return Done(sequence=events[0].sequence, replayed=True)


def _conflict_recalled(events: Sequence[Event], detected: Event, conflict: ConflictDetected) -> Answer | Rejection:
    """S7: who won the conflict wrote; who lost it was refused, and wrote nothing."""
    for event in events:
        if isinstance(event.payload, StateUpdated):
            return Done(sequence=event.sequence, replayed=True)
    return StateConflict(detected.sequence, conflict.keys, conflict.conflict_type)
