"""JWTs (RFC 7519, with the advice of RFC 8725): verified with the keys of their issuer and nothing that they say
themselves.

The algorithms are those of the configuration, and a key is used with the algorithm it is for alone. Audience, issuer,
subject and expiry must be there.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import Any, Final

import jwt

from coordinator_service.core.rejections import Unauthenticated
from coordinator_service.security.identities import Identity, principal_fault
from coordinator_service.security.jwt_rules import JwtRules, UnknownKey
from coordinator_service.security.key_set import KeySet

KEY_ID_BYTES_MAX: Final = 256

_FAULTS: Final[tuple[tuple[type[Exception], str], ...]] = (
    (jwt.ExpiredSignatureError, "has expired"),
    (jwt.ImmatureSignatureError, "is not valid yet"),
    (jwt.InvalidAudienceError, "is for another audience"),
    (jwt.InvalidIssuerError, "is of another issuer"),
    (jwt.InvalidAlgorithmError, "is signed by an algorithm that is not accepted"),
    (jwt.InvalidKeyError, "is signed by an algorithm that its key is not for"),
    (jwt.InvalidSignatureError, "has a signature that is not right"),
    (jwt.MissingRequiredClaimError, "lacks a claim: exp, iss, aud and the subject are needed"),
)


@dataclass(slots=True, kw_only=True)
class Verifier:
    """The gate's Jwts."""

    rules: JwtRules
    fetch_keys: Callable[[], Awaitable[KeySet]] | None = None
    keys: KeySet = field(default_factory=KeySet)

    def verify(self, token: str) -> Identity:
        """Whom it names. Raises Unauthenticated, UnknownKey."""
        return verify(token, self.keys, self.rules)


def verify(token: str, keys: KeySet, rules: JwtRules) -> Identity:
    """Whom it names. Raises Unauthenticated, UnknownKey."""
    header = _header(token)
    algorithm, key_id = header.get("alg"), header.get("kid", "")
    if algorithm not in rules.algorithms:
        raise _refused("is signed by an algorithm that is not accepted")
    if "crit" in header:
        raise _refused("demands extensions that are not known")
    if not isinstance(key_id, str) or len(key_id) > KEY_ID_BYTES_MAX:
        raise _refused("names no key")
    key = keys.find(key_id)
    if key is None:
        raise UnknownKey("the token is signed by a key that is not known", needed=_TOKEN)
    if algorithm not in key.algorithms:
        raise _refused("is signed by an algorithm that its key is not for")
    try:
        claims = jwt.decode(
            token,
            key.public,
            algorithms=[str(algorithm)],
            audience=rules.audience,
            issuer=rules.issuer,
            leeway=rules.leeway_seconds,
            options={"require": ["exp", "iss", "aud", rules.principal_claim]},
        )
    except Exception as fault:  # whatever a hostile token makes of the decoder, it is the token's fault
        raise _refused(next((said for kind, said in _FAULTS if isinstance(fault, kind)), "is not valid")) from None
    subject = claims[rules.principal_claim]
    principal = f"{rules.prefix}{subject}"
    if not isinstance(subject, str) or not subject or principal_fault(principal):
        raise _refused("names nobody")
    expires_at_seconds = float(claims["exp"]) + rules.leeway_seconds
    return Identity(principal=principal, source="jwt", credential=key_id, expires_at_seconds=expires_at_seconds)


def _header(token: str) -> dict[str, Any]:
    try:
        header: dict[str, Any] = jwt.get_unverified_header(token)
    except Exception:
        raise _refused("is no JWT") from None
    return header


def _refused(why: str) -> Unauthenticated:
    return Unauthenticated(f"the token {why}", needed=_TOKEN)


_TOKEN: Final = {"credential": "a bearer token"}
