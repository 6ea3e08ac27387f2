"""The monitor: figures of the metrics, and of the tables at the same sequence, for whoever asks (M1, M2).

Reading never changes what is counted. How much a reader is shown is bounded by what it asks for, and what may take long
is read in small steps, so that whoever reads can let others have their turn in between.
"""

from __future__ import annotations

import itertools
from collections.abc import Generator, Iterable
from dataclasses import dataclass, field
from typing import Final, TypeVar

from coordinator_service.core import critical_path, lock_queues
from coordinator_service.core.events import EventType
from coordinator_service.core.figures import (
    AgentMetricsView,
    EventMetricsView,
    HealthStatus,
    HealthWindowView,
    MetricsView,
    OrchestrationMetricsView,
    ResourceMetricsView,
    RunMetricsView,
    RunStatusCountView,
    TimesBucketView,
    TimesView,
)
from coordinator_service.core.histogram import BOUNDS_NS, Histogram
from coordinator_service.core.metrics import WINDOW_SECONDS, AgentCounts, Metrics, ResourceCounts, Rhythm
from coordinator_service.core.rejections import NotFound
from coordinator_service.core.state import NamespaceState, RunRow
from coordinator_service.core.values import NS_PER_SECOND, RunStatus, TaskStatus, value

T = TypeVar("T")

CRITICAL_RATE: Final = 0.1
"""A larger share of failures among all events is critical (M1)."""
_NAMES_PER_STEP: Final = 20
"""Agent names or resources after which whoever reads may let others have their turn."""
HOLDERS_NAMED_MAX: Final = 10
"""Holders that are named of a resource."""


@value
class MetricsAsked:
    """How many of each are wanted: the agent names last heard of, the resources waited for longest, the newest runs,
    active ones first; or one run alone."""

    agents_max: int = 100
    resources_max: int = 100
    runs_max: int = 20
    run_id: str = ""


def health(metrics: Metrics, now_ns: int) -> tuple[HealthStatus, HealthWindowView]:
    """M1: how the namespace does, and the figures that say so."""
    second = now_ns // NS_PER_SECOND
    slots = [slot for at, slot in metrics.window.items() if second - WINDOW_SECONDS < at <= second]
    events = sum(slot.events for slot in slots)
    failures = sum(slot.failures for slot in slots)
    rate = failures / events if events else 0.0
    window = HealthWindowView(
        seconds=WINDOW_SECONDS, events=events, failures=failures, failure_rate=rate, sequence=metrics.sequence
    )
    return health_status(window), window


def health_status(window: HealthWindowView) -> HealthStatus:
    """Idle without events, healthy without failures, a warning below CRITICAL_RATE, critical from there on."""
    if not window.events:
        return HealthStatus.IDLE
    if not window.failures:
        return HealthStatus.HEALTHY
    return HealthStatus.WARNING if window.failure_rate < CRITICAL_RATE else HealthStatus.CRITICAL


def measure(
    metrics: Metrics, state: NamespaceState, asked: MetricsAsked, now_ns: int
) -> Generator[None, None, MetricsView]:
    """M2: everything that is counted, with how things stand at the same sequence. Raises NotFound for the run."""
    runs: list[RunMetricsView] = []
    for run in _runs(metrics, state, asked):
        found = yield from _run(run, now_ns)
        runs.append(found)
    agents = yield from _agents(metrics, state, asked.agents_max)
    resources = yield from _resources(metrics, state, asked.resources_max)
    return MetricsView(
        sequence=metrics.sequence,
        time_ns=now_ns,
        orchestrations=orchestrations(metrics, state),
        events=_events(metrics.events),
        agents=agents,
        agents_gone=_agent("", metrics.agents_gone, _Present()),
        resources=resources,
        resources_gone=_resource("", metrics.resources_gone, state),
        runs=tuple(runs),
    )


def _in_steps(views: Iterable[T]) -> Generator[None, None, tuple[T, ...]]:
    """All of them, with a step after every few."""
    found: list[T] = []
    for view in views:
        if len(found) % _NAMES_PER_STEP == 0:
            yield
        found.append(view)
    return tuple(found)


def times(histogram: Histogram) -> TimesView:
    """A histogram with the quantiles that people ask for."""
    if not histogram.count:
        return TimesView()
    return TimesView(
        count=histogram.count,
        sum_ns=histogram.sum_ns,
        mean_ns=histogram.mean_ns,
        p50_ns=histogram.quantile_ns(0.5),
        p90_ns=histogram.quantile_ns(0.9),
        p99_ns=histogram.quantile_ns(0.99),
        max_ns=histogram.max_ns,
        buckets=tuple(
            TimesBucketView(upper_bound_ns=BOUNDS_NS[bucket] if bucket < len(BOUNDS_NS) else None, count=count)
            for bucket, count in sorted(histogram.buckets.items())
        ),
    )


def _events(rhythms: dict[int, Rhythm]) -> tuple[EventMetricsView, ...]:
    return tuple(
        EventMetricsView(
            type=EventType(kind),
            count=rhythm.count,
            last_seen_ns=rhythm.last_ns,
            mean_interval_ns=round(rhythm.interval_ns) if rhythm.count > 1 else None,
        )
        for kind, rhythm in sorted(rhythms.items())
    )


