"""Commands: everything that can be asked of a namespace.

A command is decoded and checked for shape (sizes, characters, JSON) before it gets here; what depends on the state is
decided here. Reads are commands too: their answer waits, like every other, for what it was based on to be durable (D4).
"""

from __future__ import annotations

from typing import TypeAlias

from coordinator_service.core.events import RunRestated, TaskRestated
from coordinator_service.core.limits import Limits
from coordinator_service.core.specs import (
    AgentCapabilities,
    AgentSpec,
    Fence,
    LockRequest,
    Policy,
    Progress,
    RunSpec,
    StateChange,
    TaskError,
    TaskSpec,
)
from coordinator_service.core.values import JsonValue, RunStatus, value


@value
class Caller:
    """Who asks.

    An empty request_id means that repetitions are not recognised; digest is of the request in canonical form. With
    own_only the runs, agents and locks of other principals are out of its reach.
    """

    principal: str = ""
    session_id: int = 0
    attempt_token: int = 0
    method: str = ""
    request_id: str = ""
    digest: bytes = b""
    traceparent: str = ""
    fences: tuple[Fence, ...] = ()
    own_only: bool = False


COORDINATOR = Caller()
"""The coordinator itself: time-outs, leases, ownership."""


@value
class StartOwner:
    """This replica owns the namespace from now on (D6)."""

    epoch: int
    replica_id: str
    limits: Limits


@value
class ChangePolicies:
    """The policies from now on; a digest that is in force already changes nothing (P2).

    unchanged_ns is for how long the file has been what it is: one that was superseded since changes nothing either.
    """

    policies: tuple[Policy, ...]
    digest: str = ""
    agent_capabilities: tuple[AgentCapabilities, ...] = ()
    unchanged_ns: int = 0


@value
class Tick:
    """Some deadline in the state has come (D7)."""


@value
class EventDraft:
    """What a publisher states (E1); data is an encoded Payload."""

    name: str
    data: bytes | None = None
    event_id: str = ""
    run_id: str = ""
    task_id: str = ""
    metadata: dict[str, str] | None = None
    traceparent: str = ""


@value
class Publish:
    """Append custom events, all or none."""

    drafts: tuple[EventDraft, ...]


@value
class OpenSession:
    """Begin a session (A1, A2). An empty agent_id is named after the session."""

    spec: AgentSpec
    lease_ns: int
    takeover: bool = False


@value
class ResumeSession:
    """Come back to a session (A5). attempt_tokens are those the agent executes or has unacknowledged reports of."""

    session_id: int
    attempt_tokens: tuple[int, ...] = ()


@value
class DetachSession:
    """The session lost its stream: the one that began with attached_sequence, if it is still the latest."""

    session_id: int
    attached_sequence: int


@value
class EndSession:
    """The session is over: GOODBYE or LEASE_EXPIRED (A4)."""

    session_id: int
    reason: str


@value
class UpdateAgent:
    """The caller's agent describes itself anew (A3)."""

    spec: AgentSpec


@value
class DrainAgent:
    """Give an agent no new tasks (A7)."""

    agent_id: str


@value
class SubmitRun:
    """Accept a run, whole or not at all."""

    spec: RunSpec


@value
class PlanRun:
    """Say what SubmitRun would do."""

    spec: RunSpec


@value
class CancelRun:
    """Stop a run (R12)."""

    run_id: str


@value
class AddTasks:
    """Add tasks to a run that lives, all or none; last closes an open one (R15)."""

    run_id: str
    tasks: tuple[TaskSpec, ...] = ()
    last: bool = False


@value
class RetryRun:
    """Run everything again that did not succeed (R15).

    The rest is what the shell read back of a run that is no longer in memory: None when it did not.
    """

    run_id: str
    restated: RunRestated | None = None
    restated_tasks: tuple[TaskRestated, ...] = ()
    traceparent: str = ""


@value
class StartTask:
    """The attempt is being executed."""

    attempt_token: int


@value
class ProgressTask:
    """The attempt is so far."""

    attempt_token: int
    progress: Progress


