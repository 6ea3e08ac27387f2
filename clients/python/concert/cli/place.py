"""Which coordinator and namespace a command is for."""

from __future__ import annotations

import getpass
import os
import socket
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import concert
from concert import errors
from concert._addresses import without_advice
from concert._client import ADDRESS_DEFAULT

TIMEOUT_SECONDS_DEFAULT = 10.0
RETRY_SECONDS_MAX = 3.0
"""How long a coordinator that nobody reaches is tried. A person who mistyped an address wants to know soon."""


@dataclass(frozen=True, slots=True)
class Trust:
    """PEM files of whom the command trusts and who it is, and the file of its bearer token."""

    ca: Path | None = None
    certificate: Path | None = None
    key: Path | None = None
    token_file: Path | None = None

    def but(self, other: Trust) -> Trust:
        """This one, except for what the other gives."""
        given = {name: getattr(other, name) or getattr(self, name) for name in ("ca", "certificate", "key")}
        return Trust(**given, token_file=other.token_file or self.token_file)

    def options(self) -> dict[str, Any]:
        """For `concert.connect`. Raises InvalidArgument."""
        asked = concert.credentials_from_environment({"CONCERT_TLS": os.environ.get("CONCERT_TLS", "")})
        if self.ca or self.certificate or self.key:
            asked["credentials"] = concert.tls(self.ca, certificate=self.certificate, key=self.key)
        if self.token_file:
            asked["token"] = concert.token_file(self.token_file)
        return dict(asked)


@dataclass(frozen=True, slots=True)
class Place:
    """Where, and how long a call may take."""

    address: str = ADDRESS_DEFAULT
    namespace: str = ""
    timeout_seconds: float = TIMEOUT_SECONDS_DEFAULT
    trust: Trust = field(default_factory=Trust)

    def but(
        self, address: str | None, namespace: str | None, timeout_seconds: float | None, trust: Trust | None = None
    ) -> Place:
        """This one, except for what is given."""
        given = {"address": address, "namespace": namespace, "timeout_seconds": timeout_seconds}
        known = {name: value for name, value in given.items() if value is not None}
        return replace(self, **known, trust=self.trust if trust is None else self.trust.but(trust))  # type: ignore[arg-type]

    def connect(self, writer: str = "") -> concert.Client:
        """A client. Connects with its first call."""
        return concert.connect(
            self.address,
            namespace=self.namespace,
            writer=writer or default_writer(),
            call_seconds=self.timeout_seconds,
            retry_seconds=min(self.timeout_seconds, RETRY_SECONDS_MAX),
            **self.trust.options(),
        )

    def cure(self, error: errors.ConcertError) -> str:
        """What a person may do about an error; empty where the error itself says it."""
        if error.code == "UNIMPLEMENTED":
            return f"the coordinator at {self.address} is older than this command: use one of the same version"
        if isinstance(error, errors.Unauthenticated):
            return "say who you are with --token-file or --tls-cert and --tls-key (docs/security.md)"
        if isinstance(error, errors.LockTimeout):
            return "wait longer with --wait, or see who holds it with `concert lock list`"
        if _nobody_answered(error):
            return (
                "start one with `concert dev`, or name another with --address HOST:PORT or CONCERT_ADDRESS;"
                " --timeout waits longer"
            )
        if isinstance(error, errors.StateConflictError) and error.current_revision:
            return f"read it again, then write with --base-revision {error.current_revision}"
        return ""

    def told(self, error: errors.ConcertError) -> str:
        """An error, for people."""
        if _nobody_answered(error):
            because = f" ({without_advice(error.message)})" if error.message else ""
            return f"no coordinator answered at {self.address} within {self.timeout_seconds:g} s{because}"
        if isinstance(error, errors.StateConflictError):
            return f"{error.reason}: {error.message}"
        return str(error)


def _nobody_answered(error: errors.ConcertError) -> bool:
    """Whether the error is the transport's, or no answer came in time: a coordinator's own errors have a reason."""
    return isinstance(error, errors.Unavailable | errors.DeadlineExceeded) and not error.reason


def default_writer() -> str:
    """Who writes shared state from here: one person on one machine is one writer, however many commands that takes."""
    given = os.environ.get("CONCERT_WRITER", "")
    if given:
        return given
    try:
        person = getpass.getuser()
    except (OSError, KeyError):
        person = str(os.getuid())
    return f"{person}@{socket.gethostname()}"[:128]
