"""Runs: planning, submitting, looking and stopping."""

from __future__ import annotations

from typing import Any

from concert.v1 import run_service_pb2 as pb

from coordinator_service.core.answers import Planned, ResultRead, RunAccepted, RunAgain, RunRead, RunsRead
from coordinator_service.core.commands import (
    AddTasks,
    CancelRun,
    GetRun,
    GetTaskResult,
    ListRuns,
    PlanRun,
    RetryRun,
    SubmitRun,
)
from coordinator_service.core.rejections import NotFound
from coordinator_service.core.specs import RunSpec
from coordinator_service.core.values import RunStatus
from coordinator_service.log.mirror import InvalidField as MirrorFault
from coordinator_service.log.mirror import fill as mirror_fill
from coordinator_service.log.mirror import from_proto
from coordinator_service.rpc import limits
from coordinator_service.rpc.operation import Operation, Scope
from coordinator_service.rpc.operations.agents import check_dependencies
from coordinator_service.rpc.operations.locks import fill_done, read_mode
from coordinator_service.rpc.page_tokens import page_size, read_number_token, write_token
from coordinator_service.rpc.payloads import read_payload
from coordinator_service.rpc.run_parts import run_parts
from coordinator_service.rpc.validation import (
    Faults,
    check_duration,
    check_metadata,
    check_names,
    count_fault,
    given_name_fault,
    name_fault,
    number_fault,
    optional_name_fault,
    optional_path_fault,
    priority_fault,
    resource_fault,
    size_fault,
)


def decode_submit(request: Any, _scope: Scope, faults: Faults) -> SubmitRun:
    return SubmitRun(spec=read_run(faults, request))


def decode_plan(request: Any, _scope: Scope, faults: Faults) -> PlanRun:
    return PlanRun(spec=read_run(faults, request))


def read_run(faults: Faults, request: Any) -> RunSpec:
    """The RunSpec of a request."""
    if not request.HasField("run"):
        faults.add("run", "must be set")
        return RunSpec()
    run = request.run
    _check_run(faults, run)
    for number, task in enumerate(run.tasks[: limits.TASKS_PER_RUN_MAX]):
        if faults.full:
            break
        _check_task(faults, f"run.tasks[{number}].", task)
    if faults:
        return RunSpec()
    try:
        spec: RunSpec = from_proto(run)
    except MirrorFault as fault:
        faults.add(fault.within("run").field, fault.description)
        return RunSpec()
    return spec


def _check_run(faults: Faults, run: Any) -> None:
    faults.add("run.run_id", optional_name_fault(run.run_id))
    faults.add("run.name", size_fault(run.name, limits.RUN_NAME_BYTES_MAX))
    faults.add("run.tasks", count_fault(run.tasks, limits.TASKS_PER_RUN_MAX))
    check_names(faults, "run.agents", run.agents, limits.AGENTS_PER_RUN_MAX)
    read_payload(faults, "run.", run, "context")
    check_duration(faults, "run.", run, "timeout", 1, limits.RUN_TIMEOUT_MS_MAX)
    if run.running_max > limits.RUNNING_MAX:
        faults.add("run.running_max", f"the limit is {limits.RUNNING_MAX}")
    faults.add("run.policy", optional_name_fault(run.policy))
    faults.add("run.priority", priority_fault(run.priority))
    check_metadata(faults, "run.metadata", run.metadata)


def _check_task(faults: Faults, field: str, task: Any) -> None:
    fault = name_fault(task.task_id)
    if fault:
        faults.add(f"{field}task_id", fault)
    _check_target(faults, field, task.target)
    if task.depends_on:
        check_dependencies(faults, f"{field}depends_on", task.depends_on)
    if task.after:
        check_dependencies(faults, f"{field}after", task.after)
    read_payload(faults, field, task, "input")
    if task.capabilities:
        check_names(faults, f"{field}capabilities", task.capabilities, limits.CAPABILITIES_PER_TASK_MAX)
    if task.locks:
        _check_locks(faults, field, task.locks)
    if task.policy:
        faults.add(f"{field}policy", optional_name_fault(task.policy))
    if task.priority > limits.PRIORITY_MAX:
        faults.add(f"{field}priority", priority_fault(task.priority))
    check_duration(faults, field, task, "max_execution_time", 1, limits.EXECUTION_TIME_MS_MAX)
    if task.HasField("retry"):
        _check_retry(faults, f"{field}retry.", task.retry)
    if task.metadata:
        check_metadata(faults, f"{field}metadata", task.metadata)


