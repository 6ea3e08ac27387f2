"""Subscriptions: cursors over the committed log for clients (E2 to E4).

Each is pulled by its reader: what a reader does not take stays in the log, never in a queue of its own, so that one
that is slow or dead costs neither memory nor anybody's time (E3). A batch is a join of frames that were encoded once.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from dataclasses import dataclass

from coordinator_service.core.events import CustomEvent, Event, EventType
from coordinator_service.log.codec import may_be
from coordinator_service.ports import Committed, Follower, NamespacePort, Stretch

BATCH_EVENTS_MAX = 1000
BATCH_BYTES_MAX = 2 * 1024 * 1024
BOOKMARK_SECONDS_MAX = 15.0
"""A quiet subscription gets a bookmark at least this often."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Selector:
    """Which events: empty sets select everything, several must all match, within one any match is enough."""

    types: frozenset[EventType] = frozenset()
    agent_ids: frozenset[str] = frozenset()
    agent_names: frozenset[str] = frozenset()
    run_ids: frozenset[str] = frozenset()
    task_ids: frozenset[str] = frozenset()
    custom_names: frozenset[str] = frozenset()

    @property
    def selects_all(self) -> bool:
        """Whether nothing is left out."""
        return not (
            self.types or self.agent_ids or self.agent_names or self.run_ids or self.task_ids or self.custom_names
        )

    def takes(self, each: Committed) -> bool:
        """Whether an event is selected; one that its bytes show to be of another type is not decoded for that."""
        if each.decoded is None and self.types and not any(may_be(each.frame, kind) for kind in self.types):
            return False
        return self.matches(each.event)

    def matches(self, event: Event) -> bool:
        """Whether an event is selected."""
        if self.types and event.type not in self.types:
            return False
        if self.run_ids and event.run_id not in self.run_ids:
            return False
        if self.task_ids and event.task_id not in self.task_ids:
            return False
        if self.agent_ids and event.agent_id not in self.agent_ids:
            return False
        if self.agent_names and event.agent_name not in self.agent_names:
            return False
        if self.custom_names:
            return isinstance(event.payload, CustomEvent) and event.payload.name in self.custom_names
        return True


@dataclass(frozen=True, slots=True)
class Delivery:
    """Some matching events as one batch of frames, and how far the subscription is. No frames: a bookmark alone."""

    frames: bytes
    last_sequence: int
    caught_up: bool


class Subscription:
    """Everything after a position, filtered, in order, each matching event exactly once."""

    def __init__(
        self, port: NamespacePort, selector: Selector, after: int, log_id: str = "", since_ns: int = 0
    ) -> None:
        self._port = port
        self._selector = selector
        self._after = after
        self._log_id = log_id
        self._since_ns = since_ns
        self._wants_all = selector.selects_all and not since_ns
        self._follower: Follower | None = None

    @property
    def namespace(self) -> str:
        """Where it reads."""
        return self._port.namespace

    @property
    def lag_events(self) -> int:
        """How many committed events it has not looked at."""
        position = self._after if self._follower is None else self._follower.position
        return max(0, self._port.last_sequence - position)

    async def deliveries(self, *, bookmark_seconds: float = BOOKMARK_SECONDS_MAX) -> AsyncIterator[Delivery]:
        """Without end: a delivery when there are events, and a bookmark when there were none for a while or many were
        passed over. Raises CursorCompacted, LogMismatch, CursorInFuture, Unavailable."""
        follower = self._follower = await self._port.follow(self._after, self._log_id)
        loop = asyncio.get_running_loop()
        yield Delivery(b"", follower.position, not follower.ready())
        told_at = loop.time()
        while True:
            if follower.ready():
                found = await follower.read(events_max=BATCH_EVENTS_MAX)
                await asyncio.sleep(0)  # that was no wait: let others on the loop have their turn
            else:
                try:
                    async with asyncio.timeout(bookmark_seconds):
                        found = await follower.read(events_max=BATCH_EVENTS_MAX)
                except TimeoutError:
                    yield Delivery(b"", follower.position, True)
                    told_at = loop.time()
                    continue
            for frames, last in self._batches(found):
                caught_up = last == follower.position and not follower.ready()
                quiet_for = loop.time() - told_at
                if frames or caught_up or quiet_for >= bookmark_seconds:
                    yield Delivery(frames, last, caught_up)
                    told_at = loop.time()

    def _batches(self, found: Stretch) -> list[tuple[bytes, int]]:
        """Batches of at most BATCH_BYTES_MAX (a larger event alone), each with the last sequence that it settles."""
        wanted: list[Committed] = found
        if not self._wants_all:
            wanted = [each for each in found if self._wants(each)]
        elif found.size <= BATCH_BYTES_MAX:
            return [(found.joined, found[-1].sequence)]
        batches: list[tuple[bytes, int]] = []
        frames: list[bytes] = []
        size = 0
        for each in wanted:
            if frames and size + len(each.frame) > BATCH_BYTES_MAX:
                batches.append((b"".join(frames), each.sequence - 1))
                frames, size = [], 0
            frames.append(each.frame)
            size += len(each.frame)
        batches.append((b"".join(frames), found[-1].sequence))
        return batches

    def _wants(self, each: Committed) -> bool:
        return self._selector.takes(each) and each.event.time_ns >= self._since_ns
