"""What callers write and readers see: descriptions of agents, tasks, runs, locks, state and policies.

Each class mirrors the message of its name in protos/concert/v1: the same fields, with `_ns` after those that are a
Duration (None when unset) or a Timestamp (0 when unset) there. Payloads stay encoded: the coordinator passes them on
unread. The mirroring is what lets one table in log/mirror.py translate all of them, and a test holds it to that.
"""

from __future__ import annotations

from dataclasses import field

from coordinator_service.core.values import (
    AgentStatus,
    CircuitStatus,
    ConflictStrategy,
    JsonValue,
    LockMode,
    MergeStrategy,
    RunStatus,
    TaskStatus,
    value,
)


@value
class Capability:
    """Something an agent can do."""

    name: str
    version: str = ""
    labels: dict[str, str] = field(default_factory=dict)


@value
class Dependency:
    """Refers to tasks of the same run by exactly one of these (R1)."""

    task_id: str = ""
    agent_name: str = ""
    capability: str = ""


@value
class AgentSpec:
    """What an agent says of itself (A1)."""

    agent_id: str
    agent_name: str = ""
    capabilities: tuple[Capability, ...] = ()
    depends_on: tuple[Dependency, ...] = ()
    after: tuple[Dependency, ...] = ()
    slots: int = 1
    labels: dict[str, str] = field(default_factory=dict)


@value
class TaskTarget:
    """Who a task is for: exactly one of these (R1)."""

    capability: str = ""
    agent_name: str = ""
    agent_id: str = ""


@value
class TaskLock:
    """A lock that a task declares."""

    resource: str
    mode: LockMode = LockMode.EXCLUSIVE
    guards: str = ""


@value
class RetryPolicy:
    """How failures are tried again (R10). Zero or None means: the next policy's value."""

    attempts_max: int = 0
    backoff_initial_ns: int | None = None
    backoff_max_ns: int | None = None
    backoff_multiplier: float = 0.0
    lost_attempts_max: int = 0


@value
class CircuitPolicy:
    """When an agent that keeps failing at a capability is given no more of it (R14). None means: the next policy's.

    failures_max and failure_rate_max are off at 0; attempts_min is unset at 0.
    """

    failures_max: int | None = None
    failure_rate_max: float | None = None
    attempts_min: int = 0
    window_ns: int | None = None
    cool_down_ns: int | None = None


@value
class Policy:
    """A named set of values that govern tasks, locks and state (R17). Unset fields take the default policy's."""

    name: str
    max_execution_time_ns: int | None = None
    resource_timeout_ns: int | None = None
    conflict_strategy: ConflictStrategy | None = None
    retry: RetryPolicy | None = None
    cancel_grace_ns: int | None = None
    conflict_window_ns: int | None = None
    priority: int = 0
    running_max: int = 0
    circuit: CircuitPolicy | None = None


@value
class AgentCapabilities:
    """What agents of a name are for; enforced, they may claim nothing else (A3)."""

    agent_name: str
    capabilities: tuple[str, ...] = ()
    enforce: bool = False


@value
class TaskSpec:
    """What a submitter writes of a task."""

    task_id: str
    target: TaskTarget
    depends_on: tuple[Dependency, ...] = ()
    after: tuple[Dependency, ...] = ()
    input: bytes | None = None
    capabilities: tuple[str, ...] = ()
    locks: tuple[TaskLock, ...] = ()
    policy: str = ""
    priority: int | None = None
    max_execution_time_ns: int | None = None
    retry: RetryPolicy | None = None
    metadata: dict[str, str] = field(default_factory=dict)


@value
class RunSpec:
    """What a submitter writes of a run."""

    run_id: str = ""
    name: str = ""
    tasks: tuple[TaskSpec, ...] = ()
    agents: tuple[str, ...] = ()
    context: bytes | None = None
    timeout_ns: int | None = None
    running_max: int = 0
    fail_fast: bool = False
    policy: str = ""
    priority: int | None = None
    metadata: dict[str, str] = field(default_factory=dict)
    open: bool = False


@value
class Progress:
    """How far an attempt is: fraction 0 to 1."""

    fraction: float = 0.0
    message: str = ""


@value
class TaskError:
    """Why a task did not succeed."""

    error_type: str
    message: str = ""
    traceback: str = ""
    cause_task_id: str = ""

    def __str__(self) -> str:
        return f"{self.error_type}: {self.message}" if self.message else self.error_type


@value
class LockRequest:
    """Asks for one lock."""

    resource: str
    mode: LockMode = LockMode.EXCLUSIVE
    holder: str = ""
    lease_ns: int | None = None
    wait_timeout_ns: int | None = None
    priority: int | None = None
    guards: str = ""
    metadata: dict[str, str] = field(default_factory=dict)


