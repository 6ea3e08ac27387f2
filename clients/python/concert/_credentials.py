"""Who this client is and whom it trusts: certificates for the channel, bearer tokens for the calls."""

from __future__ import annotations

import inspect
import os
from collections.abc import Awaitable, Callable, Mapping
from pathlib import Path
from typing import TypeAlias, TypedDict

import grpc

from concert.errors import ConcertError, InvalidArgument, Unauthenticated

TokenSource: TypeAlias = str | Callable[[], str | Awaitable[str]]
"""A bearer token, or what gives the one that is valid now; it is asked for every call and every stream, so it should
remember its answer."""
PathLike: TypeAlias = str | os.PathLike[str]

CA_VARIABLE = "CONCERT_TLS_CA"
CERTIFICATE_VARIABLE = "CONCERT_TLS_CERT"
KEY_VARIABLE = "CONCERT_TLS_KEY"
TOKEN_FILE_VARIABLE = "CONCERT_TOKEN_FILE"
TLS_VARIABLE = "CONCERT_TLS"


class Tls:
    """TLS with certificates from files, read anew for every connection, so that renewed ones count."""

    def __init__(
        self, ca: PathLike | None = None, *, certificate: PathLike | None = None, key: PathLike | None = None
    ) -> None:
        """`ca`: PEM file of the authorities that the coordinator's certificate is trusted from, those of the system
        when none is given. `certificate` (with its chain) and `key`: PEM files of this client's own, for mutual TLS.
        Raises InvalidArgument.
        """
        if (certificate is None) != (key is None):
            raise InvalidArgument("a client certificate and its key go together")
        self._paths = [None if path is None else Path(path) for path in (ca, key, certificate)]

    def channel_credentials(self) -> grpc.ChannelCredentials:
        """For a new connection. Raises InvalidArgument for a file that cannot be read."""
        return grpc.ssl_channel_credentials(*(None if path is None else _read(path) for path in self._paths))

    def version(self) -> tuple[int, ...]:
        """Changes when a file does."""
        return tuple(_changed_at(path) for path in self._paths if path is not None)


def tls(ca: PathLike | None = None, *, certificate: PathLike | None = None, key: PathLike | None = None) -> Tls:
    """Credentials for `connect` and `run_agents`: TLS, or with `certificate` and `key` mutual TLS. All are PEM files;
    without `ca` the authorities of the system are trusted. Files that change count for the next connection. Raises
    InvalidArgument.
    """
    return Tls(ca, certificate=certificate, key=key)


def token_file(path: PathLike) -> Callable[[], str]:
    """A token source that follows a file, such as a mounted secret: it is read again once it has changed. Raises
    InvalidArgument when it is asked and the file cannot be read.
    """
    file = Path(path)
    known: tuple[int, str] = (-1, "")

    def read() -> str:
        nonlocal known
        changed_at = _changed_at(file)
        if changed_at != known[0] or not changed_at:
            known = (changed_at, _read(file).decode(errors="replace").strip())
        return known[1]

    return read


class ConnectOptions(TypedDict):
    """What `connect` and `run_agents` take of that name."""

    credentials: Tls | None
    token: TokenSource | None


def credentials_from_environment(environment: Mapping[str, str] = os.environ) -> ConnectOptions:
    """The options `credentials` and `token` as the environment says: CONCERT_TLS_CA, CONCERT_TLS_CERT and
    CONCERT_TLS_KEY, CONCERT_TLS=1 for TLS with the authorities of the system, CONCERT_TOKEN_FILE. None where it says
    nothing. Use as `connect(address, **credentials_from_environment())`.
    """
    ca, certificate, key = (environment.get(name) or None for name in (CA_VARIABLE, CERTIFICATE_VARIABLE, KEY_VARIABLE))
    wanted = bool(ca or certificate or key) or environment.get(TLS_VARIABLE, "") in ("1", "true")
    file = environment.get(TOKEN_FILE_VARIABLE, "")
    return {
        "credentials": Tls(ca, certificate=certificate, key=key) if wanted else None,
        "token": token_file(file) if file else None,
    }


async def current_token(source: TokenSource) -> str:
    """The token that is valid now. Raises Unauthenticated when there is none; a ConcertError of the source stays."""
    if isinstance(source, str):
        return source
    try:
        given = source()
        return await given if inspect.isawaitable(given) else given
    except ConcertError:
        raise
    except Exception as error:
        raise Unauthenticated(f"there is no token: {error!r}") from error


def _read(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise InvalidArgument(f"{path} cannot be read: {error.strerror}") from None


def _changed_at(path: Path) -> int:
    try:
        return path.stat().st_mtime_ns
    except OSError:
        return 0
