import datetime

from concert.v1 import agent_pb2 as _agent_pb2
from concert.v1 import event_service_pb2 as _event_service_pb2
from concert.v1 import lock_service_pb2 as _lock_service_pb2
from concert.v1 import payload_pb2 as _payload_pb2
from concert.v1 import run_service_pb2 as _run_service_pb2
from concert.v1 import state_pb2 as _state_pb2
from concert.v1 import state_service_pb2 as _state_service_pb2
from concert.v1 import task_pb2 as _task_pb2
from google.protobuf import duration_pb2 as _duration_pb2
from google.rpc import status_pb2 as _status_pb2
from google.protobuf.internal import containers as _containers
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from collections.abc import Iterable as _Iterable, Mapping as _Mapping
from typing import ClassVar as _ClassVar, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class ConnectRequest(_message.Message):
    __slots__ = ("messages",)
    MESSAGES_FIELD_NUMBER: _ClassVar[int]
    messages: _containers.RepeatedCompositeFieldContainer[ClientMessage]
    def __init__(self, messages: _Optional[_Iterable[_Union[ClientMessage, _Mapping]]] = ...) -> None: ...

class ConnectResponse(_message.Message):
    __slots__ = ("messages",)
    MESSAGES_FIELD_NUMBER: _ClassVar[int]
    messages: _containers.RepeatedCompositeFieldContainer[CoordinatorMessage]
    def __init__(self, messages: _Optional[_Iterable[_Union[CoordinatorMessage, _Mapping]]] = ...) -> None: ...

class ClientMessage(_message.Message):
    __slots__ = ("hello", "heartbeat", "command")
    HELLO_FIELD_NUMBER: _ClassVar[int]
    HEARTBEAT_FIELD_NUMBER: _ClassVar[int]
    COMMAND_FIELD_NUMBER: _ClassVar[int]
    hello: Hello
    heartbeat: Heartbeat
    command: Command
    def __init__(self, hello: _Optional[_Union[Hello, _Mapping]] = ..., heartbeat: _Optional[_Union[Heartbeat, _Mapping]] = ..., command: _Optional[_Union[Command, _Mapping]] = ...) -> None: ...

class CoordinatorMessage(_message.Message):
    __slots__ = ("welcome", "task", "cancel", "drain", "reply", "heartbeat_ack")
    WELCOME_FIELD_NUMBER: _ClassVar[int]
    TASK_FIELD_NUMBER: _ClassVar[int]
    CANCEL_FIELD_NUMBER: _ClassVar[int]
    DRAIN_FIELD_NUMBER: _ClassVar[int]
    REPLY_FIELD_NUMBER: _ClassVar[int]
    HEARTBEAT_ACK_FIELD_NUMBER: _ClassVar[int]
    welcome: Welcome
    task: _task_pb2.AgentTask
    cancel: CancelTask
    drain: Drain
    reply: Reply
    heartbeat_ack: HeartbeatAck
    def __init__(self, welcome: _Optional[_Union[Welcome, _Mapping]] = ..., task: _Optional[_Union[_task_pb2.AgentTask, _Mapping]] = ..., cancel: _Optional[_Union[CancelTask, _Mapping]] = ..., drain: _Optional[_Union[Drain, _Mapping]] = ..., reply: _Optional[_Union[Reply, _Mapping]] = ..., heartbeat_ack: _Optional[_Union[HeartbeatAck, _Mapping]] = ...) -> None: ...

class Hello(_message.Message):
    __slots__ = ("namespace", "agent", "session_id", "takeover", "attempt_tokens", "feature_level", "lease", "request_id")
    NAMESPACE_FIELD_NUMBER: _ClassVar[int]
    AGENT_FIELD_NUMBER: _ClassVar[int]
    SESSION_ID_FIELD_NUMBER: _ClassVar[int]
    TAKEOVER_FIELD_NUMBER: _ClassVar[int]
    ATTEMPT_TOKENS_FIELD_NUMBER: _ClassVar[int]
    FEATURE_LEVEL_FIELD_NUMBER: _ClassVar[int]
    LEASE_FIELD_NUMBER: _ClassVar[int]
    REQUEST_ID_FIELD_NUMBER: _ClassVar[int]
    namespace: str
    agent: _agent_pb2.AgentSpec
    session_id: int
    takeover: bool
    attempt_tokens: _containers.RepeatedScalarFieldContainer[int]
    feature_level: int
    lease: _duration_pb2.Duration
    request_id: str
    def __init__(self, namespace: _Optional[str] = ..., agent: _Optional[_Union[_agent_pb2.AgentSpec, _Mapping]] = ..., session_id: _Optional[int] = ..., takeover: bool = ..., attempt_tokens: _Optional[_Iterable[int]] = ..., feature_level: _Optional[int] = ..., lease: _Optional[_Union[datetime.timedelta, _duration_pb2.Duration, _Mapping]] = ..., request_id: _Optional[str] = ...) -> None: ...

