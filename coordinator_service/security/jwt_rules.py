"""What JWTs have to be. Here is nothing that verifies one: who takes none does not load it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from coordinator_service.core.rejections import Unauthenticated

ALGORITHMS: Final = ("RS256", "RS384", "RS512", "PS256", "PS384", "PS512", "ES256", "ES384", "ES512", "EdDSA")
"""Those that a configuration may name: whoever can verify must not be able to sign."""


@dataclass(frozen=True, slots=True, kw_only=True)
class JwtRules:
    """What is accepted. prefix goes before the subject, so that an issuer cannot name the principals of others."""

    issuer: str
    audience: str
    algorithms: tuple[str, ...] = ("RS256", "ES256")
    principal_claim: str = "sub"
    prefix: str = "jwt:"
    leeway_seconds: float = 30.0


class UnknownKey(Unauthenticated):
    """The set of keys has none of that id: a newer set may."""
