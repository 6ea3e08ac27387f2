"""Questions that a replica asks of the owner and that are no commands: the rest of NamespacePort, as a table."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any

import msgspec

from coordinator_service.cluster.encoding import Unspoken
from coordinator_service.cluster.messages import UNREADABLE
from coordinator_service.core.figures import HealthStatus, HealthWindowView, MetricsView
from coordinator_service.core.monitor import MetricsAsked
from coordinator_service.log.base import Cursor
from coordinator_service.ports import NamespacePort

_encode = msgspec.msgpack.Encoder().encode


@dataclass(frozen=True, slots=True)
class Question:
    """One of them: what is asked with it, what is answered, and how the owner finds the answer."""

    arguments: Any
    answer: Any
    ask: Callable[..., Awaitable[Any]]

    def arguments_of(self, encoded: bytes) -> Any:
        """What is asked with it. Raises Unspoken."""
        return _decode(encoded, self.arguments)

    def answer_of(self, encoded: bytes) -> Any:
        """What was answered. Raises Unspoken."""
        return _decode(encoded, self.answer)


def to_bytes(value: Any) -> bytes:
    """Arguments or an answer."""
    return _encode(value)


def _decode(encoded: bytes, kind: Any) -> Any:
    try:
        return msgspec.msgpack.decode(encoded, type=kind)
    except UNREADABLE as fault:
        raise Unspoken(str(fault)) from None


async def _acknowledge(port: NamespacePort, name: str, log_id: str, sequence: int, reset: bool) -> Cursor:
    return await port.acknowledge(name, log_id, sequence, reset=reset)


QUESTIONS: dict[str, Question] = {
    "measure": Question(tuple[MetricsAsked], MetricsView, lambda port, asked: port.measure(asked)),
    "health": Question(tuple[()], tuple[HealthStatus, HealthWindowView], lambda port: port.health()),
    "keep_alive": Question(tuple[tuple[int, ...], str | None], list[int], lambda port, *asked: port.keep_alive(*asked)),
    "create_subscription": Question(
        tuple[str, int, str, str], tuple[Cursor, bool], lambda port, *asked: port.create_subscription(*asked)
    ),
    "named_subscription": Question(tuple[str], Cursor, lambda port, name: port.named_subscription(name)),
    "named_subscriptions": Question(tuple[()], list[Cursor], lambda port: port.named_subscriptions()),
    "acknowledge": Question(tuple[str, str, int, bool], Cursor, _acknowledge),
    "delete_subscription": Question(tuple[str], bool, lambda port, name: port.delete_subscription(name)),
}
"""By the name of the port's method."""