def _check_target(faults: Faults, field: str, target: Any) -> None:
    kind = target.WhichOneof("target")
    if kind is None:
        faults.add(f"{field}target", "must name a capability, an agent_name or an agent_id")
        return
    name = getattr(target, kind)
    fault = (given_name_fault(name) or name_fault(name)) if kind == "agent_id" else name_fault(name)
    if fault:
        faults.add(f"{field}target.{kind}", fault)


def _check_locks(faults: Faults, field: str, locks: Any) -> None:
    faults.add(f"{field}locks", count_fault(locks, limits.LOCKS_PER_TASK_MAX))
    if len({lock.resource for lock in locks}) != len(locks):
        faults.add(f"{field}locks", "names a resource twice")
    for number, lock in enumerate(locks[: limits.LOCKS_PER_TASK_MAX]):
        where = f"{field}locks[{number}]"
        faults.add(f"{where}.resource", resource_fault(lock.resource))
        faults.add(f"{where}.guards", optional_path_fault(lock.guards))
        read_mode(faults, lock.mode, f"{where}.mode")


def _check_retry(faults: Faults, field: str, retry: Any) -> None:
    for name in ("attempts_max", "lost_attempts_max"):
        if getattr(retry, name) > limits.ATTEMPTS_MAX:
            faults.add(f"{field}{name}", f"the limit is {limits.ATTEMPTS_MAX}")
    check_duration(faults, field, retry, "backoff_initial", 0, limits.BACKOFF_MS_MAX)
    check_duration(faults, field, retry, "backoff_max", 0, limits.BACKOFF_MS_MAX)
    if retry.backoff_multiplier:
        fault = number_fault(retry.backoff_multiplier, 1, limits.BACKOFF_MULTIPLIER_MAX)
        faults.add(f"{field}backoff_multiplier", fault)


def fill_accepted(answer: RunAccepted, _scope: Scope, response: Any) -> None:
    response.run_id = answer.run_id
    response.sequence = answer.sequence
    if answer.replayed:
        response.replayed = True


def fill_planned(answer: Planned, _scope: Scope, response: Any) -> None:
    mirror_fill(answer.plan, response.plan)
    response.sequence = answer.sequence


def decode_get(request: Any, _scope: Scope, faults: Faults) -> GetRun:
    faults.add("run_id", name_fault(request.run_id))
    if request.page_size > limits.TASKS_PER_RUN_MAX:
        faults.add("page_size", f"the limit is {limits.TASKS_PER_RUN_MAX}")
    return GetRun(
        run_id=request.run_id,
        tasks_before=read_number_token(faults, "tasks", request.page_token),
        tasks_max=request.page_size,
    )


def decode_cancel(request: Any, _scope: Scope, faults: Faults) -> CancelRun:
    faults.add("run_id", name_fault(request.run_id))
    return CancelRun(run_id=request.run_id)


def fill_run(answer: RunRead, _scope: Scope, response: Any) -> None:
    page = next(run_parts(answer.run))
    response.run.CopyFrom(page)
    response.sequence = answer.sequence
    if answer.tasks_left or len(page.tasks) < len(answer.run.tasks):
        response.next_page_token = write_token("tasks", answer.tasks_before + len(page.tasks))


def decode_list(request: Any, _scope: Scope, faults: Faults) -> ListRuns:
    status = RunStatus.UNSPECIFIED
    try:
        status = RunStatus(request.status)
    except ValueError:
        faults.add("status", f"{request.status} is no value that this version knows")
    return ListRuns(
        status=status,
        below_sequence=read_number_token(faults, "runs", request.page_token),
        count_max=page_size(faults, request.page_size),
    )


def fill_runs(answer: RunsRead, _scope: Scope, response: Any) -> None:
    for run in answer.runs:
        mirror_fill(run, response.runs.add())
    response.sequence = answer.sequence
    response.next_page_token = write_token("runs", answer.next_sequence)


