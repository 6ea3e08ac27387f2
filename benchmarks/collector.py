"""A collector for measurements: takes spans by OTLP over gRPC, and counts them.

`python -m benchmarks.collector` writes its address into the file that --ready-file names. Counted tells how many spans
came so far.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import signal
from collections.abc import Callable
from pathlib import Path
from typing import Any

import grpc
from opentelemetry.proto.collector.trace.v1 import trace_service_pb2, trace_service_pb2_grpc

from benchmarks.loops import LOOP_DEFAULT, run

COUNTED = "/concert.benchmarks.Collector/Counted"
"""Unary, bytes: a number in ASCII."""


class Collector(trace_service_pb2_grpc.TraceServiceServicer):
    """Parses what it is sent, as any collector has to."""

    def __init__(self) -> None:
        self.spans = 0

    async def Export(self, request: Any, _context: Any) -> Any:  # noqa: N802 (as the service names it)
        """Takes spans."""
        for resource_spans in request.resource_spans:
            for scope_spans in resource_spans.scope_spans:
                self.spans += len(scope_spans.spans)
        return trace_service_pb2.ExportTraceServiceResponse()

    async def counted(self, _request: bytes, _context: Any) -> bytes:
        """How many it took."""
        return str(self.spans).encode()


def count(address: str) -> int:
    """How many spans the collector at an address took so far."""
    with grpc.insecure_channel(address) as channel:
        return int(channel.unary_unary(COUNTED)(b"", timeout=30))


async def serve(tell: Callable[[str], object]) -> None:
    """Until SIGTERM. `tell` is told what the ready file says."""
    server = grpc.aio.server(options=(("grpc.so_reuseport", 0), ("grpc.max_receive_message_length", -1)))
    collector = Collector()
    trace_service_pb2_grpc.add_TraceServiceServicer_to_server(collector, server)
    handlers = {"Counted": grpc.unary_unary_rpc_method_handler(collector.counted)}
    server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler("concert.benchmarks.Collector", handlers),))
    port = server.add_insecure_port("127.0.0.1:0")
    await server.start()
    tell(json.dumps({"address": f"127.0.0.1:{port}"}))
    stopped = asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, stopped.set)
    await stopped.wait()
    await server.stop(grace=0)


def main() -> None:
    """The entry point."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.collector")
    parser.add_argument("--ready-file", type=Path, required=True)
    arguments = parser.parse_args()
    run(serve(arguments.ready_file.write_text), LOOP_DEFAULT)


if __name__ == "__main__":
    main()
