"""A real coordinator inside the test: its log in memory, on a port of its choosing.

The coordinator is an optional dependency of this package, and this file is the only one that knows it.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any

from concert._poller import quiet_poller
from concert.testing._time import VirtualTime
from concert.v1 import event_pb2

if TYPE_CHECKING:
    from coordinator_service.log.memory import MemoryLog

NAMESPACE = "default"


class CoordinatorMissing(ImportError):  # noqa: N818 - it says what happened
    """The package `coordinator_service` is not installed."""


class TestCoordinator:
    """A coordinator that serves. `address` is for clients and agents, of any language; `time` what it goes by, None for
    real time.
    """

    __test__ = False

    def __init__(self, address: str, time: VirtualTime | None, log: MemoryLog) -> None:
        """Over the log of the namespace "default"."""
        self.address = address
        self.time = time
        self._log = log

    async def committed(self, after: int) -> Iterable[Any]:
        """The events after a sequence, straight from the log."""
        stored = await self._log.read(after)
        events = (event for each in stored for event in event_pb2.EventBatch.FromString(each.batch.events).events)
        return [event for event in events if event.sequence > after]


@asynccontextmanager
async def coordinator(*, time: VirtualTime | None = None, **settings: Any) -> AsyncIterator[TestCoordinator]:
    """Serves while the body runs.

    `settings` are those of coordinator_service.config, by name, for example `agents_running_max=2`. Raises
    CoordinatorMissing.
    """
    try:
        from coordinator_service.config import Settings
        from coordinator_service.log.memory import MemoryStore
        from coordinator_service.server import CoordinatorServer
    except ModuleNotFoundError as error:
        if (error.name or "").partition(".")[0] != "coordinator_service":
            raise
        raise CoordinatorMissing(
            "concert.testing runs a real coordinator: install the package that has coordinator_service,"
            " or connect to one that runs already with concert.connect(address)"
        ) from error

    async def commit() -> None:
        await asyncio.sleep(0)
        if time is not None:
            time.changed.set()

    quiet_poller(asyncio.get_running_loop())
    given = {"listen": "127.0.0.1:0", "event_store": "memory", "replica_id": "test", **settings}
    store = MemoryStore(commit=commit)
    async with CoordinatorServer(Settings(**given), store=store, clock=time) as server:
        yield TestCoordinator(server.address, time, await store.open(NAMESPACE))
