"""What execute is handed: the task, and everything the agent may say and ask while it works on it."""

from __future__ import annotations

import asyncio
import logging
import math
from collections.abc import Iterable, Iterator, Mapping
from datetime import UTC, datetime, timedelta
from typing import Any

from concert._caller import Caller, Origin
from concert._events import draft, publish
from concert._limits import PROGRESS_MESSAGE_BYTES_MAX, PROGRESS_SECONDS_MIN, STATE_CHANGES_PER_REPORT_MAX
from concert._lock import LockScope, Mode
from concert._methods import GET_TASK_RESULT, TASK_PROGRESS
from concert._payload import PayloadLike, clip, from_payload
from concert._runs import RunHandle
from concert._state import Strategy, state_change
from concert._surface import Surface
from concert._time import Seconds, from_duration
from concert._value import JSON
from concert.errors import ConcertError, InvalidArgument
from concert.v1 import run_service_pb2, session_service_pb2, state_pb2, task_pb2

_log = logging.getLogger("concert.agent")


class PreviousResults(Mapping[str, Any]):
    """Results of the direct dependencies by task id, or by the name of an agent that did one of them.

    Iterating gives task ids. The name of an agent that did several is ambiguous and a KeyError: use
    `by_agent`.
    """

    def __init__(self, results: Iterable[tuple[str, str, Any]]) -> None:
        """From (task id, agent name, result)."""
        found = list(results)
        self._by_task = {task_id: result for task_id, _agent_name, result in found}
        self._by_agent: dict[str, dict[str, Any]] = {}
        for task_id, agent_name, result in found:
            self._by_agent.setdefault(agent_name, {})[task_id] = result

    def __getitem__(self, name: str) -> Any:
        if name in self._by_task:
            return self._by_task[name]
        tasks = self._by_agent.get(name, {})
        if len(tasks) > 1:
            raise KeyError(f"{name} did several tasks: {', '.join(tasks)}")
        for result in tasks.values():
            return result
        raise KeyError(name)

    def __iter__(self) -> Iterator[str]:
        return iter(self._by_task)

    def __len__(self) -> int:
        return len(self._by_task)

    def __repr__(self) -> str:
        return f"PreviousResults({self._by_task!r})"

    def by_agent(self, agent_name: str) -> dict[str, Any]:
        """The results of that agent by task id."""
        return dict(self._by_agent.get(agent_name, {}))


