"""Agents that follow a script, a few words each: `sleep(2)`, `fail(times=2)`, `write("page")`, `hold("database", 3)`.

A script is a list of steps that every attempt goes through from the beginning; the last result that a step gives is the
task's. A step is any coroutine function of (context, time), so that a script can hold steps of your own.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias

from concert._lock import Mode
from concert._time import Seconds
from concert.agent import Agent, Capability, NotRetryable, PreconditionFailed, TaskContext
from concert.testing._time import VirtualTime
from concert.v1 import agent_pb2

Step: TypeAlias = Callable[[TaskContext, VirtualTime], Awaitable[Any]]


@dataclass(frozen=True, slots=True)
class Require:
    """A precondition: a key of shared state that has to be there."""

    key: str


class ScriptedAgent(Agent):
    """An agent that goes through its steps. Preconditions are checked first, wherever they stand."""

    def __init__(
        self,
        name: str,
        steps: Sequence[Step | Require],
        time: VirtualTime,
        *,
        capabilities: Sequence[str | Capability] = (),
        depends_on: Sequence[str | agent_pb2.Dependency] = (),
        after: Sequence[str | agent_pb2.Dependency] = (),
        slots: int = 1,
    ) -> None:
        """Of the role `name`, sleeping by `time`."""
        self.name = name
        self.capabilities = capabilities
        self.depends_on = depends_on
        self.after = after
        self.slots = slots
        self.executed: list[tuple[str, int]] = []
        """(task id, attempt), in the order in which they began."""
        self.cleaned_up: list[tuple[str, int]] = []
        """(task id, attempt), in the order in which they were given up again."""
        self._steps = [step for step in steps if not isinstance(step, Require)]
        self._required = [step.key for step in steps if isinstance(step, Require)]
        self._time = time

    async def validate_preconditions(self, context: TaskContext) -> None:
        """Every key that is required is there."""
        found = await context.state.get_many(self._required) if self._required else {}
        missing = [key for key in self._required if key not in found]
        if missing:
            raise PreconditionFailed(f"nobody has written {', '.join(missing)}")

    async def execute(self, context: TaskContext) -> Any:
        """Step after step."""
        self.executed.append((context.task_id, context.attempt))
        result = None
        for step in self._steps:
            given = await step(context, self._time)
            result = result if given is None else given
        return result

    async def cleanup(self, context: TaskContext) -> None:
        """Remembers that it was called."""
        self.cleaned_up.append((context.task_id, context.attempt))


def sleep(seconds: Seconds) -> Step:
    """Takes so long, by the test's time."""

    async def step(_context: TaskContext, time: VirtualTime) -> None:
        await time.sleep(seconds)

    return step


def give(*results: Any) -> Step:
    """The result. Of several, each attempt of the agent takes the next; the last one stays."""
    left = list(results)

    async def step(_context: TaskContext, _time: VirtualTime) -> Any:
        return left.pop(0) if len(left) > 1 else left[0]

    return step


def fail(
    message: str = "told to fail", *, times: int | None = None, retryable: bool = True, error: Exception | None = None
) -> Step:
    """Fails: the first `times` attempts of a task, all without it. Not `retryable`: for good. `error` is raised if
    given, else a RuntimeError.
    """
    raised = error or (RuntimeError(message) if retryable else NotRetryable(message))

    async def step(context: TaskContext, _time: VirtualTime) -> None:
        if times is None or context.attempt <= times:
            raise raised

    return step


def write(key: str, value: Any = None) -> Step:
    """Writes a key at once; the task's id unless a `value` is given. Raises StateConflictError when another task wrote
    it since this attempt began.
    """

    async def step(context: TaskContext, _time: VirtualTime) -> None:
        await context.state.update({key: context.task_id if value is None else value}, strategy="replace")

    return step


def stage(key: str, value: Any = None) -> Step:
    """As write, but with the completion: a conflict fails the attempt with STATE_CONFLICT."""

    async def step(context: TaskContext, _time: VirtualTime) -> None:
        context.set_state({key: context.task_id if value is None else value}, strategy="replace")

    return step


def require(key: str) -> Require:
    """A precondition: without this key of shared state the task fails with PRECONDITION_FAILED."""
    return Require(key)


def hold(resource: str, seconds: Seconds = 0, *, mode: Mode = "exclusive", wait: Seconds | None = None) -> Step:
    """Takes a lock, holds it for so long by the test's time, and releases it. `wait` as in Client.lock."""

    async def step(context: TaskContext, time: VirtualTime) -> None:
        async with context.lock(resource, mode=mode, wait=wait):
            await time.sleep(seconds)

    return step


def hang() -> Step:
    """Never ends by itself: until the coordinator stops it."""

    async def step(_context: TaskContext, time: VirtualTime) -> None:
        with time.resting():
            await asyncio.Event().wait()

    return step
