"""Progress for people: a table that moves on a terminal, lines anywhere else. Always on standard error."""

from __future__ import annotations

from types import TracebackType

from rich.console import Console
from rich.live import Live
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from agent_service.deployment import TaskView

COLOURS = {
    "PENDING": "dim",
    "READY": "cyan",
    "RUNNING": "blue",
    "CANCELLING": "yellow",
    "BACKING_OFF": "yellow",
    "SUCCEEDED": "green",
    "FAILED": "red",
    "SKIPPED": "magenta",
    "CANCELLED": "magenta",
}
TEXT_LENGTH_MAX = 60
BAR_WIDTH = 16


class LiveView:
    """Shows the tasks of a run. A context manager; show() is what the deployment calls."""

    def __init__(self, console: Console | None = None) -> None:
        self._console = console or Console(stderr=True)
        self._live = Live(console=self._console, refresh_per_second=12) if self._console.is_terminal else None
        self._told: dict[str, tuple[str, str]] = {}

    def __enter__(self) -> LiveView:
        if self._live is not None:
            self._live.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._live is not None:
            self._live.stop()

    def show(self, views: dict[str, TaskView]) -> None:
        """The tasks as they are now."""
        if self._live is not None:
            self._live.update(_table(views))
        else:
            self._tell_changes(views)

    def say(self, words: str) -> None:
        """A line beside the table."""
        self._console.print(words, highlight=False, markup=False, soft_wrap=True)

    def _tell_changes(self, views: dict[str, TaskView]) -> None:
        for view in views.values():
            now = (view.state, view.text)
            if self._told.get(view.task_id) != now:
                self._told[view.task_id] = now
                text = view.text.partition("\n")[0]
                self.say(f"{view.task_id:<18} {view.state:<11} {view.fraction:>4.0%}  {text}".rstrip())


def _table(views: dict[str, TaskView]) -> Table:
    table = Table(box=None, pad_edge=False, expand=False)
    # On a narrow terminal the agent's id and the text give way.
    for heading, width_min in (("task", 17), ("state", 11), ("agent", 8), ("", BAR_WIDTH), ("", 20)):
        table.add_column(heading, no_wrap=True, min_width=width_min)
    for view in views.values():
        colour = COLOURS.get(view.state, "")
        table.add_row(
            view.task_id,
            Text(view.state, style=colour),
            view.agent,
            ProgressBar(total=1.0, completed=view.fraction, width=BAR_WIDTH),
            view.text.partition("\n")[0][:TEXT_LENGTH_MAX],
        )
    return table
