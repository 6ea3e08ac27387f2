"""A run as a picture: a tree of tasks, each below the last of those it waits for, with progress and reasons.

Where there are more tasks than lines on the screen, those that fail, execute or wait are shown, and the rest counted.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime

from rich.cells import cell_len, set_cell_size
from rich.console import Console, ConsoleOptions, RenderResult
from rich.text import Text

from concert.cli.printing import STYLES, status_text
from concert.cli.run_progress import EXECUTING, OVER, WAITING, RunProgress, TaskProgress
from concert.cli.safe_text import one_line
from concert.cli.words import span

INDENT_CELLS = 3
INDENTS_MAX = 10
NAME_CELLS_MIN = 20
BAR_CELLS = 14
STATUS_CELLS = 11
TIME_CELLS = 7
AGENT_CELLS_MAX = 24
_SIGNS = {
    "PENDING": "○",
    "READY": "◌",
    "RUNNING": "●",
    "CANCELLING": "◐",
    "BACKING_OFF": "↻",
    "SUCCEEDED": "✔",
    "FAILED": "✖",
    "SKIPPED": "⊘",
    "CANCELLED": "⊘",
}
_PLAIN_SIGNS = {"PENDING": ".", "READY": "?", "RUNNING": "*", "CANCELLING": "~", "BACKING_OFF": "@"} | {
    "SUCCEEDED": "+",
    "FAILED": "x",
    "SKIPPED": "-",
    "CANCELLED": "-",
}
_URGENCY = ["FAILED", "RUNNING", "CANCELLING", "BACKING_OFF", "READY", "PENDING", "CANCELLED", "SKIPPED", "SUCCEEDED"]


@dataclass(frozen=True, slots=True)
class _Row:
    guides: str
    task: TaskProgress


class RunTree:
    """Rich draws it again and again while `progress` goes on. `whole`: every task, however many lines that takes."""

    def __init__(self, progress: RunProgress, *, whole: bool = False) -> None:
        self.progress = progress
        self.whole = whole

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        """Fitted to the console's width, and its height unless `whole`."""
        drawing = _Drawing(self.progress, options.max_width, plain=not console.encoding.lower().startswith("utf"))
        lines_max = None if self.whole else max(3, (options.height or console.height) - 3)
        yield from drawing.lines(lines_max)


