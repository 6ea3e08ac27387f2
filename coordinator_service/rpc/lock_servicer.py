"""LockService: locks with leases and fencing tokens."""

from __future__ import annotations

import asyncio
from typing import Any

import grpc
from concert.v1 import lock_service_pb2 as pb

from coordinator_service.core.answers import Waiting
from coordinator_service.core.commands import Caller, Command
from coordinator_service.core.rejections import Rejection
from coordinator_service.ports import NamespacePort, Outcome, Respond
from coordinator_service.rpc.calls import Calls, Context, scope_of
from coordinator_service.rpc.identity import principal_of_call, traceparent_of
from coordinator_service.rpc.operations.locks import (
    ACQUIRE,
    GET_LOCK,
    LIST_LOCKS,
    RELEASE,
    fill_leases,
    read_keep_alive,
)


class LockServicer:
    """Serves LockService."""

    def __init__(self, calls: Calls) -> None:
        self._calls = calls

    def handler(self) -> grpc.GenericRpcHandler:
        """What the server registers."""
        calls = self._calls
        return calls.service(
            "LockService",
            {
                "Acquire": calls.unary(pb.AcquireRequest, self._acquire),
                "Release": calls.operation(RELEASE),
                "KeepAlive": calls.unary(pb.KeepAliveRequest, self._keep_alive),
                "ListLocks": calls.operation(LIST_LOCKS),
                "GetLock": calls.operation(GET_LOCK),
            },
        )

    async def _acquire(self, request: Any, context: Context) -> bytes:
        port = await self._calls.port(request.namespace)
        scope = scope_of(port)
        command, caller = ACQUIRE.prepare(request, scope, traceparent_of(context))
        turn = _Turn(port)
        turn.ask(command, caller)
        try:
            # When the coordinator stops, the place in the queue is kept for the call that is made again.
            outcome = await self._calls.unless_stopped(asyncio.shield(turn.answered))
        except asyncio.CancelledError:
            turn.leave()
            raise
        if isinstance(outcome, Rejection):
            raise outcome
        encoded: bytes = ACQUIRE.respond(outcome, scope).SerializeToString()
        return encoded

    async def _keep_alive(self, request: Any, _context: Context) -> bytes:
        tokens = read_keep_alive(request)
        port = await self._calls.port_if_any(request.namespace)
        response = pb.KeepAliveResponse()
        left_ns = [0] * len(tokens) if port is None else await port.keep_alive(tokens, principal_of_call())
        fill_leases(response, tokens, left_ns)
        encoded: bytes = response.SerializeToString()
        return encoded


class _Turn:
    """A call that asks for locks, and perhaps waits. When it is cancelled its request is withdrawn (L6)."""

    def __init__(self, port: NamespacePort) -> None:
        self.answered: asyncio.Future[Outcome] = asyncio.get_running_loop().create_future()
        self._port = port
        self._request_sequence = 0
        self._left = False
        self._asking: Respond = self._respond

    def ask(self, command: Command, caller: Caller) -> None:
        self._port.submit(command, caller, self._asking)

    def leave(self) -> None:
        """The caller has gone; the request may not have been decided yet."""
        self._left = True
        self._withdraw()

    def _respond(self, outcome: Outcome) -> None:
        if isinstance(outcome, Waiting):
            self._request_sequence = outcome.request_sequence
            if self._left:
                self._withdraw()
        elif not self.answered.done():
            self.answered.set_result(outcome)

    def _withdraw(self) -> None:
        if self._request_sequence and not self.answered.done():
            self._port.withdraw(self._request_sequence, self._asking)
