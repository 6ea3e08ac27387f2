"""What comes from elsewhere is shown and never obeyed."""

from __future__ import annotations

import io
import json

import pytest
import yaml
from concert._runs import RunUpdate
from concert.cli.printing import Output, Printer
from concert.cli.run_progress import RunProgress
from concert.cli.run_tree import RunTree
from concert.cli.safe_text import in_json, is_safe, one_line
from concert.cli.words import seconds_from, span
from concert.v1 import run_pb2, task_pb2
from rich.console import Console

HOSTILE = [
    "a\nb",
    "\x1b[31mred\x1b[0m",
    "\x9b31m",
    "\x1b]0;title\x07",
    "\u202eevil\u202c",
    "a\u200bb",
    "\r\tx\x00",
    "[bold]x[/bold] [link=http://x]y[/link] [/nothing]",
    "<script>alert(1)</script>",
    "日本語 \U0001f600 é",
    ":smile: {x} %s",
    "x" * 300,
]


@pytest.mark.parametrize("text", HOSTILE)
def test_nothing_that_a_terminal_obeys_is_left(text: str) -> None:
    """Escapes stand for what would move, colour, reorder or hide; the rest is as it was."""
    shown = one_line(text)
    assert is_safe(shown)
    assert "\n" not in shown
    if is_safe(text):
        assert shown == text


@pytest.mark.parametrize("text", [*HOSTILE, "yes", "1", "- x", "a: b", "\x85", "\u2028", "#", "\ud83d"])
def test_json_and_yaml_give_back_what_went_in(text: str, capsys: pytest.CaptureFixture[str]) -> None:
    """Machine-readable output says the same, and is as safe to look at."""
    value = {"key": text, "list": [text], text: 1}
    encoded = in_json(json.dumps(value, ensure_ascii=False))
    assert json.loads(encoded) == value
    assert is_safe(encoded)
    if text != "\ud83d":  # YAML has no lone surrogates, and neither has the contract
        Printer(Output.YAML).value(value)
        written = capsys.readouterr().out
        assert yaml.safe_load(written) == value
        assert is_safe(written.replace("\n", ""))


@pytest.mark.parametrize("text", HOSTILE)
def test_a_table_shows_names_as_they_are(text: str, capsys: pytest.CaptureFixture[str]) -> None:
    """No markup, no emoji codes, one line a row, nothing cut where there is no terminal."""
    Printer().table(("NAME", "OTHER"), [(text, "x")])
    heading, row = capsys.readouterr().out.splitlines()
    assert heading.split() == ["NAME", "OTHER"]
    assert row == f"{one_line(text)}  x"


def progress(count: int = 3, status: int = task_pb2.TASK_STATUS_RUNNING, name: str = "task") -> RunProgress:
    """A run whose tasks follow one another."""
    run = run_pb2.Run(run_id="run", status=run_pb2.RUN_STATUS_RUNNING)
    for number in range(count):
        task = run.tasks.add(task_id=f"{name}-{number}", status=status, group=number, agent_id="agent-1")
        task.depends_on.extend([f"{name}-{number - 1}"] if number else [])
        task.progress.fraction = 0.5
        task.progress.message = "half of it " * 20
    seen = RunProgress("run")
    seen.see(RunUpdate(run, (), 1))
    return seen


def drawn(seen: RunProgress, width: int, height: int = 40, encoding: str = "utf-8") -> list[str]:
    """The tree on a terminal of that size."""
    raw = io.BytesIO()
    file = io.TextIOWrapper(raw, encoding=encoding)
    console = Console(file=file, width=width, height=height, force_terminal=True, color_system=None)
    console.print(RunTree(seen))
    file.flush()
    return raw.getvalue().decode(encoding).splitlines()


@pytest.mark.parametrize("width", [10, 20, 40, 60, 80, 120, 300])
@pytest.mark.parametrize("name", ["task", "日本語の長い名前です" * 4, "a\nb\x1b[31m[bold]"])
def test_the_tree_fits_any_terminal(width: int, name: str) -> None:
    """A line a task, never wider than the terminal, whatever the names."""
    from rich.cells import cell_len

    lines = drawn(progress(5, name=name), width)
    assert len(lines) == 6
    assert all(cell_len(line) <= width for line in lines)
    assert all(is_safe(line) for line in lines)


def test_a_run_larger_than_the_screen_shows_what_matters_and_counts_the_rest() -> None:
    """What fails and executes is seen before what is done."""
    seen = progress(500, status=task_pb2.TASK_STATUS_SUCCEEDED)
    seen.tasks["task-400"].status = "FAILED"
    seen.tasks["task-420"].status = "RUNNING"
    lines = drawn(seen, 100, height=20)
    assert len(lines) <= 18
    assert any("task-400" in line for line in lines)
    assert any("task-420" in line for line in lines)
    assert "succeeded" in lines[-1]
    assert "more:" in lines[-1]


def test_a_terminal_that_has_no_such_signs_gets_plain_ones() -> None:
    """ASCII where the encoding has nothing else."""
    assert "`- * task-1" in "\n".join(drawn(progress(2), 80, encoding="ascii"))


def test_a_deep_chain_does_not_run_out_of_the_screen() -> None:
    """Indentation ends at some depth; names stay visible."""
    lines = drawn(progress(30), 80)
    assert all(f"task-{number}" in line for number, line in enumerate(lines[1:]))


@pytest.mark.parametrize(
    ("text", "seconds"), [("90", 90), ("1.5s", 1.5), ("2m", 120), ("1h30m", 5400), ("250ms", 0.25), ("0", 0)]
)
def test_durations_are_read_with_and_without_units(text: str, seconds: float) -> None:
    """As everybody writes them."""
    assert seconds_from(text) == seconds


@pytest.mark.parametrize("text", ["", "s", "-1", "1h30", "1m1m", "soon", "1 h", "1e3", "nan"])
def test_what_is_no_duration_is_refused(text: str) -> None:
    """Nothing is guessed."""
    with pytest.raises(ValueError, match="is no duration"):
        seconds_from(text)


def test_spans_are_short() -> None:
    """Seven characters at most."""
    assert [span(each) for each in (0.354, 9.96, 12.4, 200, 7500, 500_000)] == [
        "0.35s",
        "10.0s",
        "12s",
        "3m20s",
        "2h05m",
        "5d18h",
    ]
