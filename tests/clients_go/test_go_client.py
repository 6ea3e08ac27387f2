"""The Go client by Go's own means: format, vet, staticcheck, drift, and tests with the race detector.

Left out where Go is not installed, unless CONCERT_REQUIRE_ALL_LANGUAGES is 1: then that fails.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
MODULE = ROOT / "clients/go"
ALL_REQUIRED = os.environ.get("CONCERT_REQUIRE_ALL_LANGUAGES") == "1"
STATICCHECK = "honnef.co/go/tools/cmd/staticcheck@v0.8.2"
COMMAND_SECONDS_MAX = 1500

pytestmark = pytest.mark.timeout(1600)


@pytest.fixture(autouse=True)
def _toolchain() -> None:
    if shutil.which("go") is not None:
        return
    if ALL_REQUIRED:
        pytest.fail("Go is not installed, and CONCERT_REQUIRE_ALL_LANGUAGES is set")
    pytest.skip("Go is left out: go is not here")


def run(*command: str, directory: Path = MODULE) -> str:
    """What a command prints; it ends well."""
    environment = {**os.environ, "CONCERT_PYTHON": sys.executable}
    done = subprocess.run(
        command,
        cwd=directory,
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=COMMAND_SECONDS_MAX,
        check=False,
    )
    assert done.returncode == 0, f"{' '.join(command)}:\n{done.stdout[-8000:]}"
    return done.stdout


def test_it_is_formatted() -> None:
    """gofmt would change nothing."""
    assert run("gofmt", "-l", ".") == ""


def test_vet_and_staticcheck_find_nothing() -> None:
    """Nor is a dependency missing in go.mod, or too many."""
    run("go", "mod", "tidy", "-diff")
    run("go", "vet", "./...")
    run("go", "run", STATICCHECK, "./...")


def test_its_tests_pass_with_the_race_detector() -> None:
    """Against a real coordinator, which some of them kill."""
    race = ["-race"] if shutil.which("gcc") or shutil.which("cc") else []
    run("go", "test", *race, "-count=1", "-timeout=20m", "./...")


def test_the_generated_code_is_that_of_the_protos() -> None:
    """`make protos` would change nothing."""
    run(sys.executable, "protos/generate_go.py", "--check", directory=ROOT)


def test_the_agent_of_the_readme_is_the_one_that_is_built() -> None:
    """From its handler to its end."""
    program = (MODULE / "examples/greeter/main.go").read_text()
    shown = (MODULE / "README.md").read_text()
    heart = program[program.index("func greet(") :]
    assert f"<!-- examples/greeter -->\n```go\n{heart}```" in shown
