"""Hosting agents: keeps them registered, executes what they are given, and reports what came of it.

For every attempt token `execute` is called at most once in a process, whatever happens to the connection. The
order of an attempt: TaskStarted is reported, validate_preconditions, execute, cleanup (always, once one of
those two began), then TaskCompleted or TaskFailed, which is repeated until it is answered or the session is
over. Attempts that no longer count (the session is lost, the coordinator says so) are cancelled and cleaned
up, and nothing is reported of them. What fails is logged as a warning too, with its traceback where the agent did
not mean it.
"""

from __future__ import annotations

import asyncio
import logging
import math
import secrets
import signal
import traceback
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import grpc

from concert._client import ADDRESS_DEFAULT
from concert._connection import Connection
from concert._credentials import Tls, TokenSource
from concert._limits import (
    AGENT_SLOTS_MAX,
    CLEANUP_SECONDS_MAX,
    ERROR_MESSAGE_BYTES_MAX,
    ERROR_TYPE_BYTES_MAX,
    LOST_ATTEMPTS_SECONDS_MAX,
    REPORT_BYTES_MAX,
    SESSION_LEASE_SECONDS_DEFAULT,
    TRACEBACK_BYTES_MAX,
)
from concert._methods import TASK_COMPLETED, TASK_FAILED, TASK_STARTED, Method
from concert._payload import clip, clip_start, to_payload
from concert._runs import dependencies
from concert._session import SessionStream
from concert._time import Seconds, seconds_of
from concert._tracing import current_traceparent, span
from concert.agent._io_thread import BridgedCaller, IoThread, post_to
from concert.agent._link import AgentLink
from concert.agent.agent import Agent, NotRetryable, PreconditionFailed
from concert.agent.context import TaskContext
from concert.errors import (
    ConcertError,
    InvalidArgument,
    InvalidPayload,
    RunOver,
    SessionOver,
    StaleAttempt,
    StateConflictError,
)
from concert.v1 import agent_pb2, session_service_pb2, task_pb2

_log = logging.getLogger("concert.agent")

_STALE = "STALE"
_LOST = "SESSION_LOST"
_STOPPED = "STOPPED"
# Reasons to stop an attempt that nobody waits for a report of.
_SILENT = frozenset({_STALE, _LOST, _STOPPED})


@dataclass(frozen=True, slots=True)
class _Failure:
    """What TaskFailed will say."""

    error: task_pb2.TaskError
    not_retryable: bool = False
    cancelled: bool = False


