"""The lines of an audit file, and the two chains over them.

A line is a JSON object whose last member is `digest`: SHA-256 of the digest before it (32 zero bytes before the first)
and of the bytes of the line up to `,"digest":`. So a digest is over bytes, and needs no canonical JSON. The last line
has one member more, `signature`: Ed25519 over SIGNED_PREFIX and the 32 bytes of its digest, and so over everything.

The other chain is the log's own (D9): sha256(previous hash + bytes of a commit). The bytes of a commit are its events
as they are stored, each as element 1 of a concert.v1.EventBatch.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Iterable, Mapping
from typing import Any

from google.protobuf import json_format
from google.protobuf.message import DecodeError

from concert.v1 import event_pb2

FORMAT = 1
"""Version of what the lines mean."""
DIGEST_BEFORE_FIRST = bytes(32)
SIGNED_PREFIX = b"concert audit 1\n"
LINE_BYTES_MAX = 32 * 1024 * 1024
"""An event has at most 1.25 MiB; as JSON with every character escaped, and in base64, it stays below this."""

_TAIL = re.compile(rb',"digest":"([0-9a-f]{64})"(?:,"signature":"([A-Za-z0-9+/]{86}==)")?\}\n')
TAIL_BYTES_MAX = len(',"digest":""') + 64 + len(',"signature":""') + 88 + len("}\n")


class TooDeep(ValueError):  # noqa: N818 (it says what is wrong)
    """JSON that nests deeper than anything that was written here."""


def body_of(members: Mapping[str, Any]) -> bytes:
    """A line up to its digest."""
    return json.dumps(members, separators=(",", ":"), ensure_ascii=True, allow_nan=False)[:-1].encode()


def digest_of(before: bytes, body: bytes) -> bytes:
    """The digest of a line after the one before it."""
    digest = hashlib.sha256(before)
    digest.update(body)
    return digest.digest()


def tail_of(digest: bytes, signature: str = "") -> bytes:
    """What follows the body."""
    signed = f',"signature":"{signature}"' if signature else ""
    return f',"digest":"{digest.hex()}"{signed}}}\n'.encode()


def parted(line: bytes) -> tuple[bytes, bytes, str] | None:
    """Body, digest and signature of a line; None when it does not end as a line does."""
    found = _TAIL.search(line, max(0, len(line) - TAIL_BYTES_MAX))
    if found is None or found.end() != len(line):
        return None
    return line[: found.start()], bytes.fromhex(found[1].decode()), (found[2] or b"").decode()


def members_of(body: bytes) -> dict[str, Any]:
    """What a body says. Raises ValueError for what is no JSON object, or names a member twice."""
    try:
        found = json.loads(body + b"}", object_pairs_hook=_members, parse_constant=_constant)
    except RecursionError:
        raise TooDeep("it nests too deeply") from None
    if not isinstance(found, dict):
        raise ValueError("it is no object")
    return found


def _sorted(value: Any) -> Any:
    if isinstance(value, dict):
        return {name: _sorted(value[name]) for name in sorted(value)}
    return [_sorted(each) for each in value] if isinstance(value, list) else value


def _members(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) != len(pairs):
        raise ValueError("it has a member twice")
    return found


def _constant(name: str) -> Any:
    raise ValueError(f"{name} is no JSON")


def framed(stored: Iterable[bytes]) -> bytes:
    """The bytes of a commit: its events as elements of an EventBatch."""
    return b"".join(b"\x0a" + _varint(len(each)) + each for each in stored)


def _varint(number: int) -> bytes:
    encoded = bytearray()
    while number >= 0x80:
        encoded.append(number & 0x7F | 0x80)
        number >>= 7
    encoded.append(number)
    return bytes(encoded)


def event_of(stored: bytes) -> event_pb2.Event:
    """The event that was stored. Raises ValueError."""
    try:
        return event_pb2.Event.FromString(stored)
    except DecodeError:
        raise ValueError("it is no event") from None


def has_unknown_fields(event: event_pb2.Event) -> bool:
    """Whether a later version wrote it: at any depth."""
    size = event.ByteSize()
    known = event_pb2.Event()
    known.CopyFrom(event)
    known.DiscardUnknownFields()
    return known.ByteSize() != size


def json_of(event: event_pb2.Event) -> dict[str, Any]:
    """Canonical proto3 JSON: lowerCamelCase names, 64-bit numbers as strings; members sorted, since maps have no order.

    Raises ValueError for what JSON cannot say.
    """
    try:
        found: dict[str, Any] = _sorted(json_format.MessageToDict(event))
    except (json_format.SerializeToJsonError, TypeError, RecursionError) as fault:
        raise ValueError(str(fault)) from None
    return found
