"""A link: the end of a wire at the replica that asks. One for each owner it needs, for all namespaces of that owner.

Requests are numbered and their answers come in any order. When the wire is lost everybody who waits is told
UNAVAILABLE: what was asked may have been decided, and is recognised by its request id when it is asked again (D5).
"""

from __future__ import annotations

import asyncio
import itertools
import logging
from collections.abc import Callable
from typing import Any

from coordinator_service.clock import Clock
from coordinator_service.cluster.encoding import (
    Unspoken,
    answer_from_bytes,
    command_to_bytes,
    rejection_from_bytes,
)
from coordinator_service.cluster.handshake import Identity, greet
from coordinator_service.cluster.messages import (
    Alive,
    Ask,
    Garbled,
    Message,
    Question,
    Refused,
    Told,
    messages_of,
)
from coordinator_service.cluster.questions import QUESTIONS, to_bytes
from coordinator_service.cluster.wire import Outbox, Wire, WireLost, at_work
from coordinator_service.core.answers import Waiting
from coordinator_service.core.commands import Caller, Command
from coordinator_service.core.rejections import Fault, LimitReached, Rejection, Unavailable
from coordinator_service.ports import Outcome, Respond

_log = logging.getLogger(__name__)

ALIVE_SECONDS = 1.0
"""Signs of life are told at once, and after that gathered for this long."""
UNANSWERED_MAX = 65_536
"""Requests without an answer; more are refused."""


class Link:
    """Asks one owner. `lost` is called once, when the wire is."""

    def __init__(
        self, wire: Wire, here: Identity, peer_id: str, clock: Clock, lost: Callable[[Rejection], None]
    ) -> None:
        self._wire = wire
        self._here = here
        self._peer_id = peer_id
        self._clock = clock
        self._lost = lost
        self._numbers = itertools.count(1)
        self._asked: dict[int, tuple[str, Respond]] = {}
        self._questions: dict[int, tuple[str, asyncio.Future[bytes]]] = {}
        self._alive: dict[str, set[int]] = {}
        self._gathering = False
        self._outbox = Outbox(2 * UNANSWERED_MAX)
        self._failure: Rejection | None = None

    async def run(self) -> None:
        """Until the wire is lost, or this is cancelled."""
        running: list[asyncio.Future[None]] = []
        why = "the link was closed"
        try:
            await greet(self._wire, self._here, self._peer_id)
            running = [at_work(self._outbox.write_to(self._wire)), at_work(self._read())]
            done, _ = await asyncio.wait(running, return_when=asyncio.FIRST_COMPLETED)
            why = next((str(each.exception()) for each in done if not each.cancelled() and each.exception()), why)
        except WireLost as lost:
            why = str(lost)
        finally:
            for task in running:
                task.cancel()
            self._wire.close()
            await asyncio.gather(*running, return_exceptions=True)
            self._fail(Unavailable(f"the replica that owns the namespace, {self._peer_id}, is out of reach: {why}"))

    def ask(self, namespace: str, command: Command, caller: Caller, respond: Respond) -> None:
        """As NamespacePort.submit."""
        refusal = self._refusal()
        if refusal is not None:
            respond(refusal)
            return
        number = next(self._numbers)
        self._asked[number] = namespace, respond
        name, body = command_to_bytes(command)
        self._outbox.put(Ask(number, namespace, name, body, caller))

    async def question(self, namespace: str, name: str, *arguments: Any) -> Any:
        """Asks one of QUESTIONS. Raises Rejection."""
        refusal = self._refusal()
        if refusal is not None:
            raise refusal
        number = next(self._numbers)
        answered: asyncio.Future[bytes] = asyncio.get_running_loop().create_future()
        self._questions[number] = namespace, answered
        self._outbox.put(Question(number, namespace, name, to_bytes(arguments)))
        try:
            return QUESTIONS[name].answer_of(await answered)
        except Unspoken as fault:
            raise Fault(f"replica {self._peer_id} answered what is not understood: {fault}") from None
        finally:
            self._questions.pop(number, None)

    def alive(self, namespace: str, session_id: int) -> None:
        """A session gave a sign of life."""
        if self._failure is None:
            self._alive.setdefault(namespace, set()).add(session_id)
            if not self._gathering:
                self._tell_alive()

    def _tell_alive(self) -> None:
        self._gathering = bool(self._alive) and self._failure is None
        if not self._gathering:
            return
        for namespace, session_ids in self._alive.items():
            self._outbox.put(Alive(namespace, tuple(sorted(session_ids))))
        self._alive = {}
        self._clock.call_later(ALIVE_SECONDS, self._tell_alive)

    def _refusal(self) -> Rejection | None:
        if self._failure is not None:
            return self._failure
        if len(self._asked) + len(self._questions) >= UNANSWERED_MAX:
            return LimitReached("forwarded_commands_max", UNANSWERED_MAX)
        return None

    async def _read(self) -> None:
        while True:
            frame = await self._wire.read()
            try:
                messages = messages_of(frame)
            except Garbled as fault:
                raise WireLost(f"it says what is not understood: {fault}") from None
            for message in messages:
                self._take(message)

    def _take(self, message: Message) -> None:
        if isinstance(message, Told):
            question = self._questions.get(message.number)
            if question is not None:
                if not question[1].done():
                    question[1].set_result(message.body)
            else:
                self._told(message)
        elif isinstance(message, Refused):
            self._refused(message.number, rejection_from_bytes(message.rejection, message.body))

    def _told(self, told: Told) -> None:
        try:
            outcome: Outcome = answer_from_bytes(told.answer, told.body)
        except Unspoken as fault:
            outcome = Fault(f"replica {self._peer_id} answered what is not understood: {fault}")
        asked = self._asked.get(told.number)
        if asked is None:
            return
        if not isinstance(outcome, Waiting):
            del self._asked[told.number]
        _tell(asked[1], outcome)

    def _refused(self, number: int, rejection: Rejection) -> None:
        question = self._questions.get(number)
        if question is not None:
            if not question[1].done():
                question[1].set_exception(rejection)
            return
        asked = self._asked.pop(number, None)
        if asked is not None:
            _tell(asked[1], rejection)

    def abandon(self, namespace: str, failure: Rejection) -> None:
        """Tells everybody who waits for an answer from one namespace; answers that still come are passed over. What was
        not sent yet never is: who asked goes elsewhere, and what is refused there must not be done here later.
        """
        self._outbox.discard(lambda message: isinstance(message, Ask | Question) and message.namespace == namespace)
        self._tell_all(failure, [number for number, asked in self._asked.items() if asked[0] == namespace])
        for name, answered in self._questions.values():
            if name == namespace and not answered.done():
                answered.set_exception(failure)

    def _fail(self, failure: Rejection) -> None:
        self._failure = failure
        self._tell_all(failure, list(self._asked))
        for _, answered in self._questions.values():
            if not answered.done():
                answered.set_exception(failure)
        self._lost(failure)

    def _tell_all(self, failure: Rejection, numbers: list[int]) -> None:
        for number in numbers:
            _tell(self._asked.pop(number)[1], failure)


def _tell(respond: Respond, outcome: Outcome) -> None:
    """Whatever is wrong with one answer must not keep the others from theirs."""
    try:
        respond(outcome)
    except Exception:
        _log.exception("an answer could not be given")
