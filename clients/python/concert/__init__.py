"""Concert for Python: let many independent agents do one job together without stepping on each other.

    async with concert.connect("127.0.0.1:7420") as client:
        await client.publish("page_rendered", {"path": "/"})

This module is the public face; agents are in `concert.agent`, the contract's messages in `concert.v1`.
"""

from concert._client import Client, Session, connect
from concert._credentials import Tls, TokenSource, credentials_from_environment, tls, token_file
from concert._events import Events, draft
from concert._explanation import Explanation
from concert._lock import Lock, Locks, LockScope
from concert._named_subscription import NamedSubscription, Subscriptions
from concert._payload import from_payload, to_payload
from concert._runs import RunHandle, Runs, RunUpdate, on_agent, on_capability, on_task, retry, task, task_lock
from concert._state import Modified, State, StateEntry, StateRevision
from concert._state_watch import KeyChange, StateWatch
from concert._subscription import Subscription
from concert.errors import (
    Aborted,
    AlreadyExists,
    Cancelled,
    ConcertError,
    CursorBehind,
    CursorCompacted,
    CursorInFuture,
    DeadlineExceeded,
    Deadlock,
    DependencyCycleError,
    DependencyUnknown,
    FailedPrecondition,
    FeatureMissing,
    InternalError,
    InvalidArgument,
    InvalidPayload,
    LimitReached,
    LockLost,
    LockTimeout,
    LockUpgrade,
    LogMismatch,
    LogTailLost,
    NoSession,
    NotFound,
    NotHolder,
    PermissionDenied,
    RequestIdReused,
    RunNotRetryable,
    RunOver,
    SessionOver,
    StaleAttempt,
    StaleFence,
    StateConflictError,
    Unauthenticated,
    Unavailable,
)
from concert.v1.event_pb2 import Event, EventType
from concert.v1.event_service_pb2 import Cursor
from concert.v1.payload_pb2 import Payload
from concert.v1.run_pb2 import Run, RunPlan, RunStatus
from concert.v1.task_pb2 import Task, TaskStatus

__all__ = [
    "Aborted",
    "AlreadyExists",
    "Cancelled",
    "Client",
    "ConcertError",
    "Cursor",
    "CursorBehind",
    "CursorCompacted",
    "CursorInFuture",
    "DeadlineExceeded",
    "Deadlock",
    "DependencyCycleError",
    "DependencyUnknown",
    "Event",
    "EventType",
    "Events",
    "Explanation",
    "FailedPrecondition",
    "FeatureMissing",
    "InternalError",
    "InvalidArgument",
    "InvalidPayload",
    "KeyChange",
    "LimitReached",
    "Lock",
    "LockLost",
    "LockScope",
    "LockTimeout",
    "LockUpgrade",
    "Locks",
    "LogMismatch",
    "LogTailLost",
    "Modified",
    "NamedSubscription",
    "NoSession",
    "NotFound",
    "NotHolder",
    "Payload",
    "PermissionDenied",
    "RequestIdReused",
    "Run",
    "RunHandle",
    "RunNotRetryable",
    "RunOver",
    "RunPlan",
    "RunStatus",
    "RunUpdate",
    "Runs",
    "Session",
    "SessionOver",
    "StaleAttempt",
    "StaleFence",
    "State",
    "StateConflictError",
    "StateEntry",
    "StateRevision",
    "StateWatch",
    "Subscription",
    "Subscriptions",
    "Task",
    "TaskStatus",
    "Tls",
    "TokenSource",
    "Unauthenticated",
    "Unavailable",
    "connect",
    "credentials_from_environment",
    "draft",
    "from_payload",
    "on_agent",
    "on_capability",
    "on_task",
    "retry",
    "task",
    "task_lock",
    "tls",
    "to_payload",
    "token_file",
]
