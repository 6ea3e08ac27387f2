"""Fixtures of the client tests: a scripted coordinator, and a client of it."""

from __future__ import annotations

from collections.abc import AsyncIterator

import concert
import pytest

from .scripted_coordinator import ScriptedCoordinator, running


@pytest.fixture
async def coordinator() -> AsyncIterator[ScriptedCoordinator]:
    async with running() as scripted:
        yield scripted


@pytest.fixture
async def client(coordinator: ScriptedCoordinator) -> AsyncIterator[concert.Client]:
    async with concert.connect(coordinator.address) as connected:
        yield connected
