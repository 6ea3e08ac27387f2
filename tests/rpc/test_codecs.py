"""Requests on their way in: whatever is sent is either a command or refused by its fields, however it was encoded."""

from __future__ import annotations

from random import Random
from typing import Any

import pytest
from concert.v1 import run_service_pb2
from google.protobuf.descriptor import Descriptor, FieldDescriptor
from hypothesis import given, settings
from hypothesis import strategies as st

from coordinator_service.core.commands import Caller, Command
from coordinator_service.core.rejections import InvalidField
from coordinator_service.rpc.dispatch import OPERATIONS, Operation, Scope
from coordinator_service.rpc.operations.runs import SUBMIT_RUN

SCOPE = Scope(namespace="default", log_id="log-1", principal="alice", session_id=7)
UNKNOWN_FIELDS = b"\xf8\x7f\x05" + b"\xf2\x7f\x03abc"  # fields 2047 and 2046 of a later version
PREPARED = [operation for operation in OPERATIONS if operation.method != "KeepAlive"]
"""KeepAlive is in the table by name only."""

TEXTS = ["", "a", "a/b", "ä", "x" * 200, "x" * 600, "a//b", "\n", "session/3", "default"]
NUMBERS = [0, 1, 2, 9, 10, 1000, 2**31 - 1]
FLOATS = [0.0, 0.5, -1.0, float("nan"), float("inf"), 1e300]


def fill(chance: Random, message: Any, depth: int = 5) -> Any:
    """Sets some fields of a message to something, sensible or not."""
    descriptor: Descriptor = message.DESCRIPTOR
    for field in descriptor.fields:
        if chance.random() < 0.4:
            continue
        if field.type == FieldDescriptor.TYPE_MESSAGE:
            if depth:
                _fill_message(chance, message, field, depth - 1)
        elif field.is_repeated:
            getattr(message, field.name).extend(_scalar(chance, field) for _ in range(chance.randint(0, 3)))
        else:
            setattr(message, field.name, _scalar(chance, field))
    return message


def _fill_message(chance: Random, message: Any, field: FieldDescriptor, depth: int) -> None:
    inner = getattr(message, field.name)
    if field.message_type.GetOptions().map_entry:
        value = field.message_type.fields_by_name["value"]
        for _ in range(chance.randint(0, 3)):
            key = chance.choice(TEXTS)
            if value.type == FieldDescriptor.TYPE_MESSAGE:
                fill(chance, inner[key], depth)
            else:
                inner[key] = _scalar(chance, value)
    elif field.is_repeated:
        for _ in range(chance.randint(0, 3)):
            fill(chance, inner.add(), depth)
    else:
        inner.SetInParent()
        fill(chance, inner, depth)


def _scalar(chance: Random, field: FieldDescriptor) -> Any:
    if field.type == FieldDescriptor.TYPE_STRING:
        return chance.choice(TEXTS)
    if field.type == FieldDescriptor.TYPE_BYTES:
        return chance.randbytes(chance.randint(0, 4))
    if field.type == FieldDescriptor.TYPE_BOOL:
        return chance.random() < 0.5
    if field.type in (FieldDescriptor.TYPE_DOUBLE, FieldDescriptor.TYPE_FLOAT):
        return chance.choice(FLOATS)
    if field.type == FieldDescriptor.TYPE_ENUM:
        known = [value.number for value in field.enum_type.values]
        return chance.choice([*known, 2] if field.enum_type.name == "NullValue" else [*known, 77])
    return chance.choice(NUMBERS)


def prepared(operation: Operation, encoded: bytes) -> tuple[Command, Caller] | tuple[str, ...]:
    """The command and the caller; or the fields that were refused."""
    try:
        return operation.prepare(operation.request.FromString(encoded), SCOPE)
    except InvalidField as refusal:
        return tuple(field for field, _ in refusal.violations)


@pytest.mark.parametrize("operation", PREPARED, ids=lambda each: each.method)
@given(chance=st.randoms(use_true_random=False))
@settings(max_examples=60, deadline=None)
def test_whatever_is_sent_is_a_command_or_refused_by_its_fields(operation: Operation, chance: Random) -> None:
    """Bad input, D5: never anything else; the same bytes, in whatever order, are the same command of the same digest;
    fields of a later version are passed over, and make it another request under that id."""
    message = fill(chance, operation.request())
    encoded = message.SerializeToString(deterministic=True)
    assert operation.request.FromString(encoded) == message or b"\x7f" in encoded  # NaN is not itself
    once, again = prepared(operation, encoded), prepared(operation, message.SerializeToString())
    assert repr(once) == repr(again)
    later = prepared(operation, encoded + UNKNOWN_FIELDS)
    if isinstance(once[0], str):
        assert later == once
        assert all(once)
    else:
        assert repr(later[0]) == repr(once[0])
        _, caller = once
        _, other = later
        assert isinstance(caller, Caller)
        assert isinstance(other, Caller)
        assert (caller.digest == other.digest) is (not caller.request_id)


def test_a_refusal_names_entries_of_a_map_in_their_order() -> None:
    """Equal requests are refused alike, in whatever order a hash table has their entries."""
    keys = [f"\n{letter}" for letter in "abcdefgh"]
    for order in (keys, keys[::-1]):
        request = run_service_pb2.SubmitRunRequest()
        for key in order:
            request.run.metadata[key] = ""
        found = prepared(SUBMIT_RUN, request.SerializeToString())
        named = [str(field) for field in found if "metadata" in str(field)]
        assert len(set(named)) == len(keys)
        assert named == sorted(named)


def test_the_search_reaches_both_ends() -> None:
    """Some of what is drawn is refused and some is not, for each operation that can refuse."""
    for operation in PREPARED:
        outcomes = [
            prepared(operation, fill(Random(seed), operation.request()).SerializeToString()) for seed in range(400)
        ]
        refused = sum(isinstance(each[0], str) for each in outcomes)
        assert refused, operation.method
