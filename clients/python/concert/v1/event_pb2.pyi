import datetime

from concert.v1 import agent_pb2 as _agent_pb2
from concert.v1 import circuit_pb2 as _circuit_pb2
from concert.v1 import lock_pb2 as _lock_pb2
from concert.v1 import payload_pb2 as _payload_pb2
from concert.v1 import policy_pb2 as _policy_pb2
from concert.v1 import run_pb2 as _run_pb2
from concert.v1 import state_pb2 as _state_pb2
from concert.v1 import task_pb2 as _task_pb2
from google.protobuf import timestamp_pb2 as _timestamp_pb2
from google.protobuf.internal import containers as _containers
from google.protobuf.internal import enum_type_wrapper as _enum_type_wrapper
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from collections.abc import Iterable as _Iterable, Mapping as _Mapping
from typing import ClassVar as _ClassVar, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class EventType(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    EVENT_TYPE_UNSPECIFIED: _ClassVar[EventType]
    EVENT_TYPE_AGENT_STARTED: _ClassVar[EventType]
    EVENT_TYPE_AGENT_COMPLETED: _ClassVar[EventType]
    EVENT_TYPE_AGENT_FAILED: _ClassVar[EventType]
    EVENT_TYPE_STATE_UPDATED: _ClassVar[EventType]
    EVENT_TYPE_RESOURCE_REQUESTED: _ClassVar[EventType]
    EVENT_TYPE_RESOURCE_ACQUIRED: _ClassVar[EventType]
    EVENT_TYPE_RESOURCE_RELEASED: _ClassVar[EventType]
    EVENT_TYPE_CONFLICT_DETECTED: _ClassVar[EventType]
    EVENT_TYPE_COORDINATION_REQUIRED: _ClassVar[EventType]
    EVENT_TYPE_OWNER_STARTED: _ClassVar[EventType]
    EVENT_TYPE_AGENT_REGISTERED: _ClassVar[EventType]
    EVENT_TYPE_AGENT_UPDATED: _ClassVar[EventType]
    EVENT_TYPE_AGENT_DETACHED: _ClassVar[EventType]
    EVENT_TYPE_AGENT_ATTACHED: _ClassVar[EventType]
    EVENT_TYPE_AGENT_DISCONNECTED: _ClassVar[EventType]
    EVENT_TYPE_AGENT_DRAINING: _ClassVar[EventType]
    EVENT_TYPE_RUN_SUBMITTED: _ClassVar[EventType]
    EVENT_TYPE_TASK_ADDED: _ClassVar[EventType]
    EVENT_TYPE_RUN_RETRIED: _ClassVar[EventType]
    EVENT_TYPE_RUN_COMPLETED: _ClassVar[EventType]
    EVENT_TYPE_RUN_CANCELLED: _ClassVar[EventType]
    EVENT_TYPE_RUN_EXTENDED: _ClassVar[EventType]
    EVENT_TYPE_RUN_RESTATED: _ClassVar[EventType]
    EVENT_TYPE_TASK_ASSIGNED: _ClassVar[EventType]
    EVENT_TYPE_TASK_PROGRESSED: _ClassVar[EventType]
    EVENT_TYPE_TASK_CANCEL_REQUESTED: _ClassVar[EventType]
    EVENT_TYPE_TASK_RETRY_SCHEDULED: _ClassVar[EventType]
    EVENT_TYPE_TASK_SKIPPED: _ClassVar[EventType]
    EVENT_TYPE_TASK_CANCELLED: _ClassVar[EventType]
    EVENT_TYPE_TASK_RESTATED: _ClassVar[EventType]
    EVENT_TYPE_RESOURCE_REQUEST_TIMED_OUT: _ClassVar[EventType]
    EVENT_TYPE_RESOURCE_REQUEST_REFUSED: _ClassVar[EventType]
    EVENT_TYPE_RESOURCE_REQUEST_WITHDRAWN: _ClassVar[EventType]
    EVENT_TYPE_RESOURCE_REQUEST_REATTACHED: _ClassVar[EventType]
    EVENT_TYPE_CONFLICT_RESOLVED: _ClassVar[EventType]
    EVENT_TYPE_CIRCUIT_OPENED: _ClassVar[EventType]
    EVENT_TYPE_CIRCUIT_HALF_OPENED: _ClassVar[EventType]
    EVENT_TYPE_CIRCUIT_CLOSED: _ClassVar[EventType]
    EVENT_TYPE_POLICY_CHANGED: _ClassVar[EventType]
    EVENT_TYPE_CUSTOM: _ClassVar[EventType]
EVENT_TYPE_UNSPECIFIED: EventType
EVENT_TYPE_AGENT_STARTED: EventType
EVENT_TYPE_AGENT_COMPLETED: EventType
EVENT_TYPE_AGENT_FAILED: EventType
EVENT_TYPE_STATE_UPDATED: EventType
EVENT_TYPE_RESOURCE_REQUESTED: EventType
EVENT_TYPE_RESOURCE_ACQUIRED: EventType
EVENT_TYPE_RESOURCE_RELEASED: EventType
EVENT_TYPE_CONFLICT_DETECTED: EventType
EVENT_TYPE_COORDINATION_REQUIRED: EventType
EVENT_TYPE_OWNER_STARTED: EventType
EVENT_TYPE_AGENT_REGISTERED: EventType
EVENT_TYPE_AGENT_UPDATED: EventType
EVENT_TYPE_AGENT_DETACHED: EventType
EVENT_TYPE_AGENT_ATTACHED: EventType
EVENT_TYPE_AGENT_DISCONNECTED: EventType
EVENT_TYPE_AGENT_DRAINING: EventType
EVENT_TYPE_RUN_SUBMITTED: EventType
EVENT_TYPE_TASK_ADDED: EventType
EVENT_TYPE_RUN_RETRIED: EventType
EVENT_TYPE_RUN_COMPLETED: EventType
EVENT_TYPE_RUN_CANCELLED: EventType
EVENT_TYPE_RUN_EXTENDED: EventType
EVENT_TYPE_RUN_RESTATED: EventType
EVENT_TYPE_TASK_ASSIGNED: EventType
EVENT_TYPE_TASK_PROGRESSED: EventType
EVENT_TYPE_TASK_CANCEL_REQUESTED: EventType
EVENT_TYPE_TASK_RETRY_SCHEDULED: EventType
EVENT_TYPE_TASK_SKIPPED: EventType
EVENT_TYPE_TASK_CANCELLED: EventType
EVENT_TYPE_TASK_RESTATED: EventType
EVENT_TYPE_RESOURCE_REQUEST_TIMED_OUT: EventType
EVENT_TYPE_RESOURCE_REQUEST_REFUSED: EventType
EVENT_TYPE_RESOURCE_REQUEST_WITHDRAWN: EventType
EVENT_TYPE_RESOURCE_REQUEST_REATTACHED: EventType
EVENT_TYPE_CONFLICT_RESOLVED: EventType
EVENT_TYPE_CIRCUIT_OPENED: EventType
EVENT_TYPE_CIRCUIT_HALF_OPENED: EventType
EVENT_TYPE_CIRCUIT_CLOSED: EventType
EVENT_TYPE_POLICY_CHANGED: EventType
EVENT_TYPE_CUSTOM: EventType

class Event(_message.Message):
    __slots__ = ("log_id", "namespace", "sequence", "event_id", "type", "agent_id", "agent_name", "run_id", "task_id", "timestamp", "cause", "reason", "traceparent", "principal", "metadata", "request", "agent_started", "agent_completed", "agent_failed", "state_updated", "resource_requested", "resource_acquired", "resource_released", "conflict_detected", "coordination_required", "owner_started", "agent_registered", "agent_updated", "agent_detached", "agent_attached", "agent_disconnected", "agent_draining", "run_submitted", "task_added", "run_retried", "run_completed", "run_cancelled", "run_extended", "run_restated", "task_assigned", "task_progressed", "task_cancel_requested", "task_retry_scheduled", "task_skipped", "task_cancelled", "task_restated", "resource_request_timed_out", "resource_request_refused", "resource_request_withdrawn", "resource_request_reattached", "conflict_resolved", "circuit_opened", "circuit_half_opened", "circuit_closed", "policy_changed", "custom")
    class MetadataEntry(_message.Message):
        __slots__ = ("key", "value")
        KEY_FIELD_NUMBER: _ClassVar[int]
        VALUE_FIELD_NUMBER: _ClassVar[int]
        key: str
        value: str
        def __init__(self, key: _Optional[str] = ..., value: _Optional[str] = ...) -> None: ...
    LOG_ID_FIELD_NUMBER: _ClassVar[int]
    NAMESPACE_FIELD_NUMBER: _ClassVar[int]
    SEQUENCE_FIELD_NUMBER: _ClassVar[int]
    EVENT_ID_FIELD_NUMBER: _ClassVar[int]
    TYPE_FIELD_NUMBER: _ClassVar[int]
    AGENT_ID_FIELD_NUMBER: _ClassVar[int]
    AGENT_NAME_FIELD_NUMBER: _ClassVar[int]
    RUN_ID_FIELD_NUMBER: _ClassVar[int]
    TASK_ID_FIELD_NUMBER: _ClassVar[int]
    TIMESTAMP_FIELD_NUMBER: _ClassVar[int]
    CAUSE_FIELD_NUMBER: _ClassVar[int]
    REASON_FIELD_NUMBER: _ClassVar[int]
    TRACEPARENT_FIELD_NUMBER: _ClassVar[int]
    PRINCIPAL_FIELD_NUMBER: _ClassVar[int]
    METADATA_FIELD_NUMBER: _ClassVar[int]
    REQUEST_FIELD_NUMBER: _ClassVar[int]
    AGENT_STARTED_FIELD_NUMBER: _ClassVar[int]
    AGENT_COMPLETED_FIELD_NUMBER: _ClassVar[int]
    AGENT_FAILED_FIELD_NUMBER: _ClassVar[int]
    STATE_UPDATED_FIELD_NUMBER: _ClassVar[int]
    RESOURCE_REQUESTED_FIELD_NUMBER: _ClassVar[int]
    RESOURCE_ACQUIRED_FIELD_NUMBER: _ClassVar[int]
    RESOURCE_RELEASED_FIELD_NUMBER: _ClassVar[int]
    CONFLICT_DETECTED_FIELD_NUMBER: _ClassVar[int]
    COORDINATION_REQUIRED_FIELD_NUMBER: _ClassVar[int]
    OWNER_STARTED_FIELD_NUMBER: _ClassVar[int]
    AGENT_REGISTERED_FIELD_NUMBER: _ClassVar[int]
    AGENT_UPDATED_FIELD_NUMBER: _ClassVar[int]
    AGENT_DETACHED_FIELD_NUMBER: _ClassVar[int]
    AGENT_ATTACHED_FIELD_NUMBER: _ClassVar[int]
    AGENT_DISCONNECTED_FIELD_NUMBER: _ClassVar[int]
    AGENT_DRAINING_FIELD_NUMBER: _ClassVar[int]
    RUN_SUBMITTED_FIELD_NUMBER: _ClassVar[int]
    TASK_ADDED_FIELD_NUMBER: _ClassVar[int]
    RUN_RETRIED_FIELD_NUMBER: _ClassVar[int]
    RUN_COMPLETED_FIELD_NUMBER: _ClassVar[int]
    RUN_CANCELLED_FIELD_NUMBER: _ClassVar[int]
    RUN_EXTENDED_FIELD_NUMBER: _ClassVar[int]
    RUN_RESTATED_FIELD_NUMBER: _ClassVar[int]
    TASK_ASSIGNED_FIELD_NUMBER: _ClassVar[int]
    TASK_PROGRESSED_FIELD_NUMBER: _ClassVar[int]
    TASK_CANCEL_REQUESTED_FIELD_NUMBER: _ClassVar[int]
    TASK_RETRY_SCHEDULED_FIELD_NUMBER: _ClassVar[int]
    TASK_SKIPPED_FIELD_NUMBER: _ClassVar[int]
    TASK_CANCELLED_FIELD_NUMBER: _ClassVar[int]
    TASK_RESTATED_FIELD_NUMBER: _ClassVar[int]
    RESOURCE_REQUEST_TIMED_OUT_FIELD_NUMBER: _ClassVar[int]
    RESOURCE_REQUEST_REFUSED_FIELD_NUMBER: _ClassVar[int]
    RESOURCE_REQUEST_WITHDRAWN_FIELD_NUMBER: _ClassVar[int]
    RESOURCE_REQUEST_REATTACHED_FIELD_NUMBER: _ClassVar[int]
    CONFLICT_RESOLVED_FIELD_NUMBER: _ClassVar[int]
    CIRCUIT_OPENED_FIELD_NUMBER: _ClassVar[int]
    CIRCUIT_HALF_OPENED_FIELD_NUMBER: _ClassVar[int]
    CIRCUIT_CLOSED_FIELD_NUMBER: _ClassVar[int]
    POLICY_CHANGED_FIELD_NUMBER: _ClassVar[int]
    CUSTOM_FIELD_NUMBER: _ClassVar[int]
    log_id: str
    namespace: str
    sequence: int
    event_id: str
    type: EventType
    agent_id: str
    agent_name: str
    run_id: str
    task_id: str
    timestamp: _timestamp_pb2.Timestamp
    cause: int
    reason: str
    traceparent: str
    principal: str
    metadata: _containers.ScalarMap[str, str]
    request: RequestRecord
    agent_started: _task_pb2.AgentStarted
    agent_completed: _task_pb2.AgentCompleted
    agent_failed: _task_pb2.AgentFailed
    state_updated: _state_pb2.StateUpdated
    resource_requested: _lock_pb2.ResourceRequested
    resource_acquired: _lock_pb2.ResourceAcquired
    resource_released: _lock_pb2.ResourceReleased
    conflict_detected: _state_pb2.ConflictDetected
    coordination_required: _state_pb2.CoordinationRequired
    owner_started: OwnerStarted
    agent_registered: _agent_pb2.AgentRegistered
    agent_updated: _agent_pb2.AgentUpdated
    agent_detached: _agent_pb2.AgentDetached
    agent_attached: _agent_pb2.AgentAttached
    agent_disconnected: _agent_pb2.AgentDisconnected
    agent_draining: _agent_pb2.AgentDraining
    run_submitted: _run_pb2.RunSubmitted
    task_added: _task_pb2.TaskAdded
    run_retried: _run_pb2.RunRetried
    run_completed: _run_pb2.RunCompleted
    run_cancelled: _run_pb2.RunCancelled
    run_extended: _run_pb2.RunExtended
    run_restated: _run_pb2.RunRestated
    task_assigned: _task_pb2.TaskAssigned
    task_progressed: _task_pb2.TaskProgressed
    task_cancel_requested: _task_pb2.TaskCancelRequested
    task_retry_scheduled: _task_pb2.TaskRetryScheduled
    task_skipped: _task_pb2.TaskSkipped
    task_cancelled: _task_pb2.TaskCancelled
    task_restated: _task_pb2.TaskRestated
    resource_request_timed_out: _lock_pb2.ResourceRequestTimedOut
    resource_request_refused: _lock_pb2.ResourceRequestRefused
    resource_request_withdrawn: _lock_pb2.ResourceRequestWithdrawn
    resource_request_reattached: _lock_pb2.ResourceRequestReattached
    conflict_resolved: _state_pb2.ConflictResolved
    circuit_opened: _circuit_pb2.CircuitOpened
    circuit_half_opened: _circuit_pb2.CircuitHalfOpened
    circuit_closed: _circuit_pb2.CircuitClosed
    policy_changed: _policy_pb2.PolicyChanged
    custom: CustomEvent
    def __init__(self, log_id: _Optional[str] = ..., namespace: _Optional[str] = ..., sequence: _Optional[int] = ..., event_id: _Optional[str] = ..., type: _Optional[_Union[EventType, str]] = ..., agent_id: _Optional[str] = ..., agent_name: _Optional[str] = ..., run_id: _Optional[str] = ..., task_id: _Optional[str] = ..., timestamp: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., cause: _Optional[int] = ..., reason: _Optional[str] = ..., traceparent: _Optional[str] = ..., principal: _Optional[str] = ..., metadata: _Optional[_Mapping[str, str]] = ..., request: _Optional[_Union[RequestRecord, _Mapping]] = ..., agent_started: _Optional[_Union[_task_pb2.AgentStarted, _Mapping]] = ..., agent_completed: _Optional[_Union[_task_pb2.AgentCompleted, _Mapping]] = ..., agent_failed: _Optional[_Union[_task_pb2.AgentFailed, _Mapping]] = ..., state_updated: _Optional[_Union[_state_pb2.StateUpdated, _Mapping]] = ..., resource_requested: _Optional[_Union[_lock_pb2.ResourceRequested, _Mapping]] = ..., resource_acquired: _Optional[_Union[_lock_pb2.ResourceAcquired, _Mapping]] = ..., resource_released: _Optional[_Union[_lock_pb2.ResourceReleased, _Mapping]] = ..., conflict_detected: _Optional[_Union[_state_pb2.ConflictDetected, _Mapping]] = ..., coordination_required: _Optional[_Union[_state_pb2.CoordinationRequired, _Mapping]] = ..., owner_started: _Optional[_Union[OwnerStarted, _Mapping]] = ..., agent_registered: _Optional[_Union[_agent_pb2.AgentRegistered, _Mapping]] = ..., agent_updated: _Optional[_Union[_agent_pb2.AgentUpdated, _Mapping]] = ..., agent_detached: _Optional[_Union[_agent_pb2.AgentDetached, _Mapping]] = ..., agent_attached: _Optional[_Union[_agent_pb2.AgentAttached, _Mapping]] = ..., agent_disconnected: _Optional[_Union[_agent_pb2.AgentDisconnected, _Mapping]] = ..., agent_draining: _Optional[_Union[_agent_pb2.AgentDraining, _Mapping]] = ..., run_submitted: _Optional[_Union[_run_pb2.RunSubmitted, _Mapping]] = ..., task_added: _Optional[_Union[_task_pb2.TaskAdded, _Mapping]] = ..., run_retried: _Optional[_Union[_run_pb2.RunRetried, _Mapping]] = ..., run_completed: _Optional[_Union[_run_pb2.RunCompleted, _Mapping]] = ..., run_cancelled: _Optional[_Union[_run_pb2.RunCancelled, _Mapping]] = ..., run_extended: _Optional[_Union[_run_pb2.RunExtended, _Mapping]] = ..., run_restated: _Optional[_Union[_run_pb2.RunRestated, _Mapping]] = ..., task_assigned: _Optional[_Union[_task_pb2.TaskAssigned, _Mapping]] = ..., task_progressed: _Optional[_Union[_task_pb2.TaskProgressed, _Mapping]] = ..., task_cancel_requested: _Optional[_Union[_task_pb2.TaskCancelRequested, _Mapping]] = ..., task_retry_scheduled: _Optional[_Union[_task_pb2.TaskRetryScheduled, _Mapping]] = ..., task_skipped: _Optional[_Union[_task_pb2.TaskSkipped, _Mapping]] = ..., task_cancelled: _Optional[_Union[_task_pb2.TaskCancelled, _Mapping]] = ..., task_restated: _Optional[_Union[_task_pb2.TaskRestated, _Mapping]] = ..., resource_request_timed_out: _Optional[_Union[_lock_pb2.ResourceRequestTimedOut, _Mapping]] = ..., resource_request_refused: _Optional[_Union[_lock_pb2.ResourceRequestRefused, _Mapping]] = ..., resource_request_withdrawn: _Optional[_Union[_lock_pb2.ResourceRequestWithdrawn, _Mapping]] = ..., resource_request_reattached: _Optional[_Union[_lock_pb2.ResourceRequestReattached, _Mapping]] = ..., conflict_resolved: _Optional[_Union[_state_pb2.ConflictResolved, _Mapping]] = ..., circuit_opened: _Optional[_Union[_circuit_pb2.CircuitOpened, _Mapping]] = ..., circuit_half_opened: _Optional[_Union[_circuit_pb2.CircuitHalfOpened, _Mapping]] = ..., circuit_closed: _Optional[_Union[_circuit_pb2.CircuitClosed, _Mapping]] = ..., policy_changed: _Optional[_Union[_policy_pb2.PolicyChanged, _Mapping]] = ..., custom: _Optional[_Union[CustomEvent, _Mapping]] = ...) -> None: ...

class EventBatch(_message.Message):
    __slots__ = ("events",)
    EVENTS_FIELD_NUMBER: _ClassVar[int]
    events: _containers.RepeatedCompositeFieldContainer[Event]
    def __init__(self, events: _Optional[_Iterable[_Union[Event, _Mapping]]] = ...) -> None: ...

class EventDraft(_message.Message):
    __slots__ = ("custom", "event_id", "run_id", "task_id", "metadata", "traceparent")
    class MetadataEntry(_message.Message):
        __slots__ = ("key", "value")
        KEY_FIELD_NUMBER: _ClassVar[int]
        VALUE_FIELD_NUMBER: _ClassVar[int]
        key: str
        value: str
        def __init__(self, key: _Optional[str] = ..., value: _Optional[str] = ...) -> None: ...
    CUSTOM_FIELD_NUMBER: _ClassVar[int]
    EVENT_ID_FIELD_NUMBER: _ClassVar[int]
    RUN_ID_FIELD_NUMBER: _ClassVar[int]
    TASK_ID_FIELD_NUMBER: _ClassVar[int]
    METADATA_FIELD_NUMBER: _ClassVar[int]
    TRACEPARENT_FIELD_NUMBER: _ClassVar[int]
    custom: CustomEvent
    event_id: str
    run_id: str
    task_id: str
    metadata: _containers.ScalarMap[str, str]
    traceparent: str
    def __init__(self, custom: _Optional[_Union[CustomEvent, _Mapping]] = ..., event_id: _Optional[str] = ..., run_id: _Optional[str] = ..., task_id: _Optional[str] = ..., metadata: _Optional[_Mapping[str, str]] = ..., traceparent: _Optional[str] = ...) -> None: ...

class CustomEvent(_message.Message):
    __slots__ = ("name", "data")
    NAME_FIELD_NUMBER: _ClassVar[int]
    DATA_FIELD_NUMBER: _ClassVar[int]
    name: str
    data: _payload_pb2.Payload
    def __init__(self, name: _Optional[str] = ..., data: _Optional[_Union[_payload_pb2.Payload, _Mapping]] = ...) -> None: ...

class RequestRecord(_message.Message):
    __slots__ = ("method", "request_id", "digest", "count")
    METHOD_FIELD_NUMBER: _ClassVar[int]
    REQUEST_ID_FIELD_NUMBER: _ClassVar[int]
    DIGEST_FIELD_NUMBER: _ClassVar[int]
    COUNT_FIELD_NUMBER: _ClassVar[int]
    method: str
    request_id: str
    digest: bytes
    count: int
    def __init__(self, method: _Optional[str] = ..., request_id: _Optional[str] = ..., digest: _Optional[bytes] = ..., count: _Optional[int] = ...) -> None: ...

class OwnerStarted(_message.Message):
    __slots__ = ("epoch", "replica_id", "limits", "log_format")
    class LimitsEntry(_message.Message):
        __slots__ = ("key", "value")
        KEY_FIELD_NUMBER: _ClassVar[int]
        VALUE_FIELD_NUMBER: _ClassVar[int]
        key: str
        value: int
        def __init__(self, key: _Optional[str] = ..., value: _Optional[int] = ...) -> None: ...
    EPOCH_FIELD_NUMBER: _ClassVar[int]
    REPLICA_ID_FIELD_NUMBER: _ClassVar[int]
    LIMITS_FIELD_NUMBER: _ClassVar[int]
    LOG_FORMAT_FIELD_NUMBER: _ClassVar[int]
    epoch: int
    replica_id: str
    limits: _containers.ScalarMap[str, int]
    log_format: int
    def __init__(self, epoch: _Optional[int] = ..., replica_id: _Optional[str] = ..., limits: _Optional[_Mapping[str, int]] = ..., log_format: _Optional[int] = ...) -> None: ...

class EventFilter(_message.Message):
    __slots__ = ("types", "agent_ids", "agent_names", "run_ids", "task_ids", "custom_names")
    TYPES_FIELD_NUMBER: _ClassVar[int]
    AGENT_IDS_FIELD_NUMBER: _ClassVar[int]
    AGENT_NAMES_FIELD_NUMBER: _ClassVar[int]
    RUN_IDS_FIELD_NUMBER: _ClassVar[int]
    TASK_IDS_FIELD_NUMBER: _ClassVar[int]
    CUSTOM_NAMES_FIELD_NUMBER: _ClassVar[int]
    types: _containers.RepeatedScalarFieldContainer[EventType]
    agent_ids: _containers.RepeatedScalarFieldContainer[str]
    agent_names: _containers.RepeatedScalarFieldContainer[str]
    run_ids: _containers.RepeatedScalarFieldContainer[str]
    task_ids: _containers.RepeatedScalarFieldContainer[str]
    custom_names: _containers.RepeatedScalarFieldContainer[str]
    def __init__(self, types: _Optional[_Iterable[_Union[EventType, str]]] = ..., agent_ids: _Optional[_Iterable[str]] = ..., agent_names: _Optional[_Iterable[str]] = ..., run_ids: _Optional[_Iterable[str]] = ..., task_ids: _Optional[_Iterable[str]] = ..., custom_names: _Optional[_Iterable[str]] = ...) -> None: ...
