"""StateService: shared state, its past, and following it."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from contextlib import aclosing
from typing import Any, cast

import grpc
from concert.v1 import state_service_pb2 as pb

from coordinator_service.core.rejections import CursorInFuture
from coordinator_service.rpc.calls import Calls, Context
from coordinator_service.rpc.operations.state import DELETE_STATE, GET_STATE, UPDATE_STATE
from coordinator_service.rpc.state_history import read_history, read_query
from coordinator_service.rpc.state_watch import read_selector, watch


class StateServicer:
    """Serves StateService."""

    def __init__(self, calls: Calls, *, scan_events_max: int, bookmark_seconds: float) -> None:
        self._calls = calls
        self._scan_events_max = scan_events_max
        self._bookmark_seconds = bookmark_seconds

    def handler(self) -> grpc.GenericRpcHandler:
        """What the server registers."""
        calls = self._calls
        handlers = {each.method: calls.operation(each) for each in (UPDATE_STATE, DELETE_STATE, GET_STATE)}
        handlers["ListStateHistory"] = calls.unary(pb.ListStateHistoryRequest, self._list)
        handlers["WatchState"] = calls.streaming(pb.WatchStateRequest, self._watch)
        return calls.service("StateService", handlers)

    async def _list(self, request: Any, _context: Context) -> bytes:
        query = read_query(request)
        port = await self._calls.port_if_any(request.namespace)
        if port is None:
            if query.after:
                raise CursorInFuture(("after_revision", f"is {query.after}, there is no log yet"))
            return b""
        response = await read_history(port, query, scan_events_max=self._scan_events_max)
        return response.SerializeToString()

    async def _watch(self, request: Any, context: Context) -> None:
        """A watcher may come before the first writer: the namespace is made if there is none."""
        selector = read_selector(request)
        port = await self._calls.port(request.namespace)
        told = watch(port, request, selector, bookmark_seconds=self._bookmark_seconds)
        async with aclosing(cast("AsyncGenerator[pb.WatchStateResponse]", told)):
            async for response in told:
                await context.write(response.SerializeToString())