@value
class LockGrant:
    """A granted lock."""

    resource: str
    mode: LockMode
    holder: str
    fencing_token: int
    lease_ns: int | None = None


@value
class LockWait:
    """One step of a cycle of waiting: who waits, by which request, for what. The next one in the cycle holds it under
    fencing_token; 0 when the next one waits too, and comes before.
    """

    holder: str
    request_sequence: int
    resource: str
    fencing_token: int = 0


@value
class Fence:
    """A lock that a command relies on (L8)."""

    resource: str
    fencing_token: int


@value
class StateUpdate:
    """One key of an update."""

    key: str
    value: JsonValue = None


@value
class StateChange:
    """Updates made together, under one strategy."""

    updates: tuple[StateUpdate, ...] = ()
    strategy: MergeStrategy = MergeStrategy.MERGE
    prefix: str = ""
    base_revision: int | None = None
    deletes: tuple[str, ...] = ()


@value
class ConflictingKey:
    """One key on which two writers met (S7, S8)."""

    key: str
    their_key: str
    their_writer: str
    their_revision: int
    their_timestamp_ns: int
    their_traceparent: str = ""
    attempted: JsonValue = None
    current: JsonValue = None
    attempted_digest: str = ""
    current_digest: str = ""
    their_priority: int = 0
    guarded_by: LockGrant | None = None


@value
class TaskCounts:
    """How many tasks of a run stand where."""

    pending: int = 0
    ready: int = 0
    running: int = 0
    succeeded: int = 0
    failed: int = 0
    skipped: int = 0
    cancelled: int = 0


# What readers see.


@value
class CircuitView:
    """What a reader sees of a circuit: the message Circuit."""

    capability: str
    status: CircuitStatus
    failures: int
    until_ns: int
    trial_token: int


@value
class AgentView:
    """What a reader sees of an agent: the message Agent."""

    spec: AgentSpec
    status: AgentStatus
    session_id: int
    attempt_tokens: tuple[int, ...]
    registered_at_ns: int
    circuits: tuple[CircuitView, ...] = ()


@value
class TaskView:
    """What a reader sees of a task: the message Task."""

    task_id: str
    target: TaskTarget
    status: TaskStatus
    depends_on: tuple[str, ...]
    after: tuple[str, ...]
    group: int
    attempts: int
    attempt_token: int
    agent_id: str
    agent_name: str
    ready_at_ns: int
    assigned_at_ns: int
    finished_at_ns: int
    progress: Progress | None
    error: TaskError | None
    has_result: bool
    priority: int
    metadata: dict[str, str]


@value
class RunView:
    """What a reader sees of a run: the message Run."""

    run_id: str
    name: str
    status: RunStatus
    sequence: int
    counts: TaskCounts
    submitted_at_ns: int
    started_at_ns: int
    finished_at_ns: int
    deadline_ns: int
    cancelling: bool
    tasks: tuple[TaskView, ...] = ()
    metadata: dict[str, str]
    traceparent: str
    generation: int
    open: bool


@value
class ExecutionGroup:
    """One level of a run."""

    task_ids: tuple[str, ...]


@value
class RunPlan:
    """What would happen to a run."""

    groups: tuple[ExecutionGroup, ...]
    critical_path: tuple[str, ...]
    unserved: tuple[TaskTarget, ...]


@value
class LockWaiterView:
    """One who waits for locks: the message LockWaiter."""

    request_sequence: int
    holder: str
    mode: LockMode
    detached: bool
    since_ns: int


@value
class LockView:
    """What a reader sees of a lock: the message Lock."""

    resource: str
    holders: tuple[LockGrant, ...]
    waiters: tuple[LockWaiterView, ...]


@value
class StateEntryView:
    """What a reader sees of a key: the message StateEntry."""

    key: str
    value: JsonValue
    revision: int
    writer: str
    updated_at_ns: int


@value
class TaskResultView:
    """A result of a direct dependency, as handed to a task: the message TaskResult."""

    task_id: str
    agent_name: str
    result: bytes | None
    by_reference: bool


@value
class AgentTaskView:
    """What an agent is sent: the message AgentTask."""

    namespace: str
    run_id: str
    task_id: str
    attempt: int
    attempt_token: int
    capability: str
    input: bytes | None
    context: bytes | None
    results: tuple[TaskResultView, ...]
    locks: tuple[LockGrant, ...]
    deadline_ns: int
    time_left_ns: int | None
    policy: str
    traceparent: str
    metadata: dict[str, str]
    agent_name: str
