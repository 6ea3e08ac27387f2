"""The NamespacePort of a namespace that another replica owns.

Commands and questions go to the owner; the committed log is read here, from the store that all replicas share, so that
subscriptions and sessions cost the owner nothing. Where it ends is asked of the owner: a reader that was told of an
event finds it here too, whichever replica told it.
"""

from __future__ import annotations

import asyncio
import logging
from typing import Any, Final

from coordinator_service.cluster.link import Link
from coordinator_service.core.answers import Answer, Done
from coordinator_service.core.commands import COORDINATOR, Caller, Command, GetEnds, WithdrawRequest
from coordinator_service.core.figures import HealthStatus, HealthWindowView, MetricsView
from coordinator_service.core.monitor import MetricsAsked
from coordinator_service.core.rejections import Rejection
from coordinator_service.faults import rejection_of
from coordinator_service.followed_log import FollowedLog
from coordinator_service.log.base import Cursor, EventLog, LogEnds, LogError
from coordinator_service.log.codec import frame, split
from coordinator_service.ports import Committed, Outcome, Respond, ask
from coordinator_service.tail import Tail, TailFollower

_log = logging.getLogger(__name__)

_READER: Final = Caller(method="Follow")


class RemoteNamespace:
    """A namespace, as far as this replica has it: its log, and the way to its owner."""

    def __init__(self, log: EventLog, ends: LogEnds, link: Link, *, tail_bytes_max: int) -> None:
        self._log = log
        self._link = link
        self._tail = Tail(log, ends.last_sequence, bytes_max=tail_bytes_max)
        self._followed = FollowedLog(log, ends.log_id, self._tail)
        self._failure: Rejection | None = None
        self._feeding = asyncio.ensure_future(self._feed())

    @property
    def namespace(self) -> str:
        """Its name."""
        return self._log.namespace

    @property
    def log_id(self) -> str:
        """The log that its sequences are positions of."""
        return self._followed.log_id

    @property
    def last_sequence(self) -> int:
        """The last committed sequence, as far as it is known here."""
        return self._tail.last

    @property
    def dropped(self) -> bool:
        """Whether another port has to be made."""
        return self._failure is not None

    def drop(self, failure: Rejection) -> None:
        """The owner is out of reach, or another replica is the owner now: whoever follows is told."""
        if self._failure is None:
            self._failure = failure
            self._tail.fail(failure)
            self._link.abandon(self.namespace, failure)
            self._feeding.cancel()

    def submit(self, command: Command, caller: Caller, respond: Respond) -> None:
        """Asks the owner; see NamespacePort."""
        if self._failure is not None:
            respond(self._failure)
        else:
            self._link.ask(self.namespace, command, caller, respond)

    async def call(self, command: Command, caller: Caller) -> Answer:
        """Asks and waits, through a Waiting, for the final answer. A cancelled call withdraws its request (L6)."""
        return await ask(self.submit, self.withdraw, command, caller)

    async def follow(self, after: int, log_id: str = "") -> TailFollower:
        """A cursor over the log, read here."""
        if after > self._tail.last:
            await self._catch_up()
        return await self._followed.follow(after, log_id)

    async def ends(self) -> LogEnds:
        """Where the committed log begins and ends, once all that the owner has told anybody of is known here."""
        await self._catch_up()
        return await self._followed.ends()

    async def locate(self, time_ns: int) -> int:
        """See NamespacePort."""
        return await self._followed.locate(time_ns)

    async def measure(self, asked: MetricsAsked) -> MetricsView:
        """What the owner counts."""
        found: MetricsView = await self._ask("measure", asked)
        return found

    async def health(self) -> tuple[HealthStatus, HealthWindowView]:
        """How the namespace does, by the owner."""
        found: tuple[HealthStatus, HealthWindowView] = await self._ask("health")
        return found

    async def create_subscription(self, name: str, after: int, log_id: str, request_id: str) -> tuple[Cursor, bool]:
        """E5; cursors are the owner's."""
        found: tuple[Cursor, bool] = await self._ask("create_subscription", name, after, log_id, request_id)
        return found

    async def named_subscription(self, name: str) -> Cursor:
        """E5."""
        found: Cursor = await self._ask("named_subscription", name)
        return found

    async def named_subscriptions(self) -> list[Cursor]:
        """E5."""
        found: list[Cursor] = await self._ask("named_subscriptions")
        return found

    async def acknowledge(self, name: str, log_id: str, sequence: int, *, reset: bool) -> Cursor:
        """E5."""
        found: Cursor = await self._ask("acknowledge", name, log_id, sequence, reset)
        return found

    async def delete_subscription(self, name: str) -> bool:
        """E5."""
        found: bool = await self._ask("delete_subscription", name)
        return found

    async def keep_alive(self, fencing_tokens: tuple[int, ...], principal: str | None = None) -> list[int]:
        """Leases are the owner's."""
        found: list[int] = await self._ask("keep_alive", fencing_tokens, principal)
        return found

    def renew_session(self, session_id: int) -> bool:
        """Told to the owner soon, with those of other sessions."""
        if self._failure is None:
            self._link.alive(self.namespace, session_id)
        return self._failure is None

    def withdraw(self, request_sequence: int, respond: Respond) -> None:  # noqa: ARG002 (the relay knows it)
        """See NamespacePort."""
        self.submit(WithdrawRequest(request_sequence=request_sequence), COORDINATOR, _ignore)

    async def _ask(self, question: str, *arguments: object) -> Any:
        if self._failure is not None:
            raise self._failure
        return await self._link.question(self.namespace, question, *arguments)

    async def _catch_up(self) -> None:
        """Waits until what the owner has committed is known here."""
        found = await self.call(GetEnds(), _READER)
        assert isinstance(found, Done)
        while self._tail.last < found.sequence:
            await self._tail.read(self._tail.last, 1)

    async def _feed(self) -> None:
        """Takes up what is appended to the log, whoever appends it."""
        try:
            while True:
                last = await self._log.grown(self._tail.last)
                while self._tail.last < last:
                    await self._take_up()
        except Exception as failure:
            self.drop(rejection_of(failure, f"what follows the log of namespace {self.namespace}"))

    async def _take_up(self) -> None:
        batches = await self._log.read(self._tail.last)
        if not batches:
            raise LogError(f"it has nothing after {self._tail.last}")
        for stored in batches:
            sequence = stored.batch.first_sequence
            if sequence > self._tail.last + 1:
                raise LogError(f"it goes on at {sequence} after {self._tail.last}")
            committed = []
            for encoded in split(stored.batch.events):
                if sequence > self._tail.last:
                    committed.append(Committed(sequence, frame(encoded)))
                sequence += 1
            self._tail.extend(committed)


def _ignore(_outcome: Outcome) -> None:
    """Nobody waits for this answer."""
