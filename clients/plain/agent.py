"""An agent in plain generated stubs, written from docs/protocol.md; § names its sections."""

from __future__ import annotations

import itertools
import queue
import random
import secrets
import sys
import threading
import time
import traceback
from collections.abc import Callable, Iterator
from concurrent.futures import Future
from typing import Any, Protocol

import grpc
from concert.v1 import agent_service_pb2, agent_service_pb2_grpc, run_service_pb2, task_pb2
from concert.v1 import session_service_pb2 as pb
from concert.v1.session_service_pb2_grpc import SessionServiceStub
from google.rpc import code_pb2, error_details_pb2, status_pb2

FRAME_BYTES_MAX = 2 * 1024 * 1024
REPORT_BYTES_MAX = 1024 * 1024
WELCOME_SECONDS_MAX = 10.0
GOODBYE_SECONDS_MAX = 5.0
LOST_ATTEMPTS_SECONDS_MAX = 60.0
CHANNEL_OPTIONS = [
    ("grpc.max_receive_message_length", 4 * 1024 * 1024),
    ("grpc.max_send_message_length", 4 * 1024 * 1024),
    ("grpc.keepalive_time_ms", 10_000),
    ("grpc.keepalive_timeout_ms", 5_000),
    ("grpc.keepalive_permit_without_calls", 1),
    ("grpc.use_local_subchannel_pool", 1),
]
_AGAIN = frozenset({"UNAVAILABLE", "CANCELLED", "DEADLINE_EXCEEDED", "RESOURCE_EXHAUSTED", "INTERNAL", "UNKNOWN"})
_SILENT = frozenset({"STALE", "SESSION_LOST"})
_REQUEST_PREFIX = secrets.token_hex(8)
_request_numbers = itertools.count(1)


class Refused(Exception):  # noqa: N818 - it says what happened
    """A call was refused (§2). `reason` is empty when it was not a coordinator that answered."""

    def __init__(self, status: status_pb2.Status) -> None:
        self.status = status
        self.code = code_pb2.Code.Name(status.code)
        info = error_details_pb2.ErrorInfo()
        found = (each.Unpack(info) for each in status.details if each.Is(info.DESCRIPTOR))
        self.reason = info.reason if any(found) and info.domain == "concert" else ""
        super().__init__(f"{self.reason or self.code}: {status.message}")


def refused(error: grpc.RpcError) -> Refused:
    """The refusal behind a failed call."""
    for key, value in error.trailing_metadata() or ():
        if key == "grpc-status-details-bin":
            return Refused(status_pb2.Status.FromString(value))
    return Refused(status_pb2.Status(code=error.code().value[0], message=error.details() or ""))


def new_request_id() -> str:
    """One that nobody else chooses (§1)."""
    return f"{_REQUEST_PREFIX}-{next(_request_numbers)}"


def back_off() -> Iterator[float]:
    """Pauses, in seconds (§2)."""
    ceiling = 0.05
    while True:
        yield random.uniform(ceiling / 4, ceiling)
        ceiling = min(ceiling * 2, 3.0)


class NotRetryable(Exception):  # noqa: N818 - it says what happened
    """From `execute`: not again."""


class Stopped(Exception):  # noqa: N818 - it says what happened
    """From `execute`: it ends because it was cancelled."""


class Handler(Protocol):
    """What an agent does with an attempt. Called in a thread of the attempt's own."""

    def preconditions(self, attempt: Attempt) -> str:
        """What does not hold; empty when all does."""

    def execute(self, attempt: Attempt) -> Any:
        """The result, a Payload or None. Looks at `attempt.cancelled`, or waits for it, and raises Stopped then."""

    def cleanup(self, attempt: Attempt) -> None:
        """Gives back what was taken."""


