"""Tracing of a coordinator: an export for each namespace that it owns, the spans of calls, and the context of
attempts.

mode `here` exports decision spans from this process. In mode `elsewhere` a process of its own does (`python -m
coordinator_service telemetry`), which costs this one no more than somebody who reads its history; spans of calls are
still sent.
"""

from __future__ import annotations

import asyncio
import logging
from dataclasses import dataclass

from opentelemetry.sdk.trace import SpanLimits

from coordinator_service.core.rejections import Rejection
from coordinator_service.telemetry.call_spans import CallSpans
from coordinator_service.telemetry.collector import Collector
from coordinator_service.telemetry.counts import SpanCounts
from coordinator_service.telemetry.decision_spans import ATTRIBUTE_CHARACTERS_MAX
from coordinator_service.telemetry.exporter import Exporter
from coordinator_service.telemetry.log_export import ExportedLog, LogExport, Pace
from coordinator_service.telemetry.resource import resource_of
from coordinator_service.telemetry.sampling import Sampling
from coordinator_service.telemetry.trace_ids import TRACE_ID, TraceIds, traceparent_of

LAST_SPANS_SECONDS = 1.0
"""How long the last spans may take to leave when the coordinator stops; the rest stay in the log."""
REPEAT_SECONDS = 1.0

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class _Export:
    export: LogExport
    task: asyncio.Task[None]


class Exports:
    """The exports of this process, one a log."""

    def __init__(self, exporter: Exporter, sampling: Sampling, pace: Pace) -> None:
        self._exporter = exporter
        self._sampling = sampling
        self._pace = pace
        self._characters_max = SpanLimits().max_span_attribute_length or ATTRIBUTE_CHARACTERS_MAX
        self._running: dict[str, _Export] = {}

    def begin(self, log: ExportedLog) -> None:
        """Exports a log from now on, in place of the one of its namespace that was exported before."""
        before = self._running.pop(log.namespace, None)
        if before is not None:
            before.task.cancel()
        export = LogExport(log, self._exporter, self._sampling, self._pace, self._characters_max)
        self._running[log.namespace] = _Export(export, asyncio.create_task(self._keep(export, log.namespace)))

    def lags(self) -> dict[str, int]:
        """How many events are not exported yet, by namespace."""
        return {name: each.export.lag_events for name, each in self._running.items() if not each.task.done()}

    async def close(self) -> None:
        """Lets the last spans leave, for a moment, and remembers how far it came."""
        running, self._running = list(self._running.values()), {}
        until = asyncio.get_running_loop().time() + LAST_SPANS_SECONDS
        while any(each.export.lag_events > 0 and not each.task.done() for each in running):
            if asyncio.get_running_loop().time() > until:
                break
            await asyncio.sleep(0.02)
        for each in running:
            each.task.cancel()
        await asyncio.gather(*(each.task for each in running), return_exceptions=True)
        await asyncio.gather(*(each.export.acknowledge() for each in running), return_exceptions=True)

    async def _keep(self, export: LogExport, namespace: str) -> None:
        """Until the namespace is dropped: then its next owner's export goes on. Whatever else happens is said, and
        the export begins again behind what it had acknowledged."""
        while True:
            try:
                await export.run()
            except Rejection as ended:
                _log.debug("namespace %s: spans are no longer exported from here: %s", namespace, ended.message)
                return
            except Exception:
                _log.exception("the export of spans of namespace %s broke; it begins again", namespace)
                await asyncio.sleep(REPEAT_SECONDS)


class Tracing:
    """All of it, for one coordinator."""

    def __init__(self, collector: Collector, sampling: Sampling, replica_id: str, *, exports: bool, pace: Pace) -> None:
        self.counts = SpanCounts()
        self._sampling = sampling
        self._exporter = Exporter(collector, self.counts)
        self.calls = CallSpans(self._exporter, sampling, resource_of(replica_id=replica_id))
        self._exports = Exports(self._exporter, sampling, pace) if exports else None
        self._ids: dict[str, TraceIds] = {}

    def begin(self, log: ExportedLog) -> None:
        """A namespace is owned here from now on."""
        if self._exports is not None:
            self._exports.begin(log)

    def attempt_context(self, log_id: str, run_id: str, attempt_token: int, traceparent: str) -> str:
        """What an agent is given as the parent of its own spans: the assignment, in the trace of the run (T2)."""
        ids = self._ids.get(log_id)
        if ids is None:
            ids = self._ids[log_id] = TraceIds(log_id)
        if traceparent:
            trace_id, sampled = bytes.fromhex(traceparent[TRACE_ID]), self._sampling.continued(traceparent)
        else:
            trace_id = ids.run_trace(run_id)
            sampled = self._sampling.root(trace_id)
        return traceparent_of(trace_id, ids.span(attempt_token), sampled=sampled)

    def lags(self) -> dict[str, int]:
        """How many events are not exported yet, by namespace; empty where another process exports them."""
        return {} if self._exports is None else self._exports.lags()

    async def close(self) -> None:
        """While the namespaces are still there."""
        if self._exports is not None:
            await self._exports.close()
        await self.calls.close()
        await self._exporter.close()
