"""The raw contract, by name and as JSON: what the runner asks as somebody else, and how it reads the log."""

from __future__ import annotations

import asyncio
import importlib
import time
from collections.abc import Sequence
from typing import Any

import grpc
from google.protobuf import json_format, message_factory
from google.rpc import error_details_pb2, status_pb2
from grpc_status import rpc_status

from clients.conformance.callers import Callers

_MODULES = {
    name: importlib.import_module(f"concert.v1.{name}_service_pb2")
    for name in ("agent", "event", "lock", "monitor", "run", "session", "state")
}
_PREFIXES = ("EVENT_TYPE_", "RUN_STATUS_", "TASK_STATUS_", "AGENT_STATUS_", "LOCK_MODE_", "MERGE_STRATEGY_")
_JSON = frozenset({"json", "value", "attempted", "current", "metadata", "labels"})
_CALL_SECONDS = 60.0
_OPTIONS = [
    ("grpc.max_receive_message_length", 16 * 1024 * 1024),
    ("grpc.max_send_message_length", 16 * 1024 * 1024),
    ("grpc.max_reconnect_backoff_ms", 500),
    ("grpc.use_local_subchannel_pool", 1),
]
_MOVE_SECONDS = 0.1

# Its details print by name once their module is loaded.
assert error_details_pb2.ErrorInfo.DESCRIPTOR is not None


class RpcRefused(Exception):  # noqa: N818 - it says what happened
    """A raw call ended with a status."""

    def __init__(self, error: dict[str, Any]) -> None:
        super().__init__(f"{error['code']} {error['reason']}: {error['message']}")
        self.error = error


class Wire:
    """Calls to one coordinator, or to whichever of several replicas answers, for the life of the event loop."""

    def __init__(self, addresses: Sequence[str], namespace: str, callers: Callers | None = None) -> None:
        """As the runner's own principal, where the coordinator knows its callers."""
        self._namespace = namespace
        self._several = len(addresses) > 1
        self._metadata: tuple[tuple[str, str], ...] = ()
        target = f"ipv4:{','.join(addresses)}" if self._several else addresses[0]
        if callers is None:
            self._channel = grpc.aio.insecure_channel(target, options=_OPTIONS)
        else:
            credentials, self._metadata = callers.channel()
            self._channel = grpc.aio.secure_channel(target, credentials, options=_OPTIONS)

    async def close(self) -> None:
        """Closes the channel."""
        await self._channel.close()

    async def call(self, path: str, request: dict[str, Any]) -> dict[str, Any]:
        """The response of SERVICE/METHOD, as JSON. Raises RpcRefused."""
        service_name, _, method_name = path.partition("/")
        module = _MODULES[service_name.removesuffix("Service").lower()]
        service = module.DESCRIPTOR.services_by_name[service_name]
        method = service.methods_by_name[method_name]
        message = json_format.ParseDict(request, _class(method.input_type)())
        if "namespace" in message.DESCRIPTOR.fields_by_name and not message.namespace:
            message.namespace = self._namespace
        stub: Any = self._channel.unary_unary(
            f"/{service.full_name}/{method_name}",
            request_serializer=lambda one: one.SerializeToString(),
            response_deserializer=_class(method.output_type).FromString,
        )
        deadline = time.monotonic() + _CALL_SECONDS
        while True:
            try:
                return plain(await stub(message, timeout=_CALL_SECONDS, wait_for_ready=True, metadata=self._metadata))
            except grpc.aio.AioRpcError as error:
                if not self._moves(error) or time.monotonic() > deadline:
                    raise RpcRefused(_refusal(error)) from error
                await asyncio.sleep(_MOVE_SECONDS)

    def _moves(self, error: grpc.aio.AioRpcError) -> bool:
        """Whether a namespace may only be on its way from one replica to another."""
        return self._several and error.code() is grpc.StatusCode.UNAVAILABLE

    async def events(self, after: int) -> list[dict[str, Any]]:
        """All events after a sequence that are kept: where the log is trimmed meanwhile, from where it begins then."""
        found: list[dict[str, Any]] = []
        request: dict[str, Any] = {"after_sequence": after, "page_size": 1000}
        while True:
            try:
                page = await self.call("EventService/ListEvents", request)
            except RpcRefused as refused:
                if refused.error["reason"] != "CURSOR_COMPACTED":
                    raise
                (told,) = (each for each in refused.error["details"] if "oldest_sequence" in each)
                request = {"after_sequence": int(told["oldest_sequence"]) - 1, "page_size": 1000}
                continue
            found += page.get("events", [])
            request["page_token"] = page.get("next_page_token", "")
            if not request["page_token"]:
                return found


def plain(message: Any) -> dict[str, Any]:
    """A message as JSON: field names as in the protos, enum values without their prefix."""
    named: dict[str, Any] = _named(json_format.MessageToDict(message, preserving_proto_field_name=True))
    return named


def _named(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _field(key, item) for key, item in value.items()}
    if isinstance(value, list):
        return [_named(each) for each in value]
    if isinstance(value, str):
        prefix = next((prefix for prefix in _PREFIXES if value.startswith(prefix)), "")
        return value.removeprefix(prefix)
    return value


def _field(name: str, value: Any) -> Any:
    if name in _JSON:  # somebody's own, not ours to read
        return value
    if name in _INTEGERS:  # protobuf's JSON writes 64-bit integers as text
        return [int(each) for each in value] if isinstance(value, list) else int(value)
    return _named(value)


def _integers() -> frozenset[str]:
    """Names of fields that are 64-bit integers, and nothing else anywhere."""
    found: set[str] = set()
    others: set[str] = set()
    for module in _MODULES.values():
        files = [module.DESCRIPTOR]
        while files:
            file = files.pop()
            files += file.dependencies
            for message in file.message_types_by_name.values():
                for field in message.fields:
                    wide = field.cpp_type in (field.CPPTYPE_UINT64, field.CPPTYPE_INT64)
                    (found if wide else others).add(field.name)
    return frozenset(found - others)


_INTEGERS = _integers()


def _class(descriptor: Any) -> Any:
    return message_factory.GetMessageClass(descriptor)


def _refusal(error: grpc.aio.AioRpcError) -> dict[str, Any]:
    status: status_pb2.Status | None = rpc_status.from_call(error)
    said: dict[str, Any] = {"code": error.code().name, "reason": "", "message": error.details() or "", "details": []}
    for detail in status.details if status is not None else ():
        as_json = json_format.MessageToDict(detail, preserving_proto_field_name=True)
        if as_json["@type"].endswith("ErrorInfo"):
            said["reason"] = as_json["reason"]
        said["details"].append(as_json)
    return said
