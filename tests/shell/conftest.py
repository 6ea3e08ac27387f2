"""Fixtures of the shell's tests: virtual time, and a coordinator whose disk and clock are in the test's hands."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable

import pytest

from tests.shell.bench import Bench
from tests.simulation.loop import VirtualLoop


def pytest_asyncio_loop_factories(config: pytest.Config, item: pytest.Item) -> dict[str, Callable[[], VirtualLoop]]:
    """Time passes when nobody has anything to do, and a loop with nothing to wait for fails at once."""
    return {"virtual": VirtualLoop}


@pytest.fixture
async def bench() -> AsyncIterator[Bench]:
    bench = Bench()
    yield bench
    await bench.end()
