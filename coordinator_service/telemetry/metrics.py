"""Metrics for Prometheus: families made from what is counted elsewhere, when somebody scrapes.

Nothing is counted here, and nothing on the way of a decision knows of it: the figures are folds of the log, and what
store, subscriptions and the export of spans count of themselves. Labels are namespaces, agent names, types and states,
never ids; of namespaces and agent names there are at most as many as said, the rest of the names stand together.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Final, Protocol

from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily, InfoMetricFamily
from prometheus_client.metrics_core import Metric
from prometheus_client.registry import Collector

from coordinator_service.core.events import EventType
from coordinator_service.core.histogram import BOUNDS_NS, Histogram
from coordinator_service.core.metrics import AgentCounts
from coordinator_service.core.totals import Totals
from coordinator_service.core.values import NS_PER_SECOND
from coordinator_service.log.timings import LogTimings
from coordinator_service.telemetry.counts import DROPPED, SpanCounts

AGENTS_SHOWN_MAX: Final = 100
NAMESPACES_SHOWN_MAX: Final = 50
_SHOWN_BOUNDS: Final = tuple(index for index in range(0, len(BOUNDS_NS), 3))
"""Every third bound: 1 and 3 of each decade. What lies between is added up, so that nothing is estimated."""


@dataclass(frozen=True, slots=True, kw_only=True)
class NamespaceReading:
    """What is read of a namespace. totals is None while it cannot be served."""

    namespace: str
    totals: Totals | None = None
    inbox_commands: int = 0
    subscriptions: int = 0
    subscription_lag_events: int = 0
    """Of the subscription that is furthest behind."""


class PolicyFile(Protocol):
    """How a policy file stands."""

    @property
    def loaded_at_ns(self) -> int:
        """When the last good one was read."""

    @property
    def fault(self) -> str:
        """What is wrong with it now; empty when nothing is."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Reading:
    """Everything, at one moment."""

    version: str
    replica_id: str
    namespaces: tuple[NamespaceReading, ...] = ()
    namespaces_left_out: int = 0
    spans: SpanCounts | None = None
    span_lags: Mapping[str, int] = field(default_factory=dict)
    """Events whose spans are not exported yet, by namespace: of those that are exported from here."""
    timings: LogTimings | None = None
    policy_file: PolicyFile | None = None
    refusals: Mapping[str, int] | None = None
    """Refused calls and commands by reason, where callers are authenticated."""


@dataclass(eq=False, slots=True)
class CoordinatorCollector(Collector):
    """Shows the last reading. The endpoint takes a new one before each scrape."""

    reading: Reading | None = None

    def collect(self) -> Iterable[Metric]:
        """The families."""
        if self.reading is None:
            return
        yield from _of_server(self.reading)
        yield from _of_namespaces(self.reading.namespaces)
        if self.reading.timings is not None:
            yield from _of_log(self.reading.timings)
        if self.reading.spans is not None:
            yield from _of_spans(self.reading.spans, self.reading.span_lags)


def _of_server(reading: Reading) -> Iterator[Metric]:
    info = {"version": reading.version, "replica_id": reading.replica_id}
    yield InfoMetricFamily("concert_build", "Which coordinator this is.", value=info)
    yield GaugeMetricFamily(
        "concert_namespaces_left_out",
        "Namespaces that are owned here and not shown, because there are too many.",
        value=reading.namespaces_left_out,
    )
    if reading.refusals is not None:
        refusals = CounterMetricFamily(
            "concert_refusals",
            "Calls and commands that were refused for who made them, or for how many.",
            labels=["reason"],
        )
        for reason, count in reading.refusals.items():
            refusals.add_metric([reason], count)
        yield refusals
    if reading.policy_file is not None:
        yield GaugeMetricFamily(
            "concert_policy_file_ok",
            "1 while the policy file is good; 0 while it is bad and the last good one stays in use.",
            value=0 if reading.policy_file.fault else 1,
        )
        yield GaugeMetricFamily(
            "concert_policy_file_loaded_timestamp_seconds",
            "When the policy file that is in use was read.",
            value=reading.policy_file.loaded_at_ns / NS_PER_SECOND,
        )


