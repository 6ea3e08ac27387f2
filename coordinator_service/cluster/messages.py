"""What two replicas say to each other: the messages of a link, and frames of them.

The replica that asks opens one stream to each owner it needs (link.py), the owner answers on it (relay.py). A frame
holds whatever was ready when it was written, as in a session.
"""

from __future__ import annotations

from typing import Final, TypeAlias

import msgspec

from coordinator_service.core.commands import Caller

UNREADABLE: Final = (msgspec.MsgspecError, UnicodeDecodeError, RecursionError)
"""What decoding raises for bytes that are not what was to be expected."""
VERSION: Final = 3
"""Of the messages. A replica that speaks another is told so, and not asked."""


class Hello(msgspec.Struct, frozen=True, array_like=True, tag=0):
    """The first message of either side: who speaks, and how."""

    version: int
    replica_id: str
    holder: str
    """Replica.holder: it changes when the process does."""
    challenge: bytes = b""
    """What the other side has to include in its proof (handshake.py)."""
    proofs: tuple[bytes, ...] = ()
    """That the side that answers knows the secret of the cluster."""


class Ask(msgspec.Struct, frozen=True, array_like=True, tag=1):
    """A command. It is answered by Told or Refused under its number; more than once for a request that waits."""

    number: int
    namespace: str
    command: str
    body: bytes
    caller: Caller


class Question(msgspec.Struct, frozen=True, array_like=True, tag=2):
    """A question that is no command, by its name in questions.QUESTIONS. Its Told names no answer."""

    number: int
    namespace: str
    name: str
    body: bytes


class Alive(msgspec.Struct, frozen=True, array_like=True, tag=3):
    """Signs of life of sessions whose streams are at the replica that asks."""

    namespace: str
    session_ids: tuple[int, ...]


class Told(msgspec.Struct, frozen=True, array_like=True, tag=4):
    """An answer."""

    number: int
    answer: str
    body: bytes


class Refused(msgspec.Struct, frozen=True, array_like=True, tag=5):
    """A rejection."""

    number: int
    rejection: str
    body: bytes


class Proof(msgspec.Struct, frozen=True, array_like=True, tag=6):
    """That the side that asks knows the secret of the cluster: the second message of that side."""

    proofs: tuple[bytes, ...]


Message: TypeAlias = Hello | Ask | Question | Alive | Told | Refused | Proof

_encode = msgspec.msgpack.Encoder().encode
_decoder = msgspec.msgpack.Decoder(list[Message])


class Garbled(Exception):  # noqa: N818 (it says what it is)
    """No frame of this version."""


def frame_of(messages: list[Message]) -> bytes:
    """Messages as one frame."""
    return _encode(messages)


def messages_of(frame: bytes) -> list[Message]:
    """The messages of a frame. Raises Garbled."""
    try:
        return _decoder.decode(frame)
    except UNREADABLE as fault:
        raise Garbled(str(fault)) from None
