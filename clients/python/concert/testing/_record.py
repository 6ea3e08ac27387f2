"""What happened, told from the events alone: tasks with their attempts, locks, conflicts.

Times are seconds since the beginning of the record. Order is told by sequences, which never tie.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import Any

from concert.v1 import lock_pb2, run_pb2

TaskKey = tuple[str, str]


@dataclass(slots=True, kw_only=True)
class AttemptSpan:
    """One attempt of a task, from its assignment. `outcome`: running, succeeded, failed, lost."""

    number: int
    token: int
    agent_id: str
    assigned_at: float
    starts: int = 0
    ends: int = 0
    ended_at: float | None = None
    ended_sequence: int | None = None
    outcome: str = "running"
    error_type: str = ""
    error: str = ""

    def is_before(self, other: AttemptSpan) -> bool:
        """Whether it was over when the other was assigned."""
        return self.ended_sequence is not None and self.ended_sequence < other.token


@dataclass(slots=True, kw_only=True)
class TaskSpan:
    """A task. `outcome`: pending, running, backing off, succeeded, failed, skipped, cancelled."""

    run_id: str
    task_id: str
    depends_on: tuple[str, ...]
    added_at: float
    attempts: list[AttemptSpan] = field(default_factory=list)
    outcome: str = "pending"
    cause: str = ""
    over_at: float | None = None
    over_sequence: int | None = None

    @property
    def back_offs(self) -> list[float]:
        """Seconds between the end of each attempt and the next."""
        pairs = zip(self.attempts, self.attempts[1:], strict=False)
        return [later.assigned_at - earlier.ended_at for earlier, later in pairs if earlier.ended_at is not None]


@dataclass(slots=True, kw_only=True)
class LockSpan:
    """A lock from its request on. `holder` is the task inside one. `outcome`: waiting, held, released, lease expired,
    refused, timed out, withdrawn.
    """

    resource: str
    mode: str
    holder: str
    requested_at: float
    acquired_at: float | None = None
    fencing_token: int = 0
    ended_at: float | None = None
    ended_sequence: int | None = None
    outcome: str = "waiting"

    def overlaps(self, other: LockSpan) -> bool:
        """Whether both were held at one moment."""
        if not self.fencing_token or not other.fencing_token:
            return False
        first, second = sorted((self, other), key=lambda lock: lock.fencing_token)
        return first.ended_sequence is None or first.ended_sequence > second.fencing_token


@dataclass(frozen=True, slots=True, kw_only=True)
class ConflictRecord:
    """Two writers met: `winners` by key. Writers are task ids inside tasks."""

    sequence: int
    at: float
    conflict_type: str
    loser: str
    winners: dict[str, str]


class Record:
    """A fold of the events of a namespace."""

    def __init__(self, events: Iterable[Any]) -> None:
        """Of `events`, in order."""
        self.tasks: dict[TaskKey, TaskSpan] = {}
        self.locks: list[LockSpan] = []
        self.conflicts: list[ConflictRecord] = []
        self.statuses: dict[str, str] = {}
        self.submitted_at: dict[str, float] = {}
        self.ended_at = 0.0
        self._began_ns = 0
        self._attempts: dict[int, tuple[TaskSpan, AttemptSpan]] = {}
        self._asked: dict[int, list[LockSpan]] = {}
        self._held: dict[int, LockSpan] = {}
        self._writers: dict[str, str] = {}
        for event in events:
            now_ns = event.timestamp.ToNanoseconds()
            self._began_ns = self._began_ns or now_ns
            self.ended_at = (now_ns - self._began_ns) / 1e9
            take = _TAKE.get(event.WhichOneof("payload"))
            if take is not None:
                take(self, event, self.ended_at)

    def task_of(self, token: int) -> str:
        """The task of an attempt, "" for none."""
        return self._attempts[token][0].task_id if token in self._attempts else ""

    def _submitted(self, event: Any, at: float) -> None:
        self.submitted_at[event.run_id] = at
        self.statuses[event.run_id] = "RUNNING"

    def _run_over(self, event: Any, _at: float) -> None:
        name = run_pb2.RunStatus.Name(event.run_completed.status)
        self.statuses[event.run_id] = name.removeprefix("RUN_STATUS_")

    def _retried(self, event: Any, _at: float) -> None:
        self.statuses[event.run_id] = "RUNNING"
        for (run_id, _), task in self.tasks.items():
            if run_id == event.run_id and task.outcome != "succeeded":
                task.outcome, task.cause, task.over_at, task.over_sequence = "pending", "", None, None

    def _added(self, event: Any, at: float) -> None:
        depends_on = tuple(event.task_added.depends_on)
        span = TaskSpan(run_id=event.run_id, task_id=event.task_id, depends_on=depends_on, added_at=at)
        self.tasks[event.run_id, event.task_id] = span
        self._writers[f"task/{event.run_id}/{event.task_id}"] = event.task_id

    def _assigned(self, event: Any, at: float) -> None:
        task = self.tasks.get((event.run_id, event.task_id))
        if task is None:
            return
        attempt = AttemptSpan(
            number=event.task_assigned.attempt, token=event.sequence, agent_id=event.agent_id, assigned_at=at
        )
        task.attempts.append(attempt)
        task.outcome = "running"
        self._attempts[event.sequence] = task, attempt

    def _started(self, event: Any, _at: float) -> None:
        found = self._attempts.get(event.agent_started.attempt_token)
        if found is not None:
            found[1].starts += 1

    def _completed(self, event: Any, at: float) -> None:
        self._attempt_over(event.agent_completed.attempt_token, event, at, "succeeded", over=True)

    def _failed(self, event: Any, at: float) -> None:
        failed = event.agent_failed
        outcome = "lost" if failed.lost else "failed"
        attempt = self._attempt_over(failed.attempt_token, event, at, outcome, over=failed.final)
        if attempt is not None:
            attempt.error_type, attempt.error = failed.error.error_type, failed.error.message

    def _attempt_over(self, token: int, event: Any, at: float, outcome: str, *, over: bool) -> AttemptSpan | None:
        found = self._attempts.get(token)
        if found is None:
            return None
        task, attempt = found
        attempt.ends += 1
        attempt.outcome, attempt.ended_at, attempt.ended_sequence = outcome, at, event.sequence
        task.outcome = "backing off"
        if over:
            _task_over(task, event, at, "failed" if outcome == "lost" else outcome)
        return attempt

    def _skipped(self, event: Any, at: float) -> None:
        task = self.tasks.get((event.run_id, event.task_id))
        if task is not None:
            task.cause = event.task_skipped.cause_task_id
            _task_over(task, event, at, "skipped")

    def _cancelled(self, event: Any, at: float) -> None:
        task = self.tasks.get((event.run_id, event.task_id))
        if task is not None:
            _task_over(task, event, at, "cancelled")

    def _requested(self, event: Any, at: float) -> None:
        asked = event.resource_requested
        holder = self.task_of(asked.attempt_token) or asked.holder or event.agent_id
        for request in asked.requests:
            lock = LockSpan(resource=request.resource, mode=_mode(request.mode), holder=holder, requested_at=at)
            self.locks.append(lock)
            self._asked.setdefault(event.sequence, []).append(lock)

    def _acquired(self, event: Any, at: float) -> None:
        got = event.resource_acquired
        asked = self._asked.get(got.request_sequence, [])
        lock = next((each for each in asked if each.resource == got.resource), None)
        if got.existing_token:
            if lock is not None:
                self.locks.remove(lock)
            return
        if lock is None:
            holder = self.task_of(got.attempt_token) or got.holder
            lock = LockSpan(resource=got.resource, mode=_mode(got.mode), holder=holder, requested_at=at)
            self.locks.append(lock)
        lock.acquired_at, lock.fencing_token, lock.outcome = at, event.sequence, "held"
        lock.holder = lock.holder or got.holder
        self._held[event.sequence] = lock

    def _released(self, event: Any, at: float) -> None:
        lock = self._held.get(event.resource_released.fencing_token)
        if lock is not None and not event.resource_released.remaining:
            expired = event.reason == "LEASE_EXPIRED"
            lock.outcome = "lease expired" if expired else "released"
            lock.ended_at, lock.ended_sequence = at, event.sequence

    def _wait_over(self, event: Any, at: float) -> None:
        kind = event.WhichOneof("payload")
        for lock in self._asked.get(getattr(event, kind).request_sequence, []):
            lock.outcome = kind.removeprefix("resource_request_").replace("_", " ")
            lock.ended_at, lock.ended_sequence = at, event.sequence

    def _conflict(self, event: Any, at: float) -> None:
        found = event.conflict_detected
        winners = {each.key: self._writers.get(each.their_writer, each.their_writer) for each in found.keys}
        self.conflicts.append(
            ConflictRecord(
                sequence=event.sequence,
                at=at,
                conflict_type=found.conflict_type,
                loser=self._writers.get(found.writer, found.writer),
                winners=winners,
            )
        )


_TAKE: dict[str, Callable[[Record, Any, float], None]] = {
    "run_submitted": Record._submitted,
    "run_retried": Record._retried,
    "run_completed": Record._run_over,
    "task_added": Record._added,
    "task_assigned": Record._assigned,
    "agent_started": Record._started,
    "agent_completed": Record._completed,
    "agent_failed": Record._failed,
    "task_skipped": Record._skipped,
    "task_cancelled": Record._cancelled,
    "resource_requested": Record._requested,
    "resource_acquired": Record._acquired,
    "resource_released": Record._released,
    "resource_request_timed_out": Record._wait_over,
    "resource_request_refused": Record._wait_over,
    "resource_request_withdrawn": Record._wait_over,
    "conflict_detected": Record._conflict,
}


def _task_over(task: TaskSpan, event: Any, at: float, outcome: str) -> None:
    task.outcome, task.over_at, task.over_sequence = outcome, at, event.sequence


def _mode(mode: Any) -> str:
    return lock_pb2.LockMode.Name(mode).removeprefix("LOCK_MODE_").lower()
