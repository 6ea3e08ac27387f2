"""Another language, with nothing but the protos and its stock gRPC tooling."""

from __future__ import annotations

import asyncio
import hashlib
import json
import os
import shutil
import subprocess
from pathlib import Path

import pytest

from coordinator_service.server import CoordinatorServer

HERE = Path(__file__).parent / "node"
PROTOS = Path(__file__).parents[2] / "protos"
SCRIPT = "publish_and_subscribe.js"
REQUIRED = os.environ.get("CI") == "true"


def missing(what: str) -> None:
    """Skips where Node cannot be had, except where everything has to be tested."""
    if REQUIRED:
        pytest.fail(what)
    pytest.skip(what)


@pytest.fixture
def script(pytestconfig: pytest.Config) -> Path:
    """The script beside its installed dependencies, which are kept between test runs."""
    if shutil.which("node") is None or shutil.which("npm") is None:
        missing("node and npm are not installed")
    lock = (HERE / "package-lock.json").read_bytes()
    assert pytestconfig.cache is not None
    place = pytestconfig.cache.mkdir(f"node-{hashlib.sha256(lock).hexdigest()[:16]}")
    installed = place / "installed"
    if not installed.exists():
        for name in ("package.json", "package-lock.json", ".npmrc"):
            shutil.copy(HERE / name, place / name)
        command = ["npm", "ci", "--ignore-scripts", "--no-audit", "--no-fund"]
        done = subprocess.run(command, cwd=place, capture_output=True, text=True, timeout=100, check=False)
        if done.returncode:
            missing(f"npm ci failed: {done.stderr[-500:]}")
        installed.touch()
    shutil.copy(HERE / SCRIPT, place / SCRIPT)
    return place / SCRIPT


async def test_stock_tooling_of_another_language_publishes_and_subscribes(
    coordinator: CoordinatorServer, script: Path
) -> None:
    """Node's @grpc/proto-loader: publish, publish again, be pushed the event, be refused with details."""
    process = await asyncio.create_subprocess_exec(
        "node", str(script), coordinator.address, str(PROTOS), "blog", stdout=-1, stderr=-1
    )
    async with asyncio.timeout(60):
        out, err = await process.communicate()
    assert process.returncode == 0, err.decode()
    seen = json.loads(out)
    sequences = seen["published"]["sequences"]
    assert len(sequences) == 2
    assert (seen["replayed"]["sequences"], seen["replayed"]["replayed"]) == (sequences, True)
    event = seen["event"]
    assert (event["sequence"], event["type"], event["namespace"]) == (sequences[1], "EVENT_TYPE_CUSTOM", "blog")
    assert event["custom"]["data"]["json"]["structValue"]["fields"]["number"]["numberValue"] == 1
    assert (seen["refused"], seen["details"]) == (3, 1)
