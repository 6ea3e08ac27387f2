"""A process among others on one loop: what runs in it is marked as its own, so that it can stand still as a whole."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from contextvars import Context, ContextVar, copy_context
from typing import Any, TypeVar

T = TypeVar("T")

_PROCESS: ContextVar[Process | None] = ContextVar("process", default=None)
NOWHERE = Context()
"""Of what happens in no process, as on a wire."""


class Gone(Exception):  # noqa: N818 (it says what happened)
    """The process ended before it was done."""


class Process:
    """Tasks, callbacks and timers that were begun in it, by it or by whoever called into it, are its own."""

    def __init__(self) -> None:
        self._context = copy_context()
        self._context.run(_PROCESS.set, self)
        self._tasks: dict[asyncio.Task[Any], None] = {}

    def call(self, function: Callable[..., T], *args: Any) -> T:
        """Calls a function as code of the process."""
        return self._context.copy().run(function, *args)

    def spawn(self, work: Coroutine[Any, Any, T]) -> asyncio.Task[T]:
        """A task of the process; it ends with it."""
        task = asyncio.get_running_loop().create_task(work, context=self._context.copy())
        self._tasks[task] = None

        def done(_: object) -> None:
            self._tasks.pop(task, None)
            work.close()  # it may have been cancelled before it began

        task.add_done_callback(done, context=NOWHERE)
        return task

    async def run(self, work: Coroutine[Any, Any, T]) -> T:
        """Has something done in the process. Whoever waits may leave although the process stands still. Raises Gone."""
        task = self.spawn(work)
        task.add_done_callback(_looked_at, context=NOWHERE)
        try:
            await asyncio.wait([task])
        except asyncio.CancelledError:
            task.cancel()
            raise
        if task.cancelled():
            raise Gone
        return task.result()

    def end(self) -> None:
        """Cancels its tasks."""
        for task in list(self._tasks):
            task.cancel()


def process_of(context: Context) -> Process | None:
    """The process that a context is of."""
    return context.get(_PROCESS)


def _looked_at(task: asyncio.Task[Any]) -> None:
    """Nobody may be there any more to hear how it ended."""
    if not task.cancelled():
        task.exception()
