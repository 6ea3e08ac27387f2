"""Roles: what a principal may do in a namespace, as the access file grants it.

    viewer      reads
    agent       works as itself: sessions, events, locks, shared state, runs of its own
    operator    also cancels, retries and drains what is others', and takes locks from their holders
    admin       also acts as any agent

A later role may whatever an earlier one may. What is not granted is not allowed.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from enum import IntEnum
from functools import lru_cache
from typing import Final

from coordinator_service.core.rejections import PermissionDenied

PATTERN_STARS_MAX: Final = 4
_REMEMBERED_MAX: Final = 10_000
_PREFIXED: Final = re.compile(r"[a-z]+:(?=[^/])")
_GIVEN: Final = re.compile(r"client-[0-9]+")
"""The id of a client that gave none (core/agents.py)."""
_PARTS: Final = ("-", ".", "/")
"""What may follow the name of an agent in the id of one of its instances."""


class Role(IntEnum):
    """In the order of what they may. KNOWN is anybody whose credential is good."""

    KNOWN = 0
    VIEWER = 1
    AGENT = 2
    OPERATOR = 3
    ADMIN = 4


ROLES: Final = {each.name.lower(): each for each in Role if each is not Role.KNOWN}


@lru_cache(maxsize=4096)
def _compiled(pattern: str) -> re.Pattern[str]:
    return re.compile(".*".join(re.escape(part) for part in pattern.split("*")), re.DOTALL)


def matches(patterns: Iterable[str], name: str) -> bool:
    """Whether a name is one of those; * stands for any characters."""
    return any(_compiled(each).fullmatch(name) for each in patterns)


@dataclass(frozen=True, slots=True, kw_only=True)
class Grant:
    """A row of the access file: those principals have that role in those namespaces.

    agents are the names that they may register under, None for their own; capabilities what they may claim, None for
    whatever the policies allow.
    """

    principals: tuple[str, ...]
    namespaces: tuple[str, ...]
    role: Role
    agents: tuple[str, ...] | None = None
    capabilities: tuple[str, ...] | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class PrincipalLimits:
    """How much one principal may have at a time; None is without limit. Of one replica."""

    calls_per_second: int | None = None
    calls_burst_max: int | None = None
    calls_open_max: int | None = None
    sessions_max: int | None = None
    subscriptions_max: int | None = None
    namespaces_max: int | None = None
    stored_bytes_per_hour: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Access:
    """What one principal may do in one namespace."""

    principal: str
    namespace: str
    role: Role
    agents: tuple[str, ...] = ()
    capabilities: tuple[str, ...] | None = None

    @property
    def own_only(self) -> bool:
        """Whether runs and agents of others are out of its reach."""
        return self.role < Role.OPERATOR

    def require(self, needed: Role) -> None:
        """Raises PermissionDenied."""
        if self.role < needed:
            where = f" in namespace {self.namespace}" if self.namespace else ""
            raise self._denied(f"needs the role {needed.name.lower()}{where}", needed)

    def check_agent(self, agent_id: str, agent_name: str, capabilities: Sequence[str]) -> None:
        """An agent acts only under its own name, and claims only what it may. An id that is left out is given by the
        coordinator; a client without capabilities may leave out its name. Raises PermissionDenied."""
        if self.role >= Role.ADMIN:
            return
        name = agent_id if capabilities and not agent_name else agent_name
        if name == agent_id and not capabilities:  # a client that has no other name than its id
            name = ""
        if (name or capabilities) and not matches(self.agents, name):
            raise self._denied(f"may not register as agent {name}" if name else "an agent has to say its name")
        given = (
            not name and not capabilities and _GIVEN.fullmatch(agent_id)
        )  # by the coordinator: it comes back with it
        if agent_id and not (given or matches(self.agents, agent_id) or _is_instance(self.agents, agent_id)):
            raise self._denied(f"may not register under the id {agent_id}")
        self.check_capabilities(capabilities)

    def check_capabilities(self, capabilities: Sequence[str]) -> None:
        """Raises PermissionDenied."""
        allowed = self.capabilities
        if allowed is None or self.role >= Role.ADMIN:
            return
        for each in capabilities:
            if not matches(allowed, each):
                raise self._denied(f"may not claim the capability {each}")

    def _denied(self, why: str, needed: Role = Role.ADMIN) -> PermissionDenied:
        return PermissionDenied(
            f"{self.principal}: {why}",
            needed={"role": needed.name.lower(), "namespace": self.namespace, "principal": self.principal},
        )


def own_name(principal: str) -> str:
    """The name of the agent that a principal is, unless its grant says otherwise: the last segment of a URI, any other
    name without the prefix of where it comes from."""
    if "://" in principal:
        return principal.rstrip("/").rpartition("/")[2]
    return _PREFIXED.sub("", principal, count=1)


def _is_instance(names: tuple[str, ...], agent_id: str) -> bool:
    return any(matches((f"{name}{mark}*",), agent_id) for name in names for mark in _PARTS)


@dataclass(frozen=True, slots=True)
class AccessTable:
    """The access file, read."""

    grants: tuple[Grant, ...] = ()
    limits: tuple[tuple[tuple[str, ...], PrincipalLimits], ...] = ()
    """The first whose patterns match holds."""
    _known: dict[tuple[str, str], Access] = field(default_factory=dict, compare=False, repr=False)
    _limits: dict[str, PrincipalLimits] = field(default_factory=dict, compare=False, repr=False)

    def access(self, principal: str, namespace: str) -> Access:
        """What it may do there: all that the grants which match give together."""
        key = (principal, namespace)
        found = self._known.get(key)
        if found is None:
            if len(self._known) >= _REMEMBERED_MAX:
                self._known.clear()
            found = self._known[key] = self._join(principal, namespace)
        return found

    def highest(self, principal: str) -> Role:
        """The highest role that it has anywhere."""
        return max((each.role for each in self.grants if matches(each.principals, principal)), default=Role.KNOWN)

    def limits_of(self, principal: str) -> PrincipalLimits:
        """How much it may have."""
        found = self._limits.get(principal)
        if found is None:
            if len(self._limits) >= _REMEMBERED_MAX:
                self._limits.clear()
            fitting = (limits for patterns, limits in self.limits if matches(patterns, principal))
            found = self._limits[principal] = next(fitting, PrincipalLimits())
        return found

    def _join(self, principal: str, namespace: str) -> Access:
        fitting = [
            each for each in self.grants if matches(each.principals, principal) and matches(each.namespaces, namespace)
        ]
        agents: list[str] = []
        capabilities: list[str] | None = []
        for each in fitting:
            if each.role >= Role.AGENT:
                agents += (own_name(principal),) if each.agents is None else each.agents
                capabilities = None if capabilities is None or each.capabilities is None else capabilities
                if capabilities is not None and each.capabilities is not None:
                    capabilities += each.capabilities
        return Access(
            principal=principal,
            namespace=namespace,
            role=max((each.role for each in fitting), default=Role.KNOWN),
            agents=tuple(dict.fromkeys(agents)),
            capabilities=None if capabilities is None else tuple(dict.fromkeys(capabilities)),
        )
