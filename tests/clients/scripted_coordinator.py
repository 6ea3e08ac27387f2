"""A coordinator that does what a test tells it to: real gRPC on a real port, but no decisions of its own.

It is the peer, never the thing under test. A test replaces what it answers to a request (`answer`), pushes
messages down a session's stream, breaks streams, stops acknowledging heartbeats, and reads what it was sent.
It can run in a thread of its own (`in_thread`), for tests that block the event loop.
"""

from __future__ import annotations

import asyncio
import itertools
from collections import defaultdict
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager
from typing import Any

import grpc
from concert import _methods as methods
from concert._methods import Method
from concert._poller import quiet_poller
from concert._time import from_duration, to_duration
from concert.agent._io_thread import IoThread
from concert.v1 import session_service_pb2
from concert.v1 import session_service_pb2_grpc as session_grpc
from google.protobuf import any_pb2
from google.rpc import error_details_pb2, status_pb2
from grpc_status import rpc_status

Answer = Callable[[Any], Any]
LOG_ID = "log-1"

_METHODS = [method for method in vars(methods).values() if isinstance(method, Method)]
_BY_FRAME = {method.frame: method for method in _METHODS if method.frame}


def refusal(code: int, reason: str, message: str, *details: Any) -> status_pb2.Status:
    """A google.rpc.Status as the coordinator makes them."""
    status = status_pb2.Status(code=code, message=message)
    for detail in (error_details_pb2.ErrorInfo(reason=reason, domain="concert"), *details):
        packed = any_pb2.Any()
        packed.Pack(detail)
        status.details.append(packed)
    return status


class Refused(Exception):  # noqa: N818 - what it says is what happened
    """Raised by an answer: the status is what the caller gets."""

    def __init__(self, status: status_pb2.Status) -> None:
        super().__init__(status.message)
        self.status = status


class ScriptedStream:
    """A Connect stream, seen from the coordinator."""

    def __init__(self, coordinator: ScriptedCoordinator, hello: Any, context: Any) -> None:
        self.hello = hello
        self.frames: list[list[Any]] = []
        self.session_id = 0
        self.ended = asyncio.Event()
        self._coordinator = coordinator
        self._context = context
        self._outgoing: asyncio.Queue[list[Any] | None] = asyncio.Queue()
        self._answers: set[asyncio.Task[None]] = set()

    def push(self, **message: Any) -> None:
        """Sends one message, for example task=AgentTask(...)."""
        self._outgoing.put_nowait([session_service_pb2.CoordinatorMessage(**message)])

    def drop(self) -> None:
        """Ends the stream, as a coordinator that goes away."""
        self._outgoing.put_nowait(None)

    def take_away(self) -> None:
        """Ends the stream because another one carries its session now."""
        self._outgoing.put_nowait([])

    async def serve(self, incoming: AsyncIterator[Any]) -> AsyncIterator[Any]:
        reader = asyncio.create_task(self._read(incoming))
        try:
            while (messages := await self._outgoing.get()) is not None:
                if not messages:
                    status = refusal(9, "SESSION_OVER", "another stream took it")
                    await self._context.abort_with_status(rpc_status.to_status(status))
                yield session_service_pb2.ConnectResponse(messages=messages)
        finally:
            reader.cancel()
            self.ended.set()
            for task in self._answers:
                task.cancel()
            await asyncio.gather(reader, *self._answers, return_exceptions=True)

    async def _read(self, incoming: AsyncIterator[Any]) -> None:
        async for frame in incoming:
            self.frames.append(list(frame.messages))
            for message in frame.messages:
                if message.WhichOneof("message") == "heartbeat":
                    self._coordinator.heartbeats += 1
                    if self._coordinator.acknowledges:
                        self.push(heartbeat_ack={"nonce": message.heartbeat.nonce})
                else:
                    task = asyncio.create_task(self._answer(message.command))
                    self._answers.add(task)
                    task.add_done_callback(self._answers.discard)
            self._coordinator.changed()
        self.drop()

    async def _answer(self, command: Any) -> None:
        field = command.WhichOneof("request")
        method = _BY_FRAME[field]
        reply = session_service_pb2.Reply(correlation_id=command.correlation_id)
        try:
            response = await self._coordinator.decide(method, getattr(command, field))
        except Refused as refused:
            reply.error.CopyFrom(refused.status)
        else:
            if response is None:  # the script says nothing
                return
            getattr(reply, "reported" if not method.service else field).CopyFrom(response)
        self.push(reply=reply)