class _Attempt:
    """One execution."""

    def __init__(self, hosted: _Hosted, session: SessionStream, task: Any) -> None:
        self.session = session
        self.token: int = task.attempt_token
        self._hosted = hosted
        self._agent = hosted.agent
        self._context = TaskContext(task, hosted.caller_for(session))
        self._traceparent: str = task.traceparent
        self._stop_reason = ""
        self._body: asyncio.Task[Any] | None = None
        self._started: asyncio.Task[None] | None = None
        self._began = False

    def stop(self, reason: str) -> None:
        """Cancels the execution, if it is not over, and only once: a resumed session tells again what it told before. A
        reason that wants no report replaces one that does.
        """
        if not self._stop_reason or reason in _SILENT:
            self._stop_reason = reason
        if self._context.cancelled.is_set():
            return
        self._context.cancelled.set()
        if self._body is not None:
            self._body.cancel()

    async def run(self) -> None:
        """Executes and reports. Never cancelled itself."""
        async with self._hosted.slots:
            outcome = await self._execute()
            await self._clean_up()
            if self._started is not None:
                await self._started
            if self._stop_reason not in _SILENT:
                await self._report(outcome)

    async def _execute(self) -> Any:
        """The TaskCompleted, or a _Failure."""
        if self._stop_reason:
            return self._cancelled()
        self._started = asyncio.create_task(self._report_started())
        self._body = asyncio.create_task(self._work(), name=f"attempt {self.token}")
        await asyncio.wait([self._body])
        await self._context.stop_reporting()
        error = None if self._body.cancelled() else self._body.exception()
        if self._body.cancelled():
            outcome = self._cancelled()
        elif error is None:
            outcome = self._completed(self._body.result())
        else:
            outcome = self._failed(error)
        if isinstance(outcome, _Failure):
            self._log_failure(outcome, None if isinstance(error, (PreconditionFailed, NotRetryable)) else error)
        return outcome

    async def _work(self) -> Any:
        await self._context.fetch_results()
        attributes: Mapping[str, str | int] = {
            "concert.run_id": self._context.run_id,
            "concert.task_id": self._context.task_id,
            "concert.attempt": self._context.attempt,
            "concert.attempt_token": self._context.attempt_token,
        }
        name = self._context.capability or self._agent.role
        with span(f"execute {name}", self._context.traceparent, attributes):
            self._traceparent = current_traceparent() or self._traceparent
            self._began = True
            if await self._agent.validate_preconditions(self._context) is False:
                raise PreconditionFailed("the agent's preconditions do not hold")
            return await self._agent.execute(self._context)

    async def _clean_up(self) -> None:
        if not self._began:
            return
        try:
            async with asyncio.timeout(CLEANUP_SECONDS_MAX):
                await self._agent.cleanup(self._context)
        except (Exception, asyncio.CancelledError):
            _log.exception("cleanup of attempt %d of %s failed", self.token, self._agent.role)

    # ---- outcomes
    def _completed(self, result: Any) -> Any:
        report = session_service_pb2.TaskCompleted(
            request_id=f"attempt/{self.token}/completed",
            attempt_token=self.token,
            state_changes=self._context.staged_changes,
        )
        try:
            if result is not None:
                report.result.CopyFrom(to_payload(result))
            if report.ByteSize() > REPORT_BYTES_MAX:
                raise InvalidPayload(
                    f"result and state changes take {report.ByteSize()} bytes together, over the limit of"
                    f" {REPORT_BYTES_MAX}: keep large results elsewhere and return where"
                )
        except InvalidPayload as error:
            return _Failure(_task_error(type(error).__name__, f"the result cannot be sent: {error.message}"), True)
        return report

    def _failed(self, error: BaseException) -> _Failure:
        kind = "PRECONDITION_FAILED" if isinstance(error, PreconditionFailed) else type(error).__name__
        for_good = isinstance(error, (PreconditionFailed, NotRetryable))
        trace = "".join(traceback.format_exception(error))
        return _Failure(_task_error(kind, str(error) or kind, trace), for_good, cancelled=bool(self._stop_reason))

    def _cancelled(self) -> _Failure:
        if not self._stop_reason:
            return _Failure(_task_error("CancelledError", "execute was cancelled, but not by the coordinator"))
        return _Failure(_task_error("CANCELLED", f"stopped: {self._stop_reason}"), cancelled=True)

    def _log_failure(self, failure: _Failure, unexpected: BaseException | None = None) -> None:
        """Says here what is reported: who runs the agent sees its log first."""
        if failure.cancelled:
            return
        of, error = self._context, failure.error
        _log.warning(
            "task %s/%s failed at attempt %d: %s: %s",
            of.run_id,
            of.task_id,
            of.attempt,
            error.error_type,
            error.message,
            exc_info=unexpected,
        )

    # ---- reports
    async def _report_started(self) -> None:
        request = session_service_pb2.TaskStarted(request_id=f"attempt/{self.token}/started", attempt_token=self.token)
        try:
            await self._send(TASK_STARTED, request)
        except StaleAttempt:
            self.stop(_STALE)
        except SessionOver:
            self.stop(_LOST)
        except ConcertError as error:
            _log.warning("the start of attempt %d was not taken: %s", self.token, error)

    async def _report(self, outcome: Any) -> None:
        try:
            if not isinstance(outcome, _Failure):
                try:
                    await self._send(TASK_COMPLETED, outcome)
                    return
                except (StaleAttempt, RunOver, SessionOver):
                    raise
                except ConcertError as error:
                    outcome = _refused(error)
                    self._log_failure(outcome)
            await self._send(TASK_FAILED, self._failure_report(outcome))
        except ConcertError as error:
            _log.warning("the report of attempt %d was not taken: %s", self.token, error)

    def _failure_report(self, failure: _Failure) -> Any:
        return session_service_pb2.TaskFailed(
            request_id=f"attempt/{self.token}/failed",
            attempt_token=self.token,
            error=failure.error,
            not_retryable=failure.not_retryable,
            cancelled=failure.cancelled,
        )

    async def _send(self, method: Method, report: Any) -> None:
        async def send() -> None:
            # What a report decides, its changes of state among it, lies under the span of the execution.
            await self.session.call(method, report, retry_seconds=math.inf, traceparent=self._traceparent)
            if method in (TASK_COMPLETED, TASK_FAILED):  # over there, where the next Hello is written
                self._hosted.settle(self.token)

        await self._hosted.thread.run(send)


