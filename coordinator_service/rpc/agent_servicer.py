"""AgentService: who is there."""

from __future__ import annotations

import grpc

from coordinator_service.rpc.calls import Calls
from coordinator_service.rpc.operations.agents import DRAIN_AGENT, GET_AGENT, LIST_AGENTS


class AgentServicer:
    """Serves AgentService."""

    def __init__(self, calls: Calls) -> None:
        self._calls = calls

    def handler(self) -> grpc.GenericRpcHandler:
        """What the server registers."""
        operations = (LIST_AGENTS, GET_AGENT, DRAIN_AGENT)
        return self._calls.service("AgentService", {each.method: self._calls.operation(each) for each in operations})
