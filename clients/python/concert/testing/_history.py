"""What happened, to be asserted on. Every assertion that fails shows the timeline.

A history is made from the events alone, so it can be read from any coordinator, also one that runs elsewhere.
"""

from __future__ import annotations

from collections.abc import Iterable
from itertools import combinations, pairwise
from typing import Any

from concert._runs import RunHandle
from concert._surface import Surface
from concert.testing._record import AttemptSpan, ConflictRecord, LockSpan, Record, TaskSpan
from concert.testing._timeline import draw

EVENTS_MAX = 1_000_000


class HistoryError(AssertionError):
    """It was not so. The text says what was asked, what was found, and draws the timeline."""

    __module__ = "concert.testing"


class History:
    """The tasks of one run, or of all, with every lock and conflict of the namespace since it began.

    "Running" is from an attempt's assignment to its end; before and after are told by the sequences of the log, which
    never tie.
    """

    def __init__(self, events: Iterable[Any], run_id: str = "") -> None:
        """Of all events of a namespace, in order; only the tasks of `run_id` if given."""
        record = Record(events)
        self.run_id = run_id
        self.tasks: dict[str, TaskSpan] = {}
        """By task id; with several runs by "run id/task id"."""
        self._began = record.submitted_at.get(run_id, 0.0)
        self._ended = record.ended_at
        self.status = record.statuses.get(run_id, "")
        """Of the run, for example "SUCCEEDED"."""
        spans = [span for (of_run, _), span in record.tasks.items() if not run_id or of_run == run_id]
        several = len({span.run_id for span in spans}) > 1
        for span in spans:
            self.tasks[f"{span.run_id}/{span.task_id}" if several else span.task_id] = span
        self.locks = [lock for lock in record.locks if lock.ended_at is None or lock.ended_at >= self._began]
        self.conflicts = [each for each in record.conflicts if each.at >= self._began]

    def timeline(self) -> str:
        """The chart."""
        ends = [task.over_at for task in self.tasks.values()] + [lock.ended_at for lock in self.locks]
        ended = self._ended if not ends or None in ends else max(end for end in ends if end is not None)
        title = f"run {self.run_id}: {self.status}" if self.run_id else "every run"
        return draw(title, list(self.tasks.values()), self.locks, self.conflicts, began=self._began, ended=ended)

    __str__ = timeline

    def task(self, task_id: str) -> TaskSpan:
        """A task. Fails when there is none of that id."""
        self._check(task_id in self.tasks, f"there is a task {task_id}", f"there are {', '.join(self.tasks) or 'none'}")
        return self.tasks[task_id]

    @property
    def seconds(self) -> float:
        """From the submission of the run (or the first event) to the end of its last task."""
        ends = [task.over_at for task in self.tasks.values() if task.over_at is not None]
        return max(ends, default=self._began) - self._began

    # What came when.

    def assert_order(self, *task_ids: str) -> None:
        """Each was over before the next began."""
        for earlier, later in pairwise(task_ids):
            first, second = self.task(earlier), self.task(later)
            begun = bool(first.attempts and second.attempts)
            ended = first.over_sequence is not None
            so = begun and ended and (first.over_sequence or 0) < second.attempts[0].token
            self._check(so, f"{earlier} was over before {later} began", f"{_when(first)}, {_when(second)}")

    def assert_overlap(self, *task_ids: str) -> None:
        """All of them were running at one moment."""
        spans = [self.task(task_id) for task_id in task_ids]
        for one, other in combinations(spans, 2):
            so = any(_together(first, second) for first in one.attempts for second in other.attempts)
            wanted = f"{one.task_id} and {other.task_id} ran at the same time"
            self._check(so, wanted, f"{_when(one)}, {_when(other)}")

    def assert_no_overlap(self, *task_ids: str) -> None:
        """No two of them were running at one moment."""
        for one, other in combinations([self.task(task_id) for task_id in task_ids], 2):
            so = any(_together(first, second) for first in one.attempts for second in other.attempts)
            wanted = f"{one.task_id} and {other.task_id} never ran at the same time"
            self._check(not so, wanted, f"{_when(one)}, {_when(other)}")

    def assert_running_at_most(self, count: int) -> None:
        """Never more tasks than that were running at one moment."""
        attempts = [attempt for task in self.tasks.values() for attempt in task.attempts]
        most = _most_running(attempts)
        self._check(most <= count, f"at most {count} tasks ran at the same time", f"{most} did")

    def assert_took(self, *, at_least: float = 0.0, at_most: float) -> None:
        """The run took so many seconds."""
        so = at_least <= self.seconds <= at_most
        self._check(so, f"the run took {at_least:g} to {at_most:g} s", f"it took {self.seconds:g} s")

    # What became of it.

    def assert_status(self, status: str) -> None:
        """Of the run, for example "PARTIAL_FAILURE"."""
        self._check(self.status == status, f"the run is {status}", f"it is {self.status or 'unknown'}")

    def assert_succeeded(self, *task_ids: str, attempts: int | None = None) -> None:
        """They succeeded; every task, when none is named. `attempts`: with so many each."""
        for task_id in task_ids or tuple(self.tasks):
            self._check_outcome(task_id, "succeeded", attempts)

    def assert_failed(self, task_id: str, *, error_type: str = "", attempts: int | None = None) -> AttemptSpan:
        """It failed for good; returns its last attempt. `error_type`: for example "RuntimeError", "TIMEOUT",
        "PRECONDITION_FAILED".
        """
        self._check_outcome(task_id, "failed", attempts)
        last = self.task(task_id).attempts[-1]
        so = not error_type or last.error_type == error_type
        self._check(so, f"{task_id} failed with {error_type}", f"it failed with {last.error_type}")
        return last

    def assert_skipped(self, task_id: str, *, cause: str = "") -> None:
        """It never ran, since `cause` did not succeed."""
        self._check_outcome(task_id, "skipped", 0)
        found = self.task(task_id).cause
        self._check(not cause or found == cause, f"{task_id} was skipped because of {cause}", f"because of {found}")

    def assert_cancelled(self, *task_ids: str) -> None:
        """They were cancelled."""
        for task_id in task_ids:
            self._check_outcome(task_id, "cancelled", None)

    def assert_at_most_once(self, *task_ids: str) -> None:
        """Of each task (every one, when none is named) no two attempts were running at one moment, no attempt began or
        was reported twice, and one completion was accepted.
        """
        for task_id in task_ids or tuple(self.tasks):
            attempts = self.task(task_id).attempts
            so = all(attempt.starts <= 1 and attempt.ends <= 1 for attempt in attempts)
            so = so and not any(_together(one, other) for one, other in combinations(attempts, 2))
            completions = sum(attempt.outcome == "succeeded" for attempt in attempts)
            self._check(so and completions <= 1, f"{task_id} ran at most once at a time", f"attempts: {attempts}")

    # Conflicts and locks.

    def assert_conflict(self, *, key: str = "", winner: str = "", loser: str = "") -> ConflictRecord:
        """Two writers met on `key`; writers are task ids inside tasks. Returns the first such conflict."""
        for conflict in self.conflicts:
            winners = conflict.winners if not key else {key: conflict.winners.get(key)}
            named = key in conflict.winners or not key
            if named and loser in ("", conflict.loser) and (not winner or winner in winners.values()):
                return conflict
        wanted = f"there is a conflict over {key or 'any key'}"
        wanted += f", won by {winner}" * bool(winner) + f", lost by {loser}" * bool(loser)
        self._check(False, wanted, f"there are {len(self.conflicts)} conflicts")
        raise AssertionError  # not reached

    def assert_no_conflict(self) -> None:
        """No two writers met."""
        self._check(not self.conflicts, "no two writers met", f"there are {len(self.conflicts)} conflicts")

    def assert_locked(self, resource: str, *holders: str) -> list[LockSpan]:
        """The resource was held by these, in this order; holders are task ids inside tasks. Returns the locks."""
        held = sorted(self._held(resource), key=lambda lock: lock.fencing_token)
        found = [lock.holder for lock in held]
        text = ", ".join(found) or "nobody"
        self._check(found == list(holders), f"{resource} was held by {', '.join(holders)}", f"by {text}")
        return held

    def assert_exclusive(self, *resources: str) -> None:
        """None of them (no resource at all, when none is named) was held by two at one moment, unless all shared it."""
        for resource in resources or tuple({lock.resource: None for lock in self.locks}):
            for one, other in combinations(self._held(resource), 2):
                shared = one.mode == other.mode == "shared"
                wanted = f"{resource} was never held by two at the same time"
                self._check(shared or not one.overlaps(other), wanted, f"{one.holder} and {other.holder} did")

    def _held(self, resource: str) -> list[LockSpan]:
        return [lock for lock in self.locks if lock.resource == resource and lock.fencing_token]

    def _check_outcome(self, task_id: str, outcome: str, attempts: int | None) -> None:
        task = self.task(task_id)
        self._check(task.outcome == outcome, f"{task_id} {outcome}", f"it is {task.outcome}")
        so = attempts is None or len(task.attempts) == attempts
        self._check(so, f"{task_id} {outcome} with {attempts} attempts", f"it had {len(task.attempts)}")

    def _check(self, so: bool, wanted: str, found: str) -> None:
        __tracebackhide__ = True
        if not so:
            raise HistoryError(f"expected that {wanted}; but {found}\n\n{self.timeline()}")


async def read_history(client: Surface, run: RunHandle | str = "") -> History:
    """The history of a run, or of everything, from whatever coordinator the client is connected to."""
    run_id = run if isinstance(run, str) else run.run_id
    return History(await client.events.list(limit=EVENTS_MAX), run_id)


def _together(one: AttemptSpan, other: AttemptSpan) -> bool:
    return not one.is_before(other) and not other.is_before(one)


def _when(task: TaskSpan) -> str:
    if not task.attempts:
        return f"{task.task_id} never ran"
    end = "is not over" if task.over_sequence is None else f"ended with event {task.over_sequence}"
    return f"{task.task_id} began with event {task.attempts[0].token} and {end}"


def _most_running(attempts: list[AttemptSpan]) -> int:
    changes = [(attempt.token, 1) for attempt in attempts]
    changes += [(attempt.ended_sequence, -1) for attempt in attempts if attempt.ended_sequence is not None]
    running = most = 0
    for _sequence, change in sorted(changes):
        running += change
        most = max(most, running)
    return most
