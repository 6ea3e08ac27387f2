"""The three examples of every language say the same, against a coordinator that dies in the middle.

`clients/LANGUAGE/conformance/driver.yaml` names how an example is started: `examples: [program, "{example}", ...]`.
"""

from __future__ import annotations

import re
import subprocess
import textwrap
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from clients.conformance.driver import ROOT, Language, languages
from clients.conformance.wire import Wire
from tests.conformance.toolchains import made
from tests.coordinator_process import CoordinatorProcess, coordinator_process

EXAMPLE_SECONDS_MAX = 120

BASIC = """\
Hello, Ada!
Hello, Grace! (Hello, Ada!)
guests: guests/Ada, guests/Grace
"""
FENCING = """\
the first holds the ledger
the second holds the ledger, and its token is higher: {true}
the first wakes up and is refused: STALE_FENCE ledger
balance: 100
"""


@pytest.fixture
def coordinator(tmp_path: Path) -> Iterator[CoordinatorProcess]:
    with coordinator_process(tmp_path) as process:
        yield process


@pytest.fixture(params=[each for each in languages() if each.examples], ids=lambda language: language.key)
def language(request: pytest.FixtureRequest) -> Language:
    return made(request.param)


def start(language: Language, example: str, *arguments: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [*language.example(example), *arguments], cwd=language.directory, stdout=subprocess.PIPE, text=True
    )


def said(language: Language, example: str, *arguments: str) -> str:
    """What an example prints; it exits with 0."""
    process = start(language, example, *arguments)
    output, _ = process.communicate(timeout=EXAMPLE_SECONDS_MAX)
    assert process.returncode == 0
    return output


@pytest.mark.timeout(300)
def test_basic(language: Language, coordinator: CoordinatorProcess) -> None:
    """An agent, a run of two tasks, a lock, shared state."""
    assert said(language, "basic", coordinator.address) == BASIC


@pytest.mark.timeout(300)
def test_fencing(language: Language, coordinator: CoordinatorProcess) -> None:
    """A holder of the past is refused."""
    output = said(language, "fencing", coordinator.address)
    assert output.lower() == FENCING.format(true="true").lower()


@pytest.mark.timeout(300)
async def test_resume(language: Language, coordinator: CoordinatorProcess) -> None:
    """A consumer sees every order once, in order, over its own end and the coordinator's."""
    wire = Wire([coordinator.address], "default")
    process = start(language, "resume", coordinator.address, "4")
    try:
        assert process.stdout is not None
        lines = [process.stdout.readline()]
        await publish(wire, 1, 3)
        lines += [process.stdout.readline() for _ in range(2)]
        coordinator.restart()
        await publish(wire, 3, 7)
        output, _ = process.communicate(timeout=EXAMPLE_SECONDS_MAX)
        assert process.returncode == 0
    finally:
        process.kill()
        await wire.close()
    assert "".join(lines) + output == "waiting for orders\norder 1\norder 2\norder 3\norder 4\n"
    assert said(language, "resume", coordinator.address, "2") == "waiting for orders\norder 5\norder 6\n"


async def publish(wire: Wire, first: int, end: int) -> None:
    events: list[dict[str, Any]] = [
        {"custom": {"name": "order", "data": {"json": {"number": number}}}} for number in range(first, end)
    ]
    await wire.call("EventService/Publish", {"events": events})


@pytest.mark.parametrize("name", ["basic", "resume", "fencing"])
def test_the_readme_of_python_shows_their_heart(name: str) -> None:
    """Shown and run are the same text."""
    directory = ROOT / "clients/python"
    shown = re.search(
        rf"<!-- examples/{name}.py -->\n```python\n(.*?)```", (directory / "README.md").read_text(), re.DOTALL
    )
    assert shown is not None
    program = (directory / f"examples/{name}.py").read_text()
    depths = [textwrap.indent(shown[1].rstrip(), " " * depth) for depth in (0, 4, 8)]
    assert any(part in program for part in depths)
