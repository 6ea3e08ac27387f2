"""One Connect stream: frames of client messages out, coordinator messages in. Knows nothing of sessions.

Messages are serialised once, when they are made, because a command may be sent again; a frame is then only a
join, since a `repeated` field is its framed elements one after another.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterable
from typing import Any

import grpc

from concert._connection import Connection
from concert._methods import CONNECT_PATH
from concert.errors import Unavailable, from_rpc_error
from concert.v1 import session_service_pb2

_MESSAGES_TAG = b"\x0a"  # field 1, length-delimited


def encode_frame(messages: Iterable[bytes]) -> bytes:
    """A ConnectRequest of messages that are serialised already."""
    parts: list[bytes] = []
    for message in messages:
        parts += (_MESSAGES_TAG, _varint(len(message)), message)
    return b"".join(parts)


def framed_size(message: bytes) -> int:
    """How many bytes it takes in a frame."""
    return 1 + len(_varint(len(message))) + len(message)


def _varint(number: int) -> bytes:
    encoded = bytearray()
    while number > 0x7F:
        encoded.append(number & 0x7F | 0x80)
        number >>= 7
    encoded.append(number)
    return bytes(encoded)


def _pass(frame: bytes) -> bytes:
    return frame


class FrameStream:
    """A stream on a channel of its own, so that a reconnect never inherits the state of the one before."""

    def __init__(self, connection: Connection, metadata: Iterable[tuple[str, str]]) -> None:
        """Opens it; what goes wrong shows at the first write or read."""
        self.address = connection.addresses.current
        self._channel = connection.open_channel(self.address)
        connect: Any = self._channel.stream_stream(
            CONNECT_PATH,
            request_serializer=_pass,
            response_deserializer=session_service_pb2.ConnectResponse.FromString,
        )
        self._call = connect(metadata=tuple(metadata))

    async def write(self, frame: bytes) -> None:
        """Sends a frame once there is room for it. Raises ConcertError when the stream is over."""
        try:
            await self._call.write(frame)
        except grpc.aio.AioRpcError as error:
            raise from_rpc_error(error) from error
        except (grpc.aio.UsageError, asyncio.InvalidStateError) as error:  # it had ended before this write
            raise Unavailable("the stream is closed") from error

    async def read(self) -> Any:
        """The messages of the next frame. Raises ConcertError when the stream is over; Unavailable when it
        ended well.
        """
        try:
            frame = await self._call.read()
            if frame is not grpc.aio.EOF:
                return frame.messages
            code = await self._call.code()
            details = await self._call.details()
        except grpc.aio.AioRpcError as error:
            raise from_rpc_error(error) from error
        raise Unavailable(f"the stream ended: {code.name} {details or ''}".rstrip())

    async def close(self) -> None:
        """Ends the stream and its channel."""
        self._call.cancel()
        await self._channel.close()
