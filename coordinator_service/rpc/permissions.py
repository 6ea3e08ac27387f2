"""What each rpc and each command of a session needs: the one table of permissions.

A request names its rpc, since each rpc has a request of its own; an rpc that is not in the table cannot be served. A
command of a session needs what its rpc needs, and a report, which has none, the role agent.
"""

from __future__ import annotations

from typing import Any, Final

from coordinator_service.rpc.dispatch import FRAMES
from coordinator_service.security.roles import Role

PERMISSIONS: Final[dict[str, Role]] = {
    "SessionService/Connect": Role.AGENT,
    "EventService/Publish": Role.AGENT,
    "EventService/Subscribe": Role.VIEWER,
    "EventService/ListEvents": Role.VIEWER,
    "EventService/GetEvent": Role.VIEWER,
    "EventService/CreateSubscription": Role.AGENT,
    "EventService/ListSubscriptions": Role.VIEWER,
    "EventService/Acknowledge": Role.AGENT,
    "EventService/DeleteSubscription": Role.AGENT,
    "AgentService/ListAgents": Role.VIEWER,
    "AgentService/GetAgent": Role.VIEWER,
    "AgentService/DrainAgent": Role.AGENT,
    "RunService/PlanRun": Role.VIEWER,
    "RunService/SubmitRun": Role.AGENT,
    "RunService/GetRun": Role.VIEWER,
    "RunService/ListRuns": Role.VIEWER,
    "RunService/WatchRun": Role.VIEWER,
    "RunService/CancelRun": Role.AGENT,
    "RunService/AddTasks": Role.AGENT,
    "RunService/RetryRun": Role.AGENT,
    "RunService/GetTaskResult": Role.VIEWER,
    "LockService/Acquire": Role.AGENT,
    "LockService/Release": Role.AGENT,
    "LockService/KeepAlive": Role.AGENT,
    "LockService/ListLocks": Role.VIEWER,
    "LockService/GetLock": Role.VIEWER,
    "StateService/UpdateState": Role.AGENT,
    "StateService/DeleteState": Role.AGENT,
    "StateService/GetState": Role.VIEWER,
    "StateService/ListStateHistory": Role.VIEWER,
    "StateService/WatchState": Role.VIEWER,
    "MonitorService/GetMetrics": Role.VIEWER,
    "MonitorService/GetHealth": Role.VIEWER,
    "MonitorService/Explain": Role.VIEWER,
    "MonitorService/ListNamespaces": Role.KNOWN,
    "MonitorService/GetServerInfo": Role.KNOWN,
}
"""The least role that may call it, by service and rpc. CancelRun, RetryRun, DrainAgent and Release by force touch
what is others' with the role operator."""


_ADDS_NOTHING: Final = frozenset(("Release", "KeepAlive", "Acknowledge", "DeleteSubscription", "Goodbye", "TaskFailed"))
"""Those of the role agent that always pass a quota of what is stored: they give up or keep what there is."""


def stores(method: str, need: Role) -> bool:
    """Whether what is in a request is stored, so that it counts against the quota of its principal."""
    return need >= Role.AGENT and method not in _ADDS_NOTHING


def need_of(request_class: Any) -> Role:
    """What the rpc of that request needs. Raises KeyError for one that is not in the table."""
    service, method = rpc_of(request_class.DESCRIPTOR)
    return PERMISSIONS[f"{service}/{method}"]


def rpc_of(request: Any) -> tuple[str, str]:
    """The service and the rpc that a request message is for. Raises KeyError."""
    for service in request.file.services_by_name.values():
        for method in service.methods:
            if method.input_type.full_name == request.full_name:
                return service.name, method.name
    raise KeyError(f"{request.full_name} is the request of no rpc of its file")


COMMANDS: Final[dict[str, Role]] = {
    name: PERMISSIONS[f"{operation.service}/{operation.method}"] if operation.service else Role.AGENT
    for name, operation in FRAMES.items()
}
"""The least role that may send it in a session, by its name in Command.request."""

STORING: Final = frozenset(name for name, need in COMMANDS.items() if stores(FRAMES[name].method, need))
"""Commands whose content is stored."""


def commands_for(role: Role) -> frozenset[str]:
    """Those that a role may send."""
    return frozenset(name for name, need in COMMANDS.items() if role >= need)
