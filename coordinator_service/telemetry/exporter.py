"""The exporter: sends encoded spans by OTLP over gRPC, again and again until they are taken or refused.

Nothing waits for it but followers of the log, whose events stay there meanwhile: the log is the buffer. So a
collector that is down, slow or refuses costs neither memory nor anybody's time, and loses nothing that the log
keeps.
"""

from __future__ import annotations

import asyncio
import logging
import random
from typing import Any

import grpc
from google.protobuf.message import DecodeError
from google.rpc import error_details_pb2, status_pb2
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceResponse

from coordinator_service.telemetry.collector import Collector
from coordinator_service.telemetry.counts import REFUSED, SpanCounts

METHOD = "/opentelemetry.proto.collector.trace.v1.TraceService/Export"
RETRY_SECONDS_MIN = 0.2
RETRY_SECONDS_MAX = 15.0
_RETRY_GROWTH = 1.6
_JITTER = 0.2
_STATUS_DETAILS = "grpc-status-details-bin"
_AGAIN = frozenset(
    (
        grpc.StatusCode.CANCELLED,
        grpc.StatusCode.DEADLINE_EXCEEDED,
        grpc.StatusCode.ABORTED,
        grpc.StatusCode.OUT_OF_RANGE,
        grpc.StatusCode.UNAVAILABLE,
        grpc.StatusCode.DATA_LOSS,
    )
)
"""What the specification of OTLP says may be sent again; RESOURCE_EXHAUSTED where the collector says when."""

_log = logging.getLogger(__name__)


class Exporter:
    """One collector. To be used on one event loop."""

    def __init__(self, collector: Collector, counts: SpanCounts) -> None:
        self.counts = counts
        self._collector = collector
        self._channel = collector.channel()
        self._export: Any = self._channel.unary_unary(METHOD)

    async def export(self, encoded: bytes, spans: int) -> None:
        """An ExportTraceServiceRequest. Returns when its spans are taken, or refused for good and counted. Waits as
        long as the collector does not answer."""
        wait_seconds = RETRY_SECONDS_MIN
        while True:
            try:
                answer = await self._export(
                    encoded, timeout=self._collector.timeout_seconds, metadata=self._collector.headers
                )
            except grpc.aio.AioRpcError as error:
                asked_seconds = _asked_seconds(error)
                if error.code() not in _AGAIN and asked_seconds is None:
                    self._refused(spans, f"{error.code().name}: {error.details()}")
                    return
                self._failing(f"{error.code().name}: {error.details()}")
                jitter = random.uniform(1 - _JITTER, 1 + _JITTER)
                await asyncio.sleep(max(asked_seconds or 0.0, wait_seconds * jitter))
                wait_seconds = min(RETRY_SECONDS_MAX, wait_seconds * _RETRY_GROWTH)
            else:
                self._taken(spans, answer)
                return

    async def close(self) -> None:
        """Lets go of the connection. What is being sent is not waited for."""
        await self._channel.close()

    def _taken(self, spans: int, answer: bytes) -> None:
        rejected, message = 0, ""
        try:
            partial = ExportTraceServiceResponse.FromString(answer).partial_success
            rejected, message = min(partial.rejected_spans, spans), partial.error_message
        except DecodeError:
            message = "an answer that cannot be read"
        self.counts.exported += spans - rejected
        if self.counts.failing:
            _log.info("the collector at %s takes spans again", self._collector.target)
            self.counts.failing = ""
        if rejected:
            self._refused(rejected, message)

    def _refused(self, spans: int, why: str) -> None:
        if REFUSED not in self.counts.dropped:
            _log.warning("the collector at %s refuses spans, which are counted: %s", self._collector.target, why)
        self.counts.dropped[REFUSED] += spans

    def _failing(self, why: str) -> None:
        if not self.counts.failing:
            _log.warning("the collector at %s takes no spans; they wait in the log: %s", self._collector.target, why)
        self.counts.failing = why
        self.counts.retries += 1


def _asked_seconds(error: grpc.aio.AioRpcError) -> float | None:
    """How long the collector asks to wait, where it does."""
    for key, value in error.trailing_metadata() or ():
        if key == _STATUS_DETAILS and isinstance(value, bytes):
            info = error_details_pb2.RetryInfo()
            try:
                details = status_pb2.Status.FromString(value).details
            except DecodeError:
                return None
            for each in details:
                if each.Unpack(info):
                    asked_seconds: float = info.retry_delay.ToTimedelta().total_seconds()
                    return min(RETRY_SECONDS_MAX, max(0.0, asked_seconds))
    return None
