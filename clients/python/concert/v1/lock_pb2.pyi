import datetime

from google.protobuf import duration_pb2 as _duration_pb2
from google.protobuf import timestamp_pb2 as _timestamp_pb2
from google.protobuf.internal import containers as _containers
from google.protobuf.internal import enum_type_wrapper as _enum_type_wrapper
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from collections.abc import Iterable as _Iterable, Mapping as _Mapping
from typing import ClassVar as _ClassVar, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class LockMode(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    LOCK_MODE_UNSPECIFIED: _ClassVar[LockMode]
    LOCK_MODE_EXCLUSIVE: _ClassVar[LockMode]
    LOCK_MODE_SHARED: _ClassVar[LockMode]
LOCK_MODE_UNSPECIFIED: LockMode
LOCK_MODE_EXCLUSIVE: LockMode
LOCK_MODE_SHARED: LockMode

class LockRequest(_message.Message):
    __slots__ = ("resource", "mode", "holder", "lease", "wait_timeout", "priority", "guards", "metadata")
    class MetadataEntry(_message.Message):
        __slots__ = ("key", "value")
        KEY_FIELD_NUMBER: _ClassVar[int]
        VALUE_FIELD_NUMBER: _ClassVar[int]
        key: str
        value: str
        def __init__(self, key: _Optional[str] = ..., value: _Optional[str] = ...) -> None: ...
    RESOURCE_FIELD_NUMBER: _ClassVar[int]
    MODE_FIELD_NUMBER: _ClassVar[int]
    HOLDER_FIELD_NUMBER: _ClassVar[int]
    LEASE_FIELD_NUMBER: _ClassVar[int]
    WAIT_TIMEOUT_FIELD_NUMBER: _ClassVar[int]
    PRIORITY_FIELD_NUMBER: _ClassVar[int]
    GUARDS_FIELD_NUMBER: _ClassVar[int]
    METADATA_FIELD_NUMBER: _ClassVar[int]
    resource: str
    mode: LockMode
    holder: str
    lease: _duration_pb2.Duration
    wait_timeout: _duration_pb2.Duration
    priority: int
    guards: str
    metadata: _containers.ScalarMap[str, str]
    def __init__(self, resource: _Optional[str] = ..., mode: _Optional[_Union[LockMode, str]] = ..., holder: _Optional[str] = ..., lease: _Optional[_Union[datetime.timedelta, _duration_pb2.Duration, _Mapping]] = ..., wait_timeout: _Optional[_Union[datetime.timedelta, _duration_pb2.Duration, _Mapping]] = ..., priority: _Optional[int] = ..., guards: _Optional[str] = ..., metadata: _Optional[_Mapping[str, str]] = ...) -> None: ...

class LockGrant(_message.Message):
    __slots__ = ("resource", "mode", "holder", "fencing_token", "lease")
    RESOURCE_FIELD_NUMBER: _ClassVar[int]
    MODE_FIELD_NUMBER: _ClassVar[int]
    HOLDER_FIELD_NUMBER: _ClassVar[int]
    FENCING_TOKEN_FIELD_NUMBER: _ClassVar[int]
    LEASE_FIELD_NUMBER: _ClassVar[int]
    resource: str
    mode: LockMode
    holder: str
    fencing_token: int
    lease: _duration_pb2.Duration
    def __init__(self, resource: _Optional[str] = ..., mode: _Optional[_Union[LockMode, str]] = ..., holder: _Optional[str] = ..., fencing_token: _Optional[int] = ..., lease: _Optional[_Union[datetime.timedelta, _duration_pb2.Duration, _Mapping]] = ...) -> None: ...

class LockWait(_message.Message):
    __slots__ = ("holder", "request_sequence", "resource", "fencing_token")
    HOLDER_FIELD_NUMBER: _ClassVar[int]
    REQUEST_SEQUENCE_FIELD_NUMBER: _ClassVar[int]
    RESOURCE_FIELD_NUMBER: _ClassVar[int]
    FENCING_TOKEN_FIELD_NUMBER: _ClassVar[int]
    holder: str
    request_sequence: int
    resource: str
    fencing_token: int
    def __init__(self, holder: _Optional[str] = ..., request_sequence: _Optional[int] = ..., resource: _Optional[str] = ..., fencing_token: _Optional[int] = ...) -> None: ...

class Fence(_message.Message):
    __slots__ = ("resource", "fencing_token")
    RESOURCE_FIELD_NUMBER: _ClassVar[int]
    FENCING_TOKEN_FIELD_NUMBER: _ClassVar[int]
    resource: str
    fencing_token: int
    def __init__(self, resource: _Optional[str] = ..., fencing_token: _Optional[int] = ...) -> None: ...

class LockWaiter(_message.Message):
    __slots__ = ("request_sequence", "holder", "mode", "detached", "since")
    REQUEST_SEQUENCE_FIELD_NUMBER: _ClassVar[int]
    HOLDER_FIELD_NUMBER: _ClassVar[int]
    MODE_FIELD_NUMBER: _ClassVar[int]
    DETACHED_FIELD_NUMBER: _ClassVar[int]
    SINCE_FIELD_NUMBER: _ClassVar[int]
    request_sequence: int
    holder: str
    mode: LockMode
    detached: bool
    since: _timestamp_pb2.Timestamp
    def __init__(self, request_sequence: _Optional[int] = ..., holder: _Optional[str] = ..., mode: _Optional[_Union[LockMode, str]] = ..., detached: bool = ..., since: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ...) -> None: ...

class Lock(_message.Message):
    __slots__ = ("resource", "holders", "waiters")
    RESOURCE_FIELD_NUMBER: _ClassVar[int]
    HOLDERS_FIELD_NUMBER: _ClassVar[int]
    WAITERS_FIELD_NUMBER: _ClassVar[int]
    resource: str
    holders: _containers.RepeatedCompositeFieldContainer[LockGrant]
    waiters: _containers.RepeatedCompositeFieldContainer[LockWaiter]
    def __init__(self, resource: _Optional[str] = ..., holders: _Optional[_Iterable[_Union[LockGrant, _Mapping]]] = ..., waiters: _Optional[_Iterable[_Union[LockWaiter, _Mapping]]] = ...) -> None: ...

class ResourceRequested(_message.Message):
    __slots__ = ("requests", "holder", "session_id", "attempt_token", "deadline", "priority", "passes", "passed_by")
    REQUESTS_FIELD_NUMBER: _ClassVar[int]
    HOLDER_FIELD_NUMBER: _ClassVar[int]
    SESSION_ID_FIELD_NUMBER: _ClassVar[int]
    ATTEMPT_TOKEN_FIELD_NUMBER: _ClassVar[int]
    DEADLINE_FIELD_NUMBER: _ClassVar[int]
    PRIORITY_FIELD_NUMBER: _ClassVar[int]
    PASSES_FIELD_NUMBER: _ClassVar[int]
    PASSED_BY_FIELD_NUMBER: _ClassVar[int]
    requests: _containers.RepeatedCompositeFieldContainer[LockRequest]
    holder: str
    session_id: int
    attempt_token: int
    deadline: _timestamp_pb2.Timestamp
    priority: int
    passes: _containers.RepeatedScalarFieldContainer[int]
    passed_by: _containers.RepeatedScalarFieldContainer[int]
    def __init__(self, requests: _Optional[_Iterable[_Union[LockRequest, _Mapping]]] = ..., holder: _Optional[str] = ..., session_id: _Optional[int] = ..., attempt_token: _Optional[int] = ..., deadline: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., priority: _Optional[int] = ..., passes: _Optional[_Iterable[int]] = ..., passed_by: _Optional[_Iterable[int]] = ...) -> None: ...

class ResourceAcquired(_message.Message):
    __slots__ = ("request_sequence", "resource", "mode", "holder", "lease", "session_id", "attempt_token", "guards", "existing_token", "wait_time_seconds")
    REQUEST_SEQUENCE_FIELD_NUMBER: _ClassVar[int]
    RESOURCE_FIELD_NUMBER: _ClassVar[int]
    MODE_FIELD_NUMBER: _ClassVar[int]
    HOLDER_FIELD_NUMBER: _ClassVar[int]
    LEASE_FIELD_NUMBER: _ClassVar[int]
    SESSION_ID_FIELD_NUMBER: _ClassVar[int]
    ATTEMPT_TOKEN_FIELD_NUMBER: _ClassVar[int]
    GUARDS_FIELD_NUMBER: _ClassVar[int]
    EXISTING_TOKEN_FIELD_NUMBER: _ClassVar[int]
    WAIT_TIME_SECONDS_FIELD_NUMBER: _ClassVar[int]
    request_sequence: int
    resource: str
    mode: LockMode
    holder: str
    lease: _duration_pb2.Duration
    session_id: int
    attempt_token: int
    guards: str
    existing_token: int
    wait_time_seconds: float
    def __init__(self, request_sequence: _Optional[int] = ..., resource: _Optional[str] = ..., mode: _Optional[_Union[LockMode, str]] = ..., holder: _Optional[str] = ..., lease: _Optional[_Union[datetime.timedelta, _duration_pb2.Duration, _Mapping]] = ..., session_id: _Optional[int] = ..., attempt_token: _Optional[int] = ..., guards: _Optional[str] = ..., existing_token: _Optional[int] = ..., wait_time_seconds: _Optional[float] = ...) -> None: ...

class ResourceReleased(_message.Message):
    __slots__ = ("resource", "holder", "fencing_token", "remaining", "hold_time_seconds")
    RESOURCE_FIELD_NUMBER: _ClassVar[int]
    HOLDER_FIELD_NUMBER: _ClassVar[int]
    FENCING_TOKEN_FIELD_NUMBER: _ClassVar[int]
    REMAINING_FIELD_NUMBER: _ClassVar[int]
    HOLD_TIME_SECONDS_FIELD_NUMBER: _ClassVar[int]
    resource: str
    holder: str
    fencing_token: int
    remaining: int
    hold_time_seconds: float
    def __init__(self, resource: _Optional[str] = ..., holder: _Optional[str] = ..., fencing_token: _Optional[int] = ..., remaining: _Optional[int] = ..., hold_time_seconds: _Optional[float] = ...) -> None: ...

class ResourceRequestTimedOut(_message.Message):
    __slots__ = ("request_sequence", "holders", "position", "wait_time_seconds")
    REQUEST_SEQUENCE_FIELD_NUMBER: _ClassVar[int]
    HOLDERS_FIELD_NUMBER: _ClassVar[int]
    POSITION_FIELD_NUMBER: _ClassVar[int]
    WAIT_TIME_SECONDS_FIELD_NUMBER: _ClassVar[int]
    request_sequence: int
    holders: _containers.RepeatedCompositeFieldContainer[LockGrant]
    position: int
    wait_time_seconds: float
    def __init__(self, request_sequence: _Optional[int] = ..., holders: _Optional[_Iterable[_Union[LockGrant, _Mapping]]] = ..., position: _Optional[int] = ..., wait_time_seconds: _Optional[float] = ...) -> None: ...

class ResourceRequestRefused(_message.Message):
    __slots__ = ("request_sequence", "resource", "holders", "cycle")
    REQUEST_SEQUENCE_FIELD_NUMBER: _ClassVar[int]
    RESOURCE_FIELD_NUMBER: _ClassVar[int]
    HOLDERS_FIELD_NUMBER: _ClassVar[int]
    CYCLE_FIELD_NUMBER: _ClassVar[int]
    request_sequence: int
    resource: str
    holders: _containers.RepeatedCompositeFieldContainer[LockGrant]
    cycle: _containers.RepeatedCompositeFieldContainer[LockWait]
    def __init__(self, request_sequence: _Optional[int] = ..., resource: _Optional[str] = ..., holders: _Optional[_Iterable[_Union[LockGrant, _Mapping]]] = ..., cycle: _Optional[_Iterable[_Union[LockWait, _Mapping]]] = ...) -> None: ...

class ResourceRequestWithdrawn(_message.Message):
    __slots__ = ("request_sequence", "wait_time_seconds")
    REQUEST_SEQUENCE_FIELD_NUMBER: _ClassVar[int]
    WAIT_TIME_SECONDS_FIELD_NUMBER: _ClassVar[int]
    request_sequence: int
    wait_time_seconds: float
    def __init__(self, request_sequence: _Optional[int] = ..., wait_time_seconds: _Optional[float] = ...) -> None: ...

class ResourceRequestReattached(_message.Message):
    __slots__ = ("request_sequence", "passes", "passed_by")
    REQUEST_SEQUENCE_FIELD_NUMBER: _ClassVar[int]
    PASSES_FIELD_NUMBER: _ClassVar[int]
    PASSED_BY_FIELD_NUMBER: _ClassVar[int]
    request_sequence: int
    passes: _containers.RepeatedScalarFieldContainer[int]
    passed_by: _containers.RepeatedScalarFieldContainer[int]
    def __init__(self, request_sequence: _Optional[int] = ..., passes: _Optional[_Iterable[int]] = ..., passed_by: _Optional[_Iterable[int]] = ...) -> None: ...
