"""What the page does for operators: calls of the contract, made by the handlers that serve them over gRPC.

    GET  /me?namespace=NAME      {"principal", "acts", "token"}: who asks, what the page offers that one, and what it
                                 has to show with each call
    POST /call/SERVICE/METHOD    request and response in JSON; an error is a google.rpc.Status in JSON

Nothing is decided here but whether it is the page that asks (same_origin.py).
"""

from __future__ import annotations

import asyncio
from typing import Final, Protocol

import msgspec
from aiohttp import web

from coordinator_service.security.gate import Gate
from coordinator_service.security.roles import Access
from coordinator_service.web.guarded import CALLER, authorization_of
from coordinator_service.web.same_origin import TOKEN_HEADER, PageTokens, comes_from_page

BODY_SECONDS_MAX: Final = 10.0
"""How long a request may take to arrive."""


class Answer(Protocol):
    """To a call."""

    @property
    def status(self) -> int:
        """Of HTTP."""

    @property
    def body(self) -> str:
        """A message in JSON."""


class Calls(Protocol):
    """What makes the calls (rpc/json_calls.py)."""

    def open_to(self, access: Access | None) -> list[str]:
        """Those that a caller may make about whatever is in its namespace; None is a caller that is not asked for."""

    async def call(self, name: str, body: bytes, *, authorization: str, peer: str) -> Answer:
        """Makes one. Raises KeyError for no such call."""


class Acting:
    """Of one page. Without calls it does nothing for anybody. gate is None where callers are not authenticated."""

    def __init__(self, calls: Calls | None, tokens: PageTokens, gate: Gate | None) -> None:
        self._calls = calls
        self._tokens = tokens
        self._gate = gate

    def add_to(self, application: web.Application) -> None:
        """Adds it to what is served."""
        application.router.add_get("/me", self._serve_me)
        application.router.add_post("/call/{service}/{method}", self._serve_call)

    async def _serve_me(self, request: web.Request) -> web.Response:
        principal = _principal(request)
        acts: list[str] = []
        if self._calls is not None:
            namespace = request.query.get("namespace", "") or "default"
            access = None if self._gate is None else self._gate.access_of(request[CALLER], namespace)
            acts = self._calls.open_to(access)
        found = {"principal": principal, "acts": acts, "token": self._tokens.issue(principal)}
        return _answer(200, msgspec.json.encode(found))

    async def _serve_call(self, request: web.Request) -> web.Response:
        if self._calls is None:
            return _refused(403, "PAGE_READ_ONLY", "this page only shows")
        if request.content_type != "application/json":
            return _refused(415, "CONTENT_TYPE", "the request has to be application/json")
        if not comes_from_page(request):
            return _refused(403, "CROSS_SITE", "another site than the page asks for this")
        if not self._tokens.accept(request.headers.get(TOKEN_HEADER, ""), _principal(request)):
            return _refused(403, "PAGE_TOKEN", f"{TOKEN_HEADER} is no token of this page, or was one for too long")
        try:
            async with asyncio.timeout(BODY_SECONDS_MAX):
                body = await request.read()
        except TimeoutError:
            return _refused(408, "REQUEST_TIMEOUT", f"the request did not arrive within {BODY_SECONDS_MAX:.0f} s")
        except web.HTTPRequestEntityTooLarge as fault:
            return _refused(413, "REQUEST_SIZE", fault.text or "the request is too large")
        authorization = "" if self._gate is None else authorization_of(request)
        name = f"{request.match_info['service']}/{request.match_info['method']}"
        try:
            found = await self._calls.call(name, body, authorization=authorization, peer=_peer(request))
        except KeyError:
            return _refused(404, "NO_SUCH_CALL", "the page makes no such call")
        return _answer(found.status, found.body.encode())


def _principal(request: web.Request) -> str:
    return request[CALLER].principal if CALLER in request else ""


def _peer(request: web.Request) -> str:
    return f"page:{request.remote}"


def _refused(status: int, reason: str, message: str) -> web.Response:
    """As a google.rpc.Status, like whatever a call is refused with."""
    info = {"@type": "type.googleapis.com/google.rpc.ErrorInfo", "reason": reason, "domain": "concert"}
    code = {403: 7, 404: 5, 408: 4}.get(status, 3)
    return _answer(status, msgspec.json.encode({"code": code, "message": message, "details": [info]}))


def _answer(status: int, body: bytes) -> web.Response:
    return web.Response(
        status=status, body=body, content_type="application/json", headers={"Cache-Control": "no-store"}
    )
