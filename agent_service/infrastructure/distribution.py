"""A distribution: the servers that stand in front of a bucket.

Three listeners on the loopback interface: HTTPS for visitors, HTTP for those who still come that way, and an admin
endpoint through which another process changes the settings. The admin endpoint asks for the token that lies in a file
beside the settings (the path travels through the coordinator, the secret does not) and for the fencing token of the
lock `distribution/<domain>`, and refuses one older than it has seen. Settings survive a restart; so do the ports.
"""

from __future__ import annotations

import asyncio
import contextlib
import hmac
import html
import logging
import socket
import ssl
from pathlib import Path
from typing import Any, TypeVar
from urllib.parse import unquote

import msgspec
from aiohttp import web

from agent_service.faults import StaleFenceRefused
from agent_service.files import Fence, secret_file, write_atomically
from agent_service.infrastructure.bucket import Bucket, Release, StoredObject
from agent_service.infrastructure.certificates import Certificate
from agent_service.infrastructure.settings import AccessSettings, HeaderSettings, RedirectSettings, Settings

log = logging.getLogger(__name__)

LOOPBACK = "127.0.0.1"
REQUEST_BYTES_MAX = 64 * 1024
FENCING_HEADER = "Concert-Fencing-Token"
SECTIONS: dict[str, type[msgspec.Struct]] = {
    "redirect": RedirectSettings,
    "headers": HeaderSettings,
    "access": AccessSettings,
}
T = TypeVar("T")


class Ports(msgspec.Struct, kw_only=True):
    """Where a distribution listened last; 0 means anywhere."""

    https_port: int = 0
    http_port: int = 0
    admin_port: int = 0


class Origin(msgspec.Struct, frozen=True, kw_only=True):
    """What a distribution serves and with which certificate."""

    bucket_directory: str
    certificate_file: str
    key_file: str

    def is_there(self) -> bool:
        """Whether the certificate can be served with."""
        return Path(self.certificate_file).exists() and Path(self.key_file).exists()


