"""Named subscriptions: the cursors of a namespace, as its owner keeps them beside the log (E5).

They are no events: a consumer that acknowledges a million events adds nothing to the log. What was acknowledged is
durable before anybody hears of it. While one write is under way, what is asked meanwhile joins the next, so that many
consumers cost the log's writer one small transaction at a time.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass, replace

from coordinator_service.core.rejections import (
    AlreadyExists,
    CursorBehind,
    LimitReached,
    LogMismatch,
    NotFound,
    Rejection,
)
from coordinator_service.faults import rejection_of
from coordinator_service.log.base import Cursor, EventLog


@dataclass(frozen=True, slots=True, kw_only=True)
class NamedSubscriptionLimits:
    """Bounds of named subscriptions, for each namespace."""

    subscriptions_max: int = 1000


class NamedSubscriptions:
    """Reads the cursors that there are, and moves them. `failed` is told when the log does not take a change: what is
    durable is then not known here any more, and the namespace has to be opened again.
    """

    def __init__(
        self,
        log: EventLog,
        log_id: str,
        epoch: int,
        kept: list[Cursor],
        limits: NamedSubscriptionLimits,
        *,
        now_ns: Callable[[], int],
        failed: Callable[[Rejection], None],
    ) -> None:
        self._log = log
        self._log_id = log_id
        self._epoch = epoch
        self._limits = limits
        self._now_ns = now_ns
        self._failed = failed
        self._durable = {cursor.name: cursor for cursor in kept}
        self._latest = dict(self._durable)
        self._changed: dict[str, None] = {}
        self._waiting: list[asyncio.Future[None]] = []
        self._in_flight: list[asyncio.Future[None]] = []
        self._writing: asyncio.Task[None] | None = None
        self._failure: Rejection | None = None

    def all(self) -> list[Cursor]:
        """The durable ones, by name."""
        return [cursor for _, cursor in sorted(self._durable.items())]

    def get(self, name: str) -> Cursor:
        """One that is durable. Raises NotFound."""
        found = self._durable.get(name)
        if found is None:
            raise NotFound("subscription", name)
        return found

    def oldest(self) -> int | None:
        """The least that any of them has acknowledged of this log; None when nobody waits for anything."""
        return min((each.sequence for each in self._durable.values() if each.log_id == self._log_id), default=None)

    async def create(self, name: str, sequence: int, request_id: str) -> tuple[Cursor, bool]:
        """A new one after a sequence; or the one that this very request made, and that it did. Raises AlreadyExists,
        LimitReached, Unavailable.
        """
        there = self._latest.get(name)
        if there is not None:
            if request_id and there.request_id == request_id:
                await self._written()
                return there, True
            raise AlreadyExists("subscription", name)
        if len(self._latest) >= self._limits.subscriptions_max:
            raise LimitReached("subscriptions_max", self._limits.subscriptions_max)
        made = Cursor(
            name=name, log_id=self._log_id, sequence=sequence, created_at_ns=self._now_ns(), request_id=request_id
        )
        await self._keep(name, made)
        return made, False

    async def acknowledge(self, name: str, sequence: int, *, reset: bool = False) -> Cursor:
        """Moves one forward, or with reset anywhere. The same again changes nothing. Raises NotFound, LogMismatch,
        CursorBehind, Unavailable.
        """
        there = self._latest.get(name)
        if there is None:
            raise NotFound("subscription", name)
        if not reset:
            if there.log_id != self._log_id:
                raise LogMismatch(self._log_id, there.log_id)
            if sequence < there.sequence:
                behind = f"is {sequence}, and {there.sequence} is acknowledged already: it moves forward only"
                raise CursorBehind(("cursor.sequence", behind))
            if sequence == there.sequence and there.acknowledged_at_ns:
                await self._written()
                return there
        moved = replace(there, log_id=self._log_id, sequence=sequence, acknowledged_at_ns=self._now_ns())
        await self._keep(name, moved)
        return moved

    async def delete(self, name: str) -> bool:
        """Whether it was there. Raises Unavailable."""
        if name not in self._latest:
            await self._written()
            return False
        await self._keep(name, None)
        return True

    def close(self, failure: Rejection) -> None:
        """Nothing is written any more; whoever waits is told."""
        if self._failure is not None:
            return
        self._failure = failure
        if self._writing is not None:
            self._writing.cancel()
        waiting, self._waiting = self._in_flight + self._waiting, []
        _tell(waiting, failure)

    async def _keep(self, name: str, cursor: Cursor | None) -> None:
        """Returns once a change is durable."""
        if self._failure is not None:
            raise self._failure
        if cursor is None:
            del self._latest[name]
        else:
            self._latest[name] = cursor
        self._changed[name] = None
        await self._written()

    async def _written(self) -> None:
        """Waits until everything asked so far is durable."""
        if self._failure is not None:
            raise self._failure
        if not self._changed and self._writing is None:
            return
        written: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._waiting.append(written)
        if self._writing is None:
            self._writing = asyncio.create_task(self._write())
        await written

    async def _write(self) -> None:
        try:
            while self._waiting:
                self._in_flight, self._waiting = self._waiting, []
                changed, self._changed = self._changed, {}
                saved = [self._latest[name] for name in changed if name in self._latest]
                dropped = [name for name in changed if name not in self._latest]
                if changed:
                    await self._log.save_cursors(saved, self._epoch, dropped=dropped)
                for name in dropped:
                    self._durable.pop(name, None)
                self._durable.update((cursor.name, cursor) for cursor in saved)
                _tell(self._in_flight, None)
        except Exception as error:
            self._writing = None
            failure = rejection_of(error, "a change of named subscriptions")
            self.close(failure)
            self._failed(failure)
        finally:
            self._writing = None


def _tell(waiting: list[asyncio.Future[None]], failure: Rejection | None) -> None:
    for each in waiting:
        if each.done():
            continue
        if failure is None:
            each.set_result(None)
        else:
            each.set_exception(failure)
