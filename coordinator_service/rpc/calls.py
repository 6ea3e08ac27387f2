"""What every call has in common: parsing, identity, namespace, answer, errors, and the end when the coordinator stops.

Requests arrive as bytes and are parsed here, so that bytes that cannot be parsed are the caller's fault with details,
as any other, and not a failure of the transport. There are no interceptors: each would cost every call. Where tracing
is on, handlers are wrapped when they are registered (traced.py); where callers are authenticated, a guard stands before
the parsing (guard.py).
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any, TypeAlias

import grpc
from google.protobuf.message import DecodeError

from coordinator_service.core.rejections import InvalidField, Rejection, Unavailable
from coordinator_service.faults import rejection_of
from coordinator_service.namespaces import Namespaces
from coordinator_service.ports import NamespacePort
from coordinator_service.rpc import errors, limits
from coordinator_service.rpc.guard import Guard
from coordinator_service.rpc.identity import calling, namespace_of, traceparent_of
from coordinator_service.rpc.operation import Operation, Scope
from coordinator_service.rpc.permissions import need_of, rpc_of, stores
from coordinator_service.rpc.traced import traced
from coordinator_service.telemetry.call_spans import CallSpans

PACKAGE = "concert.v1"

Context: TypeAlias = Any
"""A grpc.aio.ServicerContext."""
AnswerCall: TypeAlias = Callable[[Any, Context], Awaitable[bytes]]
"""From a parsed request to an encoded response. Raises Rejection."""
StreamCall: TypeAlias = Callable[[Any, Context], Awaitable[None]]
"""Writes encoded responses to the context until there are no more. Raises Rejection."""


class Calls:
    """Serves the unary and the server-streaming calls of one server."""

    def __init__(self, namespaces: Namespaces, spans: CallSpans | None = None, guard: Guard | None = None) -> None:
        self._namespaces = namespaces
        self._spans = spans
        self._guard = guard
        self._there: set[str] = set()
        """Namespaces that are known to exist; they do not go away."""
        self._stopping: asyncio.Future[None] = asyncio.get_running_loop().create_future()

    def stop(self) -> None:
        """New calls are refused, those that wait or stream end: UNAVAILABLE, to be made again elsewhere."""
        if not self._stopping.done():
            self._stopping.set_result(None)

    # Handlers.

    def service(self, name: str, handlers: dict[str, grpc.RpcMethodHandler[Any, Any]]) -> grpc.GenericRpcHandler:
        """A service of concert.v1."""
        if self._spans is not None:
            handlers = traced(self._spans, f"{PACKAGE}.{name}", handlers)
        return grpc.method_handlers_generic_handler(f"{PACKAGE}.{name}", handlers)

    def operation(self, operation: Operation) -> grpc.RpcMethodHandler[Any, Any]:
        """A call that is an operation and nothing else."""

        async def answer(request: Any, context: Context) -> bytes:
            return await self._perform(operation, request, context)

        return self.unary(operation.request, answer)

    def unary(self, request_class: Any, answer: AnswerCall) -> grpc.RpcMethodHandler[Any, Any]:
        """A call with one response."""
        guard, need = self._guard, need_of(request_class)
        stored = stores(rpc_of(request_class.DESCRIPTOR)[1], need)

        async def serve(encoded: bytes, context: Context) -> bytes:
            try:
                if self._stopping.done():
                    raise _stopping()
                if guard is None:
                    return await answer(_parse(request_class, encoded), context)
                identity = await guard.identify(context)
                tally = guard.begin_call(identity)
                try:
                    request = _parse(request_class, encoded)
                    guard.allow(identity, need, request)
                    if stored:
                        tally.store(len(encoded), guard.gate.now_ns())
                    return await answer(request, context)
                finally:
                    tally.end_call()
            except Exception as failure:
                rejection = self._rejection_of(failure, request_class, context)
            return await errors.abort(context, rejection)

        return grpc.unary_unary_rpc_method_handler(serve)

    def streaming(self, request_class: Any, stream: StreamCall) -> grpc.RpcMethodHandler[Any, Any]:
        """A call with a stream of responses."""
        need_of(request_class)

        async def serve(encoded: bytes, context: Context) -> None:
            try:
                if self._guard is None:
                    await self.unless_stopped(stream(_parse(request_class, encoded), context))
                else:
                    await self._stream_guarded(self._guard, request_class, stream, encoded, context)
                return
            except Exception as failure:
                rejection = self._rejection_of(failure, request_class, context)
            await errors.abort(context, rejection)

        return grpc.unary_stream_rpc_method_handler(serve)

    async def _stream_guarded(
        self, guard: Guard, request_class: Any, stream: StreamCall, encoded: bytes, context: Context
    ) -> None:
        """For as long as its caller may: a role that is taken away ends it, as does a credential that expires."""
        identity = await guard.identify(context)
        tally = guard.begin_call(identity)
        try:
            request = _parse(request_class, encoded)
            need = need_of(request_class)
            access = guard.allow(identity, need, request)
            tally.begin_subscription()
            ended: asyncio.Future[Rejection] = asyncio.get_running_loop().create_future()

            def end(reason: Rejection) -> None:
                if not ended.done():
                    ended.set_result(reason)

            stay = guard.gate.stay(
                identity,
                lambda: guard.gate.access_of(identity, access.namespace).require(need),
                end,
            )
            try:
                await self.unless_stopped(stream(request, context), ended)
            finally:
                stay.close()
                tally.end_subscription()
        finally:
            tally.end_call()

    # What they need.

    async def unless_stopped(self, waiting: Awaitable[Any], ended: asyncio.Future[Rejection] | None = None) -> Any:
        """Waits for something, but not beyond the moment when the coordinator begins to stop, Unavailable then, nor
        beyond the end that is given: raises what is set."""
        task = asyncio.ensure_future(waiting)
        try:
            others = {self._stopping} if ended is None else {self._stopping, ended}
            await asyncio.wait({task, *others}, return_when=asyncio.FIRST_COMPLETED)
            if not task.done():
                raise ended.result() if ended is not None and ended.done() else _stopping()
            return task.result()
        finally:
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)

    async def port(self, namespace: str) -> NamespacePort:
        """The namespace that a request names, made if there is none and the caller may."""
        name = namespace_of(namespace)
        if self._guard is not None and name not in self._there:
            if not await self._namespaces.exists(name):
                self._guard.may_make(name)
            self._there.add(name)
        return await self._namespaces.get(name)

    async def port_if_any(self, namespace: str) -> NamespacePort | None:
        """The namespace that a request names, if there is one."""
        name = namespace_of(namespace)
        return await self._namespaces.get(name) if await self._namespaces.exists(name) else None

    async def namespaces(self) -> list[str]:
        """The names of all namespaces that the caller may know of, in order."""
        names = await self._namespaces.names()
        return names if self._guard is None else [name for name in names if self._guard.may_view(name)]

    async def _perform(self, operation: Operation, request: Any, context: Context) -> bytes:
        in_absence = operation.in_absence
        port = await (self.port if in_absence is None else self.port_if_any)(request.namespace)
        scope = scope_of(port)
        command, caller = operation.prepare(request, scope, traceparent_of(context))
        if port is not None:
            answer = await port.call(command, caller)
        elif in_absence is not None:
            answer = in_absence(command)
        encoded: bytes = operation.respond(answer, scope).SerializeToString()
        return encoded

    def _rejection_of(self, failure: Exception, request_class: Any, context: Context) -> Rejection:
        if isinstance(failure, grpc.aio.InternalError):  # of the transport: the client has gone, and takes nothing more
            raise asyncio.CancelledError from None
        method = request_class.DESCRIPTOR.name.removesuffix("Request")
        rejection = rejection_of(failure, method)
        if self._guard is not None:
            self._guard.note(method, context, rejection)
        return rejection


def scope_of(port: NamespacePort | None) -> Scope:
    """Where and by whom a call is made; in no namespace when there is none."""
    access = calling.get()
    principal = "" if access is None else access.principal
    own_only = access is not None and access.own_only
    if port is None:
        return Scope(namespace="", log_id="", principal=principal, own_only=own_only)
    return Scope(namespace=port.namespace, log_id=port.log_id, principal=principal, own_only=own_only)


def _parse(request_class: Any, encoded: bytes) -> Any:
    if len(encoded) > limits.MESSAGE_BYTES_MAX:
        raise InvalidField(("request", f"has {len(encoded)} bytes, the limit is {limits.MESSAGE_BYTES_MAX}"))
    try:
        return request_class.FromString(encoded)
    except DecodeError:
        raise InvalidField(("request", f"is no {request_class.DESCRIPTOR.name}")) from None


def _stopping() -> Unavailable:
    return Unavailable("the coordinator is shutting down")