def orchestrations(metrics: Metrics, state: NamespaceState) -> OrchestrationMetricsView:
    """Runs and tasks, sessions and locks, as they stand."""
    active = [state.runs[run_id] for run_id in metrics.runs_active if run_id in state.runs]
    tally: dict[TaskStatus, int] = {}
    for run in active:
        for status, count in run.tally.items():
            tally[status] = tally.get(status, 0) + count
    return OrchestrationMetricsView(
        runs_active=len(active),
        runs_total=_count(metrics, EventType.RUN_SUBMITTED),
        runs_over=tuple(
            RunStatusCountView(status=RunStatus(status), count=count)
            for status, count in sorted(metrics.runs_over.items())
        ),
        makespan=times(metrics.makespans),
        tasks_pending=tally.get(TaskStatus.PENDING, 0),
        tasks_ready=tally.get(TaskStatus.READY, 0),
        tasks_backing_off=tally.get(TaskStatus.BACKING_OFF, 0),
        tasks_running=tally.get(TaskStatus.RUNNING, 0) + tally.get(TaskStatus.CANCELLING, 0),
        tasks_over=sum(count for status, count in tally.items() if status.over),
        sessions=len(state.index.sessions),
        locks_held=len(state.grants),
        lock_requests_waiting=len(state.waiters),
    )


def _count(metrics: Metrics, kind: EventType) -> int:
    rhythm = metrics.events.get(int(kind))
    return 0 if rhythm is None else rhythm.count


# Agents.


@dataclass(slots=True)
class _Present:
    """The agents of a name that have a session now."""

    connected: int = 0
    detached: int = 0
    draining: int = 0
    slots: int = 0
    attempts: int = 0


@dataclass(slots=True)
class _Roster:
    """Who is there, by agent name."""

    by_name: dict[str, _Present] = field(default_factory=dict)

    @classmethod
    def of(cls, state: NamespaceState) -> _Roster:
        """Everybody with a session."""
        roster = cls()
        for agent_id in state.index.sessions.values():
            agent = state.agents[agent_id]
            present = roster.by_name.setdefault(agent.spec.agent_name, _Present())
            present.connected += 1
            present.detached += not agent.attached
            present.draining += agent.draining
            present.slots += agent.spec.slots
            present.attempts += len(agent.attempts)
        return roster


def _agents(
    metrics: Metrics, state: NamespaceState, count_max: int
) -> Generator[None, None, tuple[AgentMetricsView, ...]]:
    roster = _Roster.of(state)
    newest = itertools.islice(reversed(metrics.agents.items()), count_max)
    return _in_steps(_agent(name, counts, roster.by_name.get(name, _Present())) for name, counts in newest)


def _agent(name: str, counts: AgentCounts, present: _Present) -> AgentMetricsView:
    ended = counts.successes + counts.failures
    return AgentMetricsView(
        agent_name=name,
        last_seen_ns=counts.last_ns,
        events=_events(counts.events),
        executions=counts.executions,
        successes=counts.successes,
        failures=counts.failures,
        lost=counts.lost,
        cancelled=counts.cancelled,
        failure_rate=counts.failures / ended if ended else 0.0,
        execution=times(counts.executing),
        waiting=times(counts.waiting),
        agents_connected=present.connected,
        agents_detached=present.detached,
        agents_draining=present.draining,
        slots=present.slots,
        attempts_running=present.attempts,
    )


# Resources.


def _resources(
    metrics: Metrics, state: NamespaceState, count_max: int
) -> Generator[None, None, tuple[ResourceMetricsView, ...]]:
    """The most contended first: by time waited for them, then by acquisitions, then by name."""
    ranked = sorted(
        metrics.resources.items(), key=lambda each: (-each[1].waited.sum_ns, -each[1].acquisitions, each[0])
    )
    return _in_steps(_resource(name, counts, state) for name, counts in ranked[:count_max])


def _resource(name: str, counts: ResourceCounts, state: NamespaceState) -> ResourceMetricsView:
    claims = state.index.claims.get(name, {})
    row = state.locks.get(name)
    return ResourceMetricsView(
        resource=name,
        last_seen_ns=counts.last_ns,
        acquisitions=counts.acquisitions,
        waits=counts.waits,
        timed_out=counts.timed_out,
        waited=times(counts.waited),
        held=times(counts.held),
        holders=() if row is None else tuple(itertools.islice(row.holders, HOLDERS_NAMED_MAX)),
        queue_length=len(lock_queues.waiting_for(state, name)),
        tasks_waiting=sum(1 for each in claims.values() for _ in each.every),
    )


# Runs.


def _runs(metrics: Metrics, state: NamespaceState, asked: MetricsAsked) -> Iterable[RunRow]:
    if asked.run_id:
        run = state.runs.get(asked.run_id)
        if run is None:
            raise NotFound("run", asked.run_id)
        return (run,)
    active = (state.runs[each] for each in reversed(metrics.runs_active) if each in state.runs)
    over = (run for run in reversed(state.runs.values()) if run.status.over)
    return itertools.islice(itertools.chain(active, over), asked.runs_max)


def _run(run: RunRow, now_ns: int) -> Generator[None, None, RunMetricsView]:
    until_ns = run.finished_at_ns if run.status.over else now_ns
    path = yield from critical_path.of(run, now_ns)
    makespan_ns = max(0, until_ns - run.began_at_ns)
    over = len(run.tasks) - run.unfinished
    running = [task for task in run.tasks.values() if task.progress is not None and not task.status.over]
    done = over + sum(min(1.0, max(0.0, task.progress.fraction)) for task in running if task.progress is not None)
    return RunMetricsView(
        run_id=run.run_id,
        name=run.spec.name,
        status=run.status,
        tasks=len(run.tasks),
        tasks_over=over,
        progress=done / len(run.tasks) if run.tasks else 0.0,
        makespan_ns=makespan_ns,
        critical_path=path.task_ids,
        critical_path_time_ns=path.time_ns,
        makespan_ratio=makespan_ns / path.time_ns if path.time_ns else 0.0,
    )
