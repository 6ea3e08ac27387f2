from concert.v1 import event_pb2 as _event_pb2
from concert.v1 import lock_pb2 as _lock_pb2
from concert.v1 import payload_pb2 as _payload_pb2
from concert.v1 import run_pb2 as _run_pb2
from concert.v1 import task_pb2 as _task_pb2
from google.protobuf.internal import containers as _containers
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from collections.abc import Iterable as _Iterable, Mapping as _Mapping
from typing import ClassVar as _ClassVar, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class PlanRunRequest(_message.Message):
    __slots__ = ("namespace", "run")
    NAMESPACE_FIELD_NUMBER: _ClassVar[int]
    RUN_FIELD_NUMBER: _ClassVar[int]
    namespace: str
    run: _run_pb2.RunSpec
    def __init__(self, namespace: _Optional[str] = ..., run: _Optional[_Union[_run_pb2.RunSpec, _Mapping]] = ...) -> None: ...

class PlanRunResponse(_message.Message):
    __slots__ = ("plan", "sequence")
    PLAN_FIELD_NUMBER: _ClassVar[int]
    SEQUENCE_FIELD_NUMBER: _ClassVar[int]
    plan: _run_pb2.RunPlan
    sequence: int
    def __init__(self, plan: _Optional[_Union[_run_pb2.RunPlan, _Mapping]] = ..., sequence: _Optional[int] = ...) -> None: ...

class SubmitRunRequest(_message.Message):
    __slots__ = ("namespace", "request_id", "attempt_token", "run", "fences")
    NAMESPACE_FIELD_NUMBER: _ClassVar[int]
    REQUEST_ID_FIELD_NUMBER: _ClassVar[int]
    ATTEMPT_TOKEN_FIELD_NUMBER: _ClassVar[int]
    RUN_FIELD_NUMBER: _ClassVar[int]
    FENCES_FIELD_NUMBER: _ClassVar[int]
    namespace: str
    request_id: str
    attempt_token: int
    run: _run_pb2.RunSpec
    fences: _containers.RepeatedCompositeFieldContainer[_lock_pb2.Fence]
    def __init__(self, namespace: _Optional[str] = ..., request_id: _Optional[str] = ..., attempt_token: _Optional[int] = ..., run: _Optional[_Union[_run_pb2.RunSpec, _Mapping]] = ..., fences: _Optional[_Iterable[_Union[_lock_pb2.Fence, _Mapping]]] = ...) -> None: ...

class SubmitRunResponse(_message.Message):
    __slots__ = ("run_id", "sequence", "replayed")
    RUN_ID_FIELD_NUMBER: _ClassVar[int]
    SEQUENCE_FIELD_NUMBER: _ClassVar[int]
    REPLAYED_FIELD_NUMBER: _ClassVar[int]
    run_id: str
    sequence: int
    replayed: bool
    def __init__(self, run_id: _Optional[str] = ..., sequence: _Optional[int] = ..., replayed: bool = ...) -> None: ...

class GetRunRequest(_message.Message):
    __slots__ = ("namespace", "run_id", "page_size", "page_token")
    NAMESPACE_FIELD_NUMBER: _ClassVar[int]
    RUN_ID_FIELD_NUMBER: _ClassVar[int]
    PAGE_SIZE_FIELD_NUMBER: _ClassVar[int]
    PAGE_TOKEN_FIELD_NUMBER: _ClassVar[int]
    namespace: str
    run_id: str
    page_size: int
    page_token: str
    def __init__(self, namespace: _Optional[str] = ..., run_id: _Optional[str] = ..., page_size: _Optional[int] = ..., page_token: _Optional[str] = ...) -> None: ...

class GetRunResponse(_message.Message):
    __slots__ = ("run", "sequence", "next_page_token")
    RUN_FIELD_NUMBER: _ClassVar[int]
    SEQUENCE_FIELD_NUMBER: _ClassVar[int]
    NEXT_PAGE_TOKEN_FIELD_NUMBER: _ClassVar[int]
    run: _run_pb2.Run
    sequence: int
    next_page_token: str
    def __init__(self, run: _Optional[_Union[_run_pb2.Run, _Mapping]] = ..., sequence: _Optional[int] = ..., next_page_token: _Optional[str] = ...) -> None: ...