class Welcome(_message.Message):
    __slots__ = ("session_id", "agent_id", "lease", "resumed", "feature_level", "limits", "log_id", "stale_attempt_tokens")
    class LimitsEntry(_message.Message):
        __slots__ = ("key", "value")
        KEY_FIELD_NUMBER: _ClassVar[int]
        VALUE_FIELD_NUMBER: _ClassVar[int]
        key: str
        value: int
        def __init__(self, key: _Optional[str] = ..., value: _Optional[int] = ...) -> None: ...
    SESSION_ID_FIELD_NUMBER: _ClassVar[int]
    AGENT_ID_FIELD_NUMBER: _ClassVar[int]
    LEASE_FIELD_NUMBER: _ClassVar[int]
    RESUMED_FIELD_NUMBER: _ClassVar[int]
    FEATURE_LEVEL_FIELD_NUMBER: _ClassVar[int]
    LIMITS_FIELD_NUMBER: _ClassVar[int]
    LOG_ID_FIELD_NUMBER: _ClassVar[int]
    STALE_ATTEMPT_TOKENS_FIELD_NUMBER: _ClassVar[int]
    session_id: int
    agent_id: str
    lease: _duration_pb2.Duration
    resumed: bool
    feature_level: int
    limits: _containers.ScalarMap[str, int]
    log_id: str
    stale_attempt_tokens: _containers.RepeatedScalarFieldContainer[int]
    def __init__(self, session_id: _Optional[int] = ..., agent_id: _Optional[str] = ..., lease: _Optional[_Union[datetime.timedelta, _duration_pb2.Duration, _Mapping]] = ..., resumed: bool = ..., feature_level: _Optional[int] = ..., limits: _Optional[_Mapping[str, int]] = ..., log_id: _Optional[str] = ..., stale_attempt_tokens: _Optional[_Iterable[int]] = ...) -> None: ...

class Heartbeat(_message.Message):
    __slots__ = ("nonce",)
    NONCE_FIELD_NUMBER: _ClassVar[int]
    nonce: int
    def __init__(self, nonce: _Optional[int] = ...) -> None: ...

class HeartbeatAck(_message.Message):
    __slots__ = ("nonce",)
    NONCE_FIELD_NUMBER: _ClassVar[int]
    nonce: int
    def __init__(self, nonce: _Optional[int] = ...) -> None: ...

class CancelTask(_message.Message):
    __slots__ = ("attempt_token", "reason", "grace")
    ATTEMPT_TOKEN_FIELD_NUMBER: _ClassVar[int]
    REASON_FIELD_NUMBER: _ClassVar[int]
    GRACE_FIELD_NUMBER: _ClassVar[int]
    attempt_token: int
    reason: str
    grace: _duration_pb2.Duration
    def __init__(self, attempt_token: _Optional[int] = ..., reason: _Optional[str] = ..., grace: _Optional[_Union[datetime.timedelta, _duration_pb2.Duration, _Mapping]] = ...) -> None: ...

class Drain(_message.Message):
    __slots__ = ("reconnect_by",)
    RECONNECT_BY_FIELD_NUMBER: _ClassVar[int]
    reconnect_by: _duration_pb2.Duration
    def __init__(self, reconnect_by: _Optional[_Union[datetime.timedelta, _duration_pb2.Duration, _Mapping]] = ...) -> None: ...

