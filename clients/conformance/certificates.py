"""Certificates for a server on loopback, and the root that signed them."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from tests.security.authority import Authority

HOSTS = ("127.0.0.1", "localhost")


@dataclass(frozen=True, slots=True)
class Certificates:
    """A server's key and chain, as PEM, and the file of the root that a client is to trust."""

    key: bytes
    chain: bytes
    root_file: Path


def make_certificates(directory: Path, name: str) -> Certificates:
    """A root of its own and a certificate of 127.0.0.1 and localhost signed by it."""
    authority = Authority(f"Concert conformance {name}")
    server = authority.issue(hosts=HOSTS)
    root_file = directory / f"{name}.pem"
    root_file.write_bytes(authority.certificate)
    return Certificates(server.key, server.certificate, root_file)
