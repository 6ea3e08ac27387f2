"""The export of one log: a follower with a durable cursor that sends the decision spans of what is committed (T1).

The cursor is a named subscription of the namespace, moved behind what the collector has taken: a crash repeats
spans, which have the same ids then, and loses none. It keeps the log from being cut within the bound that named
subscriptions have; what is cut nevertheless is counted. Where it shares a loop with decisions it takes its turns in
small steps.
"""

from __future__ import annotations

import asyncio
import logging
import time
from dataclasses import dataclass
from typing import Protocol

from coordinator_service.core.events import Event
from coordinator_service.core.rejections import AlreadyExists, CursorCompacted, NotFound
from coordinator_service.log.base import Cursor, LogEnds
from coordinator_service.ports import Committed, Follower
from coordinator_service.telemetry import otlp
from coordinator_service.telemetry.counts import TRIMMED, UNWRITABLE
from coordinator_service.telemetry.decision_spans import DecisionSpans
from coordinator_service.telemetry.exporter import Exporter
from coordinator_service.telemetry.resource import resource_of
from coordinator_service.telemetry.sampling import Sampling

SUBSCRIPTION = "concert.telemetry"
"""The name of the cursor, in every namespace."""
SCOPE = "concert"
SPANS_PER_REQUEST = 256
EVENTS_PER_READ = 1000
LOOK_BACK_EVENTS = 256
"""Events before the cursor that are looked at again when an export begins: what was just released is linked to."""
_YIELD_SPANS = 16
_YIELD_EVENTS = 500

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class Pace:
    """How much of its loop an export takes, and how soon."""

    linger_seconds: float = 0.25
    """Between two looks at a log that is read to its end: what comes meanwhile goes together."""
    share: float = 0.25
    """The part of the time that it works when it is behind."""
    acknowledge_seconds: float = 2.0
    """Between two moves of the cursor: what a crash may repeat."""


class ExportedLog(Protocol):
    """What an export needs of a namespace, here or in another process."""

    @property
    def namespace(self) -> str:
        """Its name."""

    @property
    def log_id(self) -> str:
        """Its log."""

    @property
    def last_sequence(self) -> int:
        """The last committed sequence, as far as it is known here."""

    async def follow(self, after: int, log_id: str = "") -> Follower:
        """A cursor that reads what comes after a sequence. Raises CursorCompacted, LogMismatch, CursorInFuture."""

    async def ends(self) -> LogEnds:
        """Where the committed log begins and ends."""

    async def create_subscription(self, name: str, after: int, log_id: str, request_id: str) -> tuple[Cursor, bool]:
        """A named subscription. Raises AlreadyExists."""

    async def named_subscription(self, name: str) -> Cursor:
        """One of them. Raises NotFound."""

    async def acknowledge(self, name: str, log_id: str, sequence: int, *, reset: bool) -> Cursor:
        """Moves one."""


