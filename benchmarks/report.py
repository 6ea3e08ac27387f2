"""The report of a run: a table for people, JSON for the record."""

from __future__ import annotations

import datetime as dt
import importlib.metadata
import json
import os
import platform
import statistics
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

from benchmarks.figure import Figure
from benchmarks.settings import Settings

RESULTS = Path(__file__).parent / "results"
COLUMNS = ("benchmark", "Concert", "ceiling", "ratio min / median / max", "floor", "goal", "verdict")
WIDTH_MIN = 132
STYLES = {"goal": "green", "floor": "yellow", "below": "bold red", "-": "dim"}


def show(figures: list[Figure]) -> None:
    """Prints the table: medians over the rounds, and how the rounds spread."""
    console = Console()
    if console.width < WIDTH_MIN:
        console = Console(width=WIDTH_MIN)
    table = Table(*COLUMNS, title="Medians; every ratio is of one round, Concert beside its ceiling")
    for figure in figures:
        table.add_row(*_row(figure), style=STYLES[figure.verdict] if figure.verdict != "goal" else "")
    console.print(table)


def write(figures: list[Figure], settings: Settings, path: Path | None) -> Path:
    """Writes everything that was measured and returns where: a new file in RESULTS unless a path is given."""
    now = dt.datetime.now(dt.UTC)
    if path is None:
        RESULTS.mkdir(exist_ok=True)
        path = RESULTS / f"{now:%Y%m%dT%H%M%SZ}.json"
    told = {
        "measured_at": now.isoformat(timespec="seconds"),
        "rounds": settings.rounds,
        "seconds": settings.seconds,
        "loop": settings.loop,
        "machine": machine(),
        "figures": [each.as_json() for each in figures],
    }
    path.write_text(json.dumps(told, indent=2) + "\n")
    return path


def machine() -> dict[str, Any]:
    """What the figures depend on."""
    libraries = ("grpcio", "protobuf", "uvloop")
    return {
        "python": platform.python_version(),
        "system": platform.system(),
        "cores": os.cpu_count(),
        **{name: importlib.metadata.version(name) for name in libraries},
    }


def _row(figure: Figure) -> tuple[str, ...]:
    if not figure.samples:
        return (figure.name, *[""] * (len(COLUMNS) - 1))
    concert = f"{_number(statistics.median(each.concert for each in figure.samples))} {figure.unit}"
    ceilings = [each.ceiling for each in figure.samples if each.ceiling is not None]
    ratios = figure.ratios
    target = figure.target
    return (
        figure.name,
        concert,
        f"{_number(statistics.median(ceilings))} ({figure.ceiling})" if ceilings else "",
        f"{min(ratios):.3f} / {statistics.median(ratios):.3f} / {max(ratios):.3f}" if ratios else "",
        f"{target.floor:g}" if target else "",
        f"{target.goal:g}" if target else "",
        figure.verdict,
    )


def _number(value: float) -> str:
    if value >= 10_000:
        return f"{value / 1000:,.1f} k"
    return f"{value:,.0f}" if value >= 100 else f"{value:.3g}"
