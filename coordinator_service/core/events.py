"""Events: the immutable facts that a namespace's log is made of.

Each payload class mirrors the proto message of its name (see specs.py). `Event` is the envelope; the namespace, the
log_id and a default event_id are added by the codec, since they are the same for a whole log.
"""

from __future__ import annotations

from dataclasses import field
from enum import IntEnum
from typing import ClassVar, TypeAlias

from coordinator_service.core.specs import (
    AgentCapabilities,
    AgentSpec,
    ConflictingKey,
    LockGrant,
    LockRequest,
    LockWait,
    Policy,
    Progress,
    RunSpec,
    StateUpdate,
    TaskCounts,
    TaskError,
    TaskSpec,
)
from coordinator_service.core.values import (
    ConflictStrategy,
    LockMode,
    MergeStrategy,
    RunStatus,
    TaskStatus,
    row,
    value,
)


class EventType(IntEnum):
    """What kind of fact an event states."""

    AGENT_STARTED = 1
    AGENT_COMPLETED = 2
    AGENT_FAILED = 3
    STATE_UPDATED = 4
    RESOURCE_REQUESTED = 5
    RESOURCE_ACQUIRED = 6
    RESOURCE_RELEASED = 7
    CONFLICT_DETECTED = 8
    COORDINATION_REQUIRED = 9
    OWNER_STARTED = 20
    AGENT_REGISTERED = 21
    AGENT_UPDATED = 22
    AGENT_DETACHED = 23
    AGENT_ATTACHED = 24
    AGENT_DISCONNECTED = 25
    AGENT_DRAINING = 26
    RUN_SUBMITTED = 30
    TASK_ADDED = 31
    RUN_RETRIED = 32
    RUN_COMPLETED = 33
    RUN_CANCELLED = 34
    RUN_EXTENDED = 35
    RUN_RESTATED = 36
    TASK_ASSIGNED = 40
    TASK_PROGRESSED = 41
    TASK_CANCEL_REQUESTED = 42
    TASK_RETRY_SCHEDULED = 43
    TASK_SKIPPED = 44
    TASK_CANCELLED = 45
    TASK_RESTATED = 46
    RESOURCE_REQUEST_TIMED_OUT = 50
    RESOURCE_REQUEST_REFUSED = 51
    RESOURCE_REQUEST_WITHDRAWN = 52
    RESOURCE_REQUEST_REATTACHED = 53
    CONFLICT_RESOLVED = 60
    CIRCUIT_OPENED = 70
    CIRCUIT_HALF_OPENED = 71
    CIRCUIT_CLOSED = 72
    POLICY_CHANGED = 80
    CUSTOM = 100


@value
class AgentStarted:
    """An agent reports that it began to execute."""

    type: ClassVar[EventType] = EventType.AGENT_STARTED
    attempt_token: int
    capabilities: tuple[str, ...] = ()
    dependencies: tuple[str, ...] = ()
    context: bytes | None = None


@value
class AgentCompleted:
    """An attempt succeeded."""

    type: ClassVar[EventType] = EventType.AGENT_COMPLETED
    attempt_token: int
    result: bytes | None = None
    execution_time_seconds: float = 0.0
    state_changes: int = 0


@value
class AgentFailed:
    """An attempt failed."""

    type: ClassVar[EventType] = EventType.AGENT_FAILED
    attempt_token: int
    error: TaskError
    retryable: bool = False
    lost: bool = False
    execution_time_seconds: float = 0.0
    context: bytes | None = None
    final: bool = False


@value
class StateUpdated:
    """Shared state changed. The event's sequence is the revision."""

    type: ClassVar[EventType] = EventType.STATE_UPDATED
    updates: tuple[StateUpdate, ...]
    merge_strategy: MergeStrategy
    prefix: str = ""
    writer: str = ""
    new_state_size: int = 0
    priority: int = 0
    deletes: tuple[str, ...] = ()


@value
class ResourceRequested:
    """Somebody asked for locks."""

    type: ClassVar[EventType] = EventType.RESOURCE_REQUESTED
    requests: tuple[LockRequest, ...]
    holder: str
    session_id: int = 0
    attempt_token: int = 0
    deadline_ns: int = 0
    priority: int = 0
    passes: tuple[int, ...] = ()
    passed_by: tuple[int, ...] = ()


@value
class ResourceAcquired:
    """A lock was granted."""

    type: ClassVar[EventType] = EventType.RESOURCE_ACQUIRED
    request_sequence: int
    resource: str
    mode: LockMode
    holder: str
    lease_ns: int | None = None
    session_id: int = 0
    attempt_token: int = 0
    guards: str = ""
    existing_token: int = 0
    wait_time_seconds: float = 0.0


@value
class ResourceReleased:
    """A lock was released, or a counted grant was given back once."""

    type: ClassVar[EventType] = EventType.RESOURCE_RELEASED
    resource: str
    holder: str
    fencing_token: int
    remaining: int = 0
    hold_time_seconds: float = 0.0


