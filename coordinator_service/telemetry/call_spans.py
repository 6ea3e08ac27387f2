"""The spans of calls: one for each sampled call, around everything that it does (OpenTelemetry's conventions for RPC).

Whether a call is sampled is looked at first, and nothing else is done for one that is not. A call that brings no
context begins a trace of its own, so that a run which was submitted without one is a trace nevertheless. What is to
be sent waits in a bounded buffer; beyond it spans are dropped and counted. These spans are of this process and this
moment: unlike those of decisions they are gone with a crash.
"""

from __future__ import annotations

import asyncio
import random
import time
from collections import deque
from contextvars import ContextVar
from typing import Final

from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.resource.v1.resource_pb2 import Resource
from opentelemetry.proto.trace.v1.trace_pb2 import Span, Status

from coordinator_service.telemetry.counts import OVERFLOWED
from coordinator_service.telemetry.exporter import Exporter
from coordinator_service.telemetry.sampling import Sampling
from coordinator_service.telemetry.trace_ids import SPAN_ID, TRACE_ID, traceparent_of

WAITING_MAX: Final = 4096
SPANS_PER_REQUEST: Final = 256
LINGER_SECONDS: Final = 0.5
_SERVER_FAULTS: Final = frozenset(
    ("UNKNOWN", "DEADLINE_EXCEEDED", "UNIMPLEMENTED", "INTERNAL", "UNAVAILABLE", "DATA_LOSS")
)
"""What the conventions call an error of the server; whatever else is the caller's."""

call_context: ContextVar[str | None] = ContextVar("call_context", default=None)
"""The traceparent of the span of the call that is being served; empty where it has none."""


class CallSpans:
    """Of one coordinator."""

    def __init__(self, exporter: Exporter, sampling: Sampling, resource: Resource) -> None:
        self._exporter = exporter
        self._sampling = sampling
        self._resource = resource
        self._waiting: deque[Span] = deque()
        self._sending: asyncio.Task[None] | None = None

    def context_of(self, traceparent: str) -> tuple[str, bytes]:
        """The context that a call has from its caller's, which may be empty, and the span id of its own span: empty
        when it is not sampled."""
        if traceparent:
            if not self._sampling.continued(traceparent):
                return traceparent, b""
            trace_id = bytes.fromhex(traceparent[TRACE_ID])
        else:
            trace_id = random.randbytes(16)
            if not self._sampling.root(trace_id):
                return traceparent_of(trace_id, random.randbytes(8), sampled=False), b""
        span_id = random.randbytes(8)
        return traceparent_of(trace_id, span_id, sampled=True), span_id

    def end(self, method: str, parent: str, context: str, span_id: bytes, began_ns: int, status: str) -> None:
        """A sampled call is over. method is PACKAGE.SERVICE/METHOD, status the name of its gRPC code."""
        if len(self._waiting) >= WAITING_MAX:
            self._exporter.counts.dropped[OVERFLOWED] += 1
            return
        span = Span(
            trace_id=bytes.fromhex(context[TRACE_ID]),
            span_id=span_id,
            parent_span_id=bytes.fromhex(parent[SPAN_ID]) if parent else b"",
            name=method,
            kind=Span.SPAN_KIND_SERVER,
            start_time_unix_nano=began_ns,
            end_time_unix_nano=time.time_ns(),
        )
        for key, value in (
            ("rpc.system.name", "grpc"),
            ("rpc.method", method),
            ("rpc.response.status_code", status),
        ):
            pair = span.attributes.add()
            pair.key = key
            pair.value.string_value = value
        if status in _SERVER_FAULTS:
            span.status.code = Status.STATUS_CODE_ERROR
        self._waiting.append(span)
        if self._sending is None or self._sending.done():
            self._sending = asyncio.create_task(self._send())

    async def close(self) -> None:
        """What still waits has a moment to leave."""
        if self._sending is not None:
            await asyncio.wait([self._sending], timeout=LINGER_SECONDS * 2)
            self._sending.cancel()
            await asyncio.gather(self._sending, return_exceptions=True)

    async def _send(self) -> None:
        while self._waiting:
            await asyncio.sleep(LINGER_SECONDS)
            request = ExportTraceServiceRequest()
            resource_spans = request.resource_spans.add()
            resource_spans.resource.CopyFrom(self._resource)
            scope_spans = resource_spans.scope_spans.add()
            scope_spans.scope.name = "concert.rpc"
            count = min(len(self._waiting), SPANS_PER_REQUEST)
            scope_spans.spans.extend(self._waiting.popleft() for _ in range(count))
            await self._exporter.export(request.SerializeToString(), count)
