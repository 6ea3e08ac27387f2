"""Fixtures: a real server in the test's process on a port of its choosing, over either store, and a peer of it."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import grpc
import pytest

from coordinator_service.server import CoordinatorServer

from .peer import Peer
from .serving import serving


@pytest.fixture(params=["memory", "sqlite"])
async def coordinator(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[CoordinatorServer]:
    async with serving(tmp_path, event_store=request.param) as server:
        yield server


@pytest.fixture
async def peer(coordinator: CoordinatorServer) -> AsyncIterator[Peer]:
    async with grpc.aio.insecure_channel(coordinator.address) as channel:
        yield Peer(channel)
