import datetime

from google.protobuf import duration_pb2 as _duration_pb2
from google.protobuf.internal import containers as _containers
from google.protobuf.internal import enum_type_wrapper as _enum_type_wrapper
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from collections.abc import Iterable as _Iterable, Mapping as _Mapping
from typing import ClassVar as _ClassVar, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class ConflictStrategy(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    CONFLICT_STRATEGY_UNSPECIFIED: _ClassVar[ConflictStrategy]
    CONFLICT_STRATEGY_TIMESTAMP_BASED: _ClassVar[ConflictStrategy]
    CONFLICT_STRATEGY_PRIORITY_BASED: _ClassVar[ConflictStrategy]
    CONFLICT_STRATEGY_LAST_WRITER_WINS: _ClassVar[ConflictStrategy]
CONFLICT_STRATEGY_UNSPECIFIED: ConflictStrategy
CONFLICT_STRATEGY_TIMESTAMP_BASED: ConflictStrategy
CONFLICT_STRATEGY_PRIORITY_BASED: ConflictStrategy
CONFLICT_STRATEGY_LAST_WRITER_WINS: ConflictStrategy

class RetryPolicy(_message.Message):
    __slots__ = ("attempts_max", "backoff_initial", "backoff_max", "backoff_multiplier", "lost_attempts_max")
    ATTEMPTS_MAX_FIELD_NUMBER: _ClassVar[int]
    BACKOFF_INITIAL_FIELD_NUMBER: _ClassVar[int]
    BACKOFF_MAX_FIELD_NUMBER: _ClassVar[int]
    BACKOFF_MULTIPLIER_FIELD_NUMBER: _ClassVar[int]
    LOST_ATTEMPTS_MAX_FIELD_NUMBER: _ClassVar[int]
    attempts_max: int
    backoff_initial: _duration_pb2.Duration
    backoff_max: _duration_pb2.Duration
    backoff_multiplier: float
    lost_attempts_max: int
    def __init__(self, attempts_max: _Optional[int] = ..., backoff_initial: _Optional[_Union[datetime.timedelta, _duration_pb2.Duration, _Mapping]] = ..., backoff_max: _Optional[_Union[datetime.timedelta, _duration_pb2.Duration, _Mapping]] = ..., backoff_multiplier: _Optional[float] = ..., lost_attempts_max: _Optional[int] = ...) -> None: ...

class CircuitPolicy(_message.Message):
    __slots__ = ("failures_max", "failure_rate_max", "attempts_min", "window", "cool_down")
    FAILURES_MAX_FIELD_NUMBER: _ClassVar[int]
    FAILURE_RATE_MAX_FIELD_NUMBER: _ClassVar[int]
    ATTEMPTS_MIN_FIELD_NUMBER: _ClassVar[int]
    WINDOW_FIELD_NUMBER: _ClassVar[int]
    COOL_DOWN_FIELD_NUMBER: _ClassVar[int]
    failures_max: int
    failure_rate_max: float
    attempts_min: int
    window: _duration_pb2.Duration
    cool_down: _duration_pb2.Duration
    def __init__(self, failures_max: _Optional[int] = ..., failure_rate_max: _Optional[float] = ..., attempts_min: _Optional[int] = ..., window: _Optional[_Union[datetime.timedelta, _duration_pb2.Duration, _Mapping]] = ..., cool_down: _Optional[_Union[datetime.timedelta, _duration_pb2.Duration, _Mapping]] = ...) -> None: ...

class Policy(_message.Message):
    __slots__ = ("name", "max_execution_time", "resource_timeout", "conflict_strategy", "retry", "cancel_grace", "conflict_window", "priority", "running_max", "circuit")
    NAME_FIELD_NUMBER: _ClassVar[int]
    MAX_EXECUTION_TIME_FIELD_NUMBER: _ClassVar[int]
    RESOURCE_TIMEOUT_FIELD_NUMBER: _ClassVar[int]
    CONFLICT_STRATEGY_FIELD_NUMBER: _ClassVar[int]
    RETRY_FIELD_NUMBER: _ClassVar[int]
    CANCEL_GRACE_FIELD_NUMBER: _ClassVar[int]
    CONFLICT_WINDOW_FIELD_NUMBER: _ClassVar[int]
    PRIORITY_FIELD_NUMBER: _ClassVar[int]
    RUNNING_MAX_FIELD_NUMBER: _ClassVar[int]
    CIRCUIT_FIELD_NUMBER: _ClassVar[int]
    name: str
    max_execution_time: _duration_pb2.Duration
    resource_timeout: _duration_pb2.Duration
    conflict_strategy: ConflictStrategy
    retry: RetryPolicy
    cancel_grace: _duration_pb2.Duration
    conflict_window: _duration_pb2.Duration
    priority: int
    running_max: int
    circuit: CircuitPolicy
    def __init__(self, name: _Optional[str] = ..., max_execution_time: _Optional[_Union[datetime.timedelta, _duration_pb2.Duration, _Mapping]] = ..., resource_timeout: _Optional[_Union[datetime.timedelta, _duration_pb2.Duration, _Mapping]] = ..., conflict_strategy: _Optional[_Union[ConflictStrategy, str]] = ..., retry: _Optional[_Union[RetryPolicy, _Mapping]] = ..., cancel_grace: _Optional[_Union[datetime.timedelta, _duration_pb2.Duration, _Mapping]] = ..., conflict_window: _Optional[_Union[datetime.timedelta, _duration_pb2.Duration, _Mapping]] = ..., priority: _Optional[int] = ..., running_max: _Optional[int] = ..., circuit: _Optional[_Union[CircuitPolicy, _Mapping]] = ...) -> None: ...

class AgentCapabilities(_message.Message):
    __slots__ = ("agent_name", "capabilities", "enforce")
    AGENT_NAME_FIELD_NUMBER: _ClassVar[int]
    CAPABILITIES_FIELD_NUMBER: _ClassVar[int]
    ENFORCE_FIELD_NUMBER: _ClassVar[int]
    agent_name: str
    capabilities: _containers.RepeatedScalarFieldContainer[str]
    enforce: bool
    def __init__(self, agent_name: _Optional[str] = ..., capabilities: _Optional[_Iterable[str]] = ..., enforce: bool = ...) -> None: ...

class PolicyChanged(_message.Message):
    __slots__ = ("policies", "digest", "agent_capabilities")
    POLICIES_FIELD_NUMBER: _ClassVar[int]
    DIGEST_FIELD_NUMBER: _ClassVar[int]
    AGENT_CAPABILITIES_FIELD_NUMBER: _ClassVar[int]
    policies: _containers.RepeatedCompositeFieldContainer[Policy]
    digest: str
    agent_capabilities: _containers.RepeatedCompositeFieldContainer[AgentCapabilities]
    def __init__(self, policies: _Optional[_Iterable[_Union[Policy, _Mapping]]] = ..., digest: _Optional[str] = ..., agent_capabilities: _Optional[_Iterable[_Union[AgentCapabilities, _Mapping]]] = ...) -> None: ...