class Command(_message.Message):
    __slots__ = ("correlation_id", "traceparent", "task_started", "task_progress", "task_completed", "task_failed", "update_agent", "goodbye", "publish", "acquire", "release", "keep_alive", "update_state", "get_state", "submit_run", "get_run", "cancel_run", "get_task_result", "delete_state", "add_tasks", "retry_run")
    CORRELATION_ID_FIELD_NUMBER: _ClassVar[int]
    TRACEPARENT_FIELD_NUMBER: _ClassVar[int]
    TASK_STARTED_FIELD_NUMBER: _ClassVar[int]
    TASK_PROGRESS_FIELD_NUMBER: _ClassVar[int]
    TASK_COMPLETED_FIELD_NUMBER: _ClassVar[int]
    TASK_FAILED_FIELD_NUMBER: _ClassVar[int]
    UPDATE_AGENT_FIELD_NUMBER: _ClassVar[int]
    GOODBYE_FIELD_NUMBER: _ClassVar[int]
    PUBLISH_FIELD_NUMBER: _ClassVar[int]
    ACQUIRE_FIELD_NUMBER: _ClassVar[int]
    RELEASE_FIELD_NUMBER: _ClassVar[int]
    KEEP_ALIVE_FIELD_NUMBER: _ClassVar[int]
    UPDATE_STATE_FIELD_NUMBER: _ClassVar[int]
    GET_STATE_FIELD_NUMBER: _ClassVar[int]
    SUBMIT_RUN_FIELD_NUMBER: _ClassVar[int]
    GET_RUN_FIELD_NUMBER: _ClassVar[int]
    CANCEL_RUN_FIELD_NUMBER: _ClassVar[int]
    GET_TASK_RESULT_FIELD_NUMBER: _ClassVar[int]
    DELETE_STATE_FIELD_NUMBER: _ClassVar[int]
    ADD_TASKS_FIELD_NUMBER: _ClassVar[int]
    RETRY_RUN_FIELD_NUMBER: _ClassVar[int]
    correlation_id: int
    traceparent: str
    task_started: TaskStarted
    task_progress: TaskProgress
    task_completed: TaskCompleted
    task_failed: TaskFailed
    update_agent: UpdateAgent
    goodbye: Goodbye
    publish: _event_service_pb2.PublishRequest
    acquire: _lock_service_pb2.AcquireRequest
    release: _lock_service_pb2.ReleaseRequest
    keep_alive: _lock_service_pb2.KeepAliveRequest
    update_state: _state_service_pb2.UpdateStateRequest
    get_state: _state_service_pb2.GetStateRequest
    submit_run: _run_service_pb2.SubmitRunRequest
    get_run: _run_service_pb2.GetRunRequest
    cancel_run: _run_service_pb2.CancelRunRequest
    get_task_result: _run_service_pb2.GetTaskResultRequest
    delete_state: _state_service_pb2.DeleteStateRequest
    add_tasks: _run_service_pb2.AddTasksRequest
    retry_run: _run_service_pb2.RetryRunRequest
    def __init__(self, correlation_id: _Optional[int] = ..., traceparent: _Optional[str] = ..., task_started: _Optional[_Union[TaskStarted, _Mapping]] = ..., task_progress: _Optional[_Union[TaskProgress, _Mapping]] = ..., task_completed: _Optional[_Union[TaskCompleted, _Mapping]] = ..., task_failed: _Optional[_Union[TaskFailed, _Mapping]] = ..., update_agent: _Optional[_Union[UpdateAgent, _Mapping]] = ..., goodbye: _Optional[_Union[Goodbye, _Mapping]] = ..., publish: _Optional[_Union[_event_service_pb2.PublishRequest, _Mapping]] = ..., acquire: _Optional[_Union[_lock_service_pb2.AcquireRequest, _Mapping]] = ..., release: _Optional[_Union[_lock_service_pb2.ReleaseRequest, _Mapping]] = ..., keep_alive: _Optional[_Union[_lock_service_pb2.KeepAliveRequest, _Mapping]] = ..., update_state: _Optional[_Union[_state_service_pb2.UpdateStateRequest, _Mapping]] = ..., get_state: _Optional[_Union[_state_service_pb2.GetStateRequest, _Mapping]] = ..., submit_run: _Optional[_Union[_run_service_pb2.SubmitRunRequest, _Mapping]] = ..., get_run: _Optional[_Union[_run_service_pb2.GetRunRequest, _Mapping]] = ..., cancel_run: _Optional[_Union[_run_service_pb2.CancelRunRequest, _Mapping]] = ..., get_task_result: _Optional[_Union[_run_service_pb2.GetTaskResultRequest, _Mapping]] = ..., delete_state: _Optional[_Union[_state_service_pb2.DeleteStateRequest, _Mapping]] = ..., add_tasks: _Optional[_Union[_run_service_pb2.AddTasksRequest, _Mapping]] = ..., retry_run: _Optional[_Union[_run_service_pb2.RetryRunRequest, _Mapping]] = ...) -> None: ...

