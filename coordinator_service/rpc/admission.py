"""The admission of one session: who opened it, as which agent, and what it may send.

It is looked at when the session is opened or resumed and again whenever access changed. A command costs a look into a
set, and what it is prepared with is there already.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import replace
from typing import Any, Final

from coordinator_service.core.rejections import LimitReached, PermissionDenied, Rejection
from coordinator_service.core.specs import AgentSpec
from coordinator_service.core.values import NS_PER_SECOND
from coordinator_service.rpc.guard import Guard
from coordinator_service.rpc.identity import calling
from coordinator_service.rpc.operation import Scope
from coordinator_service.rpc.permissions import COMMANDS, STORING, commands_for
from coordinator_service.security.gate import Stay
from coordinator_service.security.identities import Identity
from coordinator_service.security.quotas import Tally
from coordinator_service.security.roles import Access, Role

_LOOKED_INTO: Final = frozenset(("update_agent",))
"""Commands that may be sent or not for what is in them."""


class Admission:
    """Made by `of`, then `enter`, `check_agent` and `stay`; `close` at the end."""

    def __init__(self, guard: Guard, identity: Identity, tally: Tally) -> None:
        self.guard = guard
        self.principal = identity.principal
        self.access = Access(principal=identity.principal, namespace="", role=Role.KNOWN)
        self._identity = identity
        self._tally = tally
        self.commands: frozenset[str] = frozenset()
        """What it may send, whatever is in it, by the name in Command.request."""
        self.scope = Scope(namespace="", log_id="")
        """Of the session, as its role is now."""
        self._spec: AgentSpec | None = None
        self._stay: Stay | None = None

    @classmethod
    async def of(cls, guard: Guard, context: Any) -> Admission:
        """Whoever opens the stream. Raises Unauthenticated, Unavailable, LimitReached."""
        identity = await guard.identify(context)
        tally = guard.begin_call(identity)
        try:
            tally.begin_session()
        except Rejection:
            tally.end_call()
            raise
        return cls(guard, identity, tally)

    def enter(self, namespace: str) -> None:
        """Raises PermissionDenied."""
        self._take(namespace)
        calling.set(self.access)

    def check_resumed(self, spec: AgentSpec, session_id: int) -> None:
        """As check_agent, for a session that is there; an id that the coordinator gave it is nobody's claim. Raises
        PermissionDenied."""
        if spec.agent_id == f"client-{session_id}":
            name = "" if spec.agent_name == spec.agent_id else spec.agent_name
            spec = replace(spec, agent_id="", agent_name=name)
        self.check_agent(spec)

    def check_agent(self, spec: AgentSpec) -> None:
        """The agent that the session is of from here on. Raises PermissionDenied."""
        names = [each.name for each in spec.capabilities]
        self.access.check_agent(spec.agent_id, spec.agent_name, names)
        self._spec = spec

    def stay(self, scope: Scope, ended: Callable[[Rejection], None]) -> None:
        """The session is open in a scope; it is ended when it may not go on."""
        self.scope = replace(scope, own_only=self.access.own_only)
        self._stay = self.guard.gate.stay(self._identity, self._check_again, ended)

    def refusal_of(self, name: str | None, command: Any) -> Rejection | None:
        """Of a command that is not among `commands`: why it may not be sent; None where it may, with what is in it, or
        is of a kind that is not known."""
        if name in COMMANDS and self.access.role < COMMANDS[name]:
            return PermissionDenied(f"{self.principal}: needs the role {COMMANDS[name].name.lower()}")
        if name == "update_agent":
            try:
                self.access.check_capabilities([each.name for each in command.update_agent.agent.capabilities])
            except PermissionDenied as refusal:
                return refusal
        if name in STORING:
            try:
                self._tally.store(command.ByteSize(), self.guard.gate.now_ns())
            except LimitReached as refusal:
                return refusal
        return None

    async def pace(self, messages: int) -> None:
        """Lets a session that is faster than its principal may be wait: what it sends meanwhile stays with it."""
        left_ns = self._tally.take(messages, self.guard.gate.now_ns())
        if left_ns:
            await asyncio.sleep(left_ns / NS_PER_SECOND)

    def close(self) -> None:
        """The stream is over."""
        if self._stay is not None:
            self._stay.close()
        self._tally.end_session()
        self._tally.end_call()

    def _take(self, namespace: str) -> None:
        gate = self.guard.gate
        access = gate.access_of(self._identity, namespace)
        access.require(Role.AGENT)
        self._tally.limits = gate.access.limits_of(self.principal)
        self.access = access
        limited = self._tally.limits.stored_bytes_per_hour is not None
        self.commands = commands_for(access.role) - (_LOOKED_INTO | STORING if limited else _LOOKED_INTO)
        self.scope = replace(self.scope, own_only=access.own_only)

    def _check_again(self) -> None:
        self._take(self.access.namespace)
        if self._spec is not None:
            self.check_agent(self._spec)
