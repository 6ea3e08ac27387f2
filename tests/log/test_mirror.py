"""The table between core dataclasses and messages: nothing is missing on either side, nothing is lost on the way."""

from __future__ import annotations

from dataclasses import fields
from enum import IntEnum
from typing import Any

import pytest
from concert.v1 import (
    agent_pb2,
    circuit_pb2,
    event_pb2,
    lock_pb2,
    payload_pb2,
    policy_pb2,
    run_pb2,
    state_pb2,
    task_pb2,
)
from google.protobuf import struct_pb2
from google.protobuf.descriptor import Descriptor, FileDescriptor
from hypothesis import given, settings
from hypothesis import strategies as st

from coordinator_service.core import specs
from coordinator_service.core.events import EventType, StateUpdated
from coordinator_service.core.values import LockMode, MergeStrategy
from coordinator_service.log import mirror
from coordinator_service.log.mirror import InvalidField, from_proto, mirrored_classes, mirrored_enums, to_proto
from tests.log.strategies import PAYLOAD_CLASSES, instances

FILES: list[FileDescriptor] = [
    module.DESCRIPTOR
    for module in (agent_pb2, circuit_pb2, event_pb2, lock_pb2, payload_pb2, policy_pb2, run_pb2, state_pb2, task_pb2)
]
NOT_IN_THE_CORE = {"Payload", "EventBatch", "EventDraft", "EventFilter"}
MESSAGES: dict[str, Descriptor] = {
    name: message for file in FILES for name, message in file.message_types_by_name.items()
}
TIMED = {"google.protobuf.Timestamp", "google.protobuf.Duration"}


def field_names(message: Descriptor) -> set[str]:
    """What the dataclass of a message has to have."""
    return {
        f"{field.name}_ns" if field.message_type and field.message_type.full_name in TIMED else field.name
        for field in message.fields
    }


def test_every_message_is_mirrored_by_a_dataclass() -> None:
    """A message of the contract's nouns has a dataclass in the core, unless it is named here."""
    assert set(mirrored_classes()) == set(MESSAGES) - NOT_IN_THE_CORE


@pytest.mark.parametrize("name", sorted(set(mirrored_classes()) - {"Event"}))
def test_a_dataclass_has_exactly_the_fields_of_its_message(name: str) -> None:
    """Neither side has a field that the other has not."""
    assert {each.name for each in fields(mirrored_classes()[name])} == field_names(MESSAGES[name])


def test_the_envelope_has_the_fields_of_event() -> None:
    """Event has the message's fields but for what the codec adds, and one payload for its oneof."""
    message = MESSAGES["Event"]
    expected = field_names(message) - {each.name for each in message.oneofs_by_name["payload"].fields}
    expected = expected - {"log_id", "namespace", "type", "timestamp_ns"} | {"time_ns", "payload"}
    assert {each.name for each in fields(mirrored_classes()["Event"])} == expected


def test_every_payload_states_its_type() -> None:
    """The payload oneof, the core's Payload union and EventType name the same facts."""
    oneof = MESSAGES["Event"].oneofs_by_name["payload"].fields
    by_message = {field.message_type.name: field.name.upper() for field in oneof if field.message_type}
    types: dict[str, EventType] = {cls.__name__: cls.__dict__["type"] for cls in PAYLOAD_CLASSES}
    assert {name: each.name for name, each in types.items()} == by_message
    assert set(types.values()) == set(EventType)


@pytest.mark.parametrize("name", sorted(mirrored_enums()))
def test_enum_numbers_are_those_of_the_contract(name: str) -> None:
    """A member has the number of the enum value of its name."""
    enums = {name: enum for file in FILES for name, enum in file.enum_types_by_name.items()}
    prefix = "".join(f"_{letter}" if letter.isupper() else letter.upper() for letter in name).removeprefix("_") + "_"
    ours: type[IntEnum] = mirrored_enums()[name]
    theirs = {value.name.removeprefix(prefix): value.number for value in enums[name].values}
    expected = theirs if "UNSPECIFIED" in ours.__members__ else {k: v for k, v in theirs.items() if v}
    assert {member.name: member.value for member in ours} == expected


@pytest.mark.parametrize("cls", mirrored_classes().values(), ids=lambda cls: cls.__name__)
@given(data=st.data())
@settings(max_examples=25, deadline=None)
def test_there_and_back_is_the_same(cls: type, data: st.DataObject) -> None:
    """Every dataclass survives being a message, also an encoded one."""
    value = data.draw(instances(cls))
    message = to_proto(value)
    assert from_proto(type(message).FromString(message.SerializeToString())) == value


def test_what_is_absent_is_none_or_empty() -> None:
    """Unset durations, optional numbers and submessages are None; unset times are 0; zero is not None."""
    read = from_proto(task_pb2.TaskSpec(task_id="a"))
    assert (read.priority, read.max_execution_time_ns, read.retry, read.input) == (None, None, None, None)
    assert read.target == specs.TaskTarget()
    message = task_pb2.TaskSpec(priority=0)
    message.max_execution_time.SetInParent()
    message.input.SetInParent()
    read = from_proto(message)
    assert (read.priority, read.max_execution_time_ns, read.input) == (0, 0, b"")
    assert from_proto(lock_pb2.LockWaiter()).since_ns == 0


