"""MonitorService: what the coordinator says of itself, and of what it coordinates."""

from __future__ import annotations

import bisect
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import grpc
from concert.v1 import monitor_service_pb2 as pb

from coordinator_service.core import monitor
from coordinator_service.core.answers import SummaryRead
from coordinator_service.core.commands import Caller, GetSummary
from coordinator_service.core.figures import HealthStatus, HealthWindowView, MetricsView
from coordinator_service.core.metrics import WINDOW_SECONDS
from coordinator_service.core.monitor import MetricsAsked
from coordinator_service.core.rejections import NotFound, Rejection
from coordinator_service.explaining import explain
from coordinator_service.log.mirror import fill as mirror_fill
from coordinator_service.log.mirror import fill_timestamp
from coordinator_service.rpc import limits
from coordinator_service.rpc.calls import Calls, Context
from coordinator_service.rpc.explaining import not_there, read_explain
from coordinator_service.rpc.page_tokens import page_size, read_token, write_token
from coordinator_service.rpc.validation import Faults, optional_name_fault

_READER = Caller(method="MonitorService")
_NAMESPACES = "namespaces"
_NOTHING = HealthWindowView(seconds=WINDOW_SECONDS, events=0, failures=0, failure_rate=0.0)


@dataclass(frozen=True, slots=True, kw_only=True)
class ServerDescription:
    """What does not change while a replica runs. Limits are by name, their unit last."""

    version: str
    replica_id: str
    event_store: str
    started_at_ns: int
    limits: dict[str, int]
    features: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class PolicyFileStatus:
    """How the policy file stands: the digest of the last good one, and what is wrong with it now, if anything (P1)."""

    digest: str
    loaded_at_ns: int
    fault: str = ""
    failing_since_ns: int = 0


class MonitorServicer:
    """Serves MonitorService."""

    def __init__(
        self,
        calls: Calls,
        description: ServerDescription,
        policy_file: Callable[[], PolicyFileStatus | None] = lambda: None,
        faults: Callable[[], Mapping[str, tuple[str, int]]] = dict,
    ) -> None:
        """faults: what is wrong with other parts of the replica, by name, and since when."""
        self._calls = calls
        self._info = _encode(description)
        self._policy_file = policy_file
        self._faults = faults

    def handler(self) -> grpc.GenericRpcHandler:
        """What the server registers."""
        unary = self._calls.unary
        return self._calls.service(
            "MonitorService",
            {
                "GetServerInfo": unary(pb.GetServerInfoRequest, self._get_server_info),
                "GetHealth": unary(pb.GetHealthRequest, self._get_health),
                "GetMetrics": unary(pb.GetMetricsRequest, self._get_metrics),
                "Explain": unary(pb.ExplainRequest, self._explain),
                "ListNamespaces": unary(pb.ListNamespacesRequest, self._list_namespaces),
            },
        )

    async def _get_server_info(self, _request: Any, _context: Context) -> bytes:
        status = self._policy_file()
        # A message is extended by what comes after its bytes.
        return self._info if status is None else self._info + _encode_status(status)

    async def _get_health(self, request: Any, _context: Context) -> bytes:
        """M1. A namespace that cannot be served is what this is there to tell, and no error."""
        window, fault = _NOTHING, ""
        try:
            port = await self._calls.port_if_any(request.namespace)
            if port is not None:
                _, window = await port.health()
        except Rejection as refusal:
            if refusal.code != "UNAVAILABLE":
                raise
            fault = refusal.message
        response = pb.GetHealthResponse()
        mirror_fill(window, response.window)
        _add_component(response, "namespace", monitor.health_status(window))
        _add_component(response, "log", HealthStatus.CRITICAL if fault else HealthStatus.HEALTHY, fault)
        file = self._policy_file()
        if file is not None:
            judged = HealthStatus.WARNING if file.fault else HealthStatus.HEALTHY
            _add_component(response, "policy_file", judged, file.fault, file.failing_since_ns)
        for name, (fault, failing_since_ns) in self._faults().items():
            _add_component(response, name, HealthStatus.WARNING, fault, failing_since_ns)
        # A part that does well does not make an idle namespace a busy one.
        first, *parts = response.components
        response.status = max([first.status, *(each.status for each in parts if each.fault)])
        encoded: bytes = response.SerializeToString()
        return encoded

    async def _get_metrics(self, request: Any, _context: Context) -> bytes:
        asked = _read_asked(request)
        port = await self._calls.port_if_any(request.namespace)
        if port is not None:
            view = await port.measure(asked)
        elif asked.run_id:
            raise NotFound("run", asked.run_id)
        else:
            view = MetricsView()
        response = pb.GetMetricsResponse()
        mirror_fill(view, response.metrics)
        encoded: bytes = response.SerializeToString()
        return encoded

    async def _explain(self, request: Any, _context: Context) -> bytes:
        """X1."""
        asked = read_explain(request)
        port = await self._calls.port_if_any(request.namespace)
        if port is None:
            raise not_there(asked)
        response = pb.ExplainResponse()
        mirror_fill(await explain(port, asked), response.explanation)
        encoded: bytes = response.SerializeToString()
        return encoded

    async def _list_namespaces(self, request: Any, _context: Context) -> bytes:
        faults = Faults()
        after = read_token(faults, _NAMESPACES, request.page_token)
        size = page_size(faults, request.page_size)
        faults.settle()
        names = await self._calls.namespaces()
        start = bisect.bisect_right(names, after) if after else 0
        page = names[start : start + size]
        response = pb.ListNamespacesResponse()
        for name in page:
            await self._summarise(name, response.namespaces.add(namespace=name))
        if len(names) > start + size:
            response.next_page_token = write_token(_NAMESPACES, page[-1])
        encoded: bytes = response.SerializeToString()
        return encoded

    async def _summarise(self, name: str, summary: Any) -> None:
        """One that cannot be served does not keep the others from being listed."""
        try:
            port = await self._calls.port(name)
            found = await port.call(GetSummary(), _READER)
        except Rejection as refusal:
            summary.fault = refusal.message
            return
        assert isinstance(found, SummaryRead)
        summary.log_id = port.log_id
        summary.last_sequence = found.sequence
        summary.runs_active = found.runs_active
        summary.sessions = found.sessions


