"""An event loop without an operating system: time is a number, and jumps to the next timer when nobody has anything to
do. Nothing it does depends on anything but what was asked of it, so that one seed is one story.
"""

from __future__ import annotations

import asyncio
import math
from asyncio import events
from collections.abc import Callable
from contextvars import copy_context
from typing import Any

from tests.simulation.process import Process, process_of


class Idle(Exception):  # noqa: N818 (it says what happened)
    """Everybody waits and no timer is set: nothing will ever happen again."""


class VirtualLoop(asyncio.BaseEventLoop):
    """The pure half of an asyncio loop, in virtual time.

    With a grid, every timer is moved up to the next multiple of 1/grid seconds: then things happen at exactly the same
    moment, and deadlines are met to the nanosecond, as they almost never are otherwise. grid is a power of two, so that
    the multiples are exact.

    A process can be held: nothing of it runs before it is let go, then all that was due does.
    """

    def __init__(self, grid: int = 0) -> None:
        super().__init__()
        self.grid = grid
        self.steps = 0
        self._now = 0.0
        self._clock_resolution = 1e-9
        self._selector = self  # the base class asks it for events, between which time passes
        self._held: dict[Process, list[events.Handle]] = {}

    def time(self) -> float:
        """Seconds since the loop began."""
        return self._now

    def call_at(self, when: float, callback: Callable[..., Any], *args: Any, context: Any = None) -> Any:
        """As of any loop."""
        if self.grid:
            when = math.ceil(when * self.grid - 1e-4) / self.grid
        context = copy_context() if context is None else context
        process = process_of(context)
        if process is None:
            return super().call_at(when, callback, *args, context=context)

        def due() -> None:
            if not timer.cancelled():
                callback(*args)

        def fire() -> None:
            if process in self._held:
                self._held[process].append(events.Handle(due, (), self, context))
            else:
                due()

        timer = super().call_at(when, fire, context=context)
        return timer

    def select(self, timeout: float | None) -> tuple[()]:
        """Lets time pass up to the next timer. Raises Idle when there is none."""
        self.steps += 1
        if self._held:
            self._set_aside()
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

    def hold(self, process: Process) -> None:
        """The process stands still, from this very step on."""
        self._held.setdefault(process, [])
        self._set_aside()

    def let_go(self, process: Process) -> None:
        """It goes on, with whatever has come due meanwhile."""
        self._ready.extend(self._held.pop(process, ()))  # type: ignore[attr-defined]

    def let_all_go(self) -> None:
        """Nobody stands still any more, as when a world ends in the middle."""
        for process in list(self._held):
            self.let_go(process)

    def holds(self, process: Process) -> bool:
        """Whether it stands still."""
        return process in self._held

    def _set_aside(self) -> None:
        """What is ready of those that stand still waits. Places stay, since the base class has counted them."""
        ready = self._ready  # type: ignore[attr-defined]
        for place, handle in enumerate(ready):
            process = process_of(handle._context)
            if process is not None and process in self._held:
                self._held[process].append(handle)
                ready[place] = events.Handle(_nothing, (), self, None)

    def _process_events(self, _events: object) -> None:
        """There are none."""

    def _write_to_self(self) -> None:
        """Nobody waits outside of select."""


def _nothing() -> None:
    """Holds a place."""
