"""The state of a namespace: everything that affects a decision lives here.

`Tables` is what a fold of the log produces and what a snapshot holds: rows keyed by id, nothing else. Only `apply`
changes it. `Index` is derived from the tables and can be rebuilt from them at any time: queues, deadlines, look-ups.
`apply` keeps it in step; a decision may tidy it (drop entries that no longer stand for anything), since that changes no
fact.

Order matters and is always the order of insertion, never that of a set or a hash (D1).
"""

from __future__ import annotations

import heapq
from collections import OrderedDict, deque
from dataclasses import dataclass, field
from typing import TypeAlias

from coordinator_service.core.limits import Limits
from coordinator_service.core.policies import BUILT_IN_POLICIES
from coordinator_service.core.sorted_keys import SortedKeys
from coordinator_service.core.specs import (
    AgentCapabilities,
    AgentSpec,
    LockRequest,
    Policy,
    Progress,
    RunSpec,
    TaskError,
    TaskSpec,
)
from coordinator_service.core.values import (
    AgentStatus,
    CircuitStatus,
    JsonValue,
    LockMode,
    RunStatus,
    TaskStatus,
    row,
    value,
)

NEVER_NS = 2**63 - 1
"""Later than anything."""

QueueKey: TypeAlias = tuple[int, int, int]
"""R5: the ageing slot, the run's load when queued, the sequence. Smaller comes first."""

Claim: TypeAlias = tuple[QueueKey, str, str]
"""A ready task that waits for locks (R7): its turn, its run and its id."""

ClaimKind: TypeAlias = tuple[LockMode, str, str, str]
"""What claims on a resource have in common: mode, pool, the run where it has a limit, the policy."""


@row
class CircuitRow:
    """An agent's circuit for a capability (R14). window holds (begin, attempts, failures) of parts of the window."""

    status: CircuitStatus = CircuitStatus.CLOSED
    failures: int = 0
    window: tuple[tuple[int, int, int], ...] = ()
    until_ns: int = 0
    opened_sequence: int = 0
    trial_token: int = 0


@row
class AgentRow:
    """An agent instance. session_id is 0 when it is disconnected."""

    spec: AgentSpec
    principal: str
    session_id: int
    lease_ns: int
    registered_at_ns: int
    attached_sequence: int = 0
    """The event that began its latest stream."""
    attached: bool = True
    draining: bool = False
    disconnected_at_ns: int = 0
    attempts: dict[int, None] = field(default_factory=dict)
    grants: dict[int, None] = field(default_factory=dict)
    waiters: dict[int, None] = field(default_factory=dict)
    circuits: dict[str, CircuitRow] = field(default_factory=dict)
    """By capability; empty while nothing failed."""

    @property
    def status(self) -> AgentStatus:
        """Whether its session lives."""
        if not self.session_id:
            return AgentStatus.DISCONNECTED
        if not self.attached:
            return AgentStatus.DETACHED
        return AgentStatus.DRAINING if self.draining else AgentStatus.ATTACHED


@row
class TaskRow:
    """A task. waiting_for counts the tasks that still have to be over before it is ready."""

    spec: TaskSpec
    sequence: int
    group: int
    depends_on: tuple[str, ...]
    after: tuple[str, ...]
    policy: str
    priority: int
    status: TaskStatus = TaskStatus.PENDING
    waiting_for: int = 0
    queue_key: QueueKey = (0, 0, 0)
    ready_at_ns: int = 0
    assigned_at_ns: int = 0
    finished_at_ns: int = 0
    attempts: int = 0
    failures: int = 0
    losses: int = 0
    attempt_token: int = 0
    agent_id: str = ""
    agent_name: str = ""
    progress: Progress | None = None
    error: TaskError | None = None
    result: bytes | None = None
    has_result: bool = False
    result_sequence: int = 0
    over_sequence: int = 0
    again_sequence: int = 0
    """The event that has it tried again, the latest of them."""


