"""How a distribution behaves, in sections that are set one at a time through its admin endpoint."""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
import secrets
from typing import Annotated

import msgspec

Prefix = Annotated[str, msgspec.Meta(pattern=r"^/(.*/)?$", max_length=512)]


class RedirectSettings(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What plain HTTP answers."""

    # False serves the site over HTTP too.
    https_only: bool = False


class HeaderSettings(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Headers added to every answer over HTTPS."""

    headers: dict[str, str] = {}

    def __post_init__(self) -> None:
        for name, value in self.headers.items():
            if not name.replace("-", "").isalnum() or any(ord(letter) < 32 for letter in value):
                raise ValueError(f"header {name!r} cannot be sent")


class ProtectedPrefix(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Paths that ask for a password (HTTP Basic, any user name)."""

    prefix: Prefix
    salt_hex: str
    scrypt_hex: str

    @classmethod
    def of(cls, prefix: str, password: str) -> ProtectedPrefix:
        """Keeps a salted digest of the password, not the password."""
        salt = secrets.token_bytes(16)
        return cls(prefix=prefix, salt_hex=salt.hex(), scrypt_hex=_scrypt(password, salt).hex())

    def admits(self, authorization: str) -> bool:
        """Whether an Authorization header carries the password."""
        scheme, _, encoded = authorization.partition(" ")
        if scheme.lower() != "basic":
            return False
        try:
            _, _, password = base64.b64decode(encoded, validate=True).decode().partition(":")
        except (binascii.Error, UnicodeDecodeError):
            return False
        return hmac.compare_digest(_scrypt(password, bytes.fromhex(self.salt_hex)), bytes.fromhex(self.scrypt_hex))


class AccessSettings(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Who may read what. The defaults are those of a plain static server, before anybody has secured it."""

    deny_dotfiles: bool = False
    # A path that ends in a slash and has no index page shows what is under it.
    listings: bool = True
    methods: tuple[str, ...] = ("GET", "HEAD", "OPTIONS")
    protected: tuple[ProtectedPrefix, ...] = ()


class Settings(msgspec.Struct, frozen=True, kw_only=True):
    """All sections, as kept in settings.json."""

    revision: int = 0
    redirect: RedirectSettings = RedirectSettings()
    headers: HeaderSettings = HeaderSettings()
    access: AccessSettings = AccessSettings()


def _scrypt(password: str, salt: bytes) -> bytes:
    return hashlib.scrypt(password.encode(), salt=salt, n=2**12, r=8, p=1, dklen=32)
