"""A run as it goes on: the snapshot that a watch begins with, and what each event changes of it.

Statuses are the contract's words without their prefix. READY is not an event: a task is when everything that it waits
for is over, which is told here as the coordinator tells it.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from concert.cli.event_words import error_words, target_words
from concert.cli.plain_values import enum_name
from concert.cli.words import time_of
from concert.v1 import event_pb2, run_pb2, task_pb2

OVER = frozenset({"SUCCEEDED", "FAILED", "SKIPPED", "CANCELLED"})
EXECUTING = frozenset({"RUNNING", "CANCELLING"})
WAITING = frozenset({"PENDING", "READY", "BACKING_OFF"})


@dataclass(slots=True)
class TaskProgress:
    """A task, as of now."""

    task_id: str
    target: str
    depends_on: tuple[str, ...]
    after: tuple[str, ...]
    group: int
    status: str = "PENDING"
    agent_id: str = ""
    attempts: int = 0
    fraction: float = 0.0
    said: str = ""
    """What its agent last said of its progress, or why it failed."""
    waits_for: str = ""
    """Why it waits, in a sentence of the coordinator's."""
    ready_at: datetime | None = None
    assigned_at: datetime | None = None
    finished_at: datetime | None = None


@dataclass(slots=True)
class RunProgress:
    """A run and its tasks, as of `sequence`."""

    run_id: str
    name: str = ""
    status: str = "PENDING"
    cancelling: bool = False
    sequence: int = 0
    submitted_at: datetime | None = None
    finished_at: datetime | None = None
    deadline: datetime | None = None
    tasks: dict[str, TaskProgress] = field(default_factory=dict)
    changed: list[str] = field(default_factory=list)
    """Ids of the tasks that the last update changed, in the order in which it did."""
    _behind: dict[str, list[TaskProgress]] = field(default_factory=dict)
    """The tasks that wait for a task, by its id."""

    @property
    def over(self) -> bool:
        """Whether every task is over and the coordinator said so."""
        return self.status not in ("PENDING", "RUNNING")

    def counts(self) -> dict[str, int]:
        """How many tasks stand where; those that are nowhere are left out."""
        counts: dict[str, int] = {}
        for task in self.tasks.values():
            counts[task.status] = counts.get(task.status, 0) + 1
        return counts

    def fraction(self) -> float:
        """How far the run is, 0 to 1: tasks that are over, and what the running ones say of themselves."""
        if not self.tasks:
            return 0.0
        done = sum(1.0 if each.status in OVER else each.fraction for each in self.tasks.values())
        return done / len(self.tasks)

    def see(self, update: Any) -> None:
        """Takes an update of a watch in (RunUpdate)."""
        self.changed = []
        for event in update.events:
            self._apply(event)
        if update.run is not None:
            self._look(update.run)
            self._ready(self.tasks.values())
        else:
            self._ready(each for task_id in self.changed for each in self._behind.get(task_id, ()))
        self.sequence = max(self.sequence, update.sequence)

    def _look(self, run: Any) -> None:
        self.name, self.cancelling = run.name, run.cancelling
        self.status = enum_name(run_pb2.RunStatus, run.status)
        self.submitted_at, self.finished_at = _time(run, "submitted_at"), _time(run, "finished_at")
        self.deadline = _time(run, "deadline")
        for task in run.tasks:
            known = self.tasks.get(task.task_id)
            status = enum_name(task_pb2.TaskStatus, task.status)
            if known is None or known.status != status:
                self._change(task.task_id)
            seen = TaskProgress(
                task_id=task.task_id,
                target=target_words(task.target),
                depends_on=tuple(task.depends_on),
                after=tuple(task.after),
                group=task.group,
                status=status,
                agent_id=task.agent_id,
                attempts=task.attempts,
                ready_at=_time(task, "ready_at"),
                assigned_at=_time(task, "assigned_at"),
                finished_at=_time(task, "finished_at"),
            )
            if task.HasField("progress"):
                seen.fraction, seen.said = task.progress.fraction, task.progress.message
            if task.HasField("error"):
                seen.said = error_words(task.error)
            if known is not None:
                seen.waits_for = known.waits_for
            self.tasks[task.task_id] = seen
        self._behind = {}
        for each in self.tasks.values():
            self._link(each)

    def _link(self, task: TaskProgress) -> None:
        for each in (*task.depends_on, *task.after):
            self._behind.setdefault(each, []).append(task)

    def _add(self, event: Any) -> None:
        added = event.task_added
        task = TaskProgress(
            task_id=event.task_id,
            target=target_words(added.spec.target),
            depends_on=tuple(added.depends_on),
            after=tuple(added.after),
            group=added.group,
        )
        self.tasks[event.task_id] = task
        self._link(task)
        self._change(event.task_id)
        self._ready([task])

    def _apply(self, event: Any) -> None:
        task = self.tasks.get(event.task_id) if event.task_id else None
        if event.type == event_pb2.EVENT_TYPE_RUN_CANCELLED:
            self.cancelling = True
        elif event.type == event_pb2.EVENT_TYPE_TASK_ADDED and task is None:
            self._add(event)
        if task is None:
            return
        at = time_of(event.timestamp)
        kind = event.type
        if kind == event_pb2.EVENT_TYPE_TASK_ASSIGNED:
            self._status(task, "RUNNING")
            task.agent_id, task.attempts, task.assigned_at = event.agent_id, event.task_assigned.attempt, at
            task.fraction, task.said, task.waits_for = 0.0, "", ""
            self.status = "RUNNING"
        elif kind == event_pb2.EVENT_TYPE_TASK_PROGRESSED:
            progress = event.task_progressed.progress
            task.fraction, task.said = progress.fraction, progress.message
            self._change(task.task_id)
        elif kind == event_pb2.EVENT_TYPE_AGENT_COMPLETED:
            task.fraction, task.finished_at = 1.0, at
            self._status(task, "SUCCEEDED")
        elif kind == event_pb2.EVENT_TYPE_AGENT_FAILED:
            task.said = error_words(event.agent_failed.error)
            if event.agent_failed.final:
                task.finished_at = at
                self._status(task, "FAILED")
        elif kind == event_pb2.EVENT_TYPE_TASK_RETRY_SCHEDULED:
            task.fraction, task.ready_at = 0.0, time_of(event.task_retry_scheduled.ready_at)
            self._status(task, "BACKING_OFF")
        elif kind == event_pb2.EVENT_TYPE_TASK_CANCEL_REQUESTED:
            self._status(task, "CANCELLING")
        elif kind == event_pb2.EVENT_TYPE_TASK_SKIPPED:
            task.said, task.finished_at = f"{event.task_skipped.cause_task_id} did not succeed", at
            self._status(task, "SKIPPED")
        elif kind == event_pb2.EVENT_TYPE_TASK_CANCELLED:
            task.finished_at = at
            self._status(task, "CANCELLED")

    def _status(self, task: TaskProgress, status: str) -> None:
        task.status = status
        self._change(task.task_id)

    def _change(self, task_id: str) -> None:
        if task_id not in self.changed:
            self.changed.append(task_id)

    def _ready(self, candidates: Iterable[TaskProgress]) -> None:
        for task in list(candidates):
            if task.status == "PENDING" and not self.waited_for(task):
                task.ready_at = max(
                    (each.finished_at for each in self._before(task) if each.finished_at), default=self.submitted_at
                )
                self._status(task, "READY")

    def waited_for(self, task: TaskProgress) -> list[str]:
        """Ids of the tasks that have to be over before it starts and are not, or can no longer let it start."""
        unmet = [each for each in task.depends_on if each in self.tasks and self.tasks[each].status != "SUCCEEDED"]
        return unmet + [each for each in task.after if each in self.tasks and self.tasks[each].status not in OVER]

    def _before(self, task: TaskProgress) -> list[TaskProgress]:
        return [self.tasks[each] for each in (*task.depends_on, *task.after) if each in self.tasks]


def _time(message: Any, name: str) -> datetime | None:
    return time_of(getattr(message, name)) if message.HasField(name) else None
