"""Fixtures: a receiver of spans, and an environment that says nothing of OpenTelemetry but what a test says."""

from __future__ import annotations

import os
from collections.abc import AsyncIterator

import pytest

from .receiver import Receiver, receiving


@pytest.fixture(autouse=True)
def _nothing_configured(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in list(os.environ):
        if name.startswith("OTEL_"):
            monkeypatch.delenv(name)


@pytest.fixture
async def receiver(monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Receiver]:
    """One that is named by the standard variable."""
    async with receiving() as listening:
        monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", f"http://{listening.address}")
        yield listening
