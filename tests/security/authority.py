"""Certificates and tokens for tests, made on the spot: an authority, whom it vouches for, an issuer of JWTs."""

from __future__ import annotations

import ipaddress
import json
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import grpc
import jwt
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID
from jwt.algorithms import ECAlgorithm

ISSUER = "https://issuer.example"
AUDIENCE = "concert"
EXPIRED = timedelta(hours=-1)
"""The life of what is over."""


@dataclass(frozen=True)
class Issued:
    """A certificate and its key, in PEM."""

    certificate: bytes
    key: bytes

    def write(self, directory: Path, name: str) -> tuple[Path, Path]:
        """Into two files; returns where they are."""
        certificate, key = directory / f"{name}.pem", directory / f"{name}.key"
        certificate.write_bytes(self.certificate)
        key.write_bytes(self.key)
        return certificate, key


class Authority:
    """Signs certificates."""

    def __init__(self, name: str = "authority") -> None:
        self._key = ec.generate_private_key(ec.SECP256R1())
        self._name = _name(name)
        self._certificate = _sign(self._name, self._name, self._key.public_key(), self._key, (), authority=True)
        self.certificate = self._certificate.public_bytes(serialization.Encoding.PEM)

    def issue(
        self,
        *,
        uris: Sequence[str] = (),
        hosts: Sequence[str] = (),
        life: timedelta = timedelta(days=30),
        common_name: str = "x",
    ) -> Issued:
        """A certificate for those names, from yesterday until its life is over."""
        key = ec.generate_private_key(ec.SECP256R1())
        names = [*map(x509.UniformResourceIdentifier, uris), *map(_host, hosts)]
        certificate = _sign(_name(common_name), self._name, key.public_key(), self._key, names, life=life)
        return Issued(certificate.public_bytes(serialization.Encoding.PEM), pem_of(key))

    def credentials(self, issued: Issued | None = None) -> grpc.ChannelCredentials:
        """Of a client that trusts this authority, and has that certificate of whomever's."""
        if issued is None:
            return grpc.ssl_channel_credentials(self.certificate)
        return grpc.ssl_channel_credentials(self.certificate, issued.key, issued.certificate)


class Issuer:
    """Signs JWTs with one key."""

    def __init__(self, key_id: str = "key-1") -> None:
        self.key_id = key_id
        self.private = ec.generate_private_key(ec.SECP256R1())

    @property
    def jwk(self) -> dict[str, Any]:
        """Its public key."""
        return {**json.loads(ECAlgorithm.to_jwk(self.private.public_key())), "kid": self.key_id, "use": "sig"}

    def token(self, subject: str | None = "alice", *, seconds: float = 3600, header: Any = None, **claims: Any) -> str:
        """One that is right, unless it is told otherwise; a claim that is None is left out."""
        now = datetime.now(UTC)
        said = {"iss": ISSUER, "aud": AUDIENCE, "sub": subject, "exp": now + timedelta(seconds=seconds), **claims}
        kept = {name: value for name, value in said.items() if value is not None}
        return jwt.encode(kept, self.private, algorithm="ES256", headers={"kid": self.key_id, **(header or {})})


def key_set(*issuers: Issuer) -> str:
    """A JWK Set."""
    return json.dumps({"keys": [each.jwk for each in issuers]})


def pem_of(key: Any) -> bytes:
    """A private key."""
    encoded: bytes = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    return encoded


def _host(host: str) -> x509.GeneralName:
    try:
        return x509.IPAddress(ipaddress.ip_address(host))
    except ValueError:
        return x509.DNSName(host)


def _name(common_name: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, common_name)])


def _sign(
    subject: x509.Name,
    issuer: x509.Name,
    public: Any,
    key: Any,
    names: Sequence[x509.GeneralName],
    *,
    authority: bool = False,
    life: timedelta = timedelta(days=30),
) -> x509.Certificate:
    now = datetime.now(UTC)
    builder = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer)
        .public_key(public)
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - timedelta(days=1))
        .not_valid_after(now + life)
        .add_extension(x509.BasicConstraints(ca=authority, path_length=None), critical=True)
    )
    if names:
        builder = builder.add_extension(x509.SubjectAlternativeName(names), critical=False)
    return builder.sign(key, hashes.SHA256())
