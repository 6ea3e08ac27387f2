"""What an agent's work needs of the attempt it runs in, so that the work can be run and tested by itself."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Coroutine
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from typing import Any, Protocol, TypeVar

from agent_service.tracing.exporting import step as traced_step

T = TypeVar("T")


class HeldLock(Protocol):
    """A lock while it is held."""

    @property
    def fencing_token(self) -> int:
        """Goes along with every write that the lock protects."""
        ...


class Attempt(Protocol):
    """The part of concert.agent.TaskContext that the work itself uses."""

    def progress(self, fraction: float, message: str = "") -> Awaitable[None]:
        """Says how far it is, 0 to 1. Never blocks."""
        ...

    def lock(self, *resources: str, guards: str = "") -> AbstractAsyncContextManager[HeldLock]:
        """Holds `resources` for the length of the scope, under the attempt."""
        ...


class Steps:
    """Named steps of an attempt, timed, that move its progress as they finish."""

    def __init__(self, attempt: Attempt, count: int) -> None:
        self._attempt = attempt
        self._count = count
        self.seconds: dict[str, float] = {}

    async def run(self, name: str, step: Awaitable[T]) -> T:
        """Awaits `step` and counts it as done."""
        started = time.monotonic()
        with traced_step(name):
            result = await step
        self.seconds[name] = round(time.monotonic() - started, 6)
        await self._attempt.progress(min(len(self.seconds) / self._count, 1.0), name)
        return result


async def together(*steps: Coroutine[Any, Any, Any]) -> list[Any]:
    """Runs `steps` in parallel. The first failure stops the others and is raised as it is, not in a group: its type is
    what the failure report names."""
    tasks = [asyncio.create_task(step) for step in steps]
    try:
        return await asyncio.gather(*tasks)
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


@asynccontextmanager
async def held(attempt: Attempt, resource: str, guards: str = "") -> AsyncIterator[int]:
    """The fencing token of `resource`, held for the length of the scope."""
    async with attempt.lock(resource, guards=guards) as lock:
        yield lock.fencing_token
