import datetime

from concert.v1 import lock_pb2 as _lock_pb2
from google.protobuf import duration_pb2 as _duration_pb2
from google.protobuf.internal import containers as _containers
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from collections.abc import Iterable as _Iterable, Mapping as _Mapping
from typing import ClassVar as _ClassVar, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class AcquireRequest(_message.Message):
    __slots__ = ("namespace", "request_id", "attempt_token", "requests", "fences")
    NAMESPACE_FIELD_NUMBER: _ClassVar[int]
    REQUEST_ID_FIELD_NUMBER: _ClassVar[int]
    ATTEMPT_TOKEN_FIELD_NUMBER: _ClassVar[int]
    REQUESTS_FIELD_NUMBER: _ClassVar[int]
    FENCES_FIELD_NUMBER: _ClassVar[int]
    namespace: str
    request_id: str
    attempt_token: int
    requests: _containers.RepeatedCompositeFieldContainer[_lock_pb2.LockRequest]
    fences: _containers.RepeatedCompositeFieldContainer[_lock_pb2.Fence]
    def __init__(self, namespace: _Optional[str] = ..., request_id: _Optional[str] = ..., attempt_token: _Optional[int] = ..., requests: _Optional[_Iterable[_Union[_lock_pb2.LockRequest, _Mapping]]] = ..., fences: _Optional[_Iterable[_Union[_lock_pb2.Fence, _Mapping]]] = ...) -> None: ...

class AcquireResponse(_message.Message):
    __slots__ = ("grants", "request_sequence", "replayed")
    GRANTS_FIELD_NUMBER: _ClassVar[int]
    REQUEST_SEQUENCE_FIELD_NUMBER: _ClassVar[int]
    REPLAYED_FIELD_NUMBER: _ClassVar[int]
    grants: _containers.RepeatedCompositeFieldContainer[_lock_pb2.LockGrant]
    request_sequence: int
    replayed: bool
    def __init__(self, grants: _Optional[_Iterable[_Union[_lock_pb2.LockGrant, _Mapping]]] = ..., request_sequence: _Optional[int] = ..., replayed: bool = ...) -> None: ...

class ReleaseRequest(_message.Message):
    __slots__ = ("namespace", "request_id", "attempt_token", "fencing_tokens", "force")
    NAMESPACE_FIELD_NUMBER: _ClassVar[int]
    REQUEST_ID_FIELD_NUMBER: _ClassVar[int]
    ATTEMPT_TOKEN_FIELD_NUMBER: _ClassVar[int]
    FENCING_TOKENS_FIELD_NUMBER: _ClassVar[int]
    FORCE_FIELD_NUMBER: _ClassVar[int]
    namespace: str
    request_id: str
    attempt_token: int
    fencing_tokens: _containers.RepeatedScalarFieldContainer[int]
    force: bool
    def __init__(self, namespace: _Optional[str] = ..., request_id: _Optional[str] = ..., attempt_token: _Optional[int] = ..., fencing_tokens: _Optional[_Iterable[int]] = ..., force: bool = ...) -> None: ...

class ReleaseResponse(_message.Message):
    __slots__ = ("sequence", "replayed")
    SEQUENCE_FIELD_NUMBER: _ClassVar[int]
    REPLAYED_FIELD_NUMBER: _ClassVar[int]
    sequence: int
    replayed: bool
    def __init__(self, sequence: _Optional[int] = ..., replayed: bool = ...) -> None: ...

class KeepAliveRequest(_message.Message):
    __slots__ = ("namespace", "fencing_tokens")
    NAMESPACE_FIELD_NUMBER: _ClassVar[int]
    FENCING_TOKENS_FIELD_NUMBER: _ClassVar[int]
    namespace: str
    fencing_tokens: _containers.RepeatedScalarFieldContainer[int]
    def __init__(self, namespace: _Optional[str] = ..., fencing_tokens: _Optional[_Iterable[int]] = ...) -> None: ...

class KeepAliveResponse(_message.Message):
    __slots__ = ("leases",)
    LEASES_FIELD_NUMBER: _ClassVar[int]
    leases: _containers.RepeatedCompositeFieldContainer[LockLease]
    def __init__(self, leases: _Optional[_Iterable[_Union[LockLease, _Mapping]]] = ...) -> None: ...

class LockLease(_message.Message):
    __slots__ = ("fencing_token", "time_left")
    FENCING_TOKEN_FIELD_NUMBER: _ClassVar[int]
    TIME_LEFT_FIELD_NUMBER: _ClassVar[int]
    fencing_token: int
    time_left: _duration_pb2.Duration
    def __init__(self, fencing_token: _Optional[int] = ..., time_left: _Optional[_Union[datetime.timedelta, _duration_pb2.Duration, _Mapping]] = ...) -> None: ...

class ListLocksRequest(_message.Message):
    __slots__ = ("namespace", "prefix", "page_size", "page_token")
    NAMESPACE_FIELD_NUMBER: _ClassVar[int]
    PREFIX_FIELD_NUMBER: _ClassVar[int]
    PAGE_SIZE_FIELD_NUMBER: _ClassVar[int]
    PAGE_TOKEN_FIELD_NUMBER: _ClassVar[int]
    namespace: str
    prefix: str
    page_size: int
    page_token: str
    def __init__(self, namespace: _Optional[str] = ..., prefix: _Optional[str] = ..., page_size: _Optional[int] = ..., page_token: _Optional[str] = ...) -> None: ...

class ListLocksResponse(_message.Message):
    __slots__ = ("locks", "next_page_token", "sequence")
    LOCKS_FIELD_NUMBER: _ClassVar[int]
    NEXT_PAGE_TOKEN_FIELD_NUMBER: _ClassVar[int]
    SEQUENCE_FIELD_NUMBER: _ClassVar[int]
    locks: _containers.RepeatedCompositeFieldContainer[_lock_pb2.Lock]
    next_page_token: str
    sequence: int
    def __init__(self, locks: _Optional[_Iterable[_Union[_lock_pb2.Lock, _Mapping]]] = ..., next_page_token: _Optional[str] = ..., sequence: _Optional[int] = ...) -> None: ...

class GetLockRequest(_message.Message):
    __slots__ = ("namespace", "resource")
    NAMESPACE_FIELD_NUMBER: _ClassVar[int]
    RESOURCE_FIELD_NUMBER: _ClassVar[int]
    namespace: str
    resource: str
    def __init__(self, namespace: _Optional[str] = ..., resource: _Optional[str] = ...) -> None: ...

class GetLockResponse(_message.Message):
    __slots__ = ("lock", "sequence")
    LOCK_FIELD_NUMBER: _ClassVar[int]
    SEQUENCE_FIELD_NUMBER: _ClassVar[int]
    lock: _lock_pb2.Lock
    sequence: int
    def __init__(self, lock: _Optional[_Union[_lock_pb2.Lock, _Mapping]] = ..., sequence: _Optional[int] = ...) -> None: ...
