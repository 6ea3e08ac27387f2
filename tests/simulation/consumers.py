"""Consumers with a named subscription: they process what they read, acknowledge it now and then, die, and go on from
where the coordinator says that they were.
"""

from __future__ import annotations

import asyncio
from contextlib import aclosing
from typing import TYPE_CHECKING, Any, cast

from coordinator_service.core.events import Event
from coordinator_service.core.invariants import InvariantBroken
from coordinator_service.core.rejections import (
    CursorBehind,
    CursorCompacted,
    LimitReached,
    NotFound,
    Rejection,
    Unavailable,
)
from coordinator_service.local_namespace import LocalNamespace
from coordinator_service.log.codec import decode_event, split
from coordinator_service.subscriptions import Selector, Subscription
from tests.simulation.coordinator import Lost

if TYPE_CHECKING:
    from tests.simulation.world import World


class Consumer:
    """One who must not miss anything."""

    def __init__(self, world: World, number: int) -> None:
        self.world = world
        self.name = f"consumer-{number}"
        self.random = world.random_of(self.name)
        self.bookmark = 0
        """How far it has processed."""
        self._begun = -1
        """After which event it was created; -1 before that is known."""
        self._acknowledged = 0
        """What it was told was acknowledged."""
        self._asked_for = 0
        """The furthest that it ever acknowledged, heard or not."""
        self._seen: set[int] = set()
        self._gaps: list[range] = []

    async def act(self) -> None:
        """Until the end of the world."""
        while True:
            try:
                port = await self.world.port()
                await (self._create(port) if self._begun < 0 else self._consume(port))
            except (Lost, Unavailable, LimitReached):
                await asyncio.sleep(self.world.faults.delay(1.0) + 0.01)
            except TimeoutError:
                await asyncio.sleep(self.world.faults.delay(5.0))  # it died, and knows no more how far it was

    async def _create(self, port: LocalNamespace) -> None:
        """Always by the same request, so that whoever created it, it did."""
        after = min(self.random.choice((port.last_sequence, port.last_sequence // 2)), port.last_sequence)
        try:
            made, _ = await port.create_subscription(self.name, after, port.log_id, f"make {self.name}")
        except CursorCompacted:
            raise Lost from None  # it tries another place
        self._require(made.sequence <= self.world.durable.end, f"begins at {made.sequence}, which is not durable")
        self._begun = self._acknowledged = self._asked_for = self.bookmark = made.sequence

    async def _consume(self, port: LocalNamespace) -> None:
        try:
            cursor = await port.named_subscription(self.name)
        except NotFound:
            raise InvariantBroken(f"E5: {self.name} was created, and is not there") from None
        stands = self._acknowledged <= cursor.sequence <= self._asked_for
        self._require(stands, f"is at {cursor.sequence}, of {self._acknowledged} to {self._asked_for} acknowledged")
        subscription = Subscription(port, Selector(), cursor.sequence, cursor.log_id)
        async with asyncio.timeout(None if self.world.calm else self.random.expovariate(1 / 4.0)):
            deliveries = cast("Any", subscription.deliveries(bookmark_seconds=4.0))
            async with aclosing(deliveries):
                try:
                    async for delivery in deliveries:
                        self._seen.update(decode_event(each).sequence for each in split(delivery.frames))
                        self.bookmark = delivery.last_sequence
                        if self.random.random() < 0.4:
                            await self._acknowledge(port, cursor.log_id)
                except CursorCompacted as gone:
                    await self._skip(port, gone)

    async def _acknowledge(self, port: LocalNamespace, log_id: str) -> None:
        behind = self._acknowledged > 0 and self.random.random() < 0.1
        sequence = self._acknowledged - 1 if behind else self.bookmark
        self._asked_for = max(self._asked_for, sequence)
        try:
            moved = await port.acknowledge(self.name, log_id, sequence, reset=False)
        except CursorBehind:
            behind |= sequence < self._asked_for  # an acknowledgement that it never heard of went further
            self._require(behind, f"was refused {sequence}, after {self._acknowledged} was acknowledged")
            return
        except (Unavailable, CursorCompacted):
            raise
        except Rejection as refusal:
            raise InvariantBroken(f"E5: {self.name} was refused {sequence}: {refusal!r}") from refusal
        self._require(not behind and moved.sequence == sequence, f"went from {self._acknowledged} to {moved.sequence}")
        self._acknowledged = max(self._acknowledged, sequence)

    async def _skip(self, port: LocalNamespace, gone: CursorCompacted) -> None:
        """What it has not acknowledged is no longer kept: it is told so, and goes on from what is."""
        cursor = await port.named_subscription(self.name)
        after = gone.oldest_sequence - 1
        self._require(cursor.sequence < after, f"is at {cursor.sequence}, and was told that {after} is gone")
        self._gaps.append(range(cursor.sequence + 1, after + 1))
        self._asked_for = max(self._asked_for, after)
        await port.acknowledge(self.name, port.log_id, after, reset=True)
        self._acknowledged = self._asked_for = self.bookmark = after

    def check(self, events: list[Event]) -> None:
        """E5: from its beginning on it processed everything at least once, but what it was told is gone."""
        if self._begun < 0:
            return
        missed = [
            event.sequence
            for event in events[self._begun :]
            if event.sequence not in self._seen and not any(event.sequence in gap for gap in self._gaps)
        ]
        self._require(not missed, f"never saw {missed[:5]}")

    def _require(self, holds: bool, what: str) -> None:
        if not holds:
            raise InvariantBroken(f"E5: {self.name} {what}")
