"""What the coordinator says of itself and of what it coordinates."""

from __future__ import annotations

from typing import Any

from concert._caller import Origin
from concert._methods import GET_HEALTH, GET_METRICS, LIST_NAMESPACES
from concert._pages import read_pages
from concert.v1 import monitor_service_pb2


class Monitor:
    """Health and metrics of the namespace, and which other namespaces there are."""

    def __init__(self, origin: Origin) -> None:
        """Asks as `origin`."""
        self._origin = origin

    async def health(self) -> Any:
        """How the namespace does, as GetHealthResponse: `status`, the `window` it is computed from, and its
        `components`, each with its fault. A namespace that cannot be served is critical; nothing is raised for
        that.
        """
        return await self._origin.caller.call(GET_HEALTH, monitor_service_pb2.GetHealthRequest())

    async def metrics(
        self, *, run_id: str = "", agents_max: int = 100, resources_max: int = 100, runs_max: int = 20
    ) -> Any:
        """What is counted, as Metrics: the agent names last heard of (at most 500), the resources waited for
        longest (at most 500), the newest runs, active ones first (at most 50), or the one of `run_id`. Raises
        NotFound for a run that is not kept in memory.
        """
        request = monitor_service_pb2.GetMetricsRequest(
            run_id=run_id, agents_max=agents_max, resources_max=resources_max, runs_max=runs_max
        )
        return (await self._origin.caller.call(GET_METRICS, request)).metrics

    async def namespaces(self, *, limit: int | None = None) -> list[Any]:
        """Every namespace by name: its last sequence, active runs, sessions, and why it cannot be served, if so."""
        request = monitor_service_pb2.ListNamespacesRequest()
        return await read_pages(self._origin.caller, LIST_NAMESPACES, request, "namespaces", limit)