class ListRunsRequest(_message.Message):
    __slots__ = ("namespace", "status", "page_size", "page_token")
    NAMESPACE_FIELD_NUMBER: _ClassVar[int]
    STATUS_FIELD_NUMBER: _ClassVar[int]
    PAGE_SIZE_FIELD_NUMBER: _ClassVar[int]
    PAGE_TOKEN_FIELD_NUMBER: _ClassVar[int]
    namespace: str
    status: _run_pb2.RunStatus
    page_size: int
    page_token: str
    def __init__(self, namespace: _Optional[str] = ..., status: _Optional[_Union[_run_pb2.RunStatus, str]] = ..., page_size: _Optional[int] = ..., page_token: _Optional[str] = ...) -> None: ...

class ListRunsResponse(_message.Message):
    __slots__ = ("runs", "next_page_token", "sequence")
    RUNS_FIELD_NUMBER: _ClassVar[int]
    NEXT_PAGE_TOKEN_FIELD_NUMBER: _ClassVar[int]
    SEQUENCE_FIELD_NUMBER: _ClassVar[int]
    runs: _containers.RepeatedCompositeFieldContainer[_run_pb2.Run]
    next_page_token: str
    sequence: int
    def __init__(self, runs: _Optional[_Iterable[_Union[_run_pb2.Run, _Mapping]]] = ..., next_page_token: _Optional[str] = ..., sequence: _Optional[int] = ...) -> None: ...

class WatchRunRequest(_message.Message):
    __slots__ = ("namespace", "run_id")
    NAMESPACE_FIELD_NUMBER: _ClassVar[int]
    RUN_ID_FIELD_NUMBER: _ClassVar[int]
    namespace: str
    run_id: str
    def __init__(self, namespace: _Optional[str] = ..., run_id: _Optional[str] = ...) -> None: ...

class WatchRunResponse(_message.Message):
    __slots__ = ("run", "events", "sequence", "run_continues")
    RUN_FIELD_NUMBER: _ClassVar[int]
    EVENTS_FIELD_NUMBER: _ClassVar[int]
    SEQUENCE_FIELD_NUMBER: _ClassVar[int]
    RUN_CONTINUES_FIELD_NUMBER: _ClassVar[int]
    run: _run_pb2.Run
    events: _containers.RepeatedCompositeFieldContainer[_event_pb2.Event]
    sequence: int
    run_continues: bool
    def __init__(self, run: _Optional[_Union[_run_pb2.Run, _Mapping]] = ..., events: _Optional[_Iterable[_Union[_event_pb2.Event, _Mapping]]] = ..., sequence: _Optional[int] = ..., run_continues: bool = ...) -> None: ...

class CancelRunRequest(_message.Message):
    __slots__ = ("namespace", "request_id", "run_id", "fences")
    NAMESPACE_FIELD_NUMBER: _ClassVar[int]
    REQUEST_ID_FIELD_NUMBER: _ClassVar[int]
    RUN_ID_FIELD_NUMBER: _ClassVar[int]
    FENCES_FIELD_NUMBER: _ClassVar[int]
    namespace: str
    request_id: str
    run_id: str
    fences: _containers.RepeatedCompositeFieldContainer[_lock_pb2.Fence]
    def __init__(self, namespace: _Optional[str] = ..., request_id: _Optional[str] = ..., run_id: _Optional[str] = ..., fences: _Optional[_Iterable[_Union[_lock_pb2.Fence, _Mapping]]] = ...) -> None: ...

class CancelRunResponse(_message.Message):
    __slots__ = ("sequence", "replayed")
    SEQUENCE_FIELD_NUMBER: _ClassVar[int]
    REPLAYED_FIELD_NUMBER: _ClassVar[int]
    sequence: int
    replayed: bool
    def __init__(self, sequence: _Optional[int] = ..., replayed: bool = ...) -> None: ...

