"""The critical path of a run as it went: the chain of executions that no scheduler could have made shorter.

A task counts with its latest attempt, from its assignment to its end (until now while it runs). What is left of the
makespan beside this chain was waiting: for agents, slots, locks, back-offs, earlier attempts.
"""

from __future__ import annotations

from collections.abc import Generator
from typing import Final

from coordinator_service.core.state import RunRow, TaskRow
from coordinator_service.core.values import TaskStatus, value

TASKS_NAMED_MAX: Final = 100
"""Tasks of the path that are named: the last ones."""
_TASKS_PER_STEP: Final = 1000
"""Tasks after which whoever reads may let others have their turn."""


@value
class CriticalPath:
    """The tasks of the chain in their order, and how long their executions took together."""

    task_ids: tuple[str, ...]
    time_ns: int


def of(run: RunRow, now_ns: int) -> Generator[None, None, CriticalPath]:
    """The longest chain of what was executed so far; of equal ones the one whose tasks come first. In small steps."""
    length: dict[str, int] = {}
    before: dict[str, str] = {}
    end = ""
    for number, (task_id, task) in enumerate(sorted(run.tasks.items(), key=lambda each: each[1].group)):
        if number % _TASKS_PER_STEP == 0:
            yield
        longest, through = 0, ""
        for upstream in (*task.depends_on, *task.after):
            if length.get(upstream, 0) > longest:
                longest, through = length[upstream], upstream
        length[task_id] = longest + _execution_ns(run, task, now_ns)
        before[task_id] = through
        if length[task_id] > length.get(end, 0):
            end = task_id
    path = []
    task_id = end
    while task_id:
        path.append(task_id)
        task_id = before[task_id]
    return CriticalPath(task_ids=tuple(reversed(path[:TASKS_NAMED_MAX])), time_ns=length.get(end, 0))


def _execution_ns(run: RunRow, task: TaskRow, now_ns: int) -> int:
    """How long the latest attempt took; nothing for a task that waits, or did not run in this generation."""
    if task.assigned_at_ns < run.began_at_ns:
        return 0
    if task.status in (TaskStatus.RUNNING, TaskStatus.CANCELLING):
        return max(0, now_ns - task.assigned_at_ns)
    return max(0, task.finished_at_ns - task.assigned_at_ns)