class Reply(_message.Message):
    __slots__ = ("correlation_id", "error", "reported", "publish", "acquire", "release", "keep_alive", "update_state", "get_state", "submit_run", "get_run", "cancel_run", "get_task_result", "delete_state", "add_tasks", "retry_run")
    CORRELATION_ID_FIELD_NUMBER: _ClassVar[int]
    ERROR_FIELD_NUMBER: _ClassVar[int]
    REPORTED_FIELD_NUMBER: _ClassVar[int]
    PUBLISH_FIELD_NUMBER: _ClassVar[int]
    ACQUIRE_FIELD_NUMBER: _ClassVar[int]
    RELEASE_FIELD_NUMBER: _ClassVar[int]
    KEEP_ALIVE_FIELD_NUMBER: _ClassVar[int]
    UPDATE_STATE_FIELD_NUMBER: _ClassVar[int]
    GET_STATE_FIELD_NUMBER: _ClassVar[int]
    SUBMIT_RUN_FIELD_NUMBER: _ClassVar[int]
    GET_RUN_FIELD_NUMBER: _ClassVar[int]
    CANCEL_RUN_FIELD_NUMBER: _ClassVar[int]
    GET_TASK_RESULT_FIELD_NUMBER: _ClassVar[int]
    DELETE_STATE_FIELD_NUMBER: _ClassVar[int]
    ADD_TASKS_FIELD_NUMBER: _ClassVar[int]
    RETRY_RUN_FIELD_NUMBER: _ClassVar[int]
    correlation_id: int
    error: _status_pb2.Status
    reported: Reported
    publish: _event_service_pb2.PublishResponse
    acquire: _lock_service_pb2.AcquireResponse
    release: _lock_service_pb2.ReleaseResponse
    keep_alive: _lock_service_pb2.KeepAliveResponse
    update_state: _state_service_pb2.UpdateStateResponse
    get_state: _state_service_pb2.GetStateResponse
    submit_run: _run_service_pb2.SubmitRunResponse
    get_run: _run_service_pb2.GetRunResponse
    cancel_run: _run_service_pb2.CancelRunResponse
    get_task_result: _run_service_pb2.GetTaskResultResponse
    delete_state: _state_service_pb2.DeleteStateResponse
    add_tasks: _run_service_pb2.AddTasksResponse
    retry_run: _run_service_pb2.RetryRunResponse
    def __init__(self, correlation_id: _Optional[int] = ..., error: _Optional[_Union[_status_pb2.Status, _Mapping]] = ..., reported: _Optional[_Union[Reported, _Mapping]] = ..., publish: _Optional[_Union[_event_service_pb2.PublishResponse, _Mapping]] = ..., acquire: _Optional[_Union[_lock_service_pb2.AcquireResponse, _Mapping]] = ..., release: _Optional[_Union[_lock_service_pb2.ReleaseResponse, _Mapping]] = ..., keep_alive: _Optional[_Union[_lock_service_pb2.KeepAliveResponse, _Mapping]] = ..., update_state: _Optional[_Union[_state_service_pb2.UpdateStateResponse, _Mapping]] = ..., get_state: _Optional[_Union[_state_service_pb2.GetStateResponse, _Mapping]] = ..., submit_run: _Optional[_Union[_run_service_pb2.SubmitRunResponse, _Mapping]] = ..., get_run: _Optional[_Union[_run_service_pb2.GetRunResponse, _Mapping]] = ..., cancel_run: _Optional[_Union[_run_service_pb2.CancelRunResponse, _Mapping]] = ..., get_task_result: _Optional[_Union[_run_service_pb2.GetTaskResultResponse, _Mapping]] = ..., delete_state: _Optional[_Union[_state_service_pb2.DeleteStateResponse, _Mapping]] = ..., add_tasks: _Optional[_Union[_run_service_pb2.AddTasksResponse, _Mapping]] = ..., retry_run: _Optional[_Union[_run_service_pb2.RetryRunResponse, _Mapping]] = ...) -> None: ...

