"""Writes an audit file, line by line."""

from __future__ import annotations

import base64
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from concert.audit._keys import key_id
from concert.audit._lines import (
    DIGEST_BEFORE_FIRST,
    FORMAT,
    SIGNED_PREFIX,
    body_of,
    digest_of,
    event_of,
    has_unknown_fields,
    json_of,
    tail_of,
)


class NotJson(ValueError):  # noqa: N818 (it says what is wrong)
    """An event that cannot be told as JSON; the text names it and says why."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Range:
    """What is exported: whole commits of one log. base_hash is the log's chain hash before the first of them."""

    namespace: str
    log_id: str
    first_sequence: int
    last_sequence: int
    base_hash: bytes


class Writer:
    """The lines of one file: `header`, the `commit`s in order, `trailer`."""

    def __init__(self, key: Ed25519PrivateKey, exported: Range) -> None:
        self._key = key
        self._range = exported
        self._digest = DIGEST_BEFORE_FIRST
        self._events = 0
        self.hash = exported.base_hash
        """The log's chain hash after what was written."""

    def header(self) -> bytes:
        """The first line."""
        exported = self._range
        return self._line(
            kind="header",
            format=FORMAT,
            namespace=exported.namespace,
            logId=exported.log_id,
            firstSequence=str(exported.first_sequence),
            lastSequence=str(exported.last_sequence),
            baseHash=exported.base_hash.hex(),
            keyId=key_id(self._key.public_key()),
        )

    def commit(self, stored: Sequence[bytes], chain_hash: bytes) -> Iterator[bytes]:
        """A line for each event of a commit; the last has the chain hash behind it. Raises NotJson."""
        for number, each in enumerate(stored, 1):
            event = event_of(each)
            if has_unknown_fields(event):
                raise NotJson(f"sequence {event.sequence}: it has fields that this version does not know")
            try:
                told = json_of(event)
            except ValueError as fault:
                raise NotJson(f"sequence {event.sequence}: {fault}") from None
            ends = {"hash": chain_hash.hex()} if number == len(stored) else {}
            self._events += 1
            yield self._line(kind="event", event=told, stored=base64.b64encode(each).decode(), **ends)
        self.hash = chain_hash

    def trailer(self) -> bytes:
        """The last line, with the signature."""
        body = body_of({"kind": "trailer", "events": self._events, "hash": self.hash.hex()})
        digest = digest_of(self._digest, body)
        signature = self._key.sign(SIGNED_PREFIX + digest)
        return body + tail_of(digest, base64.b64encode(signature).decode())

    def _line(self, **members: object) -> bytes:
        body = body_of(members)
        self._digest = digest_of(self._digest, body)
        return body + tail_of(self._digest)
