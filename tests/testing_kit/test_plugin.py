"""The pytest plugin, in a pytest of its own."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

STRICT = """
import pytest

@pytest.mark.asyncio
async def test_the_kit(concert_kit):
    assert (await concert_kit.client.server_info()).version

@pytest.mark.asyncio
@pytest.mark.concert(agents_running_max=1)
async def test_a_coordinator_and_a_client(concert_coordinator, concert_client):
    assert concert_client.address == concert_coordinator.address
    assert (await concert_client.server_info()).limits["agents_running_max"] == 1

def test_that_is_not_async():
    pass
"""
AUTO = STRICT.replace("@pytest.mark.asyncio\n", "")
WITHOUT = "import sys; sys.modules['pytest_asyncio'] = None; import pytest; sys.exit(pytest.main(sys.argv[1:]))"


def pytest_run(directory: Path, test: str, *arguments: str, start: tuple[str, ...] = ("-m", "pytest")) -> str:
    """What pytest prints for a test file, with nothing of this project's configuration."""
    (directory / "pytest.ini").write_text("[pytest]\n")
    (directory / "test_it.py").write_text(test)
    command = [sys.executable, *start, "-q", "--strict-markers", "-p", "no:cacheprovider", *arguments, str(directory)]
    return subprocess.run(command, capture_output=True, text=True, cwd=directory, check=False).stdout


@pytest.mark.parametrize(("mode", "test"), [("strict", STRICT), ("auto", AUTO)])
def test_the_fixtures_work_in_either_mode_of_pytest_asyncio(tmp_path: Path, mode: str, test: str) -> None:
    """The plugin is found by itself, and sets no mode."""
    assert "3 passed" in pytest_run(tmp_path, test, f"--asyncio-mode={mode}")


def test_without_pytest_asyncio_the_fixtures_say_what_they_need(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """And nothing else changes."""
    test = "def test_it(concert_kit):\n    pass\n\ndef test_another():\n    pass\n"
    monkeypatch.setenv("PYTEST_DISABLE_PLUGIN_AUTOLOAD", "1")
    found = pytest_run(tmp_path, test, "-p", "concert.testing.plugin", start=("-c", WITHOUT))
    assert "the fixture concert_kit needs pytest-asyncio: install it" in found
    assert "1 passed, 1 error" in found


def test_a_failure_shows_the_timeline(tmp_path: Path) -> None:
    """In what pytest prints of it."""
    test = (
        "from concert.testing import task, sleep\n"
        "async def test_it(concert_kit):\n"
        "    await concert_kit.agent('content', sleep(1))\n"
        "    history = await concert_kit.finish(await concert_kit.run(task('content')))\n"
        "    history.assert_took(at_most=0.5)\n"
    )
    found = pytest_run(tmp_path, test, "--asyncio-mode=auto")
    assert "expected that the run took 0 to 0.5 s; but it took 1 s" in found
    assert f"content |{'=' * 60}| succeeded" in found
