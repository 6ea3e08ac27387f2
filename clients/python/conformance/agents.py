"""Agents whose handlers do what the runner says, one thing after another."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import Callable
from typing import Any

from concert.agent import Agent, AgentHost, Capability, NotRetryable, PreconditionFailed, TaskContext
from opentelemetry import trace
from values import encoded

Say = Callable[[dict[str, Any]], None]


def in_span(name: str) -> Any:
    """A span of the application, if there is a name for it."""
    return trace.get_tracer("concert.conformance").start_as_current_span(name) if name else contextlib.nullcontext()


class Attempt:
    """One call of a handler, which takes orders until it is told to end."""

    def __init__(self, context: TaskContext) -> None:
        self._context = context
        self._orders: asyncio.Queue[tuple[str, dict[str, Any], Any, asyncio.Future[Any]]] = asyncio.Queue()
        self._over = False

    async def order(self, op: str, args: dict[str, Any], operation: Any) -> Any:
        """Has an op done in the handler; its result."""
        answer: asyncio.Future[Any] = asyncio.get_running_loop().create_future()
        if self._over:
            raise RuntimeError("the handler has ended")
        self._orders.put_nowait((op, args, operation, answer))
        return await answer

    async def handle(self) -> Any:
        """The handler."""
        try:
            while True:
                op, args, operation, answer = await self._orders.get()
                if op == "return":
                    answer.set_result(None)
                    return args.get("value")
                if op == "fail":
                    answer.set_result(None)
                    raise NotRetryable(args["message"]) if args.get("not_retryable") else RuntimeError(args["message"])
                await self._do(op, args, operation, answer)
        finally:
            self._over = True
            while not self._orders.empty():
                self._orders.get_nowait()[3].set_exception(RuntimeError("the handler has ended"))

    async def _do(self, op: str, args: dict[str, Any], operation: Any, answer: asyncio.Future[Any]) -> None:
        own = getattr(self, f"_{op}", None)
        try:
            with in_span(args.pop("span", "")):
                result = await (own(args) if own else operation(self._context.client, args, ""))
        except asyncio.CancelledError:
            answer.set_exception(RuntimeError("the handler was cancelled"))
            raise
        except Exception as error:
            answer.set_exception(error)
        else:
            answer.set_result(result)

    async def _progress(self, args: dict[str, Any]) -> None:
        await self._context.progress(args["fraction"], args.get("message", ""))

    async def _stage_state(self, args: dict[str, Any]) -> None:
        self._context.set_state(args.pop("updates", {}), **args)

    async def _results(self, _args: dict[str, Any]) -> Any:
        return {"results": encoded(dict(self._context.previous_results))}

    async def _block(self, args: dict[str, Any]) -> None:
        time.sleep(args["seconds"])  # noqa: ASYNC251 - what a careless handler does


class RemoteAgent(Agent):
    """See the module."""

    host: AgentHost

    def __init__(
        self,
        handle: str,
        say: Say,
        things: dict[str, Any],
        *,
        agent_id: str = "",
        agent_name: str = "",
        slots: int = 1,
        preconditions: dict[str, str] | None = None,
        cleanup_throws: bool = False,
        **description: Any,
    ) -> None:
        self.name = agent_name or handle.rpartition(":")[2]
        self.agent_id = agent_id
        self.slots = slots
        self._handle = handle
        self._say = say
        self._things = things
        self._preconditions = preconditions or {}
        self._cleanup_throws = cleanup_throws
        self.describe(**description)

    def describe(self, *, capabilities: Any = None, labels: dict[str, str] | None = None) -> None:
        """What it says of itself from now on."""
        if capabilities is not None:
            self.capabilities = [each if isinstance(each, str) else Capability(**each) for each in capabilities]
        if labels is not None:
            self.labels = labels

    async def validate_preconditions(self, context: TaskContext) -> None:
        """Fail for the capabilities that were named."""
        if context.capability in self._preconditions:
            raise PreconditionFailed(self._preconditions[context.capability])

    async def execute(self, context: TaskContext) -> Any:
        """Takes orders."""
        name = self._attempt(context)
        attempt = self._things[name] = Attempt(context)
        self._say(
            {
                "notice": "executing",
                "on": self._handle,
                "attempt": name,
                "run_id": context.run_id,
                "task_id": context.task_id,
                "number": context.attempt,
                "attempt_token": context.attempt_token,
                "capability": context.capability,
                "input": encoded(context.input),
                "context": encoded(context.run_context),
                "locks": {resource: grant.fencing_token for resource, grant in context.locks.items()},
                "metadata": dict(context.metadata),
                "time_left": min(context.time_left(), 1e9),
            }
        )
        try:
            return await attempt.handle()
        except asyncio.CancelledError:
            self._say({"notice": "cancelled", "on": self._handle, "attempt": name})
            raise
        finally:
            self._things.pop(name, None)

    async def cleanup(self, context: TaskContext) -> None:
        """Says that it ran."""
        self._say({"notice": "cleaned_up", "on": self._handle, "attempt": self._attempt(context)})
        if self._cleanup_throws:
            raise RuntimeError("clean-up was told to throw")

    def _attempt(self, context: TaskContext) -> str:
        return f"{self._handle}/{context.attempt_token}"
