"""Answers from the log: what the owner no longer has in memory is read back for whoever asked for it (D5, D8, S1)."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any, TypeAlias

from coordinator_service.core.answers import FromLog, PastFromLog, Recall, recalled
from coordinator_service.core.commands import Caller, Command, RetryRun
from coordinator_service.core.evicted_runs import EvictedRun
from coordinator_service.core.rejections import Rejection, Unavailable
from coordinator_service.faults import rejection_of
from coordinator_service.followed_log import FollowedLog
from coordinator_service.log.base import EventLog
from coordinator_service.past_reads import read_past
from coordinator_service.ports import Outcome, Respond
from coordinator_service.tail import Tail, TailFollower

Wanted: TypeAlias = Recall | FromLog | PastFromLog


class LogAnswers:
    """Of one namespace. `again` submits a command that could be read back, and is then to be decided; `dropped` says
    why the namespace is no longer served here."""

    def __init__(
        self,
        log: EventLog,
        tail: Tail,
        followed: FollowedLog,
        *,
        spawn: Callable[[Coroutine[Any, Any, None]], asyncio.Task[None]],
        again: Callable[[Command, Caller, Respond], None],
        dropped: Callable[[], Rejection | None],
    ) -> None:
        self._log = log
        self._tail = tail
        self._followed = followed
        self._spawn = spawn
        self._again = again
        self._dropped = dropped
        self._past_turn = asyncio.Lock()

    def give(self, wanted: Wanted, respond: Respond) -> None:
        """Reads it, and tells whoever asked; whatever happens meanwhile, once."""
        giving = self._spawn(self._give(wanted, respond))

        def done(_: asyncio.Task[None]) -> None:
            if giving.cancelled():  # perhaps before it began
                respond(self._dropped() or Unavailable("the answer was not read"))

        giving.add_done_callback(done)

    async def _give(self, wanted: Wanted, respond: Respond) -> None:
        try:
            outcome = await self._read(wanted)
        except Exception as failure:
            outcome = rejection_of(failure, f"{type(wanted).__name__} of namespace {self._log.namespace}")
        if isinstance(outcome, RetryRun):
            assert isinstance(wanted, FromLog)
            self._again(outcome, wanted.caller, respond)
        else:
            respond(outcome)

    async def _read(self, wanted: Wanted) -> Outcome | RetryRun:
        if isinstance(wanted, Recall):
            return await self._first_answer(wanted)
        if isinstance(wanted, FromLog):
            return await self._evicted(wanted)
        async with self._past_turn:  # S1: folded again, one question at a time
            return await read_past(self._log, wanted.command)

    async def _first_answer(self, recall: Recall) -> Outcome:
        """D5: from the events of the first decision."""
        found = await self._tail.read(recall.first_sequence - 1, recall.count)
        if found and [found[0].sequence, len(found)] == [recall.first_sequence, recall.count]:
            return recalled([each.event for each in found])
        return Unavailable("the first answer is no longer kept")

    async def _evicted(self, asked: FromLog) -> Outcome | RetryRun:
        """D8: what is evicted is still answered while the log has it."""
        evicted = EvictedRun(self._log.namespace, asked)
        follower = TailFollower(self._tail, asked.first_sequence - 1, self._followed.check_kept)
        while follower.position < asked.last_sequence:
            found = await follower.read(events_max=asked.last_sequence - follower.position)
            evicted.take([each.event for each in found])
        return evicted.answer()