def test_unspecified_is_what_the_contract_says() -> None:
    """LockMode and MergeStrategy have a default, a strategy left to the policy is None."""
    assert from_proto(lock_pb2.LockRequest(resource="r")).mode is LockMode.EXCLUSIVE
    assert from_proto(lock_pb2.LockGrant(resource="r")).mode is LockMode.EXCLUSIVE
    assert from_proto(state_pb2.StateChange()).strategy is MergeStrategy.MERGE
    assert from_proto(policy_pb2.Policy()).conflict_strategy is None
    assert from_proto(state_pb2.ConflictResolved()).strategy is None
    with pytest.raises(InvalidField, match="status: must be set"):
        from_proto(task_pb2.Task())


def test_an_unknown_enum_number_is_named_by_its_path() -> None:
    """Bad input: an unknown enum value is refused with the field that has it."""
    spec = run_pb2.RunSpec()
    spec.tasks.add(task_id="a")
    spec.tasks.add(task_id="b").locks.add(resource="r", mode=99)
    with pytest.raises(InvalidField) as refused:
        from_proto(spec)
    assert refused.value.field == "tasks[1].locks[0].mode"
    assert "99" in refused.value.description


def nested(levels: int) -> Any:
    """A value with that many lists and maps within each other."""
    value: Any = 1.0
    for level in range(levels):
        value = [value] if level % 2 else {"k": value}
    return value


def test_json_nests_up_to_the_limit() -> None:
    """Bad input: 28 levels pass, 29 are refused and the field is named."""
    fits = to_proto(specs.StateUpdate(key="k", value=nested(mirror.JSON_DEPTH_MAX)))
    assert from_proto(type(fits).FromString(fits.SerializeToString())).value == nested(mirror.JSON_DEPTH_MAX)
    deeper = to_proto(specs.StateUpdate(key="k", value=nested(mirror.JSON_DEPTH_MAX + 1)))
    with pytest.raises(InvalidField, match="value: nests deeper than 28 levels"):
        from_proto(deeper)


@pytest.mark.parametrize("number", [float("nan"), float("inf"), float("-inf")])
def test_json_has_no_nan_or_infinity(number: float) -> None:
    """Bad input: what is no JSON number is refused wherever it lies, and the field is named."""
    change = state_pb2.StateChange()
    change.updates.add(key="a")
    change.updates.add(key="b").value.list_value.values.add(number_value=number)
    with pytest.raises(InvalidField) as refused:
        from_proto(change)
    assert refused.value.field == "updates[1].value"


def test_json_numbers_are_doubles() -> None:
    """Integers are written as numbers and read as floats; booleans stay booleans."""
    read = from_proto(to_proto(specs.StateUpdate(key="k", value={"n": 3, "b": True}))).value
    assert read == {"n": 3.0, "b": True}
    assert type(read["n"]) is float
    assert read["b"] is True


def test_null_is_written_where_a_value_belongs() -> None:
    """An update to null says null; a conflicting value that was left out says nothing."""
    update = to_proto(specs.StateUpdate(key="k"))
    assert update.value.WhichOneof("kind") == "null_value"
    left_out = to_proto(
        specs.ConflictingKey(key="k", their_key="k", their_writer="w", their_revision=1, their_timestamp_ns=1)
    )
    assert not left_out.HasField("attempted")
    assert from_proto(state_pb2.StateUpdate(key="k", value=struct_pb2.Value())).value is None


@pytest.mark.parametrize(("seconds", "nanos"), [(2**62, 0), (1, -1), (-1, 1), (0, 10**9), (0, -(10**9))])
def test_a_duration_out_of_range_is_refused(seconds: int, nanos: int) -> None:
    """Bad input: what is no Duration never reaches the core."""
    request = lock_pb2.LockRequest(resource="r")
    request.lease.seconds, request.lease.nanos = seconds, nanos
    with pytest.raises(InvalidField, match="lease: "):
        from_proto(request)


@pytest.mark.parametrize(("seconds", "nanos"), [(2**62, 0), (0, -1), (0, 10**9), (-(2**40), 0)])
def test_a_timestamp_out_of_range_is_refused(seconds: int, nanos: int) -> None:
    """Bad input: what is no Timestamp never reaches the core."""
    waiter = lock_pb2.LockWaiter(mode=lock_pb2.LOCK_MODE_SHARED)
    waiter.since.seconds, waiter.since.nanos = seconds, nanos
    with pytest.raises(InvalidField, match="since: "):
        from_proto(waiter)


@given(st.integers(-(10**18), 10**18))
def test_durations_have_one_sign(ns: int) -> None:
    """seconds and nanos of a Duration never disagree, as its definition demands."""
    message = to_proto(specs.LockRequest(resource="r", lease_ns=ns))
    assert message.lease.seconds * message.lease.nanos >= 0
    assert from_proto(message).lease_ns == ns


def test_an_event_without_a_known_payload_is_refused() -> None:
    """A message that states nothing is no event."""
    with pytest.raises(InvalidField, match="payload"):
        from_proto(event_pb2.Event(sequence=1))


def test_fill_writes_into_a_message_that_is_there() -> None:
    """A response's field is filled in place."""
    message = event_pb2.Event()
    mirror.fill(StateUpdated(updates=(), merge_strategy=MergeStrategy.APPEND), message.state_updated)
    assert message.state_updated.merge_strategy == state_pb2.MERGE_STRATEGY_APPEND