class LogExport:
    """Exports one log until it is cancelled, or the namespace is dropped."""

    def __init__(
        self, log: ExportedLog, exporter: Exporter, sampling: Sampling, pace: Pace, characters_max: int
    ) -> None:
        self._log = log
        self._exporter = exporter
        self._pace = pace
        self._spans = DecisionSpans(log.log_id, sampling, characters_max=characters_max)
        resource = resource_of(namespace=log.namespace, log_id=log.log_id)
        self._scope = otlp.Scope(resource.SerializeToString(deterministic=True), SCOPE)
        self._counts = exporter.counts
        self._gathered: list[bytes] = []
        self._exported = 0
        """The sequence up to which everything is exported."""
        self._acknowledged = 0
        self._acknowledged_at = 0.0

    @property
    def lag_events(self) -> int:
        """How many committed events are not exported yet."""
        return self._log.last_sequence - self._exported

    async def run(self) -> None:
        """Never returns. Raises Rejection."""
        follower = await self._begin()
        try:
            while True:
                if not follower.ready():
                    await self._acknowledge_while_quiet(follower)
                began_at = time.perf_counter()
                slept = await self._export(await follower.read(events_max=EVENTS_PER_READ))
                behind = follower.ready()
                if time.monotonic() - self._acknowledged_at >= self._pace.acknowledge_seconds:
                    await self.acknowledge()
                worked = time.perf_counter() - began_at - slept
                pause = worked * (1 / self._pace.share - 1) if behind else self._pace.linger_seconds
                await asyncio.sleep(pause)
        finally:
            follower.close()

    async def _begin(self) -> Follower:
        """A follower after the cursor, which is made if there is none: at the oldest event kept."""
        log = self._log
        cursor = await self._cursor()
        sequence = cursor.sequence
        ends = await log.ends()
        oldest = ends.oldest_sequence - 1
        if cursor.log_id != log.log_id or sequence > ends.last_sequence:
            _log.warning("namespace %s: spans of another log were exported; they begin anew", log.namespace)
            sequence = (await log.acknowledge(SUBSCRIPTION, log.log_id, oldest, reset=True)).sequence
        elif sequence < oldest:
            self._counts.dropped[TRIMMED] += oldest - sequence
            sequence = oldest
        self._exported = self._acknowledged = sequence
        self._acknowledged_at = time.monotonic()
        follower = await log.follow(max(oldest, sequence - LOOK_BACK_EVENTS), log.log_id)
        while follower.position < sequence:
            for each in await follower.read(events_max=sequence - follower.position):
                self._spans.note(each.event)
        return follower

    async def _cursor(self) -> Cursor:
        try:
            return await self._log.named_subscription(SUBSCRIPTION)
        except NotFound:
            pass
        while True:
            after = (await self._log.ends()).oldest_sequence - 1
            try:
                made, _ = await self._log.create_subscription(SUBSCRIPTION, after, self._log.log_id, SUBSCRIPTION)
            except AlreadyExists:
                return await self._log.named_subscription(SUBSCRIPTION)
            except CursorCompacted:
                continue  # the log was cut meanwhile
            return made

    async def _export(self, found: list[Committed]) -> float:
        """Sends what is sampled. Returns how long others had the loop meanwhile."""
        spans, slept = self._spans, 0.0
        for number, each in enumerate(found, 1):
            event = each.event
            spans.note(event)
            if self._write(event):
                if len(self._gathered) >= SPANS_PER_REQUEST:
                    slept += await self._send(event.sequence)
                elif len(self._gathered) % _YIELD_SPANS == 0:
                    slept += await _give_way()
            else:
                if number % _YIELD_EVENTS == 0:
                    slept += await _give_way()
        return slept + await self._send(found[-1].sequence)

    def _write(self, event: Event) -> bool:
        """Writes the span of an event, where it has one; whether it has. One that cannot be written is counted: it
        would hold up all that come after it."""
        try:
            if not self._spans.is_sampled(event):
                self._counts.unsampled += 1
                return False
            self._gathered.append(self._spans.encode(event))
        except Exception:
            if not self._counts.dropped[UNWRITABLE]:
                where = f"{self._log.namespace}/{event.sequence}"
                _log.exception("event %s cannot be written as a span; it and others like it are counted", where)
            self._counts.dropped[UNWRITABLE] += 1
            return False
        return True

    async def _send(self, sequence: int) -> float:
        """Sends what is gathered, up to a sequence."""
        began_at = time.perf_counter()
        gathered, self._gathered = self._gathered, []
        if gathered:
            await self._exporter.export(self._scope.request(gathered), len(gathered))
        self._exported = sequence
        return time.perf_counter() - began_at

    async def _acknowledge_while_quiet(self, follower: Follower) -> None:
        """The cursor does not stay behind for want of anything to read."""
        while self._exported > self._acknowledged and not follower.ready():
            left = self._acknowledged_at + self._pace.acknowledge_seconds - time.monotonic()
            if left <= 0:
                await self.acknowledge()
                return
            await asyncio.sleep(min(left, self._pace.linger_seconds))

    async def acknowledge(self) -> None:
        """Moves the cursor behind what is exported. Raises Rejection."""
        self._acknowledged_at = time.monotonic()
        if self._exported > self._acknowledged:
            self._acknowledged = self._exported
            await self._log.acknowledge(SUBSCRIPTION, self._log.log_id, self._exported, reset=False)


async def _give_way() -> float:
    began_at = time.perf_counter()
    await asyncio.sleep(0)
    return time.perf_counter() - began_at
