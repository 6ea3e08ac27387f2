"""The one thread that writes: it commits whatever waits, for all namespaces, in one transaction.

Whoever waits is woken once per commit. The thread releases the interpreter as rarely as it can, since
getting it back from a busy event loop costs a switch interval each time: a group of appends is one SQL
statement.
"""

from __future__ import annotations

import asyncio
import logging
import sqlite3
import threading
from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from queue import Empty, SimpleQueue
from time import perf_counter_ns
from typing import Any, TypeVar

from coordinator_service.log.base import Batch, Fenced, LogError, chain
from coordinator_service.log.sqlite_file import connect
from coordinator_service.log.timings import LogTimings

GROUP_APPENDS_MAX = 512
GROUP_BYTES_MAX = 8 * 1024 * 1024
"""A commit takes in no more once it is this large: the first of a crowd does not wait for the last."""

ROW_BYTES = 4096
"""About what a row adds to the write-ahead log beside its events."""

T = TypeVar("T")

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Append:
    """A batch to be appended to the log with that row id."""

    log: int
    batch: Batch
    epoch: int
    answer: asyncio.Future[None]
    asked_ns: int


@dataclass(frozen=True, slots=True)
class Change:
    """Anything else, in a transaction of its own. It may move the end of `log`."""

    log: int
    make: Callable[[sqlite3.Connection], Any]
    answer: asyncio.Future[Any]


@dataclass(frozen=True, slots=True)
class Tail:
    """Where a log ends and who may append."""

    last_sequence: int
    hash: bytes
    epoch: int


Outcome = tuple["asyncio.Future[Any]", Any, LogError | None]


