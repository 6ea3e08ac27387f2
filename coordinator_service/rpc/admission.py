"""The admission of one session: who opened it, as which agent, and what it may send.

It is looked at when the session is opened or resumed and again whenever access changed; a command costs a look into a
set.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import replace
from typing import Any

from coordinator_service.core.rejections import PermissionDenied, Rejection
from coordinator_service.core.specs import AgentSpec
from coordinator_service.core.values import NS_PER_SECOND
from coordinator_service.rpc.guard import Guard
from coordinator_service.rpc.identity import calling
from coordinator_service.rpc.operation import Scope
from coordinator_service.rpc.permissions import COMMANDS, commands_for
from coordinator_service.security.gate import Stay
from coordinator_service.security.identities import Identity
from coordinator_service.security.quotas import Tally
from coordinator_service.security.roles import Access, Role


class Admission:
    """Made by `of`, then `enter`, `check_agent` and `stay`; `close` at the end."""

    def __init__(self, guard: Guard, identity: Identity, tally: Tally) -> None:
        self.guard = guard
        self.principal = identity.principal
        self.access = Access(principal=identity.principal, namespace="", role=Role.KNOWN)
        self._identity = identity
        self._tally = tally
        self._commands: frozenset[str] = frozenset()
        self._spec: AgentSpec | None = None
        self._stay: Stay | None = None
        self._scope: Scope | None = None

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

    def stay(self, ended: Callable[[Rejection], None]) -> None:
        """Has the session ended when it may not go on."""
        self._stay = self.guard.gate.stay(self._identity, self._check_again, ended)

    def refusal_of(self, name: str | None, command: Any) -> PermissionDenied | None:
        """Why a command may not be sent; None where it may, or is of a kind that is not known."""
        if name not in self._commands and name in COMMANDS:
            return PermissionDenied(f"{self.principal}: needs the role {COMMANDS[name].name.lower()}")
        if name == "update_agent":
            try:
                self.access.check_capabilities([each.name for each in command.update_agent.agent.capabilities])
            except PermissionDenied as refusal:
                return refusal
        return None

    def scope(self, scope: Scope) -> Scope:
        """The scope of the session, as its role is now."""
        if self._scope is None:
            self._scope = replace(scope, own_only=self.access.own_only)
        return self._scope

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
        access = self.guard.gate.access_of(self._identity, namespace)
        access.require(Role.AGENT)
        self.access = access
        self._commands = commands_for(access.role)
        self._scope = None

    def _check_again(self) -> None:
        self._take(self.access.namespace)
        if self._spec is not None:
            self.check_agent(self._spec)
