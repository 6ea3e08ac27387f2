"""The calls of EventService that make, list, move and delete named subscriptions (E5).

They are no commands: a cursor is no part of the state that decisions depend on. So they go to the port by themselves.
"""

from __future__ import annotations

from typing import Any

import grpc
from concert.v1 import event_service_pb2 as pb

from coordinator_service.core.rejections import NotFound
from coordinator_service.log.base import Cursor
from coordinator_service.log.mirror import fill_timestamp
from coordinator_service.ports import NamespacePort
from coordinator_service.rpc.calls import Calls, Context
from coordinator_service.rpc.page_tokens import page_size, read_token, write_token
from coordinator_service.rpc.starts import check_start, start_of
from coordinator_service.rpc.validation import Faults, name_fault, optional_name_fault

_TOKEN = "subscriptions"


class NamedSubscriptionCalls:
    """Serves them."""

    def __init__(self, calls: Calls) -> None:
        self._calls = calls

    def handlers(self) -> dict[str, grpc.RpcMethodHandler[Any, Any]]:
        """By the names of the rpcs."""
        unary = self._calls.unary
        return {
            "CreateSubscription": unary(pb.CreateSubscriptionRequest, self._create),
            "ListSubscriptions": unary(pb.ListSubscriptionsRequest, self._list),
            "Acknowledge": unary(pb.AcknowledgeRequest, self._acknowledge),
            "DeleteSubscription": unary(pb.DeleteSubscriptionRequest, self._delete),
        }

    async def port_of(self, request: Any, name: str) -> NamespacePort:
        """The namespace that a request names, where a named subscription may be. Raises NotFound."""
        port = await self._calls.port_if_any(request.namespace)
        if port is None:
            raise NotFound("subscription", name)
        return port

    async def _create(self, request: Any, _context: Context) -> bytes:
        faults = Faults()
        faults.add("name", name_fault(request.name))
        faults.add("request_id", optional_name_fault(request.request_id))
        since_ns = check_start(faults, request)
        faults.settle()
        port = await self._calls.port(request.namespace)
        after, log_id = await start_of(port, request, since_ns)
        made, replayed = await port.create_subscription(request.name, after, log_id, request.request_id)
        response = pb.CreateSubscriptionResponse(replayed=replayed)
        _fill(made, (await port.ends()).last_sequence, response.subscription)
        return _encoded(response)

    async def _list(self, request: Any, _context: Context) -> bytes:
        faults = Faults()
        count_max = page_size(faults, request.page_size)
        after_name = read_token(faults, _TOKEN, request.page_token)
        faults.settle()
        port = await self._calls.port_if_any(request.namespace)
        if port is None:
            return b""
        left = [each for each in await port.named_subscriptions() if each.name > after_name]
        ends = await port.ends()
        response = pb.ListSubscriptionsResponse(
            sequence=ends.last_sequence, log_id=ends.log_id, oldest_sequence=ends.oldest_sequence
        )
        for each in left[:count_max]:
            _fill(each, ends.last_sequence, response.subscriptions.add())
        if len(left) > count_max:
            response.next_page_token = write_token(_TOKEN, left[count_max - 1].name)
        return _encoded(response)

    async def _acknowledge(self, request: Any, _context: Context) -> bytes:
        faults = Faults()
        faults.add("name", name_fault(request.name))
        faults.add("cursor.log_id", name_fault(request.cursor.log_id))
        faults.settle()
        port = await self.port_of(request, request.name)
        cursor = request.cursor
        moved = await port.acknowledge(request.name, cursor.log_id, cursor.sequence, reset=request.reset)
        response = pb.AcknowledgeResponse()
        _fill(moved, (await port.ends()).last_sequence, response.subscription)
        return _encoded(response)

    async def _delete(self, request: Any, _context: Context) -> bytes:
        faults = Faults()
        faults.add("name", name_fault(request.name))
        faults.settle()
        port = await self._calls.port_if_any(request.namespace)
        deleted = port is not None and await port.delete_subscription(request.name)
        return _encoded(pb.DeleteSubscriptionResponse(deleted=deleted))


def _fill(cursor: Cursor, last_sequence: int, message: Any) -> None:
    message.name = cursor.name
    message.cursor.log_id = cursor.log_id
    message.cursor.sequence = cursor.sequence
    message.lag_events = max(0, last_sequence - cursor.sequence)
    fill_timestamp(cursor.created_at_ns, message.created_at)
    if cursor.acknowledged_at_ns:
        fill_timestamp(cursor.acknowledged_at_ns, message.acknowledged_at)


def _encoded(response: Any) -> bytes:
    encoded: bytes = response.SerializeToString()
    return encoded
