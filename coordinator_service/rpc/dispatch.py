"""The dispatch table: one row for each kind of request, shared by unary calls and sessions.

    operation = FRAMES[command.WhichOneof("request")]
    asked, caller = operation.prepare(request, scope, traceparent)  # raises InvalidField
    port.submit(asked, caller, respond)
    operation.fill(answer, scope, getattr(reply, operation.reply_field))

KeepAlive is in it by name only, because it is no command: read_keep_alive, NamespacePort.keep_alive, fill_leases.
"""

from __future__ import annotations

from coordinator_service.rpc.operation import Operation, Scope
from coordinator_service.rpc.operations.agents import (
    DRAIN_AGENT,
    GET_AGENT,
    GOODBYE,
    LIST_AGENTS,
    UPDATE_AGENT,
    read_agent_spec,
)
from coordinator_service.rpc.operations.events import PUBLISH
from coordinator_service.rpc.operations.locks import (
    ACQUIRE,
    GET_LOCK,
    KEEP_ALIVE,
    LIST_LOCKS,
    RELEASE,
    fill_leases,
    read_keep_alive,
)
from coordinator_service.rpc.operations.reports import TASK_COMPLETED, TASK_FAILED, TASK_PROGRESS, TASK_STARTED
from coordinator_service.rpc.operations.runs import (
    ADD_TASKS,
    CANCEL_RUN,
    GET_RUN,
    GET_TASK_RESULT,
    LIST_RUNS,
    PLAN_RUN,
    RETRY_RUN,
    SUBMIT_RUN,
)
from coordinator_service.rpc.operations.state import DELETE_STATE, GET_STATE, UPDATE_STATE

__all__ = ["FRAMES", "OPERATIONS", "Operation", "Scope", "fill_leases", "read_agent_spec", "read_keep_alive"]

OPERATIONS: tuple[Operation, ...] = (
    PUBLISH,
    ACQUIRE,
    RELEASE,
    KEEP_ALIVE,
    GET_LOCK,
    LIST_LOCKS,
    UPDATE_STATE,
    DELETE_STATE,
    GET_STATE,
    PLAN_RUN,
    SUBMIT_RUN,
    GET_RUN,
    LIST_RUNS,
    CANCEL_RUN,
    ADD_TASKS,
    RETRY_RUN,
    GET_TASK_RESULT,
    DRAIN_AGENT,
    GET_AGENT,
    LIST_AGENTS,
    UPDATE_AGENT,
    GOODBYE,
    TASK_STARTED,
    TASK_PROGRESS,
    TASK_COMPLETED,
    TASK_FAILED,
)

FRAMES: dict[str, Operation] = {operation.frame: operation for operation in OPERATIONS if operation.frame}
"""By the name of the request in session_service.proto's Command.request."""