class Distribution:
    """One site's servers. start() is idempotent, and attach() gives it a bucket and a certificate."""

    def __init__(self, directory: Path, domain: str) -> None:
        self.directory = directory
        self.domain = domain
        self.ports = Ports()
        self.settings = Settings()
        self.admin_token_file = directory / "admin-token"
        self._fence = Fence(directory)
        self._bucket: Bucket | None = None
        self._runners: list[web.AppRunner] = []
        self._tls: ssl.SSLContext | None = None

    @property
    def started(self) -> bool:
        """Whether its listeners are up."""
        return bool(self._runners)

    async def start(self) -> None:
        """Listens for HTTP and for its admin. What was attached before a restart is served again at once."""
        if self.started:
            return
        self.directory.mkdir(parents=True, exist_ok=True)
        self.ports = self._read("ports.json", Ports) or Ports()
        self.settings = self._read("settings.json", Settings) or Settings()
        secret_file(self.admin_token_file)
        self.ports.http_port = await self._listen(_application(self._over_http), self.ports.http_port)
        self.ports.admin_port = await self._listen(self._admin(), self.ports.admin_port)
        origin = self._read("origin.json", Origin)
        if origin is not None and origin.is_there():
            await self._serve(origin)
        self._write("ports.json", self.ports)

    async def attach(self, bucket: Bucket, certificate: Certificate, fencing_token: int) -> None:
        """Serves `bucket` over HTTPS with `certificate`, now and after a restart. Raises StaleFenceRefused."""
        origin = Origin(
            bucket_directory=str(bucket.directory),
            certificate_file=certificate.certificate_file,
            key_file=certificate.key_file,
        )
        with self._fence.writing(fencing_token):
            self._write("origin.json", origin)
        await self._serve(origin)
        self._write("ports.json", self.ports)

    async def stop(self) -> None:
        """Stops listening. Connections get a moment to finish."""
        runners, self._runners = self._runners, []
        self._tls = None
        for runner in reversed(runners):
            await runner.cleanup()

    async def _serve(self, origin: Origin) -> None:
        self._bucket = Bucket(Path(origin.bucket_directory))
        if self._tls is None:
            self._tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            self._tls.minimum_version = ssl.TLSVersion.TLSv1_2
            self._tls.load_cert_chain(origin.certificate_file, origin.key_file)
            self.ports.https_port = await self._listen(_application(self._over_https), self.ports.https_port, self._tls)
        else:  # a renewed certificate is used from the next handshake on
            self._tls.load_cert_chain(origin.certificate_file, origin.key_file)

    async def _listen(self, application: web.Application, port: int, tls: ssl.SSLContext | None = None) -> int:
        runner = web.AppRunner(
            application, access_log=None, handle_signals=False, shutdown_timeout=1.0, keepalive_timeout=15.0
        )
        await runner.setup()
        self._runners.append(runner)
        listener = _bind(port)
        await web.SockSite(runner, listener, ssl_context=tls).start()
        return int(listener.getsockname()[1])

    # Visitors

    async def _over_http(self, request: web.Request) -> web.StreamResponse:
        if not self._knows(request):
            return _answer(421, "This server does not serve that host.")
        if self.settings.redirect.https_only and self._tls is not None:
            host = _host(request)
            port = "" if self.ports.https_port == 443 else f":{self.ports.https_port}"
            target = request.raw_path if request.raw_path.startswith("/") else "/"
            return web.Response(status=308, headers={"Location": f"https://{host}{port}{target}", "Server": "concert"})
        return await self._visit(request)

    async def _over_https(self, request: web.Request) -> web.StreamResponse:
        response = await self._visit(request) if self._knows(request) else _answer(421, "Not served here.")
        response.headers.update(self.settings.headers.headers)
        if _host(request) != self.domain:
            # A browser would apply it to every other server on this machine's localhost.
            response.headers.popall("Strict-Transport-Security", None)
        return response

    def _knows(self, request: web.Request) -> bool:
        return _host(request) in {self.domain, "localhost", LOOPBACK}

    async def _visit(self, request: web.Request) -> web.Response:
        access = self.settings.access
        if request.method not in access.methods:
            return _answer(405, "Method not allowed.", {"Allow": ", ".join(access.methods)})
        if request.method == "OPTIONS":
            return _answer(204, "", {"Allow": ", ".join(access.methods)})
        path = _plain_path(request.raw_path)
        if path is None:
            return _answer(400, "That is no path.")
        if access.deny_dotfiles and any(part.startswith(".") for part in path.split("/")):
            return _answer(403, "Not for visitors.")
        for protected in access.protected:
            if f"/{path}".startswith(protected.prefix):
                authorization = request.headers.get("Authorization", "")
                if not await asyncio.to_thread(protected.admits, authorization):
                    return _answer(401, "A password is needed.", {"WWW-Authenticate": 'Basic realm="site"'})
        if self._bucket is None:
            return _answer(503, "Nothing to serve yet.", {"Retry-After": "1"})
        return await self._find(self._bucket, request, path)

    async def _find(self, bucket: Bucket, request: web.Request, path: str) -> web.Response:
        release = bucket.current()
        stored = release.objects.get(path + "index.html" if path.endswith("/") or not path else path)
        if stored is not None:
            return await _content(bucket, request, path, stored, 200)
        if f"{path}/index.html" in release.objects:
            return web.Response(status=308, headers={"Location": f"/{path}/", "Server": "concert"})
        if self.settings.access.listings and (path.endswith("/") or not path):
            return _listing(release, path)
        missing = release.objects.get("404.html")
        if missing is not None:
            return await _content(bucket, request, "404.html", missing, 404)
        return _answer(404, "There is nothing here.")

    # The admin endpoint

    def _admin(self) -> web.Application:
        application = web.Application(client_max_size=REQUEST_BYTES_MAX)
        application.router.add_get("/settings", self._read_settings)
        application.router.add_put("/settings/{section}", self._put_section)
        return application

    def _admits(self, request: web.Request) -> bool:
        given = request.headers.get("Authorization", "").removeprefix("Bearer ")
        return hmac.compare_digest(given.encode(), secret_file(self.admin_token_file).encode())

    async def _read_settings(self, request: web.Request) -> web.Response:
        if not self._admits(request):
            return _answer(401, "The admin token is needed.")
        return _json(self.settings)

    async def _put_section(self, request: web.Request) -> web.Response:
        if not self._admits(request):
            return _answer(401, "The admin token is needed.")
        section = request.match_info["section"]
        if section not in SECTIONS:
            return _answer(404, f"There is no section {section}.")
        try:
            fencing_token = int(request.headers.get(FENCING_HEADER, ""))
        except ValueError:
            return _answer(428, f"{FENCING_HEADER} has to carry the fencing token of the lock held.")
        try:
            value = msgspec.json.decode(await request.read(), type=SECTIONS[section])
        except (msgspec.DecodeError, ValueError) as error:
            return _answer(422, str(error))
        try:
            with self._fence.writing(fencing_token):
                self._set(section, value)
        except StaleFenceRefused as error:
            return _answer(409, str(error))
        return _json(self.settings)

    def _set(self, section: str, value: Any) -> None:
        if getattr(self.settings, section) == value:
            return
        changed = msgspec.structs.replace(self.settings, revision=self.settings.revision + 1, **{section: value})
        self._write("settings.json", changed)
        self.settings = changed

    def _read(self, name: str, kind: type[T]) -> T | None:
        path = self.directory / name
        return msgspec.json.decode(path.read_bytes(), type=kind) if path.exists() else None

    def _write(self, name: str, value: msgspec.Struct) -> None:
        write_atomically(self.directory / name, msgspec.json.encode(value), mode=0o600)


