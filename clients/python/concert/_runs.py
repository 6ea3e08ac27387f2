"""Runs: tasks that order themselves. What a submitter writes, and a handle to follow it by."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncGenerator, Iterable, Mapping, Sequence
from contextlib import aclosing
from dataclasses import dataclass
from typing import Any

from concert._backoff import Backoff
from concert._caller import Origin
from concert._events import Events
from concert._fences import Fences, to_fences
from concert._limits import LIST_ENTRIES_MAX
from concert._lock import Mode, lock_mode
from concert._methods import (
    ADD_TASKS,
    CANCEL_RUN,
    GET_RUN,
    GET_TASK_RESULT,
    LIST_RUNS,
    PLAN_RUN,
    RETRY_RUN,
    SUBMIT_RUN,
    WATCH_RUN,
)
from concert._pages import read_pages
from concert._payload import PayloadLike, from_payload, to_payload
from concert._time import Seconds, to_duration
from concert.errors import Cancelled, ConcertError, InternalError, InvalidArgument, Unavailable
from concert.v1 import agent_pb2, policy_pb2, run_pb2, run_service_pb2, task_pb2

_log = logging.getLogger("concert.runs")

_OVER = frozenset(
    {
        run_pb2.RUN_STATUS_SUCCEEDED,
        run_pb2.RUN_STATUS_PARTIAL_FAILURE,
        run_pb2.RUN_STATUS_FAILED,
        run_pb2.RUN_STATUS_CANCELLED,
        run_pb2.RUN_STATUS_TIMED_OUT,
    }
)


def on_task(task_id: str) -> agent_pb2.Dependency:
    """Refers to the task of that id; a plain string does the same."""
    return agent_pb2.Dependency(task_id=task_id)


def on_agent(agent_name: str) -> agent_pb2.Dependency:
    """Refers to every other task for that agent name."""
    return agent_pb2.Dependency(agent_name=agent_name)


def on_capability(capability: str) -> agent_pb2.Dependency:
    """Refers to every other task that asks for, or whose agent declares, that capability."""
    return agent_pb2.Dependency(capability=capability)


def dependencies(entries: Iterable[str | agent_pb2.Dependency]) -> list[agent_pb2.Dependency]:
    """Each as a Dependency."""
    return [on_task(each) if isinstance(each, str) else each for each in entries]


def task_lock(resource: str, *, mode: Mode = "exclusive", guards: str = "") -> task_pb2.TaskLock:
    """A lock that a task declares: taken with its assignment, released with its attempt."""
    return task_pb2.TaskLock(resource=resource, mode=lock_mode(mode), guards=guards)


def retry(
    attempts_max: int = 0,
    *,
    backoff_initial: Seconds | None = None,
    backoff_max: Seconds | None = None,
    backoff_multiplier: float = 0,
    lost_attempts_max: int = 0,
) -> policy_pb2.RetryPolicy:
    """How failures are tried again; what is left out is the policy's. `attempts_max` counts the first one
    too.
    """
    policy = policy_pb2.RetryPolicy(
        attempts_max=attempts_max, backoff_multiplier=backoff_multiplier, lost_attempts_max=lost_attempts_max
    )
    if backoff_initial is not None:
        policy.backoff_initial.CopyFrom(to_duration(backoff_initial))
    if backoff_max is not None:
        policy.backoff_max.CopyFrom(to_duration(backoff_max))
    return policy


def task(
    task_id: str,
    *,
    capability: str = "",
    agent: str = "",
    agent_id: str = "",
    input: PayloadLike = None,
    depends_on: Iterable[str | agent_pb2.Dependency] = (),
    after: Iterable[str | agent_pb2.Dependency] = (),
    capabilities: Iterable[str] = (),
    locks: Iterable[str | task_pb2.TaskLock] = (),
    policy: str = "",
    priority: int | None = None,
    max_execution_time: Seconds | None = None,
    retry: policy_pb2.RetryPolicy | None = None,
    metadata: Mapping[str, str] | None = None,
) -> task_pb2.TaskSpec:
    """One task of a run, for exactly one of: a `capability`, an `agent` (its name), an `agent_id`.

    `depends_on` and `after` take task ids, `on_agent(...)`, `on_capability(...)`; `locks` take resource names
    and `task_lock(...)`; `max_execution_time` is for one attempt, in seconds. Raises InvalidArgument,
    InvalidPayload.
    """
    targets = {
        key: value
        for key, value in (("capability", capability), ("agent_name", agent), ("agent_id", agent_id))
        if value
    }
    if len(targets) != 1:
        raise InvalidArgument(f"task {task_id!r} is for exactly one of capability, agent and agent_id")
    spec = task_pb2.TaskSpec(
        task_id=task_id,
        target=task_pb2.TaskTarget(**targets),
        depends_on=dependencies(depends_on),
        after=dependencies(after),
        capabilities=capabilities,
        locks=[task_lock(each) if isinstance(each, str) else each for each in locks],
        policy=policy,
        priority=priority,
        retry=retry,
        metadata=metadata or {},
    )
    if input is not None:
        spec.input.CopyFrom(to_payload(input))
    if max_execution_time is not None:
        spec.max_execution_time.CopyFrom(to_duration(max_execution_time))
    return spec


def run_spec(
    *,
    tasks: Iterable[task_pb2.TaskSpec] = (),
    agents: Iterable[str] = (),
    run_id: str = "",
    name: str = "",
    context: PayloadLike = None,
    timeout: Seconds | None = None,
    running_max: int = 0,
    fail_fast: bool = False,
    policy: str = "",
    priority: int | None = None,
    metadata: Mapping[str, str] | None = None,
    open: bool = False,
) -> run_pb2.RunSpec:
    """See Client.submit_run."""
    spec = run_pb2.RunSpec(
        run_id=run_id,
        name=name,
        tasks=tasks,
        agents=agents,
        running_max=running_max,
        fail_fast=fail_fast,
        policy=policy,
        priority=priority,
        metadata=metadata or {},
        open=open,
    )
    if context is not None:
        spec.context.CopyFrom(to_payload(context))
    if timeout is not None:
        spec.timeout.CopyFrom(to_duration(timeout))
    return spec


@dataclass(frozen=True, slots=True)
class RunUpdate:
    """What happened to a run: `events` since the update before, and `run` as they leave it, where the
    coordinator sent it (in the first update and the last, and after a reconnect). True at `sequence`.
    """

    run: Any | None
    events: Sequence[Any]
    sequence: int


class RunHandle:
    """A run, by its id."""

    def __init__(self, origin: Origin, run_id: str) -> None:
        """Asks as `origin`."""
        self.run_id = run_id
        self._origin = origin

    def __repr__(self) -> str:
        return f"RunHandle({self.run_id!r})"

    async def get(self) -> Any:
        """The Run with its tasks; of a very large one, the later tasks as they were a moment later. Raises NotFound."""
        request = run_service_pb2.GetRunRequest(run_id=self.run_id)
        response = await self._origin.caller.call(GET_RUN, request)
        run = response.run
        while response.next_page_token:
            request.page_token = response.next_page_token
            response = await self._origin.caller.call(GET_RUN, request)
            run.tasks.extend(response.run.tasks)
        return run

    async def result(self, task_id: str) -> Any:
        """What a task that succeeded produced: JSON, or bytes. Raises NotFound."""
        request = run_service_pb2.GetTaskResultRequest(run_id=self.run_id, task_id=task_id)
        return from_payload((await self._origin.caller.call(GET_TASK_RESULT, request)).result)

    async def cancel(self, request_id: str = "", fences: Fences = ()) -> int:
        """Stops it: what has not started is cancelled, what runs is told. Raises NotFound, RunOver, StaleFence."""
        request = run_service_pb2.CancelRunRequest(run_id=self.run_id, request_id=request_id, fences=to_fences(fences))
        return int((await self._origin.caller.call(CANCEL_RUN, request)).sequence)

    async def add_tasks(
        self, *tasks: task_pb2.TaskSpec, last: bool = False, request_id: str = "", fences: Fences = ()
    ) -> int:
        """Adds tasks (made with `concert.task(...)`, in any order), all or none; returns the sequence of that.

        Inside an attempt: to its own run. Outside: to a run that was submitted `open`, until `last` closes it; then
        there may be no tasks. Raises DependencyCycleError, DependencyUnknown, InvalidArgument, NotFound, RunOver,
        PermissionDenied, StaleFence.
        """
        request = run_service_pb2.AddTasksRequest(
            request_id=request_id,
            attempt_token=self._origin.attempt_token,
            run_id=self.run_id,
            tasks=tasks,
            last=last,
            fences=to_fences(fences),
        )
        return int((await self._origin.caller.call(ADD_TASKS, request)).sequence)

    async def retry(self, request_id: str = "", fences: Fences = ()) -> int:
        """Runs everything again that did not succeed; returns which try that is, from 2.

        What succeeded keeps its result. Raises NotFound, RunNotRetryable (it is not over, or every task succeeded),
        StaleFence.
        """
        request = run_service_pb2.RetryRunRequest(
            request_id=request_id,
            attempt_token=self._origin.attempt_token,
            run_id=self.run_id,
            fences=to_fences(fences),
        )
        return int((await self._origin.caller.call(RETRY_RUN, request)).generation)

    async def wait(self) -> Any:
        """The Run when it is over, however long that takes and however often the stream breaks meanwhile. Of a run that
        is tried again that is its present generation.
        """
        async with aclosing(self.watch()) as updates:
            async for update in updates:
                if update.run is not None and update.run.status in _OVER:
                    return update.run
        raise InternalError(f"the coordinator stopped reporting on run {self.run_id} before it was over")

    async def watch(self) -> AsyncGenerator[RunUpdate, None]:
        """Follows the run until it is over: the run as it is first, then every event of it once, in order.

        A broken stream is opened again, and the events between are read from history. Raises NotFound.
        """
        backoff = Backoff()
        loop = asyncio.get_running_loop()
        seen = 0
        give_up_at = loop.time() + self._origin.caller.retry_seconds
        while True:
            try:
                async with aclosing(self._watch_once(seen)) as updates:
                    async for update in updates:
                        seen = max(seen, update.sequence)
                        backoff.reset()
                        yield update
                        if update.run is not None and update.run.status in _OVER:
                            return
                error: ConcertError = Unavailable("the stream ended before the run was over")
            except ConcertError as broken:
                error = broken
            if not isinstance(error, (Unavailable, Cancelled, InternalError)) and error.code != "UNKNOWN":
                raise error
            pause = backoff.pause_seconds(error.retry_after if isinstance(error, Unavailable) else None)
            if not seen and loop.time() + pause > give_up_at:
                raise error
            _log.info("following run %s again in %.2f s: %s", self.run_id, pause, error)
            await asyncio.sleep(pause)

    async def _watch_once(self, seen: int) -> AsyncGenerator[RunUpdate, None]:
        """One stream; the events missed since `seen` come with its first update."""
        missed_until = seen
        run: Any | None = None
        stream = self._origin.caller.stream(WATCH_RUN, run_service_pb2.WatchRunRequest(run_id=self.run_id))
        try:
            async for response in stream:
                if response.HasField("run"):
                    run = _joined(run, response.run)
                if response.run_continues:
                    continue
                events = [event for event in response.events if event.sequence > seen]
                if missed_until:
                    first = events[0].sequence - 1 if events else response.sequence
                    events = await self._history(missed_until, first) + events
                    missed_until = 0
                yield RunUpdate(run, events, response.sequence)
                run = None
        finally:
            await stream.aclose()

    async def _history(self, after: int, up_to: int) -> list[Any]:
        if up_to <= after:
            return []
        events = Events(self._origin)
        return await events.list(run_ids=[self.run_id], after=after, up_to=up_to, limit=LIST_ENTRIES_MAX)


class Runs:
    """The runs of a namespace."""

    def __init__(self, origin: Origin) -> None:
        """Asks as `origin`."""
        self._origin = origin

    async def list(self, *, status: str = "", limit: int | None = None) -> list[Any]:
        """Runs without their tasks, newest first; with a `status` such as "running" only those."""
        request = run_service_pb2.ListRunsRequest()
        if status:
            name = f"RUN_STATUS_{status.upper().removeprefix('RUN_STATUS_')}"
            if name not in run_pb2.RunStatus.keys():  # noqa: SIM118 - an enum wrapper, not a mapping
                raise InvalidArgument(f"there is no run status {status!r}")
            request.status = run_pb2.RunStatus.Value(name)  # type: ignore[assignment]
        return await read_pages(self._origin.caller, LIST_RUNS, request, "runs", limit)

    async def submit(self, spec: run_pb2.RunSpec, request_id: str = "", fences: Fences = ()) -> RunHandle:
        """Submits a run, whole or not at all."""
        request = run_service_pb2.SubmitRunRequest(
            request_id=request_id,
            attempt_token=self._origin.attempt_token,
            run=spec,
            fences=to_fences(fences),
        )
        response = await self._origin.caller.call(SUBMIT_RUN, request)
        return RunHandle(self._origin, response.run_id)

    async def plan(self, spec: run_pb2.RunSpec) -> Any:
        """The RunPlan: what would happen."""
        return (await self._origin.caller.call(PLAN_RUN, run_service_pb2.PlanRunRequest(run=spec))).plan

    def get(self, run_id: str) -> RunHandle:
        """A handle on a run that there is already."""
        return RunHandle(self._origin, run_id)


def _joined(run: Any | None, part: Any) -> Any:
    """A run that came in several messages."""
    if run is None:
        return part
    run.tasks.extend(part.tasks)
    return run
