"""Core events to bytes and back, and the framing that makes a batch of them.

An encoded event is a serialised concert.v1.Event. A *frame* is one element of the repeated field 1 of
EventBatch, and equally of SubscribeResponse: frames joined are a batch, so that what is stored is also what
is sent.
"""

from __future__ import annotations

from collections.abc import Iterable
from functools import lru_cache
from operator import attrgetter
from typing import Any

from google.protobuf.message import DecodeError

from coordinator_service.core.events import Event, EventType
from coordinator_service.log.base import LogCorrupt, LogTooNew
from coordinator_service.log.mirror import InvalidField
from coordinator_service.log.wire import WIRE, wire_class

_EVENT: Any = wire_class("Event")
_SURROUNDINGS = (
    "time_ns",
    "cause",
    "reason",
    "agent_id",
    "agent_name",
    "run_id",
    "task_id",
    "traceparent",
    "principal",
)
"""What events that follow each other often have in common."""
_surroundings_of = attrgetter(*_SURROUNDINGS)
_fill_surroundings = WIRE.filler(Event, _SURROUNDINGS)
_fill_own = WIRE.filler(Event, ("sequence", "event_id", "metadata", "request", "payload"))
_read_event = WIRE.reader(_EVENT)

_FRAME_TAG = 0x0A  # field 1, length-delimited
_VARINT_BYTES_MAX = 10
_TYPE_TAG = 5 << 3  # Event.type, a varint


class EventCodec:
    """Encodes the events of one log.

    What an event has in common with the one before it is encoded once, and comes before what it says itself.
    """

    def __init__(self, namespace: str, log_id: str) -> None:
        self._namespace = namespace
        self._log_id = log_id
        self._event_id_prefix = f"{log_id}/"
        self._log: bytes = _EVENT(log_id=log_id, namespace=namespace).SerializeToString(deterministic=True)
        self._surroundings: tuple[Any, ...] = ()
        self._before = b""

    def encode(self, event: Event) -> bytes:
        """The bytes of an event. An empty event_id is written as "<log_id>/<sequence>"."""
        own = self._own(event)
        return self._before + own

    def framed(self, event: Event) -> bytes:
        """The same as an element of a batch: frame(encode(event))."""
        own = self._own(event)
        before = self._before
        return b"%b%b%b" % (_head(len(before) + len(own)), before, own)

    def _own(self, event: Event) -> bytes:
        """What an event says itself; what comes before it is in _before then."""
        surroundings = _surroundings_of(event)
        if surroundings != self._surroundings:
            message = _EVENT()
            _fill_surroundings(event, message)
            self._surroundings = surroundings
            self._before = self._log + message.SerializeToString(deterministic=True)
        message = _EVENT()
        _fill_own(event, message)
        if not event.event_id:
            message.event_id = f"{self._event_id_prefix}{event.sequence}"
        own: bytes = message.SerializeToString(deterministic=True)
        return own

    def check(self, encoded: bytes) -> None:
        """Raises LogCorrupt for an event of another log, LogTooNew for one with fields, at any depth, that this version
        does not know.
        """
        message = _EVENT.FromString(encoded)
        if (message.namespace, message.log_id) != (self._namespace, self._log_id):
            where = f"namespace {message.namespace!r}, log {message.log_id!r}"
            raise LogCorrupt(f"the event is one of {where}", sequence=message.sequence)
        size = message.ByteSize()
        message.DiscardUnknownFields()
        if message.ByteSize() != size:
            raise LogTooNew("it has fields that this version does not know", sequence=message.sequence)


@lru_cache(maxsize=1024)
def _codec(namespace: str, log_id: str) -> EventCodec:
    return EventCodec(namespace, log_id)


def encode_event(event: Event, *, namespace: str, log_id: str) -> bytes:
    """As EventCodec.encode, for callers that keep no codec."""
    return _codec(namespace, log_id).encode(event)


def decode_event(encoded: bytes) -> Event:
    """The event that was encoded; fields that this version does not know are passed over. Raises LogCorrupt, LogTooNew
    for one that states what only a later version knows.

    An event_id that the codec wrote becomes empty again: a publisher's own must not begin with the log_id.
    """
    try:
        message = _EVENT.FromString(encoded)
    except DecodeError:
        raise LogCorrupt("not an encoded event") from None
    if message.event_id == f"{message.log_id}/{message.sequence}":
        message.event_id = ""
    try:
        event: Event = _read_event(message)
    except InvalidField as fault:
        kind = LogTooNew if message.WhichOneof("payload") is None else LogCorrupt
        raise kind(str(fault), sequence=message.sequence) from None
    return event


def may_be(encoded: bytes, kind: EventType) -> bool:
    """Whether an event, or one of a batch, may be of a type. Surely not when this says no, for a fraction of what
    decoding costs."""
    return bytes((_TYPE_TAG, kind)) in encoded  # numbers below 128 are one byte


def frame(encoded: bytes) -> bytes:
    """An encoded event as an element of a batch."""
    return _head(len(encoded)) + encoded


@lru_cache(maxsize=4096)
def _head(length: int) -> bytes:
    """What stands before an element of that length: most are of a few lengths."""
    head = bytearray((_FRAME_TAG,))
    while length >= 0x80:
        head.append(length & 0x7F | 0x80)
        length >>= 7
    head.append(length)
    return bytes(head)


def join(frames: Iterable[bytes]) -> bytes:
    """The batch that consists of these frames."""
    return b"".join(frames)


def split(batch: bytes) -> list[bytes]:
    """The encoded events of a batch, not parsed. Raises LogCorrupt."""
    found = []
    position = 0
    end = len(batch)
    while position < end:
        if batch[position] != _FRAME_TAG:
            raise LogCorrupt("not a batch of events")
        start, length = _varint(batch, position + 1)
        position = start + length
        if position > end:
            raise LogCorrupt("a batch of events breaks off")
        found.append(batch[start:position])
    return found


def _varint(encoded: bytes, position: int) -> tuple[int, int]:
    """Where the varint at position ends, and its value."""
    value = 0
    for shift, byte in enumerate(encoded[position : position + _VARINT_BYTES_MAX]):
        value |= (byte & 0x7F) << (7 * shift)
        if byte < 0x80:
            return position + shift + 1, value
    raise LogCorrupt("a batch of events breaks off")
