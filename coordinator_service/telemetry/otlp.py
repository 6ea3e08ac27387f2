"""OTLP's trace messages as bytes, part by part: what spans have in common is encoded once.

A message of protobuf is its fields one after another, and a field is a tag and what follows it; so a span can be put
together from parts that were encoded before (https://protobuf.dev/programming-guides/encoding). Through message objects
the same costs three times as much, which is what a coordinator would pay for each decision.
tests/telemetry/test_otlp.py holds every part to what protobuf itself reads.
"""

from __future__ import annotations

import struct
from collections.abc import Iterable
from functools import lru_cache
from typing import Final, TypeAlias

Attribute: TypeAlias = str | int | float | bool

_CACHED_CHARACTERS_MAX: Final = 128
"""Longer texts are encoded anew each time: they are rarely the same."""
_IDS: Final = struct.Struct("<2s16s2s8s")
_TIMES: Final = struct.Struct("<BBBQBQ")
_SPAN_IN_SCOPE = b"\x12"  # ScopeSpans.spans
_NAME, _ATTRIBUTE, _LINK, _STATUS = b"\x2a", b"\x4a", b"\x6a", b"\x7a"  # of Span
_PARENT = b"\x22\x08"
_TEXT, _MESSAGE, _CODE = b"\x0a", b"\x12", b"\x18"
_MASK: Final = (1 << 64) - 1


def varint(number: int) -> bytes:
    """A number, 64 bits of it; negative ones as their two's complement."""
    if 0 <= number < 0x80:
        return _SMALL[number]
    number &= _MASK
    out = bytearray()
    while number >= 0x80:
        out.append(number & 0x7F | 0x80)
        number >>= 7
    out.append(number)
    return bytes(out)


_SMALL: Final = tuple(bytes((each,)) for each in range(0x80))


def delimited(tag: bytes, body: bytes) -> bytes:
    """A field with a length: text, bytes or a message."""
    return b"%b%b%b" % (tag, varint(len(body)), body)


def attribute(key: str, value: Attribute) -> bytes:
    """An attribute of a span."""
    if type(value) is str:
        return text(key, value) or _text(key, value)
    if type(value) is bool:
        return _pair(key, b"\x10\x01" if value else b"\x10\x00")
    if type(value) is int:
        return number(key, value)
    return _pair(key, b"\x21" + struct.pack("<d", value))


def number(key: str, value: int) -> bytes:
    """An attribute that is a number."""
    encoded = varint(value)
    return _number_head(key, len(encoded)) + encoded


@lru_cache(maxsize=1024)
def _number_head(key: str, size: int) -> bytes:
    """What comes before a number that takes so many bytes."""
    return _pair(key, b"\x18" + bytes(size))[:-size]


def text(key: str, value: str) -> bytes:
    """An attribute that is a text; none where it is empty."""
    if not value:
        return b""
    return _cached(key, value) if len(value) <= _CACHED_CHARACTERS_MAX else _text(key, value)


def _text(key: str, value: str) -> bytes:
    return _pair(key, delimited(_TEXT, value.encode()))


_cached = lru_cache(maxsize=16_384)(_text)


def _pair(key: str, value: bytes) -> bytes:
    head = _key(key)
    size = varint(len(value))
    return b"%b%b%b\x12%b%b" % (_ATTRIBUTE, varint(len(head) + 1 + len(size) + len(value)), head, size, value)


@lru_cache(maxsize=1024)
def _key(key: str) -> bytes:
    return delimited(_TEXT, key.encode())


@lru_cache(maxsize=4096)
def name(text: str) -> bytes:
    """The name of a span."""
    return delimited(_NAME, text.encode())


def ids(trace_id: bytes, span_id: bytes) -> bytes:
    """Of 16 and 8 bytes."""
    return _IDS.pack(b"\x0a\x10", trace_id, b"\x12\x08", span_id)


def parent(span_id: bytes) -> bytes:
    """Of 8 bytes."""
    return _PARENT + span_id


def kind_and_times(kind: int, start_ns: int, end_ns: int) -> bytes:
    """kind is a Span.SpanKind; nanoseconds of Unix time."""
    return _TIMES.pack(0x30, kind, 0x39, start_ns, 0x41, end_ns)


def link(trace_id: bytes, span_id: bytes) -> bytes:
    """To a span elsewhere."""
    return delimited(_LINK, ids(trace_id, span_id))


def status(code: int, message: str) -> bytes:
    """code is a Status.StatusCode."""
    return delimited(_STATUS, delimited(_MESSAGE, message.encode()) + _CODE + varint(code))


def span(parts: Iterable[bytes]) -> bytes:
    """A span, from its parts, as an element of a request."""
    return delimited(_SPAN_IN_SCOPE, b"".join(parts))


class Scope:
    """Makes requests of the spans of one resource and one scope."""

    def __init__(self, resource: bytes, scope: str) -> None:
        """resource is an encoded Resource."""
        self._resource = delimited(b"\x0a", resource)
        self._scope = delimited(b"\x0a", delimited(_TEXT, scope.encode()))

    def request(self, spans: Iterable[bytes]) -> bytes:
        """An encoded ExportTraceServiceRequest."""
        scope_spans = delimited(b"\x12", self._scope + b"".join(spans))
        return delimited(b"\x0a", self._resource + scope_spans)
