"""The monitor's picture: sections one below the other, as many lines of each as the screen has room for."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from datetime import datetime

from rich.cells import cell_len, set_cell_size
from rich.console import Console, ConsoleOptions, RenderResult
from rich.text import Text

from concert.cli import event_words
from concert.cli.following import reason
from concert.cli.monitor_reading import Reading, is_over
from concert.cli.plain_values import enum_name
from concert.cli.printing import STYLES, status_text
from concert.cli.safe_text import one_line
from concert.cli.words import age, since, span
from concert.v1 import agent_pb2, circuit_pb2, metrics_pb2, run_pb2

BAR_CELLS = 12
NAME_CELLS_MAX = 36
ROWS_WHOLE = 50
# Of the lines, how many a section may take: runs, agents, locks, waiting, troubles. Events have the rest.
SHARES = (0.22, 0.18, 0.15, 0.15, 0.12)


class MonitorScreen:
    """Rich draws it again and again. `whole`: for a page instead of a screen."""

    def __init__(self, reading: Reading, *, whole: bool = False) -> None:
        self.reading = reading
        self.whole = whole

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        """Fitted to the console."""
        width = options.max_width
        height = None if self.whole else (options.height or console.height)
        lines = _Drawing(self.reading, console.encoding).lines(height)
        for line in lines[:height]:
            line.rstrip()
            line.truncate(width, overflow="ellipsis")
            line.no_wrap = True
            yield line


class _Drawing:
    """One picture."""

    def __init__(self, reading: Reading, encoding: str) -> None:
        self._reading = reading
        self._full, self._empty = ("━", "─") if encoding.lower().startswith("utf") else ("#", "-")

    def lines(self, height: int | None) -> list[Text]:
        sections = [
            ("RUNS", self._runs(), "no runs"),
            ("AGENTS", self._agents(), "no agents are connected"),
            ("LOCKS", self._locks(), "no locks are held"),
            ("WAITING", self._waiting(), "nothing waits for anything but its turn"),
            ("TROUBLE", self._troubles(), "none"),
        ]
        lines = [self._headline()]
        if self._reading.fault:
            lines.append(Text(f"no news: {one_line(self._reading.fault)}", style="bold red"))
        for (title, rows, nothing), share in zip(sections, SHARES, strict=True):
            room = ROWS_WHOLE if height is None else max(1, int((height - 8) * share))
            lines += _section(title, rows, nothing, room)
        left = 20 if height is None else max(1, height - len(lines) - 2)
        events = list(self._reading.events)[-left:]
        lines += _section("EVENTS", [event_words.line(event) for event in events], "none yet", left)
        return lines

    def _headline(self) -> Text:
        reading, metrics = self._reading, self._reading.metrics
        health = enum_name(metrics_pb2.HealthStatus, reading.health.status)
        runs = metrics.orchestrations
        faults = [f"{each.name}: {each.fault}" for each in reading.health.components if each.fault]
        return Text.assemble(
            (one_line(reading.namespace), "bold"),
            (f" at {one_line(reading.address)}  ", "dim"),
            status_text(health),
            f"  {one_line('; '.join(faults))}  " if faults else "  ",
            f"active runs: {runs.runs_active}, tasks: {runs.tasks_running} running, {runs.tasks_ready} ready, ",
            f"{runs.tasks_pending} pending  {reading.events_per_second():.0f} events/s",
            (f"  #{metrics.sequence}  {datetime.now().astimezone():%H:%M:%S}", "dim"),
        )

    def _runs(self) -> list[Text]:
        rows = []
        runs = self._reading.metrics.runs
        for run, name in zip(runs, _names(each.run_id for each in runs), strict=True):
            status = enum_name(run_pb2.RunStatus, run.status)
            full = round(max(0.0, min(1.0, run.progress)) * BAR_CELLS)
            seconds = span(run.makespan.ToTimedelta().total_seconds())
            ratio = f"  {run.makespan_ratio:.2f} x critical path" if is_over(run) and run.makespan_ratio else ""
            row = Text.assemble((name, "" if is_over(run) else "bold"), "  ")
            row.append_text(status_text(status, f"{status:<15} "))
            row.append(self._full * full, style=STYLES.get(status, ""))
            row.append(self._empty * (BAR_CELLS - full), style="dim")
            row.append(f" {run.progress:>4.0%}  {run.tasks_over}/{run.tasks}  {seconds:>6}")
            row.append(f"  {one_line(run.name)}{ratio}", style="dim")
            rows.append(row)
        return rows

    def _agents(self) -> list[Text]:
        figures = {each.agent_name: each for each in self._reading.metrics.agents}
        rows = []
        agents = sorted(self._reading.agents, key=lambda each: -len(each.attempt_tokens))
        for agent, name in zip(agents, _names(each.spec.agent_id for each in agents), strict=True):
            spec, busy = agent.spec, len(agent.attempt_tokens)
            slots = spec.slots or 1
            status = enum_name(agent_pb2.AgentStatus, agent.status)
            full = min(BAR_CELLS, round(busy / slots * BAR_CELLS))
            row = Text.assemble(name, "  ", status_text(status, f"{status:<15} "))
            row.append(self._full * full, style="blue")
            row.append(self._empty * (BAR_CELLS - full), style="dim")
            row.append(f" {busy}/{slots}")
            counted = figures.get(spec.agent_name)
            if counted is not None and counted.executions:
                mean = span(counted.execution.mean.ToTimedelta().total_seconds())
                row.append(f"  {counted.successes} done, mean {mean}", style="dim")
                if counted.failures:
                    row.append(f", {counted.failure_rate:.0%} failed", style="red")
            for circuit in agent.circuits:
                if circuit.status != circuit_pb2.CIRCUIT_STATUS_CLOSED:
                    word = enum_name(circuit_pb2.CircuitStatus, circuit.status).lower().replace("_", "-")
                    row.append(f"  circuit {one_line(circuit.capability)} {word}", style="red")
            rows.append(row)
        return rows

    def _locks(self) -> list[Text]:
        rows = []
        locks = sorted(self._reading.locks, key=lambda each: -len(each.waiters))
        for lock, name in zip(locks, _names(each.resource for each in locks), strict=True):
            holders = ", ".join(each.holder for each in lock.holders) or "nobody"
            row = Text.assemble(name, f"  held by {one_line(holders)}")
            if lock.waiters:
                longest = age(min((each.since for each in lock.waiters), key=lambda since: since.ToNanoseconds()))
                row.append(f"  {len(lock.waiters)} wait, the longest {longest}", style="yellow")
            rows.append(row)
        return rows

    def _waiting(self) -> list[Text]:
        rows = []
        waiting = self._reading.waiting
        names = _names(f"{each.run_id}/{each.task_id}" for each in waiting)
        for each, name in zip(waiting, names, strict=True):
            seconds = span(since(each.since)) if each.HasField("since") else ""
            rows.append(Text.assemble((name, "bold"), f"  {seconds:>6}  ", (one_line(reason(each)), "yellow")))
        return rows

    def _troubles(self) -> list[Text]:
        return [event_words.line(event) for event in reversed(self._reading.troubles)]


def _section(title: str, rows: Sequence[Text], nothing: str, room: int) -> list[Text]:
    heading = Text(title, style="bold underline")
    if not rows:
        heading.append(f"  {nothing}", style="not bold not underline dim")
        return [heading]
    shown = list(rows[:room])
    if len(rows) > room:
        heading.append(f"  {len(rows) - room} more", style="not bold not underline dim")
    return [heading, *shown]


def _names(names: Iterable[str]) -> Iterator[str]:
    """Each as wide as the widest."""
    shown = [one_line(name) for name in names]
    width = min(NAME_CELLS_MAX, max(map(cell_len, shown), default=0))
    for name in shown:
        yield set_cell_size(name, width) if cell_len(name) <= width else set_cell_size(name, width - 1) + "…"
