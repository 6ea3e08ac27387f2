"""A record drawn as text: a row for each task and lock, time from left to right, and what went wrong below."""

from __future__ import annotations

from collections.abc import Sequence

from concert.testing._record import ConflictRecord, LockSpan, TaskSpan

COLUMNS = 60
LEGEND = "· waits for others   - ready, waits   = works   x failed   ~ backs off   # holds the lock"


def draw(
    title: str,
    tasks: Sequence[TaskSpan],
    locks: Sequence[LockSpan],
    conflicts: Sequence[ConflictRecord],
    *,
    began: float,
    ended: float,
) -> str:
    """The chart, from `began` to `ended` (seconds of the record)."""
    names = [task.task_id for task in tasks] + [f"{lock.resource} ({lock.holder})" for lock in locks]
    width = max(map(len, names), default=0)
    scale = _Scale(began, ended)
    over = {task.task_id: task.over_at for task in tasks}
    rows = [scale.axis(width)]
    for name, task in zip(names, tasks, strict=False):
        rows.append(f"{name:<{width}} |{_task_row(task, over, scale)}| {_task_end(task)}")
    for name, lock in zip(names[len(tasks) :], locks, strict=True):
        rows.append(f"{name:<{width}} |{_lock_row(lock, scale)}| {lock.mode}, {lock.outcome}")
    faults = [_conflict_line(each, began) for each in conflicts]
    faults += [line for task in tasks for line in _failure_lines(task, began)]
    return "\n".join([title, *(row.rstrip() for row in rows), LEGEND, *faults])


class _Scale:
    """Which column a moment is in."""

    def __init__(self, began: float, ended: float) -> None:
        self.began = began
        self.seconds = max(ended - began, 0.001)
        self.last = began + self.seconds

    def column(self, at: float) -> int:
        share = (at - self.began) / self.seconds
        return min(COLUMNS, max(0, round(share * COLUMNS)))

    def axis(self, width: int) -> str:
        marks = [f"{self.seconds * quarter / 4:<.4g} s" for quarter in range(5)]
        line = "".join(f"{mark:<{COLUMNS // 4}}" for mark in marks[:4]) + marks[4]
        return f"{'':<{width}}  {line}"


class _Row:
    def __init__(self, scale: _Scale) -> None:
        self.scale = scale
        self.cells = [" "] * COLUMNS

    def fill(self, since: float, until: float, sign: str) -> None:
        first, last = self.scale.column(since), self.scale.column(until)
        for column in range(min(first, COLUMNS - 1), min(max(last, first + (sign in "=#x")), COLUMNS)):
            self.cells[column] = sign
        if sign in "=#" and first >= COLUMNS:
            self.cells[-1] = sign

    def mark(self, at: float, sign: str) -> None:
        self.cells[max(0, min(COLUMNS, self.scale.column(at)) - 1)] = sign

    def __str__(self) -> str:
        return "".join(self.cells)


def _task_row(task: TaskSpan, over: dict[str, float | None], scale: _Scale) -> str:
    row = _Row(scale)
    first = task.attempts[0].assigned_at if task.attempts else (scale.last if task.over_at is None else task.over_at)
    ready = task.added_at
    for dependency in task.depends_on:
        until = over.get(dependency)
        ready = max(ready, first if until is None else min(until, first))
    row.fill(task.added_at, ready, "·")
    row.fill(ready, first, "-")
    for attempt, later in zip(task.attempts, [*task.attempts[1:], None][: len(task.attempts)], strict=True):
        ended = scale.last if attempt.ended_at is None else attempt.ended_at
        row.fill(attempt.assigned_at, ended, "=")
        if later is not None:
            row.fill(ended, later.assigned_at, "~")
        if attempt.outcome in ("failed", "lost"):
            row.mark(ended, "x")
    return str(row)


def _task_end(task: TaskSpan) -> str:
    text = task.outcome + (f" because of {task.cause}" if task.cause else "")
    return text + (f", {len(task.attempts)} attempts" if len(task.attempts) > 1 else "")


def _lock_row(lock: LockSpan, scale: _Scale) -> str:
    row = _Row(scale)
    ended = scale.last if lock.ended_at is None else lock.ended_at
    row.fill(lock.requested_at, ended if lock.acquired_at is None else lock.acquired_at, "-")
    if lock.acquired_at is not None:
        row.fill(lock.acquired_at, ended, "#")
    return str(row)


def _conflict_line(conflict: ConflictRecord, began: float) -> str:
    keys = ", ".join(f"{key}, which {winner or 'nobody'} had written" for key, winner in conflict.winners.items())
    return f"{conflict.at - began:.4g} s: conflict ({conflict.conflict_type}): {conflict.loser} wrote {keys}"


def _failure_lines(task: TaskSpan, began: float) -> list[str]:
    return [
        f"{(attempt.ended_at or began) - began:.4g} s: {task.task_id}, attempt {attempt.number}, {attempt.outcome}:"
        f" {attempt.error_type}: {attempt.error}"
        for attempt in task.attempts
        if attempt.outcome in ("failed", "lost")
    ]
