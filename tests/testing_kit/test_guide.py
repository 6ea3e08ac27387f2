"""docs/testing.md: every example on it passes, and the timeline that it shows is the one that is drawn."""

from __future__ import annotations

import re
from pathlib import Path

from concert import testing
from concert.testing import History, Kit, sleep, task

from tests.testing_kit.test_plugin import pytest_run

GUIDE = (Path(__file__).parents[2] / "docs/testing.md").read_text()
EXAMPLES: dict[str, str] = dict(re.findall(r"<!-- (test_\w+\.py) -->\n```python\n(.*?)```", GUIDE, re.DOTALL))


def test_every_example_of_the_guide_passes(tmp_path: Path) -> None:
    """As it stands there, with nothing but the installed plugin."""
    assert len(EXAMPLES) == GUIDE.count("```python") == 4
    for name, text in EXAMPLES.items():
        (tmp_path / f"guide_{name}").write_text(text)
    count = sum(text.count("async def test_") for text in EXAMPLES.values())
    found = pytest_run(tmp_path, "", "--asyncio-mode=auto", "-o", "python_files=guide_*.py")
    assert f"{count} passed" in found, found


async def test_the_timeline_of_the_guide_is_the_one_that_is_drawn(concert_kit: Kit) -> None:
    """The chart of the first example."""
    for name, seconds in (("infrastructure", 3), ("content", 2), ("security", 1)):
        await concert_kit.agent(name, sleep(seconds))
    waiting = {"depends_on": ["infrastructure"]}
    run = await concert_kit.run(task("content", **waiting), task("security", **waiting), task("infrastructure"))
    drawn = (await concert_kit.finish(run)).timeline()
    shown = re.search(r"<!-- timeline of test_first.py -->\n```text\n(.*?)\n```", GUIDE, re.DOTALL)
    assert shown is not None
    assert shown[1].splitlines()[1:] == drawn.splitlines()[1:]


def test_the_guide_names_every_step_and_every_assertion() -> None:
    """What is not taught is not there."""
    assertions = [name for name in vars(History) if name.startswith("assert_")]
    steps = [name for name in testing.__all__ if name[0].islower()]
    assert [name for name in assertions + steps if name not in GUIDE] == []
