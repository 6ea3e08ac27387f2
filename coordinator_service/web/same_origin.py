"""What tells a request of the page itself from one that another site made the browser send.

Three things, each of which would do: what the browser says of the site that a request comes from (Fetch Metadata, else
the Origin), a type of content that no form can send, and a token that only a script of the page can have read. They do
not help a page without authentication against a name that an attacker lets point to this machine (DNS rebinding): that
one is of the same origin as itself. There the host is held against the names that this machine has.
"""

from __future__ import annotations

import hashlib
import hmac
import ipaddress
import secrets
from collections.abc import Awaitable, Callable, Collection
from typing import Final
from urllib.parse import urlsplit

from aiohttp import web
from aiohttp.typedefs import Middleware

from coordinator_service.clock import Clock
from coordinator_service.core.values import NS_PER_SECOND

TOKEN_HEADER: Final = "X-CSRF-Token"
TOKEN_SECONDS: Final = 12 * 3600
_TOKEN_BYTES_MAX: Final = 512
_MISDIRECTED: Final = "this page is for localhost: name other hosts with --web-hosts"

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


def comes_from_page(request: web.Request) -> bool:
    """Whether the browser says that the page itself asks. Browsers say so for https and localhost by Sec-Fetch-Site,
    for whatever else by the Origin."""
    sites, origins = request.headers.getall("Sec-Fetch-Site", []), request.headers.getall("Origin", [])
    if sites:
        return sites == ["same-origin"]
    return len(origins) == 1 and _netloc(origins[0]) == _host(request)


def comes_by_name(request: web.Request, hosts: Collection[str]) -> bool:
    """Whether a browser asks by a name of this machine, or one of those that are given: in the address, and where it
    says from which origin, there too."""
    named = [_host(request), *map(_netloc, request.headers.getall("Origin", []))]
    return all(_is_local(each) or _without_port(each) in hosts for each in named)


def known_by(hosts: Collection[str], exempt: Collection[str]) -> Middleware:
    """The middleware that answers only those who ask by a name of this machine, or one of those."""

    @web.middleware
    async def known(request: web.Request, handler: Handler) -> web.StreamResponse:
        if request.path in exempt or comes_by_name(request, hosts):
            return await handler(request)
        return web.Response(status=403, text=_MISDIRECTED)

    return known


class PageTokens:
    """Tokens that a page is given when it is loaded and shows when it asks for something: for one principal, and for
    some hours. shared is what replicas share, so that each knows the tokens of the others; without it each has its
    own."""

    def __init__(self, clock: Clock, shared: str = "") -> None:
        self._clock = clock
        own = shared.encode() if shared else secrets.token_bytes(32)
        self._key = hashlib.sha256(b"tokens of the page\0" + own).digest()

    def issue(self, principal: str) -> str:
        """A token."""
        claim = f"{self._now_seconds() + TOKEN_SECONDS}.{secrets.token_hex(8)}"
        return f"{claim}.{self._seal(claim, principal)}"

    def accept(self, token: str, principal: str) -> bool:
        """Whether it was issued to that principal, and holds."""
        claim, _, seal = token.rpartition(".")
        if len(token) > _TOKEN_BYTES_MAX or not token.isascii():
            return False
        if not hmac.compare_digest(seal, self._seal(claim, principal)):
            return False
        return int(claim.partition(".")[0]) > self._now_seconds()

    def _seal(self, claim: str, principal: str) -> str:
        return hmac.new(self._key, f"{claim}\0{principal}".encode(errors="replace"), hashlib.sha256).hexdigest()

    def _now_seconds(self) -> int:
        return self._clock.wall_ns() // NS_PER_SECOND


def _host(request: web.Request) -> str:
    """As it came; empty unless there is exactly one. (aiohttp would put the machine's own name in its place.)"""
    given = request.headers.getall("Host", [])
    return given[0].lower() if len(given) == 1 else ""


def _netloc(origin: str) -> str:
    try:
        return urlsplit(origin).netloc.lower()
    except ValueError:
        return ""


def _without_port(netloc: str) -> str:
    try:
        return urlsplit(f"//{netloc}").hostname or ""
    except ValueError:
        return ""


def _is_local(netloc: str) -> bool:
    host = _without_port(netloc)
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost" or host.endswith(".localhost")
