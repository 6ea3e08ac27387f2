import datetime

from concert.v1 import event_pb2 as _event_pb2
from concert.v1 import run_pb2 as _run_pb2
from google.protobuf import duration_pb2 as _duration_pb2
from google.protobuf import timestamp_pb2 as _timestamp_pb2
from google.protobuf.internal import containers as _containers
from google.protobuf.internal import enum_type_wrapper as _enum_type_wrapper
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from collections.abc import Iterable as _Iterable, Mapping as _Mapping
from typing import ClassVar as _ClassVar, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class HealthStatus(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    HEALTH_STATUS_UNSPECIFIED: _ClassVar[HealthStatus]
    HEALTH_STATUS_IDLE: _ClassVar[HealthStatus]
    HEALTH_STATUS_HEALTHY: _ClassVar[HealthStatus]
    HEALTH_STATUS_WARNING: _ClassVar[HealthStatus]
    HEALTH_STATUS_CRITICAL: _ClassVar[HealthStatus]
HEALTH_STATUS_UNSPECIFIED: HealthStatus
HEALTH_STATUS_IDLE: HealthStatus
HEALTH_STATUS_HEALTHY: HealthStatus
HEALTH_STATUS_WARNING: HealthStatus
HEALTH_STATUS_CRITICAL: HealthStatus

class HealthWindow(_message.Message):
    __slots__ = ("seconds", "events", "failures", "failure_rate", "sequence")
    SECONDS_FIELD_NUMBER: _ClassVar[int]
    EVENTS_FIELD_NUMBER: _ClassVar[int]
    FAILURES_FIELD_NUMBER: _ClassVar[int]
    FAILURE_RATE_FIELD_NUMBER: _ClassVar[int]
    SEQUENCE_FIELD_NUMBER: _ClassVar[int]
    seconds: int
    events: int
    failures: int
    failure_rate: float
    sequence: int
    def __init__(self, seconds: _Optional[int] = ..., events: _Optional[int] = ..., failures: _Optional[int] = ..., failure_rate: _Optional[float] = ..., sequence: _Optional[int] = ...) -> None: ...

class Times(_message.Message):
    __slots__ = ("count", "sum", "mean", "p50", "p90", "p99", "max", "buckets")
    COUNT_FIELD_NUMBER: _ClassVar[int]
    SUM_FIELD_NUMBER: _ClassVar[int]
    MEAN_FIELD_NUMBER: _ClassVar[int]
    P50_FIELD_NUMBER: _ClassVar[int]
    P90_FIELD_NUMBER: _ClassVar[int]
    P99_FIELD_NUMBER: _ClassVar[int]
    MAX_FIELD_NUMBER: _ClassVar[int]
    BUCKETS_FIELD_NUMBER: _ClassVar[int]
    count: int
    sum: _duration_pb2.Duration
    mean: _duration_pb2.Duration
    p50: _duration_pb2.Duration
    p90: _duration_pb2.Duration
    p99: _duration_pb2.Duration
    max: _duration_pb2.Duration
    buckets: _containers.RepeatedCompositeFieldContainer[TimesBucket]
    def __init__(self, count: _Optional[int] = ..., sum: _Optional[_Union[datetime.timedelta, _duration_pb2.Duration, _Mapping]] = ..., mean: _Optional[_Union[datetime.timedelta, _duration_pb2.Duration, _Mapping]] = ..., p50: _Optional[_Union[datetime.timedelta, _duration_pb2.Duration, _Mapping]] = ..., p90: _Optional[_Union[datetime.timedelta, _duration_pb2.Duration, _Mapping]] = ..., p99: _Optional[_Union[datetime.timedelta, _duration_pb2.Duration, _Mapping]] = ..., max: _Optional[_Union[datetime.timedelta, _duration_pb2.Duration, _Mapping]] = ..., buckets: _Optional[_Iterable[_Union[TimesBucket, _Mapping]]] = ...) -> None: ...

class TimesBucket(_message.Message):
    __slots__ = ("upper_bound", "count")
    UPPER_BOUND_FIELD_NUMBER: _ClassVar[int]
    COUNT_FIELD_NUMBER: _ClassVar[int]
    upper_bound: _duration_pb2.Duration
    count: int
    def __init__(self, upper_bound: _Optional[_Union[datetime.timedelta, _duration_pb2.Duration, _Mapping]] = ..., count: _Optional[int] = ...) -> None: ...

class EventMetrics(_message.Message):
    __slots__ = ("type", "count", "last_seen", "mean_interval")
    TYPE_FIELD_NUMBER: _ClassVar[int]
    COUNT_FIELD_NUMBER: _ClassVar[int]
    LAST_SEEN_FIELD_NUMBER: _ClassVar[int]
    MEAN_INTERVAL_FIELD_NUMBER: _ClassVar[int]
    type: _event_pb2.EventType
    count: int
    last_seen: _timestamp_pb2.Timestamp
    mean_interval: _duration_pb2.Duration
    def __init__(self, type: _Optional[_Union[_event_pb2.EventType, str]] = ..., count: _Optional[int] = ..., last_seen: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., mean_interval: _Optional[_Union[datetime.timedelta, _duration_pb2.Duration, _Mapping]] = ...) -> None: ...

class AgentMetrics(_message.Message):
    __slots__ = ("agent_name", "last_seen", "events", "executions", "successes", "failures", "lost", "cancelled", "failure_rate", "execution", "waiting", "agents_connected", "agents_detached", "agents_draining", "slots", "attempts_running")
    AGENT_NAME_FIELD_NUMBER: _ClassVar[int]
    LAST_SEEN_FIELD_NUMBER: _ClassVar[int]
    EVENTS_FIELD_NUMBER: _ClassVar[int]
    EXECUTIONS_FIELD_NUMBER: _ClassVar[int]
    SUCCESSES_FIELD_NUMBER: _ClassVar[int]
    FAILURES_FIELD_NUMBER: _ClassVar[int]
    LOST_FIELD_NUMBER: _ClassVar[int]
    CANCELLED_FIELD_NUMBER: _ClassVar[int]
    FAILURE_RATE_FIELD_NUMBER: _ClassVar[int]
    EXECUTION_FIELD_NUMBER: _ClassVar[int]
    WAITING_FIELD_NUMBER: _ClassVar[int]
    AGENTS_CONNECTED_FIELD_NUMBER: _ClassVar[int]
    AGENTS_DETACHED_FIELD_NUMBER: _ClassVar[int]
    AGENTS_DRAINING_FIELD_NUMBER: _ClassVar[int]
    SLOTS_FIELD_NUMBER: _ClassVar[int]
    ATTEMPTS_RUNNING_FIELD_NUMBER: _ClassVar[int]
    agent_name: str
    last_seen: _timestamp_pb2.Timestamp
    events: _containers.RepeatedCompositeFieldContainer[EventMetrics]
    executions: int
    successes: int
    failures: int
    lost: int
    cancelled: int
    failure_rate: float
    execution: Times
    waiting: Times
    agents_connected: int
    agents_detached: int
    agents_draining: int
    slots: int
    attempts_running: int
    def __init__(self, agent_name: _Optional[str] = ..., last_seen: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., events: _Optional[_Iterable[_Union[EventMetrics, _Mapping]]] = ..., executions: _Optional[int] = ..., successes: _Optional[int] = ..., failures: _Optional[int] = ..., lost: _Optional[int] = ..., cancelled: _Optional[int] = ..., failure_rate: _Optional[float] = ..., execution: _Optional[_Union[Times, _Mapping]] = ..., waiting: _Optional[_Union[Times, _Mapping]] = ..., agents_connected: _Optional[int] = ..., agents_detached: _Optional[int] = ..., agents_draining: _Optional[int] = ..., slots: _Optional[int] = ..., attempts_running: _Optional[int] = ...) -> None: ...

class ResourceMetrics(_message.Message):
    __slots__ = ("resource", "last_seen", "acquisitions", "waits", "timed_out", "waited", "held", "holders", "queue_length", "tasks_waiting")
    RESOURCE_FIELD_NUMBER: _ClassVar[int]
    LAST_SEEN_FIELD_NUMBER: _ClassVar[int]
    ACQUISITIONS_FIELD_NUMBER: _ClassVar[int]
    WAITS_FIELD_NUMBER: _ClassVar[int]
    TIMED_OUT_FIELD_NUMBER: _ClassVar[int]
    WAITED_FIELD_NUMBER: _ClassVar[int]
    HELD_FIELD_NUMBER: _ClassVar[int]
    HOLDERS_FIELD_NUMBER: _ClassVar[int]
    QUEUE_LENGTH_FIELD_NUMBER: _ClassVar[int]
    TASKS_WAITING_FIELD_NUMBER: _ClassVar[int]
    resource: str
    last_seen: _timestamp_pb2.Timestamp
    acquisitions: int
    waits: int
    timed_out: int
    waited: Times
    held: Times
    holders: _containers.RepeatedScalarFieldContainer[str]
    queue_length: int
    tasks_waiting: int
    def __init__(self, resource: _Optional[str] = ..., last_seen: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., acquisitions: _Optional[int] = ..., waits: _Optional[int] = ..., timed_out: _Optional[int] = ..., waited: _Optional[_Union[Times, _Mapping]] = ..., held: _Optional[_Union[Times, _Mapping]] = ..., holders: _Optional[_Iterable[str]] = ..., queue_length: _Optional[int] = ..., tasks_waiting: _Optional[int] = ...) -> None: ...

class RunMetrics(_message.Message):
    __slots__ = ("run_id", "name", "status", "tasks", "tasks_over", "progress", "makespan", "critical_path", "critical_path_time", "makespan_ratio")
    RUN_ID_FIELD_NUMBER: _ClassVar[int]
    NAME_FIELD_NUMBER: _ClassVar[int]
    STATUS_FIELD_NUMBER: _ClassVar[int]
    TASKS_FIELD_NUMBER: _ClassVar[int]
    TASKS_OVER_FIELD_NUMBER: _ClassVar[int]
    PROGRESS_FIELD_NUMBER: _ClassVar[int]
    MAKESPAN_FIELD_NUMBER: _ClassVar[int]
    CRITICAL_PATH_FIELD_NUMBER: _ClassVar[int]
    CRITICAL_PATH_TIME_FIELD_NUMBER: _ClassVar[int]
    MAKESPAN_RATIO_FIELD_NUMBER: _ClassVar[int]
    run_id: str
    name: str
    status: _run_pb2.RunStatus
    tasks: int
    tasks_over: int
    progress: float
    makespan: _duration_pb2.Duration
    critical_path: _containers.RepeatedScalarFieldContainer[str]
    critical_path_time: _duration_pb2.Duration
    makespan_ratio: float
    def __init__(self, run_id: _Optional[str] = ..., name: _Optional[str] = ..., status: _Optional[_Union[_run_pb2.RunStatus, str]] = ..., tasks: _Optional[int] = ..., tasks_over: _Optional[int] = ..., progress: _Optional[float] = ..., makespan: _Optional[_Union[datetime.timedelta, _duration_pb2.Duration, _Mapping]] = ..., critical_path: _Optional[_Iterable[str]] = ..., critical_path_time: _Optional[_Union[datetime.timedelta, _duration_pb2.Duration, _Mapping]] = ..., makespan_ratio: _Optional[float] = ...) -> None: ...

class RunStatusCount(_message.Message):
    __slots__ = ("status", "count")
    STATUS_FIELD_NUMBER: _ClassVar[int]
    COUNT_FIELD_NUMBER: _ClassVar[int]
    status: _run_pb2.RunStatus
    count: int
    def __init__(self, status: _Optional[_Union[_run_pb2.RunStatus, str]] = ..., count: _Optional[int] = ...) -> None: ...

class OrchestrationMetrics(_message.Message):
    __slots__ = ("runs_active", "runs_total", "runs_over", "makespan", "tasks_pending", "tasks_ready", "tasks_backing_off", "tasks_running", "tasks_over", "sessions", "locks_held", "lock_requests_waiting")
    RUNS_ACTIVE_FIELD_NUMBER: _ClassVar[int]
    RUNS_TOTAL_FIELD_NUMBER: _ClassVar[int]
    RUNS_OVER_FIELD_NUMBER: _ClassVar[int]
    MAKESPAN_FIELD_NUMBER: _ClassVar[int]
    TASKS_PENDING_FIELD_NUMBER: _ClassVar[int]
    TASKS_READY_FIELD_NUMBER: _ClassVar[int]
    TASKS_BACKING_OFF_FIELD_NUMBER: _ClassVar[int]
    TASKS_RUNNING_FIELD_NUMBER: _ClassVar[int]
    TASKS_OVER_FIELD_NUMBER: _ClassVar[int]
    SESSIONS_FIELD_NUMBER: _ClassVar[int]
    LOCKS_HELD_FIELD_NUMBER: _ClassVar[int]
    LOCK_REQUESTS_WAITING_FIELD_NUMBER: _ClassVar[int]
    runs_active: int
    runs_total: int
    runs_over: _containers.RepeatedCompositeFieldContainer[RunStatusCount]
    makespan: Times
    tasks_pending: int
    tasks_ready: int
    tasks_backing_off: int
    tasks_running: int
    tasks_over: int
    sessions: int
    locks_held: int
    lock_requests_waiting: int
    def __init__(self, runs_active: _Optional[int] = ..., runs_total: _Optional[int] = ..., runs_over: _Optional[_Iterable[_Union[RunStatusCount, _Mapping]]] = ..., makespan: _Optional[_Union[Times, _Mapping]] = ..., tasks_pending: _Optional[int] = ..., tasks_ready: _Optional[int] = ..., tasks_backing_off: _Optional[int] = ..., tasks_running: _Optional[int] = ..., tasks_over: _Optional[int] = ..., sessions: _Optional[int] = ..., locks_held: _Optional[int] = ..., lock_requests_waiting: _Optional[int] = ...) -> None: ...

class Metrics(_message.Message):
    __slots__ = ("sequence", "time", "orchestrations", "events", "agents", "agents_gone", "resources", "resources_gone", "runs")
    SEQUENCE_FIELD_NUMBER: _ClassVar[int]
    TIME_FIELD_NUMBER: _ClassVar[int]
    ORCHESTRATIONS_FIELD_NUMBER: _ClassVar[int]
    EVENTS_FIELD_NUMBER: _ClassVar[int]
    AGENTS_FIELD_NUMBER: _ClassVar[int]
    AGENTS_GONE_FIELD_NUMBER: _ClassVar[int]
    RESOURCES_FIELD_NUMBER: _ClassVar[int]
    RESOURCES_GONE_FIELD_NUMBER: _ClassVar[int]
    RUNS_FIELD_NUMBER: _ClassVar[int]
    sequence: int
    time: _timestamp_pb2.Timestamp
    orchestrations: OrchestrationMetrics
    events: _containers.RepeatedCompositeFieldContainer[EventMetrics]
    agents: _containers.RepeatedCompositeFieldContainer[AgentMetrics]
    agents_gone: AgentMetrics
    resources: _containers.RepeatedCompositeFieldContainer[ResourceMetrics]
    resources_gone: ResourceMetrics
    runs: _containers.RepeatedCompositeFieldContainer[RunMetrics]
    def __init__(self, sequence: _Optional[int] = ..., time: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., orchestrations: _Optional[_Union[OrchestrationMetrics, _Mapping]] = ..., events: _Optional[_Iterable[_Union[EventMetrics, _Mapping]]] = ..., agents: _Optional[_Iterable[_Union[AgentMetrics, _Mapping]]] = ..., agents_gone: _Optional[_Union[AgentMetrics, _Mapping]] = ..., resources: _Optional[_Iterable[_Union[ResourceMetrics, _Mapping]]] = ..., resources_gone: _Optional[_Union[ResourceMetrics, _Mapping]] = ..., runs: _Optional[_Iterable[_Union[RunMetrics, _Mapping]]] = ...) -> None: ...