class TaskContext:
    """One attempt of a task.

    `input` and `run_context` are JSON (or bytes), `locks` the grants that came with the task by resource,
    `deadline` when the attempt times out (by this machine's clock), `cancelled` is set when the attempt is to
    stop, just before execute is cancelled. `client` is everything else that can be asked of the coordinator,
    in the name of this attempt.
    """

    def __init__(self, task: Any, caller: Caller) -> None:
        """From an AgentTask, as of now."""
        loop = asyncio.get_running_loop()
        self.namespace: str = task.namespace
        self.run_id: str = task.run_id
        self.task_id: str = task.task_id
        self.attempt: int = task.attempt
        self.attempt_token: int = task.attempt_token
        self.capability: str = task.capability
        self.agent_name: str = task.agent_name
        self.policy: str = task.policy
        self.input: Any = from_payload(task.input)
        self.run_context: Any = from_payload(task.context)
        self.locks: Mapping[str, Any] = {grant.resource: grant for grant in task.locks}
        self.traceparent: str = task.traceparent
        self.metadata: Mapping[str, str] = dict(task.metadata)
        self.previous_results = PreviousResults(())
        self.cancelled = asyncio.Event()
        left = from_duration(task.time_left) if task.HasField("time_left") else math.inf
        self._deadline_at = loop.time() + left
        self.deadline: datetime = (
            datetime.max.replace(tzinfo=UTC) if math.isinf(left) else datetime.now(UTC) + timedelta(seconds=left)
        )
        self._task = task
        self._caller = caller
        self._origin = Origin(caller, attempt_token=self.attempt_token)
        self.client = Surface(self._origin)
        self.state = self.client.state
        self._changes: list[state_pb2.StateChange] = []
        self._progress: task_pb2.Progress | None = None
        self._progress_count = 0
        self._reporter: asyncio.Task[None] | None = None

    def time_left(self) -> float:
        """Seconds until the attempt times out, by the monotonic clock; infinite without a deadline."""
        return max(0.0, self._deadline_at - asyncio.get_running_loop().time())

    async def progress(self, fraction: float, message: str = "") -> None:
        """Reports how far the attempt is (0 to 1), in words of at most 1 KiB. Never waits: the latest report
        wins.
        """
        if not 0.0 <= fraction <= 1.0:
            raise InvalidArgument(f"progress is between 0 and 1, not {fraction}")
        self._progress = task_pb2.Progress(fraction=fraction, message=clip(message, PROGRESS_MESSAGE_BYTES_MAX))
        if self._reporter is None or self._reporter.done():
            self._reporter = asyncio.create_task(self._report_progress())
        await asyncio.sleep(0)

    async def publish(
        self, name: str, data: PayloadLike = None, *, metadata: Mapping[str, str] | None = None, event_id: str = ""
    ) -> int:
        """States a fact about this task; returns its sequence. Raises StaleAttempt, InvalidPayload."""
        one = draft(name, data, event_id=event_id, run_id=self.run_id, task_id=self.task_id, metadata=metadata)
        return (await publish(self._origin, [one]))[0]

    def set_state(
        self,
        updates: Mapping[str, JSON],
        *,
        strategy: Strategy = "merge",
        prefix: str = "",
        base_revision: int | None = None,
        deletes: Iterable[str] = (),
    ) -> None:
        """Stages a change of shared state that becomes true together with the completion of the task, or not
        at all.

        At most 100 changes, and 1 MiB together with the result. If they conflict the attempt fails with
        STATE_CONFLICT. Raises InvalidArgument, InvalidPayload.
        """
        if len(self._changes) >= STATE_CHANGES_PER_REPORT_MAX:
            raise InvalidArgument(f"a completion takes at most {STATE_CHANGES_PER_REPORT_MAX} state changes")
        change = state_change(updates, strategy=strategy, prefix=prefix, base_revision=base_revision, deletes=deletes)
        self._changes.append(change)

    def lock(
        self,
        *resources: str,
        mode: Mode = "exclusive",
        wait: Seconds | None = None,
        guards: str = "",
        priority: int | None = None,
    ) -> LockScope:
        """Takes locks for the body of an `async with`, held by this attempt; see `Client.lock`."""
        return self.client.lock(*resources, mode=mode, wait=wait, guards=guards, priority=priority)

    async def submit_run(self, **spec: Any) -> RunHandle:
        """Submits a run from within this attempt; see `Client.submit_run`."""
        return await self.client.submit_run(**spec)

    async def add_tasks(self, *tasks: task_pb2.TaskSpec, last: bool = False) -> int:
        """Adds tasks to the run that this attempt is part of, all or none; see `RunHandle.add_tasks`."""
        return await self.client.run(self.run_id).add_tasks(*tasks, last=last)

    # ---- for the runtime
    @property
    def staged_changes(self) -> list[state_pb2.StateChange]:
        """What `set_state` has staged."""
        return list(self._changes)

    async def fetch_results(self) -> None:
        """Fills `previous_results`, reading those that were handed over by reference."""
        results = await asyncio.gather(*(self._result(each) for each in self._task.results))
        self.previous_results = PreviousResults(results)

    async def stop_reporting(self) -> None:
        """Ends the reports of progress: what is said next is final."""
        self._progress = None
        if self._reporter is not None:
            self._reporter.cancel()
            await asyncio.gather(self._reporter, return_exceptions=True)

    async def _result(self, result: Any) -> tuple[str, str, Any]:
        payload = result.result
        if result.by_reference:
            request = run_service_pb2.GetTaskResultRequest(run_id=self.run_id, task_id=result.task_id)
            payload = (await self._caller.call(GET_TASK_RESULT, request)).result
        return result.task_id, result.agent_name, from_payload(payload)

    async def _report_progress(self) -> None:
        while self._progress is not None:
            progress, self._progress = self._progress, None
            self._progress_count += 1
            request = session_service_pb2.TaskProgress(
                request_id=f"attempt/{self.attempt_token}/progress/{self._progress_count}",
                attempt_token=self.attempt_token,
                progress=progress,
            )
            try:
                await self._caller.call(TASK_PROGRESS, request)
            except ConcertError as error:
                _log.debug("progress of attempt %d was not taken: %s", self.attempt_token, error)
            await asyncio.sleep(PROGRESS_SECONDS_MIN)
