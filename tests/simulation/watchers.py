"""Watchers of shared state: they keep a copy of what they are told, die, and come back with the bookmark they wrote
down.
"""

from __future__ import annotations

import asyncio
from contextlib import aclosing
from typing import TYPE_CHECKING, Any, cast

from concert.v1.state_service_pb2 import WatchStateRequest, WatchStateResponse
from google.protobuf.json_format import MessageToDict

from coordinator_service.core.invariants import InvariantBroken
from coordinator_service.core.rejections import CursorCompacted, LimitReached, Rejection, Unavailable
from coordinator_service.core.state import NamespaceState
from coordinator_service.core.values import path_covers
from coordinator_service.rpc import state_watch
from tests.simulation.coordinator import Lost

if TYPE_CHECKING:
    from tests.simulation.world import World

_ASKED = ({}, {"prefix": "site"}, {"prefix": "site/pages"}, {"keys": ["site", "score", "posts/list"]})
_SUPERSEDED = object()
"""Of a key that changed again: what it holds is told by the change that follows."""
_MARKS_EVERY = 3


class Watcher:
    """One who keeps a copy."""

    def __init__(self, world: World, number: int) -> None:
        self.world = world
        self.random = world.random_of(f"watcher/{number}")
        self._asked: dict[str, Any] = self.random.choice(_ASKED)
        self._selector = state_watch.read_selector(WatchStateRequest(**self._asked))
        self.bookmark = 0
        self._copy: dict[str, Any] = {}
        self._marks: dict[int, dict[str, Any]] = {}
        self._told = 0
        self._log_id = ""

    async def act(self) -> None:
        """Until the end of the world."""
        while True:
            try:
                await self._watch()
            except CursorCompacted:
                self.bookmark = 0  # it begins again, with what is there
            except (Lost, Unavailable, LimitReached):
                await asyncio.sleep(self.world.faults.delay(1.0) + 0.01)
            except TimeoutError:
                await asyncio.sleep(self.world.faults.delay(5.0))

    async def _watch(self) -> None:
        port = await self.world.port()
        request = WatchStateRequest(**self._asked)
        if self.bookmark:
            request.after.sequence, request.after.log_id = self.bookmark, self._log_id
        else:
            self._copy.clear()
        self._log_id, self._told = port.log_id, self.bookmark
        async with asyncio.timeout(None if self.world.calm else self.random.expovariate(1 / 4.0)):
            responses = cast("Any", state_watch.watch(port, request, self._selector, bookmark_seconds=4.0))
            async with aclosing(responses):
                try:
                    async for response in responses:
                        self._hear(WatchStateResponse.FromString(response.SerializeToString()))
                        if self.random.random() < 0.1:
                            await asyncio.sleep(self.world.faults.delay(4.0))
                except (Unavailable, LimitReached, CursorCompacted):
                    raise
                except Rejection as refusal:
                    raise InvariantBroken(f"S1: a watcher was refused: {refusal!r}") from refusal

    def _hear(self, response: WatchStateResponse) -> None:
        for entry in response.entries:
            self._copy[entry.key] = MessageToDict(entry.value)
        for change in response.changes:
            if change.revision < self._told:
                raise InvariantBroken(f"S1: a watcher was told of {change.revision} after {self._told}")
            self._told = change.revision
            self._take(change)
        if response.HasField("bookmark"):
            self.bookmark = response.bookmark.last_sequence
            if self.bookmark > self.world.durable.end:
                raise InvariantBroken(f"D4: a watcher was told of {self.bookmark}, which is not durable")
            if len(self._marks) < 50 and self.random.randrange(_MARKS_EVERY) == 0:
                self._marks[self.bookmark] = dict(self._copy)

    def _take(self, change: Any) -> None:
        outcome = change.WhichOneof("outcome")
        if outcome == "value":
            self._copy[change.key] = MessageToDict(change.value)
        elif outcome == "superseded":
            self._copy[change.key] = _SUPERSEDED
        elif outcome == "deleted":
            if change.key not in self._copy:
                raise InvariantBroken(f"S1: {change.key} was deleted at {change.revision}, and a watcher never saw it")
            del self._copy[change.key]
        else:
            for key in [each for each in self._copy if path_covers(change.key, each)]:
                del self._copy[key]

    def check(self, folded: NamespaceState) -> None:
        """S1: what it was told up to a bookmark makes what the log up to there folds to; at the end of the log, all."""
        copy = self._marks.get(folded.sequence)
        if folded.sequence == self.world.durable.end:
            if _SUPERSEDED in self._copy.values():
                raise InvariantBroken("S1: a change was superseded by one that never came")
            copy = self._copy
        if copy is None:
            return
        expected = {key: row.value for key, row in folded.entries.items() if self._selector.covers(key)}
        differ = [key for key in {**copy, **expected} if copy.get(key, folded) not in (_SUPERSEDED, expected.get(key))]
        if differ or copy.keys() != expected.keys():
            raise InvariantBroken(f"S1: a watcher's copy at {folded.sequence} is {copy}, not {expected}")
