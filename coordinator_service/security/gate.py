"""The gate: from what a call comes with to who calls and what that one may do.

A credential is verified once and remembered, by its hash, until it expires or the credentials change; a call then costs
a look into a table. What lasts, a session or a subscription, is looked at again whenever something changed, and ends
when its credential does. The transport hands over what it has verified: a certificate, and the metadata of the call.
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, Final, Protocol, TypeAlias

from coordinator_service.clock import Clock, Timer
from coordinator_service.core.rejections import Rejection, Unauthenticated, Unavailable
from coordinator_service.core.values import NS_PER_SECOND
from coordinator_service.security.identities import Identity
from coordinator_service.security.jwt_rules import UnknownKey
from coordinator_service.security.quotas import Quotas, Tally
from coordinator_service.security.refusals import Refusals
from coordinator_service.security.roles import Access, AccessTable
from coordinator_service.security.static_tokens import TokenTable

if TYPE_CHECKING:
    from coordinator_service.security.key_set import KeySet

TOKEN_BYTES_MAX: Final = 8 * 1024
REMEMBERED_MAX: Final = 10_000
_SCHEME: Final = "bearer "
_TIMER_SECONDS_MAX: Final = 86_400.0

Ended: TypeAlias = Callable[[Rejection], None]
OfCertificate: TypeAlias = Callable[[bytes], Identity]
"""Whom a certificate in PEM names, which TLS has verified. Raises Unauthenticated."""


class Jwts(Protocol):
    """What verifies JWTs (json_web_tokens.Verifier)."""

    keys: KeySet

    @property
    def fetch_keys(self) -> Callable[[], Awaitable[KeySet]] | None:
        """The newest keys of the issuer, as far as it may be asked so soon again. Raises Unavailable."""

    def verify(self, token: str) -> Identity:
        """Whom a token names. Raises Unauthenticated, UnknownKey."""


class Gate:
    """Of one replica. Without a table of tokens, a verifier of JWTs or a reader of certificates, the like is not
    accepted."""

    def __init__(
        self,
        clock: Clock,
        *,
        access: AccessTable,
        of_certificate: OfCertificate | None = None,
        tokens: TokenTable | None = None,
        jwts: Jwts | None = None,
    ) -> None:
        self.access = access
        self.quotas = Quotas()
        self.refusals = Refusals()
        self._clock = clock
        self._of_certificate = of_certificate
        self._tokens = tokens
        self._jwts = jwts
        self._verified: dict[bytes, Identity] = {}
        self._stays: set[Stay] = set()
        ways = ["a client certificate"] if of_certificate is not None else []
        ways += ["a bearer token"] if tokens is not None or jwts is not None else []
        self._needed = {"credential": " or ".join(ways)}

    # What is known changes.

    def take_access(self, access: AccessTable) -> None:
        """Grants and limits from now on."""
        self.access = access
        self._look_again()

    def take_tokens(self, tokens: TokenTable) -> None:
        """Static tokens from now on."""
        self._tokens = tokens
        self._verified.clear()
        self._look_again()

    def take_keys(self, keys: KeySet) -> None:
        """Keys of JWTs from now on. A token of a key that is gone counts no more."""
        assert self._jwts is not None
        self._jwts.keys = keys
        self._verified.clear()
        self._look_again()

    # Who calls.

    def known(self, authorization: str, certificate: bytes) -> Identity | None:
        """Who calls, where that was found out before: by the value of the metadata `authorization`, where there is one,
        else by the PEM of the certificate. Both may be empty. Raises Unauthenticated once it has expired."""
        found = self._verified.get(_digest(authorization, certificate))
        if found is not None and found.expires_at_seconds <= self._clock.wall_ns() / NS_PER_SECOND:
            raise self._expired(found)
        return found

    async def identify(self, authorization: str, certificate: bytes) -> Identity:
        """Who calls. Raises Unauthenticated, Unavailable where the keys cannot be had."""
        found = self.known(authorization, certificate)
        if found is not None:
            return found
        if authorization:
            found = await self._of_token(authorization)
        elif certificate and self._of_certificate is not None:
            found = self._of_certificate(certificate)
        else:
            raise Unauthenticated(f"{self._needed['credential']} is needed", needed=self._needed)
        if found.expires_at_seconds <= self._clock.wall_ns() / NS_PER_SECOND:
            raise self._expired(found)
        if len(self._verified) >= REMEMBERED_MAX:
            self._verified.clear()
        self._verified[_digest(authorization, certificate)] = found
        return found

    async def _of_token(self, authorization: str) -> Identity:
        if len(authorization) > TOKEN_BYTES_MAX:
            raise Unauthenticated(f"the token has more than {TOKEN_BYTES_MAX} bytes", needed=self._needed)
        if authorization[: len(_SCHEME)].lower() != _SCHEME:
            raise Unauthenticated('authorization must be "Bearer TOKEN"', needed=self._needed)
        token = authorization[len(_SCHEME) :].strip()
        found = self._tokens.find(token) if self._tokens is not None else None
        if found is not None:
            return found
        jwts = self._jwts
        if jwts is None or token.count(".") != 2:  # every signed JWT has three parts
            raise Unauthenticated("the token is not known", needed=self._needed)
        try:
            return jwts.verify(token)
        except UnknownKey:
            if jwts.fetch_keys is None:
                raise
        newest = await jwts.fetch_keys()
        if newest is not jwts.keys:
            self.take_keys(newest)
        return jwts.verify(token)

    def _expired(self, identity: Identity) -> Unauthenticated:
        what = "certificate" if identity.source == "certificate" else "token"
        return Unauthenticated(f"the {what} has expired", needed=self._needed)

    # What that one may do.

    def access_of(self, identity: Identity, namespace: str) -> Access:
        """What it may do in a namespace."""
        return self.access.access(identity.principal, namespace)

    def tally_of(self, principal: str, now_ns: int) -> Tally:
        """What it has of this replica."""
        return self.quotas.of(principal, self.access.limits_of(principal), now_ns)

    def now_ns(self) -> int:
        """Monotonic."""
        return self._clock.monotonic_ns()

    # What lasts.

    def stay(self, identity: Identity, check: Callable[[], None], ended: Ended) -> Stay:
        """For as long as something lasts that began with an identity. check is called again whenever access changed
        and raises why it may not go on; ended is then called with that, as it is when the credential ends."""
        stay = Stay(self, identity, check, ended)
        self._stays.add(stay)
        self._wait(stay)
        return stay

    def leave(self, stay: Stay) -> None:
        """It is over."""
        self._stays.discard(stay)
        if stay.timer is not None:
            stay.timer.cancel()

    def _look_again(self) -> None:
        for stay in list(self._stays):
            try:
                now = self._found_again(stay.identity)
                if now is None or now.principal != stay.identity.principal:
                    raise Unauthenticated("the credential was withdrawn", needed=self._needed)
                stay.check()
            except Rejection as reason:
                self.leave(stay)
                stay.ended(reason)
            else:
                self._take_expiry(stay, now)

    def _found_again(self, identity: Identity) -> Identity | None:
        """What its credential says now; None when it says nothing any more."""
        if identity.source == "token":
            return None if self._tokens is None else self._tokens.find_hash(identity.credential)
        if identity.source == "jwt" and (self._jwts is None or self._jwts.keys.find(identity.credential) is None):
            return None
        return identity

    def _take_expiry(self, stay: Stay, now: Identity) -> None:
        """A static token may expire at another time than it did."""
        if now.expires_at_seconds == stay.identity.expires_at_seconds:
            return
        stay.identity = now
        if stay.timer is not None:
            stay.timer.cancel()
            stay.timer = None
        self._wait(stay)

    def _wait(self, stay: Stay) -> None:
        """The client is told to come again: with a new token it loses nothing."""
        expires_at_seconds = stay.identity.expires_at_seconds
        if expires_at_seconds == math.inf:
            return
        left_seconds = expires_at_seconds - self._clock.wall_ns() / NS_PER_SECOND
        if left_seconds > 0:
            stay.timer = self._clock.call_later(min(left_seconds, _TIMER_SECONDS_MAX), lambda: self._wait(stay))
            return
        self.leave(stay)
        stay.ended(Unavailable("the credential of this stream has expired: come again with a new one"))


class Stay:
    """Something that lasts."""

    __slots__ = ("check", "ended", "gate", "identity", "timer")

    def __init__(self, gate: Gate, identity: Identity, check: Callable[[], None], ended: Ended) -> None:
        self.gate = gate
        self.identity = identity
        self.check = check
        self.ended = ended
        self.timer: Timer | None = None

    def close(self) -> None:
        """It is over."""
        self.gate.leave(self)


def _digest(authorization: str, certificate: bytes) -> bytes:
    """Of either, marked: the one must never be taken for the other."""
    told = b"a" + authorization.encode(errors="replace") if authorization else b"c" + certificate
    return hashlib.sha256(told).digest()
