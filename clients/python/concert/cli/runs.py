"""`concert run`: plan, submit, watch, list, show, result, cancel, retry."""

from __future__ import annotations

import asyncio
import json
import sys
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.text import Text

import concert
from concert._payload import to_payload
from concert._runs import RunUpdate
from concert.cli import completing, exit_codes
from concert.cli.command import Call, FileFaulty, Refusal, command
from concert.cli.event_words import target_words
from concert.cli.following import follow, outcome, reason
from concert.cli.plain_values import plain
from concert.cli.printing import status_text
from concert.cli.reading import json_argument
from concert.cli.run_file import RunFile, RunFileFaulty
from concert.cli.run_progress import RunProgress
from concert.cli.run_tree import RunTree
from concert.cli.safe_text import in_json
from concert.cli.words import age, between, since, span

RUN_FILE_BYTES_MAX = 16 * 1024 * 1024
app = typer.Typer(help="Runs: tasks that order themselves.", no_args_is_help=True)

FileArgument = Annotated[
    Path, typer.Argument(metavar="FILE", help="The run as YAML or JSON; - reads standard input.", show_default=False)
]
RunArgument = Annotated[
    str, typer.Argument(metavar="RUN", help="Id of the run.", autocompletion=completing.runs, show_default=False)
]
WatchFlag = Annotated[
    bool, typer.Option("--watch", "-w", help="Follow it to its end; the exit code then says how it ended.")
]


@command(app, "plan")
async def plan_run(call: Call, file: FileArgument) -> None:
    """Says what would happen to a run, without submitting it.

    Shows which tasks can run together, the longest chain of tasks, and for whom no agent is connected now.
    """
    run_file = read_run_file(file)
    async with call.connect() as client:
        plan = await _accepted(run_file, client.runs.plan(run_file.spec))
    if not call.printer.for_people:
        call.printer.value(plain(plan))
        return
    rows = [(str(number), ", ".join(group.task_ids)) for number, group in enumerate(plan.groups)]
    call.printer.table(("GROUP", "TASKS"), rows)
    call.printer.line(f"critical path: {' -> '.join(plan.critical_path)}")
    for target in plan.unserved:
        call.printer.line(Text.assemble(("no agent is connected for ", "yellow"), (target_words(target), "bold")))


@command(app, "submit")
async def submit_run(
    call: Call,
    file: FileArgument,
    run_id: Annotated[str, typer.Option("--run-id", metavar="ID", help="Instead of the file's run_id.")] = "",
    name: Annotated[str, typer.Option("--name", metavar="NAME", help="Instead of the file's name.")] = "",
    context: Annotated[
        str, typer.Option("--context", metavar="JSON", help="Instead of the file's context; @FILE reads a file.")
    ] = "",
    watch: WatchFlag = False,
    quiet: Annotated[bool, typer.Option("--quiet", "-q", help="Print the run's id and nothing else.")] = False,
) -> int:
    """Submits a run, whole or not at all.

    With --watch it is followed as by `run watch`; Ctrl-C then stops watching, and the run goes on.
    """
    run_file = read_run_file(file)
    if run_id:
        run_file.spec.run_id = run_id
    if name:
        run_file.spec.name = name
    if context:
        run_file.spec.context.CopyFrom(to_payload(json_argument(context, "--context")))
    async with call.connect() as client:
        handle = await _accepted(run_file, client.runs.submit(run_file.spec))
        if quiet:
            call.printer.line(handle.run_id)
        elif not watch and call.printer.for_people:
            call.printer.line(handle.run_id)
            call.printer.remark(f"follow it with `concert run watch {handle.run_id}`")
        elif not watch:
            call.printer.value({"run_id": handle.run_id})
        return await _watched(call, client, handle.run_id, silent=quiet) if watch else exit_codes.OK


@command(app, "watch")
async def watch_run(call: Call, run: RunArgument) -> int:
    """Follows a run until it is over; the exit code says how it ended.

    On a terminal a tree of its tasks moves, with progress and the reason for each wait; elsewhere a change is a line.
    With --output json each event of the run, from its first, is a line of JSON.
    """
    async with call.connect() as client:
        return await _watched(call, client, run)


@command(app, "list")
async def list_runs(
    call: Call,
    status: Annotated[
        str, typer.Option("--status", metavar="STATUS", help="Only those that stand here, for example running.")
    ] = "",
    limit: Annotated[int, typer.Option("--limit", min=1, max=100_000, help="At most so many.")] = 100,
) -> None:
    """Lists runs, the newest first."""
    async with call.connect() as client:
        runs = await client.runs.list(status=status, limit=limit)
    if not call.printer.for_people:
        call.printer.value(plain(runs))
        return
    call.printer.table(("RUN", "NAME", "STATUS", "TASKS", "AGE", "TOOK"), map(_row, runs), "no runs")


