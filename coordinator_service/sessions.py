"""Sessions: followers of the log for agents. What is decided for an agent is pushed down its stream (A4 to A7).

A hub follows the committed log of one namespace and knows the streams of this replica. An assignment is pushed when its
event is committed, never before (D4). A stream is an outbox with a bound: an agent that does not read loses its stream,
not the coordinator's memory. Nothing here knows of gRPC: rpc/session_servicer.py moves frames between a stream and the
wire.
"""

from __future__ import annotations

import asyncio
import logging
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeAlias

from concert.v1 import session_service_pb2 as pb

from coordinator_service.core import reasons
from coordinator_service.core.answers import AttemptRead, SessionOpened
from coordinator_service.core.commands import (
    COORDINATOR,
    Caller,
    DetachSession,
    GetAttempt,
    OpenSession,
    ResumeSession,
)
from coordinator_service.core.events import (
    AgentAttached,
    AgentDetached,
    AgentDisconnected,
    AgentDraining,
    AgentFailed,
    Event,
    OwnerStarted,
    TaskAssigned,
    TaskCancelled,
    TaskCancelRequested,
)
from coordinator_service.core.rejections import Fault, LimitReached, Rejection, SessionOver, Unavailable
from coordinator_service.faults import rejection_of
from coordinator_service.log.codec import frame
from coordinator_service.log.mirror import to_proto
from coordinator_service.ports import NamespacePort, Outcome

_log = logging.getLogger(__name__)

STALE = "STALE"

AttemptContext: TypeAlias = Callable[[str, str, int, str], str]
"""The traceparent given to an agent for an attempt: from log_id, run_id, attempt token and the run's traceparent."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SessionLimits:
    """Bounds of one session's stream."""

    frame_bytes_max: int = 2 * 1024 * 1024
    """A frame holds this much; a larger message travels alone."""
    outbox_bytes_max: int = 16 * 1024 * 1024
    """Messages that an agent has not read yet; beyond it the stream is cut, and the session detached."""
    commands_in_flight_max: int = 4096
    """Commands without a reply; the next frame is read when there are fewer."""
    lease_ms_min: int = 2_000
    lease_ms_max: int = 300_000
    lease_ms_default: int = 15_000
    drain_grace_ms: int = 5_000
    """Between Drain and the end of the streams when the coordinator stops."""


class SessionStream:
    """One stream of a session: what is to be sent down, coalesced into frames."""

    def __init__(self, limits: SessionLimits, on_closed: Callable[[SessionStream], None]) -> None:
        self._limits = limits
        self._on_closed = on_closed
        self._outbox: deque[bytes] = deque()
        self._bytes = 0
        self._wake: asyncio.Future[None] | None = None
        self._then: Callable[[], object] | None = None
        self.opened: SessionOpened | None = None
        self.closed: Rejection | None = None

    def push(self, message: pb.CoordinatorMessage) -> None:
        """Puts a message into the outbox."""
        self.push_encoded(frame(message.SerializeToString()))

    def push_encoded(self, framed: bytes) -> None:
        """As push, for a message that is already an element of ConnectResponse.messages."""
        if self.closed is not None:
            return
        if self._bytes + len(framed) > self._limits.outbox_bytes_max:
            self.close(LimitReached("outbox_bytes_max", self._limits.outbox_bytes_max))
            return
        self._outbox.append(framed)
        self._bytes += len(framed)
        self._signal()

    async def next_frame(self) -> bytes:
        """An encoded ConnectResponse of everything that is ready; waits for something. Raises the reason once the
        stream is closed and everything before that was taken."""
        while not self._outbox:
            if self.closed is not None:
                raise self.closed
            self._wake = asyncio.get_running_loop().create_future()
            try:
                await self._wake
            finally:
                self._wake = None
        if self._bytes <= self._limits.frame_bytes_max:
            joined = b"".join(self._outbox)
            self._outbox.clear()
            self._bytes = 0
            return joined
        taken = [self._outbox.popleft()]
        size = len(taken[0])
        while self._outbox and size + len(self._outbox[0]) <= self._limits.frame_bytes_max:
            size += len(self._outbox[0])
            taken.append(self._outbox.popleft())
        self._bytes -= size
        return b"".join(taken)

    def close(self, reason: Rejection) -> None:
        """Ends the stream, once what is in the outbox was taken."""
        if self.closed is None:
            self.closed = reason
            self._signal()
            self._on_closed(self)
            if self._then is not None:
                self._then()

    def when_closed(self, then: Callable[[], object]) -> None:
        """Has it called once the stream is closed, at once if it is."""
        if self.closed is not None:
            then()
        else:
            self._then = then

    def _signal(self) -> None:
        if self._wake is not None and not self._wake.done():
            self._wake.set_result(None)