class _Drawing:
    """One picture."""

    def __init__(self, progress: RunProgress, width: int, *, plain: bool) -> None:
        self._progress = progress
        self._width = width
        self._signs = _PLAIN_SIGNS if plain else _SIGNS
        self._guides = ("|  ", "|- ", "`- ") if plain else ("│  ", "├─ ", "└─ ")
        self._bar_signs = ("#", "-") if plain else ("━", "─")
        self._ellipsis = "~" if plain else "…"
        self._indents_max = max(0, min(INDENTS_MAX, (width // 2 - NAME_CELLS_MIN) // INDENT_CELLS))
        self._now = datetime.now(UTC)

    def lines(self, lines_max: int | None) -> Iterator[Text]:
        """The headline, a line for each task shown, and what is not shown."""
        yield self._headline()
        rows = self._rows()
        if lines_max is not None and len(rows) > lines_max:
            rows, hidden = self._most_urgent(rows, lines_max - 1)
        else:
            hidden = []
        name_cells = self._name_cells(rows)
        agent_cells = min(AGENT_CELLS_MAX, max((cell_len(one_line(row.task.agent_id)) for row in rows), default=0))
        for row in rows:
            yield self._task_line(row, name_cells, agent_cells)
        if hidden:
            yield self._cut(Text(f"{self._ellipsis} and {len(hidden)} more: {_counted(hidden)}", style="dim"))

    def _headline(self) -> Text:
        progress = self._progress
        over = sum(1 for each in progress.tasks.values() if each.status in OVER)
        status = "CANCELLING" if progress.cancelling and not progress.over else progress.status
        name = one_line(progress.run_id)
        if progress.name:
            name += f" ({one_line(progress.name)})"
        line = Text.assemble((name, "bold"), "  ", status_text(status), f"  {over}/{len(progress.tasks)} tasks  ")
        if not progress.over and self._width >= 60:
            line.append_text(self._bar(progress.fraction(), STYLES.get(status, "")))
            line.append(f" {progress.fraction():>4.0%}")
        if progress.submitted_at is not None:
            line.append(f"  {span(self._seconds(progress.submitted_at, progress.finished_at))}")
        waiting = {status: count for status, count in progress.counts().items() if status not in ("SUCCEEDED",)}
        if waiting and self._width >= 100:
            line.append(f"  {_said(waiting)}", style="dim")
        return self._cut(line)

    def _task_line(self, row: _Row, name_cells: int, agent_cells: int) -> Text:
        task = row.task
        style = STYLES.get(task.status, "")
        name = set_cell_size(f"{row.guides}{self._signs.get(task.status, '?')} {one_line(task.task_id)}", name_cells)
        if cell_len(f"{row.guides}  {one_line(task.task_id)}") > name_cells:
            name = set_cell_size(name, name_cells - 1) + self._ellipsis
        line = Text.assemble((row.guides, "dim"), (name[len(row.guides) : len(row.guides) + 1], style))
        line.append(name[len(row.guides) + 1 :], style="dim" if task.status in ("SKIPPED", "CANCELLED") else "")
        line.append("  ")
        if self._width >= 60:
            line.append(f"{task.status.lower().replace('_', ' '):<{STATUS_CELLS}} ", style=style)
        line.append(f"{self._time(task):>{TIME_CELLS}}  ", style="dim")
        if self._width >= 90 and agent_cells:
            line.append(set_cell_size(one_line(task.agent_id), agent_cells) + "  ", style="dim")
        if task.status in EXECUTING:
            line.append_text(self._bar(task.fraction, style))
            line.append(f" {task.fraction:>4.0%}  ")
        elif task.attempts > 1:
            line.append(f"attempt {task.attempts}  ", style="yellow")
        line.append(one_line(self._text(task)), style="red" if task.status == "FAILED" else "")
        return self._cut(line)

    def _text(self, task: TaskProgress) -> str:
        if task.status in WAITING:
            if task.status == "PENDING" or not task.waits_for:
                unmet = self._progress.waited_for(task)
                named = ", ".join(unmet[:5]) + (f" and {len(unmet) - 5} more" if len(unmet) > 5 else "")
                return f"waits for {named}" if unmet else task.said
            return task.waits_for
        return task.said if task.status != "SUCCEEDED" else ""

    def _time(self, task: TaskProgress) -> str:
        if task.status in ("READY", "BACKING_OFF") and task.ready_at is not None:
            return span(self._seconds(task.ready_at, None))
        if task.assigned_at is None or task.status == "PENDING":
            return ""
        return span(self._seconds(task.assigned_at, task.finished_at))

    def _seconds(self, since: datetime, until: datetime | None) -> float:
        return max(0.0, ((until or self._now) - since).total_seconds())

    def _bar(self, fraction: float, style: str) -> Text:
        full = round(max(0.0, min(1.0, fraction)) * BAR_CELLS)
        done, left = self._bar_signs
        return Text.assemble((done * full, style), (left * (BAR_CELLS - full), "dim"))

    def _cut(self, line: Text) -> Text:
        line.rstrip()
        if line.cell_len > self._width:
            line.truncate(self._width - 1, overflow="crop")
            line.append(self._ellipsis)
        line.no_wrap = True
        return line

    def _name_cells(self, rows: Sequence[_Row]) -> int:
        widest = max((cell_len(f"{row.guides}  {one_line(row.task.task_id)}") for row in rows), default=0)
        return min(widest, max(NAME_CELLS_MIN, self._width // 2))

    def _rows(self) -> list[_Row]:
        """Every task in the order of the tree."""
        tasks = self._progress.tasks
        below: dict[str | None, list[TaskProgress]] = {}
        for task in tasks.values():
            below.setdefault(self._parent(task), []).append(task)
        rows: list[_Row] = []
        stack = [(task, "", "", 0) for task in reversed(below.get(None, []))]
        through, branch, last = self._guides
        while stack:
            task, before, own, depth = stack.pop()
            rows.append(_Row(before + own, task))
            children = below.get(task.task_id, [])
            deeper = depth < self._indents_max
            indent = before + ("" if not own else "   " if own == last else through) if deeper else before
            for number, child in enumerate(reversed(children)):
                stack.append((child, indent, last if number == 0 else branch, depth + 1 if deeper else depth))
        return rows

    def _parent(self, task: TaskProgress) -> str | None:
        known = [each for each in (*task.depends_on, *task.after) if each in self._progress.tasks]
        return max(known, key=lambda each: self._progress.tasks[each].group, default=None)

    def _most_urgent(self, rows: list[_Row], count: int) -> tuple[list[_Row], list[TaskProgress]]:
        ranked = sorted(range(len(rows)), key=lambda number: _urgency(rows[number].task))
        shown = set(ranked[:count])
        kept = [_Row("", row.task) for number, row in enumerate(rows) if number in shown]
        return kept, [row.task for number, row in enumerate(rows) if number not in shown]


def _urgency(task: TaskProgress) -> tuple[int, float]:
    rank = _URGENCY.index(task.status) if task.status in _URGENCY else 0
    return rank, -(task.finished_at.timestamp() if task.finished_at is not None else 0.0)


def _counted(tasks: Sequence[TaskProgress]) -> str:
    counts: dict[str, int] = {}
    for task in tasks:
        counts[task.status] = counts.get(task.status, 0) + 1
    return _said(counts)


def _said(counts: dict[str, int]) -> str:
    ordered = sorted(counts, key=lambda status: _URGENCY.index(status) if status in _URGENCY else 0)
    return ", ".join(f"{counts[status]} {status.lower().replace('_', ' ')}" for status in ordered)
