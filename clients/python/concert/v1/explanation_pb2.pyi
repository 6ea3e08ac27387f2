import datetime

from concert.v1 import event_pb2 as _event_pb2
from concert.v1 import lock_pb2 as _lock_pb2
from concert.v1 import task_pb2 as _task_pb2
from google.protobuf import timestamp_pb2 as _timestamp_pb2
from google.protobuf.internal import containers as _containers
from google.protobuf.internal import enum_type_wrapper as _enum_type_wrapper
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from collections.abc import Iterable as _Iterable, Mapping as _Mapping
from typing import ClassVar as _ClassVar, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class WaitKind(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    WAIT_KIND_UNSPECIFIED: _ClassVar[WaitKind]
    WAIT_KIND_DEPENDENCY: _ClassVar[WaitKind]
    WAIT_KIND_BACK_OFF: _ClassVar[WaitKind]
    WAIT_KIND_NO_AGENT: _ClassVar[WaitKind]
    WAIT_KIND_SLOTS: _ClassVar[WaitKind]
    WAIT_KIND_DETACHED: _ClassVar[WaitKind]
    WAIT_KIND_DRAINING: _ClassVar[WaitKind]
    WAIT_KIND_CIRCUIT: _ClassVar[WaitKind]
    WAIT_KIND_LIMIT: _ClassVar[WaitKind]
    WAIT_KIND_LOCK: _ClassVar[WaitKind]
    WAIT_KIND_QUEUE: _ClassVar[WaitKind]
    WAIT_KIND_EXECUTION: _ClassVar[WaitKind]
    WAIT_KIND_CANCELLATION: _ClassVar[WaitKind]
    WAIT_KIND_TASKS: _ClassVar[WaitKind]
    WAIT_KIND_OPEN: _ClassVar[WaitKind]
    WAIT_KIND_WORK: _ClassVar[WaitKind]

class CandidateVerdict(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    CANDIDATE_VERDICT_UNSPECIFIED: _ClassVar[CandidateVerdict]
    CANDIDATE_VERDICT_AVAILABLE: _ClassVar[CandidateVerdict]
    CANDIDATE_VERDICT_NO_SLOT: _ClassVar[CandidateVerdict]
    CANDIDATE_VERDICT_DETACHED: _ClassVar[CandidateVerdict]
    CANDIDATE_VERDICT_DRAINING: _ClassVar[CandidateVerdict]
    CANDIDATE_VERDICT_CIRCUIT_OPEN: _ClassVar[CandidateVerdict]
    CANDIDATE_VERDICT_DISCONNECTED: _ClassVar[CandidateVerdict]
WAIT_KIND_UNSPECIFIED: WaitKind
WAIT_KIND_DEPENDENCY: WaitKind
WAIT_KIND_BACK_OFF: WaitKind
WAIT_KIND_NO_AGENT: WaitKind
WAIT_KIND_SLOTS: WaitKind
WAIT_KIND_DETACHED: WaitKind
WAIT_KIND_DRAINING: WaitKind
WAIT_KIND_CIRCUIT: WaitKind
WAIT_KIND_LIMIT: WaitKind
WAIT_KIND_LOCK: WaitKind
WAIT_KIND_QUEUE: WaitKind
WAIT_KIND_EXECUTION: WaitKind
WAIT_KIND_CANCELLATION: WaitKind
WAIT_KIND_TASKS: WaitKind
WAIT_KIND_OPEN: WaitKind
WAIT_KIND_WORK: WaitKind
CANDIDATE_VERDICT_UNSPECIFIED: CandidateVerdict
CANDIDATE_VERDICT_AVAILABLE: CandidateVerdict
CANDIDATE_VERDICT_NO_SLOT: CandidateVerdict
CANDIDATE_VERDICT_DETACHED: CandidateVerdict
CANDIDATE_VERDICT_DRAINING: CandidateVerdict
CANDIDATE_VERDICT_CIRCUIT_OPEN: CandidateVerdict
CANDIDATE_VERDICT_DISCONNECTED: CandidateVerdict

class Explanation(_message.Message):
    __slots__ = ("subject", "summary", "waiting", "waiting_total", "causes", "earlier_cause", "effects", "sequence")
    SUBJECT_FIELD_NUMBER: _ClassVar[int]
    SUMMARY_FIELD_NUMBER: _ClassVar[int]
    WAITING_FIELD_NUMBER: _ClassVar[int]
    WAITING_TOTAL_FIELD_NUMBER: _ClassVar[int]
    CAUSES_FIELD_NUMBER: _ClassVar[int]
    EARLIER_CAUSE_FIELD_NUMBER: _ClassVar[int]
    EFFECTS_FIELD_NUMBER: _ClassVar[int]
    SEQUENCE_FIELD_NUMBER: _ClassVar[int]
    subject: str
    summary: str
    waiting: _containers.RepeatedCompositeFieldContainer[Waiting]
    waiting_total: int
    causes: _containers.RepeatedCompositeFieldContainer[CauseStep]
    earlier_cause: int
    effects: _containers.RepeatedCompositeFieldContainer[CauseStep]
    sequence: int
    def __init__(self, subject: _Optional[str] = ..., summary: _Optional[str] = ..., waiting: _Optional[_Iterable[_Union[Waiting, _Mapping]]] = ..., waiting_total: _Optional[int] = ..., causes: _Optional[_Iterable[_Union[CauseStep, _Mapping]]] = ..., earlier_cause: _Optional[int] = ..., effects: _Optional[_Iterable[_Union[CauseStep, _Mapping]]] = ..., sequence: _Optional[int] = ...) -> None: ...

class Waiting(_message.Message):
    __slots__ = ("run_id", "task_id", "request_sequence", "holder", "agent_id", "status", "since", "text", "blockers", "candidates")
    RUN_ID_FIELD_NUMBER: _ClassVar[int]
    TASK_ID_FIELD_NUMBER: _ClassVar[int]
    REQUEST_SEQUENCE_FIELD_NUMBER: _ClassVar[int]
    HOLDER_FIELD_NUMBER: _ClassVar[int]
    AGENT_ID_FIELD_NUMBER: _ClassVar[int]
    STATUS_FIELD_NUMBER: _ClassVar[int]
    SINCE_FIELD_NUMBER: _ClassVar[int]
    TEXT_FIELD_NUMBER: _ClassVar[int]
    BLOCKERS_FIELD_NUMBER: _ClassVar[int]
    CANDIDATES_FIELD_NUMBER: _ClassVar[int]
    run_id: str
    task_id: str
    request_sequence: int
    holder: str
    agent_id: str
    status: _task_pb2.TaskStatus
    since: _timestamp_pb2.Timestamp
    text: str
    blockers: _containers.RepeatedCompositeFieldContainer[Blocker]
    candidates: _containers.RepeatedCompositeFieldContainer[Candidate]
    def __init__(self, run_id: _Optional[str] = ..., task_id: _Optional[str] = ..., request_sequence: _Optional[int] = ..., holder: _Optional[str] = ..., agent_id: _Optional[str] = ..., status: _Optional[_Union[_task_pb2.TaskStatus, str]] = ..., since: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., text: _Optional[str] = ..., blockers: _Optional[_Iterable[_Union[Blocker, _Mapping]]] = ..., candidates: _Optional[_Iterable[_Union[Candidate, _Mapping]]] = ...) -> None: ...

class Blocker(_message.Message):
    __slots__ = ("kind", "text", "tasks", "agents", "resource", "holders", "requests", "position", "limit", "limit_max", "in_use", "until", "sequence")
    KIND_FIELD_NUMBER: _ClassVar[int]
    TEXT_FIELD_NUMBER: _ClassVar[int]
    TASKS_FIELD_NUMBER: _ClassVar[int]
    AGENTS_FIELD_NUMBER: _ClassVar[int]
    RESOURCE_FIELD_NUMBER: _ClassVar[int]
    HOLDERS_FIELD_NUMBER: _ClassVar[int]
    REQUESTS_FIELD_NUMBER: _ClassVar[int]
    POSITION_FIELD_NUMBER: _ClassVar[int]
    LIMIT_FIELD_NUMBER: _ClassVar[int]
    LIMIT_MAX_FIELD_NUMBER: _ClassVar[int]
    IN_USE_FIELD_NUMBER: _ClassVar[int]
    UNTIL_FIELD_NUMBER: _ClassVar[int]
    SEQUENCE_FIELD_NUMBER: _ClassVar[int]
    kind: WaitKind
    text: str
    tasks: _containers.RepeatedCompositeFieldContainer[TaskRef]
    agents: _containers.RepeatedScalarFieldContainer[str]
    resource: str
    holders: _containers.RepeatedCompositeFieldContainer[_lock_pb2.LockGrant]
    requests: _containers.RepeatedScalarFieldContainer[int]
    position: int
    limit: str
    limit_max: int
    in_use: int
    until: _timestamp_pb2.Timestamp
    sequence: int
    def __init__(self, kind: _Optional[_Union[WaitKind, str]] = ..., text: _Optional[str] = ..., tasks: _Optional[_Iterable[_Union[TaskRef, _Mapping]]] = ..., agents: _Optional[_Iterable[str]] = ..., resource: _Optional[str] = ..., holders: _Optional[_Iterable[_Union[_lock_pb2.LockGrant, _Mapping]]] = ..., requests: _Optional[_Iterable[int]] = ..., position: _Optional[int] = ..., limit: _Optional[str] = ..., limit_max: _Optional[int] = ..., in_use: _Optional[int] = ..., until: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., sequence: _Optional[int] = ...) -> None: ...

class TaskRef(_message.Message):
    __slots__ = ("run_id", "task_id")
    RUN_ID_FIELD_NUMBER: _ClassVar[int]
    TASK_ID_FIELD_NUMBER: _ClassVar[int]
    run_id: str
    task_id: str
    def __init__(self, run_id: _Optional[str] = ..., task_id: _Optional[str] = ...) -> None: ...

class Candidate(_message.Message):
    __slots__ = ("agent_id", "agent_name", "verdict", "text", "slots", "attempts_running")
    AGENT_ID_FIELD_NUMBER: _ClassVar[int]
    AGENT_NAME_FIELD_NUMBER: _ClassVar[int]
    VERDICT_FIELD_NUMBER: _ClassVar[int]
    TEXT_FIELD_NUMBER: _ClassVar[int]
    SLOTS_FIELD_NUMBER: _ClassVar[int]
    ATTEMPTS_RUNNING_FIELD_NUMBER: _ClassVar[int]
    agent_id: str
    agent_name: str
    verdict: CandidateVerdict
    text: str
    slots: int
    attempts_running: int
    def __init__(self, agent_id: _Optional[str] = ..., agent_name: _Optional[str] = ..., verdict: _Optional[_Union[CandidateVerdict, str]] = ..., text: _Optional[str] = ..., slots: _Optional[int] = ..., attempts_running: _Optional[int] = ...) -> None: ...

class CauseStep(_message.Message):
    __slots__ = ("sequence", "type", "reason", "cause", "timestamp", "text", "agent_id", "agent_name", "run_id", "task_id", "traceparent", "principal")
    SEQUENCE_FIELD_NUMBER: _ClassVar[int]
    TYPE_FIELD_NUMBER: _ClassVar[int]
    REASON_FIELD_NUMBER: _ClassVar[int]
    CAUSE_FIELD_NUMBER: _ClassVar[int]
    TIMESTAMP_FIELD_NUMBER: _ClassVar[int]
    TEXT_FIELD_NUMBER: _ClassVar[int]
    AGENT_ID_FIELD_NUMBER: _ClassVar[int]
    AGENT_NAME_FIELD_NUMBER: _ClassVar[int]
    RUN_ID_FIELD_NUMBER: _ClassVar[int]
    TASK_ID_FIELD_NUMBER: _ClassVar[int]
    TRACEPARENT_FIELD_NUMBER: _ClassVar[int]
    PRINCIPAL_FIELD_NUMBER: _ClassVar[int]
    sequence: int
    type: _event_pb2.EventType
    reason: str
    cause: int
    timestamp: _timestamp_pb2.Timestamp
    text: str
    agent_id: str
    agent_name: str
    run_id: str
    task_id: str
    traceparent: str
    principal: str
    def __init__(self, sequence: _Optional[int] = ..., type: _Optional[_Union[_event_pb2.EventType, str]] = ..., reason: _Optional[str] = ..., cause: _Optional[int] = ..., timestamp: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., text: _Optional[str] = ..., agent_id: _Optional[str] = ..., agent_name: _Optional[str] = ..., run_id: _Optional[str] = ..., task_id: _Optional[str] = ..., traceparent: _Optional[str] = ..., principal: _Optional[str] = ...) -> None: ...