class _Hosted:
    """One agent of a host: its attempts, on the host's loop. The Inbox of its link, whose calls come from the
    I/O thread.
    """

    def __init__(self, agent: Agent, thread: IoThread, connection: Connection, lease: float) -> None:
        self.agent = agent
        self.thread = thread
        self.slots = asyncio.Semaphore(agent.slots)
        self.over: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self.agent_id = agent.agent_id or f"{agent.role}-{secrets.token_hex(4)}"
        self.is_registered = asyncio.Event()
        self._home = asyncio.get_running_loop()
        self._connection = connection
        self._lease = lease
        self._link: AgentLink | None = None
        self._callers: dict[str, BridgedCaller] = {}
        self._attempts: dict[int, _Attempt] = {}
        self._running: set[asyncio.Task[None]] = set()
        self._finishing: asyncio.Task[None] | None = None
        self._recovering: asyncio.Task[None] | None = None

    async def start(self) -> None:
        """Begins to register."""

        async def begin() -> None:
            self._link = AgentLink(self._connection, self._spec(), self._lease, self)
            self._link.start()

        await self.thread.run(begin)

    def caller_for(self, session: SessionStream) -> BridgedCaller:
        """One per session, so that its locks know each other."""
        caller = self._callers.get(session.lock_identity)
        if caller is None:
            caller = self._callers[session.lock_identity] = BridgedCaller(self.thread, session)
        return caller

    async def update(self) -> None:
        """Has the agent described anew."""
        link = self._link
        if link is not None:
            spec = self._spec()
            await self.thread.run(lambda: link.update(spec))

    def settle(self, attempt_token: int) -> None:
        """Nothing more will be said of an attempt. On the I/O thread."""
        if self._link is not None:
            self._link.settle(attempt_token)

    def finish(self, *, announce: bool = True) -> None:
        """No new tasks, and goodbye when there are none left. `announce`: the coordinator does not know yet."""
        if self._finishing is None:
            self._finishing = asyncio.create_task(self._finish(announce))

    async def finished(self) -> None:
        """Waits for everything that was begun to be over."""
        tasks = [task for task in (self._finishing, self._recovering, *self._running) if task is not None]
        await asyncio.gather(*tasks, return_exceptions=True)

    def stop(self) -> None:
        """Cancels what runs, and finishes."""
        for attempt in self._attempts.values():
            attempt.stop(_STOPPED)
        self.finish(announce=False)

    async def _finish(self, announce: bool) -> None:
        link = self._link
        if link is None:
            self._set_over(None)
            return
        try:
            if announce:
                await self.thread.run(link.drain)
            while self._running:
                await asyncio.wait(self._running)
            await self.thread.run(lambda: link.stop("drained"))
        finally:
            self._set_over(None)

    def _spec(self) -> Any:
        return agent_pb2.AgentSpec(
            agent_id=self.agent_id,
            agent_name=self.agent.role,
            capabilities=[
                agent_pb2.Capability(name=each.name, version=each.version, labels=each.labels)
                for each in self.agent.capability_list()
            ],
            depends_on=dependencies(self.agent.depends_on),
            after=dependencies(self.agent.after),
            slots=self.agent.slots,
            labels=self.agent.labels,
        )

    # ---- Inbox, called on the I/O thread
    def registered(self, session: SessionStream) -> None:
        """See Inbox."""
        _log.info("%s is registered, session %d", self.agent_id, session.session_id)
        post_to(self._home, self.is_registered.set)

    def lost(self, session: SessionStream) -> None:
        """See Inbox."""
        post_to(self._home, self._on_lost, session)

    def ended(self, error: BaseException | None) -> None:
        """See Inbox."""
        post_to(self._home, self._on_ended, error)

    def task(self, session: SessionStream, task: Any) -> None:
        """See Inbox."""
        post_to(self._home, self._on_task, session, task)

    def cancel(self, attempt_token: int, reason: str) -> None:
        """See Inbox."""
        post_to(self._home, self._on_cancel, attempt_token, reason)

    def drain(self) -> None:
        """See Inbox."""
        post_to(self._home, self._on_drain)

    # ---- the same, on the host's loop
    def _on_task(self, session: SessionStream, task: Any) -> None:
        attempt = _Attempt(self, session, task)
        self._attempts[attempt.token] = attempt
        running = asyncio.create_task(attempt.run(), name=f"attempt {attempt.token} of {self.agent_id}")
        self._running.add(running)

        def over(running: asyncio.Task[None]) -> None:
            self._running.discard(running)
            self._attempts.pop(attempt.token, None)
            self.thread.post(self.settle, attempt.token)
            if not running.cancelled() and (error := running.exception()) is not None:
                _log.error("attempt %d of %s broke the runtime", attempt.token, self.agent_id, exc_info=error)

        running.add_done_callback(over)

    def _on_cancel(self, attempt_token: int, reason: str) -> None:
        attempt = self._attempts.get(attempt_token)
        if attempt is not None:
            attempt.stop(reason)

    def _on_drain(self) -> None:
        self.finish(announce=False)

    def _on_lost(self, session: SessionStream) -> None:
        self.is_registered.clear()
        self._callers.pop(session.lock_identity, None)
        for attempt in self._attempts.values():
            if attempt.session is session:
                attempt.stop(_LOST)
        self._recovering = asyncio.create_task(self._recover())

    async def _recover(self) -> None:
        """Begins another session once the attempts of the lost one are over, or take unreasonably long to be."""
        if self._running:
            _done, late = await asyncio.wait(self._running, timeout=LOST_ATTEMPTS_SECONDS_MAX)
            if late:
                _log.error("%d attempts of %s do not let themselves be cancelled", len(late), self.agent_id)
        if self._link is not None and self._finishing is None:
            self.thread.post(self._link.proceed)

    def _on_ended(self, error: BaseException | None) -> None:
        if error is not None or self._finishing is None:
            self._set_over(error)

    def _set_over(self, error: BaseException | None) -> None:
        if self.over.done():
            return
        if error is not None:
            self.over.set_exception(error)
        else:
            self.over.set_result(None)


