"""Events to bytes and back: exact, readable by every other implementation of protobuf, and safe against garbage."""

from __future__ import annotations

import pytest
from concert.v1 import event_pb2, event_service_pb2, payload_pb2
from hypothesis import example, given, settings
from hypothesis import strategies as st

from coordinator_service.core.events import CustomEvent, Event
from coordinator_service.log.base import LogCorrupt
from coordinator_service.log.codec import EventCodec, decode_event, encode_event, frame, join, split
from coordinator_service.log.mirror import to_proto
from tests.log.strategies import PAYLOAD_CLASSES, events

CODEC = EventCodec("blog", "log-1")
UNKNOWN_FIELD = b"\xf8\x7f\x05"  # field 2047, varint 5


def custom(sequence: int = 7, **fields: object) -> Event:
    """An event that says little."""
    return Event(sequence=sequence, time_ns=5, payload=CustomEvent(name="x"), **fields)  # type: ignore[arg-type]


@pytest.mark.parametrize("payload", PAYLOAD_CLASSES, ids=lambda cls: cls.__name__)
@given(data=st.data())
@settings(max_examples=30, deadline=None)
def test_decode_is_the_inverse_of_encode(payload: type, data: st.DataObject) -> None:
    """D1: what is folded from the log is what was applied: an event is equal after it was encoded and decoded."""
    event = data.draw(events(payload))
    assert decode_event(CODEC.encode(event)) == event


@given(events())
@settings(max_examples=100, deadline=None)
def test_an_encoded_event_is_an_event_of_the_contract(event: Event) -> None:
    """Whoever has the protos reads the same: the log's bytes are a concert.v1.Event."""
    message = to_proto(event)
    message.log_id, message.namespace = "log-1", "blog"
    message.event_id = event.event_id or f"log-1/{event.sequence}"
    encoded = encode_event(event, namespace="blog", log_id="log-1")
    assert event_pb2.Event.FromString(encoded) == message
    assert int(event_pb2.Event.FromString(encoded).type) == event.type


def test_a_payload_travels_byte_for_byte() -> None:
    """A publisher's payload is not rewritten, whatever order or unknown fields it has."""
    payload = payload_pb2.Payload(content_type="text/plain").SerializeToString() + UNKNOWN_FIELD
    payload += payload_pb2.Payload(data=b"body").SerializeToString()
    event = Event(sequence=1, time_ns=1, payload=CustomEvent(name="x", data=payload))
    encoded = CODEC.encode(event)
    assert payload in encoded
    assert decode_event(encoded) == event


def test_an_event_without_an_id_is_named_by_its_position() -> None:
    """An event_id is always there: the publisher's own, or log_id and sequence."""
    assert event_pb2.Event.FromString(CODEC.encode(custom())).event_id == "log-1/7"
    assert event_pb2.Event.FromString(CODEC.encode(custom(event_id="mine"))).event_id == "mine"
    assert decode_event(CODEC.encode(custom())).event_id == ""


def test_an_event_always_encodes_to_the_same_bytes() -> None:
    """D9: maps are written in order, so that the same events give the same chain."""
    one = custom(metadata={"a": "1", "b": "2", "c": "3"})
    other = custom(metadata={"c": "3", "b": "2", "a": "1"})
    assert CODEC.encode(one) == CODEC.encode(other)


def test_fields_of_a_later_version_are_passed_over() -> None:
    """A log that a later version wrote to can be read."""
    assert decode_event(CODEC.encode(custom()) + UNKNOWN_FIELD) == custom()


def test_a_fact_of_a_later_version_is_named() -> None:
    """An event whose payload this version does not know stops the fold rather than being left out."""
    stated = event_pb2.Event(sequence=9, type=99)  # type: ignore[arg-type]
    with pytest.raises(LogCorrupt) as found:
        decode_event(stated.SerializeToString() + UNKNOWN_FIELD)
    assert found.value.sequence == 9


@given(st.binary(max_size=60))
def test_garbage_is_no_event(garbage: bytes) -> None:
    """Bytes either state an event or raise LogCorrupt, and nothing else."""
    try:
        assert type(decode_event(garbage).payload) in PAYLOAD_CLASSES
    except LogCorrupt:
        pass


@given(st.lists(st.binary(max_size=300), max_size=5))
@example([b"x" * 127, b"x" * 128, b"x" * 16383, b"x" * 16384])
@example([b"", b""])
def test_split_is_the_inverse_of_join(encoded: list[bytes]) -> None:
    """A batch holds exactly the events that were framed into it, of any length."""
    assert split(join(frame(each) for each in encoded)) == encoded


@given(st.lists(events(), max_size=4))
@settings(max_examples=30, deadline=None)
def test_joined_frames_are_a_batch_and_a_response(several: list[Event]) -> None:
    """What is stored is what is sent: the same bytes are an EventBatch and a SubscribeResponse."""
    batch = join(frame(CODEC.encode(event)) for event in several)
    expected = [event.sequence for event in several]
    assert [each.sequence for each in event_pb2.EventBatch.FromString(batch).events] == expected
    assert [each.sequence for each in event_service_pb2.SubscribeResponse.FromString(batch).events] == expected


def test_a_batch_that_breaks_off_is_corrupt() -> None:
    """Cut anywhere but between two events, a batch raises LogCorrupt."""
    frames = [frame(b"x" * 200), frame(b"y" * 3)]
    batch = join(frames)
    for cut in range(1, len(batch)):
        if cut == len(frames[0]):
            assert split(batch[:cut]) == [b"x" * 200]
        else:
            with pytest.raises(LogCorrupt):
                split(batch[:cut])


@given(st.binary(max_size=60))
@example(b"\x0a" + b"\xff" * 11)
@example(b"\x0a\x00\x0a\x81\x00z")
def test_garbage_is_no_batch(garbage: bytes) -> None:
    """Bytes either are frames, each of them a piece of the whole in its order, or raise LogCorrupt."""
    try:
        found = split(garbage)
    except LogCorrupt:
        return
    position = 0
    for encoded in found:
        position = garbage.index(encoded, position + 2) + len(encoded)
    assert position <= len(garbage)
