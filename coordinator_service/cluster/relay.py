"""A relay: the end of a wire at the owner. It decides nothing: what comes is submitted as if it had been asked here.

Commands for one namespace are submitted in the order in which they came, also while it is still being opened. The
streams of sessions are at the replica that asks: when the wire is lost so are they, and their sessions are detached
(D6).
"""

from __future__ import annotations

import asyncio
import logging
from collections import deque
from collections.abc import Awaitable, Callable, Coroutine
from functools import partial
from typing import Any, TypeAlias

from coordinator_service.cluster.encoding import (
    Unspoken,
    answer_to_bytes,
    command_from_bytes,
    rejection_to_bytes,
)
from coordinator_service.cluster.handshake import Identity, receive
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
from coordinator_service.cluster.relayed_waits import RelayedWaits
from coordinator_service.cluster.wire import Outbox, Wire, WireLost, at_work
from coordinator_service.core.answers import Done, SessionOpened, Waiting
from coordinator_service.core.commands import COORDINATOR, DetachSession, WithdrawRequest
from coordinator_service.core.rejections import Fault, Rejection, Unavailable
from coordinator_service.faults import rejection_of
from coordinator_service.local_namespace import LocalNamespace
from coordinator_service.ports import Outcome

_log = logging.getLogger(__name__)

Own: TypeAlias = Callable[[str], Awaitable[LocalNamespace]]
"""A namespace that is owned here, opened if need be. Raises Rejection, also when another replica is to own it: it is
not passed on once more, so nothing goes round in a circle."""
ANSWERS_MAX = 131_072
"""Answers that the other replica has not read; beyond that it is cut off."""
SESSIONS_TIDY_MIN = 1024
FLUSH_SECONDS_MAX = 1.0
"""How long the last answers may take to leave."""


