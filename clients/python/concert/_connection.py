"""The way to a coordinator: channels with keepalive, unary calls with retry, server streams."""

from __future__ import annotations

import asyncio
import math
from collections.abc import AsyncGenerator, Callable, Iterable, Mapping
from typing import Any

import grpc

from concert._addresses import Addresses, unreached
from concert._backoff import Backoff
from concert._caller import RequestIds
from concert._credentials import Tls, TokenSource, current_token
from concert._limits import (
    BACKOFF_SECONDS_MAX,
    CALL_SECONDS_DEFAULT,
    KEEPALIVE_PING_SECONDS,
    KEEPALIVE_TIMEOUT_SECONDS,
    MESSAGE_BYTES_MAX,
    RETRY_SECONDS_DEFAULT,
)
from concert._methods import Method
from concert._poller import quiet_poller
from concert._tracing import current_traceparent
from concert.errors import (
    Cancelled,
    ConcertError,
    DeadlineExceeded,
    FeatureMissing,
    InvalidArgument,
    Unauthenticated,
    Unavailable,
    from_rpc_error,
)

_CHANNEL_OPTIONS: tuple[tuple[str, int], ...] = (
    ("grpc.keepalive_time_ms", int(KEEPALIVE_PING_SECONDS * 1000)),
    ("grpc.keepalive_timeout_ms", int(KEEPALIVE_TIMEOUT_SECONDS * 1000)),
    ("grpc.keepalive_permit_without_calls", 1),
    ("grpc.http2.max_pings_without_data", 0),
    ("grpc.max_send_message_length", MESSAGE_BYTES_MAX),
    ("grpc.max_receive_message_length", MESSAGE_BYTES_MAX),
    ("grpc.initial_reconnect_backoff_ms", 100),
    ("grpc.min_reconnect_backoff_ms", 1000),
    ("grpc.max_reconnect_backoff_ms", 1000),
    # Retries are ours, under one request_id; and the back-off of one client's connection is not another's.
    ("grpc.enable_retries", 0),
    ("grpc.use_local_subchannel_pool", 1),
)


