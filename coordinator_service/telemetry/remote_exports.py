"""The exports of all namespaces of a coordinator, in another process than it."""

from __future__ import annotations

import asyncio
import logging

from coordinator_service.core.rejections import Rejection
from coordinator_service.telemetry.collector import Collector
from coordinator_service.telemetry.counts import SpanCounts
from coordinator_service.telemetry.exporter import Exporter
from coordinator_service.telemetry.log_export import Pace
from coordinator_service.telemetry.remote_log import Coordinator, RemoteLog
from coordinator_service.telemetry.sampling import Sampling
from coordinator_service.telemetry.tracing import Exports

LOOK_SECONDS = 1.0
"""Between two looks at which namespaces there are, and how long their logs."""

_log = logging.getLogger(__name__)


class RemoteExports:
    """Begins an export for each namespace that there is, and again for each that ended."""

    def __init__(self, coordinator: Coordinator, collector: Collector, sampling: Sampling, pace: Pace) -> None:
        self.counts = SpanCounts()
        self._coordinator = coordinator
        self._exporter = Exporter(collector, self.counts)
        self._exports = Exports(self._exporter, sampling, pace)
        self._logs: dict[str, RemoteLog] = {}
        self._failing = ""

    def lags(self) -> dict[str, int]:
        """How many events are not exported yet, by namespace."""
        return self._exports.lags()

    async def run(self) -> None:
        """Without end, whether or not the coordinator is there."""
        while True:
            try:
                await self._look()
            except Rejection as failure:
                if not self._failing:
                    _log.warning(
                        "the coordinator at %s does not answer: %s", self._coordinator.address, failure.message
                    )
                self._failing = failure.message
            else:
                if self._failing:
                    _log.info("the coordinator at %s answers again", self._coordinator.address)
                self._failing = ""
            await asyncio.sleep(LOOK_SECONDS)

    async def close(self) -> None:
        """Lets the last spans leave, for a moment, and remembers how far it came."""
        await self._exports.close()
        await self._exporter.close()
        await self._coordinator.close()

    async def _look(self) -> None:
        running = self._exports.lags()
        async for each in self._coordinator.namespaces():
            if each.fault:
                continue
            log = self._logs.get(each.namespace)
            if log is not None and log.log_id == each.log_id and each.namespace in running:
                log.heard(each.last_sequence)
                continue
            log = RemoteLog(self._coordinator, each.namespace, each.log_id, each.last_sequence)
            self._logs[each.namespace] = log
            self._exports.begin(log)