class Relay:
    """Serves one replica that asks."""

    def __init__(self, wire: Wire, here: Identity, own: Own) -> None:
        self._wire = wire
        self._here = here
        self._own = own
        self._outbox = Outbox(ANSWERS_MAX)
        self._lanes: dict[str, _Lane] = {}
        self._sessions: dict[tuple[LocalNamespace, int], int] = {}
        self._sessions_tidy_at = SESSIONS_TIDY_MIN
        self._waits = RelayedWaits()
        self._over = False
        self._tasks: set[asyncio.Task[None]] = set()
        self._reader: asyncio.Future[None] | None = None
        self._ended = "it reads too slowly"

    async def run(self) -> str:
        """Until the wire is lost; says why it is. Raises Stranger, WireLost where the other end may not ask."""
        await receive(self._wire, self._here)
        writer = at_work(self._outbox.write_to(self._wire))
        reader = self._reader = at_work(self._read())
        try:
            await asyncio.wait((writer, reader), return_when=asyncio.FIRST_COMPLETED)
            why = next((str(each.exception()) for each in (reader, writer) if _failed(each)), self._ended)
        finally:
            self._outbox.finish()
            for task in (reader, *self._tasks):
                task.cancel()
            await asyncio.wait({writer}, timeout=FLUSH_SECONDS_MAX)
            writer.cancel()
            await asyncio.gather(writer, reader, *self._tasks, return_exceptions=True)
            self._over = True
            self._detach_sessions()
            self._waits.leave()
        _log.info("a replica that asked is gone: %s", why)
        return why

    def end(self, why: str) -> None:
        """What was asked and is not decided yet is refused."""
        if self._reader is not None:
            self._ended = why
            for task in (self._reader, *self._tasks):
                task.cancel()

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
        if isinstance(message, Ask):
            self._lane(message.namespace).submit(partial(self._ask, message), partial(self._refuse, message.number))
        elif isinstance(message, Question):
            asking = partial(self._question, message)
            self._lane(message.namespace).submit(
                lambda namespace: self._spawn(asking(namespace)), partial(self._refuse, message.number)
            )
        elif isinstance(message, Alive):
            lane = self._lanes.get(message.namespace)
            if lane is not None and lane.namespace is not None:
                for session_id in message.session_ids:
                    lane.namespace.renew_session(session_id)

    def _lane(self, namespace: str) -> _Lane:
        lane = self._lanes.get(namespace)
        if lane is None:
            lane = self._lanes[namespace] = _Lane(namespace, self._own, self._spawn)
        return lane

    def _ask(self, asked: Ask, namespace: LocalNamespace) -> None:
        try:
            command = command_from_bytes(asked.command, asked.body)
        except Unspoken as fault:
            self._refuse(asked.number, Fault(f"this replica does not understand {fault}"))
            return
        if isinstance(command, DetachSession):
            key = namespace, command.session_id
            if self._sessions.get(key) == command.attached_sequence:
                del self._sessions[key]
        if isinstance(command, WithdrawRequest):
            self._waits.withdraw(namespace, command.request_sequence)
            self._put(Told(asked.number, *answer_to_bytes(Done(sequence=0))))
            return
        caller = COORDINATOR if asked.caller == COORDINATOR else asked.caller
        of_session = bool(caller.session_id or caller.attempt_token)
        waiting = 0

        def respond(outcome: Outcome) -> None:
            nonlocal waiting
            if isinstance(outcome, Waiting):
                waiting = outcome.request_sequence
                self._waits.note(namespace, waiting, asked.number, respond, of_session=of_session)
            elif waiting:
                self._waits.forget(namespace, waiting, asked.number)
            if self._over:
                self._too_late(namespace, outcome)
            else:
                self._answer(asked.number, namespace, outcome)

        namespace.submit(command, caller, respond)

    def _too_late(self, namespace: LocalNamespace, outcome: Outcome) -> None:
        """What was asked is answered when the wire is lost: nobody will hear it."""
        if isinstance(outcome, SessionOpened):
            lost = DetachSession(session_id=outcome.session_id, attached_sequence=outcome.attached_sequence)
            namespace.submit(lost, COORDINATOR, _ignore)
        elif isinstance(outcome, Waiting):
            self._waits.leave()

    def _answer(self, number: int, namespace: LocalNamespace, outcome: Outcome) -> None:
        if isinstance(outcome, Rejection):
            self._refuse(number, outcome)
            return
        if isinstance(outcome, SessionOpened):
            self._note_session(namespace, outcome)
        try:
            name, body = answer_to_bytes(outcome)
        except Exception as failure:
            self._refuse(number, rejection_of(failure, f"{type(outcome).__name__} of namespace {namespace.namespace}"))
        else:
            self._put(Told(number, name, body))

    async def _question(self, asked: Question, namespace: LocalNamespace) -> None:
        question = QUESTIONS.get(asked.name)
        if question is None:
            self._refuse(asked.number, Fault(f"this replica does not know the question {asked.name}"))
            return
        try:
            answer = to_bytes(await question.ask(namespace, *question.arguments_of(asked.body)))
        except Unspoken as fault:
            self._refuse(asked.number, Fault(f"this replica does not understand {fault}"))
        except Exception as failure:
            self._refuse(asked.number, rejection_of(failure, f"{asked.name} of namespace {namespace.namespace}"))
        else:
            self._put(Told(asked.number, "", answer))

    def _refuse(self, number: int, rejection: Rejection) -> None:
        name, body = rejection_to_bytes(rejection)
        self._put(Refused(number, name, body))

    def _put(self, message: Message) -> None:
        if not self._outbox.put(message) and self._reader is not None:
            self._reader.cancel()

    # Sessions whose streams are there.

    def _note_session(self, namespace: LocalNamespace, opened: SessionOpened) -> None:
        self._sessions[namespace, opened.session_id] = opened.attached_sequence
        if len(self._sessions) > self._sessions_tidy_at:
            self._sessions = {
                key: attached for key, attached in self._sessions.items() if key[0].session_stands(key[1])
            }
            self._sessions_tidy_at = max(SESSIONS_TIDY_MIN, 2 * len(self._sessions))

    def _detach_sessions(self) -> None:
        for (namespace, session_id), attached_sequence in self._sessions.items():
            lost = DetachSession(session_id=session_id, attached_sequence=attached_sequence)
            namespace.submit(lost, COORDINATOR, _ignore)

    def _spawn(self, work: Coroutine[Any, Any, None]) -> None:
        task = asyncio.ensure_future(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)


class _Lane:
    """What was asked of one namespace, in its order."""

    def __init__(self, name: str, own: Own, spawn: Callable[[Coroutine[Any, Any, None]], None]) -> None:
        self.namespace: LocalNamespace | None = None
        self._name = name
        self._own = own
        self._spawn = spawn
        self._waiting: deque[tuple[Callable[[LocalNamespace], None], Callable[[Rejection], None]]] = deque()
        self._opening = False

    def submit(self, ask: Callable[[LocalNamespace], None], refuse: Callable[[Rejection], None]) -> None:
        """Asks, once the namespace is owned here; refuses when it cannot be."""
        namespace = self.namespace
        if not self._opening and namespace is not None and namespace.serves:
            ask(namespace)
            return
        self._waiting.append((ask, refuse))
        if not self._opening:
            self._opening = True
            self._spawn(self._open())

    async def _open(self) -> None:
        failure: Rejection = Unavailable("the namespace was not opened")
        self.namespace = None
        try:
            self.namespace = await self._own(self._name)
        except Rejection as rejection:
            failure = rejection
        finally:
            self._opening = False
            while self._waiting:
                ask, refuse = self._waiting.popleft()
                if self.namespace is None:
                    refuse(failure)
                else:
                    ask(self.namespace)


def _failed(task: asyncio.Future[None]) -> bool:
    return task.done() and not task.cancelled() and task.exception() is not None


def _ignore(_outcome: Outcome) -> None:
    """Nobody waits for this answer."""
