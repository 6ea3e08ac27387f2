"""Static bearer tokens: the hashes of long random words, each with the principal that it stands for.

The tokens themselves are nowhere. A fast hash is enough because they are made (`python -m coordinator_service token`)
of 256 random bits: there is nothing to guess from.
"""

from __future__ import annotations

import hashlib
import math
import secrets
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final

from coordinator_service.security.identities import Identity

TOKEN_PREFIX: Final = "concert_"
"""Tells scanners for leaked secrets what they have found."""
_RANDOM_BYTES: Final = 32


@dataclass(frozen=True, slots=True, kw_only=True)
class StaticToken:
    """Whom a token stands for."""

    principal: str
    expires_at_seconds: float = math.inf


@dataclass(frozen=True, slots=True)
class TokenTable:
    """Tokens by the SHA-256 of them, in hexadecimal."""

    by_hash: Mapping[str, StaticToken] = field(default_factory=dict)

    def find(self, token: str) -> Identity | None:
        """Whom it stands for, whether or not it is still valid; None when it is not known."""
        return self.find_hash(hash_of(token))

    def find_hash(self, hashed: str) -> Identity | None:
        """The same for the hash of one."""
        found = self.by_hash.get(hashed)
        if found is None:
            return None
        return Identity(
            principal=found.principal, source="token", credential=hashed, expires_at_seconds=found.expires_at_seconds
        )


def hash_of(token: str) -> str:
    """What a file of tokens says of one."""
    return hashlib.sha256(token.encode(errors="replace")).hexdigest()


def new_token() -> str:
    """One that nobody can guess."""
    return TOKEN_PREFIX + secrets.token_urlsafe(_RANDOM_BYTES)
