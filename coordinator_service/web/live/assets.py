"""The files of the page, all of them ours, read once, and the headers that they are served with."""

from __future__ import annotations

import hashlib
from collections.abc import Awaitable, Callable
from importlib import resources
from typing import Final

from aiohttp import web

POLICY: Final = "; ".join(
    (
        "default-src 'none'",
        "script-src 'self'",
        "style-src 'self'",
        "img-src 'self'",
        "connect-src 'self'",
        "manifest-src 'self'",
        "base-uri 'none'",
        "form-action 'none'",
        "frame-ancestors 'none'",
        "require-trusted-types-for 'script'",
        "trusted-types 'none'",
    )
)
"""Content-Security-Policy: nothing from elsewhere, nothing inline, nothing made of text."""
HEADERS: Final = {
    "Content-Security-Policy": POLICY,
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "X-Frame-Options": "DENY",
}
_TYPES: Final = {
    "html": "text/html",
    "js": "text/javascript",
    "css": "text/css",
    "svg": "image/svg+xml",
}
_BUILD: Final = b"{build}"

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


class Assets:
    """The files by name, and what tells this build of the page from another."""

    def __init__(self) -> None:
        folder = resources.files("coordinator_service.web").joinpath("static")
        found = {each.name: each.read_bytes() for each in folder.iterdir() if each.name.rpartition(".")[2] in _TYPES}
        digest = hashlib.sha256(b"".join(name.encode() + found[name] for name in sorted(found)))
        self.build = digest.hexdigest()[:16]
        self._files = {name: data.replace(_BUILD, self.build.encode()) for name, data in found.items()}

    def add_to(self, application: web.Application) -> None:
        """Serves them: the page itself at the root, the others under /static."""
        application.router.add_get("/", self._serve)
        application.router.add_get("/static/{name}", self._serve)

    async def _serve(self, request: web.Request) -> web.StreamResponse:
        name = request.match_info.get("name", "index.html")
        data = self._files.get(name)
        if data is None:
            raise web.HTTPNotFound
        etag = f'"{self.build}"'
        headers = {"ETag": etag, "Cache-Control": "no-cache"}
        if request.headers.get("If-None-Match") == etag:
            return web.Response(status=304, headers=headers)
        return web.Response(body=data, content_type=_TYPES[name.rpartition(".")[2]], charset="utf-8", headers=headers)


@web.middleware
async def with_headers(request: web.Request, handler: Handler) -> web.StreamResponse:
    """What every answer is served with."""
    try:
        response = await handler(request)
    except web.HTTPException as refusal:
        refusal.headers.update(HEADERS)
        raise
    if not response.prepared:
        response.headers.update(HEADERS)
    return response
