"""SessionService: moves frames between the wire and a session's stream.

A frame holds any number of messages. Commands are submitted in the order of their frames (A6) through the same table as
unary calls; replies go down with whatever else is ready. The stream is the session's sign of life: any frame renews its
lease, and the end of the stream detaches it.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Coroutine
from functools import partial
from typing import Any, TypeAlias

import grpc
from concert.v1 import session_service_pb2 as pb
from google.protobuf.message import DecodeError

from coordinator_service.core.answers import AgentRead, Answer, Waiting
from coordinator_service.core.commands import COORDINATOR, Caller, GetAgent, OpenSession, ResumeSession
from coordinator_service.core.rejections import Fault, InvalidField, Rejection, Unavailable
from coordinator_service.core.values import NS_PER_MS
from coordinator_service.faults import rejection_of
from coordinator_service.namespaces import Namespaces
from coordinator_service.ports import NamespacePort, Outcome, Respond
from coordinator_service.rpc import errors, identity
from coordinator_service.rpc.admission import Admission
from coordinator_service.rpc.dispatch import FRAMES, fill_leases, read_agent_spec, read_keep_alive
from coordinator_service.rpc.guard import Guard
from coordinator_service.rpc.operation import Operation, Scope, request_digest
from coordinator_service.rpc.operations.runs import SUBMIT_RUN
from coordinator_service.rpc.traced import begin_trace
from coordinator_service.rpc.validation import optional_name_fault
from coordinator_service.sessions import SessionHub, SessionHubs, SessionLimits, SessionStream
from coordinator_service.telemetry.call_spans import CallSpans

Context: TypeAlias = "grpc.aio.ServicerContext[Any, Any]"

_log = logging.getLogger(__name__)

_SUBMIT_RUN = "concert.v1.RunService/SubmitRun"
FLUSH_SECONDS_MAX = 2.0
"""How long the last messages may take to leave once a stream is closed."""
COMMANDS_PER_TURN = 16
"""Commands of a frame that are read before others on the loop get their turn: the first of them are on their way to
disk while the rest is read, and a frame of thousands holds nobody up."""


class _HalfClosed(Rejection):
    """The client sends no more; what is in the outbox still goes to it."""

    code = "OK"
    reason = "UNSPECIFIED"


class SessionServicer:
    """Serves Connect."""

    def __init__(
        self, namespaces: Namespaces, hubs: SessionHubs, spans: CallSpans | None = None, guard: Guard | None = None
    ) -> None:
        self._namespaces = namespaces
        self._spans = spans
        self._guard = guard
        self._hubs = hubs
        self._draining = False

    def handler(self) -> grpc.GenericRpcHandler:
        """What the server registers. Frames stay bytes: a malformed one is answered, not dropped by the transport."""
        connect: Any = grpc.stream_stream_rpc_method_handler(self.connect)
        return grpc.method_handlers_generic_handler("concert.v1.SessionService", {"Connect": connect})

    def drain(self) -> None:
        """Accepts no new sessions, and tells the agents of the others to reconnect elsewhere."""
        self._draining = True
        self._hubs.drain()

    async def connect(self, _frames: Any, context: Context) -> None:
        """One stream, from its Hello to its end."""
        conversation: Conversation | None = None
        admission: Admission | None = None
        try:
            if self._draining:
                raise Unavailable("the coordinator is shutting down")
            if self._guard is not None:
                admission = await Admission.of(self._guard, context)
            first = await _read_frame(context)
            if first is None:
                return
            conversation = await self._open(first, context, admission)
            await conversation.run(first[1:])
        except grpc.aio.BaseError:
            raise  # of the transport: nobody is there any more
        except Exception as failure:
            reason = rejection_of(failure, "Connect")
            if not isinstance(reason, _HalfClosed):
                if self._guard is not None:
                    self._guard.note("Connect", context, reason)
                await errors.abort(context, reason)
        finally:
            if admission is not None:
                admission.close()
            if conversation is not None:
                conversation.end()

    async def _open(self, first: list[pb.ClientMessage], context: Context, admission: Admission | None) -> Conversation:
        if not first or first[0].WhichOneof("message") != "hello":
            raise InvalidField(("messages[0]", "the first message of a session is Hello"))
        hello = first[0].hello
        name = identity.namespace_of(hello.namespace)
        command = _hello_command(hello, self._hubs.limits)
        if admission is not None:
            admission.enter(name)
            if isinstance(command, OpenSession):
                admission.check_agent(command.spec)
            if not await self._namespaces.exists(name):
                admission.guard.may_make(name)
        port = await self._namespaces.get(name)
        hub = await self._hubs.of(port)
        principal = "" if admission is None else admission.principal
        opens = isinstance(command, OpenSession) and hello.request_id
        caller = Caller(
            principal=principal,
            method="Hello",
            request_id=hello.request_id if opens else "",
            digest=request_digest(hello) if opens else b"",
            traceparent=identity.traceparent_of(context),
        )
        stream = await hub.connect(command, caller)
        assert stream.opened is not None
        scope = Scope(
            namespace=port.namespace,
            log_id=port.log_id,
            principal=principal,
            session_id=stream.opened.session_id,
        )
        if admission is not None:
            try:
                if isinstance(command, ResumeSession):  # as what it is known, whatever it says now
                    read = await port.call(GetAgent(agent_id=stream.opened.agent_id), COORDINATOR)
                    assert isinstance(read, AgentRead)
                    admission.check_resumed(read.agent.spec, command.session_id)
                admission.stay(scope, stream.close)
            except BaseException:
                hub.detach(stream)
                raise
        return Conversation(context, hub, stream, scope, self._hubs.limits, self._spans, admission)


class _Asked:
    """A command: in flight until it is decided and durable."""

    __slots__ = ("in_flight",)

    def __init__(self) -> None:
        self.in_flight = True


class Conversation:
    """One stream, once its session is open."""

    def __init__(
        self,
        context: Context,
        hub: SessionHub,
        stream: SessionStream,
        scope: Scope,
        limits: SessionLimits,
        spans: CallSpans | None = None,
        admission: Admission | None = None,
    ) -> None:
        self._admission = admission
        self._context = context
        self._spans = spans
        self._hub = hub
        self._port: NamespacePort = hub.port
        self._stream = stream
        self._scope = scope
        self._limits = limits
        self._in_flight = 0
        self._may_read = asyncio.Event()
        self._may_read.set()
        self._said_goodbye = False
        self._tasks: set[asyncio.Task[None]] = set()

    async def run(self, already_read: list[pb.ClientMessage]) -> None:
        """Until the stream ends. Raises why."""
        reader = asyncio.create_task(self._read(already_read))
        writer = asyncio.create_task(self._write())
        # A stream that was closed is no sign of life, and nothing that comes on it counts: also where its peer does not
        # read, so that the writer cannot end.
        self._stream.when_closed(reader.cancel)
        try:
            await asyncio.wait([reader, writer], return_when=asyncio.FIRST_COMPLETED)
            if reader.done():
                self._stream.close(_reason(reader))
                await asyncio.wait([writer], timeout=FLUSH_SECONDS_MAX)
            reason = self._stream.closed or Unavailable("the stream is lost")
        finally:
            ending = [reader, writer, *self._tasks]
            for task in ending:
                task.cancel()
            await asyncio.gather(*ending, return_exceptions=True)
        if not self._said_goodbye:
            raise reason

    def end(self) -> None:
        """The stream is over; its session is detached, unless it is over too or another stream took it up."""
        self._hub.detach(self._stream)

    async def _write(self) -> None:
        """Ends when the stream is closed and what was in its outbox has left, or when the peer takes no more."""
        try:
            while True:
                frame = await self._stream.next_frame()
                await self._context.write(frame)
        except Rejection:
            return

    async def _read(self, already_read: list[pb.ClientMessage]) -> None:
        """Raises why there is nothing more to read."""
        await self._take(already_read)
        while True:
            await self._may_read.wait()
            messages = await _read_frame(self._context)
            if messages is None:
                raise _HalfClosed("the client sends no more")
            self._port.renew_session(self._scope.session_id)
            if self._admission is not None:
                await self._admission.pace(len(messages))
            await self._take(messages)

    async def _take(self, messages: list[pb.ClientMessage]) -> None:
        for number, message in enumerate(messages):
            if number and number % COMMANDS_PER_TURN == 0:
                await asyncio.sleep(0)
            kind = message.WhichOneof("message")
            if kind == "command":
                self._ask(message.command)
            elif kind == "heartbeat":
                self._stream.push(pb.CoordinatorMessage(heartbeat_ack=pb.HeartbeatAck(nonce=message.heartbeat.nonce)))
            elif kind == "hello":
                raise InvalidField(("messages", "Hello comes once"))
            else:
                raise InvalidField(("messages", "a message of a kind that this coordinator does not know"))

    def _ask(self, asked: pb.Command) -> None:
        correlation_id = asked.correlation_id
        name = asked.WhichOneof("request")
        admission = self._admission
        scope = self._scope
        if admission is not None:
            if name not in admission.commands and (refusal := admission.refusal_of(name, asked)) is not None:
                self._reply_error(correlation_id, refusal)
                return
            scope = admission.scope
        if name == "keep_alive":
            self._spawn(self._keep_alive(correlation_id, asked.keep_alive))
            return
        operation = FRAMES.get(name) if name else None
        if operation is None or name is None:
            unknown = InvalidField(("command.request", "is missing, or of a kind that this coordinator does not know"))
            self._reply_error(correlation_id, unknown)
            return
        request = getattr(asked, name)
        traceparent = asked.traceparent
        respond: Respond = partial(self._respond, correlation_id, operation, _Asked())
        if self._spans is not None and operation is SUBMIT_RUN and not traceparent:
            traceparent, respond = begin_trace(self._spans, _SUBMIT_RUN, respond)
        try:
            command, caller = operation.prepare(request, scope, traceparent)
        except Rejection as fault:
            self._reply_error(correlation_id, fault)
            return
        if name == "goodbye":
            self._said_goodbye = True
        self._in_flight += 1
        if self._in_flight >= self._limits.commands_in_flight_max:
            self._may_read.clear()
        self._port.submit(command, caller, respond)

    def _respond(self, correlation_id: int, operation: Operation, asked: _Asked, outcome: Outcome) -> None:
        if asked.in_flight:  # what waits stands in the way of nothing that comes after it
            asked.in_flight = False
            self._in_flight -= 1
            if self._in_flight < self._limits.commands_in_flight_max:
                self._may_read.set()
        if isinstance(outcome, Waiting):
            return
        if isinstance(outcome, Rejection):
            self._reply_error(correlation_id, outcome)
        else:
            self._reply(correlation_id, operation, outcome)

    async def _keep_alive(self, correlation_id: int, request: Any) -> None:
        try:
            tokens = read_keep_alive(request)
            principal = None if self._admission is None else self._admission.principal
            left_ns = await self._port.keep_alive(tokens, principal)
        except Exception as failure:
            self._reply_error(correlation_id, rejection_of(failure, "KeepAlive"))
            return
        message = pb.CoordinatorMessage()
        message.reply.correlation_id = correlation_id
        message.reply.keep_alive.SetInParent()
        fill_leases(message.reply.keep_alive, tokens, left_ns)
        self._stream.push(message)

    def _spawn(self, work: Coroutine[Any, Any, None]) -> None:
        task = asyncio.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    def _reply(self, correlation_id: int, operation: Operation, answer: Answer) -> None:
        message = pb.CoordinatorMessage()
        reply = message.reply
        reply.correlation_id = correlation_id
        response = getattr(reply, operation.reply_field)
        response.SetInParent()
        try:
            operation.fill(answer, self._scope, response)
        except Exception:
            # Answers are called from the commit of a batch: whatever is wrong with one must not reach the others.
            _log.exception("an answer to %s could not be written", operation.method)
            self._reply_error(correlation_id, Fault("the answer could not be written"))
            return
        self._stream.push(message)

    def _reply_error(self, correlation_id: int, rejection: Rejection) -> None:
        if self._admission is not None:
            self._admission.guard.gate.refusals.count(rejection)
        message = pb.CoordinatorMessage()
        message.reply.correlation_id = correlation_id
        message.reply.error.CopyFrom(errors.to_status(rejection))
        self._stream.push(message)


async def _read_frame(context: Context) -> list[pb.ClientMessage] | None:
    """The messages of the next frame; None at the end. Raises InvalidField for one that cannot be parsed."""
    encoded = await context.read()
    if encoded is grpc.aio.EOF:
        return None
    try:
        return list(pb.ConnectRequest.FromString(encoded).messages)
    except DecodeError:
        raise InvalidField(("frame", "is no ConnectRequest")) from None


def _hello_command(hello: pb.Hello, limits: SessionLimits) -> OpenSession | ResumeSession:
    if hello.session_id:
        return ResumeSession(session_id=hello.session_id, attempt_tokens=tuple(hello.attempt_tokens))
    lease_ms = hello.lease.ToMilliseconds() if hello.HasField("lease") else limits.lease_ms_default
    if not limits.lease_ms_min <= lease_ms <= limits.lease_ms_max:
        bounds = f"must lie between {limits.lease_ms_min} and {limits.lease_ms_max} ms"
        raise InvalidField(("hello.lease", f"is {lease_ms} ms, {bounds}"))
    if hello.request_id and (fault := optional_name_fault(hello.request_id)):
        raise InvalidField(("hello.request_id", fault))
    spec = read_agent_spec(hello.agent, "hello.agent", id_required=False)
    return OpenSession(spec=spec, lease_ns=lease_ms * NS_PER_MS, takeover=hello.takeover)


def _reason(reader: asyncio.Task[None]) -> Rejection:
    """Why a reader ended."""
    if reader.cancelled():
        return Unavailable("the stream is lost")
    failure = reader.exception()
    if not isinstance(failure, Exception) or isinstance(failure, grpc.aio.BaseError):  # of the transport
        return Unavailable("the stream is lost")
    return rejection_of(failure, "what a session sent")
