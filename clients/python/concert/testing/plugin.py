"""The pytest plugin: the fixtures concert_coordinator, concert_client and concert_kit.

They are fixtures of pytest-asyncio's own kind, so they work in its auto and in its strict mode, and set neither. No
coordinator is started before a test asks for one.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from concert import Client
    from concert.testing import Kit, TestCoordinator

try:
    import pytest_asyncio
except ModuleNotFoundError:
    pytest_asyncio = None  # type: ignore[assignment]


def fixture(function: Any) -> Any:
    """A fixture of pytest-asyncio's; where that is not installed, one that says so."""
    if pytest_asyncio is not None:
        return pytest_asyncio.fixture(function)

    @pytest.fixture(name=function.__name__)
    def missing() -> None:
        raise pytest.UsageError(f"the fixture {function.__name__} needs pytest-asyncio: install it")

    return missing


def pytest_configure(config: pytest.Config) -> None:
    """Makes the marker known."""
    config.addinivalue_line(
        "markers", "concert(**settings): settings of the coordinator of this test, for example agents_running_max=2"
    )


@fixture
async def concert_coordinator(request: pytest.FixtureRequest) -> AsyncIterator[TestCoordinator]:
    """A real coordinator, in real time: `concert_coordinator.address` is for clients and agents of any language."""
    from concert.testing import coordinator

    async with coordinator(**_settings(request)) as serving:
        yield serving


@fixture
async def concert_kit(request: pytest.FixtureRequest) -> AsyncIterator[Kit]:
    """A coordinator of its own whose time the test lets pass, and everything around it."""
    from concert.testing import kit

    async with kit(**_settings(request)) as made:
        yield made


@fixture
async def concert_client(concert_coordinator: TestCoordinator) -> AsyncIterator[Client]:
    """A client of concert_coordinator. The kit has one of its own, `concert_kit.client`."""
    import concert

    async with concert.connect(concert_coordinator.address) as client:
        yield client


def _settings(request: pytest.FixtureRequest) -> dict[str, Any]:
    marker = request.node.get_closest_marker("concert")
    return dict(marker.kwargs) if marker is not None else {}
