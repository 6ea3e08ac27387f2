"""docs/cli.md: every command and option is on it, as the help has it, and its sessions print what it shows."""

from __future__ import annotations

import asyncio
import re
import shutil
import signal
import sys
from contextlib import aclosing
from pathlib import Path

import concert
import pytest
from concert.cli import exit_codes

from tests.coordinator_process import coordinator_process

from .command_tree import Described, commands, heading, rows
from .concert_command import COMMAND, Concert

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs/cli.md").read_text()
README = (ROOT / "README.md").read_text()
_SESSIONS = re.compile(r"<!-- session -->\n```console\n(.*?)```\n<!-- /session -->", re.DOTALL)


@pytest.mark.parametrize("command", list(commands()), ids=heading)
def test_every_command_and_every_option_is_documented(command: Described) -> None:
    """A section each, with the help's own words, and a row for each argument and option."""
    section = PAGE.partition(f"\n{heading(command)}\n")[2].partition("\n### ")[0]
    assert section, f"docs/cli.md has no section {heading(command)!r}"
    missing = [line for line in [*command.help.splitlines(), *rows(command)] if line not in section]
    assert missing == []


def test_nothing_is_documented_that_is_not_there() -> None:
    """A command that was taken away, or renamed, is not on the page any more."""
    sections = re.findall(r"^### (concert.*)$", PAGE, re.MULTILINE)
    assert sorted(sections) == sorted(heading(command).removeprefix("### ") for command in commands())


def test_every_exit_code_is_documented() -> None:
    """Scripts go by these numbers."""
    numbers = {value for name, value in vars(exit_codes).items() if name.isupper() and isinstance(value, int)}
    table = PAGE.partition("### Exit codes")[2].partition("###")[0]
    shown = {int(number) for row in re.findall(r"^\| ([\d, ]+)", table, re.MULTILINE) for number in row.split(",")}
    assert numbers - {exit_codes.SIGNALLED} == shown - {128}


async def test_the_sessions_print_what_the_page_shows(tmp_path: Path) -> None:
    """Each command of the page, one after another, against a coordinator and the README's first agent. Numbers, times
    and ids differ from one time to another.
    """
    if shutil.which("jq") is None:
        pytest.skip("the page pipes into jq")
    with coordinator_process(tmp_path, durable=False) as coordinator:
        run = Concert(coordinator.address, "default")
        script = tmp_path / "greeter.py"
        text = (ROOT / "docs/examples/greeter.py").read_text()
        script.write_text(text.replace("Greeter())", f"Greeter(), address={coordinator.address!r})"))
        agent = await asyncio.create_subprocess_exec(sys.executable, str(script))
        try:
            await _registered(coordinator.address)
            for session in [*_SESSIONS.findall(PAGE), *_SESSIONS.findall(README)]:
                await _check(run, tmp_path, session)
        finally:
            agent.send_signal(signal.SIGTERM)
            assert await agent.wait() == 0


async def _registered(address: str) -> None:
    async with (
        concert.connect(address) as client,
        client.subscribe(start="earliest", types=["AGENT_REGISTERED"]) as registered,
    ):
        async for event in registered:
            if event.agent_name == "greeter":
                return


async def _check(run: Concert, directory: Path, session: str) -> None:
    code = 0
    environment = run.environment()
    environment["PATH"] = f"{_own(directory)}:{environment['PATH']}"
    for step in re.split(r"^\$ ", session, flags=re.MULTILINE)[1:]:
        command, _, shown = step.partition("\n")
        shell = await asyncio.create_subprocess_exec(
            "bash",
            "-c",
            f"(exit {code}); {command}",
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.STDOUT,
            env=environment,
            cwd=ROOT,
        )
        async with asyncio.timeout(60):
            out, _ = await shell.communicate()
        assert shell.returncode is not None
        code = shell.returncode
        assert _alike(out.decode()) == _alike(shown), f"$ {command}\n{out.decode()}"
        submitted = re.search(r"--run-id (\w+)", command)
        if submitted is not None:
            await _poster_waits(run.address, submitted[1])


async def _poster_waits(address: str, run_id: str) -> None:
    async with concert.connect(address) as client, aclosing(client.run(run_id).watch()) as updates:
        async for _update in updates:
            tasks = {task.task_id: task.status for task in (await client.run(run_id).get()).tasks}
            if tasks["grace"] == concert.TaskStatus.TASK_STATUS_SUCCEEDED:
                return


def _own(directory: Path) -> Path:
    """A directory with the command, so that `lock run` finds it too."""
    file = directory / "concert"
    file.write_text(f'#!/bin/sh\nexec {" ".join(COMMAND)} "$@"\n')
    file.chmod(0o755)
    return directory


def _alike(text: str) -> str:
    """Without what differs from one time to another: numbers with their units, ids, and the widths that follow."""
    text = re.sub(r"greeter-[0-9a-f]{8}", "greeter-ID", text)
    text = re.sub(r"\d[\d.:]*(ms|[smhd]\b)?(\d+[smhd])?", "N", text)
    return re.sub(r" +", " ", text).strip()
