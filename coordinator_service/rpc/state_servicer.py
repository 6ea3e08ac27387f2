"""StateService: shared state."""

from __future__ import annotations

import grpc

from coordinator_service.rpc.calls import Calls
from coordinator_service.rpc.operations.state import GET_STATE, UPDATE_STATE


class StateServicer:
    """Serves StateService."""

    def __init__(self, calls: Calls) -> None:
        self._calls = calls

    def handler(self) -> grpc.GenericRpcHandler:
        """What the server registers."""
        operations = (UPDATE_STATE, GET_STATE)
        return self._calls.service("StateService", {each.method: self._calls.operation(each) for each in operations})
