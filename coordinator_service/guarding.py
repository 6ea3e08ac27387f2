"""What authenticates callers, put together from the configuration and kept in step with its files: the gate, the files
that it is told of, the keys of an issuer.

What reads certificates and JWTs is loaded only where there are any: it takes longer to load than all the rest here.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

import grpc

from coordinator_service import access_file, token_file
from coordinator_service.clock import Clock
from coordinator_service.cluster.grpc_wire import LinkCredentials
from coordinator_service.config import Settings
from coordinator_service.file_watch import FileWatch, Value
from coordinator_service.rpc.guard import Guard
from coordinator_service.security.gate import Gate, Jwts, OfCertificate
from coordinator_service.security.roles import AccessTable
from coordinator_service.security.static_tokens import TokenTable
from coordinator_service.yaml_nodes import FileFault

if TYPE_CHECKING:
    from coordinator_service.certificates import ServerCertificates
    from coordinator_service.key_fetching import KeyFetching
    from coordinator_service.security.key_set import KeySet


class Guarding:
    """Of one server. `load` before anything else, then `begin`, `close` at the end."""

    def __init__(self, settings: Settings, clock: Clock) -> None:
        self.guard: Guard | None = None
        """Once it is loaded, where callers are authenticated."""
        self.links: LinkCredentials | None = None
        """Once they are loaded, where links between replicas speak TLS."""
        self._settings = settings
        self._clock = clock
        self._certificates: ServerCertificates | None = None
        self._link_certificates: ServerCertificates | None = None
        self._access: FileWatch[AccessTable] | None = None
        self._tokens: FileWatch[TokenTable] | None = None
        self._key_file: FileWatch[KeySet] | None = None
        self._fetching: KeyFetching | None = None
        if settings.tls_certificate is not None:
            self._certificates = self._certificates_for(settings.tls_client_ca)
        if settings.cluster_tls_ca is not None:
            self._link_certificates = self._certificates_for(settings.cluster_tls_ca)
        if settings.access_file is not None:
            self._access = self._watch(
                "access file", settings.access_file, access_file.parse, access_file.FILE_BYTES_MAX
            )
        if settings.token_hashes_file is not None:
            self._tokens = self._watch(
                "token file", settings.token_hashes_file, token_file.parse, token_file.FILE_BYTES_MAX
            )
        if settings.jwt_keys is not None:
            from coordinator_service.key_fetching import KeyFetching
            from coordinator_service.security.key_set import KEY_SET_BYTES_MAX

            if urlsplit(settings.jwt_keys).scheme in ("http", "https"):
                self._fetching = KeyFetching(settings.jwt_keys, clock, settings.jwt_refresh_seconds)
            else:
                self._key_file = self._watch("key file", Path(settings.jwt_keys), _read_keys, KEY_SET_BYTES_MAX)

    def _certificates_for(self, authorities: Path | None) -> ServerCertificates:
        from coordinator_service.certificates import ServerCertificates

        settings = self._settings
        assert settings.tls_certificate is not None
        assert settings.tls_private_key is not None
        seconds = settings.security_poll_seconds
        return ServerCertificates(settings.tls_certificate, settings.tls_private_key, authorities, self._clock, seconds)

    def _watch(
        self, what: str, path: Path, read: Callable[[Sequence[bytes]], Value], bytes_max: int
    ) -> FileWatch[Value]:
        seconds = self._settings.security_poll_seconds
        return FileWatch(what, (path,), read, self._clock, seconds, bytes_max=bytes_max)

    def load(self) -> grpc.ServerCredentials | None:
        """Reads every file for the first time; what to serve with, None for plain text. Raises FileUnusable."""
        credentials = None if self._certificates is None else self._certificates.load()
        if self._link_certificates is not None:
            to_serve, to_ask_with = self._link_certificates.load(), self._link_certificates.to_ask_with
            self.links = LinkCredentials(to_serve, to_ask_with, self._settings.cluster_tls_name)
        if self._access is not None:
            gate = Gate(
                self._clock,
                access=self._access.load(),
                of_certificate=self._of_certificate(),
                tokens=None if self._tokens is None else self._tokens.load(),
                jwts=self._jwts(),
            )
            if self._key_file is not None:
                gate.take_keys(self._key_file.load())
            self.guard = Guard(gate)
        return credentials

    def _of_certificate(self) -> OfCertificate | None:
        if self._settings.tls_client_ca is None:
            return None
        from coordinator_service.security.certificate_identity import identity_of_certificate

        return identity_of_certificate

    def _jwts(self) -> Jwts | None:
        rules = self._settings.jwt_rules()
        if rules is None:
            return None
        from coordinator_service.security.json_web_tokens import Verifier

        return Verifier(rules=rules, fetch_keys=None if self._fetching is None else self._fetching.newest)

    def begin(self) -> None:
        """Follows the files, and the issuer, from now on."""
        for each in (self._certificates, self._link_certificates):
            if each is not None:
                each.begin()
        if self.guard is None:
            return
        gate = self.guard.gate
        if self._access is not None:
            self._access.begin(gate.take_access)
        if self._tokens is not None:
            self._tokens.begin(gate.take_tokens)
        if self._key_file is not None:
            self._key_file.begin(gate.take_keys)
        if self._fetching is not None:
            self._fetching.begin(gate.take_keys)

    async def close(self) -> None:
        """Follows them no more."""
        for each in self._watches():
            await each.close()
        if self._fetching is not None:
            await self._fetching.close()

    def reload(self) -> None:
        """Looks at every file at once."""
        for each in self._watches():
            each.reload()

    def faults(self) -> dict[str, tuple[str, int]]:
        """What is wrong with the files and the issuer now, by the setting that names them, and since when."""
        sources = {
            "tls_certificate": None if self._certificates is None else self._certificates.watch,
            "cluster_tls_ca": None if self._link_certificates is None else self._link_certificates.watch,
            "access_file": self._access,
            "token_hashes_file": self._tokens,
            "jwt_keys": self._fetching or self._key_file,
        }
        return {
            name: (each.fault, each.failing_since_ns)
            for name, each in sources.items()
            if each is not None and each.fault
        }

    def _watches(self) -> list[FileWatch[Any]]:
        certificates = [each.watch for each in (self._certificates, self._link_certificates) if each is not None]
        watches = (*certificates, self._access, self._tokens, self._key_file)
        return [each for each in watches if each is not None]


def _read_keys(contents: Sequence[bytes]) -> KeySet:
    from coordinator_service.security.key_set import KeysUnusable, read_key_set

    try:
        return read_key_set(contents[0])
    except KeysUnusable as fault:
        raise FileFault(0, "", str(fault)) from None
