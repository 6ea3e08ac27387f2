"""The certificates that a coordinator serves under: files that are checked together before any of them is used.

Every handshake asks for the newest (grpc's dynamic credentials), so that a new certificate, and another set of
authorities that clients are trusted from, count without a restart. Connections that are there stay. Replicas show each
other the same certificate from both ends of a link.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

import grpc
from cryptography import x509
from cryptography.hazmat.primitives import serialization

from coordinator_service.clock import Clock
from coordinator_service.file_watch import FileWatch
from coordinator_service.yaml_nodes import FileFault

_log = logging.getLogger(__name__)

FILE_BYTES_MAX: Final = 1024 * 1024
EXPIRY_DAYS_WARNED: Final = 14


@dataclass(frozen=True, slots=True)
class _Files:
    """What they hold, in PEM."""

    chain: bytes
    key: bytes
    authorities: bytes | None

    def to_serve(self) -> grpc.ServerCertificateConfiguration:
        return grpc.ssl_server_certificate_configuration([(self.key, self.chain)], self.authorities)


class ServerCertificates:
    """`load` before anything else, then `begin`, `close` at the end."""

    def __init__(
        self, certificate: Path, private_key: Path, client_ca: Path | None, clock: Clock, poll_seconds: float
    ) -> None:
        paths = (certificate, private_key, *((client_ca,) if client_ca is not None else ()))
        self.watch = FileWatch("certificate", paths, _read, clock, poll_seconds, bytes_max=FILE_BYTES_MAX)
        self._mutual = client_ca is not None
        self._files: _Files | None = None
        self._newest: grpc.ServerCertificateConfiguration | None = None
        self._credentials: grpc.ServerCredentials | None = None
        """Kept for as long as something is served with it: grpc calls back into it, and holds no reference."""

    def load(self) -> grpc.ServerCredentials:
        """What to serve with. Raises FileUnusable."""
        self._files = self.watch.load()
        # What is fetched may be None, for no change: the types of grpc do not know.
        self._credentials = grpc.dynamic_ssl_server_credentials(
            self._files.to_serve(),
            self._fetch,  # type: ignore[arg-type]
            require_client_authentication=self._mutual,
        )
        return self._credentials

    def begin(self) -> None:
        """Follows the files from now on."""
        self.watch.begin(self._take)

    def to_ask_with(self) -> grpc.ChannelCredentials:
        """Of the next connection to another that serves under a certificate of the same authorities."""
        assert self._files is not None
        return grpc.ssl_channel_credentials(self._files.authorities, self._files.key, self._files.chain)

    def _take(self, newest: _Files) -> None:
        self._files, self._newest = newest, newest.to_serve()

    def _fetch(self) -> grpc.ServerCertificateConfiguration | None:
        """For the next handshake; None when nothing has changed. Called by grpc, from a thread of its own."""
        newest, self._newest = self._newest, None
        return newest


def _read(contents: Sequence[bytes]) -> _Files:
    chain, key, *authorities = contents
    try:
        leaf = x509.load_pem_x509_certificates(chain)[0]
    except ValueError:
        raise FileFault(0, "certificate", "is no certificate in PEM") from None
    try:
        private = serialization.load_pem_private_key(key, password=None)
    except (ValueError, TypeError):  # says nothing of what was in it
        raise FileFault(0, "private key", "is no private key in PEM without a password") from None
    if _spki(private.public_key()) != _spki(leaf.public_key()):
        raise FileFault(0, "private key", "is not the one of the certificate")
    if authorities:
        try:
            x509.load_pem_x509_certificates(authorities[0])
        except ValueError:
            raise FileFault(0, "client authorities", "are no certificates in PEM") from None
    left = leaf.not_valid_after_utc - datetime.now(UTC)
    if left.days < EXPIRY_DAYS_WARNED:
        _log.warning("the certificate %s expires at %s", leaf.subject.rfc4514_string(), leaf.not_valid_after_utc)
    return _Files(chain, key, authorities[0] if authorities else None)


def _spki(public: object) -> bytes:
    encoded: bytes = public.public_bytes(  # type: ignore[attr-defined]
        serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo
    )
    return encoded
