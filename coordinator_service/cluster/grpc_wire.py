"""Wires over gRPC: one bidirectional stream of frames between two replicas, on an address of its own.

It is no part of the contract: clients never see it, and its port is not theirs. A frame travels in pieces, so that no
message has to be large; and whoever has not proven yet that it may ask gets no more room than that takes.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable, Iterator
from dataclasses import dataclass
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
PIECE_BYTES_MAX: Final = 256 * 1024
"""Of a frame, in one message. A frame may hold a run of ten thousand tasks: how much is under way is bounded where it
comes in."""
HANDSHAKE_FRAMES: Final = 2
"""Hello and Proof: so many come from the end that asks before anything is asked."""
HANDSHAKE_BYTES_MAX: Final = 16 * 1024
"""Of each of them."""
UNPROVEN_MAX: Final = 256
"""Links at a time that have not proven yet that they may ask; more are refused."""
CONNECTIONS_MAX: Final = 1_024
"""At a time. Every other replica needs one."""
IDLE_MS_MAX: Final = 10_000
"""A connection without a link is closed within about twice this."""
_WHOLE, _MORE = b"\x00", b"\x01"
"""What a piece begins with: it ends its frame, or another follows."""
_OPTIONS: Final = (
    ("grpc.max_receive_message_length", PIECE_BYTES_MAX + 1),
    ("grpc.max_send_message_length", PIECE_BYTES_MAX + 1),
    ("grpc.keepalive_time_ms", 5_000),
    ("grpc.keepalive_timeout_ms", 5_000),
    ("grpc.http2.max_pings_without_data", 0),
    ("grpc.http2.min_ping_interval_without_data_ms", 1_000),
    ("grpc.use_local_subchannel_pool", 1),
)


@dataclass(frozen=True, slots=True)
class LinkCredentials:
    """Of links that speak TLS: each end shows a certificate and takes those of one set of authorities."""

    to_serve: grpc.ServerCredentials
    to_ask_with: Callable[[], grpc.ChannelCredentials]
    """As they are when a link is made."""
    name: str | None = None
    """Which every replica's certificate is for; None: the host at which it is reached."""


def _pieces(frame: bytes) -> Iterator[bytes]:
    for begin in range(0, len(frame), PIECE_BYTES_MAX) or (0,):
        more = begin + PIECE_BYTES_MAX < len(frame)
        yield (_MORE if more else _WHOLE) + frame[begin : begin + PIECE_BYTES_MAX]


async def _joined(next_piece: Callable[[], Awaitable[bytes]], bytes_max: int | None = None) -> bytes:
    """The next frame. Raises WireLost, also for one that is too large."""
    pieces: list[bytes] = []
    size = 0
    while True:
        piece = await next_piece()
        pieces.append(piece[1:])
        size += len(piece)
        if bytes_max is not None and size > bytes_max:
            raise WireLost(f"it says more than {bytes_max} bytes before it proves that it may")
        if piece[:1] != _MORE:
            return pieces[0] if len(pieces) == 1 else b"".join(pieces)


class ClientWire:
    """The end that asks."""

    def __init__(self, address: str, credentials: LinkCredentials | None = None) -> None:
        if credentials is None:
            self._channel = grpc.aio.insecure_channel(address, options=_OPTIONS)
        else:
            named = (("grpc.ssl_target_name_override", credentials.name),) if credentials.name else ()
            options = (*_OPTIONS, *named)
            self._channel = grpc.aio.secure_channel(address, credentials.to_ask_with(), options=options)
        connect: Any = self._channel.stream_stream(f"/{SERVICE}/{_METHOD}")
        self._call = connect()
        self._closing: asyncio.Task[None] | None = None

    async def read(self) -> bytes:
        """The next frame. Raises WireLost."""
        return await _joined(self._piece)

    async def _piece(self) -> bytes:
        try:
            piece = await self._call.read()
        except grpc.aio.AioRpcError as error:
            raise WireLost(error.details() or error.code().name) from None
        if piece is grpc.aio.EOF:
            raise WireLost(await self._call.details() or "it ended the stream")
        return bytes(piece)

    async def write(self, frame: bytes) -> None:
        """Sends a frame. Raises WireLost."""
        try:
            for piece in _pieces(frame):
                await self._call.write(piece)
        except grpc.aio.AioRpcError as error:
            raise WireLost(error.details() or error.code().name) from None
        except asyncio.InvalidStateError as error:
            raise WireLost(str(error)) from None

    def close(self) -> None:
        """Lets go."""
        if self._closing is None:
            self._call.cancel()
            self._closing = asyncio.ensure_future(self._channel.close())

    async def closed(self) -> None:
        """Lets go, and waits until nothing of it is left: before that the process should not end."""
        self.close()
        assert self._closing is not None
        await asyncio.wait([self._closing])


