"""MonitorService: what the coordinator says of itself."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import grpc
from concert.v1 import monitor_service_pb2 as pb

from coordinator_service.log.mirror import fill_timestamp
from coordinator_service.rpc import limits
from coordinator_service.rpc.calls import Calls, Context


@dataclass(frozen=True, slots=True, kw_only=True)
class ServerDescription:
    """What does not change while a replica runs. Limits are by name, their unit last."""

    version: str
    replica_id: str
    event_store: str
    started_at_ns: int
    limits: dict[str, int]
    features: tuple[str, ...] = ()


class MonitorServicer:
    """Serves MonitorService."""

    def __init__(self, calls: Calls, description: ServerDescription) -> None:
        self._calls = calls
        self._info = _encode(description)

    def handler(self) -> grpc.GenericRpcHandler:
        """What the server registers."""
        get_info = self._calls.unary(pb.GetServerInfoRequest, self._get_server_info)
        return self._calls.service("MonitorService", {"GetServerInfo": get_info})

    async def _get_server_info(self, _request: Any, _context: Context) -> bytes:
        return self._info


def _encode(description: ServerDescription) -> bytes:
    info = pb.GetServerInfoResponse(
        version=description.version,
        replica_id=description.replica_id,
        feature_level=limits.FEATURE_LEVEL,
        features=description.features,
        limits=description.limits,
        event_store=description.event_store,
    )
    fill_timestamp(description.started_at_ns, info.started_at)
    encoded: bytes = info.SerializeToString()
    return encoded
