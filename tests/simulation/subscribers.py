"""Subscribers that die and come back with the bookmark they wrote down."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from coordinator_service.core.events import Event, EventType
from coordinator_service.core.invariants import InvariantBroken
from coordinator_service.core.rejections import CursorCompacted, Rejection, Unavailable
from coordinator_service.log.codec import decode_event, split
from coordinator_service.subscriptions import Selector, Subscription
from tests.simulation.coordinator import Lost

if TYPE_CHECKING:
    from tests.simulation.world import World

_SELECTORS = (
    Selector(),
    Selector(types=frozenset({EventType.AGENT_COMPLETED, EventType.RUN_COMPLETED, EventType.TASK_ASSIGNED})),
    Selector(agent_ids=frozenset({"agent-0"})),
    Selector(custom_names=frozenset({"publisher-0/1/0", "publisher-0/3/0", "publisher-1/1/0"})),
)


class Subscriber:
    """One who wants to know."""

    def __init__(self, world: World, number: int) -> None:
        self.world = world
        self.random = world.random_of(f"subscriber/{number}")
        self.selector = self.random.choice(_SELECTORS)
        self.bookmark = 0
        self.seen: list[bytes] = []
        self._gaps: list[range] = []
        """What it was told it would never see."""
        self._log_id = ""

    async def act(self) -> None:
        """Until the end of the world."""
        while True:
            try:
                await self._read()
            except CursorCompacted as gone:
                self._skip(gone)
            except (Lost, Unavailable):
                await asyncio.sleep(self.world.faults.delay(1.0) + 0.01)
            except TimeoutError:
                await asyncio.sleep(self.world.faults.delay(5.0))  # it died, and comes back

    async def _read(self) -> None:
        port = await self.world.port()
        if not self._log_id:
            self._log_id = port.log_id
        subscription = Subscription(port, self.selector, self.bookmark, self._log_id)
        async with asyncio.timeout(None if self.world.calm else self.random.expovariate(1 / 4.0)):
            deliveries = subscription.deliveries(bookmark_seconds=4.0)
            try:
                async for delivery in deliveries:
                    durable = self.world.durable.end
                    if delivery.last_sequence > durable:
                        raise InvariantBroken(f"D4: delivered {delivery.last_sequence}, durable is {durable}")
                    self.seen.extend(split(delivery.frames))
                    self.bookmark = delivery.last_sequence
                    if self.random.random() < 0.1:
                        await asyncio.sleep(self.world.faults.delay(4.0))  # slow
            except (Unavailable, CursorCompacted):
                raise
            except Rejection as refusal:
                raise InvariantBroken(f"E2: a bookmark was refused: {refusal}") from refusal
            finally:
                await deliveries.aclose()

    def _skip(self, gone: CursorCompacted) -> None:
        """E4: never a silent gap; what it is told is true, and no more than what is gone."""
        record = self.world.record()
        assert record is not None
        if not self.bookmark + 1 < gone.oldest_sequence <= record.base_sequence + 1:
            raise InvariantBroken(f"E4: {gone.oldest_sequence} is not the oldest kept, after {self.bookmark}")
        self._gaps.append(range(self.bookmark + 1, gone.oldest_sequence))
        self.bookmark = gone.oldest_sequence - 1

    def check(self, encoded: list[bytes], events: list[Event]) -> None:
        """Invariant 11: its view is the filtered log up to its bookmark."""
        expected = [
            each
            for each, event in zip(encoded, events, strict=True)
            if event.sequence <= self.bookmark
            and self.selector.matches(event)
            and not any(event.sequence in gap for gap in self._gaps)
        ]
        if self.seen != expected:
            have = [decode_event(each).sequence for each in self.seen]
            want = [decode_event(each).sequence for each in expected]
            first = next((a for a, b in zip([*have, 0], [*want, 0], strict=False) if a != b), None)
            raise InvariantBroken(f"11: saw {len(have)} events instead of {len(want)}; the first that differs: {first}")
        if events and self.bookmark != events[-1].sequence:
            raise InvariantBroken(f"E2: a subscriber stands at {self.bookmark}, the log ends at {events[-1].sequence}")