@command(app, "show")
async def show_run(call: Call, run: RunArgument) -> None:
    """Shows a run and all of its tasks, with the reason for each that waits."""
    async with call.connect() as client:
        found = await client.run(run).get()
        if not call.printer.for_people:
            call.printer.value(plain(found))
            return
        progress = RunProgress(run)
        progress.see(RunUpdate(found, (), 0))
        if not progress.over:
            for each in (await client.explain(run=run)).waiting:
                if each.task_id in progress.tasks:
                    progress.tasks[each.task_id].waits_for = reason(each)
    call.printer.console.print(RunTree(progress, whole=True))


@command(app, "result")
async def show_result(
    call: Call,
    run: RunArgument,
    task: Annotated[str, typer.Argument(metavar="TASK", help="Id of the task.", show_default=False)],
) -> None:
    """Prints what a task that succeeded produced: as JSON, or its bytes as they are."""
    async with call.connect() as client:
        result = await client.run(run).result(task)
    if isinstance(result, bytes):
        sys.stdout.buffer.write(result)
        sys.stdout.flush()
    elif call.printer.for_people:
        call.printer.raw(in_json(json.dumps(result, indent=2, ensure_ascii=False)) + "\n")
    else:
        call.printer.value(result)


@command(app, "cancel")
async def cancel_run(call: Call, run: RunArgument, watch: WatchFlag = False) -> int:
    """Stops a run: what has not started is cancelled, what runs is told, and fenced after a grace."""
    async with call.connect() as client:
        sequence = await client.run(run).cancel()
        if watch:
            return await _watched(call, client, run)
    if call.printer.for_people:
        call.printer.line(f"{run} is being stopped, by event {sequence}")
    else:
        call.printer.value({"run_id": run, "sequence": sequence})
    return exit_codes.OK


@command(app, "retry")
async def retry_run(call: Call, run: RunArgument, watch: WatchFlag = False) -> int:
    """Runs everything again that did not succeed, as a new try of the same run; what succeeded keeps its result.

    A run that is not over, or all of whose tasks succeeded, is refused: exit code 5.
    """
    async with call.connect() as client:
        generation = await client.run(run).retry()
        if watch:
            return await _watched(call, client, run)
    if call.printer.for_people:
        call.printer.line(f"{run} runs again: try {generation}")
        call.printer.remark(f"follow it with `concert run watch {run}`")
    else:
        call.printer.value({"run_id": run, "generation": generation})
    return exit_codes.OK


async def _watched(call: Call, client: concert.Client, run_id: str, *, silent: bool = False) -> int:
    try:
        over = await (client.run(run_id).wait() if silent else follow(call, client, run_id))
    except asyncio.CancelledError:
        call.printer.remark(f"{run_id} goes on; `concert run cancel {run_id}` stops it")
        raise
    return exit_codes.of_run(over.status)


async def _accepted(run_file: RunFile, asked: Any) -> Any:
    """What the coordinator answers; what it finds wrong with the file is told by line and column."""
    try:
        return await asked
    except concert.InvalidArgument as error:
        faulty = run_file.rejected(error)
        if faulty is None:
            raise
        raise FileFaulty(str(faulty)) from None


def read_run_file(path: Path) -> RunFile:
    """Reads and checks a run file. Raises Refusal."""
    name = "<stdin>" if str(path) == "-" else str(path)
    try:
        if str(path) == "-":
            raw = sys.stdin.buffer.read(RUN_FILE_BYTES_MAX + 1)
        else:
            with path.open("rb") as file:
                raw = file.read(RUN_FILE_BYTES_MAX + 1)
    except OSError as fault:
        raise Refusal(f"{name}: {fault.strerror or fault}") from None
    if len(raw) > RUN_FILE_BYTES_MAX:
        raise Refusal(f"{name}: a run file has at most {RUN_FILE_BYTES_MAX} bytes")
    try:
        return RunFile(name, raw.decode())
    except UnicodeDecodeError as fault:
        line = raw[: fault.start].count(b"\n") + 1
        column = fault.start - raw.rfind(b"\n", 0, fault.start)
        raise FileFaulty(f"{name}:{line}:{column}: this is not UTF-8") from None
    except RunFileFaulty as faulty:
        raise FileFaulty(str(faulty)) from None


def _row(run: Any) -> tuple[str | Text, ...]:
    counts = run.counts
    done = counts.succeeded + counts.failed + counts.skipped + counts.cancelled
    tasks = done + counts.pending + counts.ready + counts.running
    took = ""
    if run.HasField("started_at"):
        over = run.HasField("finished_at")
        took = span(between(run.started_at, run.finished_at) if over else since(run.started_at))
    return run.run_id, run.name, status_text(outcome(run)), f"{done}/{tasks}", age(run.submitted_at), took
