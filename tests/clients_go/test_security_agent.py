"""The blog's deployment with the security agent in Go: what it returns is what the Python one would."""

from __future__ import annotations

import asyncio
import contextlib
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import concert
import msgspec
import pytest

from agent_service.deployment import deploy
from agent_service.infrastructure.local import LocalProvider
from agent_service.request import deployment_request
from agent_service.site import QualityThresholds, SecurityResult, read
from tests.coordinator_process import CoordinatorProcess, coordinator_process

ROOT = Path(__file__).resolve().parents[2]
INPUT = ROOT / "agent_service/blog/input.json"
ALL_REQUIRED = os.environ.get("CONCERT_REQUIRE_ALL_LANGUAGES") == "1"
BUILD_SECONDS_MAX = 900


@pytest.fixture
def agent(tmp_path: Path) -> Path:
    """The program, built."""
    if shutil.which("go") is None:
        if ALL_REQUIRED:
            pytest.fail("Go is not installed, and CONCERT_REQUIRE_ALL_LANGUAGES is set")
        pytest.skip("Go is left out: go is not here")
    program = tmp_path / "security_agent"
    command = ["go", "build", "-o", str(program), "./demo"]
    subprocess.run(command, cwd=ROOT / "clients/go", check=True, timeout=BUILD_SECONDS_MAX)
    return program


@pytest.fixture
def coordinator(tmp_path: Path) -> Iterator[CoordinatorProcess]:
    with coordinator_process(tmp_path) as process:
        yield process


@contextlib.contextmanager
def hosted(*command: str | Path, **environment: str) -> Iterator[subprocess.Popen[bytes]]:
    """A process that hosts an agent; it drains in the end."""
    process = subprocess.Popen(list(map(str, command)), cwd=ROOT, env={**os.environ, **environment})
    try:
        yield process
        process.terminate()
        assert process.wait(60) == 0
    finally:
        process.kill()
        process.wait()


@pytest.mark.timeout(1200)
async def test_the_blog_is_deployed_with_the_security_agent_in_go(
    agent: Path, coordinator: CoordinatorProcess, tmp_path: Path
) -> None:
    """The quality assurance agent, which checks the same things by itself, is content with what it did."""
    asked = deployment_request(msgspec.json.decode(INPUT.read_bytes()), base=INPUT.parent)
    unhurried = QualityThresholds(max_load_time_seconds=120.0)
    request = msgspec.structs.replace(asked, quality_thresholds=unhurried)
    provider = tmp_path / "provider"
    account = LocalProvider(provider).account
    account.open()
    account.claim(request.domain)
    python = (sys.executable, "-m", "agent_service", "host")
    place = ("--coordinator", coordinator.address)
    with (
        hosted(*python, "infrastructure", *place, CONCERT_PROVIDER_ROOT=str(provider)),
        hosted(*python, "content", *place),
        hosted(*python, "quality_assurance", *place),
        hosted(agent, coordinator.address),
    ):
        async with concert.connect(coordinator.address) as client:
            async with asyncio.timeout(300):
                while len(await client.agents.list(connected=True)) < 4:  # noqa: ASYNC110 - of other processes
                    await asyncio.sleep(0.05)
            summary = await deploy(client, request)
            security = await client.agents.list(name="security")
    assert summary["status"] == "success", summary["failure_report"]
    assert dict(security[0].spec.labels) == {"language": "go"}
    result = read(summary["agent_results"]["security"]["result"], SecurityResult, "result of security")
    assert (result.security_score, result.findings, all(result.checks.values())) == (1.0, [], True)
    assert set(result.checks) == {
        "tls_versions",
        "certificate",
        "traversal",
        "disclosure",
        "hosts",
        "admin",
        "secrets",
        "headers",
        "dotfiles",
        "listings",
        "methods",
    }
    assert result.settings_revision == 3