# Namespaces.


@dataclass(slots=True)
class _Families:
    """Families under construction, in the order in which they were first added to."""

    by_name: dict[str, Metric] = field(default_factory=dict)

    def gauge(self, name: str, says: str, labels: Mapping[str, str], value: float) -> None:
        family = self.by_name.setdefault(name, GaugeMetricFamily(name, says, labels=list(labels)))
        assert isinstance(family, GaugeMetricFamily)
        family.add_metric(list(labels.values()), value)

    def counter(self, name: str, says: str, labels: Mapping[str, str], value: float) -> None:
        family = self.by_name.setdefault(name, CounterMetricFamily(name, says, labels=list(labels)))
        assert isinstance(family, CounterMetricFamily)
        family.add_metric(list(labels.values()), value)

    def times(self, name: str, says: str, labels: Mapping[str, str], histogram: Histogram) -> None:
        family = self.by_name.setdefault(name, HistogramMetricFamily(name, says, labels=list(labels)))
        assert isinstance(family, HistogramMetricFamily)
        buckets = _cumulative(histogram)
        family.add_metric(list(labels.values()), buckets, histogram.sum_ns / NS_PER_SECOND)


def _of_namespaces(readings: Iterable[NamespaceReading]) -> Iterator[Metric]:
    families = _Families()
    for each in readings:
        label = {"namespace": each.namespace}
        families.gauge("concert_namespace_up", "Whether the namespace can be served.", label, each.totals is not None)
        families.gauge("concert_inbox_commands", "Commands that wait to be decided.", label, each.inbox_commands)
        families.gauge("concert_subscriptions", "Subscriptions that are read now.", label, each.subscriptions)
        families.gauge(
            "concert_subscription_lag_events",
            "Events that the subscription furthest behind has not looked at.",
            label,
            each.subscription_lag_events,
        )
        if each.totals is not None:
            _add_totals(families, label, each.totals)
            for name, counts in each.totals.agents.items():
                _add_agent(families, {**label, "agent_name": name}, counts)
    yield from families.by_name.values()


def _add_totals(families: _Families, label: Mapping[str, str], totals: Totals) -> None:
    now = totals.orchestrations
    families.gauge("orchestration_active_count", "Runs that are active.", label, now.runs_active)
    for status in now.runs_over:
        labels = {**label, "status": status.status.name.lower()}
        families.counter("concert_runs", "Runs that ended, by how.", labels, status.count)
    families.times("concert_run_seconds", "From submission to the end of a run.", label, totals.makespans)
    for name in ("pending", "ready", "backing_off", "running"):
        count = getattr(now, f"tasks_{name}")
        families.gauge("concert_tasks", "Tasks of active runs, by state.", {**label, "state": name}, count)
    families.gauge("concert_sessions", "Sessions of agents.", label, now.sessions)
    families.gauge("concert_locks_held", "Locks that are held.", label, now.locks_held)
    families.gauge("concert_lock_requests_waiting", "Lock requests that wait.", label, now.lock_requests_waiting)
    families.gauge("concert_state_keys", "Keys of shared state.", label, totals.state_keys)
    families.gauge("concert_log_last_sequence", "The last committed sequence.", label, totals.sequence)
    families.gauge(
        "concert_health_failure_rate",
        "Share of failures among the events of the last five minutes.",
        label,
        totals.window.failure_rate,
    )
    for kind, count in sorted(totals.events.items()):
        families.counter(
            "concert_events", "Decisions that became events, by type.", {**label, "type": kind.lower()}, count
        )
    conflicts = totals.events.get(EventType.CONFLICT_DETECTED.name, 0)
    families.counter("concert_conflicts", "Conflicts of two writers on shared state.", label, conflicts)
    locks = totals.locks
    families.counter("concert_lock_acquisitions", "Locks granted.", label, locks.acquisitions)
    families.counter("concert_lock_waits", "Lock requests that had to wait, for each resource.", label, locks.waits)
    families.counter("concert_lock_wait_timeouts", "Waits for locks that ended without them.", label, locks.timed_out)
    families.times("concert_lock_wait_seconds", "How long locks were waited for.", label, locks.waited)
    families.times("concert_lock_hold_seconds", "How long locks were held.", label, locks.held)


