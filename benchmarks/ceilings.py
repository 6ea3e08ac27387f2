"""Ceilings: what grpc.aio does with the same frames when nothing is decided and nothing stored.

They stand under the method names of the contract, so that one client drives them and Concert with the same code:
Connect echoes frames, Publish echoes requests, Subscribe streams the cached message that was put there with Cache.
With --answers Connect parses every frame and answers every command in it, which is the least that any server of this
contract has to do.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import signal
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import grpc
from concert.v1 import session_service_pb2

from benchmarks.loops import LOOPS, run

CACHE = "/concert.benchmarks.Ceiling/Cache"
"""Unary, bytes: the message that Subscribe streams from now on."""

OPTIONS = (("grpc.so_reuseport", 0), ("grpc.max_receive_message_length", 4 * 1024 * 1024))


class Ceilings:
    """The bare servers."""

    def __init__(self, *, answers: bool) -> None:
        self._cached = b""
        self._connect = self._answer_frames if answers else self._echo_frames

    def handlers(self) -> list[grpc.GenericRpcHandler]:
        """Bytes in, bytes out."""
        methods: dict[str, dict[str, Any]] = {
            "concert.v1.SessionService": {"Connect": grpc.stream_stream_rpc_method_handler(self._connect)},
            "concert.v1.EventService": {
                "Publish": grpc.unary_unary_rpc_method_handler(self._echo),
                "Subscribe": grpc.unary_stream_rpc_method_handler(self._stream),
            },
            "concert.benchmarks.Ceiling": {"Cache": grpc.unary_unary_rpc_method_handler(self._cache)},
        }
        return [grpc.method_handlers_generic_handler(service, each) for service, each in methods.items()]

    async def _echo_frames(self, _frames: Any, context: Any) -> None:
        while True:
            frame = await context.read()
            if frame is grpc.aio.EOF:
                return
            await context.write(frame)

    async def _answer_frames(self, _frames: Any, context: Any) -> None:
        while True:
            frame = await context.read()
            if frame is grpc.aio.EOF:
                return
            answered = session_service_pb2.ConnectResponse()
            for message in session_service_pb2.ConnectRequest.FromString(frame).messages:
                reply = answered.messages.add().reply
                reply.correlation_id = message.command.correlation_id
                reply.publish.sequences.append(1)
            await context.write(answered.SerializeToString())

    async def _echo(self, request: bytes, _context: Any) -> bytes:
        return request

    async def _stream(self, _request: bytes, _context: Any) -> AsyncIterator[bytes]:
        while True:
            yield self._cached

    async def _cache(self, request: bytes, _context: Any) -> bytes:
        self._cached = request
        return b""


async def serve(tell: Callable[[str], object], *, answers: bool) -> None:
    """Until SIGTERM. `tell` is told what the ready file says."""
    server = grpc.aio.server(options=OPTIONS)
    server.add_generic_rpc_handlers(Ceilings(answers=answers).handlers())
    port = server.add_insecure_port("127.0.0.1:0")
    await server.start()
    tell(json.dumps({"address": f"127.0.0.1:{port}"}))
    stopped = asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, stopped.set)
    await stopped.wait()
    await server.stop(grace=0)


def main() -> None:
    """The entry point."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.ceilings")
    parser.add_argument("--ready-file", type=Path, required=True)
    parser.add_argument("--loop", choices=LOOPS, required=True)
    parser.add_argument("--answers", action="store_true")
    arguments = parser.parse_args()
    run(serve(arguments.ready_file.write_text, answers=arguments.answers), arguments.loop)


if __name__ == "__main__":
    main()
