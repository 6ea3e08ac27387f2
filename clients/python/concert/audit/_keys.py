"""Keys that sign audit files: Ed25519, in PEM as openssl writes and reads them."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass

from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey

_KIND = "an Ed25519 key"


class KeyUnusable(ValueError):  # noqa: N818 (it says what is wrong)
    """A key that cannot be used; the text says why."""


@dataclass(frozen=True, slots=True)
class KeyPair:
    """A new key. private is PKCS 8 without a password, public a SubjectPublicKeyInfo, both in PEM."""

    private: bytes
    public: bytes
    key_id: str


def new_key_pair() -> KeyPair:
    """A key that nobody else has."""
    key = Ed25519PrivateKey.generate()
    private = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    public = key.public_key()
    pem = public.public_bytes(serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo)
    return KeyPair(private, pem, key_id(public))


def read_private_key(pem: bytes) -> Ed25519PrivateKey:
    """From PEM. Raises KeyUnusable."""
    try:
        key = serialization.load_pem_private_key(pem, password=None)
    except TypeError:
        raise KeyUnusable("the private key has a password: give one without") from None
    except (ValueError, UnsupportedAlgorithm):
        raise KeyUnusable(f"is no private key in PEM: {_KIND} is needed") from None
    if not isinstance(key, Ed25519PrivateKey):
        raise KeyUnusable(f"is a private key of another kind: {_KIND} is needed")
    return key


def read_public_key(pem: bytes) -> Ed25519PublicKey:
    """From PEM. Raises KeyUnusable."""
    try:
        key = serialization.load_pem_public_key(pem)
    except (ValueError, UnsupportedAlgorithm):
        raise KeyUnusable(f"is no public key in PEM: the public half of {_KIND} is needed") from None
    if not isinstance(key, Ed25519PublicKey):
        raise KeyUnusable(f"is a public key of another kind: {_KIND} is needed")
    return key


def key_id(key: Ed25519PublicKey) -> str:
    """What a key is called: SHA-256 of its SubjectPublicKeyInfo in DER, in hexadecimal."""
    der = key.public_bytes(serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo)
    return hashlib.sha256(der).hexdigest()
