"""A log that another process keeps, read by the same calls as everybody's: what an exporter of its own follows.

Nothing here tries again: a stream that breaks ends the export of its log, which begins anew behind what it had
acknowledged. Spans of what comes twice are the same spans.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import AsyncIterator
from typing import Any, Final

import grpc
from concert.v1 import error_pb2, event_service_pb2, monitor_service_pb2
from google.protobuf import descriptor_pb2, descriptor_pool, message_factory
from google.rpc import status_pb2

from coordinator_service.core.rejections import (
    AlreadyExists,
    CursorCompacted,
    LogMismatch,
    NotFound,
    Rejection,
    Unavailable,
)
from coordinator_service.log.base import Cursor, LogEnds
from coordinator_service.log.codec import decode_event, frame
from coordinator_service.ports import Committed, Stretch

CALL_SECONDS_MAX: Final = 10.0
READ_AHEAD_EVENTS: Final = 4_000
"""Received and not read yet, before the coordinator has to wait."""
_PAGE_SIZE: Final = 1_000
_STATUS_DETAILS: Final = "grpc-status-details-bin"
_OPTIONS: Final = (("grpc.max_receive_message_length", -1), ("grpc.max_reconnect_backoff_ms", 2_000))


def _delivery_class() -> Any:
    """SubscribeResponse with its events left as bytes: on the wire a message and bytes are the same."""
    file = descriptor_pb2.FileDescriptorProto(name="concert/telemetry/delivery.proto", package="concert.telemetry")
    message = file.message_type.add(name="Delivery")
    kind = descriptor_pb2.FieldDescriptorProto
    message.field.add(name="events", number=1, label=kind.LABEL_REPEATED, type=kind.TYPE_BYTES)
    message.field.add(name="bookmark", number=2, label=kind.LABEL_OPTIONAL, type=kind.TYPE_BYTES)
    pool = descriptor_pool.DescriptorPool()
    pool.Add(file)
    return message_factory.GetMessageClass(pool.FindMessageTypeByName("concert.telemetry.Delivery"))


_Delivery: Final = _delivery_class()


class Coordinator:
    """One that answers at an address. To be used on one event loop."""

    def __init__(self, address: str) -> None:
        self.address = address
        self._channel = grpc.aio.insecure_channel(address, _OPTIONS)
        self._list_namespaces = self._unary("MonitorService", "ListNamespaces", monitor_service_pb2)
        self.create_subscription = self._unary("EventService", "CreateSubscription", event_service_pb2)
        self.list_subscriptions = self._unary("EventService", "ListSubscriptions", event_service_pb2)
        self.acknowledge = self._unary("EventService", "Acknowledge", event_service_pb2)
        self._subscribe: Any = self._channel.unary_stream(
            "/concert.v1.EventService/Subscribe",
            request_serializer=event_service_pb2.SubscribeRequest.SerializeToString,
            response_deserializer=_Delivery.FromString,
        )

    def _unary(self, service: str, method: str, messages: Any) -> Any:
        """An rpc that raises Rejection."""
        call: Any = self._channel.unary_unary(
            f"/concert.v1.{service}/{method}",
            request_serializer=getattr(messages, f"{method}Request").SerializeToString,
            response_deserializer=getattr(messages, f"{method}Response").FromString,
        )

        async def called(request: Any) -> Any:
            try:
                return await call(request, timeout=CALL_SECONDS_MAX)
            except grpc.aio.AioRpcError as error:
                raise rejection_of(error) from None

        return called

    async def namespaces(self) -> AsyncIterator[Any]:
        """A NamespaceSummary of each. Raises Rejection."""
        token = ""
        while True:
            asked = monitor_service_pb2.ListNamespacesRequest(page_size=_PAGE_SIZE, page_token=token)
            page = await self._list_namespaces(asked)
            for each in page.namespaces:
                yield each
            token = page.next_page_token
            if not token:
                return

    def subscribe(self, namespace: str, after: int, log_id: str) -> Any:
        """The stream of what comes after a sequence."""
        request = event_service_pb2.SubscribeRequest(namespace=namespace)
        request.after.log_id, request.after.sequence = log_id, after
        return self._subscribe(request)

    async def close(self) -> None:
        """Lets go of the connection."""
        await self._channel.close()


class RemoteLog:
    """One of its logs, as an export sees it (ExportedLog)."""

    def __init__(self, coordinator: Coordinator, namespace: str, log_id: str, last_sequence: int) -> None:
        self._coordinator = coordinator
        self._namespace = namespace
        self._log_id = log_id
        self.last_sequence = last_sequence
        """As far as it was heard of: from what was read, and from whoever lists namespaces."""

    @property
    def namespace(self) -> str:
        """Its name."""
        return self._namespace

    @property
    def log_id(self) -> str:
        """Its log."""
        return self._log_id

    async def follow(self, after: int, log_id: str = "") -> RemoteFollower:
        """A cursor that reads what comes after a sequence; what is wrong with it the first read says."""
        return RemoteFollower(self, self._coordinator.subscribe(self.namespace, after, log_id or self.log_id), after)

    async def ends(self) -> LogEnds:
        """Where the committed log begins and ends; its hashes are not told."""
        page = await self._listed("")
        self.last_sequence = max(self.last_sequence, page.sequence)
        return LogEnds(
            log_id=page.log_id,
            oldest_sequence=page.oldest_sequence,
            last_sequence=page.sequence,
            hash=b"",
            base_hash=b"",
        )

    async def create_subscription(self, name: str, after: int, log_id: str, request_id: str) -> tuple[Cursor, bool]:
        """A named subscription. Raises AlreadyExists, CursorCompacted."""
        request = event_service_pb2.CreateSubscriptionRequest(
            namespace=self.namespace, name=name, request_id=request_id
        )
        request.after.log_id, request.after.sequence = log_id, after
        answer = await self._coordinator.create_subscription(request)
        return _cursor(answer.subscription), answer.replayed

    async def named_subscription(self, name: str) -> Cursor:
        """One of them. Raises NotFound."""
        token = ""
        while True:
            page = await self._listed(token)
            for each in page.subscriptions:
                if each.name == name:
                    return _cursor(each)
            token = page.next_page_token
            if not token:
                raise NotFound("subscription", name)

    async def acknowledge(self, name: str, log_id: str, sequence: int, *, reset: bool) -> Cursor:
        """Moves one."""
        request = event_service_pb2.AcknowledgeRequest(namespace=self.namespace, name=name, reset=reset)
        request.cursor.log_id, request.cursor.sequence = log_id, sequence
        return _cursor((await self._coordinator.acknowledge(request)).subscription)

    async def _listed(self, token: str) -> Any:
        request = event_service_pb2.ListSubscriptionsRequest(
            namespace=self.namespace, page_size=_PAGE_SIZE, page_token=token
        )
        return await self._coordinator.list_subscriptions(request)


class RemoteFollower:
    """A cursor over a stream (Follower). What is received ahead is bounded; beyond that the stream is not read, and the
    coordinator keeps what it would send in its log."""

    def __init__(self, log: RemoteLog, stream: Any, after: int) -> None:
        self._log = log
        self._stream = stream
        self._position = after
        self._ahead: deque[bytes] = deque()
        self._changed = asyncio.Event()
        self._failure: Rejection | None = None
        self._receiving = asyncio.create_task(self._receive())

    @property
    def position(self) -> int:
        """The last sequence read."""
        return self._position

    async def read(self, *, events_max: int = 1000) -> Stretch:
        """The next events, in order, at least one. Raises Rejection when the stream is over."""
        while not self._ahead:
            if self._failure is not None:
                raise self._failure
            self._changed.clear()
            await self._changed.wait()
        found = Stretch()
        while self._ahead and len(found) < events_max:
            encoded = self._ahead.popleft()
            event = decode_event(encoded)
            found.append(Committed(event.sequence, frame(encoded), event))
        self._position = found[-1].sequence
        self._log.last_sequence = max(self._log.last_sequence, self._position)
        self._changed.set()
        return found

    def ready(self) -> bool:
        """Whether read would return at once."""
        return bool(self._ahead) or self._failure is not None

    def close(self) -> None:
        """Ends the stream."""
        self._receiving.cancel()
        self._stream.cancel()

    async def _receive(self) -> None:
        try:
            async for delivery in self._stream:
                self._ahead.extend(delivery.events)
                self._changed.set()
                while len(self._ahead) > READ_AHEAD_EVENTS:
                    self._changed.clear()
                    await self._changed.wait()
            self._failure = Unavailable("the stream of events ended")
        except grpc.aio.AioRpcError as error:
            self._failure = rejection_of(error)
        finally:
            self._changed.set()


def rejection_of(error: grpc.aio.AioRpcError) -> Rejection:
    """What a call ended with, as far as an export tells such things apart."""
    text = error.details() or error.code().name
    match error.code():
        case grpc.StatusCode.NOT_FOUND:
            return NotFound("subscription", text)
        case grpc.StatusCode.ALREADY_EXISTS:
            return AlreadyExists("subscription", text)
        case grpc.StatusCode.OUT_OF_RANGE:
            where = _position(error)
            return CursorCompacted(where.log_id, where.oldest_sequence, where.last_sequence)
        case grpc.StatusCode.DATA_LOSS:
            where = _position(error)
            return LogMismatch(where.log_id, where.requested_log_id)
    return Unavailable(f"{error.code().name}: {text}")


def _position(error: grpc.aio.AioRpcError) -> Any:
    where = error_pb2.LogPosition()
    for key, value in error.trailing_metadata() or ():
        if key == _STATUS_DETAILS and isinstance(value, bytes):
            for each in status_pb2.Status.FromString(value).details:
                if each.Unpack(where):
                    return where
    return where


def _cursor(message: Any) -> Cursor:
    return Cursor(
        name=message.name,
        log_id=message.cursor.log_id,
        sequence=message.cursor.sequence,
        created_at_ns=message.created_at.ToNanoseconds(),
    )
