"""The gate: from what a call comes with to who calls and what that one may do.

A credential is verified once and remembered, by its hash, until it expires or the credentials change; a call then costs
a look into a table. What lasts, a session or a subscription, is looked at again whenever something changed, and ends
when its credential does. The transport hands over what it has verified: a certificate, and the metadata of the call.
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Awaitable, Callable, Iterable
from typing import Any, Final, TypeAlias

from coordinator_service.clock import Clock, Timer
from coordinator_service.core.rejections import Rejection, Unauthenticated, Unavailable
from coordinator_service.core.values import NS_PER_SECOND
from coordinator_service.security.identities import Identity, identity_of_certificate
from coordinator_service.security.json_web_tokens import JwtRules, UnknownKey, looks_like_jwt, verify
from coordinator_service.security.key_set import KeySet
from coordinator_service.security.quotas import Quotas, Tally
from coordinator_service.security.roles import Access, AccessTable
from coordinator_service.security.static_tokens import TokenTable

TOKEN_BYTES_MAX: Final = 8 * 1024
REMEMBERED_MAX: Final = 10_000
_SCHEME: Final = "bearer "
_TIMER_SECONDS_MAX: Final = 86_400.0

Ended: TypeAlias = Callable[[Rejection], None]
FetchKeys: TypeAlias = Callable[[], Awaitable[KeySet]]
"""The newest keys of the issuer, as far as it may be asked so soon again."""


class Gate:
    """Of one replica. Without a table of tokens, rules for JWTs or certificates, the like is not accepted."""

    def __init__(
        self,
        clock: Clock,
        *,
        access: AccessTable,
        certificates: bool = False,
        tokens: TokenTable | None = None,
        jwt_rules: JwtRules | None = None,
        fetch_keys: FetchKeys | None = None,
    ) -> None:
        self.access = access
        self.quotas = Quotas()
        self._clock = clock
        self._certificates = certificates
        self._tokens = tokens
        self._jwt_rules = jwt_rules
        self._fetch_keys = fetch_keys
        self._keys = KeySet()
        self._verified: dict[bytes, Identity] = {}
        self._stays: set[Stay] = set()
        ways = [("a client certificate", certificates), ("a bearer token", tokens is not None or jwt_rules is not None)]
        self._needed = {"credential": " or ".join(way for way, there in ways if there)}

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
        self._keys = keys
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
        elif certificate and self._certificates:
            found = identity_of_certificate(certificate)
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
        if self._jwt_rules is None or not looks_like_jwt(token):
            raise Unauthenticated("the token is not known", needed=self._needed)
        try:
            return verify(token, self._keys, self._jwt_rules)
        except UnknownKey:
            if self._fetch_keys is None:
                raise
        newest = await self._fetch_keys()
        if newest is not self._keys:
            self.take_keys(newest)
        return verify(token, self._keys, self._jwt_rules)

    def _expired(self, identity: Identity) -> Unauthenticated:
        what = "certificate" if identity.source == "certificate" else "token"
        return Unauthenticated(f"the {what} has expired", needed=self._needed)

    # What that one may do.

    def access_of(self, identity: Identity, namespace: str) -> Access:
        """What it may do in a namespace."""
        return self.access.access(identity.principal, namespace)

    def tally_of(self, identity: Identity) -> Tally:
        """What it has of this replica."""
        principal = identity.principal
        return self.quotas.of(principal, self.access.limits_of(principal), self._clock.monotonic_ns())

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
                if not self._stands(stay.identity):
                    raise Unauthenticated("the credential was withdrawn", needed=self._needed)
                stay.check()
            except Rejection as reason:
                self.leave(stay)
                stay.ended(reason)

    def _stands(self, identity: Identity) -> bool:
        if identity.source == "token":
            found = None if self._tokens is None else self._tokens.by_hash.get(identity.credential)
            return found is not None and found.principal == identity.principal
        return identity.source != "jwt" or self._keys.find(identity.credential) is not None

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


def credentials_of(metadata: Iterable[Any], auth_context: Callable[[], Any]) -> tuple[str, bytes]:
    """The authorization that a call came with, else its certificate. Raises Unauthenticated."""
    authorization = ""
    for key, value in metadata:
        if key == "authorization":
            if authorization:
                raise Unauthenticated("authorization is given twice", needed={"credential": "one bearer token"})
            authorization = value
    if authorization:
        return authorization, b""
    certificates = (auth_context() or {}).get("x509_pem_cert", ())
    return "", certificates[0] if certificates else b""


def _digest(authorization: str, certificate: bytes) -> bytes:
    """Of either, marked: the one must never be taken for the other."""
    told = b"a" + authorization.encode(errors="replace") if authorization else b"c" + certificate
    return hashlib.sha256(told).digest()