def _application(visit: Any) -> web.Application:
    application = web.Application(client_max_size=REQUEST_BYTES_MAX)
    application.router.add_route("*", "/{path:.*}", visit)
    return application


def _host(request: web.Request) -> str:
    return request.host.rsplit(":", 1)[0]


def _bind(port: int) -> socket.socket:
    """A listening socket on `port`, or on any when that one is taken or 0."""
    for wanted in (port, 0):
        listener = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        with contextlib.suppress(OSError):
            listener.bind((LOOPBACK, wanted))
            listener.setblocking(False)
            return listener
        listener.close()
    raise OSError("no port is free")


def _plain_path(raw_path: str) -> str | None:
    """The path decoded once, without its leading slash; None when it tries to leave the site."""
    decoded = unquote(raw_path.partition("?")[0], errors="replace")
    if not decoded.startswith("/") or "\\" in decoded or "\x00" in decoded or "//" in decoded:
        return None
    if any(part in (".", "..") for part in decoded.split("/")):
        return None
    return decoded[1:]


async def _content(bucket: Bucket, request: web.Request, path: str, stored: StoredObject, status: int) -> web.Response:
    # Names under assets/ carry a digest of their content, so they never change.
    age = "public, max-age=31536000, immutable" if path.startswith("assets/") else "public, max-age=60"
    headers = {
        "Content-Type": stored.content_type,
        "ETag": f'"{stored.sha256}"',
        "Cache-Control": age,
        "Server": "concert",
    }
    if status == 200 and request.headers.get("If-None-Match") == headers["ETag"]:
        return web.Response(status=304, headers=headers)
    try:
        body = await asyncio.to_thread(bucket.object_path(stored).read_bytes)
    except FileNotFoundError:
        log.error("the bucket has lost %s (%s)", path, stored.sha256)
        return _answer(500, "The bucket has lost this object.")
    return web.Response(status=status, body=body, headers=headers)


def _listing(release: Release, prefix: str) -> web.Response:
    names = sorted({path[len(prefix) :].split("/")[0] for path in release.objects if path.startswith(prefix)})
    items = "".join(f'<li><a href="{html.escape(name)}">{html.escape(name)}</a></li>' for name in names)
    title = html.escape(f"Index of /{prefix}")
    return web.Response(
        text=f"<!doctype html><title>{title}</title><h1>{title}</h1><ul>{items}</ul>",
        content_type="text/html",
        headers={"Server": "concert"},
    )


def _answer(status: int, text: str, headers: dict[str, str] | None = None) -> web.Response:
    return web.Response(status=status, text=text and text + "\n", headers={"Server": "concert", **(headers or {})})


def _json(value: msgspec.Struct) -> web.Response:
    return web.Response(body=msgspec.json.encode(value), content_type="application/json", headers={"Server": "concert"})
