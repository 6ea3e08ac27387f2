import datetime

from concert.v1 import event_service_pb2 as _event_service_pb2
from concert.v1 import lock_pb2 as _lock_pb2
from concert.v1 import state_pb2 as _state_pb2
from google.protobuf import struct_pb2 as _struct_pb2
from google.protobuf import timestamp_pb2 as _timestamp_pb2
from google.protobuf.internal import containers as _containers
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from collections.abc import Iterable as _Iterable, Mapping as _Mapping
from typing import ClassVar as _ClassVar, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class UpdateStateRequest(_message.Message):
    __slots__ = ("namespace", "request_id", "attempt_token", "change", "writer", "priority", "fences")
    NAMESPACE_FIELD_NUMBER: _ClassVar[int]
    REQUEST_ID_FIELD_NUMBER: _ClassVar[int]
    ATTEMPT_TOKEN_FIELD_NUMBER: _ClassVar[int]
    CHANGE_FIELD_NUMBER: _ClassVar[int]
    WRITER_FIELD_NUMBER: _ClassVar[int]
    PRIORITY_FIELD_NUMBER: _ClassVar[int]
    FENCES_FIELD_NUMBER: _ClassVar[int]
    namespace: str
    request_id: str
    attempt_token: int
    change: _state_pb2.StateChange
    writer: str
    priority: int
    fences: _containers.RepeatedCompositeFieldContainer[_lock_pb2.Fence]
    def __init__(self, namespace: _Optional[str] = ..., request_id: _Optional[str] = ..., attempt_token: _Optional[int] = ..., change: _Optional[_Union[_state_pb2.StateChange, _Mapping]] = ..., writer: _Optional[str] = ..., priority: _Optional[int] = ..., fences: _Optional[_Iterable[_Union[_lock_pb2.Fence, _Mapping]]] = ...) -> None: ...

class UpdateStateResponse(_message.Message):
    __slots__ = ("revision", "replayed")
    REVISION_FIELD_NUMBER: _ClassVar[int]
    REPLAYED_FIELD_NUMBER: _ClassVar[int]
    revision: int
    replayed: bool
    def __init__(self, revision: _Optional[int] = ..., replayed: bool = ...) -> None: ...

class DeleteStateRequest(_message.Message):
    __slots__ = ("namespace", "request_id", "attempt_token", "keys", "prefix", "base_revision", "writer", "priority", "fences")
    NAMESPACE_FIELD_NUMBER: _ClassVar[int]
    REQUEST_ID_FIELD_NUMBER: _ClassVar[int]
    ATTEMPT_TOKEN_FIELD_NUMBER: _ClassVar[int]
    KEYS_FIELD_NUMBER: _ClassVar[int]
    PREFIX_FIELD_NUMBER: _ClassVar[int]
    BASE_REVISION_FIELD_NUMBER: _ClassVar[int]
    WRITER_FIELD_NUMBER: _ClassVar[int]
    PRIORITY_FIELD_NUMBER: _ClassVar[int]
    FENCES_FIELD_NUMBER: _ClassVar[int]
    namespace: str
    request_id: str
    attempt_token: int
    keys: _containers.RepeatedScalarFieldContainer[str]
    prefix: str
    base_revision: int
    writer: str
    priority: int
    fences: _containers.RepeatedCompositeFieldContainer[_lock_pb2.Fence]
    def __init__(self, namespace: _Optional[str] = ..., request_id: _Optional[str] = ..., attempt_token: _Optional[int] = ..., keys: _Optional[_Iterable[str]] = ..., prefix: _Optional[str] = ..., base_revision: _Optional[int] = ..., writer: _Optional[str] = ..., priority: _Optional[int] = ..., fences: _Optional[_Iterable[_Union[_lock_pb2.Fence, _Mapping]]] = ...) -> None: ...

class DeleteStateResponse(_message.Message):
    __slots__ = ("revision", "replayed")
    REVISION_FIELD_NUMBER: _ClassVar[int]
    REPLAYED_FIELD_NUMBER: _ClassVar[int]
    revision: int
    replayed: bool
    def __init__(self, revision: _Optional[int] = ..., replayed: bool = ...) -> None: ...