@row
class RunRow:
    """A run. cancel_reason is empty unless it is being stopped; cancel_status is how it will then end."""

    run_id: str
    sequence: int
    spec: RunSpec
    principal: str
    traceparent: str
    submitted_at_ns: int
    deadline_ns: int
    tasks: dict[str, TaskRow] = field(default_factory=dict)
    status: RunStatus = RunStatus.PENDING
    started_at_ns: int = 0
    finished_at_ns: int = 0
    completed_sequence: int = 0
    tally: dict[TaskStatus, int] = field(default_factory=dict)
    cancel_reason: str = ""
    cancel_status: RunStatus = RunStatus.UNSPECIFIED
    generation: int = 1
    retried_at_ns: int = 0
    open: bool = False
    """Whether tasks may be added to it from outside."""

    @property
    def began_at_ns(self) -> int:
        """When its generation began."""
        return self.retried_at_ns or self.submitted_at_ns

    def move(self, task: TaskRow, status: TaskStatus) -> None:
        """Gives a task of the run another status."""
        self.tally[task.status] -= 1
        self.tally[status] = self.tally.get(status, 0) + 1
        task.status = status

    def count(self, *statuses: TaskStatus) -> int:
        """How many tasks have one of these statuses."""
        found = 0
        for status in statuses:
            found += self.tally.get(status, 0)
        return found

    @property
    def running(self) -> int:
        """Tasks that an agent has."""
        return self.tally.get(TaskStatus.RUNNING, 0) + self.tally.get(TaskStatus.CANCELLING, 0)

    @property
    def load(self) -> int:
        """Tasks ready or running (R5)."""
        return self.tally.get(TaskStatus.READY, 0) + self.running

    @property
    def unfinished(self) -> int:
        """Tasks that are not over."""
        over = (TaskStatus.SUCCEEDED, TaskStatus.FAILED, TaskStatus.SKIPPED, TaskStatus.CANCELLED)
        return len(self.tasks) - self.count(*over)


@row
class AttemptRow:
    """A live attempt. fenced_at_ns is 0 until the agent is told to stop."""

    token: int
    run_id: str
    task_id: str
    agent_id: str
    session_id: int
    assigned_at_ns: int
    deadline_ns: int
    policy: str
    started_sequence: int = 0
    fenced_at_ns: int = 0
    cancel_reason: str = ""
    cancel_sequence: int = 0
    conflict_sequence: int = 0
    grants: dict[int, None] = field(default_factory=dict)
    waiters: dict[int, None] = field(default_factory=dict)
    lost: dict[int, str] = field(default_factory=dict)
    """Fencing tokens and resources of the locks that it did not give back itself, and has no more (L8)."""


@row
class GrantRow:
    """A granted lock. count is how many requests of its holder stand on it."""

    token: int
    request_sequence: int
    resource: str
    mode: LockMode
    holder: str
    principal: str
    lease_ns: int
    session_id: int
    attempt_token: int
    guards: str
    count: int = 1
    guards_also: tuple[str, ...] = ()
    """Paths that later requests of its holder guard."""
    granted_at_ns: int = 0


@row
class WaiterRow:
    """A lock request that waits. request_key names its idempotency row, empty when it has none."""

    request_sequence: int
    requests: tuple[LockRequest, ...]
    holder: str
    principal: str
    session_id: int
    attempt_token: int
    deadline_ns: int
    queue_key: QueueKey
    since_ns: int
    request_key: str
    traceparent: str
    attached: bool = True
    grace_until_ns: int = 0
    passes: tuple[int, ...] = ()
    """Sequences of the earlier waiters that wait for this one instead of it for them (L2)."""


@row
class LockRow:
    """A lock that is held: who holds it (by fencing token), and how."""

    mode: LockMode
    holders: dict[str, int] = field(default_factory=dict)


@value
class Change:
    """A change of one state path: what a conflict tells of it."""

    revision: int
    time_ns: int
    writer: str
    key: str
    traceparent: str
    priority: int = 0