_ROUTED = frozenset(
    (
        TaskAssigned,
        TaskCancelRequested,
        AgentFailed,
        TaskCancelled,
        AgentAttached,
        AgentDetached,
        AgentDisconnected,
        AgentDraining,
        OwnerStarted,
    )
)
"""Events that an agent or its stream may have to be told of; by far the most are not."""


class SessionHub:
    """The streams of one namespace on this replica."""

    def __init__(
        self,
        port: NamespacePort,
        limits: SessionLimits,
        server_limits: dict[str, int],
        log_id: str,
        attempt_context: AttemptContext | None = None,
    ) -> None:
        self.port = port
        self._attempt_context = attempt_context
        self._limits = limits
        self._server_limits = server_limits
        self._log_id = log_id
        self._streams: dict[int, SessionStream] = {}
        self._by_agent: dict[str, SessionStream] = {}
        self._task: asyncio.Task[None] | None = None
        self._position = 0
        self._catching_up: set[asyncio.Task[None]] = set()
        self._ended: Rejection | None = None

    async def start(self) -> None:
        """Begins to follow the log at its end."""
        self._position = (await self.port.ends()).last_sequence
        self._task = asyncio.get_running_loop().create_task(self._follow())

    @property
    def over(self) -> bool:
        """Whether the namespace was dropped and another hub is needed."""
        return self._task is None or self._task.done()

    async def connect(self, command: OpenSession | ResumeSession, caller: Caller) -> SessionStream:
        """Opens or resumes a session. Its Welcome is the first message in the outbox. Raises Rejection."""
        stream = SessionStream(self._limits, self._stream_closed)
        answered: asyncio.Future[Outcome] = asyncio.get_running_loop().create_future()

        def respond(outcome: Outcome) -> None:
            # At once, before the follower sees the first assignment.
            if isinstance(outcome, SessionOpened):
                self._join(stream, outcome)
            if not answered.done():
                answered.set_result(outcome)
            elif isinstance(outcome, SessionOpened):
                self.detach(stream)

        self.port.submit(command, caller, respond)
        try:
            outcome = await answered
        except asyncio.CancelledError:
            self.detach(stream)  # it may have been opened in this very moment, for somebody who has gone
            raise
        if isinstance(outcome, Rejection):
            raise outcome
        return stream

    def detach(self, stream: SessionStream) -> None:
        """The stream is lost; so its session is detached at once, unless another stream took it up (D6)."""
        opened = stream.opened
        if opened is None or self._streams.get(opened.session_id) is not stream:
            return
        self._forget(stream, opened)
        lost = DetachSession(session_id=opened.session_id, attached_sequence=opened.attached_sequence)
        self.port.submit(lost, COORDINATOR, _ignore)

    def drain(self, reconnect_by_ms: int) -> None:
        """Tells every agent to reconnect elsewhere, or here later."""
        for stream in self._streams.values():
            message = pb.CoordinatorMessage()
            message.drain.reconnect_by.FromMilliseconds(reconnect_by_ms)
            stream.push(message)

    def close(self, reason: Rejection) -> None:
        """Ends every stream."""
        if self._task is not None:
            self._task.cancel()
        self._end(reason)

    def _end(self, reason: Rejection) -> None:
        """Nobody follows the log here any more: no stream may stay, or come, that would wait for it for ever."""
        self._ended = reason
        for stream in list(self._streams.values()):
            stream.close(reason)

    def _join(self, stream: SessionStream, opened: SessionOpened) -> None:
        replaced = self._streams.get(opened.session_id)
        stream.opened = opened
        self._streams[opened.session_id] = stream
        self._by_agent[opened.agent_id] = stream
        if replaced is not None:
            replaced.close(SessionOver(opened.session_id))
        self.port.renew_session(opened.session_id)
        stream.push(self._welcome(opened))
        for token in (*opened.live, *opened.cancelling):
            self._push_attempt(stream, token)
        if opened.draining:
            stream.push(pb.CoordinatorMessage(drain=pb.Drain()))
        if self._ended is not None:
            stream.close(self._ended)
        elif opened.attached_sequence < self._position:
            catching_up = asyncio.get_running_loop().create_task(
                self._catch_up(stream, opened.attached_sequence, self._position)
            )
            self._catching_up.add(catching_up)
            catching_up.add_done_callback(self._catching_up.discard)

    def _welcome(self, opened: SessionOpened) -> pb.CoordinatorMessage:
        message = pb.CoordinatorMessage()
        welcome = message.welcome
        welcome.session_id = opened.session_id
        welcome.agent_id = opened.agent_id
        welcome.lease.FromNanoseconds(opened.lease_ns)
        welcome.resumed = opened.resumed
        welcome.feature_level = 1
        welcome.limits.update(self._server_limits)
        welcome.log_id = self._log_id
        welcome.stale_attempt_tokens.extend(opened.stale)
        return message

    async def _follow(self) -> None:
        try:
            follower = await self.port.follow(self._position)
            while True:
                for each in await follower.read():
                    self._position = each.sequence
                    if type(each.event.payload) in _ROUTED:
                        self._route(each.event)
        except Exception as failure:
            self._end(rejection_of(failure, f"what the agents of {self.port.namespace} follow"))

    async def _catch_up(self, stream: SessionStream, after: int, until: int) -> None:
        """Where another replica owns the namespace, the log may be further than the answer that a session stands: what
        was decided for it since was not pushed yet."""
        assert stream.opened is not None
        agent_id = stream.opened.agent_id
        try:
            follower = await self.port.follow(after)
            while follower.position < until:
                for each in await follower.read(events_max=until - follower.position):
                    if type(each.event.payload) in _ROUTED and each.event.agent_id in ("", agent_id):
                        self._route(each.event)
            follower.close()
        except Exception as failure:
            stream.close(rejection_of(failure, f"what agent {agent_id} follows"))

    def _route(self, event: Event) -> None:
        payload = event.payload
        if isinstance(payload, TaskAssigned):
            stream = self._streams.get(payload.session_id)
            if stream is not None:
                self._push_attempt(stream, event.sequence)
        elif isinstance(payload, TaskCancelRequested):
            self._push_cancel(event, payload.attempt_token, payload.fenced_at_ns - event.time_ns)
        elif isinstance(payload, AgentFailed):
            if event.reason == reasons.ATTEMPT_FENCED:
                self._push_stale(event.agent_id, payload.attempt_token)
        elif isinstance(payload, TaskCancelled):
            if payload.attempt_token:  # its agent did not stop in time; or said so itself, and hears nothing new
                self._push_stale(event.agent_id, payload.attempt_token)
        elif isinstance(payload, AgentAttached | AgentDetached):
            self._supersede(self._streams.get(payload.session_id), event)
        elif isinstance(payload, OwnerStarted):
            for stream in list(self._streams.values()):
                self._supersede(stream, event)
        elif isinstance(payload, AgentDisconnected):
            stream = self._streams.get(payload.session_id)
            if stream is not None and stream.opened is not None:
                self._forget(stream, stream.opened)
                stream.close(SessionOver(payload.session_id))
        elif isinstance(payload, AgentDraining):
            stream = self._streams.get(payload.session_id)
            if stream is not None:
                stream.push(pb.CoordinatorMessage(drain=pb.Drain()))

    def _supersede(self, stream: SessionStream | None, event: Event) -> None:
        """D6: since the event the session has no stream, or one at another replica, where a word of an agent that had
        given up may arrive after its next one did here. An agent that still reads this stream takes its session up
        again; left alone it would never be given anything."""
        if stream is not None and stream.opened is not None and stream.opened.attached_sequence < event.sequence:
            stream.close(Unavailable("the session is no longer attached to this stream: resume it"))

    def _push_attempt(self, stream: SessionStream, token: int) -> None:
        """Sends the task of an attempt, or what has become of it by the time it is read."""

        def respond(outcome: Outcome) -> None:
            if not isinstance(outcome, AttemptRead):
                if isinstance(outcome, Rejection):
                    stream.close(outcome)  # the agent resumes, and is sent what it misses
                return
            message = pb.CoordinatorMessage()
            if outcome.task is not None:
                try:
                    message.task.CopyFrom(to_proto(outcome.task))
                    if self._attempt_context is not None:
                        task = message.task
                        task.traceparent = self._attempt_context(self._log_id, task.run_id, token, task.traceparent)
                except Exception:
                    _log.exception("attempt %d could not be written; its agent is cut off", token)
                    stream.close(Fault(f"attempt {token} could not be written"))
                    return
            elif outcome.cancel_reason:
                _fill_cancel(message, token, outcome.cancel_reason, outcome.grace_ns)
            else:
                return
            stream.push(message)

        self.port.submit(GetAttempt(attempt_token=token), COORDINATOR, respond)

    def _push_cancel(self, event: Event, token: int, grace_ns: int) -> None:
        stream = self._by_agent.get(event.agent_id)
        if stream is not None:
            message = pb.CoordinatorMessage()
            _fill_cancel(message, token, event.reason, grace_ns)
            stream.push(message)

    def _push_stale(self, agent_id: str, token: int) -> None:
        stream = self._by_agent.get(agent_id)
        if stream is not None:
            stream.push(pb.CoordinatorMessage(cancel=pb.CancelTask(attempt_token=token, reason=STALE)))

    def _forget(self, stream: SessionStream, opened: SessionOpened) -> None:
        del self._streams[opened.session_id]
        if self._by_agent.get(opened.agent_id) is stream:
            del self._by_agent[opened.agent_id]

    def _stream_closed(self, stream: SessionStream) -> None:
        self.detach(stream)


