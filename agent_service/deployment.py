"""The deployment client: four agents, one run, one answer.

The answer's `status` is `success` when all four agents succeeded and `partial_failure` otherwise, also when none did:
`successful_agents` is then empty, and `failure_report.run_status` says FAILED.
"""

from __future__ import annotations

import asyncio
import contextlib
import datetime as dt
import time
from collections.abc import Callable
from typing import Any

import concert
import msgspec
from concert.v1 import event_pb2, run_pb2, task_pb2

from agent_service.request import DeploymentRequest, state_key
from agent_service.timing import RunTiming, timing_of

AGENTS = ("infrastructure", "content", "security", "quality_assurance")
REGISTRATION_SECONDS_MAX = 30.0
REGISTRATION_POLL_SECONDS = 0.05
# Long enough for a coordinator to be restarted meanwhile.
LOCK_LEASE_SECONDS = 60.0

ADVICE = {
    "PRECONDITION_FAILED": "Put right what the text names, then deploy again: nothing of this task has been started.",
    "ContentInvalid": "Correct the posts named, then deploy again. The release that was served before still is.",
    "ConfigurationNotInEffect": "Look at the infrastructure agent's log: the distribution did not do as it was told.",
    "QualityNotMet": "The site is up. Correct what the issues name, or the thresholds, and deploy again.",
    "StaleFenceRefused": "Another deployment of this domain has overtaken this one. Look whether its result is good.",
    "SESSION_LOST": "The agent's process ended or was cut off. Start it again, then deploy again.",
    "TIMEOUT": "The attempt took longer than its policy allows. Look what it waited for, or raise the limit.",
}
ADVICE_OTHERWISE = "Look at the agent's log for this run, then deploy again: the work is repeatable."


class TaskView(msgspec.Struct, kw_only=True):
    """What a person watching wants to know of a task, as of now."""

    task_id: str
    state: str = "PENDING"
    agent: str = ""
    fraction: float = 0.0
    text: str = ""


Watch = Callable[[dict[str, TaskView]], None]


class NotDeployable(Exception):  # noqa: N818
    """The deployment could not even begin. The text says why."""


async def deploy(client: concert.Client, request: DeploymentRequest, watch: Watch | None = None) -> dict[str, Any]:
    """Deploys, and returns the summary. `watch` is called whenever something changed.

    Raises NotDeployable when the agents are not there or the domain is being deployed. Cancelling it cancels the run.
    """
    await _registered(client)
    try:
        # Two deployments of one domain would each check the other's site.
        async with client.lock(f"deployment/{request.domain}", lease=LOCK_LEASE_SECONDS):
            return await _deploy(client, request, watch)
    except concert.LockTimeout as error:
        raise NotDeployable(f"another deployment of {request.domain} is under way: {error}") from error


async def _deploy(client: concert.Client, request: DeploymentRequest, watch: Watch | None) -> dict[str, Any]:
    started = time.monotonic()
    handle = await client.submit_run(
        agents=list(AGENTS),
        context=msgspec.to_builtins(request),
        name=f"deploy {request.domain}",
    )
    try:
        run = await _followed(handle, watch)
    except asyncio.CancelledError:
        with contextlib.suppress(concert.ConcertError):
            await asyncio.shield(handle.cancel())
        raise
    return await _summary(client, handle, run, request, round(time.monotonic() - started, 6))


async def _registered(client: concert.Client) -> None:
    """Waits for one agent of each role: a run made of agents is refused while one has never been there."""
    give_up = time.monotonic() + REGISTRATION_SECONDS_MAX
    while True:
        present = {agent.spec.agent_name or agent.spec.agent_id for agent in await client.agents.list(connected=True)}
        missing = [name for name in AGENTS if name not in present]
        if not missing:
            return
        if time.monotonic() > give_up:
            raise NotDeployable(f"no agent is connected as {', '.join(missing)}; start it with `agent_service host`")
        await asyncio.sleep(REGISTRATION_POLL_SECONDS)


async def _followed(handle: concert.RunHandle, watch: Watch | None) -> Any:
    views: dict[str, TaskView] = {}
    run: Any = None
    async for update in handle.watch():
        for event in update.events:
            _see(event, views)
        if update.run is not None:
            run = update.run
            for task in run.tasks:
                _look(task, views)
        if watch is not None:
            watch(views)
    if run is None or not run.HasField("finished_at"):
        run = await handle.get()
    return run


def _look(task: Any, views: dict[str, TaskView]) -> None:
    view = views.setdefault(task.task_id, TaskView(task_id=task.task_id))
    view.state = task_pb2.TaskStatus.Name(task.status).removeprefix("TASK_STATUS_")
    view.agent = task.agent_id
    if task.HasField("progress"):
        view.fraction, view.text = task.progress.fraction, task.progress.message
    if view.state == "SUCCEEDED":
        view.fraction = 1.0
    if task.HasField("error"):
        view.text = f"{task.error.error_type}: {task.error.message}"


_STATES = {
    event_pb2.EVENT_TYPE_TASK_ASSIGNED: "RUNNING",
    event_pb2.EVENT_TYPE_TASK_CANCEL_REQUESTED: "CANCELLING",
    event_pb2.EVENT_TYPE_TASK_RETRY_SCHEDULED: "BACKING_OFF",
    event_pb2.EVENT_TYPE_TASK_SKIPPED: "SKIPPED",
    event_pb2.EVENT_TYPE_TASK_CANCELLED: "CANCELLED",
    event_pb2.EVENT_TYPE_AGENT_COMPLETED: "SUCCEEDED",
    event_pb2.EVENT_TYPE_AGENT_FAILED: "FAILED",
}


