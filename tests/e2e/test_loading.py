"""What a coordinator does not use it does not load: it starts in half the time."""

from __future__ import annotations

import subprocess
import sys

import pytest

SAY = "import sys, coordinator_service.__main__; print(*sys.modules)"


@pytest.mark.parametrize("module", ["redis", "aiohttp", "jwt", "cryptography", "opentelemetry.exporter"])
def test_it_is_not_loaded_for_nothing(module: str) -> None:
    """Stores, pages, credentials and exporters are loaded where they are asked for."""
    loaded = subprocess.run([sys.executable, "-c", SAY], capture_output=True, text=True, check=True).stdout.split()
    assert "coordinator_service.server" in loaded
    assert module not in loaded
