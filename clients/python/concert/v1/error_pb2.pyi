from concert.v1 import lock_pb2 as _lock_pb2
from concert.v1 import state_pb2 as _state_pb2
from google.protobuf.internal import containers as _containers
from google.protobuf.internal import enum_type_wrapper as _enum_type_wrapper
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from collections.abc import Iterable as _Iterable, Mapping as _Mapping
from typing import ClassVar as _ClassVar, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class ErrorReason(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    ERROR_REASON_UNSPECIFIED: _ClassVar[ErrorReason]
    ERROR_REASON_INVALID_FIELD: _ClassVar[ErrorReason]
    ERROR_REASON_DEPENDENCY_CYCLE: _ClassVar[ErrorReason]
    ERROR_REASON_DEPENDENCY_UNKNOWN: _ClassVar[ErrorReason]
    ERROR_REASON_REQUEST_ID_REUSED: _ClassVar[ErrorReason]
    ERROR_REASON_CURSOR_IN_FUTURE: _ClassVar[ErrorReason]
    ERROR_REASON_NOT_FOUND: _ClassVar[ErrorReason]
    ERROR_REASON_ALREADY_EXISTS: _ClassVar[ErrorReason]
    ERROR_REASON_STATE_CONFLICT: _ClassVar[ErrorReason]
    ERROR_REASON_STALE_ATTEMPT: _ClassVar[ErrorReason]
    ERROR_REASON_STALE_FENCE: _ClassVar[ErrorReason]
    ERROR_REASON_NOT_HOLDER: _ClassVar[ErrorReason]
    ERROR_REASON_LOCK_UPGRADE: _ClassVar[ErrorReason]
    ERROR_REASON_LOCK_LOST: _ClassVar[ErrorReason]
    ERROR_REASON_RUN_OVER: _ClassVar[ErrorReason]
    ERROR_REASON_NO_SESSION: _ClassVar[ErrorReason]
    ERROR_REASON_LOCK_TIMEOUT: _ClassVar[ErrorReason]
    ERROR_REASON_LIMIT_REACHED: _ClassVar[ErrorReason]
    ERROR_REASON_CURSOR_COMPACTED: _ClassVar[ErrorReason]
    ERROR_REASON_LOG_MISMATCH: _ClassVar[ErrorReason]
    ERROR_REASON_UNAVAILABLE: _ClassVar[ErrorReason]
    ERROR_REASON_PERMISSION_DENIED: _ClassVar[ErrorReason]
    ERROR_REASON_UNAUTHENTICATED: _ClassVar[ErrorReason]
    ERROR_REASON_SESSION_OVER: _ClassVar[ErrorReason]
    ERROR_REASON_INTERNAL: _ClassVar[ErrorReason]
    ERROR_REASON_CURSOR_BEHIND: _ClassVar[ErrorReason]
    ERROR_REASON_DEADLOCK: _ClassVar[ErrorReason]
    ERROR_REASON_RUN_NOT_RETRYABLE: _ClassVar[ErrorReason]
    ERROR_REASON_LOG_TAIL_LOST: _ClassVar[ErrorReason]
ERROR_REASON_UNSPECIFIED: ErrorReason
ERROR_REASON_INVALID_FIELD: ErrorReason
ERROR_REASON_DEPENDENCY_CYCLE: ErrorReason
ERROR_REASON_DEPENDENCY_UNKNOWN: ErrorReason
ERROR_REASON_REQUEST_ID_REUSED: ErrorReason
ERROR_REASON_CURSOR_IN_FUTURE: ErrorReason
ERROR_REASON_NOT_FOUND: ErrorReason
ERROR_REASON_ALREADY_EXISTS: ErrorReason
ERROR_REASON_STATE_CONFLICT: ErrorReason
ERROR_REASON_STALE_ATTEMPT: ErrorReason
ERROR_REASON_STALE_FENCE: ErrorReason
ERROR_REASON_NOT_HOLDER: ErrorReason
ERROR_REASON_LOCK_UPGRADE: ErrorReason
ERROR_REASON_LOCK_LOST: ErrorReason
ERROR_REASON_RUN_OVER: ErrorReason
ERROR_REASON_NO_SESSION: ErrorReason
ERROR_REASON_LOCK_TIMEOUT: ErrorReason
ERROR_REASON_LIMIT_REACHED: ErrorReason
ERROR_REASON_CURSOR_COMPACTED: ErrorReason
ERROR_REASON_LOG_MISMATCH: ErrorReason
ERROR_REASON_UNAVAILABLE: ErrorReason
ERROR_REASON_PERMISSION_DENIED: ErrorReason
ERROR_REASON_UNAUTHENTICATED: ErrorReason
ERROR_REASON_SESSION_OVER: ErrorReason
ERROR_REASON_INTERNAL: ErrorReason
ERROR_REASON_CURSOR_BEHIND: ErrorReason
ERROR_REASON_DEADLOCK: ErrorReason
ERROR_REASON_RUN_NOT_RETRYABLE: ErrorReason
ERROR_REASON_LOG_TAIL_LOST: ErrorReason

class DependencyCycle(_message.Message):
    __slots__ = ("task_ids",)
    TASK_IDS_FIELD_NUMBER: _ClassVar[int]
    task_ids: _containers.RepeatedScalarFieldContainer[str]
    def __init__(self, task_ids: _Optional[_Iterable[str]] = ...) -> None: ...

class StateConflict(_message.Message):
    __slots__ = ("conflict_sequence", "keys", "current_revision", "conflict_type")
    CONFLICT_SEQUENCE_FIELD_NUMBER: _ClassVar[int]
    KEYS_FIELD_NUMBER: _ClassVar[int]
    CURRENT_REVISION_FIELD_NUMBER: _ClassVar[int]
    CONFLICT_TYPE_FIELD_NUMBER: _ClassVar[int]
    conflict_sequence: int
    keys: _containers.RepeatedCompositeFieldContainer[_state_pb2.ConflictingKey]
    current_revision: int
    conflict_type: str
    def __init__(self, conflict_sequence: _Optional[int] = ..., keys: _Optional[_Iterable[_Union[_state_pb2.ConflictingKey, _Mapping]]] = ..., current_revision: _Optional[int] = ..., conflict_type: _Optional[str] = ...) -> None: ...

class StaleToken(_message.Message):
    __slots__ = ("token", "current", "resource")
    TOKEN_FIELD_NUMBER: _ClassVar[int]
    CURRENT_FIELD_NUMBER: _ClassVar[int]
    RESOURCE_FIELD_NUMBER: _ClassVar[int]
    token: int
    current: int
    resource: str
    def __init__(self, token: _Optional[int] = ..., current: _Optional[int] = ..., resource: _Optional[str] = ...) -> None: ...

class LockContention(_message.Message):
    __slots__ = ("request_sequence", "holders", "position")
    REQUEST_SEQUENCE_FIELD_NUMBER: _ClassVar[int]
    HOLDERS_FIELD_NUMBER: _ClassVar[int]
    POSITION_FIELD_NUMBER: _ClassVar[int]
    request_sequence: int
    holders: _containers.RepeatedCompositeFieldContainer[_lock_pb2.LockGrant]
    position: int
    def __init__(self, request_sequence: _Optional[int] = ..., holders: _Optional[_Iterable[_Union[_lock_pb2.LockGrant, _Mapping]]] = ..., position: _Optional[int] = ...) -> None: ...

class Deadlock(_message.Message):
    __slots__ = ("request_sequence", "cycle", "length")
    REQUEST_SEQUENCE_FIELD_NUMBER: _ClassVar[int]
    CYCLE_FIELD_NUMBER: _ClassVar[int]
    LENGTH_FIELD_NUMBER: _ClassVar[int]
    request_sequence: int
    cycle: _containers.RepeatedCompositeFieldContainer[_lock_pb2.LockWait]
    length: int
    def __init__(self, request_sequence: _Optional[int] = ..., cycle: _Optional[_Iterable[_Union[_lock_pb2.LockWait, _Mapping]]] = ..., length: _Optional[int] = ...) -> None: ...

class LogPosition(_message.Message):
    __slots__ = ("log_id", "requested_log_id", "oldest_sequence", "last_sequence")
    LOG_ID_FIELD_NUMBER: _ClassVar[int]
    REQUESTED_LOG_ID_FIELD_NUMBER: _ClassVar[int]
    OLDEST_SEQUENCE_FIELD_NUMBER: _ClassVar[int]
    LAST_SEQUENCE_FIELD_NUMBER: _ClassVar[int]
    log_id: str
    requested_log_id: str
    oldest_sequence: int
    last_sequence: int
    def __init__(self, log_id: _Optional[str] = ..., requested_log_id: _Optional[str] = ..., oldest_sequence: _Optional[int] = ..., last_sequence: _Optional[int] = ...) -> None: ...
