"""The guard: stands before every call of concert.v1 where callers are authenticated, and says what was refused.

identity = await guard.identify(context)        # who calls; before the request is even parsed
tally = guard.begin_call(identity)              # how much of it; to be ended with tally.end_call()
guard.allow(identity, need, request)            # what it may do there; the call knows its caller from here on
"""

from __future__ import annotations

import logging
from typing import Any, Final

from coordinator_service.core.rejections import PermissionDenied, Rejection, Unauthenticated
from coordinator_service.rpc.identity import calling, credentials_of, namespace_of
from coordinator_service.security.gate import Gate
from coordinator_service.security.identities import Identity
from coordinator_service.security.quotas import Tally
from coordinator_service.security.roles import Access, Role

_log = logging.getLogger(__name__)

LINES_PER_SECOND_MAX: Final = 20
"""Refusals that are logged one by one; of more only how many there were."""
_NS_PER_SECOND: Final = 1_000_000_000


class Guard:
    """Of one server."""

    def __init__(self, gate: Gate) -> None:
        self.gate = gate
        self._second_ns = 0
        self._lines = 0
        self._unsaid = 0

    async def identify(self, context: Any) -> Identity:
        """Who calls. Raises Unauthenticated, Unavailable."""
        authorization, certificate = credentials_of(context)
        return self.gate.known(authorization, certificate) or await self.gate.identify(authorization, certificate)

    def begin_call(self, identity: Identity) -> Tally:
        """Counts a call. Raises LimitReached."""
        now_ns = self.gate.now_ns()
        tally = self.gate.tally_of(identity.principal, now_ns)
        tally.begin_call(now_ns)
        return tally

    def allow(self, identity: Identity, need: Role, request: Any) -> Access:
        """Lets the call go on as that caller in the namespace that its request names. Raises PermissionDenied,
        InvalidField."""
        if need is Role.KNOWN:
            role = self.gate.access.highest(identity.principal)
            access = Access(principal=identity.principal, namespace="", role=role)
        else:
            access = self.gate.access_of(identity, namespace_of(request.namespace))
        access.require(need)
        calling.set(access)
        return access

    def require_anywhere(self, need: Role) -> None:
        """For a call that names no namespace: the caller has that role in one at least. Raises PermissionDenied."""
        access = calling.get()
        if access is not None:
            access.require(need)

    def may_view(self, namespace: str) -> bool:
        """Whether the caller of the call that is being served may know of a namespace."""
        access = calling.get()
        return access is None or self.gate.access.access(access.principal, namespace).role >= Role.VIEWER

    def may_make(self, namespace: str) -> None:
        """For a call that would make a namespace. Raises PermissionDenied, LimitReached."""
        access = calling.get()
        if access is not None:
            access.require(Role.AGENT)
            self.gate.tally_of(access.principal, self.gate.now_ns()).make_namespace(namespace)

    def note(self, method: str, context: Any, refusal: Rejection) -> None:
        """Counts a refusal, and says who was refused what, and why; nothing of any credential."""
        self.gate.refusals.count(refusal)
        if not isinstance(refusal, Unauthenticated | PermissionDenied):
            return
        now_ns = self.gate.now_ns()
        if now_ns - self._second_ns >= _NS_PER_SECOND:
            if self._unsaid:
                _log.warning("%d more calls were refused", self._unsaid)
            self._second_ns, self._lines, self._unsaid = now_ns, 0, 0
        if self._lines >= LINES_PER_SECOND_MAX:
            self._unsaid += 1
            return
        self._lines += 1
        _log.warning("refused %s to %s: %s: %s", method, context.peer(), refusal.code, refusal.message)