@row
class Trail:
    """The latest change, and the latest by another writer than that one; the same of changes other than appends.

    Two of each are enough to say, for any writer, which was the latest change by somebody else. above are changes
    before the latest, oldest first, each of a higher priority than all that came after it: at most nine.
    """

    latest: Change | None = None
    latest_other: Change | None = None
    hard: Change | None = None
    hard_other: Change | None = None
    above: tuple[Change, ...] = ()
    hard_above: tuple[Change, ...] = ()


@row
class PathRow:
    """The changes of a path itself, and of everything at and under it."""

    own: Trail = field(default_factory=Trail)
    under: Trail = field(default_factory=Trail)


@row
class EntryRow:
    """A key of shared state."""

    value: JsonValue
    revision: int
    writer: str
    updated_at_ns: int


@row
class PastValue:
    """What a key held before a change; entry is None when it was not there, or when its value is too large to keep."""

    key: str
    entry: EntryRow | None
    kept: bool = True


@row
class PastRow:
    """What a change of shared state put an end to (S1)."""

    time_ns: int
    values: tuple[PastValue, ...]


@row
class RequestRow:
    """A remembered request (D5). For an acquire, outcome is how it ended and tokens what it was granted."""

    digest: bytes
    first_sequence: int
    count: int
    time_ns: int
    outcome: str = ""
    tokens: tuple[int, ...] = ()


@row
class PublishedRow:
    """A publisher's event_id (D5)."""

    sequence: int
    time_ns: int


@row
class EvictedRow:
    """A run that is no longer in memory: where the log has it, and how it ended."""

    first_sequence: int
    last_sequence: int
    status: RunStatus
    finished_at_ns: int = 0


@dataclass(slots=True, kw_only=True)
class Tables:
    """The facts. A snapshot holds exactly this."""

    sequence: int = 0
    time_ns: int = 0
    epoch: int = 0
    log_format: int = 0
    owner_since_ns: int = 0
    limits: Limits = field(default_factory=Limits)
    policies: dict[str, Policy] = field(default_factory=lambda: dict(BUILT_IN_POLICIES))
    policies_digest: str = ""
    policies_superseded: dict[str, int] = field(default_factory=dict)
    """Digests that were in force, and the time at which another one took their place; the oldest first."""
    agent_capabilities: dict[str, AgentCapabilities] = field(default_factory=dict)
    agents: dict[str, AgentRow] = field(default_factory=dict)
    roles: dict[str, AgentSpec] = field(default_factory=dict)
    runs: dict[str, RunRow] = field(default_factory=dict)
    attempts: dict[int, AttemptRow] = field(default_factory=dict)
    locks: dict[str, LockRow] = field(default_factory=dict)
    grants: dict[int, GrantRow] = field(default_factory=dict)
    waiters: dict[int, WaiterRow] = field(default_factory=dict)
    entries: dict[str, EntryRow] = field(default_factory=dict)
    paths: dict[str, PathRow] = field(default_factory=dict)
    forgotten_revision: int = 0
    """The latest change that no path remembers any more."""
    past: dict[int, PastRow] = field(default_factory=dict)
    """Earlier values, by the revision of the change that ended them, the oldest first."""
    past_values: int = 0
    past_from: int = 0
    """Memory knows what every key held at this revision and later."""
    requests: dict[str, RequestRow] = field(default_factory=dict)
    published: dict[str, PublishedRow] = field(default_factory=dict)
    evicted: dict[str, EvictedRow] = field(default_factory=dict)
    tasks_live: int = 0


@dataclass(slots=True)
class Pool:
    """Ready tasks that ask for the same target, and the agents that could take them by load.

    Both are heaps with entries that may no longer stand; whoever takes from them checks. listed keeps an agent from
    being entered twice under one load.
    """

    ready: list[tuple[QueueKey, str, str]] = field(default_factory=list)
    idle: list[tuple[int, str]] = field(default_factory=list)
    listed: set[tuple[int, str]] = field(default_factory=set)
    capability: str = ""
    """What its tasks ask for; empty where they name an agent."""
    members: dict[str, None] = field(default_factory=dict)
    """Ids of the agents that are connected and declare the target."""


