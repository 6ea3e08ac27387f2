"""The Java client: its own tests, lint and format, and the agent that its README shows."""

from __future__ import annotations

import asyncio
import os
import re
import signal
import subprocess
import sys
from pathlib import Path

import concert
import pytest

from clients.conformance.driver import ROOT, languages
from tests.conformance.toolchains import made, note_made, present
from tests.coordinator_process import coordinator_process

BUILD_SECONDS_MAX = 1500
AGENT_SECONDS_MAX = 60
JAVA = next(language for language in languages() if language.key == "java")
GREETER = "clients/java/examples/src/main/java/dev/concert/examples/Greeter.java"


@pytest.mark.timeout(BUILD_SECONDS_MAX + 60)
def test_maven_verifies() -> None:
    """Compiled with every warning an error, tested against real coordinators, formatted: one invocation."""
    present(JAVA)
    done = subprocess.run(
        ["mvn", "-B", "-q", "-nsu", "verify"],
        cwd=JAVA.directory,
        env={**os.environ, "CONCERT_PYTHON": sys.executable},
        capture_output=True,
        text=True,
        timeout=BUILD_SECONDS_MAX,
    )
    assert done.returncode == 0, done.stdout[-8000:] + done.stderr[-2000:]
    note_made(JAVA)


def test_the_readme_shows_the_agent_as_it_is() -> None:
    """Every line of it is in the program, in that order."""
    readme = (JAVA.directory / "README.md").read_text()
    shown = re.search(rf"<!-- {re.escape(GREETER)} -->\n```java\n(.*?)```", readme, re.DOTALL)
    assert shown is not None
    lines = iter((ROOT / GREETER).read_text().splitlines())
    for line in filter(str.strip, shown[1].splitlines()):
        assert line in lines, f"{line!r} is not in {GREETER}, or not there"


@pytest.mark.timeout(300)
async def test_the_agent_of_the_readme_works_and_drains_on_sigterm(tmp_path: Path) -> None:
    """Two greetings, a lock, shared state; SIGTERM ends it when nothing runs any more."""
    made(JAVA)
    with coordinator_process(tmp_path) as coordinator:
        command = JAVA.example("greeter")
        agent = await asyncio.create_subprocess_exec(*command, coordinator.address, cwd=JAVA.directory)
        try:
            async with asyncio.timeout(AGENT_SECONDS_MAX), concert.connect(coordinator.address) as client:
                run = await client.submit_run(
                    tasks=[
                        concert.task("second", capability="greeting", input={"name": "Grace"}, depends_on=["first"]),
                        concert.task("first", capability="greeting", input={"name": "Ada"}),
                    ]
                )
                await run.wait()
                assert await run.result("second") == "Hello, Grace! Before you: [first]"
                assert [entry.key for entry in await client.state.list("guests")] == ["guests/Ada", "guests/Grace"]
                agent.send_signal(signal.SIGTERM)
                await agent.wait()
                assert await client.agents.list(connected=True) == []
        finally:
            if agent.returncode is None:
                agent.kill()
                await agent.wait()
