"""The demonstration with tracing: deploys the blog, reads the trace of it back from Jaeger, and checks it."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import concert
from concert.v1 import event_pb2
from opentelemetry.sdk import environment_variables as otel

from agent_service.demo import DemoFailed, demonstrate
from agent_service.live_view import LiveView
from agent_service.request import DeploymentRequest
from agent_service.tracing import exporting
from agent_service.tracing.checks import Sums, Told, faults, is_whole, sums
from agent_service.tracing.jaeger import read_when
from agent_service.tracing.trace import Trace

ENDPOINT_DEFAULT = "http://127.0.0.1:4317"
"""Where Jaeger takes OTLP over gRPC unless it was told otherwise."""

EVENTS_MAX = 100_000
_TRACE_ID = slice(3, 35)
"""Of a W3C traceparent."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Traced:
    """A deployment and its trace."""

    trace: Trace
    faults: list[str]
    sums: Sums | None


@dataclass(slots=True)
class _Deployment:
    """What is asked of the coordinator while it is there."""

    trace_id: str = ""
    told: Told | None = None

    async def look(self, client: concert.Client, summary: dict[str, Any]) -> None:
        run_id = summary["deployment_id"]
        events: dict[int, str] = {}
        agents: dict[str, str] = {}
        for each in await client.events.list(run_ids=[run_id], limit=EVENTS_MAX):
            name = event_pb2.EventType.Name(each.type).removeprefix("EVENT_TYPE_")
            events[each.sequence] = name
            if name == "TASK_ASSIGNED":
                agents[each.task_id] = each.agent_name
            if name == "RUN_SUBMITTED":
                self.trace_id = each.traceparent[_TRACE_ID]
        self.told = Told(events=events, agents=agents, makespan_seconds=summary["makespan_seconds"])


async def demonstrate_traced(request: DeploymentRequest, var: Path, view: LiveView, query_url: str) -> Traced:
    """Deploys with OTEL_EXPORTER_OTLP_ENDPOINT as it is set, else Jaeger's own here. Raises DemoFailed, JaegerSilent,
    TraceUnreadable."""
    os.environ.setdefault(otel.OTEL_EXPORTER_OTLP_ENDPOINT, ENDPOINT_DEFAULT)
    if not exporting.is_wanted():
        raise DemoFailed("the OTEL_* variables switch tracing off")
    seen = _Deployment()
    summary = await demonstrate(request, var, view, afterwards=seen.look)
    if seen.told is None or not seen.trace_id:
        raise DemoFailed(f"deployment {summary['deployment_id']} left no trace to look for")
    view.say(f"deployed with status {summary['status']}; reading trace {seen.trace_id} from {query_url}")
    told = seen.told
    trace = await read_when(query_url, seen.trace_id, lambda found: is_whole(found, told))
    return Traced(trace=trace, faults=faults(trace, told), sums=sums(trace))
