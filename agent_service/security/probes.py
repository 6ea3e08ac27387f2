"""Looking at the site from outside, the way somebody would who means it no good.

Each probe is named, tries something real, and returns what it found; nothing found means that it passed.
"""

from __future__ import annotations

import asyncio
import contextlib
import datetime as dt
import ssl
import warnings
from collections.abc import Sequence

import aiohttp
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, rsa

from agent_service.site import Finding, Site
from agent_service.site_client import open_site, trust

EXCHANGE_SECONDS_MAX = 5.0
ANSWER_BYTES_MAX = 256 * 1024
CERTIFICATE_DAYS_MIN = 14
# Signs that something outside the site was served, or a list of what is inside.
LEAKS = (b"root:", b"PRIVATE KEY", b'"token"', b"[boot loader]")
LISTING_SIGNS = (b"Index of /", b"Directory listing for")

TRAVERSALS = (
    "/../../../../../../etc/passwd",
    "/..%2f..%2f..%2f..%2f..%2fetc/passwd",
    "/%2e%2e/%2e%2e/%2e%2e/%2e%2e/etc/passwd",
    "/assets/..%2f..%2f..%2fauthority%2fauthority-key.pem",
    "/assets/../../../authority/authority-key.pem",
    "/..%5c..%5c..%5cboot.ini",
    "/%252e%252e/%252e%252e/etc/passwd",
    "//etc/passwd",
    "/posts/%00/../../../etc/passwd",
)
LISTABLE = ("/assets/", "/tags/", "/images/", "/posts/leftover/")
WRITING_METHODS = ("POST", "PUT", "DELETE", "PATCH", "TRACE", "CONNECT", "OPTIONS")


async def tls_versions(site: Site) -> list[Finding]:
    """TLS 1.0 and 1.1 have to be refused, and 1.2 or 1.3 accepted."""
    found = [
        Finding(severity="high", check="tls_versions", where=site.url, what=f"accepts {version.name}")
        for version in (ssl.TLSVersion.TLSv1, ssl.TLSVersion.TLSv1_1)
        if await _shakes_hands(site, version)
    ]
    modern = [await _shakes_hands(site, version) for version in (ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3)]
    if not any(modern):
        found.append(
            Finding(
                severity="critical",
                check="tls_versions",
                where=site.url,
                what="accepts neither TLS 1.2 nor 1.3",
            )
        )
    return found


async def certificate(site: Site, *, now: dt.datetime | None = None) -> list[Finding]:
    """The certificate has to be trusted, for this name, strong, and good for some time yet."""

    def finding(severity: str, what: str) -> Finding:
        return Finding(severity=severity, check="certificate", where=site.url, what=what)

    try:
        async with _connected(site, trust(site.certificate.authority_file)) as (_, writer):
            der = writer.get_extra_info("ssl_object").getpeercert(binary_form=True)
    except (OSError, TimeoutError) as error:
        return [finding("critical", f"no trusted connection: {error}")]
    leaf = x509.load_der_x509_certificate(der)
    found: list[Finding] = []
    left = leaf.not_valid_after_utc - (now or dt.datetime.now(dt.UTC))
    if left < dt.timedelta(days=CERTIFICATE_DAYS_MIN):
        found.append(finding("high", f"ends in {left.days} days"))
    key = leaf.public_key()
    weak_rsa = isinstance(key, rsa.RSAPublicKey) and key.key_size < 2048
    weak_curve = isinstance(key, ec.EllipticCurvePublicKey) and key.key_size < 256
    if weak_rsa or weak_curve:
        found.append(finding("high", "its key is too short"))
    if isinstance(leaf.signature_hash_algorithm, hashes.SHA1 | hashes.MD5):
        found.append(finding("high", "signed with a broken hash"))
    return found


async def traversal(site: Site) -> list[Finding]:
    """No path may lead out of the site, however it is written. Sent raw, since clients tidy such paths up."""
    found: list[Finding] = []
    for path in TRAVERSALS:
        status, _, body = await exchange(site, "GET", path)
        if any(sign in body for sign in LEAKS) or 200 <= status < 300:
            found.append(Finding(severity="critical", check="traversal", where=path, what=f"answered with {status}"))
    return found


async def listings(site: Site) -> list[Finding]:
    """Nobody may be shown what lies under a path."""
    found: list[Finding] = []
    for path in LISTABLE:
        status, _, body = await exchange(site, "GET", path)
        if status == 200 and any(sign in body for sign in LISTING_SIGNS):
            found.append(Finding(severity="medium", check="listings", where=path, what="lists what is under it"))
    return found


async def dotfiles(site: Site) -> list[Finding]:
    """Hidden files are not for visitors, whether they are there or not."""
    found: list[Finding] = []
    for path in ("/.env", "/.git/config", "/assets/.htpasswd", "/%2eenv"):
        status, _, _ = await exchange(site, "GET", path)
        if status != 403:
            found.append(Finding(severity="medium", check="dotfiles", where=path, what=f"answered with {status}"))
    return found


