"""The sequencer: the single writer of a namespace.

One inbox, one writer, group commit. A turn decides what is in the inbox; what follows is appended as one batch while
the next turn already decides the one after it. Nothing leaves before its commit (D4): answers and followers wait for
the batch that covers them, and a read for whatever it has seen. When an append fails, or a decision breaks, the state
is no longer to be trusted: the namespace is dropped and everybody who waits is told UNAVAILABLE.
"""

from __future__ import annotations

import asyncio
import logging
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TypeAlias

from coordinator_service.clock import NamespaceClock, Timer
from coordinator_service.core import deadlines, locks
from coordinator_service.core.answers import Acquired, FromLog, PastFromLog, Recall, Waiting
from coordinator_service.core.commands import COORDINATOR, Caller, Command, Tick
from coordinator_service.core.decide import Decision, decide
from coordinator_service.core.events import (
    Event,
    ResourceAcquired,
    ResourceRequestRefused,
    ResourceRequestTimedOut,
    ResourceRequestWithdrawn,
)
from coordinator_service.core.rejections import (
    Deadlock,
    Fault,
    LimitReached,
    LockLost,
    LockTimeout,
    Rejection,
    Unavailable,
)
from coordinator_service.core.specs import LockGrant
from coordinator_service.core.state import NamespaceState
from coordinator_service.core.values import NS_PER_SECOND
from coordinator_service.log.base import Batch, EventLog, LogError
from coordinator_service.log.codec import EventCodec
from coordinator_service.ports import Committed, Outcome, Respond

_log = logging.getLogger(__name__)

_FROM_LOG = (Recall, FromLog, PastFromLog)
"""Answers that have to be read from the log first."""
TICK_SECONDS_MIN = 0.001
"""A deadline may be decided this much late: namespace time is slewed, so timers may come a little early, repeatedly."""

_Asked: TypeAlias = tuple[Command, Caller, Respond, Callable[[], bool] | None]
OnDecided: TypeAlias = Callable[[NamespaceState, Command, Decision], None]
"""Sees the state right after each decision, before anything of it is durable: for tests and the simulator."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SequencerLimits:
    """Bounds of the writer's queues."""

    inbox_commands_max: int = 65_536
    """Commands that wait to be decided; more are refused, except the coordinator's own: no deadline may be lost."""
    turn_commands_max: int = 256
    """Commands decided before others on the loop get their turn."""
    batch_bytes_max: int = 4 * 1024 * 1024
    """Encoded events that wait for the append under way; deciding stops until it is done."""


@dataclass(slots=True)
class _Forming:
    """A batch in the making, and the answers that wait for it."""

    committed: list[Committed] = field(default_factory=list)
    bytes: int = 0
    answers: list[tuple[Respond, Outcome]] = field(default_factory=list)


