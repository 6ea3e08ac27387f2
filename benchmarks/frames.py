"""Frames: requests encoded ahead, so that what is measured is the server and not a client that builds messages.

Only the request id and the correlation id differ from one request to the next; both have a fixed width, so an encoded
request is the one before it with other digits in two places.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator

from concert.v1 import agent_pb2, event_pb2, event_service_pb2, payload_pb2, session_service_pb2

ID_DIGITS = 12
FIRST_CORRELATION_ID = 1 << 21
"""From here to 2^28, correlation ids are four bytes long."""
LAST_CORRELATION_ID = (1 << 28) - 1
_ID = "#" * ID_DIGITS
_CORRELATION_ID = 0x0ABCDEF
_CORRELATION_BYTES = b"\xef\x9b\xaf\x05"


def publish_request(namespace: str, events: int, prefix: str) -> event_service_pb2.PublishRequest:
    """A request to publish small custom events, 64 bytes of payload each. Its id ends in `_ID`, to be filled in."""
    draft = event_pb2.EventDraft(
        custom=event_pb2.CustomEvent(
            name="measured", data=payload_pb2.Payload(data=b"x" * 64, content_type="application/octet-stream")
        )
    )
    return event_service_pb2.PublishRequest(namespace=namespace, request_id=prefix + _ID, events=[draft] * events)


def hello_frame(namespace: str, agent: agent_pb2.AgentSpec | None = None) -> bytes:
    """The first frame of a session."""
    hello = session_service_pb2.Hello(namespace=namespace, agent=agent)
    return session_service_pb2.ConnectRequest(
        messages=[session_service_pb2.ClientMessage(hello=hello)]
    ).SerializeToString()


def publish_requests(namespace: str, events: int, prefix: str) -> Iterator[bytes]:
    """Encoded PublishRequests without end, each under an id of its own. Prefixes keep loads apart."""
    before, after = publish_request(namespace, events, prefix).SerializeToString().split(_ID.encode())
    for number in itertools.count():
        yield b"%b%012d%b" % (before, number, after)


def publish_commands(events: int, prefix: str) -> Iterator[bytes]:
    """The same as elements of ConnectRequest.messages: a frame is any number of them one after another."""
    command = session_service_pb2.Command(correlation_id=_CORRELATION_ID, publish=publish_request("", events, prefix))
    encoded = session_service_pb2.ConnectRequest(
        messages=[session_service_pb2.ClientMessage(command=command)]
    ).SerializeToString()
    before, rest = encoded.split(_CORRELATION_BYTES, 1)
    between, after = rest.split(_ID.encode())
    for number in range(FIRST_CORRELATION_ID, LAST_CORRELATION_ID + 1):
        correlation = bytes((number & 127 | 128, number >> 7 & 127 | 128, number >> 14 & 127 | 128, number >> 21))
        yield b"%b%b%b%012d%b" % (before, correlation, between, number, after)


class Pool:
    """Encoded requests made ahead in memory, in order."""

    def __init__(self, source: Iterator[bytes], ahead: int) -> None:
        """`ahead`: how many are made at once, before the measurement begins and whenever they are used up."""
        self._source = source
        self._ahead = ahead
        self._made = list(itertools.islice(source, ahead))
        self._next = 0

    def take(self, count: int) -> bytes:
        """A frame of the next `count`."""
        start, self._next = self._next, self._next + count
        if self._next > len(self._made):
            self._made[:start] = []
            start, self._next = 0, count
            self._made.extend(itertools.islice(self._source, self._ahead))
        return b"".join(self._made[start : self._next])


def messages_in(frame: bytes) -> int:
    """How many elements of field 1 a frame consists of, without parsing them."""
    count = at = 0
    end = len(frame)
    while at < end:
        if frame[at] != 0x0A:
            raise ValueError("no frame")
        at += 1
        length = shift = 0
        while True:
            byte = frame[at]
            at += 1
            length |= (byte & 127) << shift
            if byte < 128:
                break
            shift += 7
        at += length
        count += 1
    return count