def decode_get_result(request: Any, _scope: Scope, faults: Faults) -> GetTaskResult:
    faults.add("run_id", name_fault(request.run_id))
    faults.add("task_id", name_fault(request.task_id))
    return GetTaskResult(run_id=request.run_id, task_id=request.task_id)


def fill_result(answer: ResultRead, _scope: Scope, response: Any) -> None:
    if answer.result is not None:
        response.result.SetInParent()
        response.result.MergeFromString(answer.result)
    response.agent_name = answer.agent_name
    response.sequence = answer.sequence


def decode_add(request: Any, _scope: Scope, faults: Faults) -> AddTasks:
    faults.add("run_id", name_fault(request.run_id))
    faults.add("tasks", count_fault(request.tasks, limits.TASKS_PER_RUN_MAX))
    for number, task in enumerate(request.tasks[: limits.TASKS_PER_RUN_MAX]):
        if faults.full:
            break
        _check_task(faults, f"tasks[{number}].", task)
    if faults:
        return AddTasks(run_id="")
    tasks = []
    for number, task in enumerate(request.tasks):
        try:
            tasks.append(from_proto(task))
        except MirrorFault as fault:
            faults.add(fault.within(f"tasks[{number}]").field, fault.description)
            break
    return AddTasks(run_id=request.run_id, tasks=tuple(tasks), last=request.last)


def decode_retry(request: Any, _scope: Scope, faults: Faults) -> RetryRun:
    faults.add("run_id", name_fault(request.run_id))
    return RetryRun(run_id=request.run_id)


def fill_again(answer: RunAgain, _scope: Scope, response: Any) -> None:
    response.generation = answer.generation
    response.sequence = answer.sequence
    if answer.replayed:
        response.replayed = True


def _no_run(command: GetRun | CancelRun | AddTasks | RetryRun | GetTaskResult) -> RunRead:
    raise NotFound("run", command.run_id)


PLAN_RUN = Operation(
    method="PlanRun",
    service="RunService",
    request=pb.PlanRunRequest,
    response=pb.PlanRunResponse,
    decode=decode_plan,
    fill=fill_planned,
)
SUBMIT_RUN = Operation(
    method="SubmitRun",
    service="RunService",
    frame="submit_run",
    request=pb.SubmitRunRequest,
    response=pb.SubmitRunResponse,
    decode=decode_submit,
    fill=fill_accepted,
)
GET_RUN = Operation(
    method="GetRun",
    service="RunService",
    frame="get_run",
    request=pb.GetRunRequest,
    response=pb.GetRunResponse,
    decode=decode_get,
    fill=fill_run,
    in_absence=_no_run,
)
LIST_RUNS = Operation(
    method="ListRuns",
    service="RunService",
    request=pb.ListRunsRequest,
    response=pb.ListRunsResponse,
    decode=decode_list,
    fill=fill_runs,
    in_absence=lambda _: RunsRead(runs=(), sequence=0),
)
CANCEL_RUN = Operation(
    method="CancelRun",
    service="RunService",
    frame="cancel_run",
    request=pb.CancelRunRequest,
    response=pb.CancelRunResponse,
    decode=decode_cancel,
    fill=fill_done,
    in_absence=_no_run,
)
ADD_TASKS = Operation(
    method="AddTasks",
    service="RunService",
    frame="add_tasks",
    request=pb.AddTasksRequest,
    response=pb.AddTasksResponse,
    decode=decode_add,
    fill=fill_done,
    in_absence=_no_run,
)
RETRY_RUN = Operation(
    method="RetryRun",
    service="RunService",
    frame="retry_run",
    request=pb.RetryRunRequest,
    response=pb.RetryRunResponse,
    decode=decode_retry,
    fill=fill_again,
    in_absence=_no_run,
)
GET_TASK_RESULT = Operation(
    method="GetTaskResult",
    service="RunService",
    frame="get_task_result",
    request=pb.GetTaskResultRequest,
    response=pb.GetTaskResultResponse,
    decode=decode_get_result,
    fill=fill_result,
    in_absence=_no_run,
)