class Attempt:
    """One attempt of a task (§6). `cancelled` is set when it is to stop (§7)."""

    def __init__(self, agent: PlainAgent, task: Any) -> None:
        self.task = task
        self.token: int = task.attempt_token
        self.received_at = time.monotonic()
        self.cancelled = threading.Event()
        self.state_changes: list[Any] = []
        self.reason = ""
        self.on_cancel: Callable[[], None] = lambda: None
        self._agent = agent
        self._began = False

    def stop(self, reason: str) -> None:
        """§7. A reason that wants no report counts from then on."""
        if not self.reason or reason in _SILENT:
            self.reason = reason
        if not self.cancelled.is_set():
            self.cancelled.set()
            self.on_cancel()

    def call(self, field: str, request: Any) -> Any:
        """A command of this attempt; its response. Raises Refused."""
        request.attempt_token = self.token
        if "request_id" in request.DESCRIPTOR.fields_by_name and not request.request_id:
            request.request_id = new_request_id()
        return self._agent.call(field, request)

    def results(self) -> dict[str, Any]:
        """Results of the dependencies by task id, those by reference read."""
        return {each.task_id: self._result(each) for each in self.task.results}

    def run(self) -> None:
        """From beginning to end."""
        report = self._execute()
        if self._began:
            try:
                self._agent.handler.cleanup(self)
            except Exception:
                traceback.print_exc()
        if self.reason not in _SILENT:
            self._report(report)
        self._agent.settle(self)

    def _execute(self) -> Any:
        if self.reason:
            return self._failure("CANCELLED", f"stopped: {self.reason}", cancelled=True)
        started = pb.TaskStarted(request_id=f"attempt/{self.token}/started", attempt_token=self.token)
        self._agent.send("task_started", started).add_done_callback(self._started)
        handler = self._agent.handler
        try:
            self._began = True
            fault = handler.preconditions(self)
            if fault:
                return self._failure("PRECONDITION_FAILED", fault, not_retryable=True)
            result = handler.execute(self)
        except Stopped:
            return self._failure("CANCELLED", f"stopped: {self.reason}", cancelled=True)
        except Exception as error:
            not_retryable = isinstance(error, (NotRetryable, ValueError))
            return self._failure(type(error).__name__, str(error), traceback.format_exc(), not_retryable=not_retryable)
        report = pb.TaskCompleted(request_id=f"attempt/{self.token}/completed", attempt_token=self.token)
        report.state_changes.extend(self.state_changes)
        if result is not None:
            report.result.CopyFrom(result)
        if report.ByteSize() > REPORT_BYTES_MAX:
            message = f"result and state changes take {report.ByteSize()} bytes, over the limit of {REPORT_BYTES_MAX}"
            return self._failure("ResultTooLarge", message, not_retryable=True)
        return report

    def _started(self, answer: Future[Any]) -> None:
        error = answer.exception()
        if isinstance(error, Refused) and error.reason == "STALE_ATTEMPT":
            self.stop("STALE")

    def _report(self, report: Any) -> None:
        try:
            if isinstance(report, pb.TaskFailed):
                self._agent.call("task_failed", report)
                return
            try:
                self._agent.call("task_completed", report)
            except Refused as error:
                if error.reason in ("STALE_ATTEMPT", "RUN_OVER", "SESSION_OVER"):
                    raise
                for_good = error.code == "INVALID_ARGUMENT"
                failure = self._failure(error.reason or error.code, str(error), not_retryable=for_good)
                self._agent.call("task_failed", failure)
        except Refused as error:
            print(f"the report of attempt {self.token} was not taken: {error}", file=sys.stderr)

    def _failure(self, error_type: str, message: str, trace: str = "", **flags: bool) -> Any:
        error = task_pb2.TaskError(
            error_type=error_type.encode()[:128].decode(errors="ignore"),
            message=message.encode()[:4096].decode(errors="ignore"),
            traceback=trace.encode()[-16384:].decode(errors="ignore"),
        )
        return pb.TaskFailed(request_id=f"attempt/{self.token}/failed", attempt_token=self.token, error=error, **flags)

    def _result(self, result: Any) -> Any:
        if not result.by_reference:
            return result.result
        request = run_service_pb2.GetTaskResultRequest(run_id=self.task.run_id, task_id=result.task_id)
        return self._agent.call("get_task_result", request).result


