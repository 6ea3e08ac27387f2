"""Terminals: what moves where there is one, and what does not where there is none."""

from __future__ import annotations

import re
from pathlib import Path

import concert

from .concert_command import Concert, on_terminal
from .test_commands import run_file

_MOVES = re.compile(r"\x1b\[[0-9;?]*[A-Za-z]")
_COLOUR = re.compile(r"\x1b\[[0-9;]*m")


async def test_a_watch_on_a_terminal_draws_a_tree_with_bars_and_reasons(
    run: Concert, client: concert.Client, labourer: str, tmp_path: Path
) -> None:
    """It moves, fits the terminal, tells why something waits, and leaves the last picture standing."""
    tasks = {
        "build": {"capability": "labour", "input": {"says": "half of it", "waits_for": "go"}},
        "poster": {"capability": "printing"},
        "publish": {"capability": "labour", "depends_on": ["build"]},
    }
    file = run_file(tmp_path, run_id="drawn", tasks=tasks)
    async with on_terminal(run, "run", "submit", file, "--watch", columns=90) as terminal:
        await terminal.until(lambda drawn: "━" in drawn and "half of it" in drawn and "waits for build" in drawn)
        await terminal.until(lambda drawn: "no agent with the capability" in drawn)
        await client.state.update({"go": True})
        await terminal.until(lambda drawn: "✔" in drawn)
        await client.run("drawn").cancel()
        assert await terminal.ended() == 12
        assert "\x1b[31m" in terminal.drawn or "\x1b[3" in terminal.drawn
        last = [line for line in _MOVES.sub("", terminal.drawn).replace("\r", "").splitlines() if line][-4:]
        assert [("build" in last[1], "publish" in last[2], "poster" in last[3])] == [(True, True, True)]


async def test_no_color_means_no_colour_and_dumb_terminals_get_lines(
    run: Concert, labourer: str, tmp_path: Path
) -> None:
    """NO_COLOR (no-color.org), and TERM=dumb."""
    file = run_file(tmp_path, tasks={"one": {"capability": "labour", "input": {"fails": "no"}}})
    async with on_terminal(run, "run", "submit", file, "--watch", NO_COLOR="1") as terminal:
        assert await terminal.ended() == 11
        assert not re.search(r"\x1b\[[0-9;]*3[0-9]", terminal.drawn)
    async with on_terminal(run, "run", "submit", file, "--watch", TERM="dumb") as terminal:
        assert await terminal.ended() == 11
        assert "\x1b" not in terminal.drawn
        assert "one  FAILED" in terminal.drawn


async def test_narrow_terminals_cut_columns_and_pipes_do_not(run: Concert, client: concert.Client) -> None:
    """A table fits the terminal; into a pipe it goes whole."""
    name = "a-very-long-name-of-a-run-" * 4
    await client.submit_run(run_id="short", name=name, tasks=[concert.task("a", capability="nobody")])
    async with on_terminal(run, "run", "list", columns=40) as terminal:
        assert await terminal.ended() == 0
        drawn = _MOVES.sub("", terminal.drawn).replace("\r", "").splitlines()
        assert all(len(line) <= 40 for line in drawn)
        assert "short" in drawn[1]
    piped = await run("run", "list", COLUMNS="40")
    assert name in piped.out
    assert not _COLOUR.search(piped.out)


async def test_ctrl_c_stops_watching_and_leaves_the_run_to_itself(
    run: Concert, client: concert.Client, tmp_path: Path
) -> None:
    """The cursor comes back, and what goes on is said."""
    file = run_file(tmp_path, run_id="goes-on", tasks={"never": {"capability": "nobody has it"}})
    async with on_terminal(run, "run", "submit", file, "--watch") as terminal:
        await terminal.until(lambda drawn: "never" in drawn)
        terminal.type("\x03")
        assert await terminal.ended() == 130
        assert "goes-on goes on; `concert run cancel goes-on` stops it" in terminal.drawn
        assert terminal.drawn.rfind("\x1b[?25h") > terminal.drawn.rfind("\x1b[?25l")
    assert (await client.run("goes-on").get()).status == concert.RunStatus.RUN_STATUS_PENDING