@value
class ResourceRequestTimedOut:
    """A lock request was not granted in time."""

    type: ClassVar[EventType] = EventType.RESOURCE_REQUEST_TIMED_OUT
    request_sequence: int
    holders: tuple[LockGrant, ...] = ()
    position: int = 0
    wait_time_seconds: float = 0.0


@value
class ResourceRequestRefused:
    """A lock request was refused, at once or when it was taken up again."""

    type: ClassVar[EventType] = EventType.RESOURCE_REQUEST_REFUSED
    request_sequence: int
    resource: str = ""
    holders: tuple[LockGrant, ...] = ()
    cycle: tuple[LockWait, ...] = ()


@value
class ResourceRequestWithdrawn:
    """A waiting lock request was withdrawn."""

    type: ClassVar[EventType] = EventType.RESOURCE_REQUEST_WITHDRAWN
    request_sequence: int
    wait_time_seconds: float = 0.0


@value
class ResourceRequestReattached:
    """A detached waiting request was taken up again."""

    type: ClassVar[EventType] = EventType.RESOURCE_REQUEST_REATTACHED
    request_sequence: int
    passes: tuple[int, ...] = ()
    passed_by: tuple[int, ...] = ()


@value
class ConflictDetected:
    """Two writers met on shared state."""

    type: ClassVar[EventType] = EventType.CONFLICT_DETECTED
    conflict_type: str
    writer: str
    base_revision: int
    keys: tuple[ConflictingKey, ...]
    strategy: ConflictStrategy | None
    priority: int = 0


@value
class CoordinationRequired:
    """Somebody has to act."""

    type: ClassVar[EventType] = EventType.COORDINATION_REQUIRED
    action: str
    target: str
    winner: str
    conflict_sequence: int


@value
class ConflictResolved:
    """How a conflict ended."""

    type: ClassVar[EventType] = EventType.CONFLICT_RESOLVED
    conflict_sequence: int
    winner: str
    loser: str
    strategy: ConflictStrategy | None


@value
class OwnerStarted:
    """A replica became the owner of the namespace: sessions and waiting calls are detached until they come back."""

    type: ClassVar[EventType] = EventType.OWNER_STARTED
    epoch: int
    replica_id: str
    limits: dict[str, int]
    log_format: int = 0


@value
class AgentRegistered:
    """A session began."""

    type: ClassVar[EventType] = EventType.AGENT_REGISTERED
    spec: AgentSpec
    lease_ns: int | None = None


@value
class AgentUpdated:
    """The agent's own description changed during its session."""

    type: ClassVar[EventType] = EventType.AGENT_UPDATED
    spec: AgentSpec


@value
class AgentDetached:
    """A session lost its stream."""

    type: ClassVar[EventType] = EventType.AGENT_DETACHED
    session_id: int


@value
class AgentAttached:
    """A detached session came back."""

    type: ClassVar[EventType] = EventType.AGENT_ATTACHED
    session_id: int


@value
class AgentDisconnected:
    """A session ended."""

    type: ClassVar[EventType] = EventType.AGENT_DISCONNECTED
    session_id: int


@value
class AgentDraining:
    """The agent takes no new tasks."""

    type: ClassVar[EventType] = EventType.AGENT_DRAINING
    session_id: int


@value
class RunSubmitted:
    """A run was accepted."""

    type: ClassVar[EventType] = EventType.RUN_SUBMITTED
    spec: RunSpec
    tasks: int
    deadline_ns: int


@value
class TaskAdded:
    """A task of a run was accepted."""

    type: ClassVar[EventType] = EventType.TASK_ADDED
    spec: TaskSpec
    depends_on: tuple[str, ...] = ()
    after: tuple[str, ...] = ()
    group: int = 0


@value
class RunExtended:
    """Tasks were added to a run: each follows. last closes a run that was open."""

    type: ClassVar[EventType] = EventType.RUN_EXTENDED
    tasks: int
    last: bool = False


@value
class RunRetried:
    """A run that was over begins again, with everything of it that did not succeed."""

    type: ClassVar[EventType] = EventType.RUN_RETRIED
    generation: int
    tasks: int
    deadline_ns: int


@value
class RunRestated:
    """A run that was no longer in memory, said again: its tasks follow, and then its next generation."""

    type: ClassVar[EventType] = EventType.RUN_RESTATED
    spec: RunSpec
    tasks: int
    generation: int
    status: RunStatus
    principal: str = ""
    submitted_at_ns: int = 0
    open: bool = False


@value
class TaskRestated:
    """A task of a restated run, with its result where it has one, else with its input."""

    type: ClassVar[EventType] = EventType.TASK_RESTATED
    spec: TaskSpec
    status: TaskStatus
    depends_on: tuple[str, ...] = ()
    after: tuple[str, ...] = ()
    group: int = 0
    attempts: int = 0
    attempt_token: int = 0
    agent_id: str = ""
    agent_name: str = ""
    ready_at_ns: int = 0
    assigned_at_ns: int = 0
    finished_at_ns: int = 0
    result: bytes | None = None
    result_sequence: int = 0


