"""A log that another process keeps, read by the same calls as everybody's: what an exporter of its own follows.

It is read in pages of its history, when it is known to have grown, not as a subscription: spans may come a second later
than their events, and so the coordinator pays for a page of a thousand events rather than for a message with each
commit. Nothing here tries again: a call that fails ends the export of its log, which begins anew behind what it had
acknowledged. Spans of what comes twice are the same spans.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from typing import Any, Final, TypeAlias

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
IDLE_SECONDS_MAX: Final = 15.0
"""A log that nothing is heard of is looked at again after this."""
_PAGE_SIZE: Final = 1_000
_STATUS_DETAILS: Final = "grpc-status-details-bin"
_OPTIONS: Final = (("grpc.max_receive_message_length", -1), ("grpc.max_reconnect_backoff_ms", 2_000))

TokenSource: TypeAlias = Callable[[], str]
"""The bearer token that is valid now. Raises Unavailable."""


def _page_class() -> Any:
    """ListEventsResponse with its events left as bytes: on the wire a message and bytes are the same."""
    file = descriptor_pb2.FileDescriptorProto(name="concert/telemetry/page.proto", package="concert.telemetry")
    message = file.message_type.add(name="Page")
    kind = descriptor_pb2.FieldDescriptorProto
    message.field.add(name="events", number=1, label=kind.LABEL_REPEATED, type=kind.TYPE_BYTES)
    message.field.add(name="sequence", number=3, label=kind.LABEL_OPTIONAL, type=kind.TYPE_UINT64)
    message.field.add(name="log_id", number=4, label=kind.LABEL_OPTIONAL, type=kind.TYPE_STRING)
    pool = descriptor_pool.DescriptorPool()
    pool.Add(file)
    return message_factory.GetMessageClass(pool.FindMessageTypeByName("concert.telemetry.Page"))


_Page: Final = _page_class()


class Coordinator:
    """One that answers at an address. To be used on one event loop."""

    def __init__(
        self, address: str, credentials: grpc.ChannelCredentials | None = None, token: TokenSource | None = None
    ) -> None:
        """Without credentials in plain text; token is asked for every call."""
        self.address = address
        self._token = token
        if credentials is None:
            self._channel = grpc.aio.insecure_channel(address, _OPTIONS)
        else:
            self._channel = grpc.aio.secure_channel(address, credentials, _OPTIONS)
        self._list_namespaces = self._unary("MonitorService", "ListNamespaces", monitor_service_pb2)
        self.create_subscription = self._unary("EventService", "CreateSubscription", event_service_pb2)
        self.list_subscriptions = self._unary("EventService", "ListSubscriptions", event_service_pb2)
        self.acknowledge = self._unary("EventService", "Acknowledge", event_service_pb2)
        self.list_events = self._unary("EventService", "ListEvents", event_service_pb2, _Page)

    def _unary(self, service: str, method: str, messages: Any, response: Any = None) -> Any:
        """An rpc that raises Rejection."""
        call: Any = self._channel.unary_unary(
            f"/concert.v1.{service}/{method}",
            request_serializer=getattr(messages, f"{method}Request").SerializeToString,
            response_deserializer=(response or getattr(messages, f"{method}Response")).FromString,
        )

        async def called(request: Any) -> Any:
            try:
                return await call(request, timeout=CALL_SECONDS_MAX, metadata=self._metadata())
            except grpc.aio.AioRpcError as error:
                raise rejection_of(error) from None

        return called

    def _metadata(self) -> tuple[tuple[str, str], ...]:
        return () if self._token is None else (("authorization", f"Bearer {self._token()}"),)

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

    async def close(self) -> None:
        """Lets go of the connection."""
        await self._channel.close()


class RemoteLog:
    """One of its logs, as an export sees it (ExportedLog)."""

    def __init__(self, coordinator: Coordinator, namespace: str, log_id: str, last_sequence: int) -> None:
        self._coordinator = coordinator
        self._namespace = namespace
        self._log_id = log_id
        self._last_sequence = last_sequence
        self._grown = asyncio.Event()

    @property
    def namespace(self) -> str:
        """Its name."""
        return self._namespace

    @property
    def log_id(self) -> str:
        """Its log."""
        return self._log_id

    @property
    def last_sequence(self) -> int:
        """As far as it was heard of."""
        return self._last_sequence

    def heard(self, last_sequence: int) -> None:
        """It is so long at least: whoever lists namespaces, or reads it, says so."""
        if last_sequence > self._last_sequence:
            self._last_sequence = last_sequence
            self._grown.set()

    async def longer_than(self, sequence: int) -> None:
        """Waits until it is heard to be longer, but not for ever."""
        try:
            async with asyncio.timeout(IDLE_SECONDS_MAX):
                while self._last_sequence <= sequence:
                    self._grown.clear()
                    await self._grown.wait()
        except TimeoutError:
            pass

    async def follow(self, after: int, log_id: str = "") -> RemoteFollower:
        """A cursor that reads what comes after a sequence; what is wrong with it the first read says."""
        return RemoteFollower(self, after, log_id or self.log_id)

    async def page(self, after: int, events_max: int) -> Any:
        """Events after a sequence, encoded, if there are any."""
        page = await self._coordinator.list_events(
            event_service_pb2.ListEventsRequest(
                namespace=self.namespace, after_sequence=after, page_size=min(events_max, _PAGE_SIZE)
            )
        )
        self.heard(page.sequence)
        return page

    async def ends(self) -> LogEnds:
        """Where the committed log begins and ends; its hashes are not told."""
        page = await self._listed("")
        self.heard(page.sequence)
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
    """A cursor over it (Follower)."""

    def __init__(self, log: RemoteLog, after: int, log_id: str) -> None:
        self._log = log
        self._log_id = log_id
        self._position = after

    @property
    def position(self) -> int:
        """The last sequence read."""
        return self._position

    async def read(self, *, events_max: int = 1000) -> Stretch:
        """The next events, in order, at least one. Raises Rejection."""
        while True:
            page = await self._log.page(self._position, events_max)
            if page.log_id != self._log_id:
                raise LogMismatch(page.log_id, self._log_id)
            if page.events:
                return self._read(page)
            await self._log.longer_than(self._position)

    def ready(self) -> bool:
        """Whether read would return at once, as far as it is known here."""
        return self._log.last_sequence > self._position

    def close(self) -> None:
        """Nothing to let go of: a cursor is a number."""

    def _read(self, page: Any) -> Stretch:
        found = Stretch()
        for encoded in page.events:
            event = decode_event(encoded)
            found.append(Committed(event.sequence, frame(encoded), event))
        if found[0].sequence != self._position + 1:  # never a silent gap (E4)
            raise CursorCompacted(page.log_id, found[0].sequence, page.sequence)
        self._position = found[-1].sequence
        return found


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
