"""The session: commands multiplexed over a Connect stream that is opened anew and resumed for as long as the
lease lasts.

Theory of operation. Every command is serialised once and stays among the `Commands`, in order, until its reply is
here. Whatever is ready when the stream can be written goes out as one frame. When the stream breaks, a new
one is opened with the session id; after its Welcome everything pending is sent again, in order, under the
same request ids, which the coordinator recognises.

The lease is tracked on this process's monotonic clock, from the moment the last *answered* heartbeat was
sent. The coordinator counts from when it received it, which is later, so this side always knows first that
the lease is gone. Then, or when the coordinator says that the session is over, `SessionOver` is the answer to
everything pending and to come, and whoever registered with `on_lost` is called. A session is never reopened:
its attempts and locks are gone; begin another.
"""

from __future__ import annotations

import asyncio
import logging
import random
import secrets
from collections.abc import AsyncGenerator, Callable, Iterable
from typing import Any

from concert._addresses import unreached
from concert._backoff import Backoff
from concert._caller import RequestIds
from concert._commands import Commands
from concert._connection import Connection
from concert._frames import FrameStream, encode_frame, framed_size
from concert._limits import (
    CLOSE_SECONDS_MAX,
    FEATURE_LEVEL,
    FEATURE_LEVEL_MIN,
    FRAME_BYTES_MAX,
    GOODBYE_REASON_BYTES_MAX,
    HEARTBEATS_PER_LEASE,
    LEASE_SHARE,
    RECONNECT_JITTER_SECONDS_MAX,
    SESSION_LEASE_SECONDS_DEFAULT,
    SILENT_STREAM_SHARE,
    WELCOME_SECONDS_MAX,
)
from concert._methods import ACQUIRE, GOODBYE, RELEASE, Method
from concert._payload import clip
from concert._peer import NoPeer, SessionPeer
from concert._time import from_duration, to_duration
from concert._tracing import current_traceparent
from concert.errors import (
    Cancelled,
    ConcertError,
    DeadlineExceeded,
    FeatureMissing,
    InternalError,
    LimitReached,
    SessionOver,
    StaleAttempt,
    Unavailable,
    from_status,
)
from concert.v1 import lock_service_pb2, session_service_pb2

_log = logging.getLogger("concert.session")


class _Stream:
    """An open stream with the coordinator's Welcome, and what came with it."""

    __slots__ = ("first", "frames", "hello_sent_at", "welcome")

    def __init__(self, frames: FrameStream, welcome: Any, first: list[Any], hello_sent_at: float) -> None:
        self.frames = frames
        self.welcome = welcome
        self.first = first
        self.hello_sent_at = hello_sent_at


