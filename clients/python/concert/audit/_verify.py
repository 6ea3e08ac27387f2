"""Verifies an audit file with nothing but the file and a public key.

Lines are read one at a time. The first that does not hold is named: what was changed, removed, added or swapped breaks
the digest of the line that lies there now. Whoever makes new digests for what they changed has no signature for them.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
from dataclasses import dataclass, field
from typing import Any, BinaryIO

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

from concert.audit._keys import key_id
from concert.audit._lines import (
    DIGEST_BEFORE_FIRST,
    FORMAT,
    LINE_BYTES_MAX,
    SIGNED_PREFIX,
    digest_of,
    event_of,
    framed,
    has_unknown_fields,
    json_of,
    members_of,
    parted,
)

_HEADER = frozenset(("kind", "format", "namespace", "logId", "firstSequence", "lastSequence", "baseHash", "keyId"))
_EVENT = frozenset(("kind", "event", "stored"))
_TRAILER = frozenset(("kind", "events", "hash"))
_HASH_CHARACTERS = 64
_DIGITS_MAX = 20


class AuditFault(Exception):  # noqa: N818 (it says what happened)
    """A line does not hold. line counts from 1; where lines are missing it is the number that the first would have."""

    def __init__(self, line: int, what: str) -> None:
        super().__init__(f"line {line}: {what}")
        self.line = line
        self.what = what


class AuditTooNew(AuditFault):
    """A later version wrote the file: it may well hold, and this version cannot tell."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Verified:
    """What a file proves: these events, all of them, in this order, are those of the log between two chain hashes."""

    namespace: str
    log_id: str
    first_sequence: int
    last_sequence: int
    base_hash: str
    hash: str
    key_id: str


def verify(file: BinaryIO, key: Ed25519PublicKey) -> Verified:
    """Reads a file to its end. Raises AuditFault, AuditTooNew."""
    reading = _Reading(key)
    number = 0
    while line := file.readline(LINE_BYTES_MAX + 1):
        number += 1
        try:
            reading.take(line)
        except _NewerThanThis as newer:
            raise AuditTooNew(number, str(newer)) from None
        except ValueError as fault:
            raise AuditFault(number, str(fault)) from None
    if reading.verified is None:
        raise AuditFault(number + 1, "it is missing: the file ends before its trailer")
    return reading.verified


class _NewerThanThis(ValueError):  # noqa: N818 (it says what is wrong)
    pass


