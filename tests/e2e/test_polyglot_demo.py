"""The blog deployed by agents of several languages, in one trace."""

from __future__ import annotations

import json
import re
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import concert
import pytest

from agent_service.__main__ import BLOG_INPUT
from agent_service.deployment import AGENTS
from agent_service.polyglot import foreign_agents
from tests.conformance.toolchains import ALL_REQUIRED

DEPLOYED_SECONDS_MAX = 240
COORDINATOR = re.compile(r"coordinator at (\S+), agents: (.*)")


@pytest.fixture(autouse=True)
def toolchains() -> None:
    """Left out where the toolchain of a language is missing, unless all are required."""
    for each in foreign_agents().values():
        missing = each.missing()
        assert not (missing and ALL_REQUIRED), f"{each.language} needs {', '.join(missing)}"
        if missing:
            pytest.skip(f"{each.language} is left out: {', '.join(missing)} is not here")


@pytest.mark.timeout(900)
async def test_the_blog_is_deployed_by_agents_of_several_languages(tmp_path: Path) -> None:
    """Every agent succeeds, those of other languages are what ran, and all of it is one trace, their own spans too."""
    foreign = foreign_agents()
    assert "quality_assurance" in foreign
    for each in foreign.values():
        each.make()
    command = [sys.executable, "-m", "agent_service", "demo", "--polyglot", "--serve", "--var", str(tmp_path)]
    command += ["--input", str(patient_input(tmp_path))]
    with (tmp_path / "said").open("w+") as said:
        process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=said, text=True)
        try:
            summary = told(process)
            told_address = COORDINATOR.search((tmp_path / "said").read_text())
            assert told_address is not None
            assert "quality_assurance (TypeScript)" in told_address[2]
            async with concert.connect(told_address[1]) as client:
                await check(client, summary, set(foreign))
        finally:
            process.send_signal(signal.SIGTERM)
            process.communicate(timeout=DEPLOYED_SECONDS_MAX)
    assert summary["status"] == "success", summary


def patient_input(directory: Path) -> Path:
    """The blog's, with a limit on load times that a busy machine keeps."""
    asked = json.loads(BLOG_INPUT.read_text())
    asked["content_sources"] = [str(path) for path in sorted(BLOG_INPUT.parent.iterdir()) if (path / "images").is_dir()]
    asked["quality_thresholds"] = {"max_load_time_seconds": 60.0}
    file = directory / "input.json"
    file.write_text(json.dumps(asked))
    return file


def told(process: subprocess.Popen[str]) -> dict[str, Any]:
    """The summary, which is one JSON object over several lines; the process goes on."""
    assert process.stdout is not None
    lines: list[str] = []
    for line in process.stdout:
        lines.append(line)
        if line == "}\n":
            break
    return dict(json.loads("".join(lines)))


async def check(client: concert.Client, summary: dict[str, Any], foreign: set[str]) -> None:
    """What the log says of the deployment."""
    assert summary["successful_agents"] == list(AGENTS)
    run_id = summary["deployment_id"]
    labels = {agent.spec.agent_name: dict(agent.spec.labels) for agent in await client.agents.list(connected=True)}
    assert {name for name, told in labels.items() if "language" in told} == foreign
    quality = summary["agent_results"]["quality_assurance"]["result"]
    assert quality["checks_run"] > 300
    assert (quality["passed"], quality["issues_found"]) == (True, [])
    events = await client.events.list(run_ids=[run_id], limit=10_000)
    (checked,) = [event for event in events if event.custom.name == "site_checked"]
    traces = {event.traceparent.split("-")[1] for event in events if event.traceparent}
    assert len(traces) == 1
    submitted = next(event for event in events if event.type == concert.EventType.EVENT_TYPE_RUN_SUBMITTED)
    assert checked.traceparent.split("-")[2] != submitted.traceparent.split("-")[2], "it is stated in the agent's span"
