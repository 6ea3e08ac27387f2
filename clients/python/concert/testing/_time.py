"""Time that stands still until the test lets it pass.

The coordinator reads it and sets its timers by it (it is a coordinator_service.clock.Clock), and agents sleep by it,
while the event loop and the connections go on in real time. Time goes from one timer to the next, and everybody who has
something to do does it in between: what happens is stamped with the same time whenever the test runs.
"""

from __future__ import annotations

import asyncio
import heapq
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, field
from datetime import UTC, datetime

from concert._time import Seconds, seconds_of

START = datetime(2030, 1, 1, tzinfo=UTC)
"""What it is when a test begins, unless it says otherwise."""
NS = 1_000_000_000
LOOP_PASSES = 8
"""A timer that comes due is decided and appended within these passes of the loop."""

attempt_token: ContextVar[int] = ContextVar("concert.testing.attempt_token", default=0)
"""The attempt that the code at hand works on; 0 outside of any."""


@dataclass(order=True, slots=True)
class _Timer:
    due_ns: int
    order: int
    due: Callable[[], object] | None = field(compare=False)

    def cancel(self) -> None:
        """Takes it back."""
        self.due = None


class VirtualTime:
    """A clock in the hands of a test. For one event loop."""

    def __init__(self, start: datetime = START) -> None:
        """Begins at `start`, which must know its time zone."""
        self._start_ns = round(start.timestamp()) * NS
        self._now_ns = 0
        self._timers: list[_Timer] = []
        self._set = 0
        self._settle: Callable[[], Awaitable[None]] = pass_loop
        self.rests: dict[int, int] = {}
        """How many sleeps each attempt is in."""
        self.changed = asyncio.Event()
        """Set when somebody goes to rest, or the log grows."""

    @property
    def seconds(self) -> float:
        """How much of it has passed."""
        return self._now_ns / NS

    async def advance(self, time: Seconds) -> None:
        """Lets it pass: every timer due meanwhile fires at its moment, and what follows from it happens before the
        next.
        """
        until_ns = self._now_ns + round(seconds_of(time) * NS)
        await self._settle()
        while (due_ns := self._next_ns()) is not None and due_ns <= until_ns:
            await self._fire(due_ns)
        self._now_ns = until_ns
        await self._settle()

    async def advance_to_next(self) -> bool:
        """Lets it pass up to the next timer. False when there is none."""
        due_ns = self._next_ns()
        if due_ns is None:
            return False
        await self._fire(due_ns)
        return True

    async def sleep(self, time: Seconds) -> None:
        """What asyncio.sleep is in real time. An agent that may be given it as a parameter sleeps in no time."""
        over = asyncio.Event()
        timer = self.call_later(seconds_of(time), over.set)
        try:
            with self.resting():
                await over.wait()
        finally:
            timer.cancel()

    @contextmanager
    def resting(self) -> Iterator[None]:
        """In its body the attempt at hand waits for somebody else: time may pass meanwhile."""
        token = attempt_token.get()
        self.rests[token] = self.rests.get(token, 0) + 1
        self.changed.set()
        try:
            yield
        finally:
            self.rests[token] = self.rests.get(token, 1) - 1

    async def settle(self) -> None:
        """Lets everything happen that needs no time."""
        await self._settle()

    def settle_by(self, settle: Callable[[], Awaitable[None]]) -> None:
        """Has it await `settle` before it passes on from any moment."""
        self._settle = settle

    # The Clock port of the coordinator.

    def wall_ns(self) -> int:
        """Since 1970."""
        return self._start_ns + self._now_ns

    def monotonic_ns(self) -> int:
        """Since the test began."""
        return self._now_ns

    def call_later(self, seconds: float, due: Callable[[], object]) -> _Timer:
        """Has `due` called when that much has passed."""
        self._set += 1
        timer = _Timer(self._now_ns + max(0, round(seconds * NS)), self._set, due)
        heapq.heappush(self._timers, timer)
        return timer

    def _next_ns(self) -> int | None:
        while self._timers and self._timers[0].due is None:
            heapq.heappop(self._timers)
        return self._timers[0].due_ns if self._timers else None

    async def _fire(self, due_ns: int) -> None:
        """Everything that is due at a moment, in the order in which it was set."""
        self._now_ns = max(self._now_ns, due_ns)
        while self._next_ns() == due_ns:
            due = heapq.heappop(self._timers).due
            assert due is not None
            due()
        await self._settle()


async def pass_loop() -> None:
    """Lets what is ready on the loop be done."""
    for _ in range(LOOP_PASSES):
        await asyncio.sleep(0)
