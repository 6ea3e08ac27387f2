"""A log with its tail: what may be read of it here, whoever owns it, and from where (E2, E4)."""

from __future__ import annotations

import logging

from coordinator_service.core.rejections import CursorCompacted, CursorInFuture, LogMismatch, Unavailable
from coordinator_service.log.base import EventLog, LogEnds, LogError
from coordinator_service.tail import Tail, TailFollower

_log = logging.getLogger(__name__)


class FollowedLog:
    """Cursors over one log. `tail` has what was committed last, as far as it is known here."""

    def __init__(self, log: EventLog, log_id: str, tail: Tail) -> None:
        self.log_id = log_id
        self.tail = tail
        self._log = log
        self._latest_asked = 0

    @property
    def last(self) -> int:
        """The last committed sequence, as far as it is known here."""
        return self.tail.last

    async def follow(self, after: int, log_id: str) -> TailFollower:
        """A cursor that reads what comes after a sequence. Raises CursorCompacted, LogMismatch, CursorInFuture."""
        await self.check_position(after, log_id, "after")
        return TailFollower(self.tail, after, self.check_kept)

    async def check_position(self, after: int, log_id: str, field: str) -> None:
        """E4: that a cursor lies in this log, which has all that comes after it."""
        if log_id and log_id != self.log_id:
            raise LogMismatch(self.log_id, log_id)
        if after > self.last:
            if log_id and after > self._latest_asked:
                self._latest_asked = after
                _log.warning(
                    "namespace %s: a reader has read log %s up to %d, and it ends at %d: unless the reader is mistaken,"
                    " the store has lost what was acknowledged",
                    self._log.namespace,
                    log_id,
                    after,
                    self.last,
                )
            raise CursorInFuture((field, f"is {after}, the log ends at {self.last}"))
        if self.tail.slice(after, 1) is None:
            await self.check_kept(after)

    async def check_kept(self, after: int) -> None:
        """That the log has all that comes after a sequence. Raises CursorCompacted."""
        kept = await self.kept()
        if after < kept.oldest_sequence - 1:
            raise CursorCompacted(kept.log_id, kept.oldest_sequence, self.last)

    async def ends(self) -> LogEnds:
        """Where the committed log begins and ends. Raises Unavailable."""
        kept = await self.kept()
        return LogEnds(
            log_id=kept.log_id,
            oldest_sequence=kept.oldest_sequence,
            last_sequence=self.last,
            hash=kept.hash,
            base_hash=kept.base_hash,
        )

    async def locate(self, time_ns: int) -> int:
        """A sequence after which come all events at or after a time (and perhaps a few before it)."""
        try:
            return await self._log.locate(time_ns)
        except LogError as error:
            raise Unavailable(f"the log cannot be read: {error}") from None

    async def kept(self) -> LogEnds:
        """Where the log begins and ends in the store, known here or not. Raises Unavailable."""
        try:
            return await self._log.ends()
        except LogError as error:
            raise Unavailable(f"the log cannot be read: {error}") from None
