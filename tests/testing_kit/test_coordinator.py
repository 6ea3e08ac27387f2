"""The coordinator inside a test."""

from __future__ import annotations

import sys

import concert
import pytest
from concert.testing import coordinator


async def test_it_serves_in_real_time_unless_it_is_given_another() -> None:
    """It is a real one, with the settings given, and two of them share nothing."""
    async with coordinator(run_tasks_max=7) as one, coordinator() as other:
        assert one.address != other.address
        async with concert.connect(one.address) as client, concert.connect(other.address) as another:
            assert (await client.server_info()).limits["run_tasks_max"] == 7
            await client.state.update({"key": 1})
            assert await another.state.get("key") is None


async def test_without_the_coordinator_package_it_says_what_is_missing(monkeypatch: pytest.MonkeyPatch) -> None:
    """The coordinator is an optional dependency of the kit."""
    monkeypatch.setitem(sys.modules, "coordinator_service.config", None)
    with pytest.raises(ImportError, match="install the package that has coordinator_service"):
        async with coordinator():
            pass