class GetStateRequest(_message.Message):
    __slots__ = ("namespace", "keys", "prefix", "page_size", "page_token", "revision")
    NAMESPACE_FIELD_NUMBER: _ClassVar[int]
    KEYS_FIELD_NUMBER: _ClassVar[int]
    PREFIX_FIELD_NUMBER: _ClassVar[int]
    PAGE_SIZE_FIELD_NUMBER: _ClassVar[int]
    PAGE_TOKEN_FIELD_NUMBER: _ClassVar[int]
    REVISION_FIELD_NUMBER: _ClassVar[int]
    namespace: str
    keys: _containers.RepeatedScalarFieldContainer[str]
    prefix: str
    page_size: int
    page_token: str
    revision: int
    def __init__(self, namespace: _Optional[str] = ..., keys: _Optional[_Iterable[str]] = ..., prefix: _Optional[str] = ..., page_size: _Optional[int] = ..., page_token: _Optional[str] = ..., revision: _Optional[int] = ...) -> None: ...

class GetStateResponse(_message.Message):
    __slots__ = ("entries", "next_page_token", "sequence")
    ENTRIES_FIELD_NUMBER: _ClassVar[int]
    NEXT_PAGE_TOKEN_FIELD_NUMBER: _ClassVar[int]
    SEQUENCE_FIELD_NUMBER: _ClassVar[int]
    entries: _containers.RepeatedCompositeFieldContainer[_state_pb2.StateEntry]
    next_page_token: str
    sequence: int
    def __init__(self, entries: _Optional[_Iterable[_Union[_state_pb2.StateEntry, _Mapping]]] = ..., next_page_token: _Optional[str] = ..., sequence: _Optional[int] = ...) -> None: ...

class ListStateHistoryRequest(_message.Message):
    __slots__ = ("namespace", "key", "prefix", "after_revision", "until_revision", "page_size", "page_token", "descending")
    NAMESPACE_FIELD_NUMBER: _ClassVar[int]
    KEY_FIELD_NUMBER: _ClassVar[int]
    PREFIX_FIELD_NUMBER: _ClassVar[int]
    AFTER_REVISION_FIELD_NUMBER: _ClassVar[int]
    UNTIL_REVISION_FIELD_NUMBER: _ClassVar[int]
    PAGE_SIZE_FIELD_NUMBER: _ClassVar[int]
    PAGE_TOKEN_FIELD_NUMBER: _ClassVar[int]
    DESCENDING_FIELD_NUMBER: _ClassVar[int]
    namespace: str
    key: str
    prefix: str
    after_revision: int
    until_revision: int
    page_size: int
    page_token: str
    descending: bool
    def __init__(self, namespace: _Optional[str] = ..., key: _Optional[str] = ..., prefix: _Optional[str] = ..., after_revision: _Optional[int] = ..., until_revision: _Optional[int] = ..., page_size: _Optional[int] = ..., page_token: _Optional[str] = ..., descending: bool = ...) -> None: ...

class StateRevision(_message.Message):
    __slots__ = ("revision", "writer", "strategy", "changed_at", "cause", "reason", "updates", "deletes", "prefix", "priority", "agent_id", "run_id", "task_id", "traceparent")
    REVISION_FIELD_NUMBER: _ClassVar[int]
    WRITER_FIELD_NUMBER: _ClassVar[int]
    STRATEGY_FIELD_NUMBER: _ClassVar[int]
    CHANGED_AT_FIELD_NUMBER: _ClassVar[int]
    CAUSE_FIELD_NUMBER: _ClassVar[int]
    REASON_FIELD_NUMBER: _ClassVar[int]
    UPDATES_FIELD_NUMBER: _ClassVar[int]
    DELETES_FIELD_NUMBER: _ClassVar[int]
    PREFIX_FIELD_NUMBER: _ClassVar[int]
    PRIORITY_FIELD_NUMBER: _ClassVar[int]
    AGENT_ID_FIELD_NUMBER: _ClassVar[int]
    RUN_ID_FIELD_NUMBER: _ClassVar[int]
    TASK_ID_FIELD_NUMBER: _ClassVar[int]
    TRACEPARENT_FIELD_NUMBER: _ClassVar[int]
    revision: int
    writer: str
    strategy: _state_pb2.MergeStrategy
    changed_at: _timestamp_pb2.Timestamp
    cause: int
    reason: str
    updates: _containers.RepeatedCompositeFieldContainer[_state_pb2.StateUpdate]
    deletes: _containers.RepeatedScalarFieldContainer[str]
    prefix: str
    priority: int
    agent_id: str
    run_id: str
    task_id: str
    traceparent: str
    def __init__(self, revision: _Optional[int] = ..., writer: _Optional[str] = ..., strategy: _Optional[_Union[_state_pb2.MergeStrategy, str]] = ..., changed_at: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., cause: _Optional[int] = ..., reason: _Optional[str] = ..., updates: _Optional[_Iterable[_Union[_state_pb2.StateUpdate, _Mapping]]] = ..., deletes: _Optional[_Iterable[str]] = ..., prefix: _Optional[str] = ..., priority: _Optional[int] = ..., agent_id: _Optional[str] = ..., run_id: _Optional[str] = ..., task_id: _Optional[str] = ..., traceparent: _Optional[str] = ...) -> None: ...