class AgentHost:
    """Hosts agents in this process.

    async with AgentHost(MyAgent(), address="127.0.0.1:7420") as host:
        await host.wait()

    Entering it begins to register the agents, and goes on trying while no coordinator is there; `registered` waits for
    that. Leaving it cancels what runs. Two agents of the same role are two instances.
    """

    def __init__(
        self,
        *agents: Agent,
        address: str | Iterable[str] = ADDRESS_DEFAULT,
        namespace: str = "",
        lease: Seconds = SESSION_LEASE_SECONDS_DEFAULT,
        metadata: Mapping[str, str] | None = None,
        credentials: grpc.ChannelCredentials | Tls | None = None,
        token: TokenSource | None = None,
    ) -> None:
        """`lease`: how long the agents outlive their streams, 2 s to 5 min. `credentials`, `token`: see
        `concert.connect`; the token source is asked on a thread of the client's own.
        """
        if not agents:
            raise InvalidArgument("there is no agent to host")
        for agent in agents:
            if not 0 < agent.slots <= AGENT_SLOTS_MAX:
                raise InvalidArgument(f"{agent.role} takes 1 to {AGENT_SLOTS_MAX} tasks at once, not {agent.slots}")
        self._agents = agents
        self._lease = seconds_of(lease)
        self._connection = Connection(
            address, namespace=namespace, metadata=metadata, credentials=credentials, token=token
        )
        self._thread = IoThread()
        self._hosted: list[_Hosted] = []

    @property
    def agent_ids(self) -> list[str]:
        """The agents, in the order they were given."""
        return [hosted.agent_id for hosted in self._hosted]

    async def __aenter__(self) -> AgentHost:
        """Begins."""
        self._thread.start()
        try:
            for agent in self._agents:
                hosted = _Hosted(agent, self._thread, self._connection, self._lease)
                self._hosted.append(hosted)
                await hosted.start()
        except BaseException:
            await self._shut_down()
            raise
        return self

    async def __aexit__(self, *_exc: object) -> None:
        """Cancels what runs, says goodbye."""
        await self._shut_down()

    async def registered(self) -> None:
        """Waits until every agent has a session. Raises what keeps one from ever having it."""
        for hosted in self._hosted:
            waiting = asyncio.ensure_future(hosted.is_registered.wait())
            try:
                await asyncio.wait({waiting, hosted.over}, return_when=asyncio.FIRST_COMPLETED)  # type: ignore[type-var]
            finally:
                waiting.cancel()
            if hosted.over.done():
                hosted.over.result()

    async def update(self) -> None:
        """Tells the coordinator what the agents' capabilities and labels are now. Raises PermissionDenied."""
        for hosted in self._hosted:
            await hosted.update()

    def drain(self) -> None:
        """No new tasks; those that run finish, then the agents leave."""
        for hosted in self._hosted:
            hosted.finish()

    def cancel(self) -> None:
        """Cancels what runs, unreported: the coordinator gives it to others. Then the agents leave."""
        for hosted in self._hosted:
            hosted.stop()

    async def wait(self) -> None:
        """Waits until every agent has left. Raises what kept one from registering."""
        await asyncio.gather(*(asyncio.shield(hosted.over) for hosted in self._hosted))

    async def _shut_down(self) -> None:
        self.cancel()
        await asyncio.gather(*(hosted.over for hosted in self._hosted), return_exceptions=True)
        for hosted in self._hosted:
            await hosted.finished()
        await self._thread.run(self._connection.close)
        self._thread.stop()


