"""The I/O-thread half of a hosted agent: keeps it registered, session after session, and passes on what comes
down.

Everything here runs on the I/O thread's loop. The attempts themselves run elsewhere; this side knows their
tokens, so that a reconnect can name them however busy the other side is, and so that no token is passed on
twice.
"""

from __future__ import annotations

import asyncio
import logging
from collections import OrderedDict
from collections.abc import Iterable
from typing import Any, Protocol

from concert._addresses import is_refused
from concert._backoff import Backoff
from concert._connection import Connection
from concert._limits import ATTEMPT_TOKENS_REMEMBERED_MAX, DRAIN_NOTICE_SECONDS_MAX
from concert._methods import DRAIN_AGENT, UPDATE_AGENT
from concert._session import SessionStream
from concert.errors import (
    AlreadyExists,
    ConcertError,
    FeatureMissing,
    InvalidArgument,
    NotFound,
    PermissionDenied,
    Unauthenticated,
    Unavailable,
)
from concert.v1 import agent_service_pb2, session_service_pb2

_log = logging.getLogger("concert.agent")

# What no other try would change.
_FATAL = (InvalidArgument, PermissionDenied, Unauthenticated, NotFound, FeatureMissing)


class Inbox(Protocol):
    """Who executes. Called on the I/O thread; each passes the word on to its own loop."""

    def registered(self, session: SessionStream) -> None:
        """A session began."""

    def lost(self, session: SessionStream) -> None:
        """It is over; when its attempts are, `AgentLink.proceed` is due."""

    def ended(self, error: BaseException | None) -> None:
        """There will be no other session."""

    def task(self, session: SessionStream, task: Any) -> None:
        """An attempt to execute, never the same twice."""

    def cancel(self, attempt_token: int, reason: str) -> None:
        """An attempt to stop."""

    def drain(self) -> None:
        """No new tasks will come."""


class AgentLink:
    """Keeps one agent registered. The SessionPeer of its sessions."""

    def __init__(self, connection: Connection, spec: Any, lease: float, inbox: Inbox) -> None:
        """`lease` in seconds."""
        self._connection = connection
        self._spec = spec
        self._lease = lease
        self._inbox = inbox
        self._session: SessionStream | None = None
        self._live: set[int] = set()
        self._seen: OrderedDict[int, None] = OrderedDict()
        self._proceed = asyncio.Event()
        self._drain_noticed = asyncio.Event()
        self._stopping = False
        self._unanswered = 0
        self._runner: asyncio.Task[None] | None = None

    def start(self) -> None:
        """Begins."""
        self._runner = asyncio.create_task(self._run(), name=f"concert agent {self._spec.agent_id}")

    def proceed(self) -> None:
        """The attempts of the lost session are over: begin another session."""
        self._proceed.set()

    def settle(self, attempt_token: int) -> None:
        """An attempt has said its last word and been heard."""
        self._live.discard(attempt_token)

    async def drain(self) -> None:
        """Asks for no new tasks; returns when those given before have come down, or when nobody answers."""
        if self._session is None or not self._session.session_id:
            return
        request = agent_service_pb2.DrainAgentRequest(agent_id=self._session.agent_id)
        try:
            async with asyncio.timeout(DRAIN_NOTICE_SECONDS_MAX):
                await self._connection.call(DRAIN_AGENT, request)
                await self._drain_noticed.wait()
        except (TimeoutError, ConcertError) as error:
            _log.warning("%s drains without the coordinator's word: %s", self._spec.agent_id, error)

    async def update(self, spec: Any) -> None:
        """Describes the agent anew, in this session and those to come (rule A3). Raises PermissionDenied and others."""
        self._spec = spec
        if self._session is not None and self._session.session_id:
            self._session.describe(spec)
            await self._session.call(UPDATE_AGENT, session_service_pb2.UpdateAgent(agent=spec))

    async def stop(self, reason: str) -> None:
        """Says goodbye, if there is a session, and begins no other."""
        self._stopping = True
        self._proceed.set()
        session = self._session
        if session is not None and session.session_id:
            await session.close(reason)
        if self._runner is not None:
            self._runner.cancel()
            await asyncio.gather(self._runner, return_exceptions=True)

    # ---- SessionPeer
    def on_unanswered(self, error: Unavailable) -> None:
        """See SessionPeer. Said once, when every address was tried."""
        self._unanswered += 1
        addresses = self._connection.addresses
        if self._unanswered != len(addresses):
            return
        why = f" ({error.message})"
        if is_refused(error):
            why = "; `concert dev` starts one" if addresses.are_local else ""
        _log.warning("%s: no coordinator answers at %s yet: trying again%s", self._spec.agent_id, addresses, why)

    def attempt_tokens(self) -> Iterable[int]:
        """See SessionPeer."""
        return sorted(self._live)

    def on_task(self, task: Any) -> None:
        """See SessionPeer. A token is passed on once per process, whatever becomes of the session (rule A5)."""
        token = task.attempt_token
        if token in self._seen:
            return
        self._seen[token] = None
        if len(self._seen) > ATTEMPT_TOKENS_REMEMBERED_MAX:
            self._seen.popitem(last=False)
        self._live.add(token)
        assert self._session is not None
        self._inbox.task(self._session, task)

    def on_cancel(self, cancel: Any) -> None:
        """See SessionPeer."""
        if cancel.attempt_token in self._live:
            self._inbox.cancel(cancel.attempt_token, cancel.reason)

    def on_stale(self, attempt_token: int) -> None:
        """See SessionPeer."""
        self._live.discard(attempt_token)
        self._inbox.cancel(attempt_token, "STALE")

    def on_drain(self) -> None:
        """See SessionPeer."""
        self._drain_noticed.set()
        self._inbox.drain()

    # ---- session after session
    async def _run(self) -> None:
        error: BaseException | None = None
        try:
            takeover = False
            while not self._stopping:
                await self._open(takeover)
                takeover = await self._outlive()
        except Exception as failure:
            error = failure
        finally:
            self._inbox.ended(error)

    async def _open(self, takeover: bool) -> None:
        """Opens a session, however long that takes: an agent may be there before its coordinator."""
        backoff = Backoff()
        session = SessionStream(self._connection, self._spec, lease=self._lease, takeover=takeover, peer=self)
        while True:
            self._session = session
            said = self._spec
            session.describe(said)
            try:
                await session.open()
            except _FATAL:
                self._session = None
                raise
            except ConcertError as error:
                self._session = None
                taken = isinstance(error, AlreadyExists)
                _log.warning("%s cannot register%s: %s", self._spec.agent_id, " yet" if taken else "", error)
                await asyncio.sleep(backoff.pause_seconds())
                continue
            self._inbox.registered(session)
            if self._spec != said:  # updated meanwhile
                try:
                    await self.update(self._spec)
                except ConcertError as error:
                    _log.warning("the description of %s was not taken: %s", self._spec.agent_id, error)
            return

    async def _outlive(self) -> bool:
        """Waits for the end of the session and of its attempts. Whether to take over what may be left of it.

        A session that was given up on this side first may still stand on the other: it is this agent's own.
        """
        session = self._session
        assert session is not None
        await session.wait_over()
        self._session = None
        self._live.clear()
        self._proceed.clear()
        if self._stopping:
            return False
        self._inbox.lost(session)
        await self._proceed.wait()
        return session.expired
