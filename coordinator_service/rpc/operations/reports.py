"""Reports: what agents say of the attempts they were given. They exist in sessions only."""

from __future__ import annotations

from typing import Any

from concert.v1 import session_service_pb2 as pb

from coordinator_service.core.commands import CompleteTask, FailTask, ProgressTask, StartTask
from coordinator_service.core.specs import Progress, TaskError
from coordinator_service.core.values import JsonValue
from coordinator_service.rpc import limits
from coordinator_service.rpc.operation import Operation, Scope
from coordinator_service.rpc.operations.locks import fill_done
from coordinator_service.rpc.operations.state import read_change
from coordinator_service.rpc.payloads import read_payload, read_value
from coordinator_service.rpc.validation import Faults, count_fault, name_fault, number_fault, size_fault

CANCELLED_ERROR_TYPE = "CANCELLED"


def decode_started(report: Any, _scope: Scope, faults: Faults) -> StartTask:
    return StartTask(attempt_token=_attempt_token(report, faults))


def decode_progress(report: Any, _scope: Scope, faults: Faults) -> ProgressTask:
    progress = report.progress
    faults.add("progress.fraction", number_fault(progress.fraction, 0, 1))
    faults.add("progress.message", size_fault(progress.message, limits.PROGRESS_TEXT_BYTES_MAX))
    return ProgressTask(
        attempt_token=_attempt_token(report, faults),
        progress=Progress(fraction=progress.fraction, message=progress.message),
    )


def decode_completed(report: Any, _scope: Scope, faults: Faults) -> CompleteTask:
    token = _attempt_token(report, faults)
    size = report.ByteSize()
    if size > limits.REPORT_BYTES_MAX + limits.ID_BYTES_MAX:
        faults.add("result", f"with state_changes has {size} bytes, the limit is {limits.REPORT_BYTES_MAX} together")
        return CompleteTask(attempt_token=token)
    changes = report.state_changes
    faults.add("state_changes", count_fault(changes, limits.CHANGES_PER_REPORT_MAX))
    encoded, is_json, json = _read_result(report, faults)
    return CompleteTask(
        attempt_token=token,
        result=encoded,
        result_is_json=is_json,
        result_json=json,
        changes=tuple(
            read_change(faults, f"state_changes[{number}]", change)
            for number, change in enumerate(changes[: limits.CHANGES_PER_REPORT_MAX])
        ),
    )


def _read_result(report: Any, faults: Faults) -> tuple[bytes | None, bool, JsonValue]:
    """The result, encoded, and its value where it is JSON, since that also becomes shared state (S9)."""
    if not report.HasField("result") or not report.result.HasField("json"):
        return read_payload(faults, "", report, "result"), False, None
    return report.result.SerializeToString(), True, read_value(faults, "result.json", report.result.json)


def decode_failed(report: Any, _scope: Scope, faults: Faults) -> FailTask:
    error = report.error
    error_type = error.error_type or (CANCELLED_ERROR_TYPE if report.cancelled else "")
    faults.add("error.error_type", name_fault(error_type, limits.ERROR_TYPE_BYTES_MAX))
    faults.add("error.message", size_fault(error.message, limits.ERROR_TEXT_BYTES_MAX))
    faults.add("error.traceback", size_fault(error.traceback, limits.TRACEBACK_BYTES_MAX))
    return FailTask(
        attempt_token=_attempt_token(report, faults),
        error=TaskError(error_type=error_type, message=error.message, traceback=error.traceback),
        retryable=not report.not_retryable,
        cancelled=report.cancelled,
        context=read_payload(faults, "", report, "context"),
    )


def _attempt_token(report: Any, faults: Faults) -> int:
    token: int = report.attempt_token
    if not token:
        faults.add("attempt_token", "must be set")
    return token


TASK_STARTED = Operation(
    method="TaskStarted",
    frame="task_started",
    request=pb.TaskStarted,
    response=pb.Reported,
    decode=decode_started,
    fill=fill_done,
)
TASK_PROGRESS = Operation(
    method="TaskProgress",
    frame="task_progress",
    request=pb.TaskProgress,
    response=pb.Reported,
    decode=decode_progress,
    fill=fill_done,
)
TASK_COMPLETED = Operation(
    method="TaskCompleted",
    frame="task_completed",
    request=pb.TaskCompleted,
    response=pb.Reported,
    decode=decode_completed,
    fill=fill_done,
)
TASK_FAILED = Operation(
    method="TaskFailed",
    frame="task_failed",
    request=pb.TaskFailed,
    response=pb.Reported,
    decode=decode_failed,
    fill=fill_done,
)
