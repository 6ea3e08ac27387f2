"""Every call of the contract once: where it is served as an rpc, and as what it travels in a session's
frames.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from concert.v1 import (
    agent_service_pb2,
    event_service_pb2,
    lock_service_pb2,
    monitor_service_pb2,
    run_service_pb2,
    session_service_pb2,
    state_service_pb2,
)


@dataclass(frozen=True, slots=True)
class Method:
    """A call. `service` is empty for what exists in frames only, `frame` for what exists as an rpc only."""

    name: str
    service: str
    request: Any
    response: Any
    frame: str = ""
    streams: bool = False
    names_request: bool = field(init=False)
    names_namespace: bool = field(init=False)

    def __post_init__(self) -> None:
        fields = self.request.DESCRIPTOR.fields_by_name
        object.__setattr__(self, "names_request", "request_id" in fields)
        object.__setattr__(self, "names_namespace", "namespace" in fields)

    @property
    def path(self) -> str:
        """The HTTP/2 path of the rpc."""
        return f"/concert.v1.{self.service}/{self.name}"


def _rpc(module: Any, service: str, name: str, frame: str = "", *, streams: bool = False) -> Method:
    return Method(name, service, getattr(module, f"{name}Request"), getattr(module, f"{name}Response"), frame, streams)


def _report(name: str, frame: str) -> Method:
    return Method(name, "", getattr(session_service_pb2, name), session_service_pb2.Reported, frame)


CONNECT_PATH = "/concert.v1.SessionService/Connect"

PUBLISH = _rpc(event_service_pb2, "EventService", "Publish", "publish")
SUBSCRIBE = _rpc(event_service_pb2, "EventService", "Subscribe", streams=True)
LIST_EVENTS = _rpc(event_service_pb2, "EventService", "ListEvents")
GET_EVENT = _rpc(event_service_pb2, "EventService", "GetEvent")
CREATE_SUBSCRIPTION = _rpc(event_service_pb2, "EventService", "CreateSubscription")
LIST_SUBSCRIPTIONS = _rpc(event_service_pb2, "EventService", "ListSubscriptions")
ACKNOWLEDGE = _rpc(event_service_pb2, "EventService", "Acknowledge")
DELETE_SUBSCRIPTION = _rpc(event_service_pb2, "EventService", "DeleteSubscription")

LIST_AGENTS = _rpc(agent_service_pb2, "AgentService", "ListAgents")
GET_AGENT = _rpc(agent_service_pb2, "AgentService", "GetAgent")
DRAIN_AGENT = _rpc(agent_service_pb2, "AgentService", "DrainAgent")

PLAN_RUN = _rpc(run_service_pb2, "RunService", "PlanRun")
SUBMIT_RUN = _rpc(run_service_pb2, "RunService", "SubmitRun", "submit_run")
GET_RUN = _rpc(run_service_pb2, "RunService", "GetRun", "get_run")
LIST_RUNS = _rpc(run_service_pb2, "RunService", "ListRuns")
WATCH_RUN = _rpc(run_service_pb2, "RunService", "WatchRun", streams=True)
CANCEL_RUN = _rpc(run_service_pb2, "RunService", "CancelRun", "cancel_run")
ADD_TASKS = _rpc(run_service_pb2, "RunService", "AddTasks", "add_tasks")
RETRY_RUN = _rpc(run_service_pb2, "RunService", "RetryRun", "retry_run")
GET_TASK_RESULT = _rpc(run_service_pb2, "RunService", "GetTaskResult", "get_task_result")

ACQUIRE = _rpc(lock_service_pb2, "LockService", "Acquire", "acquire")
RELEASE = _rpc(lock_service_pb2, "LockService", "Release", "release")
KEEP_ALIVE = _rpc(lock_service_pb2, "LockService", "KeepAlive", "keep_alive")
LIST_LOCKS = _rpc(lock_service_pb2, "LockService", "ListLocks")
GET_LOCK = _rpc(lock_service_pb2, "LockService", "GetLock")

UPDATE_STATE = _rpc(state_service_pb2, "StateService", "UpdateState", "update_state")
DELETE_STATE = _rpc(state_service_pb2, "StateService", "DeleteState", "delete_state")
LIST_STATE_HISTORY = _rpc(state_service_pb2, "StateService", "ListStateHistory")
WATCH_STATE = _rpc(state_service_pb2, "StateService", "WatchState", streams=True)
GET_STATE = _rpc(state_service_pb2, "StateService", "GetState", "get_state")

GET_SERVER_INFO = _rpc(monitor_service_pb2, "MonitorService", "GetServerInfo")
GET_HEALTH = _rpc(monitor_service_pb2, "MonitorService", "GetHealth")
GET_METRICS = _rpc(monitor_service_pb2, "MonitorService", "GetMetrics")
EXPLAIN = _rpc(monitor_service_pb2, "MonitorService", "Explain")
LIST_NAMESPACES = _rpc(monitor_service_pb2, "MonitorService", "ListNamespaces")

TASK_STARTED = _report("TaskStarted", "task_started")
TASK_PROGRESS = _report("TaskProgress", "task_progress")
TASK_COMPLETED = _report("TaskCompleted", "task_completed")
TASK_FAILED = _report("TaskFailed", "task_failed")
UPDATE_AGENT = _report("UpdateAgent", "update_agent")
GOODBYE = _report("Goodbye", "goodbye")
