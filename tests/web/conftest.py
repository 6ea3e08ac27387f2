"""Fixtures: a coordinator that serves its page and its metrics, and a client of each."""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import aiohttp
import concert
import pytest
from prometheus_client.parser import text_string_to_metric_families

from coordinator_service.server import CoordinatorServer
from tests.rpc.serving import serving


@dataclass
class Browser:
    """Asks the coordinator by HTTP."""

    server: CoordinatorServer
    session: aiohttp.ClientSession

    async def get(self, path: str) -> tuple[int, Any]:
        """Status and JSON."""
        async with self.session.get(f"http://{self.server.web_address}{path}") as response:
            return response.status, await response.json()

    async def metrics_text(self) -> str:
        """What a scraper reads."""
        async with self.session.get(f"http://{self.server.metrics_address}/metrics") as response:
            assert response.status == 200
            return await response.text()

    async def samples(self) -> dict[tuple[str, tuple[tuple[str, str], ...]], float]:
        """The values, by name and labels, as Prometheus' own parser reads them."""
        families = text_string_to_metric_families(await self.metrics_text())
        return {
            (sample.name, tuple(sorted(sample.labels.items()))): sample.value
            for family in families
            for sample in family.samples
        }

    async def value(self, name: str, **labels: str) -> float:
        """One of them."""
        return (await self.samples())[name, tuple(sorted(labels.items()))]


@pytest.fixture
async def server(tmp_path: Path) -> AsyncIterator[CoordinatorServer]:
    """On ports of its choosing."""
    listen = "127.0.0.1:0"
    async with serving(tmp_path, event_store="sqlite", web_listen=listen, metrics_listen=listen) as running:
        yield running


@pytest.fixture
async def browser(server: CoordinatorServer) -> AsyncIterator[Browser]:
    async with aiohttp.ClientSession() as session:
        yield Browser(server, session)


@pytest.fixture
async def client(server: CoordinatorServer) -> AsyncIterator[concert.Client]:
    async with concert.connect(server.address) as connected:
        yield connected
