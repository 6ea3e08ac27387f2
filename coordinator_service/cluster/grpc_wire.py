"""Wires over gRPC: one bidirectional stream of frames between two replicas, on an address of its own.

It is no part of the contract: clients never see it, and its port is not theirs.
"""

from __future__ import annotations

import asyncio
from typing import Any, Final

import grpc

from coordinator_service.cluster.messages import Hello
from coordinator_service.cluster.relay import Own, Relay
from coordinator_service.cluster.wire import WireLost

SERVICE: Final = "concert.cluster.v1.ReplicaService"
_METHOD: Final = "Link"
_OPTIONS: Final = (
    ("grpc.max_receive_message_length", -1),
    ("grpc.max_send_message_length", -1),
    ("grpc.keepalive_time_ms", 5_000),
    ("grpc.keepalive_timeout_ms", 5_000),
    ("grpc.http2.max_pings_without_data", 0),
    ("grpc.http2.min_ping_interval_without_data_ms", 1_000),
    ("grpc.use_local_subchannel_pool", 1),
)
"""A frame may hold a run of ten thousand tasks: how much is under way is bounded where it comes in."""


class ClientWire:
    """The end that asks."""

    def __init__(self, address: str, credentials: grpc.ChannelCredentials | None = None) -> None:
        self._channel = (
            grpc.aio.insecure_channel(address, options=_OPTIONS)
            if credentials is None
            else grpc.aio.secure_channel(address, credentials, options=_OPTIONS)
        )
        connect: Any = self._channel.stream_stream(f"/{SERVICE}/{_METHOD}")
        self._call = connect()
        self._closing: asyncio.Task[None] | None = None

    async def read(self) -> bytes:
        """The next frame. Raises WireLost."""
        try:
            frame = await self._call.read()
        except grpc.aio.AioRpcError as error:
            raise WireLost(error.details() or error.code().name) from None
        if frame is grpc.aio.EOF:
            raise WireLost(await self._call.details() or "it ended the stream")
        return bytes(frame)

    async def write(self, frame: bytes) -> None:
        """Sends a frame. Raises WireLost."""
        try:
            await self._call.write(frame)
        except (grpc.aio.AioRpcError, asyncio.InvalidStateError) as error:
            raise WireLost(str(error)) from None

    def close(self) -> None:
        """Lets go."""
        if self._closing is None:
            self._call.cancel()
            self._closing = asyncio.ensure_future(self._channel.close())


class _ServerWire:
    """The end that answers: a stream that is served. It ends with the call."""

    def __init__(self, context: Any) -> None:
        self._context = context

    async def read(self) -> bytes:
        frame = await self._context.read()
        if frame is grpc.aio.EOF:
            raise WireLost("it ended the stream")
        return bytes(frame)

    async def write(self, frame: bytes) -> None:
        await self._context.write(frame)

    def close(self) -> None:
        """The call ends when its servicer returns."""


class ReplicaServer:
    """Serves other replicas, until it is stopped."""

    def __init__(self, listen: str, own: Own, credentials: grpc.ServerCredentials | None = None) -> None:
        """Listens. Raises OSError."""
        self._own = own
        self._hello: Hello | None = None
        self._server = grpc.aio.server(options=_OPTIONS)
        link: Any = grpc.stream_stream_rpc_method_handler(self._serve)
        self._server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler(SERVICE, {_METHOD: link}),))
        try:
            port = (
                self._server.add_insecure_port(listen)
                if credentials is None
                else self._server.add_secure_port(listen, credentials)
            )
        except RuntimeError:
            port = 0
        if not port:
            raise OSError(f"cannot listen for other replicas on {listen}")
        self.address = f"{listen.rpartition(':')[0]}:{port}"
        """HOST:PORT at which it listens."""

    async def start(self, hello: Hello) -> None:
        """Serves, and says that to every replica that comes."""
        self._hello = hello
        await self._server.start()

    async def stop(self) -> None:
        """Ends every link."""
        await self._server.stop(None)

    async def _serve(self, _frames: Any, context: Any) -> None:
        assert self._hello is not None
        why = await Relay(_ServerWire(context), self._hello, self._own).run()
        await context.abort(grpc.StatusCode.UNAVAILABLE, why)
