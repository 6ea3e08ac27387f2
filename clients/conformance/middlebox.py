"""A proxy that understands the contract: a coordinator of another age, one that refuses or is slow, one behind TLS.

Everything passes through to a real coordinator and back. On the way back `newer` adds what a later contract may add
(fields, messages, enum values, a higher feature level), `older` takes away what an earlier one lacks (the feature
level, named subscriptions), `refuse` answers a method with a status of its own, `drop` passes the first call of a
method on and cancels it in place of the answer, as a server does with what crosses its shutdown, and under each agent
id the first Welcome comes when `late_welcome` seconds, the lease that it speaks of, are over.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Sequence
from typing import Any

import grpc
from concert.v1 import event_service_pb2, monitor_service_pb2, session_service_pb2
from google.protobuf import json_format
from google.rpc import status_pb2

from clients.conformance.certificates import Certificates

UNKNOWN_FIELD = 15000
UNKNOWN_EVENT_TYPE = 9999
FUTURE_LEVEL = 99
_FUTURE_NAME = "future"
_OLD_LACKS = ("/concert.v1.EventService/CreateSubscription", "/concert.v1.EventService/ListSubscriptions")
_DETAILS_KEY = "grpc-status-details-bin"
_OPTIONS = [
    ("grpc.max_receive_message_length", 16 * 1024 * 1024),
    ("grpc.max_send_message_length", 16 * 1024 * 1024),
    ("grpc.so_reuseport", 0),
    ("grpc.use_local_subchannel_pool", 1),
]


class Middlebox(grpc.GenericRpcHandler):
    """See the module."""

    def __init__(
        self,
        target: str,
        *,
        contract: str = "",
        refuse: dict[str, Any] | None = None,
        drop: Sequence[str] = (),
        late_welcome: float = 0,
    ) -> None:
        self.address = ""
        self._channel = grpc.aio.insecure_channel(target, options=_OPTIONS)
        self._contract = contract
        self._late_welcome = late_welcome
        self._welcomed: set[str] = set()
        self._refusals = {f"/concert.v1.{path}": _status(said) for path, said in (refuse or {}).items()}
        self._to_drop = {f"/concert.v1.{path}" for path in drop}
        self._server = grpc.aio.server(options=_OPTIONS)
        self._server.add_generic_rpc_handlers((self,))

    async def start(self, certificates: Certificates | None = None) -> None:
        """Listens, with TLS when there are certificates."""
        if certificates is None:
            port = self._server.add_insecure_port("127.0.0.1:0")
        else:
            credentials = grpc.ssl_server_credentials([(certificates.key, certificates.chain)])
            port = self._server.add_secure_port("127.0.0.1:0", credentials)
        self.address = f"127.0.0.1:{port}"
        await self._server.start()

    async def stop(self) -> None:
        """Stops, with every call."""
        await self._server.stop(None)
        await self._channel.close()

    def service(self, call: grpc.HandlerCallDetails) -> Any:
        """Any method."""
        path = call.method
        metadata = [(key, value) for key, value in call.invocation_metadata if not key.startswith(("grpc-", "user-"))]

        async def forward(requests: AsyncIterator[bytes], context: Any) -> AsyncIterator[bytes]:
            refusal = self._refusals.get(path)
            if refusal is not None:
                await context.abort_with_status(refusal)
            if self._contract == "older" and path in _OLD_LACKS:
                await context.abort(grpc.StatusCode.UNIMPLEMENTED, "Method not found!")
            onward: Any = self._channel.stream_stream(path)
            stream = onward(requests, metadata=metadata, timeout=context.time_remaining())
            try:
                async for response in stream:
                    if path in self._to_drop:
                        self._to_drop.remove(path)
                        await context.abort(grpc.StatusCode.CANCELLED, "CANCELLED")
                    if self._late_welcome and path.endswith("/Connect"):
                        response = await self._late(response)
                    yield self._changed(path, response)
            except grpc.aio.AioRpcError as error:
                details = [pair for pair in error.trailing_metadata() or () if pair[0] == _DETAILS_KEY]
                context.set_trailing_metadata(tuple(details))
                await context.abort(error.code(), error.details() or "", tuple(details))
            finally:
                stream.cancel()

        return grpc.stream_stream_rpc_method_handler(forward)

    async def _late(self, response: bytes) -> bytes:
        frame = session_service_pb2.ConnectResponse.FromString(response)
        if not frame.messages or not frame.messages[0].HasField("welcome"):
            return response
        welcome = frame.messages[0].welcome
        if welcome.agent_id in self._welcomed:
            return response
        self._welcomed.add(welcome.agent_id)
        welcome.lease.FromNanoseconds(round(self._late_welcome * 1e9))
        await asyncio.sleep(self._late_welcome)
        return bytes(frame.SerializeToString())

    def _changed(self, path: str, response: bytes) -> bytes:
        change = _CHANGES.get((self._contract, path.rpartition("/")[2]))
        return response if change is None else change(response)


class _Refusal(grpc.Status):
    """What abort_with_status takes."""

    def __init__(self, status: status_pb2.Status) -> None:
        self.code = next(code for code in grpc.StatusCode if code.value[0] == status.code)
        self.details = status.message
        self.trailing_metadata = ((_DETAILS_KEY, status.SerializeToString()),)


def _status(said: dict[str, Any]) -> _Refusal:
    return _Refusal(json_format.ParseDict(said, status_pb2.Status()))


def _unknown(message: Any) -> None:
    """Adds a field that nobody knows."""
    message.MergeFromString(_varint(UNKNOWN_FIELD << 3) + _varint(7))


def _varint(number: int) -> bytes:
    out = bytearray()
    while number > 127:
        out.append(number & 127 | 128)
        number >>= 7
    return bytes([*out, number])


def _newer_events(kind: Any) -> Callable[[bytes], bytes]:
    def change(response: bytes) -> bytes:
        message = kind.FromString(response)
        for event in message.events:
            _unknown(event)
            if event.HasField("custom") and event.custom.name == _FUTURE_NAME:
                event.ClearField("custom")
                event.type = UNKNOWN_EVENT_TYPE
                event.MergeFromString(_varint(UNKNOWN_FIELD + 1 << 3 | 2) + _varint(3) + b"new")
        _unknown(message)
        return bytes(message.SerializeToString())

    return change


def _newer_frame(response: bytes) -> bytes:
    frame = session_service_pb2.ConnectResponse.FromString(response)
    changed = session_service_pb2.ConnectResponse()
    for message in frame.messages:
        kind = message.WhichOneof("message")
        inner = getattr(message, kind)
        _unknown(inner)
        if kind == "welcome":
            inner.feature_level = FUTURE_LEVEL
        changed.messages.append(message)
        _unknown(changed.messages.add())  # a message of a kind that is not known yet
    return bytes(changed.SerializeToString())


def _older_frame(response: bytes) -> bytes:
    frame = session_service_pb2.ConnectResponse.FromString(response)
    for message in frame.messages:
        if message.HasField("welcome"):
            message.welcome.feature_level = 0
    return bytes(frame.SerializeToString())


def _info(level: int) -> Callable[[bytes], bytes]:
    def change(response: bytes) -> bytes:
        info = monitor_service_pb2.GetServerInfoResponse.FromString(response)
        info.feature_level = level
        return bytes(info.SerializeToString())

    return change


_CHANGES: dict[tuple[str, str], Callable[[bytes], bytes]] = {
    ("newer", "Subscribe"): _newer_events(event_service_pb2.SubscribeResponse),
    ("newer", "ListEvents"): _newer_events(event_service_pb2.ListEventsResponse),
    ("newer", "Connect"): _newer_frame,
    ("newer", "GetServerInfo"): _info(FUTURE_LEVEL),
    ("older", "Connect"): _older_frame,
    ("older", "GetServerInfo"): _info(0),
}