async def run_agents(
    *agents: Agent,
    address: str | Iterable[str] = ADDRESS_DEFAULT,
    namespace: str = "",
    lease: Seconds = SESSION_LEASE_SECONDS_DEFAULT,
    metadata: Mapping[str, str] | None = None,
    credentials: grpc.ChannelCredentials | Tls | None = None,
    token: TokenSource | None = None,
) -> None:
    """Hosts agents until SIGTERM or SIGINT, or until they were drained from elsewhere.

    SIGTERM drains: no new tasks, those that run finish. A second SIGTERM, or SIGINT, cancels what runs.
    """
    async with AgentHost(
        *agents,
        address=address,
        namespace=namespace,
        lease=lease,
        metadata=metadata,
        credentials=credentials,
        token=token,
    ) as host:
        with _signals(host):
            await host.wait()


@contextmanager
def _signals(host: AgentHost) -> Iterator[None]:
    loop = asyncio.get_running_loop()
    drains = 0

    def on_term() -> None:
        nonlocal drains
        drains += 1
        if drains == 1:
            _log.info("draining")
            host.drain()
        else:
            host.cancel()

    added: list[signal.Signals] = []
    actions: list[tuple[signal.Signals, Callable[[], None]]] = [
        (signal.SIGTERM, on_term),
        (signal.SIGINT, host.cancel),
    ]
    for number, action in actions:
        try:
            loop.add_signal_handler(number, action)
            added.append(number)
        except (NotImplementedError, RuntimeError, ValueError):  # not the main thread, or no Unix: no signals then
            _log.debug("no signal handler for %s here", number)
    try:
        yield
    finally:
        for number in added:
            loop.remove_signal_handler(number)


def _refused(error: ConcertError) -> _Failure:
    """What becomes of a completion that was refused."""
    if isinstance(error, StateConflictError):
        keys = ", ".join(f"{each['key']} by {each['their_writer']}" for each in error.keys)
        return _Failure(_task_error("STATE_CONFLICT", f"{error.message} ({keys})" if keys else error.message))
    for_good = isinstance(error, InvalidArgument)
    return _Failure(_task_error(error.reason or error.code, f"the completion was refused: {error}"), for_good)


def _task_error(error_type: str, message: str, trace: str = "") -> task_pb2.TaskError:
    return task_pb2.TaskError(
        error_type=clip(error_type, ERROR_TYPE_BYTES_MAX),
        message=clip(message, ERROR_MESSAGE_BYTES_MAX),
        traceback=clip_start(trace, TRACEBACK_BYTES_MAX),
    )