@dataclass
class _Reading:
    """Where a reading of a file is."""

    key: Ed25519PublicKey
    verified: Verified | None = None
    _digest: bytes = DIGEST_BEFORE_FIRST
    _header: dict[str, Any] | None = None
    _next: int = 0
    _last: int = 0
    _events: int = 0
    _hash: bytes = b""
    _commit: list[bytes] = field(default_factory=list)

    def take(self, line: bytes) -> None:
        """The next line. Raises ValueError with what does not hold."""
        if self.verified is not None:
            raise ValueError("it comes after the trailer")
        if len(line) > LINE_BYTES_MAX:
            raise ValueError("it is longer than any line that was written")
        if not line.endswith(b"\n"):
            raise ValueError("it breaks off: the file was cut here")
        found = parted(line)
        if found is None:
            raise ValueError("it does not end with a digest, as every line does")
        body, digest, signature = found
        if digest_of(self._digest, body) != digest:
            raise ValueError(self._why_another(body))
        self._digest = digest
        members = members_of(body)
        kind = members.get("kind")
        if self._header is None:
            self._take_header(kind, members)
        elif kind == "trailer":
            self._take_trailer(members, signature)
        elif kind == "event":
            self._take_event(members)
        else:
            raise ValueError("it is neither an event nor the trailer")
        if signature and kind != "trailer":
            raise ValueError("it has a signature, which the trailer alone has")

    def _why_another(self, body: bytes) -> str:
        """What to say of a line whose digest does not fit."""
        try:
            sequence = int(members_of(body)["event"]["sequence"])
        except (ValueError, KeyError, TypeError):
            sequence = 0
        if self._header is not None and sequence and sequence != self._next:
            return f"it should be sequence {self._next}, and is {sequence}: lines are missing, added or out of order"
        return "its digest is another: it, or what it follows, is not what was written"

    def _take_header(self, kind: Any, members: dict[str, Any]) -> None:
        if kind != "header":
            raise ValueError("the first line is no header of an audit file")
        version = members.get("format")
        if type(version) is int and version > FORMAT:
            raise _NewerThanThis(f"a later version wrote it: format {version}, this version reads {FORMAT}")
        if version != FORMAT or members.keys() != _HEADER:
            raise ValueError("the header is not one of this format")
        self._next, self._last = _number(members, "firstSequence"), _number(members, "lastSequence")
        self._hash = _hash(members, "baseHash")
        if not isinstance(members["namespace"], str) or not isinstance(members["logId"], str):
            raise ValueError("namespace and logId are texts")
        if not 1 <= self._next <= self._last + 1:
            raise ValueError("firstSequence comes after lastSequence")
        own = key_id(self.key)
        if members["keyId"] != own:
            raise ValueError(f"it says that key {members['keyId']!r} signed it, not {own}")
        self._header = members

    def _take_event(self, members: dict[str, Any]) -> None:
        assert self._header is not None
        ends = members.keys() == _EVENT | {"hash"}
        if not ends and members.keys() != _EVENT:
            raise ValueError("it is not an event of this format")
        stored = _stored(members)
        event = event_of(stored)
        if event.sequence != self._next or event.sequence > self._last:
            raise ValueError(f"it should be sequence {self._next} of {self._last}, and is {event.sequence}")
        if (event.namespace, event.log_id) != (self._header["namespace"], self._header["logId"]):
            raise ValueError(f"it is of namespace {event.namespace!r}, log {event.log_id!r}")
        if has_unknown_fields(event):
            raise _NewerThanThis("a later version wrote it: it has fields that this version does not know")
        if json_of(event) != members["event"]:
            raise ValueError("the event that it shows is not the one that is stored")
        self._commit.append(stored)
        if ends:
            self._hash = hashlib.sha256(self._hash + framed(self._commit)).digest()
            self._commit.clear()
            if _hash(members, "hash") != self._hash:
                raise ValueError("the chain of the log does not lead to its hash")
        self._next += 1
        self._events += 1

    def _take_trailer(self, members: dict[str, Any], signature: str) -> None:
        assert self._header is not None
        if members.keys() != _TRAILER or not signature:
            raise ValueError("it is not a trailer of this format")
        if self._commit or self._next != self._last + 1:
            raise ValueError(f"sequence {self._next} of {self._last} should be here: lines are missing")
        if members["events"] != self._events or _hash(members, "hash") != self._hash:
            raise ValueError("it does not say what the lines before it say")
        try:
            self.key.verify(base64.b64decode(signature), SIGNED_PREFIX + self._digest)
        except InvalidSignature:
            raise ValueError(
                "the signature is not this key's over these lines: one was changed, with its digest"
            ) from None
        self.verified = Verified(
            namespace=self._header["namespace"],
            log_id=self._header["logId"],
            first_sequence=self._last - self._events + 1,
            last_sequence=self._last,
            base_hash=self._header["baseHash"],
            hash=self._hash.hex(),
            key_id=self._header["keyId"],
        )


def _number(members: dict[str, Any], name: str) -> int:
    text = members[name]
    if not (isinstance(text, str) and text.isascii() and text.isdigit() and len(text) <= _DIGITS_MAX):
        raise ValueError(f"{name} is no sequence")
    return int(text)


def _hash(members: dict[str, Any], name: str) -> bytes:
    text = members[name]
    try:
        if isinstance(text, str) and len(text) == _HASH_CHARACTERS:
            return bytes.fromhex(text)
    except ValueError:
        pass
    raise ValueError(f"{name} is no SHA-256 in hexadecimal")


def _stored(members: dict[str, Any]) -> bytes:
    text = members["stored"]
    try:
        if isinstance(text, str):
            return base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError):
        pass
    raise ValueError("stored is no base64")
