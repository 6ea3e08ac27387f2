import datetime

from concert.v1 import payload_pb2 as _payload_pb2
from concert.v1 import task_pb2 as _task_pb2
from google.protobuf import duration_pb2 as _duration_pb2
from google.protobuf import timestamp_pb2 as _timestamp_pb2
from google.protobuf.internal import containers as _containers
from google.protobuf.internal import enum_type_wrapper as _enum_type_wrapper
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from collections.abc import Iterable as _Iterable, Mapping as _Mapping
from typing import ClassVar as _ClassVar, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class RunStatus(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    RUN_STATUS_UNSPECIFIED: _ClassVar[RunStatus]
    RUN_STATUS_PENDING: _ClassVar[RunStatus]
    RUN_STATUS_RUNNING: _ClassVar[RunStatus]
    RUN_STATUS_SUCCEEDED: _ClassVar[RunStatus]
    RUN_STATUS_PARTIAL_FAILURE: _ClassVar[RunStatus]
    RUN_STATUS_FAILED: _ClassVar[RunStatus]
    RUN_STATUS_CANCELLED: _ClassVar[RunStatus]
    RUN_STATUS_TIMED_OUT: _ClassVar[RunStatus]
RUN_STATUS_UNSPECIFIED: RunStatus
RUN_STATUS_PENDING: RunStatus
RUN_STATUS_RUNNING: RunStatus
RUN_STATUS_SUCCEEDED: RunStatus
RUN_STATUS_PARTIAL_FAILURE: RunStatus
RUN_STATUS_FAILED: RunStatus
RUN_STATUS_CANCELLED: RunStatus
RUN_STATUS_TIMED_OUT: RunStatus

class RunSpec(_message.Message):
    __slots__ = ("run_id", "name", "tasks", "agents", "context", "timeout", "running_max", "fail_fast", "policy", "priority", "metadata", "open")
    class MetadataEntry(_message.Message):
        __slots__ = ("key", "value")
        KEY_FIELD_NUMBER: _ClassVar[int]
        VALUE_FIELD_NUMBER: _ClassVar[int]
        key: str
        value: str
        def __init__(self, key: _Optional[str] = ..., value: _Optional[str] = ...) -> None: ...
    RUN_ID_FIELD_NUMBER: _ClassVar[int]
    NAME_FIELD_NUMBER: _ClassVar[int]
    TASKS_FIELD_NUMBER: _ClassVar[int]
    AGENTS_FIELD_NUMBER: _ClassVar[int]
    CONTEXT_FIELD_NUMBER: _ClassVar[int]
    TIMEOUT_FIELD_NUMBER: _ClassVar[int]
    RUNNING_MAX_FIELD_NUMBER: _ClassVar[int]
    FAIL_FAST_FIELD_NUMBER: _ClassVar[int]
    POLICY_FIELD_NUMBER: _ClassVar[int]
    PRIORITY_FIELD_NUMBER: _ClassVar[int]
    METADATA_FIELD_NUMBER: _ClassVar[int]
    OPEN_FIELD_NUMBER: _ClassVar[int]
    run_id: str
    name: str
    tasks: _containers.RepeatedCompositeFieldContainer[_task_pb2.TaskSpec]
    agents: _containers.RepeatedScalarFieldContainer[str]
    context: _payload_pb2.Payload
    timeout: _duration_pb2.Duration
    running_max: int
    fail_fast: bool
    policy: str
    priority: int
    metadata: _containers.ScalarMap[str, str]
    open: bool
    def __init__(self, run_id: _Optional[str] = ..., name: _Optional[str] = ..., tasks: _Optional[_Iterable[_Union[_task_pb2.TaskSpec, _Mapping]]] = ..., agents: _Optional[_Iterable[str]] = ..., context: _Optional[_Union[_payload_pb2.Payload, _Mapping]] = ..., timeout: _Optional[_Union[datetime.timedelta, _duration_pb2.Duration, _Mapping]] = ..., running_max: _Optional[int] = ..., fail_fast: bool = ..., policy: _Optional[str] = ..., priority: _Optional[int] = ..., metadata: _Optional[_Mapping[str, str]] = ..., open: bool = ...) -> None: ...

class TaskCounts(_message.Message):
    __slots__ = ("pending", "ready", "running", "succeeded", "failed", "skipped", "cancelled")
    PENDING_FIELD_NUMBER: _ClassVar[int]
    READY_FIELD_NUMBER: _ClassVar[int]
    RUNNING_FIELD_NUMBER: _ClassVar[int]
    SUCCEEDED_FIELD_NUMBER: _ClassVar[int]
    FAILED_FIELD_NUMBER: _ClassVar[int]
    SKIPPED_FIELD_NUMBER: _ClassVar[int]
    CANCELLED_FIELD_NUMBER: _ClassVar[int]
    pending: int
    ready: int
    running: int
    succeeded: int
    failed: int
    skipped: int
    cancelled: int
    def __init__(self, pending: _Optional[int] = ..., ready: _Optional[int] = ..., running: _Optional[int] = ..., succeeded: _Optional[int] = ..., failed: _Optional[int] = ..., skipped: _Optional[int] = ..., cancelled: _Optional[int] = ...) -> None: ...

class Run(_message.Message):
    __slots__ = ("run_id", "name", "status", "sequence", "counts", "submitted_at", "started_at", "finished_at", "deadline", "cancelling", "tasks", "metadata", "traceparent", "generation", "open")
    class MetadataEntry(_message.Message):
        __slots__ = ("key", "value")
        KEY_FIELD_NUMBER: _ClassVar[int]
        VALUE_FIELD_NUMBER: _ClassVar[int]
        key: str
        value: str
        def __init__(self, key: _Optional[str] = ..., value: _Optional[str] = ...) -> None: ...
    RUN_ID_FIELD_NUMBER: _ClassVar[int]
    NAME_FIELD_NUMBER: _ClassVar[int]
    STATUS_FIELD_NUMBER: _ClassVar[int]
    SEQUENCE_FIELD_NUMBER: _ClassVar[int]
    COUNTS_FIELD_NUMBER: _ClassVar[int]
    SUBMITTED_AT_FIELD_NUMBER: _ClassVar[int]
    STARTED_AT_FIELD_NUMBER: _ClassVar[int]
    FINISHED_AT_FIELD_NUMBER: _ClassVar[int]
    DEADLINE_FIELD_NUMBER: _ClassVar[int]
    CANCELLING_FIELD_NUMBER: _ClassVar[int]
    TASKS_FIELD_NUMBER: _ClassVar[int]
    METADATA_FIELD_NUMBER: _ClassVar[int]
    TRACEPARENT_FIELD_NUMBER: _ClassVar[int]
    GENERATION_FIELD_NUMBER: _ClassVar[int]
    OPEN_FIELD_NUMBER: _ClassVar[int]
    run_id: str
    name: str
    status: RunStatus
    sequence: int
    counts: TaskCounts
    submitted_at: _timestamp_pb2.Timestamp
    started_at: _timestamp_pb2.Timestamp
    finished_at: _timestamp_pb2.Timestamp
    deadline: _timestamp_pb2.Timestamp
    cancelling: bool
    tasks: _containers.RepeatedCompositeFieldContainer[_task_pb2.Task]
    metadata: _containers.ScalarMap[str, str]
    traceparent: str
    generation: int
    open: bool
    def __init__(self, run_id: _Optional[str] = ..., name: _Optional[str] = ..., status: _Optional[_Union[RunStatus, str]] = ..., sequence: _Optional[int] = ..., counts: _Optional[_Union[TaskCounts, _Mapping]] = ..., submitted_at: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., started_at: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., finished_at: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., deadline: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., cancelling: bool = ..., tasks: _Optional[_Iterable[_Union[_task_pb2.Task, _Mapping]]] = ..., metadata: _Optional[_Mapping[str, str]] = ..., traceparent: _Optional[str] = ..., generation: _Optional[int] = ..., open: bool = ...) -> None: ...

class RunPlan(_message.Message):
    __slots__ = ("groups", "critical_path", "unserved")
    GROUPS_FIELD_NUMBER: _ClassVar[int]
    CRITICAL_PATH_FIELD_NUMBER: _ClassVar[int]
    UNSERVED_FIELD_NUMBER: _ClassVar[int]
    groups: _containers.RepeatedCompositeFieldContainer[ExecutionGroup]
    critical_path: _containers.RepeatedScalarFieldContainer[str]
    unserved: _containers.RepeatedCompositeFieldContainer[_task_pb2.TaskTarget]
    def __init__(self, groups: _Optional[_Iterable[_Union[ExecutionGroup, _Mapping]]] = ..., critical_path: _Optional[_Iterable[str]] = ..., unserved: _Optional[_Iterable[_Union[_task_pb2.TaskTarget, _Mapping]]] = ...) -> None: ...

class ExecutionGroup(_message.Message):
    __slots__ = ("task_ids",)
    TASK_IDS_FIELD_NUMBER: _ClassVar[int]
    task_ids: _containers.RepeatedScalarFieldContainer[str]
    def __init__(self, task_ids: _Optional[_Iterable[str]] = ...) -> None: ...

class RunSubmitted(_message.Message):
    __slots__ = ("spec", "tasks", "deadline")
    SPEC_FIELD_NUMBER: _ClassVar[int]
    TASKS_FIELD_NUMBER: _ClassVar[int]
    DEADLINE_FIELD_NUMBER: _ClassVar[int]
    spec: RunSpec
    tasks: int
    deadline: _timestamp_pb2.Timestamp
    def __init__(self, spec: _Optional[_Union[RunSpec, _Mapping]] = ..., tasks: _Optional[int] = ..., deadline: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ...) -> None: ...

class RunExtended(_message.Message):
    __slots__ = ("tasks", "last")
    TASKS_FIELD_NUMBER: _ClassVar[int]
    LAST_FIELD_NUMBER: _ClassVar[int]
    tasks: int
    last: bool
    def __init__(self, tasks: _Optional[int] = ..., last: bool = ...) -> None: ...

class RunRetried(_message.Message):
    __slots__ = ("generation", "tasks", "deadline")
    GENERATION_FIELD_NUMBER: _ClassVar[int]
    TASKS_FIELD_NUMBER: _ClassVar[int]
    DEADLINE_FIELD_NUMBER: _ClassVar[int]
    generation: int
    tasks: int
    deadline: _timestamp_pb2.Timestamp
    def __init__(self, generation: _Optional[int] = ..., tasks: _Optional[int] = ..., deadline: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ...) -> None: ...

class RunRestated(_message.Message):
    __slots__ = ("spec", "tasks", "generation", "status", "principal", "submitted_at", "open")
    SPEC_FIELD_NUMBER: _ClassVar[int]
    TASKS_FIELD_NUMBER: _ClassVar[int]
    GENERATION_FIELD_NUMBER: _ClassVar[int]
    STATUS_FIELD_NUMBER: _ClassVar[int]
    PRINCIPAL_FIELD_NUMBER: _ClassVar[int]
    SUBMITTED_AT_FIELD_NUMBER: _ClassVar[int]
    OPEN_FIELD_NUMBER: _ClassVar[int]
    spec: RunSpec
    tasks: int
    generation: int
    status: RunStatus
    principal: str
    submitted_at: _timestamp_pb2.Timestamp
    open: bool
    def __init__(self, spec: _Optional[_Union[RunSpec, _Mapping]] = ..., tasks: _Optional[int] = ..., generation: _Optional[int] = ..., status: _Optional[_Union[RunStatus, str]] = ..., principal: _Optional[str] = ..., submitted_at: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., open: bool = ...) -> None: ...

class RunCompleted(_message.Message):
    __slots__ = ("status", "counts", "execution_time_seconds")
    STATUS_FIELD_NUMBER: _ClassVar[int]
    COUNTS_FIELD_NUMBER: _ClassVar[int]
    EXECUTION_TIME_SECONDS_FIELD_NUMBER: _ClassVar[int]
    status: RunStatus
    counts: TaskCounts
    execution_time_seconds: float
    def __init__(self, status: _Optional[_Union[RunStatus, str]] = ..., counts: _Optional[_Union[TaskCounts, _Mapping]] = ..., execution_time_seconds: _Optional[float] = ...) -> None: ...

class RunCancelled(_message.Message):
    __slots__ = ("status",)
    STATUS_FIELD_NUMBER: _ClassVar[int]
    status: RunStatus
    def __init__(self, status: _Optional[_Union[RunStatus, str]] = ...) -> None: ...
