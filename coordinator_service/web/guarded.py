"""The page where callers are authenticated: for those that may view the namespace they ask for. Health is open to all.

Browsers ask for a name and a password: the password is the token. What is followed ends when its credential does, or
when its role is taken away.
"""

from __future__ import annotations

import asyncio
import base64
import binascii
from collections.abc import Awaitable, Callable
from typing import Any, Final

from aiohttp import web
from aiohttp.typedefs import Middleware

from coordinator_service.core.rejections import PermissionDenied, Rejection, Unauthenticated
from coordinator_service.security.gate import Gate
from coordinator_service.security.identities import Identity
from coordinator_service.security.roles import Role

OPEN: Final = frozenset(("/health", "/ready"))
ABOUT_A_NAMESPACE: Final = frozenset(("/live", "/event", "/events", "/me"))
CALLER: Final = web.RequestKey("caller", Identity)
"""Who asks, of each request that is let through."""
_ASK: Final = {"WWW-Authenticate": 'Basic realm="concert: the password is your token", charset="UTF-8"'}
_HIDDEN: Final = "the page is not served in plain text to other machines"

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


def guarded(gate: Gate, *, exposed: bool) -> Middleware:
    """The middleware. exposed: tokens would travel in plain text, so nothing but health is served."""

    @web.middleware
    async def guard(request: web.Request, handler: Handler) -> web.StreamResponse:
        if request.path in OPEN:
            return await handler(request)
        if exposed:
            return web.Response(status=403, text=_HIDDEN)
        try:
            identity = await gate.identify(authorization_of(request), b"")
            namespace = request.query.get("namespace", "") or "default"

            def check() -> None:
                if request.path in ABOUT_A_NAMESPACE:
                    gate.access_of(identity, namespace).require(Role.VIEWER)
                elif gate.access.highest(identity.principal) < Role.VIEWER:
                    raise PermissionDenied(f"{identity.principal}: needs the role viewer", needed={"role": "viewer"})

            check()
        except Unauthenticated as refusal:
            gate.refusals.count(refusal)
            return web.Response(status=401, text=refusal.message, headers=_ASK)
        except Rejection as refusal:
            gate.refusals.count(refusal)
            status = 403 if isinstance(refusal, PermissionDenied) else 503
            return web.Response(status=status, text=refusal.message)
        request[CALLER] = identity
        answering: asyncio.Future[web.StreamResponse] = asyncio.ensure_future(handler(request))
        ended: asyncio.Future[Rejection] = asyncio.get_running_loop().create_future()
        stay = gate.stay(identity, check, lambda reason: _set(ended, reason))
        try:
            either: set[asyncio.Future[Any]] = {answering, ended}
            await asyncio.wait(either, return_when=asyncio.FIRST_COMPLETED)
            if not answering.done():
                if request.transport is not None:
                    request.transport.abort()
                answering.cancel()
            return await answering
        finally:
            stay.close()
            answering.cancel()

    return guard


def _set(ended: asyncio.Future[Any], reason: Rejection) -> None:
    if not ended.done():
        ended.set_result(reason)


def authorization_of(request: web.Request) -> str:
    """A bearer token, as in calls, or that which a browser sends as a password. Raises Unauthenticated."""
    given = request.headers.getall("Authorization", [])
    if len(given) > 1:
        raise Unauthenticated("authorization is given twice")
    if not given or not given[0].lower().startswith("basic "):
        return given[0] if given else ""
    try:
        decoded = base64.b64decode(given[0][len("basic ") :], validate=True).decode()
    except (binascii.Error, UnicodeDecodeError):
        raise Unauthenticated("the authorization cannot be read") from None
    return f"Bearer {decoded.partition(':')[2]}"