async def methods(site: Site) -> list[Finding]:
    """A site that is only read allows reading only."""
    found: list[Finding] = []
    for method in WRITING_METHODS:
        status, _, body = await exchange(site, method, "/")
        if status < 400 or (method == "TRACE" and b"TRACE" in body):
            found.append(
                Finding(severity="medium", check="methods", where=f"{method} /", what=f"answered with {status}")
            )
    return found


async def disclosure(site: Site) -> list[Finding]:
    """Answers do not say which version of which software gave them, and errors show no trace of code."""
    found: list[Finding] = []
    for path in ("/", "/no-such-page", "/%"):
        _, headers, body = await exchange(site, "GET", path)
        for name in ("server", "x-powered-by"):
            if any(letter.isdigit() for letter in headers.get(name, "")):
                what = f"{name}: {headers[name]}"
                found.append(Finding(severity="low", check="disclosure", where=path, what=what))
        if b"Traceback (most recent call last)" in body:
            found.append(Finding(severity="medium", check="disclosure", where=path, what="shows a traceback"))
    return found


async def hosts(site: Site) -> list[Finding]:
    """A name that is not the site's gets nothing, so that nobody can borrow the site under another name."""
    status, _, _ = await exchange(site, "GET", "/", host="somebody-else.example")
    if status < 400:
        return [Finding(severity="low", check="hosts", where="Host", what=f"any host is answered, with {status}")]
    return []


async def admin(site: Site) -> list[Finding]:
    """Nobody changes or reads the settings without the token."""
    found: list[Finding] = []
    url = f"http://{site.distribution.address}:{site.distribution.admin_port}/settings"
    timeout = aiohttp.ClientTimeout(total=EXCHANGE_SECONDS_MAX)
    async with aiohttp.ClientSession(timeout=timeout, trust_env=False) as session:
        for token in ("", "guess", "Bearer "):
            async with session.get(url, headers={"Authorization": f"Bearer {token}"}) as response:
                if response.status != 401:
                    found.append(Finding(severity="critical", check="admin", where=url, what="open without the token"))
            async with session.put(f"{url}/access", json={}, headers={"Authorization": token}) as response:
                if response.status != 401:
                    found.append(Finding(severity="critical", check="admin", where=url, what="writable without token"))
    return found


async def headers_missing(site: Site, expected: Sequence[str], paths: Sequence[str]) -> list[Finding]:
    """Every answer carries every expected header, errors included."""
    found: list[Finding] = []
    async with open_site(site) as session:
        for path in paths:
            async with session.get(site.url.rstrip("/") + path, allow_redirects=False) as response:
                missing = [name for name in expected if name not in response.headers]
            found.extend(
                Finding(severity="high", check="headers", where=path, what=f"{name} is missing") for name in missing
            )
    return found


async def exchange(site: Site, method: str, path: str, *, host: str | None = None) -> tuple[int, dict[str, str], bytes]:
    """One request exactly as written, over TLS. Returns status, headers in lower case, and body; status 400 when the
    server hung up without an answer, which is a way of refusing."""
    request = (
        f"{method} {path} HTTP/1.1\r\nHost: {host or site.domain}\r\nConnection: close\r\nContent-Length: 0\r\n\r\n"
    )
    async with _connected(site, trust(site.certificate.authority_file)) as (reader, writer):
        writer.write(request.encode())
        answer = b""
        with contextlib.suppress(ConnectionError, ssl.SSLError):
            await writer.drain()
            while len(answer) < ANSWER_BYTES_MAX:
                part = await asyncio.wait_for(reader.read(65536), EXCHANGE_SECONDS_MAX)
                if not part:
                    break
                answer += part
    head, _, body = answer.partition(b"\r\n\r\n")
    lines = head.decode("latin-1").split("\r\n")
    words = lines[0].split(" ")
    if len(words) < 2 or not words[1].isdigit():
        return 400, {}, b""
    pairs = (line.partition(":") for line in lines[1:])
    return int(words[1]), {name.strip().lower(): value.strip() for name, _, value in pairs}, body


@contextlib.asynccontextmanager
async def _connected(site: Site, context: ssl.SSLContext):  # type: ignore[no-untyped-def]
    place = site.distribution
    reader, writer = await asyncio.wait_for(
        asyncio.open_connection(place.address, place.https_port, ssl=context, server_hostname=site.domain),
        EXCHANGE_SECONDS_MAX,
    )
    try:
        yield reader, writer
    finally:
        writer.close()
        with contextlib.suppress(OSError, ssl.SSLError, TimeoutError):
            await asyncio.wait_for(writer.wait_closed(), EXCHANGE_SECONDS_MAX)


async def _shakes_hands(site: Site, version: ssl.TLSVersion) -> bool:
    try:
        async with _connected(site, _only(version)):
            return True
    except (OSError, TimeoutError):
        return False


def _only(version: ssl.TLSVersion) -> ssl.SSLContext:
    """A client that speaks one version and trusts anybody: what is asked is the version, not the certificate."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    if version < ssl.TLSVersion.TLSv1_2:
        # Without it our own library would refuse, and the server would be praised for it.
        context.set_ciphers("ALL:@SECLEVEL=0")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        context.minimum_version = version
        context.maximum_version = version
    return context
