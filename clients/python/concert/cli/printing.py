"""What a command prints: tables for people, JSON and YAML for programs, and never what a name or payload would have
the terminal do.
"""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Iterable, Sequence
from enum import StrEnum
from typing import Any, TypeAlias

import yaml
from rich.cells import cell_len, set_cell_size
from rich.console import Console
from rich.text import Text

from concert._value import JSON
from concert.cli.safe_text import in_json, is_safe, one_line

Cell: TypeAlias = str | Text
GAP = "  "
CELLS_MIN = 6
PLAIN_WIDTH = 10_000
"""Where there is no terminal nothing is cut to fit one."""


class Output(StrEnum):
    """In which form."""

    TABLE = "table"
    JSON = "json"
    YAML = "yaml"


STYLES = {
    "PENDING": "dim",
    "READY": "cyan",
    "RUNNING": "blue",
    "CANCELLING": "yellow",
    "BACKING_OFF": "yellow",
    "SUCCEEDED": "green",
    "FAILED": "red",
    "PARTIAL_FAILURE": "red",
    "TIMED_OUT": "red",
    "SKIPPED": "magenta",
    "CANCELLED": "magenta",
    "ATTACHED": "green",
    "DETACHED": "yellow",
    "DRAINING": "yellow",
    "DISCONNECTED": "dim",
    "IDLE": "dim",
    "HEALTHY": "green",
    "WARNING": "yellow",
    "CRITICAL": "bold red",
    "OPEN": "red",
    "HALF_OPEN": "yellow",
    "CLOSED": "green",
}


def status_text(status: str, words: str = "") -> Text:
    """A status in its colour."""
    return Text(words or status, style=STYLES.get(status, ""))


class _Console(Console):
    def on_broken_pipe(self) -> None:
        """Rich would end the process with code 1; what ends it here is decided in one place."""
        raise BrokenPipeError


class Printer:
    """Standard output in the form asked for, and remarks for people on standard error."""

    def __init__(self, output: Output = Output.TABLE) -> None:
        self.output = output
        self.console = _Console(highlight=False, markup=False, emoji=False)
        if not self.console.is_terminal:
            self.console = _Console(highlight=False, markup=False, emoji=False, width=PLAIN_WIDTH)
        self.remarks = _Console(highlight=False, markup=False, emoji=False, stderr=True, soft_wrap=True)
        self._documents = 0

    @property
    def for_people(self) -> bool:
        """Whether a person reads it, or a program that takes text."""
        return self.output is Output.TABLE

    @property
    def live(self) -> bool:
        """Whether a picture can be drawn again in place."""
        return self.for_people and self.console.is_terminal and not self.console.is_dumb_terminal

    def value(self, value: JSON) -> None:
        """One value, as JSON or YAML."""
        if self.output is Output.YAML:
            self._write(_yaml(value))
        else:
            self._write(in_json(json.dumps(value, indent=2, ensure_ascii=False)) + "\n")

    def following(self, value: JSON) -> None:
        """One of many that come one after another: a line of JSON, or a document of YAML."""
        if self.output is Output.YAML:
            self._write("---\n" + _yaml(value))
        else:
            self._write(in_json(json.dumps(value, ensure_ascii=False)) + "\n")

    def table(self, headings: Sequence[str], rows: Iterable[Sequence[Cell]], nothing: str = "") -> None:
        """Rows under headings: fitted to a terminal, whole and aligned anywhere else."""
        shown = [[_safe(cell) for cell in row] for row in rows]
        if not shown and nothing:
            self.remark(nothing)
        elif self.console.is_terminal:
            heading = [Text(each, style="bold") for each in headings]
            for fitted in _fitted([heading, *shown], self.console.width):
                self.console.print(fitted)
        else:
            for line in _aligned([[Text(heading) for heading in headings], *shown]):
                self._write(line + "\n")

    def fields(self, pairs: Iterable[tuple[str, Cell]]) -> None:
        """Names and values, one a line; those that are empty are left out."""
        shown = [(name, _safe(cell)) for name, cell in pairs if str(cell)]
        width = max((len(name) for name, _ in shown), default=0)
        for name, cell in shown:
            self.line(Text.assemble((f"{name}:{' ' * (width - len(name))} ", "dim"), cell))

    def line(self, line: Cell) -> None:
        """A line of its own; as long as it is."""
        self.console.print(_safe(line), soft_wrap=True)

    def raw(self, text: str) -> None:
        """Text that is safe already."""
        self._write(text)

    def remark(self, words: str) -> None:
        """A line for people, beside the output."""
        self.remarks.print(Text(one_line(words)))

    def remark_lines(self, text: str) -> None:
        """Lines for people, beside the output."""
        for line in text.splitlines():
            self.remark(line)

    def _write(self, text: str) -> None:
        sys.stdout.write(text)
        sys.stdout.flush()


def close_quietly() -> None:
    """Has the interpreter not complain, when it ends, about output that nobody reads."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def _safe(cell: Cell) -> Text:
    if isinstance(cell, str):
        return Text(one_line(cell))
    if not is_safe(cell.plain):
        return Text(one_line(cell.plain), style=cell.style)
    return cell


def _fitted(rows: Sequence[Sequence[Text]], width: int) -> Iterable[Text]:
    """Rows that are no wider than a terminal: the widest columns give way, then the last ones, the first at the end."""
    widths = [max(row[column].cell_len for row in rows) for column in range(len(rows[0]))]
    while sum(widths) + len(GAP) * (len(widths) - 1) > width:
        others = [number for number in range(1, len(widths)) if widths[number] > CELLS_MIN]
        if others:
            widths[max(others, key=lambda number: widths[number])] -= 1
        elif len(widths) > 1:
            widths.pop()
        else:
            widths[0] = width
    for row in rows:
        line = Text(no_wrap=True, overflow="crop")
        for cell, cells in zip(row, widths, strict=False):
            shown = cell.plain if cell.cell_len <= cells else set_cell_size(cell.plain, cells - 1) + "…"
            line.append(set_cell_size(shown, cells) + GAP, style=cell.style)
        line.rstrip()
        yield line


def _aligned(rows: Sequence[Sequence[Text]]) -> Iterable[str]:
    widths = [max(cell_len(row[column].plain) for row in rows) for column in range(len(rows[0]))]
    for row in rows:
        cells = [cell.plain + " " * (width - cell_len(cell.plain)) for cell, width in zip(row, widths, strict=True)]
        yield GAP.join(cells).rstrip()


class _Dumper(yaml.SafeDumper):
    """Strings that hold what is not safe are double-quoted, where escapes mean something."""


def _string(dumper: _Dumper, text: str) -> Any:
    plain = is_safe(text.replace("\n", ""))
    return dumper.represent_scalar("tag:yaml.org,2002:str", text, style=None if plain else '"')


_Dumper.add_representer(str, _string)


def _yaml(value: JSON) -> str:
    text = yaml.dump(value, Dumper=_Dumper, sort_keys=False, allow_unicode=True, default_flow_style=False, width=100)
    return in_json(text.removesuffix("...\n"))
