"""/health and /ready, as Kubernetes asks them."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path

import aiohttp
import pytest

from coordinator_service.core.rejections import Unavailable
from coordinator_service.server import CannotListen, CoordinatorServer
from tests.coordinator_process import coordinator_process
from tests.rpc.serving import serving

from .conftest import Browser


async def test_a_coordinator_that_serves_is_healthy_and_ready(browser: Browser) -> None:
    """M1: both answer 200 and say how it does."""
    for path in ("/health", "/ready"):
        status, body = await browser.get(path)
        assert status == 200
        assert body["ready"] is True
        assert body["status"] in ("idle", "healthy")
        assert body["faults"] == {}


async def test_a_coordinator_that_stops_is_alive_and_not_ready(browser: Browser, server: CoordinatorServer) -> None:
    """Calls go elsewhere while it drains, and nobody kills it for that."""
    stopping = asyncio.create_task(server.stop(notice_seconds=0.5))
    await asyncio.sleep(0)
    assert (await browser.get("/ready"))[0] == 503
    assert (await browser.get("/health"))[0] == 200
    await stopping
    with pytest.raises(aiohttp.ClientConnectionError):
        await browser.get("/health")


async def test_a_bad_policy_file_is_a_warning_that_says_why(tmp_path: Path) -> None:
    """P1: seen in health: the last good file stays in use, so that it is still ready."""
    file = tmp_path / "policies.yaml"
    file.write_text("coordination_policies: {default: {max_execution_time_seconds: 300}}\n")
    async with (
        serving(tmp_path, web_listen="127.0.0.1:0", policy_file=file, policy_poll_seconds=0.02) as server,
        aiohttp.ClientSession() as session,
    ):
        browser = Browser(server, session)
        file.write_text("coordination_policies: {default: {max_execution_time_seconds: soon}}\n")
        while not (await browser.get("/health"))[1]["faults"]:  # noqa: ASYNC110 (nothing tells)
            await asyncio.sleep(0.02)
        status, body = await browser.get("/ready")
        assert (status, body["status"]) == (200, "warning")
        assert "max_execution_time_seconds" in body["faults"]["policy_file"]


async def test_a_namespace_that_cannot_be_served_is_critical(
    browser: Browser, server: CoordinatorServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """M1: a log that fails is what /ready is there to tell, and no reason to start anew."""

    async def gone(name: str) -> None:
        raise Unavailable("the log cannot be read")

    monkeypatch.setattr(server._namespaces, "get", gone)
    status, body = await browser.get("/ready")
    assert (status, body["status"], body["faults"]) == (503, "critical", {"log": "the log cannot be read"})
    assert (await browser.get("/health"))[0] == 200


async def test_an_address_that_is_taken_is_said(tmp_path: Path, server: CoordinatorServer) -> None:
    """The server does not begin without what it was asked to serve."""
    with pytest.raises(CannotListen, match="cannot listen on"):
        async with serving(tmp_path / "other", web_listen=server.web_address):
            pass


async def test_the_ready_file_says_where_everything_is(tmp_path: Path) -> None:
    """Whoever starts a coordinator on port 0 finds its page and its metrics."""
    options = ["--web-listen", "127.0.0.1:0", "--metrics-listen", "127.0.0.1:0"]
    with coordinator_process(tmp_path, options=options):
        said = json.loads((tmp_path / "ready.json").read_text())
        async with aiohttp.ClientSession() as session:
            for name, path in (("web", "/health"), ("metrics", "/metrics")):
                async with session.get(f"http://{said[name]}{path}") as response:
                    assert response.status == 200