@value
class CompleteTask:
    """The attempt succeeded. result is an encoded Payload; result_json its value where it is JSON (S9)."""

    attempt_token: int
    result: bytes | None = None
    result_is_json: bool = False
    result_json: JsonValue = None
    changes: tuple[StateChange, ...] = ()


@value
class FailTask:
    """The attempt failed, or stopped because it was told to."""

    attempt_token: int
    error: TaskError
    retryable: bool = True
    cancelled: bool = False
    context: bytes | None = None


@value
class Acquire:
    """Take locks, all or none (L3)."""

    requests: tuple[LockRequest, ...]


@value
class Release:
    """Give locks back, all or none; with force take them from whoever holds them, however often they are counted."""

    fencing_tokens: tuple[int, ...]
    force: bool = False


@value
class ExpireLock:
    """The lease of a lock ended (L7)."""

    fencing_token: int


@value
class WithdrawRequest:
    """The caller of a waiting request has gone (L6)."""

    request_sequence: int


@value
class UpdateState:
    """Change keys, all or none (S1 to S5)."""

    change: StateChange
    writer: str = ""
    priority: int = 0


# Reads.


@value
class DeleteState:
    """Delete keys, or whatever is at and under a path."""

    keys: tuple[str, ...] = ()
    prefix: str = ""
    base_revision: int | None = None
    writer: str = ""
    priority: int = 0


@value
class GetState:
    """Read keys, or everything at and under a prefix after a key: as they were at a revision, now when it is 0."""

    keys: tuple[str, ...] = ()
    prefix: str = ""
    after_key: str = ""
    count_max: int = 100
    revision: int = 0


@value
class GetChangedValues:
    """Read what changes made of their keys: (key, revision of the change)."""

    wanted: tuple[tuple[str, int], ...]


@value
class GetRun:
    """Read a run and its tasks: tasks_max of them (0: all), without the first tasks_before."""

    run_id: str
    tasks_before: int = 0
    tasks_max: int = 0


@value
class ListRuns:
    """Read runs, newest first, below a sequence (0: from the newest)."""

    status: RunStatus = RunStatus.UNSPECIFIED
    below_sequence: int = 0
    count_max: int = 100


@value
class GetTaskResult:
    """Read what a task produced."""

    run_id: str
    task_id: str


@value
class GetAttempt:
    """Read what the agent of an attempt is to be sent."""

    attempt_token: int


@value
class GetAgent:
    """Read an agent."""

    agent_id: str


@value
class ListAgents:
    """Read agents by id, after an id."""

    capability: str = ""
    agent_name: str = ""
    connected: bool = False
    after_agent_id: str = ""
    count_max: int = 100


@value
class GetLock:
    """Read a lock."""

    resource: str


@value
class ListLocks:
    """Read locks by name, after a name."""

    prefix: str = ""
    after_resource: str = ""
    count_max: int = 100


@value
class Explain:
    """Say why something is as it is: a run, a task of it, a lock, an agent, or what a sequence stands for (X1).

    For a sequence, run_id and task_id are those of its event.
    """

    run_id: str = ""
    task_id: str = ""
    resource: str = ""
    agent_id: str = ""
    sequence: int = 0


@value
class GetSummary:
    """Read how far the namespace is and who is there."""


@value
class GetEnds:
    """Read how far the namespace is: answered, like any read, when that is durable."""


Command: TypeAlias = (
    StartOwner
    | ChangePolicies
    | Tick
    | Publish
    | OpenSession
    | ResumeSession
    | DetachSession
    | EndSession
    | UpdateAgent
    | DrainAgent
    | SubmitRun
    | PlanRun
    | CancelRun
    | AddTasks
    | RetryRun
    | StartTask
    | ProgressTask
    | CompleteTask
    | FailTask
    | Acquire
    | Release
    | ExpireLock
    | WithdrawRequest
    | UpdateState
    | DeleteState
    | GetState
    | GetChangedValues
    | GetRun
    | ListRuns
    | GetTaskResult
    | GetAttempt
    | GetAgent
    | ListAgents
    | GetLock
    | ListLocks
    | GetEnds
    | GetSummary
    | Explain
)
