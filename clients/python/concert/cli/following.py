"""Following a run to its end: on a terminal a moving tree, elsewhere a line for each change; events for programs."""

from __future__ import annotations

import asyncio
from contextlib import aclosing
from typing import Any

from rich.live import Live
from rich.text import Text

import concert
from concert._limits import LIST_ENTRIES_MAX
from concert.cli.command import Call
from concert.cli.plain_values import enum_name, plain
from concert.cli.printing import Printer, status_text
from concert.cli.run_progress import EXECUTING, OVER, WAITING, RunProgress, TaskProgress
from concert.cli.run_tree import RunTree
from concert.cli.safe_text import one_line
from concert.cli.words import clock, span
from concert.v1 import run_pb2

PICTURES_PER_SECOND = 10
EXPLAIN_SECONDS_MIN = 1.0
"""Reasons are asked for again so often, while something waits."""
SAID_LENGTH_MAX = 200


async def follow(call: Call, client: concert.Client, run_id: str) -> Any:
    """Shows the run until it is over and returns it. Cancelled, it leaves the run to itself."""
    handle = client.run(run_id)
    view: _View = _Live(call.printer, run_id) if call.printer.live else _Lines(call.printer, run_id)
    if not call.printer.for_people:
        view = _Events(call.printer, run_id)
    last = None
    with view:
        reasons = asyncio.create_task(_explain(client, view)) if call.printer.for_people else None
        try:
            async with aclosing(handle.watch()) as updates:
                async for update in updates:
                    if last is None and not call.printer.for_people:
                        await _tell_history(call, client, run_id, update)
                    view.progress.see(update)
                    last = update.run or last
                    view.show(update)
        finally:
            if reasons is not None:
                reasons.cancel()
                await asyncio.gather(reasons, return_exceptions=True)
    return last


async def _tell_history(call: Call, client: concert.Client, run_id: str, first: Any) -> None:
    """What happened before the watch began: programs get every event of the run."""
    told_later = min((event.sequence for event in first.events), default=first.sequence + 1)
    for event in await client.events.list(run_ids=[run_id], up_to=told_later - 1, limit=LIST_ENTRIES_MAX):
        call.printer.following(plain(event))


async def _explain(client: concert.Client, view: _View) -> None:
    """Asks why what waits does. An answer that fails to come is no reason to stop watching."""
    progress = view.progress
    while True:
        if any(task.status in WAITING for task in progress.tasks.values()):
            try:
                explanation = await client.explain(run=progress.run_id)
            except concert.ConcertError:
                explanation = None
            for each in explanation.waiting if explanation is not None else ():
                task = progress.tasks.get(each.task_id)
                if task is not None and task.status in WAITING:
                    task.waits_for = reason(each)
            view.reasons_changed()
        await asyncio.sleep(EXPLAIN_SECONDS_MIN)


def reason(waiting: Any) -> str:
    """Why something waits, in a line."""
    return "; ".join(blocker.text for blocker in waiting.blockers) or str(waiting.text)


class _View:
    """What a person or a program sees."""

    def __init__(self, printer: Printer, run_id: str) -> None:
        self.printer = printer
        self.progress = RunProgress(run_id)

    def __enter__(self) -> None:
        """Begins."""

    def __exit__(self, *_exc: object) -> None:
        """Ends, whatever happened."""

    def show(self, update: Any) -> None:
        """Something happened."""

    def reasons_changed(self) -> None:
        """It may be known now why something waits."""


class _Live(_View):
    """The tree, drawn in place."""

    def __init__(self, printer: Printer, run_id: str) -> None:
        super().__init__(printer, run_id)
        self._tree = RunTree(self.progress)
        self._live = Live(
            self._tree, console=printer.console, refresh_per_second=PICTURES_PER_SECOND, vertical_overflow="crop"
        )

    def __enter__(self) -> None:
        self._live.start()

    def __exit__(self, *_exc: object) -> None:
        self._live.stop()


class _Lines(_View):
    """A line whenever a task comes to stand elsewhere, or the reason why it waits is another."""

    def __init__(self, printer: Printer, run_id: str) -> None:
        super().__init__(printer, run_id)
        self._told: dict[str, tuple[str, str]] = {}
        self._status = ""

    def show(self, update: Any) -> None:
        at = clock(update.events[-1].timestamp) if update.events else ""
        for task_id in self.progress.changed:
            task = self.progress.tasks[task_id]
            if task.status != self._told.get(task_id, ("", ""))[0]:
                self._tell(task, at)
        if self.progress.status != self._status and self.progress.over:
            self._status = self.progress.status
            self.printer.line(Text.assemble(one_line(self.progress.run_id), " ", status_text(self._status)))

    def reasons_changed(self) -> None:
        for task in self.progress.tasks.values():
            told = self._told.get(task.task_id)
            if task.status in ("READY", "BACKING_OFF") and task.waits_for and told != (task.status, task.waits_for):
                self._tell(task, "")

    def _tell(self, task: TaskProgress, at: str) -> None:
        words = task.waits_for if task.status in WAITING else task.said
        self._told[task.task_id] = (task.status, words if task.status in WAITING else "")
        if task.status in EXECUTING:
            words = f"{task.agent_id}" + (f", attempt {task.attempts}" if task.attempts > 1 else "")
        elif task.status == "PENDING":
            words = f"waits for {', '.join(self.progress.waited_for(task)[:5])}"
        elif task.status in OVER and task.assigned_at and task.finished_at:
            took = span((task.finished_at - task.assigned_at).total_seconds())
            words = f"{took}  {words}" if task.status != "SUCCEEDED" else took
        said = one_line(words)
        said = said if len(said) <= SAID_LENGTH_MAX else said[:SAID_LENGTH_MAX] + "…"
        line = f"{at:<12}  " if at else " " * 14
        name = one_line(task.task_id)
        self.printer.line(Text(f"{line}{name}  {task.status}  {said}".rstrip()))


class _Events(_View):
    """Every event of the run, as `events tail` prints it."""

    def show(self, update: Any) -> None:
        for event in update.events:
            self.printer.following(plain(event))


def outcome(run: Any) -> str:
    """How a run stands, as a word."""
    return enum_name(run_pb2.RunStatus, run.status)
