"""Server reflection, for callers that are known where callers are authenticated."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

import grpc
from grpc_reflection.v1alpha import reflection, reflection_pb2_grpc

from coordinator_service.core.rejections import Rejection
from coordinator_service.rpc import errors
from coordinator_service.rpc.guard import Guard
from coordinator_service.security.roles import Role


def serve_reflection(service_names: tuple[str, ...], server: grpc.aio.Server, guard: Guard | None) -> None:
    """Registers it."""
    if guard is None:
        reflection.enable_server_reflection(service_names, server)
    else:
        servicer = _GuardedReflection(service_names, guard)
        reflection_pb2_grpc.add_ServerReflectionServicer_to_server(servicer, server)


class _GuardedReflection(reflection.aio.ReflectionServicer):  # type: ignore[misc]
    """Whoever may view anything may see what there is to call."""

    def __init__(self, service_names: tuple[str, ...], guard: Guard) -> None:
        super().__init__(service_names)
        self._guard = guard

    async def ServerReflectionInfo(  # noqa: N802 (the name of the rpc)
        self, request_iterator: AsyncIterator[Any], context: Any
    ) -> AsyncIterator[Any]:
        """See grpc.reflection.v1alpha."""
        try:
            identity = await self._guard.identify(context)
            self._guard.allow(identity, Role.KNOWN, None)
            self._guard.require_anywhere(Role.VIEWER)
        except Rejection as refusal:
            self._guard.note("ServerReflectionInfo", context, refusal)
            await errors.abort(context, refusal)
        async for response in super().ServerReflectionInfo(request_iterator, context):
            yield response
