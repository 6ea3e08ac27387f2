"""A bare gRPC peer of the coordinator: the generated stubs on one channel, and what a refusal said, decoded."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable
from dataclasses import dataclass
from typing import Any

import grpc
import pytest
from concert.v1 import (
    agent_service_pb2_grpc,
    error_pb2,
    event_pb2,
    event_service_pb2,
    event_service_pb2_grpc,
    lock_service_pb2,
    lock_service_pb2_grpc,
    monitor_service_pb2_grpc,
    run_service_pb2,
    run_service_pb2_grpc,
    session_service_pb2_grpc,
    state_service_pb2,
    state_service_pb2_grpc,
)
from google.rpc import error_details_pb2
from grpc_status import rpc_status

_DETAILS = (
    error_details_pb2.ErrorInfo,
    error_details_pb2.BadRequest,
    error_details_pb2.ResourceInfo,
    error_details_pb2.PreconditionFailure,
    error_details_pb2.QuotaFailure,
    error_details_pb2.RetryInfo,
    error_pb2.DependencyCycle,
    error_pb2.StateConflict,
    error_pb2.StaleToken,
    error_pb2.Deadlock,
    error_pb2.LockContention,
    error_pb2.LogPosition,
)


class Peer:
    """The services of a coordinator, with the shortest request for what many tests do."""

    def __init__(self, channel: grpc.aio.Channel) -> None:
        self.channel = channel
        self.events: Any = event_service_pb2_grpc.EventServiceStub(channel)
        self.locks: Any = lock_service_pb2_grpc.LockServiceStub(channel)
        self.state: Any = state_service_pb2_grpc.StateServiceStub(channel)
        self.runs: Any = run_service_pb2_grpc.RunServiceStub(channel)
        self.agents: Any = agent_service_pb2_grpc.AgentServiceStub(channel)
        self.monitor: Any = monitor_service_pb2_grpc.MonitorServiceStub(channel)
        self.sessions: Any = session_service_pb2_grpc.SessionServiceStub(channel)

    async def publish(self, *names: str, **fields: Any) -> Any:
        return await self.events.Publish(publish(*names, **fields))

    async def acquire(self, resource: str, wait_seconds: float = 0, **fields: Any) -> Any:
        return await self.locks.Acquire(acquire(resource, wait_seconds=wait_seconds, **fields))

    async def update(self, key: str, value: float | str = 1, **fields: Any) -> Any:
        return await self.state.UpdateState(update(key, value, **fields))

    async def submit(self, *task_ids: str, run_id: str = "", **fields: Any) -> Any:
        return await self.runs.SubmitRun(submit(*task_ids, run_id=run_id, **fields))

    async def last_sequence(self, namespace: str = "") -> int:
        """Where the log ends."""
        request = event_service_pb2.ListEventsRequest(namespace=namespace, page_size=1)
        return int((await self.events.ListEvents(request)).sequence)

    async def events_after(self, sequence: int, namespace: str = "") -> list[Any]:
        """What the log says after a sequence."""
        request = event_service_pb2.ListEventsRequest(namespace=namespace, after_sequence=sequence, page_size=1000)
        return list((await self.events.ListEvents(request)).events)

    async def raw(self, service: str, method: str, encoded: bytes) -> bytes:
        """A call with whatever bytes."""
        call = self.channel.unary_unary(f"/concert.v1.{service}/{method}")
        response: bytes = await call(encoded)
        return response


def publish(*names: str, **fields: Any) -> Any:
    request = event_service_pb2.PublishRequest(**fields)
    for name in names:
        request.events.add().custom.name = name
    return request


def acquire(resource: str, *, wait_seconds: float = 0, holder: str = "", **fields: Any) -> Any:
    request = lock_service_pb2.AcquireRequest(**fields)
    wanted = request.requests.add(resource=resource, holder=holder)
    wanted.wait_timeout.FromMilliseconds(int(wait_seconds * 1000))
    return request


def update(key: str, value: float | str = 1, *, base: int | None = None, **fields: Any) -> Any:
    request = state_service_pb2.UpdateStateRequest(**fields)
    change = request.change.updates.add(key=key)
    if isinstance(value, str):
        change.value.string_value = value
    else:
        change.value.number_value = value
    if base is not None:
        request.change.base_revision = base
    return request


def submit(*task_ids: str, run_id: str = "", **fields: Any) -> Any:
    request = run_service_pb2.SubmitRunRequest(**fields)
    request.run.run_id = run_id
    for task_id in task_ids:
        request.run.tasks.add(task_id=task_id).target.capability = "rendering"
    return request


@dataclass(frozen=True)
class Refusal:
    """A status and its details by the name of their message."""

    code: str
    reason: str
    message: str
    details: dict[str, Any]
    size: int

    @property
    def fields(self) -> dict[str, str]:
        """What BadRequest says, by field."""
        return {each.field: each.description for each in self.details["BadRequest"].field_violations}


def decode(error: grpc.aio.AioRpcError) -> Refusal:
    """What a failed call was told. Every error of the contract has an ErrorInfo of its domain."""
    status = rpc_status.from_call(error)
    assert status is not None, f"no details: {error.code()} {error.details()}"
    details = {}
    for packed in status.details:
        kind = next(each for each in _DETAILS if packed.Is(each.DESCRIPTOR))
        message = kind()
        packed.Unpack(message)
        details[kind.DESCRIPTOR.name] = message
    info = details["ErrorInfo"]
    assert info.domain == "concert"
    size = sum(packed.ByteSize() for packed in status.details)
    return Refusal(error.code().name, info.reason, status.message, details, size)


async def refused(call: Awaitable[Any]) -> Refusal:
    """Expects a call to fail, and tells how."""
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await call
    return decode(caught.value)


async def event_of(peer: Peer, kind: Any, after: int) -> Any:
    """The first event of a kind after a sequence, once it is there."""
    filter_ = event_pb2.EventFilter(types=[kind])
    request = event_service_pb2.SubscribeRequest(after={"sequence": after}, filter=filter_)
    call = peer.events.Subscribe(request)
    async with asyncio.timeout(20):
        async for response in call:
            if response.events:
                call.cancel()
                return response.events[0]
    raise AssertionError("the subscription ended")
