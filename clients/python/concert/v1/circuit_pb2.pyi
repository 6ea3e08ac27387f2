import datetime

from google.protobuf import timestamp_pb2 as _timestamp_pb2
from google.protobuf.internal import enum_type_wrapper as _enum_type_wrapper
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from collections.abc import Mapping as _Mapping
from typing import ClassVar as _ClassVar, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class CircuitStatus(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    CIRCUIT_STATUS_UNSPECIFIED: _ClassVar[CircuitStatus]
    CIRCUIT_STATUS_CLOSED: _ClassVar[CircuitStatus]
    CIRCUIT_STATUS_OPEN: _ClassVar[CircuitStatus]
    CIRCUIT_STATUS_HALF_OPEN: _ClassVar[CircuitStatus]
CIRCUIT_STATUS_UNSPECIFIED: CircuitStatus
CIRCUIT_STATUS_CLOSED: CircuitStatus
CIRCUIT_STATUS_OPEN: CircuitStatus
CIRCUIT_STATUS_HALF_OPEN: CircuitStatus

class Circuit(_message.Message):
    __slots__ = ("capability", "status", "failures", "until", "trial_token")
    CAPABILITY_FIELD_NUMBER: _ClassVar[int]
    STATUS_FIELD_NUMBER: _ClassVar[int]
    FAILURES_FIELD_NUMBER: _ClassVar[int]
    UNTIL_FIELD_NUMBER: _ClassVar[int]
    TRIAL_TOKEN_FIELD_NUMBER: _ClassVar[int]
    capability: str
    status: CircuitStatus
    failures: int
    until: _timestamp_pb2.Timestamp
    trial_token: int
    def __init__(self, capability: _Optional[str] = ..., status: _Optional[_Union[CircuitStatus, str]] = ..., failures: _Optional[int] = ..., until: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., trial_token: _Optional[int] = ...) -> None: ...

class CircuitOpened(_message.Message):
    __slots__ = ("capability", "failures", "window_attempts", "window_failures", "until")
    CAPABILITY_FIELD_NUMBER: _ClassVar[int]
    FAILURES_FIELD_NUMBER: _ClassVar[int]
    WINDOW_ATTEMPTS_FIELD_NUMBER: _ClassVar[int]
    WINDOW_FAILURES_FIELD_NUMBER: _ClassVar[int]
    UNTIL_FIELD_NUMBER: _ClassVar[int]
    capability: str
    failures: int
    window_attempts: int
    window_failures: int
    until: _timestamp_pb2.Timestamp
    def __init__(self, capability: _Optional[str] = ..., failures: _Optional[int] = ..., window_attempts: _Optional[int] = ..., window_failures: _Optional[int] = ..., until: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ...) -> None: ...

class CircuitHalfOpened(_message.Message):
    __slots__ = ("capability",)
    CAPABILITY_FIELD_NUMBER: _ClassVar[int]
    capability: str
    def __init__(self, capability: _Optional[str] = ...) -> None: ...

class CircuitClosed(_message.Message):
    __slots__ = ("capability",)
    CAPABILITY_FIELD_NUMBER: _ClassVar[int]
    capability: str
    def __init__(self, capability: _Optional[str] = ...) -> None: ...
