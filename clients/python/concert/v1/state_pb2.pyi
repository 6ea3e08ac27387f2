import datetime

from concert.v1 import lock_pb2 as _lock_pb2
from concert.v1 import policy_pb2 as _policy_pb2
from google.protobuf import struct_pb2 as _struct_pb2
from google.protobuf import timestamp_pb2 as _timestamp_pb2
from google.protobuf.internal import containers as _containers
from google.protobuf.internal import enum_type_wrapper as _enum_type_wrapper
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from collections.abc import Iterable as _Iterable, Mapping as _Mapping
from typing import ClassVar as _ClassVar, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class MergeStrategy(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    MERGE_STRATEGY_UNSPECIFIED: _ClassVar[MergeStrategy]
    MERGE_STRATEGY_MERGE: _ClassVar[MergeStrategy]
    MERGE_STRATEGY_REPLACE: _ClassVar[MergeStrategy]
    MERGE_STRATEGY_APPEND: _ClassVar[MergeStrategy]
MERGE_STRATEGY_UNSPECIFIED: MergeStrategy
MERGE_STRATEGY_MERGE: MergeStrategy
MERGE_STRATEGY_REPLACE: MergeStrategy
MERGE_STRATEGY_APPEND: MergeStrategy

class StateUpdate(_message.Message):
    __slots__ = ("key", "value")
    KEY_FIELD_NUMBER: _ClassVar[int]
    VALUE_FIELD_NUMBER: _ClassVar[int]
    key: str
    value: _struct_pb2.Value
    def __init__(self, key: _Optional[str] = ..., value: _Optional[_Union[_struct_pb2.Value, _Mapping]] = ...) -> None: ...

class StateChange(_message.Message):
    __slots__ = ("updates", "strategy", "prefix", "base_revision", "deletes")
    UPDATES_FIELD_NUMBER: _ClassVar[int]
    STRATEGY_FIELD_NUMBER: _ClassVar[int]
    PREFIX_FIELD_NUMBER: _ClassVar[int]
    BASE_REVISION_FIELD_NUMBER: _ClassVar[int]
    DELETES_FIELD_NUMBER: _ClassVar[int]
    updates: _containers.RepeatedCompositeFieldContainer[StateUpdate]
    strategy: MergeStrategy
    prefix: str
    base_revision: int
    deletes: _containers.RepeatedScalarFieldContainer[str]
    def __init__(self, updates: _Optional[_Iterable[_Union[StateUpdate, _Mapping]]] = ..., strategy: _Optional[_Union[MergeStrategy, str]] = ..., prefix: _Optional[str] = ..., base_revision: _Optional[int] = ..., deletes: _Optional[_Iterable[str]] = ...) -> None: ...

class StateEntry(_message.Message):
    __slots__ = ("key", "value", "revision", "writer", "updated_at")
    KEY_FIELD_NUMBER: _ClassVar[int]
    VALUE_FIELD_NUMBER: _ClassVar[int]
    REVISION_FIELD_NUMBER: _ClassVar[int]
    WRITER_FIELD_NUMBER: _ClassVar[int]
    UPDATED_AT_FIELD_NUMBER: _ClassVar[int]
    key: str
    value: _struct_pb2.Value
    revision: int
    writer: str
    updated_at: _timestamp_pb2.Timestamp
    def __init__(self, key: _Optional[str] = ..., value: _Optional[_Union[_struct_pb2.Value, _Mapping]] = ..., revision: _Optional[int] = ..., writer: _Optional[str] = ..., updated_at: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ...) -> None: ...

class StateUpdated(_message.Message):
    __slots__ = ("updates", "merge_strategy", "prefix", "writer", "new_state_size", "priority", "deletes")
    UPDATES_FIELD_NUMBER: _ClassVar[int]
    MERGE_STRATEGY_FIELD_NUMBER: _ClassVar[int]
    PREFIX_FIELD_NUMBER: _ClassVar[int]
    WRITER_FIELD_NUMBER: _ClassVar[int]
    NEW_STATE_SIZE_FIELD_NUMBER: _ClassVar[int]
    PRIORITY_FIELD_NUMBER: _ClassVar[int]
    DELETES_FIELD_NUMBER: _ClassVar[int]
    updates: _containers.RepeatedCompositeFieldContainer[StateUpdate]
    merge_strategy: MergeStrategy
    prefix: str
    writer: str
    new_state_size: int
    priority: int
    deletes: _containers.RepeatedScalarFieldContainer[str]
    def __init__(self, updates: _Optional[_Iterable[_Union[StateUpdate, _Mapping]]] = ..., merge_strategy: _Optional[_Union[MergeStrategy, str]] = ..., prefix: _Optional[str] = ..., writer: _Optional[str] = ..., new_state_size: _Optional[int] = ..., priority: _Optional[int] = ..., deletes: _Optional[_Iterable[str]] = ...) -> None: ...

class ConflictingKey(_message.Message):
    __slots__ = ("key", "their_key", "their_writer", "their_revision", "their_timestamp", "their_traceparent", "attempted", "current", "attempted_digest", "current_digest", "their_priority", "guarded_by")
    KEY_FIELD_NUMBER: _ClassVar[int]
    THEIR_KEY_FIELD_NUMBER: _ClassVar[int]
    THEIR_WRITER_FIELD_NUMBER: _ClassVar[int]
    THEIR_REVISION_FIELD_NUMBER: _ClassVar[int]
    THEIR_TIMESTAMP_FIELD_NUMBER: _ClassVar[int]
    THEIR_TRACEPARENT_FIELD_NUMBER: _ClassVar[int]
    ATTEMPTED_FIELD_NUMBER: _ClassVar[int]
    CURRENT_FIELD_NUMBER: _ClassVar[int]
    ATTEMPTED_DIGEST_FIELD_NUMBER: _ClassVar[int]
    CURRENT_DIGEST_FIELD_NUMBER: _ClassVar[int]
    THEIR_PRIORITY_FIELD_NUMBER: _ClassVar[int]
    GUARDED_BY_FIELD_NUMBER: _ClassVar[int]
    key: str
    their_key: str
    their_writer: str
    their_revision: int
    their_timestamp: _timestamp_pb2.Timestamp
    their_traceparent: str
    attempted: _struct_pb2.Value
    current: _struct_pb2.Value
    attempted_digest: str
    current_digest: str
    their_priority: int
    guarded_by: _lock_pb2.LockGrant
    def __init__(self, key: _Optional[str] = ..., their_key: _Optional[str] = ..., their_writer: _Optional[str] = ..., their_revision: _Optional[int] = ..., their_timestamp: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., their_traceparent: _Optional[str] = ..., attempted: _Optional[_Union[_struct_pb2.Value, _Mapping]] = ..., current: _Optional[_Union[_struct_pb2.Value, _Mapping]] = ..., attempted_digest: _Optional[str] = ..., current_digest: _Optional[str] = ..., their_priority: _Optional[int] = ..., guarded_by: _Optional[_Union[_lock_pb2.LockGrant, _Mapping]] = ...) -> None: ...

class ConflictDetected(_message.Message):
    __slots__ = ("conflict_type", "writer", "base_revision", "keys", "strategy", "priority")
    CONFLICT_TYPE_FIELD_NUMBER: _ClassVar[int]
    WRITER_FIELD_NUMBER: _ClassVar[int]
    BASE_REVISION_FIELD_NUMBER: _ClassVar[int]
    KEYS_FIELD_NUMBER: _ClassVar[int]
    STRATEGY_FIELD_NUMBER: _ClassVar[int]
    PRIORITY_FIELD_NUMBER: _ClassVar[int]
    conflict_type: str
    writer: str
    base_revision: int
    keys: _containers.RepeatedCompositeFieldContainer[ConflictingKey]
    strategy: _policy_pb2.ConflictStrategy
    priority: int
    def __init__(self, conflict_type: _Optional[str] = ..., writer: _Optional[str] = ..., base_revision: _Optional[int] = ..., keys: _Optional[_Iterable[_Union[ConflictingKey, _Mapping]]] = ..., strategy: _Optional[_Union[_policy_pb2.ConflictStrategy, str]] = ..., priority: _Optional[int] = ...) -> None: ...

class CoordinationRequired(_message.Message):
    __slots__ = ("action", "target", "winner", "conflict_sequence")
    ACTION_FIELD_NUMBER: _ClassVar[int]
    TARGET_FIELD_NUMBER: _ClassVar[int]
    WINNER_FIELD_NUMBER: _ClassVar[int]
    CONFLICT_SEQUENCE_FIELD_NUMBER: _ClassVar[int]
    action: str
    target: str
    winner: str
    conflict_sequence: int
    def __init__(self, action: _Optional[str] = ..., target: _Optional[str] = ..., winner: _Optional[str] = ..., conflict_sequence: _Optional[int] = ...) -> None: ...

class ConflictResolved(_message.Message):
    __slots__ = ("conflict_sequence", "winner", "loser", "strategy")
    CONFLICT_SEQUENCE_FIELD_NUMBER: _ClassVar[int]
    WINNER_FIELD_NUMBER: _ClassVar[int]
    LOSER_FIELD_NUMBER: _ClassVar[int]
    STRATEGY_FIELD_NUMBER: _ClassVar[int]
    conflict_sequence: int
    winner: str
    loser: str
    strategy: _policy_pb2.ConflictStrategy
    def __init__(self, conflict_sequence: _Optional[int] = ..., winner: _Optional[str] = ..., loser: _Optional[str] = ..., strategy: _Optional[_Union[_policy_pb2.ConflictStrategy, str]] = ...) -> None: ...