@dataclass(slots=True, kw_only=True, eq=False)
class Place:
    """A waiter as the lock queues and the wait-for graph see it.

    passes are the earlier waiters that have to wait for this one instead of it for them, passed_by those that it has to
    wait for though they come later (L2).
    """

    sequence: int
    key: QueueKey
    holder: str
    wants: dict[str, LockMode]
    blocks: bool = True
    """Whether it stands in the way of others. Otherwise it is set aside (L6)."""
    entangled: bool = False
    """Whether a way through the wait-for graph may lead through it and leave its queue: somebody waits for what its
    holder holds, or its holder waits for more than this, or it is out of its order."""
    passes: frozenset[int] = frozenset()
    passed_by: frozenset[int] = frozenset()


@dataclass(slots=True)
class LockQueue:
    """Who waits for one resource, in the order of their turn."""

    exclusive: SortedKeys[tuple[QueueKey, int]] = field(default_factory=SortedKeys)
    shared: SortedKeys[tuple[QueueKey, int]] = field(default_factory=SortedKeys)
    entangled: SortedKeys[tuple[QueueKey, int]] = field(default_factory=SortedKeys)
    """Those of both that are entangled."""
    aside: dict[int, None] = field(default_factory=dict)
    """Those that neither are granted nor block anybody, until they come back (L6)."""
    passing: dict[int, None] = field(default_factory=dict)
    """Those that pass others."""


@dataclass(slots=True)
class ClaimQueue:
    """Claims of one kind on one resource in the order of their turn: all of them, and those that waited long enough.

    young are the others, by the time at which they were ready.
    """

    every: SortedKeys[Claim] = field(default_factory=SortedKeys)
    young: SortedKeys[tuple[int, Claim]] = field(default_factory=SortedKeys)
    reserved: SortedKeys[Claim] = field(default_factory=SortedKeys)
    aged: dict[Claim, None] = field(default_factory=dict)
    """The same as reserved, to look one up."""