class ScriptedCoordinator(session_grpc.SessionServiceServicer):  # type: ignore[misc]
    """See the module."""

    def __init__(self) -> None:
        self.address = ""
        self.streams: list[ScriptedStream] = []
        self.requests: dict[str, list[Any]] = defaultdict(list)
        self.metadata: list[dict[str, str]] = []
        self.heartbeats = 0
        self.acknowledges = True
        self.resumes = True
        self.stale: list[int] = []
        self.slow_welcome = False
        self.welcome_after_seconds: list[float] = []
        """How late the next ones are."""
        self.refuse_connect: list[status_pb2.Status] = []
        self._answers: dict[str, Answer] = {}
        self._sequences = itertools.count(101)
        self._server: grpc.aio.Server | None = None
        self._port = 0
        self._changes: set[asyncio.Future[None]] = set()

    # ---- what a test does
    # ----------------------------------------------------------------------------------------------

    def answer(self, method: Method, answer: Answer) -> None:
        """Answers requests of that method so: with a response, a coroutine for one, None for silence; may
        raise Refused.

        For a streaming method an async generator function.
        """
        self._answers[method.name] = answer

    async def until(self, condition: Callable[[], Any], seconds: float = 15.0) -> Any:
        """Waits until something is so; conditions are looked at whenever something has come in."""
        async with asyncio.timeout(seconds):
            while not (found := condition()):
                change: asyncio.Future[None] = asyncio.get_running_loop().create_future()
                self._changes.add(change)
                try:
                    await change
                finally:
                    self._changes.discard(change)
        return found

    async def stream(self, number: int = 1) -> ScriptedStream:
        """The stream opened as the n-th, once it is."""
        await self.until(lambda: len(self.streams) >= number)
        return self.streams[number - 1]

    async def got(self, method: Method, count: int = 1) -> list[Any]:
        """The requests of that method, once there are that many."""
        await self.until(lambda: len(self.requests[method.name]) >= count)
        return self.requests[method.name]

    async def start(self) -> None:
        """Listens; on the same port as before when started again."""
        quiet_poller(asyncio.get_running_loop())
        self._server = grpc.aio.server(options=[("grpc.so_reuseport", 0)])
        session_grpc.add_SessionServiceServicer_to_server(self, self._server)
        self._server.add_generic_rpc_handlers(tuple(self._services()))
        self._port = self._server.add_insecure_port(f"127.0.0.1:{self._port}")
        self.address = f"127.0.0.1:{self._port}"
        await self._server.start()

    async def stop(self) -> None:
        """Goes away, with every stream."""
        if self._server is not None:
            await self._server.stop(None)
            self._server = None

    def next_sequence(self) -> int:
        return next(self._sequences)

    # ---- what it does
    # --------------------------------------------------------------------------------------------------

    def changed(self) -> None:
        for change in self._changes:
            if not change.done():
                change.set_result(None)

    async def decide(self, method: Method, request: Any) -> Any:
        self.requests[method.name].append(request)
        self.changed()
        answer = self._answers.get(method.name)
        if answer is None:
            return self._default(method, request)
        answered = answer(request)
        return await answered if isinstance(answered, Awaitable) else answered

    def _default(self, method: Method, request: Any) -> Any:
        response = method.response()
        if method is methods.PUBLISH:
            response.sequences.extend(self.next_sequence() for _ in request.events)
        elif method is methods.ACQUIRE:
            response.request_sequence = self.next_sequence()
            for each in request.requests:
                response.grants.add(
                    resource=each.resource,
                    mode=each.mode,
                    holder=each.holder or f"request/{response.request_sequence}",
                    fencing_token=self.next_sequence(),
                    lease=each.lease if each.HasField("lease") else to_duration(30),
                )
        elif method is methods.KEEP_ALIVE:
            for token in request.fencing_tokens:
                response.leases.add(fencing_token=token).time_left.CopyFrom(to_duration(30))
        elif method is methods.UPDATE_STATE:
            response.revision = self.next_sequence()
        elif method is methods.SUBMIT_RUN:
            response.run_id = request.run.run_id or f"run-{self.next_sequence()}"
        elif "sequence" in method.response.DESCRIPTOR.fields_by_name:
            response.sequence = self.next_sequence()
        return response

    async def Connect(self, incoming: AsyncIterator[Any], context: Any) -> AsyncIterator[Any]:  # noqa: N802
        first = await anext(aiter(incoming))
        if self.refuse_connect:
            await context.abort_with_status(rpc_status.to_status(self.refuse_connect.pop(0)))
        hello = first.messages[0].hello
        if hello.session_id and not self.resumes:
            status = refusal(9, "SESSION_OVER", "the session is over")
            await context.abort_with_status(rpc_status.to_status(status))
        stream = ScriptedStream(self, hello, context)
        welcome = session_service_pb2.Welcome(
            session_id=hello.session_id or self.next_sequence(),
            agent_id=hello.agent.agent_id or "agent-1",
            lease=to_duration(from_duration(hello.lease)),
            resumed=bool(hello.session_id),
            feature_level=1,
            log_id=LOG_ID,
            stale_attempt_tokens=[token for token in hello.attempt_tokens if token in self.stale],
        )
        if self.welcome_after_seconds:
            await asyncio.sleep(self.welcome_after_seconds.pop(0))
        stream.push(welcome=welcome)
        replaced = [each for each in self.streams if hello.session_id and each.session_id == hello.session_id]
        self.streams.append(stream)
        stream.session_id = welcome.session_id
        for each in replaced:
            each.take_away()
        if replaced and self.slow_welcome:
            await asyncio.gather(*(each.ended.wait() for each in replaced))
        self.changed()
        async for response in stream.serve(incoming):
            yield response

    def _services(self) -> Iterator[grpc.GenericRpcHandler]:
        handlers: dict[str, dict[str, Any]] = defaultdict(dict)
        for method in _METHODS:
            if method.service:
                handlers[method.service][method.name] = self._serve(method)
        for service, methods_ in handlers.items():
            yield grpc.method_handlers_generic_handler(f"concert.v1.{service}", methods_)

    def _serve(self, method: Method) -> Any:
        async def unary(request: Any, context: Any) -> Any:
            self.metadata.append(dict(context.invocation_metadata()))
            try:
                return await self.decide(method, request)
            except Refused as refused:
                await context.abort_with_status(rpc_status.to_status(refused.status))

        async def stream(request: Any, context: Any) -> AsyncIterator[Any]:
            self.requests[method.name].append(request)
            self.changed()
            try:
                async for response in self._answers[method.name](request):
                    yield response
            except Refused as refused:
                await context.abort_with_status(rpc_status.to_status(refused.status))

        make = grpc.unary_stream_rpc_method_handler if method.streams else grpc.unary_unary_rpc_method_handler
        return make(
            stream if method.streams else unary,
            request_deserializer=method.request.FromString,
            response_serializer=method.response.SerializeToString,
        )


@asynccontextmanager
async def running() -> AsyncIterator[ScriptedCoordinator]:
    """A scripted coordinator on this loop."""
    coordinator = ScriptedCoordinator()
    await coordinator.start()
    try:
        yield coordinator
    finally:
        await coordinator.stop()


@contextmanager
def in_thread() -> Iterator[tuple[ScriptedCoordinator, IoThread]]:
    """A scripted coordinator on a loop and thread of its own; touch it through `thread.run` and
    `thread.post`.
    """
    thread = IoThread("scripted-coordinator")
    thread.start()
    coordinator = ScriptedCoordinator()
    try:
        yield coordinator, thread
    finally:
        thread.stop()
