"""What a coordinator does whose events are in Redis: it finds out whether the servers may keep them, and joins the
replicas that share them. Loaded where it is asked for: redis-py takes long to load.
"""

from __future__ import annotations

import logging

from coordinator_service.clock import Clock
from coordinator_service.cluster.ownership import ClusterOwnership
from coordinator_service.cluster.redis_members import RedisMembers
from coordinator_service.config import Settings
from coordinator_service.log.base import LogCorrupt, LogError
from coordinator_service.log.redis import RedisStore
from coordinator_service.log.redis_facts import UnfitServer
from coordinator_service.ownership import Ownership

_log = logging.getLogger(__name__)


class OverRedis:
    """Of one replica. Raises LogError for an address that names no servers."""

    def __init__(self, settings: Settings, clock: Clock) -> None:
        self.store = RedisStore(settings.redis_options())
        self.cluster = ClusterOwnership(
            RedisMembers(self.store), clock, replica_id=settings.replica_id, lease_ms=settings.owner_lease_ms
        )
        self._advertise = settings.cluster_advertise

    async def check(self) -> None:
        """A store that must not be used is refused before anything is served; one that is out of reach is waited
        for. Raises LogError."""
        try:
            await self.store.check()
        except (UnfitServer, LogCorrupt):
            await self.store.close()
            raise
        except LogError as fault:
            _log.error("not ready: %s", fault)

    async def join(self, address: str) -> Ownership:
        """Says that this replica is there, at its address or the one it is told to give. Raises LogError."""
        await self.cluster.begin(self._advertise or address)
        return self.cluster
