"""Turns within one process (rule L5): the coordinator lets one holder take a lock twice, so two scopes of one
holder would both get in. Here they line up instead, before they ask.

A task that is inside may enter again (the coordinator counts such grants); several shared scopes may be
inside together.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Sequence
from typing import Any, TypeAlias

# (event loop, who holds, what is held)
TurnKey: TypeAlias = tuple[int, str, str]


class _Queue:
    """Who is inside, and who waits, for one resource of one holder."""

    __slots__ = ("inside", "waiting")

    def __init__(self) -> None:
        self.inside: list[tuple[asyncio.Task[Any] | None, bool]] = []
        self.waiting: deque[tuple[asyncio.Future[None], asyncio.Task[Any] | None, bool]] = deque()

    def has_room(self, task: asyncio.Task[Any] | None, shared: bool) -> bool:
        if any(each is task for each, _ in self.inside):
            return True
        return not self.inside or (shared and all(each for _, each in self.inside))


_queues: dict[TurnKey, _Queue] = {}


class Turns:
    """The turns of one scope: on each of its resources, in the order of their names so that scopes cannot
    block each other.
    """

    def __init__(self, holder: str, resources: Sequence[str], *, shared: bool) -> None:
        """Without a holder name every request is a holder of its own, and there is nothing to line up for."""
        loop = id(asyncio.get_running_loop())
        self._keys: list[TurnKey] = [(loop, holder, resource) for resource in sorted(set(resources))] if holder else []
        self._shared = shared
        self._task = asyncio.current_task()
        self._entered: list[TurnKey] = []

    async def enter(self) -> None:
        """Waits for all of them. What was entered is left again when the wait is cancelled."""
        try:
            for key in self._keys:
                await self._enter(key)
                self._entered.append(key)
        except BaseException:
            self.leave()
            raise

    def leave(self) -> None:
        """Lets the next in line in."""
        while self._entered:
            key = self._entered.pop()
            queue = _queues[key]
            queue.inside.remove((self._task, self._shared))
            _let_in(key, queue)

    async def _enter(self, key: TurnKey) -> None:
        queue = _queues.setdefault(key, _Queue())
        reenters = any(each is self._task for each, _ in queue.inside)
        if reenters or (not queue.waiting and queue.has_room(self._task, self._shared)):
            queue.inside.append((self._task, self._shared))
            return
        turn: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        queue.waiting.append((turn, self._task, self._shared))
        try:
            await turn
        except asyncio.CancelledError:
            if turn.done() and not turn.cancelled():
                queue.inside.remove((self._task, self._shared))
            else:
                queue.waiting.remove((turn, self._task, self._shared))
            _let_in(key, queue)
            raise


def _let_in(key: TurnKey, queue: _Queue) -> None:
    while queue.waiting and queue.has_room(queue.waiting[0][1], queue.waiting[0][2]):
        turn, task, shared = queue.waiting.popleft()
        if turn.cancelled():
            continue
        queue.inside.append((task, shared))
        turn.set_result(None)
    if not queue.inside and not queue.waiting:
        _queues.pop(key, None)