@value
class RunCompleted:
    """Every task of a run is over."""

    type: ClassVar[EventType] = EventType.RUN_COMPLETED
    status: RunStatus
    counts: TaskCounts
    execution_time_seconds: float = 0.0


@value
class RunCancelled:
    """A run was asked to stop."""

    type: ClassVar[EventType] = EventType.RUN_CANCELLED
    status: RunStatus


@value
class TaskAssigned:
    """A task was given to an agent. The event's sequence is the attempt token."""

    type: ClassVar[EventType] = EventType.TASK_ASSIGNED
    attempt: int
    session_id: int
    deadline_ns: int
    policy: str = ""
    wait_time_seconds: float = 0.0


@value
class TaskProgressed:
    """An agent reported progress."""

    type: ClassVar[EventType] = EventType.TASK_PROGRESSED
    attempt_token: int
    progress: Progress


@value
class TaskCancelRequested:
    """An agent was told to stop an attempt."""

    type: ClassVar[EventType] = EventType.TASK_CANCEL_REQUESTED
    attempt_token: int
    fenced_at_ns: int


@value
class TaskRetryScheduled:
    """A failed task will be tried again."""

    type: ClassVar[EventType] = EventType.TASK_RETRY_SCHEDULED
    ready_at_ns: int
    attempt: int


@value
class TaskSkipped:
    """A task will never run."""

    type: ClassVar[EventType] = EventType.TASK_SKIPPED
    cause_task_id: str


@value
class TaskCancelled:
    """A task was cancelled."""

    type: ClassVar[EventType] = EventType.TASK_CANCELLED
    attempt_token: int = 0
    execution_time_seconds: float = 0.0
    wait_time_seconds: float = 0.0


@value
class CircuitOpened:
    """An agent is given no tasks of a capability for a while."""

    type: ClassVar[EventType] = EventType.CIRCUIT_OPENED
    capability: str
    failures: int
    window_attempts: int
    window_failures: int
    until_ns: int


@value
class CircuitHalfOpened:
    """An agent's next task of a capability is a trial."""

    type: ClassVar[EventType] = EventType.CIRCUIT_HALF_OPENED
    capability: str


@value
class CircuitClosed:
    """An agent is given tasks of a capability again."""

    type: ClassVar[EventType] = EventType.CIRCUIT_CLOSED
    capability: str


@value
class PolicyChanged:
    """The policies in force changed."""

    type: ClassVar[EventType] = EventType.POLICY_CHANGED
    policies: tuple[Policy, ...]
    digest: str = ""
    agent_capabilities: tuple[AgentCapabilities, ...] = ()


@value
class CustomEvent:
    """A fact stated by a client; data is an encoded Payload that nobody here reads."""

    type: ClassVar[EventType] = EventType.CUSTOM
    name: str
    data: bytes | None = None


Payload: TypeAlias = (
    AgentStarted
    | AgentCompleted
    | AgentFailed
    | StateUpdated
    | ResourceRequested
    | ResourceAcquired
    | ResourceReleased
    | ResourceRequestTimedOut
    | ResourceRequestRefused
    | ResourceRequestWithdrawn
    | ResourceRequestReattached
    | ConflictDetected
    | CoordinationRequired
    | ConflictResolved
    | OwnerStarted
    | AgentRegistered
    | AgentUpdated
    | AgentDetached
    | AgentAttached
    | AgentDisconnected
    | AgentDraining
    | RunSubmitted
    | TaskAdded
    | RunExtended
    | RunRetried
    | RunRestated
    | TaskRestated
    | RunCompleted
    | RunCancelled
    | TaskAssigned
    | TaskProgressed
    | TaskCancelRequested
    | TaskRetryScheduled
    | TaskSkipped
    | TaskCancelled
    | CircuitOpened
    | CircuitHalfOpened
    | CircuitClosed
    | PolicyChanged
    | CustomEvent
)


@row
class RequestRecord:
    """Makes a repeated request recognisable (D5).

    count is the number of events of the decision: known, and written once, when the decision ends, before anybody else
    sees the event.
    """

    method: str
    request_id: str
    digest: bytes
    count: int


@value
class Event:
    """The envelope. time_ns is namespace time in nanoseconds since 1970."""

    sequence: int
    time_ns: int
    payload: Payload
    cause: int = 0
    reason: str = ""
    agent_id: str = ""
    agent_name: str = ""
    run_id: str = ""
    task_id: str = ""
    traceparent: str = ""
    principal: str = ""
    event_id: str = ""
    metadata: dict[str, str] = field(default_factory=dict)
    request: RequestRecord | None = None

    @property
    def type(self) -> EventType:
        """What kind of fact this is."""
        return self.payload.type
