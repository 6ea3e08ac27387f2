"""MonitorService: what the coordinator says of itself."""

from __future__ import annotations

from collections.abc import Callable
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


@dataclass(frozen=True, slots=True, kw_only=True)
class PolicyFileStatus:
    """How the policy file stands: the digest of the last good one, and what is wrong with it now, if anything (P1)."""

    digest: str
    loaded_at_ns: int
    fault: str = ""
    failing_since_ns: int = 0


class MonitorServicer:
    """Serves MonitorService."""

    def __init__(
        self,
        calls: Calls,
        description: ServerDescription,
        policy_file: Callable[[], PolicyFileStatus | None] = lambda: None,
    ) -> None:
        self._calls = calls
        self._info = _encode(description)
        self._policy_file = policy_file

    def handler(self) -> grpc.GenericRpcHandler:
        """What the server registers."""
        get_info = self._calls.unary(pb.GetServerInfoRequest, self._get_server_info)
        return self._calls.service("MonitorService", {"GetServerInfo": get_info})

    async def _get_server_info(self, _request: Any, _context: Context) -> bytes:
        status = self._policy_file()
        # A message is extended by what comes after its bytes.
        return self._info if status is None else self._info + _encode_status(status)


def _encode_status(status: PolicyFileStatus) -> bytes:
    info = pb.GetServerInfoResponse()
    file = info.policy_file
    file.digest = status.digest
    fill_timestamp(status.loaded_at_ns, file.loaded_at)
    if status.fault:
        file.fault = status.fault
        fill_timestamp(status.failing_since_ns, file.failing_since)
    encoded: bytes = info.SerializeToString()
    return encoded


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
