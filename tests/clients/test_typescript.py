"""The TypeScript client: built, linted, generated code without drift, and its own tests against real coordinators."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from clients.conformance.driver import Language, languages
from tests.conformance.toolchains import made

HERE = Path(__file__).parents[2] / "clients/typescript"


@pytest.fixture
def typescript() -> Language:
    """The client, installed and built; left out without its toolchain, unless all languages are required."""
    return made(next(each for each in languages() if each.key == "typescript"))


def ran(*command: str, seconds: float = 300) -> None:
    """Fails with what the command said unless it exits with 0."""
    environment = {**os.environ, "CONCERT_PYTHON": sys.executable}
    done = subprocess.run(
        command, cwd=HERE, env=environment, capture_output=True, text=True, timeout=seconds, check=False
    )
    assert done.returncode == 0, f"{' '.join(command)}\n{done.stdout[-8000:]}\n{done.stderr[-4000:]}"


@pytest.mark.timeout(1200)
def test_it_is_formatted_and_linted(typescript: Language) -> None:
    """What the language's own tools ask for."""
    ran("npm", "run", "--silent", "lint")


@pytest.mark.timeout(1200)
def test_the_generated_code_is_that_of_the_protos(typescript: Language) -> None:
    """What is committed is what the generator writes."""
    ran(sys.executable, "generate.py", "--check")


@pytest.mark.timeout(1200)
def test_its_own_tests_pass(typescript: Language) -> None:
    """Units, and whole programs against coordinators that are killed meanwhile."""
    ran("npm", "test", "--silent", seconds=900)


@pytest.mark.timeout(1200)
def test_the_package_is_whole(typescript: Language, tmp_path: Path) -> None:
    """What would be published has every face, with types, and works where it is installed."""
    ran("npm", "pack", "--silent", "--ignore-scripts", "--pack-destination", str(tmp_path))
    (archive,) = tmp_path.glob("*.tgz")
    listed = subprocess.run(["tar", "tzf", str(archive)], capture_output=True, text=True, check=True).stdout.split()
    for face in ("index", "agent/index", "v1"):
        assert {f"package/dist/{face}.js", f"package/dist/{face}.d.ts"} <= set(listed)
    assert "package/dist/agent/io_worker.js" in listed
    assert not [name for name in listed if name.startswith(("package/src/", "package/test/", "package/build/"))]


def test_the_agent_of_the_readme_is_twenty_lines_and_compiles() -> None:
    """It is one of the examples, which are compiled with the tests."""
    agent = (HERE / "examples/greeter.ts").read_text()
    assert f"```typescript\n{agent}```" in (HERE / "README.md").read_text()
    assert len(agent.splitlines()) <= 20