def _add_agent(families: _Families, labels: Mapping[str, str], counts: AgentCounts) -> None:
    ended = counts.successes + counts.failures
    families.times(
        "orchestration_agent_execution_time",
        "Seconds from the assignment of an attempt to its end.",
        labels,
        counts.executing,
    )
    families.gauge(
        "orchestration_agent_failure_rate",
        "Share of failures among the attempts of an agent that ended by themselves.",
        labels,
        counts.failures / ended if ended else 0.0,
    )
    families.times(
        "concert_coordination_wait_seconds",
        "How long tasks that could have started waited for an agent, a slot or a lock.",
        labels,
        counts.waiting,
    )
    families.counter("concert_attempts", "Attempts that began.", labels, counts.executions)
    for outcome in ("successes", "failures", "cancelled"):
        count = getattr(counts, outcome)
        families.counter("concert_attempts_over", "Attempts that ended.", {**labels, "outcome": outcome}, count)
    families.counter("concert_attempts_lost", "Failed attempts whose session was lost.", labels, counts.lost)


def _cumulative(histogram: Histogram) -> list[tuple[str, float]]:
    """Prometheus counts a bucket with all below it."""
    counts = dict(histogram.buckets)
    shown: list[tuple[str, float]] = []
    below, index = 0, 0
    for bound in _SHOWN_BOUNDS:
        while index <= bound:
            below += counts.get(index, 0)
            index += 1
        shown.append((_seconds(BOUNDS_NS[bound]), below))
    shown.append(("+Inf", sum(counts.values())))
    return shown


def _seconds(time_ns: int) -> str:
    return repr(time_ns / NS_PER_SECOND)


# The store.


def _of_log(timings: LogTimings) -> Iterator[Metric]:
    families = _Families()
    families.times("concert_log_append_seconds", "From handing a batch over to it being durable.", {}, timings.appends)
    families.times("concert_log_fsync_seconds", "Writing and fsync of one transaction.", {}, timings.commits)
    families.counter("concert_log_errors", "Transactions of the log that failed.", {}, timings.errors)
    yield from families.by_name.values()
    batches = HistogramMetricFamily("concert_log_batch_events", "Events that were made durable together.")
    below, buckets = 0, []
    counts = dict(timings.batches)
    for bits in range(1, max(counts, default=0) + 1):
        below += counts.get(bits, 0)
        buckets.append((str(float(2**bits - 1)), float(below)))
    batches.add_metric([], [*buckets, ("+Inf", float(sum(counts.values())))], timings.events)
    yield batches


# Spans.


def _of_spans(counts: SpanCounts, lags: Mapping[str, int]) -> Iterator[Metric]:
    families = _Families()
    families.counter("concert_spans_exported", "Spans that the collector took.", {}, counts.exported)
    families.counter("concert_spans_unsampled", "Events whose trace is not sampled.", {}, counts.unsampled)
    families.counter("concert_span_export_retries", "Requests to the collector made again.", {}, counts.retries)
    for reason in DROPPED:
        dropped = counts.dropped[reason]
        families.counter("concert_spans_dropped", "Spans that are lost, by why.", {"reason": reason}, dropped)
    families.gauge("concert_span_collector_up", "Whether the collector takes spans.", {}, 0 if counts.failing else 1)
    for namespace in sorted(sorted(lags, key=lambda each: -lags[each])[:NAMESPACES_SHOWN_MAX]):
        labels = {"namespace": namespace}
        families.gauge("concert_span_lag_events", "Events not exported yet.", labels, lags[namespace])
    yield from families.by_name.values()
