"""An event loop without an operating system: time is a number, and jumps to the next timer when nobody has anything to
do. Nothing it does depends on anything but what was asked of it, so that one seed is one story.
"""

from __future__ import annotations

import asyncio
import math
from asyncio import events
from collections.abc import Callable
from typing import Any


class Idle(Exception):  # noqa: N818 (it says what happened)
    """Everybody waits and no timer is set: nothing will ever happen again."""


class VirtualLoop(asyncio.BaseEventLoop):
    """The pure half of an asyncio loop, in virtual time.

    With a grid, every timer is moved up to the next multiple of 1/grid seconds: then things happen at exactly the same
    moment, and deadlines are met to the nanosecond, as they almost never are otherwise. grid is a power of two, so that
    the multiples are exact.
    """

    def __init__(self, grid: int = 0) -> None:
        super().__init__()
        self.grid = grid
        self.steps = 0
        self._now = 0.0
        self._clock_resolution = 1e-9
        self._selector = self  # the base class asks it for events, between which time passes

    def time(self) -> float:
        """Seconds since the loop began."""
        return self._now

    def call_at(self, when: float, callback: Callable[..., Any], *args: Any, context: Any = None) -> Any:
        """As of any loop."""
        if self.grid:
            when = math.ceil(when * self.grid - 1e-4) / self.grid
        return super().call_at(when, callback, *args, context=context)

    def select(self, timeout: float | None) -> tuple[()]:
        """Lets time pass up to the next timer. Raises Idle when there is none."""
        self.steps += 1
        if timeout is None:
            raise Idle("everybody waits, and no timer is set")
        if timeout > 0:
            self._now = max(self._now, self._scheduled[0]._when)  # type: ignore[attr-defined]
        return ()

    def interrupt(self, callback: Callable[[], None], position: float) -> None:
        """Has something done amid the callbacks that are ready now: after that part of them, between 0 and 1."""
        ready = self._ready  # type: ignore[attr-defined]
        handle = events.Handle(callback, (), self, None)
        ready.insert(round(position * len(ready)), handle)

    def _process_events(self, _events: object) -> None:
        """There are none."""

    def _write_to_self(self) -> None:
        """Nobody waits outside of select."""
