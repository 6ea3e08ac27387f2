"""Calls that come as JSON over HTTP: the handlers that gRPC calls, with another transport around them.

Who may make a call, and how it is counted, logged and traced, is decided where it is for every call: in its handler.
Requests and responses are the contract's messages in JSON, an error is its google.rpc.Status in JSON.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Sequence
from typing import Any, Final, NamedTuple, NoReturn

import grpc
from google.protobuf import json_format
from google.rpc import status_pb2

from coordinator_service.core.rejections import InvalidField
from coordinator_service.rpc import errors
from coordinator_service.rpc.calls import PACKAGE
from coordinator_service.rpc.operation import Operation
from coordinator_service.rpc.operations.agents import DRAIN_AGENT
from coordinator_service.rpc.operations.locks import RELEASE
from coordinator_service.rpc.operations.runs import CANCEL_RUN, RETRY_RUN
from coordinator_service.rpc.permissions import need_of
from coordinator_service.security.roles import Access

ACTS: Final = (CANCEL_RUN, RETRY_RUN, DRAIN_AGENT, RELEASE)
"""What an operator does to what is there."""
_HTTP_STATUSES: Final = {
    "INVALID_ARGUMENT": 400,
    "FAILED_PRECONDITION": 400,
    "OUT_OF_RANGE": 400,
    "UNAUTHENTICATED": 401,
    "PERMISSION_DENIED": 403,
    "NOT_FOUND": 404,
    "ABORTED": 409,
    "ALREADY_EXISTS": 409,
    "RESOURCE_EXHAUSTED": 429,
    "UNAVAILABLE": 503,
    "DEADLINE_EXCEEDED": 504,
}
"""As google/rpc/code.proto maps them; any other is 500."""


class Answer(NamedTuple):
    """An HTTP status, and a message in JSON."""

    status: int
    body: str


class JsonCalls:
    """Some unary calls of one server, by SERVICE/METHOD."""

    def __init__(self, handlers: Sequence[grpc.GenericRpcHandler], operations: Iterable[Operation] = ACTS) -> None:
        self._operations = {f"{each.service}/{each.method}": each for each in operations}
        self._handlers = {name: _find(handlers, name) for name in self._operations}

    def open_to(self, access: Access | None) -> list[str]:
        """Those that a caller may make about whatever is in its namespace, not only about what is its own; all where
        callers are not authenticated, None."""
        return [
            name
            for name, operation in self._operations.items()
            if access is None or (not access.own_only and access.role >= need_of(operation.request))
        ]

    async def call(self, name: str, body: bytes, *, authorization: str, peer: str) -> Answer:
        """Makes the call as whoever an authorization names, with a request in JSON. Raises KeyError where there is none
        of that name."""
        operation, handler = self._operations[name], self._handlers[name]
        try:
            encoded = _encoded(operation.request, body)
        except InvalidField as fault:
            return _refusal(errors.to_status(fault))
        context = _HttpContext(authorization, peer)
        try:
            # In a task of its own: a handler leaves what it knows of its caller in its context.
            answer = await asyncio.create_task(handler.unary_unary(encoded, context))
        except _Aborted as aborted:
            return _refusal(aborted.status)
        return Answer(200, _to_json(operation.response.FromString(answer)))


class _Aborted(Exception):  # noqa: N818 (it says what happened)
    def __init__(self, status: Any) -> None:
        super().__init__(status.message)
        self.status = status


class _HttpContext:
    """What handlers ask of their call, as grpc.aio.ServicerContext has it."""

    def __init__(self, authorization: str, peer: str) -> None:
        self._metadata = (("authorization", authorization),) if authorization else ()
        self._peer = peer
        self._code = grpc.StatusCode.OK

    def invocation_metadata(self) -> tuple[tuple[str, str], ...]:
        return self._metadata

    def auth_context(self) -> dict[str, Any]:
        return {}

    def peer(self) -> str:
        return self._peer

    def code(self) -> grpc.StatusCode:
        return self._code

    async def abort(self, code: grpc.StatusCode, _message: str, trailing_metadata: Any) -> NoReturn:
        self._code = code
        raise _Aborted(status_pb2.Status.FromString(dict(trailing_metadata)[errors.DETAILS_KEY]))


class _Details(NamedTuple):
    """grpc.HandlerCallDetails."""

    method: str
    invocation_metadata: tuple[Any, ...] = ()


def _find(handlers: Sequence[grpc.GenericRpcHandler], name: str) -> Any:
    details: Any = _Details(f"/{PACKAGE}.{name}")
    return next(found for each in handlers if (found := each.service(details)) is not None)


def _encoded(request_class: Any, body: bytes) -> bytes:
    """Raises InvalidField."""
    try:
        encoded: bytes = json_format.Parse(body.decode(), request_class()).SerializeToString()
    except (json_format.ParseError, ValueError, TypeError, ArithmeticError, RecursionError) as fault:
        what = f"is no {request_class.DESCRIPTOR.name} in JSON: {fault}"
        raise InvalidField(("request", what)) from None
    return encoded


def _refusal(status: Any) -> Answer:
    code = errors.code_name(status)
    return Answer(_HTTP_STATUSES.get(code, 500), _to_json(status))


def _to_json(message: Any) -> str:
    text: str = json_format.MessageToJson(message, indent=None)
    return text
