"""Who calls a coordinator that wants to know it: certificates, tokens, an access file, and what clients are told."""

from __future__ import annotations

import hashlib
import json
import secrets
from datetime import timedelta
from pathlib import Path
from typing import Any

import grpc

from clients.conformance.certificates import HOSTS
from tests.security.authority import AUDIENCE, EXPIRED, ISSUER, Authority, Issuer, key_set

RUNNER = "runner"
"""The runner's own principal, an admin: it reads every log."""
NOBODY = "nobody"
_LONG_AGO = "2020-01-01T00:00:00Z"


class Callers:
    """Of one coordinator, in its directory. Each principal has a certificate, a token, one that has expired, and a JWT
    (which names the principal `jwt:NAME`)."""

    def __init__(self, directory: Path, roles: dict[str, str], *, mutual: bool, jwt: bool) -> None:
        """`roles` by principal; each may register under its own name. `mutual`: no connection without a certificate;
        `jwt`: JWTs count.
        """
        self._directory = directory
        self._mutual = mutual
        self._jwt = jwt
        self._authority = Authority("Concert conformance")
        self._issuer = Issuer()
        self._tokens: dict[str, str] = {}
        self._expired = {principal: secrets.token_urlsafe(32) for principal in roles}
        self._own = self._authority.issue(uris=[_uri(RUNNER)])
        directory.joinpath("root.pem").write_bytes(self._authority.certificate)
        directory.joinpath("keys.json").write_text(key_set(self._issuer))
        self._authority.issue(hosts=HOSTS).write(directory, "server")
        Authority("somebody else").issue(uris=[_uri(RUNNER)]).write(directory, "foreign")
        for principal in roles:
            self._authority.issue(uris=[_uri(principal)]).write(directory, principal)
            self._authority.issue(uris=[_uri(principal)], life=EXPIRED).write(directory, f"expired-{principal}")
            self.renew("jwt", principal)
        for principal in (RUNNER, *roles):
            self._mint(principal)
        self._write_hashes()
        grants = [
            {"principals": [principal, _uri(principal), f"jwt:{principal}"], "role": role, "namespaces": ["*"]}
            for principal, role in {RUNNER: "admin", **roles}.items()
        ]
        directory.joinpath("access.yaml").write_text(json.dumps({"grants": grants}))

    def options(self) -> list[str]:
        """Arguments of the coordinator."""
        files = {
            "--tls-certificate": "server.pem",
            "--tls-private-key": "server.key",
            "--token-hashes-file": "hashes.yaml",
            "--access-file": "access.yaml",
            **({"--tls-client-ca": "root.pem"} if self._mutual else {}),
            **({"--jwt-keys": "keys.json"} if self._jwt else {}),
        }
        said = {option: self._path(name) for option, name in files.items()}
        if self._jwt:
            said |= {"--jwt-issuer": ISSUER, "--jwt-audience": AUDIENCE, "--jwt-leeway-seconds": "0"}
        return [word for pair in said.items() for word in pair]

    def place(self, caller: str | dict[str, str]) -> dict[str, Any]:
        """What a client is told (README.md): a principal, which shows its token, or `{principal, by}`."""
        said = {"principal": caller} if isinstance(caller, str) else caller
        told: dict[str, Any] = {"root_certificate": self._path("root.pem")}
        if said["principal"] != NOBODY:
            told |= self._shown(said["principal"], said.get("by", "token"))
        return told

    def renew(self, credential: str, principal: str, *, seconds: float = 86_400) -> None:
        """Another one in its file: a `token`, of which the coordinator forgets the old one, or a `jwt` or `certificate`
        with that much left to live.
        """
        match credential:
            case "token":
                self._mint(principal)
                self._write_hashes()
            case "jwt":
                self._write(f"{principal}.jwt", self._issuer.token(principal, seconds=seconds))
            case "certificate":
                self._renew_certificate(principal, timedelta(seconds=seconds))
            case _:
                raise KeyError(f"there is no {credential!r} to renew")

    def _renew_certificate(self, principal: str, life: timedelta) -> None:
        for end in ("pem", "key"):
            self._write(f"bygone-{principal}.{end}", (self._directory / f"{principal}.{end}").read_text())
        issued = self._authority.issue(uris=[_uri(principal)], life=life)
        self._write(f"{principal}.key", issued.key.decode())
        self._write(f"{principal}.pem", issued.certificate.decode())

    def channel(self) -> tuple[grpc.ChannelCredentials, tuple[tuple[str, str], ...]]:
        """The runner's own credentials, and its metadata."""
        token = (("authorization", f"Bearer {self._tokens[RUNNER]}"),)
        return self._authority.credentials(self._own), token

    def _shown(self, principal: str, by: str) -> dict[str, Any]:
        match by:
            case "token":
                return {"token": self._tokens[principal]}
            case "token_file" | "token_function":
                return {by: self._path(f"{principal}.token")}
            case "expired_token":
                return {"token": self._expired[principal]}
            case "wrong_token":
                return {"token": secrets.token_urlsafe(32)}
            case "jwt_file":
                return {"token_file": self._path(f"{principal}.jwt")}
            case "jwt_function":
                return {"token_function": self._path(f"{principal}.jwt")}
            case "expired_jwt":
                return {"token": self._issuer.token(principal, seconds=EXPIRED.total_seconds())}
            case "foreign_jwt":
                return {"token": Issuer(self._issuer.key_id).token(principal)}
            case "misaddressed_jwt":
                return {"token": self._issuer.token(principal, aud="another")}
            case "certificate":
                return self._pair(principal)
            case "expired_certificate" | "bygone_certificate":
                return self._pair(f"{by.partition('_')[0]}-{principal}")
            case "foreign_certificate":
                return self._pair("foreign")
        raise KeyError(f"nobody shows {by!r}")

    def _pair(self, name: str) -> dict[str, Any]:
        return {"certificate": self._path(f"{name}.pem"), "private_key": self._path(f"{name}.key")}

    def _path(self, name: str) -> str:
        return str(self._directory / name)

    def _mint(self, principal: str) -> None:
        self._tokens[principal] = secrets.token_urlsafe(32)
        self._write(f"{principal}.token", self._tokens[principal] + "\n")

    def _write_hashes(self) -> None:
        rows = [{"principal": name, "sha256": _hash(token)} for name, token in self._tokens.items()]
        rows += [
            {"principal": name, "sha256": _hash(token), "expires": _LONG_AGO} for name, token in self._expired.items()
        ]
        self._write("hashes.yaml", json.dumps({"tokens": rows}))

    def _write(self, name: str, text: str) -> None:
        written = self._directory / f"{name}.new"
        written.write_text(text)
        written.replace(self._directory / name)


def _uri(principal: str) -> str:
    return f"spiffe://conformance.concert.test/{principal}"


def _hash(token: str) -> str:
    return hashlib.sha256(token.encode()).hexdigest()
