"""A namespace that this replica owns: its writer, its followers, its leases."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Coroutine, Generator
from dataclasses import dataclass, field
from typing import Any, TypeVar

from coordinator_service.clock import Clock, NamespaceClock
from coordinator_service.core import monitor
from coordinator_service.core.answers import Answer
from coordinator_service.core.commands import (
    COORDINATOR,
    Caller,
    Command,
    EndSession,
    ExpireLock,
    WithdrawRequest,
)
from coordinator_service.core.events import (
    AgentDisconnected,
    AgentRegistered,
    ResourceAcquired,
    ResourceReleased,
)
from coordinator_service.core.figures import HealthStatus, HealthWindowView, MetricsView
from coordinator_service.core.metrics import Metrics
from coordinator_service.core.monitor import MetricsAsked
from coordinator_service.core.reasons import LEASE_EXPIRED
from coordinator_service.core.references import oldest_needed
from coordinator_service.core.rejections import (
    CursorInFuture,
    LogMismatch,
    Rejection,
    Unavailable,
)
from coordinator_service.core.state import NamespaceState
from coordinator_service.core.totals import Totals, total
from coordinator_service.followed_log import FollowedLog
from coordinator_service.leases import LeaseKey, Leases
from coordinator_service.log.base import Cursor, EventLog, Fenced, LogEnds, LogError, TailLost
from coordinator_service.log.codec import EventCodec
from coordinator_service.log_answers import LogAnswers
from coordinator_service.named_subscriptions import NamedSubscriptionLimits, NamedSubscriptions
from coordinator_service.ownership import Ownership
from coordinator_service.ports import Committed, Outcome, Respond, ask
from coordinator_service.retention import Retention, RetentionLimits
from coordinator_service.sequencer import OnDecided, Sequencer, SequencerLimits
from coordinator_service.snapshots import SnapshotLimits, Snapshotter
from coordinator_service.tail import Tail, TailFollower

_log = logging.getLogger(__name__)

T = TypeVar("T")


@dataclass(frozen=True, slots=True, kw_only=True)
class ShellLimits:
    """Bounds of the shell, for each namespace unless said otherwise."""

    namespaces_max: int = 10_000
    """Namespaces of this replica."""
    tail_bytes_max: int = 32 * 1024 * 1024
    """Newest events kept in memory for followers."""
    sequencer: SequencerLimits = field(default_factory=SequencerLimits)
    snapshots: SnapshotLimits = field(default_factory=SnapshotLimits)
    named_subscriptions: NamedSubscriptionLimits = field(default_factory=NamedSubscriptionLimits)
    retention: RetentionLimits = field(default_factory=RetentionLimits)


_LEASED = frozenset((ResourceAcquired, ResourceReleased, AgentRegistered, AgentDisconnected))
"""Events that begin or end a lease."""


class LocalNamespace:
    """A namespace that this replica owns."""

    def __init__(
        self,
        log: EventLog,
        state: NamespaceState,
        epoch: int,
        ends: LogEnds,
        cursors: list[Cursor],
        clock: Clock,
        limits: ShellLimits,
        ownership: Ownership,
        on_decided: OnDecided | None = None,
    ) -> None:
        self._log = log
        self._epoch = epoch
        self._ownership = ownership
        self._leaving: Rejection | None = None
        self._ends = ends
        self._time = NamespaceClock(clock)
        self._time.start(state.time_ns)
        self._tail = Tail(log, state.sequence, bytes_max=limits.tail_bytes_max)
        self._followed = FollowedLog(log, ends.log_id, self._tail)
        self._leases = Leases(clock, self._lease_ended)
        self._closed: asyncio.Future[Rejection] = asyncio.get_running_loop().create_future()
        self._tasks: dict[asyncio.Task[None], None] = {}
        self.sequencer = Sequencer(
            state,
            log,
            epoch,
            EventCodec(log.namespace, ends.log_id),
            self._time,
            limits=limits.sequencer,
            on_committed=self._committed,
            on_recall=lambda wanted, respond: self._answers.give(wanted, respond),
            on_failed=self._failed,
            on_decided=on_decided,
        )
        self._answers = LogAnswers(
            log,
            self._tail,
            self._followed,
            spawn=self._spawn,
            again=self.sequencer.submit,
            dropped=lambda: self._closed.result() if self._closed.done() else None,
        )
        self._subscriptions = NamedSubscriptions(
            log,
            ends.log_id,
            epoch,
            cursors,
            limits.named_subscriptions,
            now_ns=self._time.now_ns,
            failed=self.drop,
        )
        self.retention = Retention(
            log,
            epoch,
            limits.retention,
            now_ns=self._time.now_ns,
            needed=lambda: oldest_needed(state),
            acknowledged=self._subscriptions.oldest,
        )
        self._spawn(self.retention.follow())
        for agent in state.agents.values():
            if agent.session_id:
                self._leases.grant(("session", agent.session_id), agent.lease_ns)
        for grant in state.grants.values():
            if not grant.session_id:
                self._leases.grant(("lock", grant.token), grant.lease_ns)
        self._snapshotter = Snapshotter(log, epoch, limits.snapshots, self._reached, self._tail.slice)
        self._spawn(self._snapshotter.follow())

    @property
    def namespace(self) -> str:
        """Its name."""
        return self._log.namespace

    @property
    def log_id(self) -> str:
        """The log that its sequences are positions of."""
        return self._ends.log_id

    @property
    def last_sequence(self) -> int:
        """The last committed sequence."""
        return self._tail.last

    def now_ns(self) -> int:
        """The namespace's time (D2)."""
        return self._time.now_ns()

    @property
    def dropped(self) -> bool:
        """Whether it has to be opened again."""
        return self._closed.done()

    @property
    def serves(self) -> bool:
        """Whether it takes commands: it is neither dropped nor about to be owned by another replica."""
        return self._leaving is None and self._may_speak()

    async def wait_dropped(self) -> Rejection:
        """Waits until the namespace is no longer served here, and says why."""
        return await asyncio.shield(self._closed)

    def submit(self, command: Command, caller: Caller, respond: Respond) -> None:
        """Asks for something; see NamespacePort."""
        if self._leaving is not None:
            respond(self._leaving)
        elif self._may_speak():
            self.sequencer.submit(command, caller, respond)
        else:
            respond(self._closed.result())

    async def call(self, command: Command, caller: Caller) -> Answer:
        """Asks and waits, through a Waiting, for the final answer. A cancelled call withdraws its request (L6)."""
        return await ask(self.submit, self.withdraw, command, caller)

    async def follow(self, after: int, log_id: str = "") -> TailFollower:
        """A cursor that reads what comes after a sequence (E2, E4)."""
        await self._hear_of(after)
        return await self._followed.follow(after, log_id)

    async def ends(self) -> LogEnds:
        """Where the committed log begins and ends."""
        return await self._followed.ends()

    async def locate(self, time_ns: int) -> int:
        """A sequence after which come all events at or after a time (and perhaps a few before it)."""
        return await self._followed.locate(time_ns)

    async def look(self, read: Callable[[NamespaceState, Metrics, int], Generator[None, None, T]]) -> T:
        """What `read` makes of the state, the metrics and the namespace's time when everything committed so far is
        folded; others have their turn between its steps. Raises what it raises, and Unavailable."""
        now_ns = self._time.now_ns()
        return await self._snapshotter.look(self._tail.last, lambda state, metrics: read(state, metrics, now_ns))

    async def measure(self, asked: MetricsAsked) -> MetricsView:
        """What is counted, and how things stand, when everything committed so far is (M2). Raises NotFound."""
        return await self.look(lambda state, metrics, now_ns: monitor.measure(metrics, state, asked, now_ns))

    async def totals(self, agents_max: int) -> Totals:
        """What a scraper is shown, when everything committed so far is counted."""
        return await self.look(lambda state, metrics, now_ns: total(metrics, state, agents_max, now_ns))

    async def health(self) -> tuple[HealthStatus, HealthWindowView]:
        """How the namespace does now, and what says so (M1)."""

        def read(
            _: NamespaceState, metrics: Metrics, now_ns: int
        ) -> Generator[None, None, tuple[HealthStatus, HealthWindowView]]:
            yield from ()
            return monitor.health(metrics, now_ns)

        return await self.look(read)

    async def create_subscription(self, name: str, after: int, log_id: str, request_id: str) -> tuple[Cursor, bool]:
        """E5; see NamespacePort."""
        await self._hear_of(after)
        await self._followed.check_position(after, log_id, "after.sequence")
        return await self._as_owner(self._subscriptions.create(name, after, request_id))

    async def named_subscription(self, name: str) -> Cursor:
        """E5; see NamespacePort."""
        await self._confirm()
        return self._subscriptions.get(name)

    async def named_subscriptions(self) -> list[Cursor]:
        """E5; see NamespacePort."""
        await self._confirm()
        return self._subscriptions.all()

    async def acknowledge(self, name: str, log_id: str, sequence: int, *, reset: bool) -> Cursor:
        """E5; see NamespacePort."""
        return await self._as_owner(self._acknowledge(name, log_id, sequence, reset))

    async def _acknowledge(self, name: str, log_id: str, sequence: int, reset: bool) -> Cursor:
        self._subscriptions.get(name)
        if log_id != self._ends.log_id:
            raise LogMismatch(self._ends.log_id, log_id)
        await self._hear_of(sequence)
        if sequence > self._tail.last:
            raise CursorInFuture(("cursor.sequence", f"is {sequence}, the log ends at {self._tail.last}"))
        if reset:
            await self._followed.check_kept(sequence)
        return await self._subscriptions.acknowledge(name, sequence, reset=reset)

    async def delete_subscription(self, name: str) -> bool:
        """E5; see NamespacePort."""
        return await self._as_owner(self._subscriptions.delete(name))

    async def keep_alive(self, fencing_tokens: tuple[int, ...], principal: str | None = None) -> list[int]:
        """Makes lock leases whole again; those of a session or an attempt stand as long as its session, kept by its
        stream."""
        if not self._may_speak():
            raise self._closed.result()
        grants = self.sequencer.state.grants
        left_ns = [
            0
            if principal is not None and token in grants and grants[token].principal != principal
            else self._renew_lock(token)
            for token in fencing_tokens
        ]
        await self._confirm()
        return left_ns

    def renew_session(self, session_id: int) -> bool:
        """Makes a session's lease whole again; false when it is over."""
        return self._may_speak() and self._leases.renew(("session", session_id)) > 0

    def session_stands(self, session_id: int) -> bool:
        """Whether a session is not over."""
        return self._leases.left_ns(("session", session_id)) > 0

    async def close(self, why: Rejection | None = None) -> None:
        """Finishes what was submitted, takes no more, and lets go: the next owner may begin at once."""
        if self._leaving is not None:
            await self.wait_dropped()
            return
        self._leaving = why or Unavailable("the coordinator is shutting down")
        await self.sequencer.drain()
        if not self.dropped and not self._log.exclusive:
            await self._release()
        self.drop(self._leaving)
        await asyncio.gather(*self._tasks, return_exceptions=True)

    def drop(self, failure: Rejection) -> None:
        """Lets go at once; whoever waits is told."""
        if self._closed.done():
            return
        self._closed.set_result(failure)
        self.sequencer.stop(failure)
        self._leases.close()
        self._subscriptions.close(failure)
        self._tail.fail(failure)
        for task in list(self._tasks):
            task.cancel()

    async def _release(self) -> None:
        try:
            await self._log.release(self._epoch)
        except LogError as error:
            _log.warning("namespace %s was not released, its lease has to run out: %s", self.namespace, error)
        self._ownership.announce()

    def _may_speak(self) -> bool:
        """Whether it is still owned here, as far as that is known without asking the store. A replica that stood still
        for longer than its lease finds out by this, before it says a word."""
        if not self._closed.done() and not self._ownership.stands():
            self.drop(Unavailable("this replica's lease has run out"))
        return not self._closed.done()

    def _failed(self, failure: Rejection) -> None:
        self.drop(failure)

    def _committed(self, committed: list[Committed]) -> None:
        for each in committed:
            payload = each.event.payload
            if type(payload) not in _LEASED:
                continue
            if isinstance(payload, ResourceAcquired):
                if payload.existing_token:
                    self._leases.renew(("lock", payload.existing_token))  # the lease stays what was granted (L5)
                elif not payload.session_id:
                    self._leases.grant(("lock", each.sequence), payload.lease_ns or 0)
            elif isinstance(payload, ResourceReleased):
                if not payload.remaining:
                    self._leases.drop(("lock", payload.fencing_token))
            elif isinstance(payload, AgentRegistered):
                self._leases.grant(("session", each.sequence), payload.lease_ns or 0)
            elif isinstance(payload, AgentDisconnected):
                self._leases.drop(("session", payload.session_id))
        self._tail.extend(committed)

    def _lease_ended(self, key: LeaseKey) -> None:
        kind, number = key
        command: Command
        if kind == "session":
            command = EndSession(session_id=number, reason=LEASE_EXPIRED)
        else:
            command = ExpireLock(fencing_token=number)
        self.sequencer.submit(command, COORDINATOR, _ignore, stands=lambda: self._leases.is_over(key))

    def _renew_lock(self, token: int) -> int:
        left_ns = self._leases.renew(("lock", token))
        if left_ns:
            return left_ns
        grant = self.sequencer.state.grants.get(token)
        return self._leases.left_ns(("session", grant.session_id)) if grant is not None and grant.session_id else 0

    def withdraw_unless_asked_again(self, request_sequence: int, respond: Respond) -> None:
        """The caller has lost its way here: within the grace it may come back by another (L6)."""
        grace_seconds = self.sequencer.state.limits.reattach_grace_ms / 1000
        self._time.call_later(grace_seconds, lambda: self.withdraw(request_sequence, respond))

    def withdraw(self, request_sequence: int, respond: Respond) -> None:
        """The caller has gone, and the request with it, unless it was made again since by somebody who still waits."""
        self.sequencer.submit(
            WithdrawRequest(request_sequence=request_sequence),
            COORDINATOR,
            _ignore,
            stands=lambda: self.sequencer.is_awaited_by(request_sequence, respond),
        )

    async def _hear_of(self, sequence: int) -> None:
        """Where replicas share a log, others may read what was appended here before it is heard here that it is
        durable: waits for that. Raises Unavailable."""
        if self._log.exclusive or sequence <= self._tail.last:
            return
        kept = await self._followed.kept()
        await self._confirm()  # so what is there was appended by this owner
        await self._reached(min(sequence, kept.last_sequence))

    async def _as_owner(self, asked: Awaitable[T]) -> T:
        """What is answered or refused from memory, once it is known that this replica still owned the log. Raises
        Unavailable."""
        try:
            return await asked
        finally:
            await self._confirm()

    async def _confirm(self) -> None:
        """D4: where replicas share a log, what is told from memory was true at some moment during the call. Raises
        Unavailable."""
        if self._log.exclusive:
            return
        try:
            await self._log.confirm(self._epoch)
        except LogError as error:
            failure = Unavailable(f"the log failed: {error}")
            if isinstance(error, Fenced | TailLost):
                self.drop(failure)
            raise failure from None

    async def _reached(self, sequence: int) -> None:
        """Waits until the log has reached a sequence."""
        while self._tail.last < sequence:
            await self._tail.read(self._tail.last, 1)

    def _spawn(self, work: Coroutine[Any, Any, None]) -> asyncio.Task[None]:
        async def watched() -> None:
            try:
                await work
            except Rejection:
                pass  # the namespace was dropped, and everybody is told
            except LogError as error:
                _log.error("namespace %s: %s", self.namespace, error)
            except Exception:
                _log.exception("namespace %s: what followed its log broke", self.namespace)

        task = asyncio.get_running_loop().create_task(watched())
        self._tasks[task] = None

        def done(_: asyncio.Task[None]) -> None:
            self._tasks.pop(task, None)
            work.close()  # it may have been cancelled before it began

        task.add_done_callback(done)
        return task


def _ignore(_outcome: Outcome) -> None:
    """Nobody waits for this answer."""