def _see(event: Any, views: dict[str, TaskView]) -> None:
    if not event.task_id:
        return
    view = views.setdefault(event.task_id, TaskView(task_id=event.task_id))
    view.state = _STATES.get(event.type, view.state)
    if event.type == event_pb2.EVENT_TYPE_TASK_ASSIGNED:
        view.agent, view.fraction, view.text = event.agent_id, 0.0, ""
    elif event.type == event_pb2.EVENT_TYPE_TASK_PROGRESSED:
        view.fraction, view.text = event.task_progressed.progress.fraction, event.task_progressed.progress.message
    elif event.type == event_pb2.EVENT_TYPE_AGENT_COMPLETED:
        view.fraction = 1.0
    elif event.type == event_pb2.EVENT_TYPE_AGENT_FAILED:
        error = event.agent_failed.error
        view.text = f"{error.error_type}: {error.message}"
    elif event.type == event_pb2.EVENT_TYPE_TASK_SKIPPED:
        view.text = f"because {event.task_skipped.cause_task_id} did not succeed"


async def _summary(
    client: concert.Client, handle: concert.RunHandle, run: Any, request: DeploymentRequest, seconds: float
) -> dict[str, Any]:
    timing = timing_of(run)
    tasks = {task.task_id: task for task in run.tasks}
    succeeded = {name for name, task in tasks.items() if task.status == task_pb2.TASK_STATUS_SUCCEEDED}
    results = {name: await _agent_result(client, handle, tasks[name], timing, request) for name in AGENTS}
    finished = run.finished_at.ToDatetime(tzinfo=dt.UTC) if run.HasField("finished_at") else dt.datetime.now(dt.UTC)
    return {
        "deployment_id": handle.run_id,
        "domain": request.domain,
        "status": "success" if succeeded == set(AGENTS) else "partial_failure",
        "successful_agents": [name for name in AGENTS if name in succeeded],
        "failed_agents": [name for name in AGENTS if name not in succeeded],
        "total_execution_time_seconds": seconds,
        "infrastructure_deployed": "infrastructure" in succeeded,
        "content_migrated": "content" in succeeded,
        "security_configured": "security" in succeeded,
        "quality_validated": "quality_assurance" in succeeded,
        "agent_results": results,
        "deployment_timestamp": finished.isoformat(),
        "tasks": msgspec.to_builtins(timing.tasks),
        "makespan_seconds": timing.makespan_seconds,
        "critical_path": timing.critical_path,
        "critical_path_seconds": timing.critical_path_seconds,
        "speed_up": timing.speed_up,
        "failure_report": failure_report(run) if len(succeeded) < len(AGENTS) else None,
    }


async def _agent_result(
    client: concert.Client, handle: concert.RunHandle, task: Any, timing: RunTiming, request: DeploymentRequest
) -> dict[str, Any]:
    name = task.task_id
    told: dict[str, Any] = {
        "status": task_pb2.TaskStatus.Name(task.status).removeprefix("TASK_STATUS_").lower(),
        "agent_id": task.agent_id,
        "attempts": task.attempts,
        "execution_time_seconds": timing.tasks[name].execution_seconds,
    }
    if task.has_result:
        told["result"] = _brief(await handle.result(name))
    if task.HasField("error"):
        told["error"] = {"error_type": task.error.error_type, "message": task.error.message}
        # An agent that fails because of what it found leaves its report in shared state.
        entry = await client.state.get(state_key(request.domain, name))
        if entry is not None and isinstance(entry.value, dict) and entry.value.get("deployment_id") == handle.run_id:
            told["report"] = _brief(entry.value)
    return told


def _brief(result: Any) -> Any:
    """The result for people: in a steady order, and each path's checksum left where it can be read."""
    if isinstance(result, dict) and isinstance(result.get("paths"), dict):
        result = {**result, "paths": len(result["paths"])}
    return msgspec.to_builtins(result, order="sorted")


def failure_report(run: Any) -> dict[str, Any]:
    """What went wrong, what was not even tried because of it, and what to do."""
    skipped: dict[str, list[str]] = {}
    for task in run.tasks:
        if task.status == task_pb2.TASK_STATUS_SKIPPED:
            skipped.setdefault(_root_cause(task, run), []).append(task.task_id)
    failures = [
        {
            "agent": task.agent_name or task.task_id,
            "task_id": task.task_id,
            "status": task_pb2.TaskStatus.Name(task.status).removeprefix("TASK_STATUS_").lower(),
            "attempts": task.attempts,
            "error_type": task.error.error_type,
            "message": task.error.message,
            "skipped_because_of_it": skipped.get(task.task_id, []),
            "what_to_do": ADVICE.get(task.error.error_type, ADVICE_OTHERWISE),
        }
        for task in run.tasks
        if task.status not in (task_pb2.TASK_STATUS_SUCCEEDED, task_pb2.TASK_STATUS_SKIPPED)
    ]
    return {"run_status": run_pb2.RunStatus.Name(run.status).removeprefix("RUN_STATUS_"), "failures": failures}


def _root_cause(task: Any, run: Any) -> str:
    """The task that failed by itself, at the beginning of the chain that led to this one being skipped."""
    by_id = {each.task_id: each for each in run.tasks}
    cause = task
    while cause.status == task_pb2.TASK_STATUS_SKIPPED and cause.error.cause_task_id in by_id:
        cause = by_id[cause.error.cause_task_id]
    return str(cause.task_id)
