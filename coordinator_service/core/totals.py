"""Totals: what a scraper of metrics is shown of a namespace. Everything by agent name or by type, nothing by id.

The figures of all resources are joined: what a lock is called is the users' choice, and there may be any number of
them. Agent names beyond the ones last heard of are joined under one name.
"""

from __future__ import annotations

import itertools
from collections.abc import Generator
from dataclasses import dataclass, field
from typing import Final

from coordinator_service.core import monitor
from coordinator_service.core.events import EventType
from coordinator_service.core.figures import HealthWindowView, OrchestrationMetricsView
from coordinator_service.core.histogram import Histogram
from coordinator_service.core.metrics import AgentCounts, Metrics, ResourceCounts
from coordinator_service.core.state import NamespaceState

OTHERS: Final = "(others)"
"""Stands for the agent names that are not shown apart."""
_NAMES_PER_STEP: Final = 50


@dataclass(slots=True, kw_only=True)
class Totals:
    """Everything since the log began, but what is said to be of now. The histograms are copies."""

    sequence: int
    window: HealthWindowView
    orchestrations: OrchestrationMetricsView
    makespans: Histogram
    events: dict[str, int]
    """By type."""
    agents: dict[str, AgentCounts] = field(default_factory=dict)
    """By agent name."""
    locks: ResourceCounts = field(default_factory=ResourceCounts)
    state_keys: int = 0
    """Of now."""


def total(metrics: Metrics, state: NamespaceState, agents_max: int, now_ns: int) -> Generator[None, None, Totals]:
    """Reads them, with a step after every few names."""
    found = Totals(
        sequence=metrics.sequence,
        window=monitor.health(metrics, now_ns)[1],
        orchestrations=monitor.orchestrations(metrics, state),
        makespans=_copy(metrics.makespans),
        events={EventType(kind).name: rhythm.count for kind, rhythm in metrics.events.items()},
        state_keys=len(state.entries),
    )
    others = _joined(metrics.agents_gone)
    newest = list(itertools.islice(reversed(metrics.agents.items()), agents_max))
    shown = {name for name, _ in newest}
    for number, (name, counts) in enumerate(list(metrics.agents.items())):
        if number % _NAMES_PER_STEP == 0:
            yield
        if name in shown:
            found.agents[name] = _joined(counts)
        else:
            others.join(counts)
    if others.executions:
        found.agents[OTHERS] = others
    found.locks.join(metrics.resources_gone)
    for number, resource in enumerate(list(metrics.resources.values())):
        if number % _NAMES_PER_STEP == 0:
            yield
        found.locks.join(resource)
    return found


def _joined(counts: AgentCounts) -> AgentCounts:
    copy = AgentCounts()
    copy.join(counts)
    return copy


def _copy(histogram: Histogram) -> Histogram:
    copy = Histogram()
    copy.join(histogram)
    return copy