class _ServerWire:
    """The end that answers: a stream that is served. It ends with the call. `proven` is called when what follows the
    handshake is waited for."""

    def __init__(self, context: Any, proven: Callable[[], None]) -> None:
        self._context = context
        self._proven = proven
        self._frames = 0

    async def read(self) -> bytes:
        if self._frames == HANDSHAKE_FRAMES:
            self._proven()
        self._frames += 1
        return await _joined(self._piece, HANDSHAKE_BYTES_MAX if self._frames <= HANDSHAKE_FRAMES else None)

    async def _piece(self) -> bytes:
        piece = await self._context.read()
        if piece is grpc.aio.EOF:
            raise WireLost("it ended the stream")
        return bytes(piece)

    async def write(self, frame: bytes) -> None:
        for piece in _pieces(frame):
            await self._context.write(piece)

    def close(self) -> None:
        """The call ends when its servicer returns."""


def _bounds() -> Iterator[tuple[str, int]]:
    """What holds before anybody has said a word."""
    yield "grpc.max_allowed_incoming_connections", CONNECTIONS_MAX
    yield "grpc.server_handshake_timeout_ms", IDLE_MS_MAX
    yield "grpc.max_connection_idle_ms", IDLE_MS_MAX


class ReplicaServer:
    """Serves other replicas, until it is stopped."""

    def __init__(self, listen: str, own: Own, credentials: LinkCredentials | None = None) -> None:
        """Listens. Raises OSError."""
        self._own = own
        self._here: asyncio.Future[Identity] = asyncio.get_running_loop().create_future()
        self._refused: dict[tuple[str, str], float] = {}
        self._unproven: set[Any] = set()
        self._relays: set[Relay] = set()
        self._server = grpc.aio.server(options=(*_OPTIONS, *_bounds()))
        link: Any = grpc.stream_stream_rpc_method_handler(self._serve)
        self._server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler(SERVICE, {_METHOD: link}),))
        try:
            port = (
                self._server.add_insecure_port(listen)
                if credentials is None
                else self._server.add_secure_port(listen, credentials.to_serve)
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

    def end_links(self, why: str) -> None:
        """Refuses what was asked by them so far and is not decided; whoever still asks makes another."""
        for relay in list(self._relays):
            relay.end(why)

    async def stop(self) -> None:
        """Ends every link."""
        await self._server.stop(None)

    async def _serve(self, _frames: Any, context: Any) -> None:
        if len(self._unproven) >= UNPROVEN_MAX:
            await context.abort(grpc.StatusCode.RESOURCE_EXHAUSTED, f"{UNPROVEN_MAX} links have proven nothing yet")
        self._unproven.add(context)
        code = grpc.StatusCode.UNAVAILABLE
        try:
            here = await asyncio.shield(self._here)
            wire = _ServerWire(context, lambda: self._unproven.discard(context))
            relay = Relay(wire, here, self._own)
            self._relays.add(relay)
            try:
                why = await relay.run()
            finally:
                self._relays.discard(relay)
        except Stranger as stranger:
            self._note(context.peer(), stranger)
            code, why = grpc.StatusCode.UNAUTHENTICATED, str(stranger)
        except WireLost as lost:
            why = str(lost)
        finally:
            self._unproven.discard(context)
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