class Connection:
    """Calls to one address in one namespace. Belongs to the event loop it is first used on."""

    lock_identity = ""

    def __init__(
        self,
        address: str | Iterable[str],
        *,
        namespace: str = "",
        metadata: Mapping[str, str] | None = None,
        credentials: grpc.ChannelCredentials | Tls | None = None,
        token: TokenSource | None = None,
        call_seconds: float = CALL_SECONDS_DEFAULT,
        retry_seconds: float = RETRY_SECONDS_DEFAULT,
    ) -> None:
        """`metadata` goes with every call, and `token` as its bearer token; without `credentials` the channel is not
        encrypted, and no token is sent beyond this machine. Several addresses are tried in turn. Raises
        InvalidArgument.
        """
        self.addresses = Addresses(address)
        if token is not None and credentials is None and not self.addresses.are_local:
            raise InvalidArgument(f"a token is not sent to {self.addresses} in plain text: give TLS, as `credentials`")
        self.namespace = namespace
        self.place = f"{self.addresses}/{namespace}"
        self.call_seconds = call_seconds
        self.retry_seconds = retry_seconds
        self.request_ids = RequestIds()
        self._metadata = tuple((metadata or {}).items())
        self._credentials = credentials
        self._token = token
        self._tls_version: tuple[int, ...] = ()
        self._channel: grpc.aio.Channel | None = None
        self._callables: dict[str, Any] = {}
        self._retired: set[asyncio.Task[None]] = set()
        self._closed = False

    @property
    def address(self) -> str:
        """All of them, for people."""
        return str(self.addresses)

    def open_channel(self, address: str) -> grpc.aio.Channel:
        """A channel of its own, to be closed by whoever asked for it."""
        quiet_poller(asyncio.get_running_loop())
        credentials = self._credentials
        if credentials is None:
            return grpc.aio.insecure_channel(address, options=_CHANNEL_OPTIONS)
        if isinstance(credentials, Tls):
            credentials = credentials.channel_credentials()
        return grpc.aio.secure_channel(address, credentials, options=_CHANNEL_OPTIONS)

    async def call_metadata(self, traceparent: str = "") -> tuple[tuple[str, str], ...]:
        """What goes with a call."""
        metadata = self._metadata
        traceparent = traceparent or current_traceparent()
        if traceparent:
            metadata = (*metadata, ("traceparent", traceparent))
        if self._token is not None:
            metadata = (*metadata, ("authorization", f"Bearer {await current_token(self._token)}"))
        return metadata

    async def call(self, method: Method, request: Any, *, timeout: float | None = None) -> Any:
        """See Caller.call."""
        self._complete(method, request)
        loop = asyncio.get_running_loop()
        deadline = loop.time() + (self.call_seconds if timeout is None else timeout)
        retry_until = loop.time() + self.retry_seconds
        backoff = Backoff()
        while True:
            begun = loop.time()
            left = deadline - begun
            if left <= 0:
                raise DeadlineExceeded(f"{method.name} was not answered in time")
            address, metadata = self.addresses.current, await self.call_metadata()
            ask, tls_version = self._callable(method), self._tls_version
            try:
                return await ask(request, timeout=None if left == math.inf else left, metadata=metadata)
            except asyncio.CancelledError:
                if self._closed or is_cancelled():
                    raise
                refusal = Unavailable(f"the connection to {address} was given up for another one", reason="")
            except grpc.aio.AioRpcError as error:
                refused = self._refusal(method, address, tls_version, error)
                if not isinstance(refused, Unavailable):
                    raise refused from error
                refusal = refused
                self._leave(address)
            now = loop.time()
            if now - begun > BACKOFF_SECONDS_MAX:  # it had been accepted: a new outage, a new window
                backoff.reset()
                retry_until = now + self.retry_seconds
            pause = backoff.pause_seconds(refusal.retry_after)
            if now + pause > min(retry_until, deadline):
                raise refusal
            await asyncio.sleep(pause)

    async def stream(self, method: Method, request: Any) -> AsyncGenerator[Any, None]:
        """See Caller.stream."""
        self._complete(method, request)
        address, metadata = self.addresses.current, await self.call_metadata()
        ask, tls_version = self._callable(method), self._tls_version
        call = ask(request, metadata=metadata)
        try:
            async for response in call:
                yield response
        except grpc.aio.AioRpcError as error:
            refusal = self._refusal(method, address, tls_version, error)
            if isinstance(refusal, Unavailable):
                self._leave(address)
            raise refusal from error
        finally:
            call.cancel()

    def on_lost(self, lost: Callable[[], None]) -> Callable[[], None]:  # noqa: ARG002 - nothing to lose without a session
        """See Caller.on_lost."""
        return lambda: None

    async def close(self) -> None:
        """Closes the channel; calls still open are cancelled."""
        self._closed = True
        channel, self._channel = self._channel, None
        self._callables.clear()
        if channel is not None:
            await channel.close()
        for retired in self._retired:
            retired.cancel()
        await asyncio.gather(*self._retired, return_exceptions=True)

    def _refusal(
        self, method: Method, address: str, tls_version: tuple[int, ...], error: grpc.aio.AioRpcError
    ) -> ConcertError:
        refusal = from_rpc_error(error)
        if isinstance(refusal, Unauthenticated) and tls_version != self._newest_tls_version():
            return Unavailable(f"the connection to {address} was made with a certificate that was renewed since")
        if isinstance(refusal, Cancelled):  # what the caller cancels does not come here: a coordinator that shuts down
            return Unavailable(f"the coordinator at {address} dropped the call: {refusal.message}", reason="")
        if isinstance(refusal, FeatureMissing):
            return FeatureMissing(f"the coordinator at {address} does not know {method.name}: upgrade it")
        return unreached(address, refusal)

    def _leave(self, address: str) -> None:
        """Goes on with another address, if there is one, or with certificates that were renewed. What still runs on
        the channel may end there.
        """
        channel = self._channel
        renewed = self._newest_tls_version() != self._tls_version
        if channel is None or not (self.addresses.leave(address) or renewed):
            return
        self._channel = None
        self._callables.clear()
        retired = asyncio.create_task(_retire(channel, self.call_seconds))
        self._retired.add(retired)
        retired.add_done_callback(self._retired.discard)

    def _newest_tls_version(self) -> tuple[int, ...]:
        return self._credentials.version() if isinstance(self._credentials, Tls) else ()

    def _complete(self, method: Method, request: Any) -> None:
        if method.names_namespace and not request.namespace:
            request.namespace = self.namespace
        if method.names_request and not request.request_id:
            request.request_id = self.request_ids.next()

    def _callable(self, method: Method) -> Any:
        found = self._callables.get(method.name)
        if found is None:
            if self._channel is None:
                self._tls_version = self._newest_tls_version()
                self._channel = self.open_channel(self.addresses.current)
            make = self._channel.unary_stream if method.streams else self._channel.unary_unary
            found = self._callables[method.name] = make(
                method.path,
                request_serializer=method.request.SerializeToString,
                response_deserializer=method.response.FromString,
            )
        return found


def is_cancelled() -> bool:
    """Whether somebody cancels this task: otherwise a CancelledError is that of something that it waits for."""
    task = asyncio.current_task()
    return task is None or task.cancelling() > 0


async def _retire(channel: grpc.aio.Channel, grace_seconds: float) -> None:
    """Closes a channel once the calls on it are over, at the latest after the grace."""
    try:
        await channel.close(grace=grace_seconds)
    finally:
        await channel.close()
