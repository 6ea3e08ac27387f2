"""The README is what a newcomer goes by: its examples are the files that run, and they print what it says."""

from __future__ import annotations

import re
import signal
import subprocess
import sys
import textwrap
from pathlib import Path

import concert
import pytest

from tests.coordinator_process import coordinator_process

ROOT = Path(__file__).resolve().parent.parent
README = (ROOT / "README.md").read_text()
EXAMPLES = sorted((ROOT / "docs/examples").glob("*.py"))


@pytest.mark.parametrize("example", EXAMPLES, ids=lambda path: path.name)
def test_the_readme_shows_the_examples_as_they_are(example: Path) -> None:
    """Shown and run are the same text."""
    name = example.relative_to(ROOT)
    shown = re.search(rf"<!-- {name} -->\n```python\n(.*?)```", README, re.DOTALL)
    assert shown is not None
    assert shown[1] == example.read_text()


HEARTS = re.findall(r"<!-- (clients/\S+) -->\n```\w+\n(.*?)```", README, re.DOTALL)


@pytest.mark.parametrize(("program", "shown"), HEARTS, ids=[program for program, _ in HEARTS])
def test_the_readme_shows_programs_in_other_languages_as_they_are(program: str, shown: str) -> None:
    """The conformance suite runs them; here, that what is shown is what is run."""
    text = (ROOT / program).read_text()
    assert shown in text or textwrap.indent(shown, "    ") in text


def test_the_readme_shows_an_agent_in_every_language() -> None:
    """Go, TypeScript, Java, beside Python."""
    assert [program.split("/")[1] for program, _ in HEARTS] == ["go", "typescript", "java"]


async def test_the_first_agent_answers_as_the_readme_says(tmp_path: Path) -> None:
    """The three terminals of the README, on another port."""
    with coordinator_process(tmp_path) as coordinator:
        scripts = {}
        for example in EXAMPLES:
            scripts[example.stem] = tmp_path / example.name
            text = example.read_text().replace("connect()", f"connect({coordinator.address!r})")
            text = text.replace("run_agents(Greeter())", f"run_agents(Greeter(), address={coordinator.address!r})")
            scripts[example.stem].write_text(text)
        agent = subprocess.Popen([sys.executable, str(scripts["greeter"])])
        try:
            async with (
                concert.connect(coordinator.address) as client,
                client.subscribe(start="earliest", types=["AGENT_REGISTERED"]) as registered,
            ):
                async for event in registered:
                    if event.agent_name == "greeter":
                        break
            asked = subprocess.run([sys.executable, str(scripts["ask"])], capture_output=True, text=True, check=True)
        finally:
            agent.send_signal(signal.SIGTERM)
            assert agent.wait(20) == 0
    assert f"$ python docs/examples/ask.py\n{asked.stdout}" in README


def test_every_target_of_the_makefile_that_the_readme_names_exists() -> None:
    """Nobody is sent to a command that is not there."""
    targets = set(re.findall(r"^([a-z]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))
    assert set(re.findall(r"`?make ([a-z]+)", README)) <= targets


def test_every_page_that_the_readme_links_to_exists() -> None:
    """No dead links."""
    links = [link for link in re.findall(r"\]\(([^)#]+)\)", README) if "://" not in link]
    assert len(links) >= 6
    assert [link for link in links if not (ROOT / link).exists()] == []