class Reported(_message.Message):
    __slots__ = ("sequence", "replayed")
    SEQUENCE_FIELD_NUMBER: _ClassVar[int]
    REPLAYED_FIELD_NUMBER: _ClassVar[int]
    sequence: int
    replayed: bool
    def __init__(self, sequence: _Optional[int] = ..., replayed: bool = ...) -> None: ...

class TaskStarted(_message.Message):
    __slots__ = ("request_id", "attempt_token")
    REQUEST_ID_FIELD_NUMBER: _ClassVar[int]
    ATTEMPT_TOKEN_FIELD_NUMBER: _ClassVar[int]
    request_id: str
    attempt_token: int
    def __init__(self, request_id: _Optional[str] = ..., attempt_token: _Optional[int] = ...) -> None: ...

class TaskProgress(_message.Message):
    __slots__ = ("request_id", "attempt_token", "progress")
    REQUEST_ID_FIELD_NUMBER: _ClassVar[int]
    ATTEMPT_TOKEN_FIELD_NUMBER: _ClassVar[int]
    PROGRESS_FIELD_NUMBER: _ClassVar[int]
    request_id: str
    attempt_token: int
    progress: _task_pb2.Progress
    def __init__(self, request_id: _Optional[str] = ..., attempt_token: _Optional[int] = ..., progress: _Optional[_Union[_task_pb2.Progress, _Mapping]] = ...) -> None: ...

class TaskCompleted(_message.Message):
    __slots__ = ("request_id", "attempt_token", "result", "state_changes")
    REQUEST_ID_FIELD_NUMBER: _ClassVar[int]
    ATTEMPT_TOKEN_FIELD_NUMBER: _ClassVar[int]
    RESULT_FIELD_NUMBER: _ClassVar[int]
    STATE_CHANGES_FIELD_NUMBER: _ClassVar[int]
    request_id: str
    attempt_token: int
    result: _payload_pb2.Payload
    state_changes: _containers.RepeatedCompositeFieldContainer[_state_pb2.StateChange]
    def __init__(self, request_id: _Optional[str] = ..., attempt_token: _Optional[int] = ..., result: _Optional[_Union[_payload_pb2.Payload, _Mapping]] = ..., state_changes: _Optional[_Iterable[_Union[_state_pb2.StateChange, _Mapping]]] = ...) -> None: ...

class TaskFailed(_message.Message):
    __slots__ = ("request_id", "attempt_token", "error", "not_retryable", "cancelled", "context")
    REQUEST_ID_FIELD_NUMBER: _ClassVar[int]
    ATTEMPT_TOKEN_FIELD_NUMBER: _ClassVar[int]
    ERROR_FIELD_NUMBER: _ClassVar[int]
    NOT_RETRYABLE_FIELD_NUMBER: _ClassVar[int]
    CANCELLED_FIELD_NUMBER: _ClassVar[int]
    CONTEXT_FIELD_NUMBER: _ClassVar[int]
    request_id: str
    attempt_token: int
    error: _task_pb2.TaskError
    not_retryable: bool
    cancelled: bool
    context: _payload_pb2.Payload
    def __init__(self, request_id: _Optional[str] = ..., attempt_token: _Optional[int] = ..., error: _Optional[_Union[_task_pb2.TaskError, _Mapping]] = ..., not_retryable: bool = ..., cancelled: bool = ..., context: _Optional[_Union[_payload_pb2.Payload, _Mapping]] = ...) -> None: ...

class UpdateAgent(_message.Message):
    __slots__ = ("request_id", "agent")
    REQUEST_ID_FIELD_NUMBER: _ClassVar[int]
    AGENT_FIELD_NUMBER: _ClassVar[int]
    request_id: str
    agent: _agent_pb2.AgentSpec
    def __init__(self, request_id: _Optional[str] = ..., agent: _Optional[_Union[_agent_pb2.AgentSpec, _Mapping]] = ...) -> None: ...

class Goodbye(_message.Message):
    __slots__ = ("reason",)
    REASON_FIELD_NUMBER: _ClassVar[int]
    reason: str
    def __init__(self, reason: _Optional[str] = ...) -> None: ...
