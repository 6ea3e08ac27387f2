"""Figures: what a reader sees of the metrics and of health.

Each class mirrors the message of its name in protos/concert/v1/metrics.proto, as those of specs.py do.
"""

from __future__ import annotations

from dataclasses import field
from enum import IntEnum

from coordinator_service.core.events import EventType
from coordinator_service.core.values import RunStatus, value


class HealthStatus(IntEnum):
    """How a namespace, or a part of the coordinator, does (M1)."""

    IDLE = 1
    HEALTHY = 2
    WARNING = 3
    CRITICAL = 4


@value
class TimesBucketView:
    """How many took longer than the bound before and no longer than this one; none for what is above all bounds."""

    upper_bound_ns: int | None
    count: int


@value
class TimesView:
    """How long something took, over and over."""

    count: int = 0
    sum_ns: int | None = None
    mean_ns: int | None = None
    p50_ns: int | None = None
    p90_ns: int | None = None
    p99_ns: int | None = None
    max_ns: int | None = None
    buckets: tuple[TimesBucketView, ...] = ()


@value
class EventMetricsView:
    """One type of event, of everybody or of one agent name."""

    type: EventType
    count: int
    last_seen_ns: int
    mean_interval_ns: int | None


@value
class AgentMetricsView:
    """One agent name. The last five are of now, everything else since the log began."""

    agent_name: str = ""
    last_seen_ns: int = 0
    events: tuple[EventMetricsView, ...] = ()
    executions: int = 0
    successes: int = 0
    failures: int = 0
    lost: int = 0
    cancelled: int = 0
    failure_rate: float = 0.0
    execution: TimesView = field(default_factory=TimesView)
    waiting: TimesView = field(default_factory=TimesView)
    agents_connected: int = 0
    agents_detached: int = 0
    agents_draining: int = 0
    slots: int = 0
    attempts_running: int = 0


@value
class ResourceMetricsView:
    """One resource. holders, queue_length and tasks_waiting are of now."""

    resource: str = ""
    last_seen_ns: int = 0
    acquisitions: int = 0
    waits: int = 0
    timed_out: int = 0
    waited: TimesView = field(default_factory=TimesView)
    held: TimesView = field(default_factory=TimesView)
    holders: tuple[str, ...] = ()
    queue_length: int = 0
    tasks_waiting: int = 0


@value
class RunMetricsView:
    """One run: how far it is, and how its makespan compares with the longest chain of its executions."""

    run_id: str
    name: str
    status: RunStatus
    tasks: int
    tasks_over: int
    progress: float
    makespan_ns: int | None
    critical_path: tuple[str, ...]
    critical_path_time_ns: int | None
    makespan_ratio: float


@value
class RunStatusCountView:
    """How many runs ended so."""

    status: RunStatus
    count: int


@value
class OrchestrationMetricsView:
    """Runs and tasks of the namespace. tasks_* are of the runs that are active now."""

    runs_active: int = 0
    runs_total: int = 0
    runs_over: tuple[RunStatusCountView, ...] = ()
    makespan: TimesView = field(default_factory=TimesView)
    tasks_pending: int = 0
    tasks_ready: int = 0
    tasks_backing_off: int = 0
    tasks_running: int = 0
    tasks_over: int = 0
    sessions: int = 0
    locks_held: int = 0
    lock_requests_waiting: int = 0


@value
class MetricsView:
    """Everything, true at sequence."""

    sequence: int = 0
    time_ns: int = 0
    orchestrations: OrchestrationMetricsView = field(default_factory=OrchestrationMetricsView)
    events: tuple[EventMetricsView, ...] = ()
    agents: tuple[AgentMetricsView, ...] = ()
    agents_gone: AgentMetricsView = field(default_factory=AgentMetricsView)
    resources: tuple[ResourceMetricsView, ...] = ()
    resources_gone: ResourceMetricsView = field(default_factory=ResourceMetricsView)
    runs: tuple[RunMetricsView, ...] = ()


@value
class HealthWindowView:
    """What the health of a namespace is computed from."""

    seconds: int
    events: int
    failures: int
    failure_rate: float
    sequence: int = 0
