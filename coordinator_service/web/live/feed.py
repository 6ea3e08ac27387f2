"""A feed: one topic, followed. What it shows is encoded once for all who view it, as an event of a stream.

A feed has a version. A viewer who has seen the one before gets what changed, everybody else gets the whole, so that no
viewer is owed more than the whole, however slow.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import Any, Literal

import msgspec

from coordinator_service.local_namespace import LocalNamespace

Kind = Literal["whole", "change", "fault"]


class Frame(msgspec.Struct, frozen=True, kw_only=True):
    """What a viewer is sent. now_ns is the namespace's time at which it was true."""

    topic: str
    kind: Kind
    version: int
    sequence: int
    now_ns: int
    body: Any


class Feed(ABC):
    """A topic of a namespace."""

    def __init__(self, key: str) -> None:
        self.key = key
        self.version = 0
        """0: nothing was read yet."""
        self.viewers = 0
        self._sequence = 0
        self._now_ns = 0
        self._whole = b""
        self._change = b""
        self._fault = ""

    @abstractmethod
    async def refresh(self, namespace: LocalNamespace) -> None:
        """Reads anew; the version rises if there is something to tell. Raises Rejection."""

    @abstractmethod
    def _body(self) -> Any:
        """The whole."""

    def frame(self, seen: int) -> bytes:
        """What brings a viewer from a version to this one."""
        if self._change and seen == self.version - 1:
            return self._change
        if not self._whole:
            kind: Kind = "fault" if self._fault else "whole"
            self._whole = self._encoded(kind, self._fault or self._body())
        return self._whole

    def fail(self, message: str) -> None:
        """There is nothing to show, and this is why."""
        if self._fault != message:
            self._fault = message
            self._tell(self._sequence, self._now_ns, None)

    def _tell(self, sequence: int, now_ns: int, change: Any) -> None:
        """There is something new: what changed, or None where only the whole says it."""
        self.version += 1
        self._sequence, self._now_ns = sequence, now_ns
        self._whole = b""
        self._change = b"" if change is None else self._encoded("change", change)

    def _encoded(self, kind: Kind, body: Any) -> bytes:
        frame = Frame(
            topic=self.key,
            kind=kind,
            version=self.version,
            sequence=self._sequence,
            now_ns=self._now_ns,
            body=body,
        )
        return b"data: " + msgspec.json.encode(frame) + b"\n\n"  # JSON has no line breaks of its own


class ReadingFeed(Feed):
    """What is read as a whole, and told when it is not what it was."""

    def __init__(self, key: str) -> None:
        super().__init__(key)
        self._read: msgspec.Raw = msgspec.Raw()

    @abstractmethod
    async def read(self, namespace: LocalNamespace) -> tuple[int, int, Any]:
        """Sequence and time, and what is shown at them. Raises Rejection."""

    async def refresh(self, namespace: LocalNamespace) -> None:
        """Reads anew."""
        sequence, now_ns, found = await self.read(namespace)
        encoded = msgspec.Raw(msgspec.json.encode(found))
        if encoded != self._read or self._fault:
            self._read, self._fault = encoded, ""
            self._tell(sequence, now_ns, None)

    def _body(self) -> Any:
        return self._read
