"""A collector for tests: a real gRPC server that speaks OTLP's TraceService and remembers what it was sent."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

import grpc
from opentelemetry.proto.collector.trace.v1 import trace_service_pb2 as pb
from opentelemetry.proto.collector.trace.v1 import trace_service_pb2_grpc


@dataclass(frozen=True)
class Received:
    """A span as it arrived, with the attributes of its resource and its own as dicts."""

    span: Any
    resource: dict[str, Any]
    attributes: dict[str, Any]
    scope: str

    @property
    def sequence(self) -> int:
        """The event that it is the span of; 0 for any other span."""
        return int(self.attributes.get("concert.sequence", 0))

    @property
    def encoded(self) -> bytes:
        """All of it, comparable."""
        resource = repr(sorted(self.resource.items())).encode()
        return resource + bytes(self.span.SerializeToString(deterministic=True))


@dataclass
class Receiver(trace_service_pb2_grpc.TraceServiceServicer):
    """What it was sent; how it answers is up to the test."""

    address: str = ""
    spans: list[Received] = field(default_factory=list)
    requests: int = 0
    metadata: list[dict[str, Any]] = field(default_factory=list)
    refuse: tuple[grpc.StatusCode, str] | None = None
    reject_spans: int = 0
    stall: asyncio.Event | None = None
    _changed: asyncio.Event = field(default_factory=asyncio.Event)

    async def Export(self, request: Any, context: Any) -> Any:  # noqa: N802 (as the service names it)
        """Takes spans, or does not."""
        self.requests += 1
        self._changed.set()
        self.metadata.append(dict(context.invocation_metadata()))
        if self.stall is not None:
            await self.stall.wait()
        if self.refuse is not None:
            await context.abort(*self.refuse)
        for resource_spans in request.resource_spans:
            resource = _plain(resource_spans.resource.attributes)
            for scope_spans in resource_spans.scope_spans:
                for span in scope_spans.spans:
                    self.spans.append(Received(span, resource, _plain(span.attributes), scope_spans.scope.name))
        answer = pb.ExportTraceServiceResponse()
        answer.partial_success.rejected_spans = self.reject_spans
        return answer

    def decisions(self, namespace: str = "default") -> list[Received]:
        """The spans of events of a namespace."""
        return [each for each in self.spans if each.sequence and each.resource.get("concert.namespace") == namespace]

    async def until(self, condition: Callable[[], object]) -> None:
        """Waits until something holds; it is looked at whenever there was a request."""
        while not condition():
            self._changed.clear()
            await self._changed.wait()


def _plain(attributes: Any) -> dict[str, Any]:
    return {pair.key: getattr(pair.value, pair.value.WhichOneof("value")) for pair in attributes}


@asynccontextmanager
async def receiving(address: str = "127.0.0.1:0", receiver: Receiver | None = None) -> AsyncIterator[Receiver]:
    """One that listens."""
    receiver = receiver or Receiver()
    server = grpc.aio.server(options=(("grpc.so_reuseport", 0),))
    trace_service_pb2_grpc.add_TraceServiceServicer_to_server(receiver, server)
    port = server.add_insecure_port(address)
    receiver.address = f"127.0.0.1:{port}"
    await server.start()
    try:
        yield receiver
    finally:
        await server.stop(None)