class SessionStream:
    """A session, seen from the client. Belongs to the event loop it is opened on."""

    def __init__(
        self,
        connection: Connection,
        spec: Any,
        *,
        lease: float = SESSION_LEASE_SECONDS_DEFAULT,
        takeover: bool = False,
        peer: SessionPeer | None = None,
    ) -> None:
        """`spec` is the AgentSpec; `lease` in seconds, 2 to 300."""
        self.session_id = 0
        self.agent_id: str = spec.agent_id
        self.log_id = ""
        self.lease_seconds = lease
        self.limits: dict[str, int] = {}
        self.lock_identity = f"session/{secrets.token_hex(8)}"
        self.place = connection.place
        self._connection = connection
        self._spec = spec
        self._takeover = takeover
        self._peer: SessionPeer = peer or NoPeer()
        self._request_ids = RequestIds()
        self._hello_id = self._request_ids.next()
        """The Hello that opens the session is said again under it until a Welcome is heard: the session that an
        unheard Welcome told of is this one.
        """
        self._wake = asyncio.Event()
        self._commands = Commands(self._wake)
        self._heartbeat_due = False
        self._heartbeats: dict[int, float] = {}
        self._nonce = 0
        self._answered_at = 0.0
        self._lease_until = 0.0
        self._lease_timer: asyncio.TimerHandle | None = None
        self._over: SessionOver | None = None
        self._ended = asyncio.Event()
        self._goodbye = False
        self.expired = False
        """Whether the session was given up on this side, and may still stand on the other."""
        self._lost_callbacks: dict[object, Callable[[], None]] = {}
        self._drained = asyncio.Event()
        self._succeeding = False
        self._runner: asyncio.Task[None] | None = None

    # ---- life
    # ------------

    async def open(self) -> None:
        """Opens the session. Raises AlreadyExists when an agent lives under the id, Unavailable after
        `retry_seconds`.
        """
        loop = asyncio.get_running_loop()
        retry_until = loop.time() + self._connection.retry_seconds
        backoff = Backoff()
        while True:
            try:
                stream = await self._open_stream()
                break
            except ConcertError as error:
                over = isinstance(error, SessionOver)
                if over:  # what the same Hello opened has ended unheard of
                    self._hello_id = self._request_ids.next()
                pause = backoff.pause_seconds(_retry_after(error))
                if not (over or _is_transient(error)) or loop.time() + pause > retry_until:
                    raise
                if isinstance(error, Unavailable) and not error.reason:
                    self._peer.on_unanswered(error)
                await asyncio.sleep(pause)
        self._adopt(stream)
        self._runner = asyncio.create_task(self._keep_open(stream), name="concert session")
        if self._over is not None:
            raise self._over

    def describe(self, spec: Any) -> None:
        """What Hello will say of the agent from now on; UpdateAgent says it to the session that there is."""
        if spec != self._spec:
            self._spec = spec
            self._hello_id = self._request_ids.next()

    @property
    def over(self) -> SessionOver | None:
        """Why the session is over; None while it lives."""
        return self._over

    async def wait_over(self) -> SessionOver:
        """Waits until the session is over and says why."""
        await self._ended.wait()
        assert self._over is not None
        return self._over

    async def close(self, reason: str = "closed") -> None:
        """Says Goodbye, waiting at most 5 s for the answer, and ends the session."""
        if self._over is None:
            self._goodbye = True
            request = session_service_pb2.Goodbye(reason=clip(reason, GOODBYE_REASON_BYTES_MAX))
            try:
                async with asyncio.timeout(CLOSE_SECONDS_MAX):
                    await self.call(GOODBYE, request)
            except (TimeoutError, ConcertError) as error:
                _log.debug("goodbye was not answered: %s", error)
            self._end(SessionOver("the session was closed"))
        if self._runner is not None:
            await asyncio.gather(self._runner, return_exceptions=True)

    async def abandon(self) -> None:
        """Ends the session on this side only, as a crash would; the coordinator ends it when its lease runs
        out.
        """
        self._goodbye = True
        self._end(SessionOver("the session was abandoned"))
        if self._runner is not None:
            await asyncio.gather(self._runner, return_exceptions=True)

    def on_lost(self, lost: Callable[[], None]) -> Callable[[], None]:
        """See Caller.on_lost. Also called when the session is closed while something still relies on it."""
        if self._over is not None:
            asyncio.get_running_loop().call_soon(lost)
            return lambda: None
        key = object()
        self._lost_callbacks[key] = lost
        return lambda: self._lost_callbacks.pop(key, None) and None

    # ---- calls
    # ------------

    @property
    def call_seconds(self) -> float:
        """See Caller.call_seconds."""
        return self._connection.call_seconds

    @property
    def retry_seconds(self) -> float:
        """See Caller.retry_seconds."""
        return self._connection.retry_seconds

    async def call(
        self,
        method: Method,
        request: Any,
        *,
        timeout: float | None = None,
        traceparent: str | None = None,
        retry_seconds: float | None = None,
    ) -> Any:
        """See Caller.call. Over the stream when it can travel there, else as an rpc. Raises SessionOver.

        Without a `timeout` the session is the bound: either a reply comes or the session ends.
        """
        if not method.frame:
            return await self._connection.call(method, request, timeout=timeout)
        if method.names_request and not request.request_id:
            request.request_id = self._request_ids.next()
        traceparent = current_traceparent() if traceparent is None else traceparent
        if timeout is None:
            return await self._ask(method, request, traceparent, retry_seconds)
        try:
            async with asyncio.timeout(timeout):
                return await self._ask(method, request, traceparent, retry_seconds)
        except TimeoutError:
            raise DeadlineExceeded(f"{method.name} was not answered in time") from None

    def stream(self, method: Method, request: Any) -> AsyncGenerator[Any, None]:
        """See Caller.stream."""
        return self._connection.stream(method, request)

    async def _ask(self, method: Method, request: Any, traceparent: str, retry_seconds: float | None) -> Any:
        retry_seconds = self.retry_seconds if retry_seconds is None else retry_seconds
        retry_until = 0.0
        backoff: Backoff | None = None
        while True:
            command = await self._commands.add(method, request, traceparent)
            try:
                return await command.future
            except asyncio.CancelledError:
                if command.method is ACQUIRE and (granted := command.unread()) is not None:
                    self._give_back(command.attempt_token, granted.grants)
                raise
            except Unavailable as refusal:
                now = asyncio.get_running_loop().time()
                if backoff is None:
                    backoff, retry_until = Backoff(), now + retry_seconds
                pause = backoff.pause_seconds(refusal.retry_after)
                if now + pause > retry_until:
                    raise
            await asyncio.sleep(pause)

    # ---- streams
    async def _open_stream(self) -> _Stream:
        frames = FrameStream(self._connection, await self._connection.call_metadata())
        try:
            async with asyncio.timeout(WELCOME_SECONDS_MAX):
                hello_sent_at = asyncio.get_running_loop().time()
                await frames.write(encode_frame([self._hello().SerializeToString()]))
                first: list[Any] = []
                while not first:
                    first = list(await frames.read())
        except BaseException as error:
            await frames.close()
            if isinstance(error, TimeoutError):
                error = Unavailable(f"{frames.address}: Hello was not answered in time", reason="")
            if isinstance(error, Unavailable):
                self._connection.addresses.leave(frames.address)
                raise unreached(frames.address, error) from None
            raise
        if first[0].WhichOneof("message") != "welcome":
            await frames.close()
            raise InternalError("the coordinator did not answer Hello with Welcome")
        spoken = first[0].welcome.feature_level
        if spoken < FEATURE_LEVEL_MIN:
            await frames.close()
            raise FeatureMissing(
                f"the coordinator at {frames.address} speaks feature level {spoken} of the contract, and sessions need"
                f" {FEATURE_LEVEL_MIN}: upgrade it",
                feature_level=spoken,
            )
        lease_seconds = from_duration(first[0].welcome.lease) or self.lease_seconds
        if asyncio.get_running_loop().time() >= hello_sent_at + lease_seconds * LEASE_SHARE:
            await frames.close()
            raise Unavailable(f"{frames.address}: Hello was answered so late that the lease may be over", reason="")
        return _Stream(frames, first[0].welcome, first[1:], hello_sent_at)

    def _hello(self) -> Any:
        message = session_service_pb2.ClientMessage()
        hello = message.hello
        hello.namespace = self._connection.namespace
        hello.agent.CopyFrom(self._spec)
        hello.agent.agent_id = self.agent_id
        hello.session_id = self.session_id
        hello.takeover = self._takeover and not self.session_id
        hello.request_id = "" if self.session_id else self._hello_id
        hello.feature_level = FEATURE_LEVEL
        hello.lease.CopyFrom(to_duration(self.lease_seconds))
        if self.session_id:
            hello.attempt_tokens.extend(self._peer.attempt_tokens())
        return message

    def _adopt(self, stream: _Stream) -> None:
        """Makes a stream the one that carries the session, and has everything pending sent again."""
        welcome = stream.welcome
        if self.session_id and (not welcome.resumed or welcome.session_id != self.session_id):
            raise SessionOver("the coordinator began another session instead of resuming this one")
        self.session_id = welcome.session_id
        self.agent_id = welcome.agent_id
        self.log_id = welcome.log_id
        self.limits = dict(welcome.limits)
        self.lease_seconds = from_duration(welcome.lease) or self.lease_seconds
        for token in welcome.stale_attempt_tokens:
            self._commands.forget_attempt(token, StaleAttempt("the attempt no longer counts"))
            self._peer.on_stale(token)
        self._heartbeats.clear()
        self._heartbeat_due = False
        self._commands.send_again()
        self._answered_at = asyncio.get_running_loop().time()
        self._renew(stream.hello_sent_at)
        for message in stream.first:
            self._receive(message)

    async def _keep_open(self, stream: _Stream) -> None:
        try:
            while self._over is None:
                successor = await self._carry(stream)
                stream = successor or await self._reopen()
                if self._over is None:
                    self._adopt(stream)
            await stream.frames.close()
        except ConcertError as error:
            self._end(error if isinstance(error, SessionOver) else SessionOver(str(error)))

    async def _reopen(self) -> _Stream:
        backoff = Backoff()
        while True:
            try:
                return await self._open_stream()
            except ConcertError as error:
                if not _is_transient(error):
                    raise
                await asyncio.sleep(backoff.pause_seconds(_retry_after(error)))

    async def _carry(self, stream: _Stream) -> _Stream | None:
        """Reads and writes a stream until it breaks (None) or, after a Drain, another has taken its place
        (that one).
        """
        self._drained.clear()
        self._succeeding = False
        read = asyncio.create_task(self._read(stream.frames))
        successor = asyncio.create_task(self._succeed(read))
        tasks: list[asyncio.Task[Any]] = [
            read,
            successor,
            asyncio.create_task(self._write(stream.frames)),
            asyncio.create_task(self._beat()),
        ]
        outcomes: list[Any] = []
        try:
            await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
            if self._succeeding:  # what broke the stream may be the very one that takes its place
                await asyncio.wait([successor], timeout=WELCOME_SECONDS_MAX)
        finally:
            for task in tasks:
                task.cancel()
            outcomes += await asyncio.gather(*tasks, return_exceptions=True)
            await stream.frames.close()
            if self._over is not None and isinstance(outcomes[1], _Stream):
                await outcomes[1].frames.close()
        if isinstance(outcomes[1], _Stream):
            return outcomes[1]
        for outcome in outcomes:
            if isinstance(outcome, ConcertError) and not _is_transient(outcome):
                raise outcome
            if isinstance(outcome, Exception) and not isinstance(outcome, ConcertError):
                raise InternalError(f"the session's stream failed: {outcome!r}") from outcome
        return None

    async def _read(self, frames: FrameStream) -> None:
        while True:
            for message in await frames.read():
                self._receive(message)

    async def _write(self, frames: FrameStream) -> None:
        while True:
            while not self._commands.outgoing and not self._heartbeat_due:
                self._wake.clear()
                await self._wake.wait()
            await frames.write(self._next_frame())

    def _next_frame(self) -> bytes:
        outgoing = self._commands.outgoing
        messages: list[bytes] = []
        size_bytes = 0
        if self._heartbeat_due:
            messages.append(self._next_heartbeat())
            size_bytes += framed_size(messages[0])
        while outgoing:
            size_bytes += framed_size(outgoing[0])
            if messages and size_bytes > FRAME_BYTES_MAX:
                break
            messages.append(outgoing.popleft())
        return encode_frame(messages)

    async def _succeed(self, read: asyncio.Task[None]) -> _Stream:
        """After a Drain that names a time, looks for a coordinator that takes the session over before the
        stream ends.
        """
        await self._drained.wait()
        backoff = Backoff()
        pause = random.uniform(0, RECONNECT_JITTER_SECONDS_MAX)
        while True:
            await asyncio.sleep(pause)
            self._succeeding = True
            try:
                return await self._open_stream()
            except ConcertError as error:  # this stream still stands: keep it, try again
                if read.done():
                    raise
                _log.debug("no successor yet: %s", error)
                pause = backoff.pause_seconds(_retry_after(error))
                self._succeeding = False

    # ---- what comes in
    def _receive(self, message: Any) -> None:
        kind = message.WhichOneof("message")
        if kind == "reply":
            self._on_reply(message.reply)
        elif kind == "heartbeat_ack":
            self._on_heartbeat_ack(message.heartbeat_ack.nonce)
        elif kind == "task":
            self._peer.on_task(message.task)
        elif kind == "cancel":
            self._peer.on_cancel(message.cancel)
        elif kind == "drain":
            if message.drain.HasField("reconnect_by"):
                self._drained.set()
            else:
                self._peer.on_drain()

    def _on_reply(self, reply: Any) -> None:
        command = self._commands.settle(reply.correlation_id)
        if command is None:
            return
        outcome = reply.WhichOneof("outcome")
        if outcome == "error":
            command.fail(from_status(reply.error))
        elif not command.future.done():
            command.future.set_result(getattr(reply, outcome) if outcome else None)
        elif command.method is ACQUIRE and outcome == "acquire":
            self._give_back(command.attempt_token, reply.acquire.grants)

    def _give_back(self, attempt_token: int, grants: Iterable[Any]) -> None:
        """Releases locks that were granted after their caller had stopped waiting."""
        tokens = [grant.fencing_token for grant in grants]
        request = lock_service_pb2.ReleaseRequest(attempt_token=attempt_token, fencing_tokens=tokens)
        task = asyncio.create_task(self.call(RELEASE, request))
        task.add_done_callback(_log_failure)

    # ---- the lease
    async def _beat(self) -> None:
        """Has heartbeats sent; returns when the stream has been silent for too long to be trusted."""
        loop = asyncio.get_running_loop()
        while loop.time() - self._answered_at < self.lease_seconds * SILENT_STREAM_SHARE:
            self._heartbeat_due = True
            self._wake.set()
            await asyncio.sleep(self.lease_seconds / HEARTBEATS_PER_LEASE)
        _log.info("session %d: the stream is silent, opening another", self.session_id)

    def _next_heartbeat(self) -> bytes:
        self._heartbeat_due = False
        self._nonce += 1
        self._heartbeats[self._nonce] = asyncio.get_running_loop().time()
        message = session_service_pb2.ClientMessage()
        message.heartbeat.nonce = self._nonce
        encoded: bytes = message.SerializeToString()
        return encoded

    def _on_heartbeat_ack(self, nonce: int) -> None:
        sent_at = self._heartbeats.get(nonce)
        if sent_at is None:
            return
        for older in [each for each in self._heartbeats if each <= nonce]:
            del self._heartbeats[older]
        self._answered_at = asyncio.get_running_loop().time()
        self._renew(sent_at)

    def _renew(self, sent_at: float) -> None:
        self._lease_until = max(self._lease_until, sent_at + self.lease_seconds * LEASE_SHARE)
        if self._lease_timer is None:
            self._watch_lease()

    def _watch_lease(self) -> None:
        self._lease_timer = None
        if self._over is not None:
            return
        loop = asyncio.get_running_loop()
        if loop.time() < self._lease_until:
            self._lease_timer = loop.call_at(self._lease_until, self._watch_lease)
        else:
            self.expired = True
            self._end(SessionOver("the lease ran out without a renewal being answered"))

    def _end(self, over: SessionOver) -> None:
        if self._over is not None:
            return
        self._over = over
        if not self._goodbye:
            _log.warning("session %d of %s is over: %s", self.session_id, self.agent_id, over)
        if self._lease_timer is not None:
            self._lease_timer.cancel()
        if self._runner is not None and self._runner is not asyncio.current_task():
            self._runner.cancel()
        self._commands.close(over.message)
        callbacks, self._lost_callbacks = self._lost_callbacks, {}
        for lost in callbacks.values():
            lost()
        self._ended.set()


_TRANSIENT_CODES = frozenset(
    {"UNAVAILABLE", "CANCELLED", "DEADLINE_EXCEEDED", "RESOURCE_EXHAUSTED", "INTERNAL", "UNKNOWN"}
)


def _is_transient(error: ConcertError) -> bool:
    """Whether another stream may succeed where this one failed."""
    return isinstance(error, (Unavailable, Cancelled, LimitReached, InternalError)) or error.code in _TRANSIENT_CODES


def _retry_after(error: ConcertError) -> float | None:
    return error.retry_after if isinstance(error, (Unavailable, LimitReached)) else None


def _log_failure(task: asyncio.Task[Any]) -> None:
    if not task.cancelled() and (error := task.exception()) is not None:
        _log.debug("giving a late grant back failed: %s", error)