class ListStateHistoryResponse(_message.Message):
    __slots__ = ("revisions", "next_page_token", "sequence", "log_id")
    REVISIONS_FIELD_NUMBER: _ClassVar[int]
    NEXT_PAGE_TOKEN_FIELD_NUMBER: _ClassVar[int]
    SEQUENCE_FIELD_NUMBER: _ClassVar[int]
    LOG_ID_FIELD_NUMBER: _ClassVar[int]
    revisions: _containers.RepeatedCompositeFieldContainer[StateRevision]
    next_page_token: str
    sequence: int
    log_id: str
    def __init__(self, revisions: _Optional[_Iterable[_Union[StateRevision, _Mapping]]] = ..., next_page_token: _Optional[str] = ..., sequence: _Optional[int] = ..., log_id: _Optional[str] = ...) -> None: ...

class WatchedChange(_message.Message):
    __slots__ = ("key", "revision", "writer", "changed_at", "value", "deleted", "cleared", "superseded")
    KEY_FIELD_NUMBER: _ClassVar[int]
    REVISION_FIELD_NUMBER: _ClassVar[int]
    WRITER_FIELD_NUMBER: _ClassVar[int]
    CHANGED_AT_FIELD_NUMBER: _ClassVar[int]
    VALUE_FIELD_NUMBER: _ClassVar[int]
    DELETED_FIELD_NUMBER: _ClassVar[int]
    CLEARED_FIELD_NUMBER: _ClassVar[int]
    SUPERSEDED_FIELD_NUMBER: _ClassVar[int]
    key: str
    revision: int
    writer: str
    changed_at: _timestamp_pb2.Timestamp
    value: _struct_pb2.Value
    deleted: bool
    cleared: bool
    superseded: bool
    def __init__(self, key: _Optional[str] = ..., revision: _Optional[int] = ..., writer: _Optional[str] = ..., changed_at: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., value: _Optional[_Union[_struct_pb2.Value, _Mapping]] = ..., deleted: bool = ..., cleared: bool = ..., superseded: bool = ...) -> None: ...

class WatchStateRequest(_message.Message):
    __slots__ = ("namespace", "keys", "prefix", "after")
    NAMESPACE_FIELD_NUMBER: _ClassVar[int]
    KEYS_FIELD_NUMBER: _ClassVar[int]
    PREFIX_FIELD_NUMBER: _ClassVar[int]
    AFTER_FIELD_NUMBER: _ClassVar[int]
    namespace: str
    keys: _containers.RepeatedScalarFieldContainer[str]
    prefix: str
    after: _event_service_pb2.Cursor
    def __init__(self, namespace: _Optional[str] = ..., keys: _Optional[_Iterable[str]] = ..., prefix: _Optional[str] = ..., after: _Optional[_Union[_event_service_pb2.Cursor, _Mapping]] = ...) -> None: ...

class WatchStateResponse(_message.Message):
    __slots__ = ("entries", "changes", "bookmark")
    ENTRIES_FIELD_NUMBER: _ClassVar[int]
    CHANGES_FIELD_NUMBER: _ClassVar[int]
    BOOKMARK_FIELD_NUMBER: _ClassVar[int]
    entries: _containers.RepeatedCompositeFieldContainer[_state_pb2.StateEntry]
    changes: _containers.RepeatedCompositeFieldContainer[WatchedChange]
    bookmark: _event_service_pb2.Bookmark
    def __init__(self, entries: _Optional[_Iterable[_Union[_state_pb2.StateEntry, _Mapping]]] = ..., changes: _Optional[_Iterable[_Union[WatchedChange, _Mapping]]] = ..., bookmark: _Optional[_Union[_event_service_pb2.Bookmark, _Mapping]] = ...) -> None: ...
