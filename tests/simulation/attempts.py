"""What a scripted agent does with the tasks it was given."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

from concert.v1 import run_service_pb2 as run_pb
from concert.v1 import session_service_pb2 as pb
from concert.v1 import state_service_pb2 as state_pb

from coordinator_service.core.rejections import (
    LimitReached,
    PermissionDenied,
    SessionOver,
    StaleAttempt,
    StateConflict,
    Unavailable,
)
from coordinator_service.rpc.dispatch import Operation
from coordinator_service.rpc.operations.events import PUBLISH
from coordinator_service.rpc.operations.locks import ACQUIRE
from coordinator_service.rpc.operations.reports import TASK_COMPLETED, TASK_FAILED, TASK_PROGRESS, TASK_STARTED
from coordinator_service.rpc.operations.runs import ADD_TASKS
from coordinator_service.rpc.operations.state import UPDATE_STATE
from tests.simulation import choices
from tests.simulation.coordinator import Lost
from tests.simulation.wire import Heard

if TYPE_CHECKING:
    from tests.simulation.agents import ScriptedAgent

_GONE = (StaleAttempt, PermissionDenied, SessionOver)


class Attempts:
    """The attempts that one agent executes, each in a task of its own."""

    def __init__(self, agent: ScriptedAgent) -> None:
        self._agent = agent
        self._world = agent.world
        self._random = agent.random
        self._choices = agent.choices
        self._executions: dict[int, asyncio.Task[None]] = {}
        self._stop_told: set[int] = set()
        self._seen: set[int] = set()
        self.running = asyncio.Event()
        self.running.set()

    def tokens(self) -> tuple[int, ...]:
        """Those under way."""
        return tuple(self._executions)

    def knows(self, token: int) -> bool:
        """Whether the agent was told of it."""
        return token in self._seen or token in self._stop_told

    def begin(self, task: pb.AgentTask) -> None:
        """A task came down the stream."""
        token = task.attempt_token
        if token not in self._seen:
            self._seen.add(token)
            self._world.ledger.execute(token)
            self._executions[token] = self._world.spawn(self._execute(task), f"attempt {token}")

    def stop(self, token: int, *, stale: bool) -> None:
        """The agent was told to stop."""
        if stale:
            self.drop(token)
        else:
            self._stop_told.add(token)

    def abandon(self) -> None:
        """The session is over, and everything in it."""
        for token in list(self._executions):
            self.drop(token)

    def die(self) -> None:
        """The process is another; it remembers nothing."""
        self.abandon()
        self._seen.clear()

    def drop(self, token: int) -> None:
        """Ends one at once."""
        execution = self._executions.pop(token, None)
        if execution is not None:
            execution.cancel()

    # One attempt.

    async def _execute(self, task: pb.AgentTask) -> None:
        token = task.attempt_token
        try:
            heard = await self._report(TASK_STARTED, pb.TaskStarted(attempt_token=token))
            while not self._is_gone(heard) and self._goes_on(token):
                heard = await self._work(task)
                await asyncio.sleep(self._world.faults.delay(0.3 if self._world.calm else 3.0))
            if not self._is_gone(heard):
                await self._finish(token)
        finally:
            self._executions.pop(token, None)

    def _is_gone(self, heard: Heard | None) -> bool:
        return heard is not None and isinstance(heard.outcome, _GONE)

    def _goes_on(self, token: int) -> bool:
        return not self._world.calm and token not in self._stop_told and self._random.random() < 0.5

    async def _work(self, task: pb.AgentTask) -> Heard | None:
        token = task.attempt_token
        kind = self._random.choice(("wait", "progress", "agent_locks", "agent_state", "agent_publishes", "runs_grow"))
        if not self._world.knows(kind):
            return None
        if kind == "progress":
            progress = pb.TaskProgress(attempt_token=token)
            progress.progress.fraction = 0.5
            return await self._report(TASK_PROGRESS, progress)
        if kind == "agent_locks":
            heard = await self._report(ACQUIRE, self._choices.acquire(with_holder=False, attempt_token=token))
            if heard.response is not None:
                assert all(grant.holder == f"attempt/{token}" for grant in heard.response.grants)
            return heard
        if kind == "agent_state":
            change = self._choices.state_change(f"attempt {token}", base=None)
            return await self._report(UPDATE_STATE, state_pb.UpdateStateRequest(attempt_token=token, change=change))
        if kind == "runs_grow":
            more = self._choices.added_tasks(task.task_id) if self._random.random() < 0.4 else []
            add = run_pb.AddTasksRequest(run_id=task.run_id, attempt_token=token, tasks=more, last=not more)
            return await self._report(ADD_TASKS, add)
        name = f"{self._agent.agent_id}/{token}/{self._random.getrandbits(32)}"
        return await self._report(PUBLISH, self._choices.publish(name, token))

    async def _finish(self, token: int) -> None:
        fate = self._random.random()
        report = pb.TaskFailed(attempt_token=token)
        if token in self._stop_told and fate < 0.7:
            report.cancelled = True
            await self._report(TASK_FAILED, report)
        elif not self._world.calm and self._choices.sometimes("agents_fail", 0.4):
            report.error.error_type = "SIMULATED"
            report.error.message = "as the dice fell"
            report.not_retryable = self._random.random() < 0.3
            await self._report(TASK_FAILED, report)
        else:
            await self._complete(token)

    async def _complete(self, token: int) -> None:
        report = pb.TaskCompleted(attempt_token=token)
        if self._choices.sometimes("results", 0.5):
            report.result.CopyFrom(choices.result())
        if self._choices.sometimes("agent_state", 0.5):
            for _ in range(self._random.choice((1, 2))):
                report.state_changes.append(self._choices.state_change(f"result of {token}", base=None))
        while isinstance((await self._report(TASK_COMPLETED, report)).outcome, StateConflict):
            del report.state_changes[:]  # what it would have written is dropped; the work is done

    async def _report(self, operation: Operation, request: Any) -> Heard:
        """Until it is answered, over as many streams as it takes."""
        agent, world = self._agent, self._world
        asked = world.asks(operation, request, agent.principal, session_id=agent.session_id)
        while True:
            await self.running.wait()
            await agent.connected.wait()
            try:
                heard = await world.ask(asked)
            except Lost:
                pass
            else:
                if not isinstance(heard.outcome, Unavailable | LimitReached):
                    return heard
            await asyncio.sleep(world.faults.delay(0.5) + 0.01)
