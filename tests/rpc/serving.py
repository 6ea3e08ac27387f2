"""A real server in the test's process, on a port of its choosing."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from concert._poller import quiet_poller

from coordinator_service.config import Settings
from coordinator_service.log.base import LogStore
from coordinator_service.server import CoordinatorServer


def settings(directory: Path, **changes: Any) -> Settings:
    given = {"listen": "127.0.0.1:0", "data_dir": directory, "replica_id": "replica-1", "event_store": "memory"}
    return Settings(**{**given, **changes})


@asynccontextmanager
async def serving(
    directory: Path, *, store: LogStore | None = None, **changes: Any
) -> AsyncIterator[CoordinatorServer]:
    """Serves, with settings other than the usual where given, and stops."""
    quiet_poller(asyncio.get_running_loop())
    async with CoordinatorServer(settings(directory, **changes), store=store) as server:
        yield server