class Sequencer:
    """Decides the commands of a namespace one after another and makes what follows durable."""

    def __init__(
        self,
        state: NamespaceState,
        log: EventLog,
        epoch: int,
        codec: EventCodec,
        clock: NamespaceClock,
        *,
        limits: SequencerLimits,
        on_committed: Callable[[list[Committed]], None],
        on_recall: Callable[[Recall | FromLog | PastFromLog, Respond], None],
        on_failed: Callable[[Rejection], None],
        on_decided: OnDecided | None = None,
    ) -> None:
        self.state = state
        self._log = log
        self._epoch = epoch
        self._codec = codec
        self._clock = clock
        self._limits = limits
        self._on_committed = on_committed
        self._on_recall = on_recall
        self._on_failed = on_failed
        self._on_decided = on_decided
        self._loop = asyncio.get_running_loop()
        self._inbox: deque[_Asked] = deque()
        self._turn_scheduled = False
        self._forming = _Forming()
        self._appending: _Forming | None = None
        self._append_task: asyncio.Task[None] | None = None
        self._waiting: dict[int, Respond] = {}
        self._timer: Timer | None = None
        self._timer_ns = 0
        self._failure: Rejection | None = None

    def submit(
        self, command: Command, caller: Caller, respond: Respond, stands: Callable[[], bool] | None = None
    ) -> None:
        """Puts a command into the inbox. One whose `stands` says no when its turn comes is dropped, not answered."""
        if self._failure is not None:
            respond(self._failure)
            return
        if len(self._inbox) >= self._limits.inbox_commands_max and caller is not COORDINATOR:
            respond(LimitReached("inbox_commands_max", self._limits.inbox_commands_max))
            return
        self._inbox.append((command, caller, respond, stands))
        if not self._turn_scheduled:
            self._schedule_turn()

    @property
    def waiting_commands(self) -> int:
        """How many commands wait to be decided."""
        return len(self._inbox)

    @property
    def busy(self) -> bool:
        """Whether something submitted is still to be decided or made durable."""
        return self._failure is None and (bool(self._inbox) or self._append_task is not None)

    async def drain(self) -> None:
        """Waits until everything submitted is decided and durable."""
        while self.busy:
            if self._append_task is not None:
                await asyncio.wait([self._append_task])
            else:
                await asyncio.sleep(0)

    def stop(self, failure: Rejection) -> None:
        """Decides and appends no more; whoever waits is told."""
        if self._failure is not None:
            return
        self._failure = failure
        if self._timer is not None:
            self._timer.cancel()
        if self._append_task is not None:
            self._append_task.cancel()
        batches = [self._forming] if self._appending is None else [self._appending, self._forming]
        told: list[Respond] = []
        for batch in batches:
            # Whoever was to hear Waiting is told as one who waits, or by the answer that ended the wait.
            told += [respond for respond, outcome in batch.answers if not isinstance(outcome, Waiting)]
            batch.answers.clear()
        told += [respond for _, _, respond, _ in self._inbox]
        self._inbox.clear()
        told += self._waiting.values()
        self._waiting.clear()
        for respond in told:
            _tell(respond, failure)

    def is_awaited_by(self, request_sequence: int, respond: Respond) -> bool:
        """Whether the answer to a waiting request will go there."""
        return self._waiting.get(request_sequence) is respond

    def tick(self) -> None:
        """Has what is due decided."""
        self.submit(Tick(), COORDINATOR, _ignore)

    # A turn.

    def _schedule_turn(self) -> None:
        if not self._turn_scheduled:
            self._turn_scheduled = True
            self._loop.call_soon(self._turn)

    def _turn(self) -> None:
        self._turn_scheduled = False
        if self._failure is not None:
            return
        # One reading of the clock a turn: what is decided at once happens at once.
        now_ns = max(self._clock.now_ns(), self.state.time_ns)
        for _ in range(self._limits.turn_commands_max):
            if not self._inbox or self._forming.bytes >= self._limits.batch_bytes_max:
                break
            command, caller, respond, stands = self._inbox.popleft()
            if stands is not None and not stands():
                continue
            try:
                self._decide(command, caller, respond, now_ns)
            except Exception:
                _log.exception("a decision broke: namespace %s is dropped", self.state.namespace)
                fault = Fault("a decision broke; the namespace is being loaded again")
                self._fail(fault)
                _tell(respond, fault)
                return
        self._flush()
        self._watch_deadlines()
        if self._inbox and self._forming.bytes < self._limits.batch_bytes_max:
            self._schedule_turn()

    def _decide(self, command: Command, caller: Caller, respond: Respond, now_ns: int) -> None:
        decision = decide(self.state, command, caller, now_ns)
        if self._on_decided is not None:
            self._on_decided(self.state, command, decision)
        events, outcome = decision
        if events:
            forming, framed = self._forming, self._codec.framed
            for event in events:
                each = Committed(event.sequence, framed(event), event)
                forming.bytes += len(each.frame)
                forming.committed.append(each)
            if self._waiting:
                self._end_waits(events)
        if isinstance(outcome, Waiting):
            self._take_place(outcome.request_sequence, respond)
        self._answer(respond, outcome)

    def _answer(self, respond: Respond, outcome: Outcome) -> None:
        """D4: an answer goes with the batch that covers what it is based on, at once if that is durable already.

        Where others may claim the log, what is under way may have been fenced before this was decided: the next batch
        covers it, which is empty if nothing else happens and then only asks who owns the log."""
        if self._forming.committed or self._appending is None or not self._log.exclusive:
            self._forming.answers.append((respond, outcome))
        else:
            self._appending.answers.append((respond, outcome))

    def _take_place(self, request_sequence: int, respond: Respond) -> None:
        """The latest caller of a waiting request gets its answer; one before it on a stream that is gone does not."""
        replaced = self._waiting.get(request_sequence)
        if replaced is not None:
            self._answer(replaced, Unavailable("the request was made again"))
        self._waiting[request_sequence] = respond

    def _end_waits(self, events: list[Event]) -> None:
        granted: dict[int, list[LockGrant | None]] = {}
        for event in events:
            payload = event.payload
            if isinstance(payload, ResourceAcquired):
                if payload.request_sequence in self._waiting:
                    grant = self.state.grants.get(payload.existing_token or event.sequence)
                    found = None if grant is None else locks.as_grant(grant)
                    granted.setdefault(payload.request_sequence, []).append(found)
            elif isinstance(payload, ResourceRequestTimedOut):
                refusal = LockTimeout(payload.request_sequence, payload.holders, payload.position)
                self._end_wait(payload.request_sequence, refusal)
            elif isinstance(payload, ResourceRequestRefused):
                self._end_wait(payload.request_sequence, Deadlock(payload.request_sequence, payload.cycle))
            elif isinstance(payload, ResourceRequestWithdrawn):
                self._end_wait(payload.request_sequence, LockTimeout(payload.request_sequence, (), 0))
        for sequence, grants in granted.items():
            standing = tuple(grant for grant in grants if grant is not None)
            if len(standing) < len(grants):
                self._end_wait(sequence, LockLost(sequence))  # granted, and gone again in the same decision
            else:
                self._end_wait(sequence, Acquired(grants=standing, request_sequence=sequence))

    def _end_wait(self, request_sequence: int, outcome: Outcome) -> None:
        respond = self._waiting.pop(request_sequence, None)
        if respond is not None:
            self._answer(respond, outcome)

    # Commit.

    def _flush(self) -> None:
        if self._appending is not None:
            return
        forming = self._forming
        if forming.committed or (forming.answers and not self._log.exclusive):
            self._forming = _Forming()
            self._appending = forming
            self._append_task = self._loop.create_task(self._settle(forming))
        elif forming.answers:
            self._forming = _Forming()
            self._release(forming)

    async def _settle(self, batch: _Forming) -> None:
        try:
            await (self._append(batch.committed) if batch.committed else self._log.confirm(self._epoch))
        except Exception as error:
            if isinstance(error, LogError):
                _log.error("the log failed, namespace %s is dropped: %s", self.state.namespace, error)
            else:
                _log.exception("an append broke: namespace %s is dropped", self.state.namespace)
            self._append_task = None
            self._fail(Unavailable(f"the log failed: {error}"))
            return
        self._append_task = None
        self._appending = None
        self._flush()  # first, so that the next batch is on its way to disk while this one is told
        if batch.committed:
            self._on_committed(batch.committed)
        self._release(batch)
        if self._inbox:
            self._schedule_turn()

    async def _append(self, committed: list[Committed]) -> None:
        first, last = committed[0], committed[-1]
        await self._log.append(
            Batch(
                first_sequence=first.sequence,
                last_sequence=last.sequence,
                time_ns=last.event.time_ns,
                events=b"".join([each.frame for each in committed]),
            ),
            self._epoch,
        )

    def _release(self, batch: _Forming) -> None:
        for respond, outcome in batch.answers:
            if isinstance(outcome, _FROM_LOG):
                self._on_recall(outcome, respond)
            else:
                _tell(respond, outcome)

    def _fail(self, failure: Rejection) -> None:
        self.stop(failure)
        self._on_failed(failure)

    # Deadlines.

    def _watch_deadlines(self) -> None:
        due_ns = deadlines.next_deadline_ns(self.state)
        if due_ns is None or (self._timer is not None and self._timer_ns == due_ns):
            return
        if self._timer is not None:
            self._timer.cancel()
        self._timer_ns = due_ns
        left_seconds = max(TICK_SECONDS_MIN, (due_ns - self._clock.now_ns()) / NS_PER_SECOND)
        self._timer = self._clock.call_later(left_seconds, self._deadline_came)

    def _deadline_came(self) -> None:
        self._timer = None
        self.tick()


def _tell(respond: Respond, outcome: Outcome) -> None:
    """Whatever is wrong with one answer must not keep the others from theirs."""
    try:
        respond(outcome)
    except Exception:
        _log.exception("an answer could not be given")


def _ignore(_outcome: Outcome) -> None:
    """Nobody waits for this answer."""