class AddTasksRequest(_message.Message):
    __slots__ = ("namespace", "request_id", "attempt_token", "run_id", "tasks", "last", "fences")
    NAMESPACE_FIELD_NUMBER: _ClassVar[int]
    REQUEST_ID_FIELD_NUMBER: _ClassVar[int]
    ATTEMPT_TOKEN_FIELD_NUMBER: _ClassVar[int]
    RUN_ID_FIELD_NUMBER: _ClassVar[int]
    TASKS_FIELD_NUMBER: _ClassVar[int]
    LAST_FIELD_NUMBER: _ClassVar[int]
    FENCES_FIELD_NUMBER: _ClassVar[int]
    namespace: str
    request_id: str
    attempt_token: int
    run_id: str
    tasks: _containers.RepeatedCompositeFieldContainer[_task_pb2.TaskSpec]
    last: bool
    fences: _containers.RepeatedCompositeFieldContainer[_lock_pb2.Fence]
    def __init__(self, namespace: _Optional[str] = ..., request_id: _Optional[str] = ..., attempt_token: _Optional[int] = ..., run_id: _Optional[str] = ..., tasks: _Optional[_Iterable[_Union[_task_pb2.TaskSpec, _Mapping]]] = ..., last: bool = ..., fences: _Optional[_Iterable[_Union[_lock_pb2.Fence, _Mapping]]] = ...) -> None: ...

class AddTasksResponse(_message.Message):
    __slots__ = ("sequence", "replayed")
    SEQUENCE_FIELD_NUMBER: _ClassVar[int]
    REPLAYED_FIELD_NUMBER: _ClassVar[int]
    sequence: int
    replayed: bool
    def __init__(self, sequence: _Optional[int] = ..., replayed: bool = ...) -> None: ...

class RetryRunRequest(_message.Message):
    __slots__ = ("namespace", "request_id", "attempt_token", "run_id", "fences")
    NAMESPACE_FIELD_NUMBER: _ClassVar[int]
    REQUEST_ID_FIELD_NUMBER: _ClassVar[int]
    ATTEMPT_TOKEN_FIELD_NUMBER: _ClassVar[int]
    RUN_ID_FIELD_NUMBER: _ClassVar[int]
    FENCES_FIELD_NUMBER: _ClassVar[int]
    namespace: str
    request_id: str
    attempt_token: int
    run_id: str
    fences: _containers.RepeatedCompositeFieldContainer[_lock_pb2.Fence]
    def __init__(self, namespace: _Optional[str] = ..., request_id: _Optional[str] = ..., attempt_token: _Optional[int] = ..., run_id: _Optional[str] = ..., fences: _Optional[_Iterable[_Union[_lock_pb2.Fence, _Mapping]]] = ...) -> None: ...

class RetryRunResponse(_message.Message):
    __slots__ = ("generation", "sequence", "replayed")
    GENERATION_FIELD_NUMBER: _ClassVar[int]
    SEQUENCE_FIELD_NUMBER: _ClassVar[int]
    REPLAYED_FIELD_NUMBER: _ClassVar[int]
    generation: int
    sequence: int
    replayed: bool
    def __init__(self, generation: _Optional[int] = ..., sequence: _Optional[int] = ..., replayed: bool = ...) -> None: ...

class GetTaskResultRequest(_message.Message):
    __slots__ = ("namespace", "run_id", "task_id")
    NAMESPACE_FIELD_NUMBER: _ClassVar[int]
    RUN_ID_FIELD_NUMBER: _ClassVar[int]
    TASK_ID_FIELD_NUMBER: _ClassVar[int]
    namespace: str
    run_id: str
    task_id: str
    def __init__(self, namespace: _Optional[str] = ..., run_id: _Optional[str] = ..., task_id: _Optional[str] = ...) -> None: ...

class GetTaskResultResponse(_message.Message):
    __slots__ = ("result", "agent_name", "sequence")
    RESULT_FIELD_NUMBER: _ClassVar[int]
    AGENT_NAME_FIELD_NUMBER: _ClassVar[int]
    SEQUENCE_FIELD_NUMBER: _ClassVar[int]
    result: _payload_pb2.Payload
    agent_name: str
    sequence: int
    def __init__(self, result: _Optional[_Union[_payload_pb2.Payload, _Mapping]] = ..., agent_name: _Optional[str] = ..., sequence: _Optional[int] = ...) -> None: ...