def _fill_cancel(message: pb.CoordinatorMessage, token: int, reason: str, grace_ns: int) -> None:
    message.cancel.attempt_token = token
    message.cancel.reason = _CANCEL_WORDS.get(reason, reason)
    message.cancel.grace.FromNanoseconds(max(0, grace_ns))


_CANCEL_WORDS = {
    reasons.RUN_CANCELLED: "CANCELLED",
    reasons.RUN_TIMED_OUT: "TIMEOUT",
    reasons.ATTEMPT_TIMED_OUT: "TIMEOUT",
    reasons.FAIL_FAST: "FAIL_FAST",
}


def _ignore(_outcome: Outcome) -> None:
    """Nobody waits for this answer."""


class SessionHubs:
    """The hubs of this replica, one for each namespace that has streams here."""

    def __init__(
        self, limits: SessionLimits, server_limits: dict[str, int], attempt_context: AttemptContext | None = None
    ) -> None:
        self.limits = limits
        self._attempt_context = attempt_context
        self._server_limits = server_limits
        self._hubs: dict[str, SessionHub] = {}
        self._starting: dict[str, asyncio.Lock] = {}

    async def of(self, port: NamespacePort) -> SessionHub:
        """The hub of a namespace; a new one when the namespace was dropped and opened again."""
        async with self._starting.setdefault(port.namespace, asyncio.Lock()):
            hub = self._hubs.get(port.namespace)
            if hub is None or hub.over or hub.port is not port:
                ends = await port.ends()
                hub = SessionHub(port, self.limits, self._server_limits, ends.log_id, self._attempt_context)
                await hub.start()
                self._hubs[port.namespace] = hub
            return hub

    def drain(self) -> None:
        """Tells every agent of this replica to reconnect."""
        for hub in self._hubs.values():
            hub.drain(self.limits.drain_grace_ms)

    def close(self, reason: Rejection) -> None:
        """Ends every stream of this replica."""
        for hub in self._hubs.values():
            hub.close(reason)
