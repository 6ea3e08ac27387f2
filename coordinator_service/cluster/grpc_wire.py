"""Wires over gRPC: one bidirectional stream of frames between two replicas, on an address of its own.

It is no part of the contract: clients never see it, and its port is not theirs.
"""

from __future__ import annotations

import asyncio
import logging
import time
from typing import Any, Final

import grpc

from coordinator_service.cluster.handshake import Identity, Stranger
from coordinator_service.cluster.relay import Own, Relay
from coordinator_service.cluster.wire import WireLost

_log = logging.getLogger(__name__)

SERVICE: Final = "concert.cluster.v1.ReplicaService"
_METHOD: Final = "Link"
REFUSED_SECONDS: Final = 60.0
"""A link that is refused again is named again after this."""
REFUSED_MAX: Final = 1_000
"""Ends whose links were refused that are remembered for that."""
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
        except grpc.aio.AioRpcError as error:
            raise WireLost(error.details() or error.code().name) from None
        except asyncio.InvalidStateError as error:
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
        self._here: asyncio.Future[Identity] = asyncio.get_running_loop().create_future()
        self._refused: dict[tuple[str, str], float] = {}
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

    async def start(self) -> None:
        """Lets other replicas come; they wait until this one answers."""
        await self._server.start()

    def answer(self, here: Identity) -> None:
        """From here on every replica is answered that proves to be of this cluster."""
        self._here.set_result(here)

    async def stop(self) -> None:
        """Ends every link."""
        await self._server.stop(None)

    async def _serve(self, _frames: Any, context: Any) -> None:
        here = await asyncio.shield(self._here)
        code = grpc.StatusCode.UNAVAILABLE
        try:
            why = await Relay(_ServerWire(context), here, self._own).run()
        except Stranger as stranger:
            self._note(context.peer(), stranger)
            code, why = grpc.StatusCode.UNAUTHENTICATED, str(stranger)
        except WireLost as lost:
            why = str(lost)
        await context.abort(code, why)

    def _note(self, peer: str, stranger: Stranger) -> None:
        """Names a link that was refused; one that comes again and again, once in a while."""
        who = peer.rpartition(":")[0], stranger.replica_id
        now = time.monotonic()
        if now - self._refused.get(who, -REFUSED_SECONDS) < REFUSED_SECONDS:
            return
        if len(self._refused) >= REFUSED_MAX:
            self._refused.clear()
        self._refused[who] = now
        named = stranger.replica_id[:128] or "nobody"
        _log.warning("a link from %s, which calls itself %r, was refused: %s", peer, named, stranger)