class PlainAgent:
    """Keeps one agent registered, session after session (§3 to §5), and runs its attempts."""

    def __init__(
        self, open_channel: Callable[[], grpc.Channel], namespace: str, spec: Any, handler: Handler, lease: float = 15.0
    ) -> None:
        """`open_channel` is asked for each stream; `lease` in seconds."""
        self.handler = handler
        self.spec = spec
        self.registered: Future[str] = Future()
        self.left = threading.Event()
        self._open_channel = open_channel
        self._namespace = namespace
        self._lease = self._lease_wanted = lease
        self._lock = threading.RLock()
        self._session_id = 0
        self._is_over = True
        self._leaving = False
        self._drained = threading.Event()
        self._commands: dict[int, tuple[Any, Future[Any]]] = {}
        self._correlation_ids = itertools.count(1)
        self._outbox: queue.SimpleQueue[Any] | None = None
        self._call: Any = None
        self._channel: grpc.Channel | None = None
        self._heartbeats: dict[int, float] = {}
        self._answered_at = self._lease_until = 0.0
        self._attempts: dict[int, Attempt] = {}
        self._seen: dict[int, None] = {}
        threading.Thread(target=self._run, daemon=True).start()

    # ---- commands
    def send(self, field: str, request: Any) -> Future[Any]:
        """A command, kept until its reply is here."""
        answer: Future[Any] = Future()
        with self._lock:
            if self._is_over:
                answer.set_exception(_over("the session is over"))
                return answer
            message = pb.ClientMessage()
            message.command.correlation_id = next(self._correlation_ids)
            getattr(message.command, field).CopyFrom(request)
            getattr(message.command, field).SetInParent()
            self._commands[message.command.correlation_id] = (message, answer)
            if self._outbox is not None:
                self._outbox.put(message)
        return answer

    def call(self, field: str, request: Any) -> Any:
        """A command's response; again while the coordinator is UNAVAILABLE. Raises Refused."""
        for pause in back_off():
            try:
                return self.send(field, request).result()
            except Refused as error:
                if error.code != "UNAVAILABLE":
                    raise
            time.sleep(pause)
        raise AssertionError("the back-off never ends")

    def update(self, spec: Any) -> None:
        """Another description, from now on."""
        self.spec = spec
        self.call("update_agent", pb.UpdateAgent(request_id=new_request_id(), agent=spec))

    # ---- leaving (§8)
    def drain(self) -> None:
        """No new tasks; those that run finish; goodbye."""
        with self._open_channel() as channel:
            stub = agent_service_pb2_grpc.AgentServiceStub(channel)
            request = agent_service_pb2.DrainAgentRequest(
                namespace=self._namespace, agent_id=self.spec.agent_id, request_id=new_request_id()
            )
            try:
                stub.DrainAgent(request, timeout=GOODBYE_SECONDS_MAX)
                self._drained.wait(GOODBYE_SECONDS_MAX)
            except grpc.RpcError as error:
                print(f"leaving without the coordinator's word: {error}", file=sys.stderr)
        self._finish()
        self.left.wait()

    def stop(self) -> None:
        """Stops what runs, unreported, and says goodbye."""
        for attempt in list(self._attempts.values()):
            attempt.stop("SESSION_LOST")
        self._finish()

    def settle(self, attempt: Attempt) -> None:
        """Nothing more will be said of it."""
        with self._lock:
            self._attempts.pop(attempt.token, None)
            last = self._leaving and not self._attempts
        if last:
            threading.Thread(target=self._say_goodbye, daemon=True).start()

    def _finish(self) -> None:
        with self._lock:
            self._leaving = True
            idle = not self._attempts
        if idle:
            self._say_goodbye()

    def _say_goodbye(self) -> None:
        try:
            self.send("goodbye", pb.Goodbye(reason="drained")).result(GOODBYE_SECONDS_MAX)
        except (Refused, TimeoutError):
            pass
        self._end("the agent left")
        self.left.set()

    # ---- session after session
    def _run(self) -> None:
        takeover = False
        while not self._leaving:
            try:
                self._open_session(takeover)
            except Refused as error:
                if not self.registered.done():
                    self.registered.set_exception(error)
                self.left.set()
                return
            self._keep_open()
            takeover = time.monotonic() >= self._lease_until  # given up on this side: it may still stand over there
            deadline = time.monotonic() + LOST_ATTEMPTS_SECONDS_MAX
            while self._attempts and time.monotonic() < deadline:
                time.sleep(0.02)

    def _open_session(self, takeover: bool) -> None:
        hello = self._hello(session_id=0, takeover=takeover)
        for pause in back_off():
            try:
                self._carry(hello)
                return
            except Refused as error:
                if error.reason == "SESSION_OVER":
                    hello.hello.request_id = secrets.token_hex(16)
                elif error.code not in _AGAIN and error.reason != "ALREADY_EXISTS":
                    raise
            time.sleep(pause)

    def _keep_open(self) -> None:
        """Reads streams, one after another, until the session is over."""
        pauses = back_off()
        while not self._is_over:
            try:
                self._read(self._call)
                if not self._is_over:
                    self._carry(self._hello(session_id=self._session_id))
                pauses = back_off()
            except Refused as error:
                if error.code not in _AGAIN:
                    self._end(str(error))
                time.sleep(next(pauses))

    def _hello(self, *, session_id: int, takeover: bool = False) -> Any:
        message = pb.ClientMessage()
        hello = message.hello
        hello.namespace, hello.feature_level, hello.takeover = self._namespace, 1, takeover
        hello.agent.CopyFrom(self.spec)
        hello.lease.FromNanoseconds(int(self._lease_wanted * 1e9))
        if session_id:
            hello.session_id = session_id
            hello.attempt_tokens.extend(sorted(self._attempts))
        else:
            hello.request_id = secrets.token_hex(16)
        return message

    def _carry(self, hello: Any) -> None:
        """Opens a stream and has the session carried by it. Raises Refused."""
        outbox: queue.SimpleQueue[Any] = queue.SimpleQueue()
        outbox.put(hello)
        channel = self._open_channel()
        call = SessionServiceStub(channel).Connect(_frames(outbox))
        call.add_callback(lambda: outbox.put(None))
        patience = threading.Timer(WELCOME_SECONDS_MAX, call.cancel)
        patience.start()
        sent_at = time.monotonic()
        try:
            first = next(call)
            welcome = first.messages[0].welcome
            if welcome.feature_level < 1:
                raise Refused(status_pb2.Status(code=12, message="the coordinator is too old: its feature level is 0"))
        except (grpc.RpcError, StopIteration, Refused) as error:
            channel.close()
            if isinstance(error, Refused):
                raise
            raise refused(error) if isinstance(error, grpc.RpcError) else _gone("the stream ended") from None
        finally:
            patience.cancel()
        with self._lock:
            previous, self._channel = self._channel, channel
            self._adopt(welcome, sent_at, call, outbox)
        if previous is not None:
            previous.close()
        for message in list(first.messages)[1:]:
            self._receive(message)

    def _adopt(self, welcome: Any, sent_at: float, call: Any, outbox: queue.SimpleQueue[Any]) -> None:
        self._session_id, self._lease = welcome.session_id, welcome.lease.ToNanoseconds() / 1e9
        self.spec.agent_id = welcome.agent_id
        self._heartbeats.clear()
        self._answered_at = time.monotonic()
        self._lease_until = sent_at + 0.9 * self._lease
        for token in welcome.stale_attempt_tokens:
            if token in self._attempts:
                self._attempts[token].stop("STALE")
        self._call, self._outbox, began, self._is_over = call, outbox, self._is_over, False
        for message, _answer in self._commands.values():  # in the old order, as they were
            outbox.put(message)
        threading.Thread(target=self._beat, args=(call, outbox), daemon=True).start()
        if began and not self.registered.done():
            self.registered.set_result(welcome.agent_id)

    def _beat(self, call: Any, outbox: queue.SimpleQueue[Any]) -> None:
        """The timers of §4, for one stream."""
        for nonce in itertools.count(1):
            now = time.monotonic()
            if self._call is not call or self._is_over:
                return
            if now >= self._lease_until:
                self._end("the lease ran out without a heartbeat being answered")
                return
            if call.is_active() and now - self._answered_at > 0.6 * self._lease:
                call.cancel()
            self._heartbeats[nonce] = now
            outbox.put(pb.ClientMessage(heartbeat=pb.Heartbeat(nonce=nonce)))
            time.sleep(min(self._lease / 5, max(0.01, self._lease_until - now)))

    def _read(self, call: Any) -> None:
        """Until the stream breaks."""
        try:
            for frame in call:
                for message in frame.messages:
                    self._receive(message)
        except grpc.RpcError as error:
            refusal = refused(error)
            if refusal.code not in _AGAIN:
                raise refusal from None

    def _receive(self, message: Any) -> None:
        kind = message.WhichOneof("message")
        if kind == "task":
            self._begin(message.task)
        elif kind == "cancel" and message.cancel.attempt_token in self._attempts:
            self._attempts[message.cancel.attempt_token].stop(message.cancel.reason)
        elif kind == "reply":
            self._take(message.reply)
        elif kind == "heartbeat_ack" and message.heartbeat_ack.nonce in self._heartbeats:
            self._answered_at = time.monotonic()
            self._lease_until = self._heartbeats.pop(message.heartbeat_ack.nonce) + 0.9 * self._lease
        elif kind == "drain" and not message.drain.HasField("reconnect_by"):
            self._drained.set()
            threading.Thread(target=self._finish, daemon=True).start()

    def _begin(self, task: Any) -> None:
        with self._lock:
            if task.attempt_token in self._seen:
                return
            self._seen[task.attempt_token] = None
            if len(self._seen) > 65_536:
                del self._seen[next(iter(self._seen))]
            attempt = self._attempts[task.attempt_token] = Attempt(self, task)
        threading.Thread(target=attempt.run, daemon=True).start()

    def _take(self, reply: Any) -> None:
        with self._lock:
            _message, answer = self._commands.pop(reply.correlation_id, (None, None))
        if answer is None:
            return
        outcome = reply.WhichOneof("outcome")
        if outcome == "error":
            answer.set_exception(Refused(reply.error))
        else:
            answer.set_result(getattr(reply, outcome) if outcome else None)

    def _end(self, because: str) -> None:
        """§5."""
        with self._lock:
            if self._is_over:
                return
            self._is_over = True
            pending, self._commands = self._commands, {}
            self._outbox = None
        for _message, answer in pending.values():
            answer.set_exception(_over(because))
        for attempt in list(self._attempts.values()):
            attempt.stop("SESSION_LOST")
        self._call.cancel()


def _frames(outbox: queue.SimpleQueue[Any]) -> Iterator[Any]:
    """Whatever is ready, in frames; a large message alone."""
    kept = None
    while (message := kept or outbox.get()) is not None:
        kept, frame, size = None, pb.ConnectRequest(messages=[message]), message.ByteSize()
        while kept is None and not outbox.empty():
            following = outbox.get()
            if following is None:
                yield frame
                return
            size += following.ByteSize()
            if size > FRAME_BYTES_MAX:
                kept = following
            else:
                frame.messages.append(following)
        yield frame


def _over(message: str) -> Refused:
    status = status_pb2.Status(code=code_pb2.FAILED_PRECONDITION, message=message)
    status.details.add().Pack(error_details_pb2.ErrorInfo(reason="SESSION_OVER", domain="concert"))
    return Refused(status)


def _gone(message: str) -> Refused:
    return Refused(status_pb2.Status(code=code_pb2.UNAVAILABLE, message=message))