def _read_asked(request: Any) -> MetricsAsked:
    faults = Faults()
    faults.add("run_id", optional_name_fault(request.run_id))
    asked = MetricsAsked()
    for name, count_max in (
        ("agents_max", limits.METRICS_AGENTS_MAX),
        ("resources_max", limits.METRICS_RESOURCES_MAX),
        ("runs_max", limits.METRICS_RUNS_MAX),
    ):
        if getattr(request, name) > count_max:
            faults.add(name, f"the limit is {count_max}")
    faults.settle()
    return MetricsAsked(
        agents_max=request.agents_max or asked.agents_max,
        resources_max=request.resources_max or asked.resources_max,
        runs_max=request.runs_max or asked.runs_max,
        run_id=request.run_id,
    )


def _add_component(response: Any, name: str, status: HealthStatus, fault: str = "", failing_since_ns: int = 0) -> None:
    component = response.components.add(name=name, status=status, fault=fault)
    if failing_since_ns:
        fill_timestamp(failing_since_ns, component.failing_since)


def _encode_status(status: PolicyFileStatus) -> bytes:
    info = pb.GetServerInfoResponse()
    file = info.policy_file
    file.digest = status.digest
    fill_timestamp(status.loaded_at_ns, file.loaded_at)
    if status.fault:
        file.fault = status.fault
        fill_timestamp(status.failing_since_ns, file.failing_since)
    encoded: bytes = info.SerializeToString()
    return encoded


def _encode(description: ServerDescription) -> bytes:
    info = pb.GetServerInfoResponse(
        version=description.version,
        replica_id=description.replica_id,
        feature_level=limits.FEATURE_LEVEL,
        features=description.features,
        limits=description.limits,
        event_store=description.event_store,
    )
    fill_timestamp(description.started_at_ns, info.started_at)
    encoded: bytes = info.SerializeToString()
    return encoded
