"""Where coordinators are: one address or several, of which one that does not answer is left for the next."""

from __future__ import annotations

import ipaddress
from collections.abc import Iterable

from concert.errors import ConcertError, InvalidArgument, Unavailable

_LOCAL_ADVICE = "; `concert dev` starts a coordinator"
_REMOTE_ADVICE = "; is the address right, and does the coordinator run"
_REFUSED = "connection refused"
_CURES = (
    ("certificate_verify_failed", "the certificate of {} is not trusted: give the root certificate, as `credentials`"),
    ("peer name", "the certificate of {} is one of another name"),
    ("socket closed", "{} hung up: does it want TLS, or a certificate of yours (mutual TLS)"),
    ("handshake", "{} does not speak TLS, or not with these `credentials`"),
    (_REFUSED, "nothing listens at {}"),
    ("dns", "the name in {} does not resolve"),
    ("name resolution", "the name in {} does not resolve"),
)


class Addresses:
    """At least one HOST:PORT. All of them serve the same; which is in use is everybody's choice together."""

    def __init__(self, given: str | Iterable[str]) -> None:
        """Raises InvalidArgument when there is none."""
        self._all = (given,) if isinstance(given, str) else tuple(given)
        self._index = 0
        if not self._all or not all(self._all):
            raise InvalidArgument("an address is HOST:PORT, and there is at least one")

    def __str__(self) -> str:
        return ", ".join(self._all)

    def __len__(self) -> int:
        return len(self._all)

    @property
    def current(self) -> str:
        """The one in use."""
        return self._all[self._index]

    @property
    def are_local(self) -> bool:
        """Whether all are of this machine, so that nothing leaves it."""
        return all(_is_loopback(each) for each in self._all)

    def leave(self, address: str) -> bool:
        """Goes on with the next one, unless somebody has already; whether there is another."""
        if address == self.current:
            self._index = (self._index + 1) % len(self._all)
        return address != self.current


def _is_loopback(address: str) -> bool:
    if address.startswith(("unix:", "unix-abstract:")):
        return True
    host = address.removeprefix("dns:").lstrip("/").rpartition(":")[0].strip("[]")
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host.lower() == "localhost"


def is_refused(error: ConcertError) -> bool:
    """Whether nothing listened there, as when no coordinator was started."""
    return _REFUSED in error.message.lower()


def unreached(address: str, error: ConcertError) -> ConcertError:
    """The error, with what to do about it where it is the transport's: a coordinator's own have a reason."""
    if not isinstance(error, Unavailable) or error.reason:
        return error
    said = error.message.lower()
    cure = next((cure for word, cure in _CURES if word in said), "{}").format(address)
    if is_refused(error):
        cure += _LOCAL_ADVICE if _is_loopback(address) else _REMOTE_ADVICE
    return Unavailable(f"{cure}: {error.message}", reason="")


def without_advice(message: str) -> str:
    """What `unreached` says, for whoever knows better what to do about it."""
    return message.replace(_LOCAL_ADVICE, "").replace(_REMOTE_ADVICE, "")