class Writer:
    """Takes appends and changes in call order. `written` is told, in the thread, how many bytes a commit
    wrote.
    """

    def __init__(self, path: Path, *, written: Callable[[int], None]) -> None:
        self.timings = LogTimings()
        self._queue: SimpleQueue[Append | Change | None] = SimpleQueue()
        self._connection = connect(path)
        self._tails: dict[int, Tail] = {}
        self._written = written
        self._closed = False
        self._checkpoint_due = False
        self._thread = threading.Thread(target=self._run, name="concert-log-writer", daemon=True)
        self._thread.start()

    def append(self, log: int, batch: Batch, epoch: int) -> asyncio.Future[None]:
        """Resolved once the batch is durable; fails with LogError."""
        answer: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._put(Append(log, batch, epoch, answer, perf_counter_ns()))
        return answer

    def change(self, log: int, make: Callable[[sqlite3.Connection], T]) -> asyncio.Future[T]:
        """Resolved with what `make` returns once its transaction is durable; fails with LogError."""
        answer: asyncio.Future[T] = asyncio.get_running_loop().create_future()
        self._put(Change(log, make, answer))
        return answer

    def checkpoint_soon(self) -> None:
        """After the next commit, copies back what is left of the write-ahead log so that it begins anew.

        Called from any thread, when little is left: only between two commits can the log be copied to its
        end.
        """
        self._checkpoint_due = True

    def close(self) -> None:
        """Commits what waits and ends the thread. Blocks."""
        self._closed = True
        self._queue.put(None)
        self._thread.join()
        self._connection.close()

    def _put(self, work: Append | Change) -> None:
        if self._closed:
            raise LogError("the store is closed")
        self._queue.put(work)

    # In the thread

    def _run(self) -> None:
        going = True
        while going:
            waiting, going = self._take()
            appends: list[Append] = []
            for work in waiting:
                if isinstance(work, Append):
                    appends.append(work)
                    continue
                self._append_all(appends)
                appends = []
                self._change(work)
            self._append_all(appends)
            if self._checkpoint_due:
                self._checkpoint_due = False
                self._checkpoint()

    def _take(self) -> tuple[list[Append | Change], bool]:
        """Whatever waits, at least one; and whether more will come."""
        waiting: list[Append | Change] = []
        size = 0
        try:
            while len(waiting) < GROUP_APPENDS_MAX and size < GROUP_BYTES_MAX:
                work = self._queue.get(block=not waiting)
                if work is None:
                    return waiting, False
                waiting.append(work)
                if isinstance(work, Append):
                    size += len(work.batch.events)
        except Empty:
            pass
        return waiting, True

    def _append_all(self, appends: list[Append]) -> None:
        if not appends:
            return
        outcomes: list[Outcome] = []
        try:
            rows, tails = self._chain_all(appends, outcomes)
            if rows:
                began_ns = perf_counter_ns()
                self._connection.execute(_insert(len(rows) // 6), rows)
                self.timings.committed(began_ns, perf_counter_ns(), appends)
        except Exception as fault:
            self.timings.errors += 1
            self._restore()
            refused = LogError(f"not appended: {fault}")
            refused.__cause__ = fault
            outcomes = [(append.answer, None, refused) for append in appends]
        else:
            self._tails.update(tails)
            self._written(sum(len(append.batch.events) + ROW_BYTES for append in appends))
        _wake(outcomes)

    def _chain_all(self, appends: list[Append], outcomes: list[Outcome]) -> tuple[list[Any], dict[int, Tail]]:
        """The rows of those that continue their log, one after another, and where the logs end then."""
        rows: list[Any] = []
        tails: dict[int, Tail] = {}
        for append in appends:
            log, batch = append.log, append.batch
            tail = tails.get(log) or self._tail(log)
            refused = _refusal(append, tail)
            outcomes.append((append.answer, None, refused))
            if refused is None:
                digest = chain(tail.hash, batch.events)
                rows += (log, batch.last_sequence, batch.first_sequence, batch.time_ns, digest, batch.events)
                tails[log] = Tail(batch.last_sequence, digest, tail.epoch)
        return rows, tails

    def _tail(self, log: int) -> Tail:
        tail = self._tails.get(log)
        if tail is None:
            tail = self._tails[log] = read_tail(self._connection, log)
        return tail

    def _change(self, change: Change) -> None:
        connection = self._connection
        result: Any = None
        refused: LogError | None = None
        try:
            connection.execute("BEGIN IMMEDIATE")
            result = change.make(connection)
            connection.execute("COMMIT")
        except LogError as fault:
            self._restore()
            refused = fault
        except Exception as fault:
            self._restore()
            refused = LogError(f"not stored: {fault}")
            refused.__cause__ = fault
        else:
            self._tails.pop(change.log, None)
            self._written(ROW_BYTES)
        _wake([(change.answer, result, refused)])

    def _restore(self) -> None:
        """After a failure: nothing of it stays, and where the logs end is read again from what is durable."""
        self._tails.clear()
        try:
            if self._connection.in_transaction:
                self._connection.rollback()
        except sqlite3.Error:
            _log.exception("could not roll back")

    def _checkpoint(self) -> None:
        try:
            self._connection.execute("PRAGMA wal_checkpoint(PASSIVE)").fetchall()
        except sqlite3.Error as fault:
            _log.warning("could not checkpoint: %s", fault)


@lru_cache(maxsize=GROUP_APPENDS_MAX)
def _insert(count: int) -> str:
    rows = ",".join(["(?,?,?,?,?,?)"] * count)
    return f"INSERT INTO batches (log, last_sequence, first_sequence, time_ns, hash, events) VALUES {rows}"


def read_tail(connection: sqlite3.Connection, log: int) -> Tail:
    """Where a log ends and who may append, as it is durable."""
    epoch, sequence, digest = connection.execute(
        "SELECT epoch, base_sequence, base_hash FROM logs WHERE id = ?", (log,)
    ).fetchone()
    last = connection.execute(
        "SELECT last_sequence, hash FROM batches WHERE log = ? ORDER BY last_sequence DESC LIMIT 1", (log,)
    ).fetchone()
    if last is not None:
        sequence, digest = last
    return Tail(sequence, digest, epoch)


def _refusal(append: Append, tail: Tail) -> Fenced | None:
    batch = append.batch
    if append.epoch != tail.epoch:
        return Fenced(f"epoch {append.epoch} is not the last one claimed, {tail.epoch}")
    if batch.first_sequence != tail.last_sequence + 1:
        return Fenced(f"the log ends at {tail.last_sequence}, the batch begins at {batch.first_sequence}")
    return None


def _wake(outcomes: list[Outcome]) -> None:
    """Answers all of a commit with one call into their event loop."""
    try:
        outcomes[0][0].get_loop().call_soon_threadsafe(_answer, outcomes)
    except RuntimeError:
        _log.debug("the event loop is closed: nobody waits for this commit")


def _answer(outcomes: list[Outcome]) -> None:
    for answer, result, refused in outcomes:
        if answer.done():
            continue
        if refused is None:
            answer.set_result(result)
        else:
            answer.set_exception(refused)
