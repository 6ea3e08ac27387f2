"""What health and metrics are read from: the namespaces of this coordinator, and what it knows of itself."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Protocol

from coordinator_service.core.figures import HealthStatus
from coordinator_service.core.monitor import health_status
from coordinator_service.core.rejections import Rejection
from coordinator_service.local_namespace import LocalNamespace
from coordinator_service.log.timings import LogTimings
from coordinator_service.namespaces import Namespaces
from coordinator_service.telemetry.counts import SpanCounts
from coordinator_service.telemetry.metrics import (
    AGENTS_SHOWN_MAX,
    NAMESPACES_SHOWN_MAX,
    NamespaceReading,
    PolicyFile,
    Reading,
)
from coordinator_service.web.health import Health

_NAMESPACES_AT_ONCE = 8


class Subscribed(Protocol):
    """A subscription that is read."""

    @property
    def namespace(self) -> str:
        """Where it reads."""

    @property
    def lag_events(self) -> int:
        """How many committed events it has not looked at."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Sources:
    """Where everything is found."""

    version: str
    replica_id: str
    namespaces: Namespaces
    namespace_default: str
    serving: Callable[[], bool]
    """Whether calls are served; not before the start is over, nor once the stop has begun."""
    policy_file: Callable[[], PolicyFile | None]
    subscriptions: Callable[[], Iterable[Subscribed]]
    spans: SpanCounts | None = None
    span_lags: Callable[[], dict[str, int]] = dict
    timings: LogTimings | None = None
    refusals: Mapping[str, int] | None = None


async def read_health(sources: Sources) -> Health:
    """How this coordinator does: as bad as the worst of what it serves."""
    faults: dict[str, str] = {}
    statuses = [HealthStatus.IDLE]
    served = sources.serving()
    ready = False
    if served:
        try:
            if sources.namespaces.owner_of(sources.namespace_default) is None:
                default = await sources.namespaces.get(sources.namespace_default)
                _, window = await default.health()
                statuses.append(health_status(window))
            ready = True
        except Rejection as refusal:
            faults["log"] = refusal.message
            statuses.append(HealthStatus.CRITICAL)
    file = sources.policy_file()
    if file is not None and file.fault:
        faults["policy_file"] = file.fault
        statuses.append(HealthStatus.WARNING)
    return Health(
        version=sources.version,
        replica_id=sources.replica_id,
        ready=ready,
        status=max(statuses),
        faults=faults,
    )


async def read_metrics(sources: Sources) -> Reading:
    """Everything that is shown to a scraper: of the namespaces with the longest logs, as many as are shown."""
    owned = sorted(sources.namespaces.owned(), key=lambda each: (-each.last_sequence, each.namespace))
    shown = sorted(owned[:NAMESPACES_SHOWN_MAX], key=lambda each: each.namespace)
    lags: dict[str, list[int]] = {}
    for subscription in sources.subscriptions():
        lags.setdefault(subscription.namespace, []).append(subscription.lag_events)
    few = asyncio.Semaphore(_NAMESPACES_AT_ONCE)

    async def read(namespace: LocalNamespace) -> NamespaceReading:
        behind = lags.get(namespace.namespace, [])
        async with few:
            try:
                totals = await namespace.totals(AGENTS_SHOWN_MAX)
            except Rejection:
                totals = None  # it says so itself: concert_namespace_up
        return NamespaceReading(
            namespace=namespace.namespace,
            totals=totals,
            inbox_commands=namespace.sequencer.waiting_commands,
            subscriptions=len(behind),
            subscription_lag_events=max(behind, default=0),
        )

    return Reading(
        version=sources.version,
        replica_id=sources.replica_id,
        namespaces=tuple(await asyncio.gather(*map(read, shown))),
        namespaces_left_out=len(owned) - len(shown),
        spans=sources.spans,
        span_lags=sources.span_lags(),
        timings=sources.timings,
        policy_file=sources.policy_file(),
        refusals=sources.refusals,
    )
