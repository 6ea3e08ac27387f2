import datetime

from concert.v1 import agent_pb2 as _agent_pb2
from concert.v1 import lock_pb2 as _lock_pb2
from concert.v1 import payload_pb2 as _payload_pb2
from concert.v1 import policy_pb2 as _policy_pb2
from google.protobuf import duration_pb2 as _duration_pb2
from google.protobuf import timestamp_pb2 as _timestamp_pb2
from google.protobuf.internal import containers as _containers
from google.protobuf.internal import enum_type_wrapper as _enum_type_wrapper
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from collections.abc import Iterable as _Iterable, Mapping as _Mapping
from typing import ClassVar as _ClassVar, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class TaskStatus(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    TASK_STATUS_UNSPECIFIED: _ClassVar[TaskStatus]
    TASK_STATUS_PENDING: _ClassVar[TaskStatus]
    TASK_STATUS_READY: _ClassVar[TaskStatus]
    TASK_STATUS_RUNNING: _ClassVar[TaskStatus]
    TASK_STATUS_CANCELLING: _ClassVar[TaskStatus]
    TASK_STATUS_BACKING_OFF: _ClassVar[TaskStatus]
    TASK_STATUS_SUCCEEDED: _ClassVar[TaskStatus]
    TASK_STATUS_FAILED: _ClassVar[TaskStatus]
    TASK_STATUS_SKIPPED: _ClassVar[TaskStatus]
    TASK_STATUS_CANCELLED: _ClassVar[TaskStatus]
TASK_STATUS_UNSPECIFIED: TaskStatus
TASK_STATUS_PENDING: TaskStatus
TASK_STATUS_READY: TaskStatus
TASK_STATUS_RUNNING: TaskStatus
TASK_STATUS_CANCELLING: TaskStatus
TASK_STATUS_BACKING_OFF: TaskStatus
TASK_STATUS_SUCCEEDED: TaskStatus
TASK_STATUS_FAILED: TaskStatus
TASK_STATUS_SKIPPED: TaskStatus
TASK_STATUS_CANCELLED: TaskStatus

class TaskTarget(_message.Message):
    __slots__ = ("capability", "agent_name", "agent_id")
    CAPABILITY_FIELD_NUMBER: _ClassVar[int]
    AGENT_NAME_FIELD_NUMBER: _ClassVar[int]
    AGENT_ID_FIELD_NUMBER: _ClassVar[int]
    capability: str
    agent_name: str
    agent_id: str
    def __init__(self, capability: _Optional[str] = ..., agent_name: _Optional[str] = ..., agent_id: _Optional[str] = ...) -> None: ...

class TaskLock(_message.Message):
    __slots__ = ("resource", "mode", "guards")
    RESOURCE_FIELD_NUMBER: _ClassVar[int]
    MODE_FIELD_NUMBER: _ClassVar[int]
    GUARDS_FIELD_NUMBER: _ClassVar[int]
    resource: str
    mode: _lock_pb2.LockMode
    guards: str
    def __init__(self, resource: _Optional[str] = ..., mode: _Optional[_Union[_lock_pb2.LockMode, str]] = ..., guards: _Optional[str] = ...) -> None: ...

class TaskSpec(_message.Message):
    __slots__ = ("task_id", "target", "depends_on", "after", "input", "capabilities", "locks", "policy", "priority", "max_execution_time", "retry", "metadata")
    class MetadataEntry(_message.Message):
        __slots__ = ("key", "value")
        KEY_FIELD_NUMBER: _ClassVar[int]
        VALUE_FIELD_NUMBER: _ClassVar[int]
        key: str
        value: str
        def __init__(self, key: _Optional[str] = ..., value: _Optional[str] = ...) -> None: ...
    TASK_ID_FIELD_NUMBER: _ClassVar[int]
    TARGET_FIELD_NUMBER: _ClassVar[int]
    DEPENDS_ON_FIELD_NUMBER: _ClassVar[int]
    AFTER_FIELD_NUMBER: _ClassVar[int]
    INPUT_FIELD_NUMBER: _ClassVar[int]
    CAPABILITIES_FIELD_NUMBER: _ClassVar[int]
    LOCKS_FIELD_NUMBER: _ClassVar[int]
    POLICY_FIELD_NUMBER: _ClassVar[int]
    PRIORITY_FIELD_NUMBER: _ClassVar[int]
    MAX_EXECUTION_TIME_FIELD_NUMBER: _ClassVar[int]
    RETRY_FIELD_NUMBER: _ClassVar[int]
    METADATA_FIELD_NUMBER: _ClassVar[int]
    task_id: str
    target: TaskTarget
    depends_on: _containers.RepeatedCompositeFieldContainer[_agent_pb2.Dependency]
    after: _containers.RepeatedCompositeFieldContainer[_agent_pb2.Dependency]
    input: _payload_pb2.Payload
    capabilities: _containers.RepeatedScalarFieldContainer[str]
    locks: _containers.RepeatedCompositeFieldContainer[TaskLock]
    policy: str
    priority: int
    max_execution_time: _duration_pb2.Duration
    retry: _policy_pb2.RetryPolicy
    metadata: _containers.ScalarMap[str, str]
    def __init__(self, task_id: _Optional[str] = ..., target: _Optional[_Union[TaskTarget, _Mapping]] = ..., depends_on: _Optional[_Iterable[_Union[_agent_pb2.Dependency, _Mapping]]] = ..., after: _Optional[_Iterable[_Union[_agent_pb2.Dependency, _Mapping]]] = ..., input: _Optional[_Union[_payload_pb2.Payload, _Mapping]] = ..., capabilities: _Optional[_Iterable[str]] = ..., locks: _Optional[_Iterable[_Union[TaskLock, _Mapping]]] = ..., policy: _Optional[str] = ..., priority: _Optional[int] = ..., max_execution_time: _Optional[_Union[datetime.timedelta, _duration_pb2.Duration, _Mapping]] = ..., retry: _Optional[_Union[_policy_pb2.RetryPolicy, _Mapping]] = ..., metadata: _Optional[_Mapping[str, str]] = ...) -> None: ...

class Task(_message.Message):
    __slots__ = ("task_id", "target", "status", "depends_on", "after", "group", "attempts", "attempt_token", "agent_id", "agent_name", "ready_at", "assigned_at", "finished_at", "progress", "error", "has_result", "priority", "metadata")
    class MetadataEntry(_message.Message):
        __slots__ = ("key", "value")
        KEY_FIELD_NUMBER: _ClassVar[int]
        VALUE_FIELD_NUMBER: _ClassVar[int]
        key: str
        value: str
        def __init__(self, key: _Optional[str] = ..., value: _Optional[str] = ...) -> None: ...
    TASK_ID_FIELD_NUMBER: _ClassVar[int]
    TARGET_FIELD_NUMBER: _ClassVar[int]
    STATUS_FIELD_NUMBER: _ClassVar[int]
    DEPENDS_ON_FIELD_NUMBER: _ClassVar[int]
    AFTER_FIELD_NUMBER: _ClassVar[int]
    GROUP_FIELD_NUMBER: _ClassVar[int]
    ATTEMPTS_FIELD_NUMBER: _ClassVar[int]
    ATTEMPT_TOKEN_FIELD_NUMBER: _ClassVar[int]
    AGENT_ID_FIELD_NUMBER: _ClassVar[int]
    AGENT_NAME_FIELD_NUMBER: _ClassVar[int]
    READY_AT_FIELD_NUMBER: _ClassVar[int]
    ASSIGNED_AT_FIELD_NUMBER: _ClassVar[int]
    FINISHED_AT_FIELD_NUMBER: _ClassVar[int]
    PROGRESS_FIELD_NUMBER: _ClassVar[int]
    ERROR_FIELD_NUMBER: _ClassVar[int]
    HAS_RESULT_FIELD_NUMBER: _ClassVar[int]
    PRIORITY_FIELD_NUMBER: _ClassVar[int]
    METADATA_FIELD_NUMBER: _ClassVar[int]
    task_id: str
    target: TaskTarget
    status: TaskStatus
    depends_on: _containers.RepeatedScalarFieldContainer[str]
    after: _containers.RepeatedScalarFieldContainer[str]
    group: int
    attempts: int
    attempt_token: int
    agent_id: str
    agent_name: str
    ready_at: _timestamp_pb2.Timestamp
    assigned_at: _timestamp_pb2.Timestamp
    finished_at: _timestamp_pb2.Timestamp
    progress: Progress
    error: TaskError
    has_result: bool
    priority: int
    metadata: _containers.ScalarMap[str, str]
    def __init__(self, task_id: _Optional[str] = ..., target: _Optional[_Union[TaskTarget, _Mapping]] = ..., status: _Optional[_Union[TaskStatus, str]] = ..., depends_on: _Optional[_Iterable[str]] = ..., after: _Optional[_Iterable[str]] = ..., group: _Optional[int] = ..., attempts: _Optional[int] = ..., attempt_token: _Optional[int] = ..., agent_id: _Optional[str] = ..., agent_name: _Optional[str] = ..., ready_at: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., assigned_at: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., finished_at: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., progress: _Optional[_Union[Progress, _Mapping]] = ..., error: _Optional[_Union[TaskError, _Mapping]] = ..., has_result: bool = ..., priority: _Optional[int] = ..., metadata: _Optional[_Mapping[str, str]] = ...) -> None: ...

class Progress(_message.Message):
    __slots__ = ("fraction", "message")
    FRACTION_FIELD_NUMBER: _ClassVar[int]
    MESSAGE_FIELD_NUMBER: _ClassVar[int]
    fraction: float
    message: str
    def __init__(self, fraction: _Optional[float] = ..., message: _Optional[str] = ...) -> None: ...

class TaskError(_message.Message):
    __slots__ = ("error_type", "message", "traceback", "cause_task_id")
    ERROR_TYPE_FIELD_NUMBER: _ClassVar[int]
    MESSAGE_FIELD_NUMBER: _ClassVar[int]
    TRACEBACK_FIELD_NUMBER: _ClassVar[int]
    CAUSE_TASK_ID_FIELD_NUMBER: _ClassVar[int]
    error_type: str
    message: str
    traceback: str
    cause_task_id: str
    def __init__(self, error_type: _Optional[str] = ..., message: _Optional[str] = ..., traceback: _Optional[str] = ..., cause_task_id: _Optional[str] = ...) -> None: ...

class TaskResult(_message.Message):
    __slots__ = ("task_id", "agent_name", "result", "by_reference")
    TASK_ID_FIELD_NUMBER: _ClassVar[int]
    AGENT_NAME_FIELD_NUMBER: _ClassVar[int]
    RESULT_FIELD_NUMBER: _ClassVar[int]
    BY_REFERENCE_FIELD_NUMBER: _ClassVar[int]
    task_id: str
    agent_name: str
    result: _payload_pb2.Payload
    by_reference: bool
    def __init__(self, task_id: _Optional[str] = ..., agent_name: _Optional[str] = ..., result: _Optional[_Union[_payload_pb2.Payload, _Mapping]] = ..., by_reference: bool = ...) -> None: ...

class AgentTask(_message.Message):
    __slots__ = ("namespace", "run_id", "task_id", "attempt", "attempt_token", "capability", "input", "context", "results", "locks", "deadline", "time_left", "policy", "traceparent", "metadata", "agent_name")
    class MetadataEntry(_message.Message):
        __slots__ = ("key", "value")
        KEY_FIELD_NUMBER: _ClassVar[int]
        VALUE_FIELD_NUMBER: _ClassVar[int]
        key: str
        value: str
        def __init__(self, key: _Optional[str] = ..., value: _Optional[str] = ...) -> None: ...
    NAMESPACE_FIELD_NUMBER: _ClassVar[int]
    RUN_ID_FIELD_NUMBER: _ClassVar[int]
    TASK_ID_FIELD_NUMBER: _ClassVar[int]
    ATTEMPT_FIELD_NUMBER: _ClassVar[int]
    ATTEMPT_TOKEN_FIELD_NUMBER: _ClassVar[int]
    CAPABILITY_FIELD_NUMBER: _ClassVar[int]
    INPUT_FIELD_NUMBER: _ClassVar[int]
    CONTEXT_FIELD_NUMBER: _ClassVar[int]
    RESULTS_FIELD_NUMBER: _ClassVar[int]
    LOCKS_FIELD_NUMBER: _ClassVar[int]
    DEADLINE_FIELD_NUMBER: _ClassVar[int]
    TIME_LEFT_FIELD_NUMBER: _ClassVar[int]
    POLICY_FIELD_NUMBER: _ClassVar[int]
    TRACEPARENT_FIELD_NUMBER: _ClassVar[int]
    METADATA_FIELD_NUMBER: _ClassVar[int]
    AGENT_NAME_FIELD_NUMBER: _ClassVar[int]
    namespace: str
    run_id: str
    task_id: str
    attempt: int
    attempt_token: int
    capability: str
    input: _payload_pb2.Payload
    context: _payload_pb2.Payload
    results: _containers.RepeatedCompositeFieldContainer[TaskResult]
    locks: _containers.RepeatedCompositeFieldContainer[_lock_pb2.LockGrant]
    deadline: _timestamp_pb2.Timestamp
    time_left: _duration_pb2.Duration
    policy: str
    traceparent: str
    metadata: _containers.ScalarMap[str, str]
    agent_name: str
    def __init__(self, namespace: _Optional[str] = ..., run_id: _Optional[str] = ..., task_id: _Optional[str] = ..., attempt: _Optional[int] = ..., attempt_token: _Optional[int] = ..., capability: _Optional[str] = ..., input: _Optional[_Union[_payload_pb2.Payload, _Mapping]] = ..., context: _Optional[_Union[_payload_pb2.Payload, _Mapping]] = ..., results: _Optional[_Iterable[_Union[TaskResult, _Mapping]]] = ..., locks: _Optional[_Iterable[_Union[_lock_pb2.LockGrant, _Mapping]]] = ..., deadline: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., time_left: _Optional[_Union[datetime.timedelta, _duration_pb2.Duration, _Mapping]] = ..., policy: _Optional[str] = ..., traceparent: _Optional[str] = ..., metadata: _Optional[_Mapping[str, str]] = ..., agent_name: _Optional[str] = ...) -> None: ...

class TaskAdded(_message.Message):
    __slots__ = ("spec", "depends_on", "after", "group")
    SPEC_FIELD_NUMBER: _ClassVar[int]
    DEPENDS_ON_FIELD_NUMBER: _ClassVar[int]
    AFTER_FIELD_NUMBER: _ClassVar[int]
    GROUP_FIELD_NUMBER: _ClassVar[int]
    spec: TaskSpec
    depends_on: _containers.RepeatedScalarFieldContainer[str]
    after: _containers.RepeatedScalarFieldContainer[str]
    group: int
    def __init__(self, spec: _Optional[_Union[TaskSpec, _Mapping]] = ..., depends_on: _Optional[_Iterable[str]] = ..., after: _Optional[_Iterable[str]] = ..., group: _Optional[int] = ...) -> None: ...

class TaskRestated(_message.Message):
    __slots__ = ("spec", "depends_on", "after", "group", "status", "attempts", "attempt_token", "agent_id", "agent_name", "ready_at", "assigned_at", "finished_at", "result", "result_sequence")
    SPEC_FIELD_NUMBER: _ClassVar[int]
    DEPENDS_ON_FIELD_NUMBER: _ClassVar[int]
    AFTER_FIELD_NUMBER: _ClassVar[int]
    GROUP_FIELD_NUMBER: _ClassVar[int]
    STATUS_FIELD_NUMBER: _ClassVar[int]
    ATTEMPTS_FIELD_NUMBER: _ClassVar[int]
    ATTEMPT_TOKEN_FIELD_NUMBER: _ClassVar[int]
    AGENT_ID_FIELD_NUMBER: _ClassVar[int]
    AGENT_NAME_FIELD_NUMBER: _ClassVar[int]
    READY_AT_FIELD_NUMBER: _ClassVar[int]
    ASSIGNED_AT_FIELD_NUMBER: _ClassVar[int]
    FINISHED_AT_FIELD_NUMBER: _ClassVar[int]
    RESULT_FIELD_NUMBER: _ClassVar[int]
    RESULT_SEQUENCE_FIELD_NUMBER: _ClassVar[int]
    spec: TaskSpec
    depends_on: _containers.RepeatedScalarFieldContainer[str]
    after: _containers.RepeatedScalarFieldContainer[str]
    group: int
    status: TaskStatus
    attempts: int
    attempt_token: int
    agent_id: str
    agent_name: str
    ready_at: _timestamp_pb2.Timestamp
    assigned_at: _timestamp_pb2.Timestamp
    finished_at: _timestamp_pb2.Timestamp
    result: _payload_pb2.Payload
    result_sequence: int
    def __init__(self, spec: _Optional[_Union[TaskSpec, _Mapping]] = ..., depends_on: _Optional[_Iterable[str]] = ..., after: _Optional[_Iterable[str]] = ..., group: _Optional[int] = ..., status: _Optional[_Union[TaskStatus, str]] = ..., attempts: _Optional[int] = ..., attempt_token: _Optional[int] = ..., agent_id: _Optional[str] = ..., agent_name: _Optional[str] = ..., ready_at: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., assigned_at: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., finished_at: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., result: _Optional[_Union[_payload_pb2.Payload, _Mapping]] = ..., result_sequence: _Optional[int] = ...) -> None: ...

class TaskAssigned(_message.Message):
    __slots__ = ("attempt", "session_id", "deadline", "policy", "wait_time_seconds")
    ATTEMPT_FIELD_NUMBER: _ClassVar[int]
    SESSION_ID_FIELD_NUMBER: _ClassVar[int]
    DEADLINE_FIELD_NUMBER: _ClassVar[int]
    POLICY_FIELD_NUMBER: _ClassVar[int]
    WAIT_TIME_SECONDS_FIELD_NUMBER: _ClassVar[int]
    attempt: int
    session_id: int
    deadline: _timestamp_pb2.Timestamp
    policy: str
    wait_time_seconds: float
    def __init__(self, attempt: _Optional[int] = ..., session_id: _Optional[int] = ..., deadline: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., policy: _Optional[str] = ..., wait_time_seconds: _Optional[float] = ...) -> None: ...

class AgentStarted(_message.Message):
    __slots__ = ("attempt_token", "capabilities", "dependencies", "context")
    ATTEMPT_TOKEN_FIELD_NUMBER: _ClassVar[int]
    CAPABILITIES_FIELD_NUMBER: _ClassVar[int]
    DEPENDENCIES_FIELD_NUMBER: _ClassVar[int]
    CONTEXT_FIELD_NUMBER: _ClassVar[int]
    attempt_token: int
    capabilities: _containers.RepeatedScalarFieldContainer[str]
    dependencies: _containers.RepeatedScalarFieldContainer[str]
    context: _payload_pb2.Payload
    def __init__(self, attempt_token: _Optional[int] = ..., capabilities: _Optional[_Iterable[str]] = ..., dependencies: _Optional[_Iterable[str]] = ..., context: _Optional[_Union[_payload_pb2.Payload, _Mapping]] = ...) -> None: ...

class AgentCompleted(_message.Message):
    __slots__ = ("attempt_token", "result", "execution_time_seconds", "state_changes")
    ATTEMPT_TOKEN_FIELD_NUMBER: _ClassVar[int]
    RESULT_FIELD_NUMBER: _ClassVar[int]
    EXECUTION_TIME_SECONDS_FIELD_NUMBER: _ClassVar[int]
    STATE_CHANGES_FIELD_NUMBER: _ClassVar[int]
    attempt_token: int
    result: _payload_pb2.Payload
    execution_time_seconds: float
    state_changes: int
    def __init__(self, attempt_token: _Optional[int] = ..., result: _Optional[_Union[_payload_pb2.Payload, _Mapping]] = ..., execution_time_seconds: _Optional[float] = ..., state_changes: _Optional[int] = ...) -> None: ...

class AgentFailed(_message.Message):
    __slots__ = ("attempt_token", "error", "retryable", "lost", "execution_time_seconds", "context", "final")
    ATTEMPT_TOKEN_FIELD_NUMBER: _ClassVar[int]
    ERROR_FIELD_NUMBER: _ClassVar[int]
    RETRYABLE_FIELD_NUMBER: _ClassVar[int]
    LOST_FIELD_NUMBER: _ClassVar[int]
    EXECUTION_TIME_SECONDS_FIELD_NUMBER: _ClassVar[int]
    CONTEXT_FIELD_NUMBER: _ClassVar[int]
    FINAL_FIELD_NUMBER: _ClassVar[int]
    attempt_token: int
    error: TaskError
    retryable: bool
    lost: bool
    execution_time_seconds: float
    context: _payload_pb2.Payload
    final: bool
    def __init__(self, attempt_token: _Optional[int] = ..., error: _Optional[_Union[TaskError, _Mapping]] = ..., retryable: bool = ..., lost: bool = ..., execution_time_seconds: _Optional[float] = ..., context: _Optional[_Union[_payload_pb2.Payload, _Mapping]] = ..., final: bool = ...) -> None: ...

class TaskProgressed(_message.Message):
    __slots__ = ("attempt_token", "progress")
    ATTEMPT_TOKEN_FIELD_NUMBER: _ClassVar[int]
    PROGRESS_FIELD_NUMBER: _ClassVar[int]
    attempt_token: int
    progress: Progress
    def __init__(self, attempt_token: _Optional[int] = ..., progress: _Optional[_Union[Progress, _Mapping]] = ...) -> None: ...

class TaskCancelRequested(_message.Message):
    __slots__ = ("attempt_token", "fenced_at")
    ATTEMPT_TOKEN_FIELD_NUMBER: _ClassVar[int]
    FENCED_AT_FIELD_NUMBER: _ClassVar[int]
    attempt_token: int
    fenced_at: _timestamp_pb2.Timestamp
    def __init__(self, attempt_token: _Optional[int] = ..., fenced_at: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ...) -> None: ...

class TaskRetryScheduled(_message.Message):
    __slots__ = ("ready_at", "attempt")
    READY_AT_FIELD_NUMBER: _ClassVar[int]
    ATTEMPT_FIELD_NUMBER: _ClassVar[int]
    ready_at: _timestamp_pb2.Timestamp
    attempt: int
    def __init__(self, ready_at: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., attempt: _Optional[int] = ...) -> None: ...

class TaskSkipped(_message.Message):
    __slots__ = ("cause_task_id",)
    CAUSE_TASK_ID_FIELD_NUMBER: _ClassVar[int]
    cause_task_id: str
    def __init__(self, cause_task_id: _Optional[str] = ...) -> None: ...

class TaskCancelled(_message.Message):
    __slots__ = ("attempt_token", "execution_time_seconds", "wait_time_seconds")
    ATTEMPT_TOKEN_FIELD_NUMBER: _ClassVar[int]
    EXECUTION_TIME_SECONDS_FIELD_NUMBER: _ClassVar[int]
    WAIT_TIME_SECONDS_FIELD_NUMBER: _ClassVar[int]
    attempt_token: int
    execution_time_seconds: float
    wait_time_seconds: float
    def __init__(self, attempt_token: _Optional[int] = ..., execution_time_seconds: _Optional[float] = ..., wait_time_seconds: _Optional[float] = ...) -> None: ...
