"""Watching shared state: what keys hold, then what becomes of them, without a gap."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Iterable
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Literal, TypeAlias

from concert._caller import Caller
from concert._following import Following
from concert._methods import WATCH_STATE
from concert._value import JSON, from_value
from concert.v1 import event_service_pb2, state_service_pb2

ChangeKind: TypeAlias = Literal["there", "set", "deleted", "cleared", "superseded"]


@dataclass(frozen=True, slots=True)
class KeyChange:
    """What a watcher is told of a key at a revision.

    `kind`: "there" for what it held when the watch began; "set" to `value`; "deleted"; "cleared" when whatever
    was at and under the path `key` is gone; "superseded" when it was set, but has changed again since and what
    it held is in nobody's memory any more: the later change follows.
    """

    key: str
    kind: ChangeKind
    value: JSON
    revision: int
    writer: str
    changed_at: datetime

    def apply(self, held: dict[str, JSON]) -> None:
        """Brings a dict of what the watched keys hold up to date."""
        if self.kind in ("there", "set"):
            held[self.key] = self.value
        elif self.kind == "deleted":
            held.pop(self.key, None)
        elif self.kind == "cleared":
            for key in [each for each in held if each == self.key or each.startswith(f"{self.key}/")]:
                del held[key]


class StateWatch:
    """Changes as they come: `async for change in client.state.watch(prefix="site")`.

    First what the keys hold, all of it at one revision, then each change once and in order, over reconnects and
    restarts. As `async with`, entering waits until what the keys hold is there: nothing that is written
    afterwards is missed. One iteration at a time.
    """

    def __init__(
        self,
        caller: Caller,
        keys: Iterable[str],
        prefix: str,
        after: event_service_pb2.Cursor | int | None,
    ) -> None:
        """See State.watch."""
        self._request = state_service_pb2.WatchStateRequest(keys=keys, prefix=prefix)
        self._cursor = event_service_pb2.Cursor()
        if after is not None:
            cursor = after if isinstance(after, event_service_pb2.Cursor) else event_service_pb2.Cursor(sequence=after)
            self._cursor.CopyFrom(cursor)
        self._begun = after is not None
        self._there: list[KeyChange] = []
        self._told: set[tuple[int, str, str]] = set()
        self._following = Following(caller, WATCH_STATE, self._resumed_request)
        self._ready: list[KeyChange] = []

    @property
    def cursor(self) -> event_service_pb2.Cursor:
        """The position up to which everything was handed out; resume with `after=` another time. Its sequence is
        0 before what the keys hold was read.
        """
        copy = event_service_pb2.Cursor()
        copy.CopyFrom(self._cursor)
        return copy

    async def __aenter__(self) -> StateWatch:
        """Waits for what the keys hold."""
        while not self._begun and (response := await self._following.next()) is not None:
            self._ready += self._take(response)
        return self

    async def __aexit__(self, *_exc: object) -> None:
        """Ends the watch."""
        await self.aclose()

    async def __aiter__(self) -> AsyncGenerator[KeyChange, None]:
        """What is there, then each change once, in order."""
        try:
            while True:
                ready, self._ready = self._ready, []
                for change in ready:
                    yield change
                response = await self._following.next()
                if response is None:
                    return
                self._ready += self._take(response)
        finally:
            await self._following.drop()

    async def aclose(self) -> None:
        """Ends the watch; iterations end with it."""
        await self._following.close()

    def _take(self, response: Any) -> list[KeyChange]:
        """What a response tells that was not told before. What is there is told once all of it has come."""
        self._there += map(_there, response.entries)
        found = [change for change in map(_change, response.changes) if self._is_new(change)]
        if response.HasField("bookmark"):
            self._begun = True
            found = self._there + found
            self._there = []
            self._cursor.log_id = response.bookmark.log_id
            self._cursor.sequence = max(self._cursor.sequence, response.bookmark.last_sequence)
            self._told = {each for each in self._told if each[0] > self._cursor.sequence}
        return found

    def _is_new(self, change: KeyChange) -> bool:
        """A stream that breaks between two bookmarks may tell again what came after the first."""
        told = (change.revision, change.key, change.kind)
        if change.revision <= self._cursor.sequence or told in self._told:
            return False
        self._told.add(told)
        return True

    def _resumed_request(self) -> state_service_pb2.WatchStateRequest:
        self._there = []
        request = state_service_pb2.WatchStateRequest()
        request.CopyFrom(self._request)
        if self._begun:
            request.after.CopyFrom(self._cursor)
        return request


def _there(entry: Any) -> KeyChange:
    return KeyChange(
        key=entry.key,
        kind="there",
        value=from_value(entry.value),
        revision=entry.revision,
        writer=entry.writer,
        changed_at=entry.updated_at.ToDatetime(tzinfo=UTC),
    )


def _change(change: Any) -> KeyChange:
    kind = change.WhichOneof("outcome")
    return KeyChange(
        key=change.key,
        kind="set" if kind == "value" else kind,
        value=from_value(change.value) if kind == "value" else None,
        revision=change.revision,
        writer=change.writer,
        changed_at=change.changed_at.ToDatetime(tzinfo=UTC),
    )
