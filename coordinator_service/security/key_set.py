"""The keys that JWTs are verified with: a JWK Set (RFC 7517), by key id."""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any, Final

from jwt import PyJWK
from jwt.exceptions import PyJWKError, PyJWTError

KEY_SET_BYTES_MAX: Final = 256 * 1024
_SYMMETRIC: Final = "oct"
_RSA: Final = frozenset(("RS256", "RS384", "RS512", "PS256", "PS384", "PS512"))


class KeysUnusable(Exception):  # noqa: N818 (it says what is wrong, in one line)
    """The document is no set of public keys."""


@dataclass(frozen=True, slots=True)
class Key:
    """A public key, and the algorithms that it is for."""

    public: Any
    algorithms: frozenset[str]


@dataclass(frozen=True, slots=True)
class KeySet:
    """Public keys, by id. One without an id has the empty one."""

    by_id: dict[str, Key] = field(default_factory=dict)

    def find(self, key_id: str) -> Key | None:
        """The key; the only one there is when none is named."""
        if not key_id and len(self.by_id) == 1:
            return next(iter(self.by_id.values()))
        return self.by_id.get(key_id)


def read_key_set(content: bytes) -> KeySet:
    """The keys for signatures in a JWK Set; those of a kind that is not known are passed over. Raises KeysUnusable."""
    if len(content) > KEY_SET_BYTES_MAX:
        raise KeysUnusable(f"has more than {KEY_SET_BYTES_MAX} bytes")
    try:
        document = json.loads(content)
    except (ValueError, RecursionError):
        raise KeysUnusable("is not JSON") from None
    listed = document.get("keys") if isinstance(document, dict) else None
    if not isinstance(listed, list):
        raise KeysUnusable('has no list "keys"')
    found = dict(_usable(listed))
    if not found:
        raise KeysUnusable("has no public key for signatures")
    return KeySet(found)


def _usable(listed: list[Any]) -> Iterable[tuple[str, Key]]:
    for each in listed:
        if not isinstance(each, dict) or each.get("use", "sig") != "sig":
            continue
        if each.get("kty") == _SYMMETRIC or "d" in each:  # whoever can verify with it could sign with it
            raise KeysUnusable("has a secret key: only public ones belong there")
        try:
            jwk = PyJWK.from_dict(each)
        except (PyJWKError, PyJWTError, ValueError, TypeError, KeyError):
            continue
        # What an RSA key is for is not in the key: it says so itself, or is for all that RSA is good for.
        any_of = _RSA if each["kty"] == "RSA" and "alg" not in each else frozenset((jwk.algorithm_name,))
        yield str(each.get("kid", "")), Key(jwk.key, any_of)
