"""Identities: who a credential says the caller is, and until when."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Final

PRINCIPAL_BYTES_MAX: Final = 512


@dataclass(frozen=True, slots=True, kw_only=True)
class Identity:
    """A caller that is known.

    principal is its name in every event that it causes. source is "certificate", "token" or "jwt"; credential is what
    it can be found by again when credentials change: the hash of a token, the id of the key of a JWT.
    """

    principal: str
    source: str
    credential: str = ""
    expires_at_seconds: float = math.inf
    """Wall clock, since 1970."""


def principal_fault(name: str) -> str:
    """What is wrong with a name for a principal; empty where nothing is. It goes into events, logs and spans."""
    if not name:
        return "is empty"
    if len(name.encode(errors="replace")) > PRINCIPAL_BYTES_MAX:
        return f"has more than {PRINCIPAL_BYTES_MAX} bytes"
    return "" if name.isprintable() else "has characters that cannot be printed"