@dataclass(slots=True)
class Index:
    """What is derived from the tables."""

    sessions: dict[int, str] = field(default_factory=dict)
    pools: dict[str, Pool] = field(default_factory=dict)
    stirred: dict[str, None] = field(default_factory=dict)
    """Pools in which an assignment may have become possible."""
    parked: dict[str, list[tuple[QueueKey, str, str]]] = field(default_factory=dict)
    """Ready tasks behind a limit or a lock, by the gate that has to open."""
    opened: dict[str, None] = field(default_factory=dict)
    """Gates through which a parked task may fit now."""
    policy_running: dict[str, int] = field(default_factory=dict)
    dependents: dict[tuple[str, str], list[str]] = field(default_factory=dict)
    """(run, task) to the ids of the tasks that wait for it."""
    lock_queues: dict[str, LockQueue] = field(default_factory=dict)
    places: dict[int, Place] = field(default_factory=dict)
    """Everybody in the lock queues, by sequence."""
    waiting: dict[tuple[str, str], dict[int, None]] = field(default_factory=dict)
    """Their sequences by resource and holder."""
    waits_of: dict[str, dict[int, None]] = field(default_factory=dict)
    """Their sequences by holder."""
    grants_of: dict[str, dict[int, None]] = field(default_factory=dict)
    """Fencing tokens by holder."""
    awaited: dict[str, int] = field(default_factory=dict)
    """How many locks of a holder somebody may wait for: those it shares, and others that have a queue."""
    holding_back: bool = False
    """Whether detached waiters may still be in the queues, to block others for a while after an owner change (L6)."""
    guarded: dict[str, dict[int, None]] = field(default_factory=dict)
    """Guarded paths to the fencing tokens of the locks that guard them (S6)."""
    guarded_within: dict[str, dict[int, None]] = field(default_factory=dict)
    """The same for each path above a guarded one too."""
    claims: dict[str, dict[ClaimKind, ClaimQueue]] = field(default_factory=dict)
    """Ready tasks that wait for locks, by resource (R7)."""
    held_up: dict[str, dict[str, None]] = field(default_factory=dict)
    """Pools to resources on which a claim of one of their tasks was seen to hold somebody up."""
    freed: dict[str, None] = field(default_factory=dict)
    """Resources on which a claim may hold up nobody any more."""
    keys: SortedKeys[str] = field(default_factory=SortedKeys)
    """Keys of shared state."""
    past: deque[int] = field(default_factory=deque)
    """Revisions of changes whose earlier values are kept, the oldest first: to find it, a dict would walk past all that
    were taken out before it."""
    gone: OrderedDict[str, tuple[int, int]] = field(default_factory=OrderedDict)
    """Paths that were deleted or cleared: the time and revision of that, the oldest first."""
    gone_held: bool = False
    """Whether some of them are kept for an attempt that lives."""
    deadlines: list[tuple[int, str, int, str, str]] = field(default_factory=list)
    """A heap of (time, kind, number, run, task); each is checked against the tables when it comes due."""
    deadlines_tidy_at: int = 1000
    acquires: dict[int, RequestRow] = field(default_factory=dict)
    """Remembered acquires by the sequence of their request."""
    request_ages: deque[tuple[int, str, int]] = field(default_factory=deque)
    """Time, key and sequence, the oldest first; an entry whose row has another sequence stands for nothing."""
    published_ages: deque[tuple[int, str, int]] = field(default_factory=deque)
    finished_runs: deque[tuple[int, str]] = field(default_factory=deque)
    evicted_ages: deque[tuple[int, str]] = field(default_factory=deque)
    disconnected: list[tuple[int, str]] = field(default_factory=list)
    """A heap, so that those of one time have one order."""
    forget_at_ns: int = 0
    """When the oldest of those five, or of what shared state remembers, has to go (D8)."""


class NamespaceState(Tables):
    """The tables of a namespace and their index."""

    __slots__ = ("index", "namespace")

    def __init__(self, namespace: str, tables: Tables | None = None) -> None:
        if tables is None:
            super().__init__()
        else:
            super().__init__(**{name: getattr(tables, name) for name in Tables.__dataclass_fields__})
        self.namespace = namespace
        self.index = Index()

    def tables(self) -> Tables:
        """The facts alone, sharing the rows."""
        return Tables(**{name: getattr(self, name) for name in Tables.__dataclass_fields__})

    def task(self, run_id: str, task_id: str) -> TaskRow:
        """A task that is known to be there."""
        return self.runs[run_id].tasks[task_id]

    def agent_of_session(self, session_id: int) -> AgentRow | None:
        """The agent of a session that lives."""
        agent_id = self.index.sessions.get(session_id)
        return None if agent_id is None else self.agents[agent_id]

    def forget_at(self, time_ns: int) -> None:
        """Notes that there is something to forget at a time."""
        if time_ns < self.index.forget_at_ns:
            self.index.forget_at_ns = time_ns

    def open_gate(self, gate: str) -> None:
        """Notes that a task parked at a gate may fit through it now."""
        if gate in self.index.parked:
            self.index.opened[gate] = None

    def open_gates(self) -> None:
        """Notes that limits changed: every parked task is to be looked at again."""
        self.index.opened.update(dict.fromkeys(self.index.parked))

    def reconsider_claims(self) -> None:
        """Notes that limits changed, or who waits for whom: whoever is held up by a claim is to be looked at again."""
        for resources in self.index.held_up.values():
            self.index.freed.update(resources)
        self.index.held_up.clear()

    def add_deadline(self, time_ns: int, kind: str, number: int = 0, run_id: str = "", task_id: str = "") -> None:
        """Notes that a decision may be due at a time."""
        heapq.heappush(self.index.deadlines, (time_ns, kind, number, run_id, task_id))
