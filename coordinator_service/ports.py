"""The NamespacePort: all that the rest of the coordinator knows of a namespace.

Servicers, sessions and subscriptions speak to this and nothing else, so that they cannot tell whether the namespace is
owned by this replica or by another.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from functools import cached_property
from typing import Protocol, TypeAlias

import msgspec

from coordinator_service.core.answers import Answer, Waiting
from coordinator_service.core.commands import Caller, Command
from coordinator_service.core.events import Event
from coordinator_service.core.figures import HealthStatus, HealthWindowView, MetricsView
from coordinator_service.core.monitor import MetricsAsked
from coordinator_service.core.rejections import Rejection
from coordinator_service.log.base import Cursor, LogEnds
from coordinator_service.log.codec import decode_event, split

Outcome: TypeAlias = Answer | Rejection
Respond: TypeAlias = Callable[[Outcome], None]
"""Called once with what the caller is told, after the commit that covers it. Must not block or raise."""


async def ask(
    submit: Callable[[Command, Caller, Respond], None],
    withdraw: Callable[[int, Respond], None],
    command: Command,
    caller: Caller,
) -> Answer:
    """Submits a command and waits, through a Waiting, for the final answer. Raises Rejection.

    A cancelled call withdraws its request, by its sequence, or as soon as it is known that it waits (L6).
    """
    answered: asyncio.Future[Outcome] = asyncio.get_running_loop().create_future()
    waiting = 0

    def respond(outcome: Outcome) -> None:
        nonlocal waiting
        if isinstance(outcome, Waiting):
            waiting = outcome.request_sequence
            if answered.cancelled():
                withdraw(waiting, respond)
        elif not answered.done():
            answered.set_result(outcome)

    submit(command, caller, respond)
    try:
        outcome = await answered
    except asyncio.CancelledError:
        if waiting and answered.cancelled():
            withdraw(waiting, respond)
        raise
    if isinstance(outcome, Rejection):
        raise outcome
    return outcome


class Committed(msgspec.Struct):
    """A committed event with its encoded frame: an element of EventBatch.events, ready to be joined and sent.

    The event is decoded when it is first asked for: a subscription without a filter never needs it.
    """

    sequence: int
    frame: bytes
    decoded: Event | None = None

    @property
    def event(self) -> Event:
        """The event itself."""
        if self.decoded is None:
            self.decoded = decode_event(split(self.frame)[0])
        return self.decoded


class Stretch(list[Committed]):
    """Committed events that follow each other. Not to be changed: whoever reads the same ones shares it."""

    @cached_property
    def size(self) -> int:
        """Bytes of their frames together."""
        return sum(map(len, self._frames()))

    @cached_property
    def joined(self) -> bytes:
        """Their frames as one batch, put together once for all who send it."""
        return b"".join(self._frames())

    def _frames(self) -> list[bytes]:
        return [each.frame for each in self]


class Follower(Protocol):
    """A cursor over the committed log. Not to be used by two tasks at once."""

    @property
    def position(self) -> int:
        """The last sequence read."""

    async def read(self, *, events_max: int = 1000) -> Stretch:
        """The next events, in order, at least one: waits until there is any. Raises Rejection when the namespace
        is dropped."""

    def ready(self) -> bool:
        """Whether read would return at once."""

    def close(self) -> None:
        """Lets go. A read under way ends with asyncio.CancelledError or Unavailable."""


class NamespacePort(Protocol):
    """A namespace."""

    @property
    def namespace(self) -> str:
        """Its name."""

    @property
    def log_id(self) -> str:
        """The log that its sequences are positions of."""

    @property
    def last_sequence(self) -> int:
        """The last committed sequence, as far as it is known here."""

    def submit(self, command: Command, caller: Caller, respond: Respond) -> None:
        """Asks for something. Commands of one caller are decided in the order of their submission.

        `respond` is called with a Waiting for a lock request that has to wait, and once more when the wait ends.
        """

    async def call(self, command: Command, caller: Caller) -> Answer:
        """Asks and waits, through a Waiting, for the final answer. Raises Rejection."""

    def withdraw(self, request_sequence: int, respond: Respond) -> None:
        """The caller of a request that waits has gone, unless it was asked for again since by somebody who waits.
        respond is the very one that was submitted."""

    async def follow(self, after: int, log_id: str = "") -> Follower:
        """A cursor that reads what comes after a sequence. Raises CursorCompacted, LogMismatch, CursorInFuture."""

    async def ends(self) -> LogEnds:
        """Where the committed log begins and ends."""

    async def locate(self, time_ns: int) -> int:
        """A sequence after which come all events at or after a time (and perhaps a few before it)."""

    async def measure(self, asked: MetricsAsked) -> MetricsView:
        """What is counted, and how things stand, when everything committed so far is (M2). Raises NotFound."""

    async def health(self) -> tuple[HealthStatus, HealthWindowView]:
        """How the namespace does now, and what says so (M1)."""

    async def create_subscription(self, name: str, after: int, log_id: str, request_id: str) -> tuple[Cursor, bool]:
        """A named subscription after a sequence, and whether this very request had made it before. Raises
        AlreadyExists, LimitReached, CursorCompacted, LogMismatch, CursorInFuture, Unavailable."""

    async def named_subscription(self, name: str) -> Cursor:
        """One of them, as far as it is durable. Raises NotFound."""

    async def named_subscriptions(self) -> list[Cursor]:
        """All of them, by name, as far as they are durable."""

    async def acknowledge(self, name: str, log_id: str, sequence: int, *, reset: bool) -> Cursor:
        """Moves a named subscription forward, or with reset anywhere. Raises NotFound, CursorBehind, CursorInFuture,
        LogMismatch, and with reset CursorCompacted."""

    async def delete_subscription(self, name: str) -> bool:
        """Whether it was there."""

    async def keep_alive(self, fencing_tokens: tuple[int, ...], principal: str | None = None) -> list[int]:
        """Makes lock leases whole again; nanoseconds left for each, 0 for one that is gone, or is another principal's
        where one is named. Those of a session stand as long as it does, and are only looked at. Raises Unavailable."""

    def renew_session(self, session_id: int) -> bool:
        """Makes a session's lease whole again; false when it is known to be over."""
