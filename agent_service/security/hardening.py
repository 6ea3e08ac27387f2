"""The security agent's work: redirect, headers, access control and a scan in parallel, then a score."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from pathlib import Path

import aiohttp
import msgspec

from agent_service.faults import ConfigurationNotInEffect, StaleFenceRefused
from agent_service.infrastructure.bucket import Bucket
from agent_service.infrastructure.distribution import FENCING_HEADER
from agent_service.infrastructure.settings import AccessSettings, HeaderSettings, RedirectSettings, Settings
from agent_service.security import probes
from agent_service.security.secrets import secrets_in, secrets_in_files
from agent_service.site import Finding, SecurityRequirements, SecurityResult, Site
from agent_service.site_client import open_site
from agent_service.work import Attempt, Steps, held, together

SECURITY_HEADERS = {
    "Content-Security-Policy": (
        "default-src 'none'; img-src 'self'; style-src 'self'; font-src 'self'; form-action 'none'; "
        "frame-ancestors 'none'; base-uri 'none'"
    ),
    "Strict-Transport-Security": "max-age=31536000; includeSubDomains",
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Referrer-Policy": "strict-origin-when-cross-origin",
    "Permissions-Policy": "camera=(), geolocation=(), microphone=(), payment=(), usb=()",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
}
PENALTIES = {"critical": 0.5, "high": 0.2, "medium": 0.08, "low": 0.02}
Probe = Callable[[], Awaitable[list[Finding]]]


async def secure(
    site: Site,
    requirements: SecurityRequirements,
    sources: Sequence[Path],
    attempt: Attempt,
    deployment_id: str,
) -> SecurityResult:
    """Configures what is required, proves that it took effect, and looks for what is wrong.

    Raises ConfigurationNotInEffect. What the scan finds is told and lowers the score; whether it is good enough is for
    the quality thresholds to say.
    """
    configured = asyncio.Event()
    (revision, (checks, findings)) = await together(
        _configure(site, requirements, attempt, configured), _scan(site, requirements, sources, configured)
    )
    return SecurityResult(
        deployment_id=deployment_id,
        security_score=score(findings),
        configured=msgspec.to_builtins(requirements),
        checks=checks,
        findings=findings,
        settings_revision=revision,
    )


def score(findings: Sequence[Finding]) -> float:
    """1 for nothing found; each finding takes its share, never below 0. One that is high or worse ends below 0.9."""
    return round(max(0.0, 1 - sum(PENALTIES[finding.severity] for finding in findings)), 4)


async def _configure(
    site: Site, requirements: SecurityRequirements, attempt: Attempt, configured: asyncio.Event
) -> int:
    steps = Steps(attempt, 5)
    async with held(attempt, f"distribution/{site.domain}", f"sites/{site.domain}/security") as token:
        admin = _Admin(site, token)
        required = {
            "ssl_redirect": (requirements.ssl_redirect, _redirect),
            "security_headers": (requirements.security_headers, _headers),
            "access_control": (requirements.access_control, _access),
        }
        await together(*(steps.run(name, step(site, admin)) for name, (wanted, step) in required.items() if wanted))
        settings = await admin.settings()
    configured.set()
    return settings.revision


class _Admin:
    """The distribution's admin endpoint, as the holder of its lock sees it."""

    def __init__(self, site: Site, fencing_token: int) -> None:
        place = site.distribution
        self._url = f"http://{place.address}:{place.admin_port}/settings"
        self._token_file = Path(place.admin_token_file)
        self._fencing_token = fencing_token

    async def put(self, section: str, value: msgspec.Struct) -> None:
        """Sets one section. Raises StaleFenceRefused when a later holder of the lock was here."""
        await self._call("PUT", f"{self._url}/{section}", msgspec.json.encode(value))

    async def settings(self) -> Settings:
        """All sections as they are."""
        return msgspec.json.decode(await self._call("GET", self._url), type=Settings)

    async def _call(self, method: str, url: str, body: bytes | None = None) -> bytes:
        token = (await asyncio.to_thread(self._token_file.read_text)).strip()
        headers = {"Authorization": f"Bearer {token}", FENCING_HEADER: str(self._fencing_token)}
        timeout = aiohttp.ClientTimeout(total=probes.EXCHANGE_SECONDS_MAX)
        async with (
            aiohttp.ClientSession(timeout=timeout, trust_env=False) as session,
            session.request(method, url, data=body, headers=headers) as response,
        ):
            answer = await response.read()
            if response.status == 409:
                raise StaleFenceRefused(answer.decode().strip())
            if response.status != 200:
                raise ConfigurationNotInEffect(f"{method} {url}: {response.status} {answer.decode().strip()}")
            return answer


async def _redirect(site: Site, admin: _Admin) -> None:
    await admin.put("redirect", RedirectSettings(https_only=True))
    address = f"http://{site.domain}/posts/?from=plain"
    async with open_site(site) as session, session.get(address, allow_redirects=False) as response:
        target = response.headers.get("Location", "")
        if response.status not in (301, 308) or not target.startswith(f"https://{site.domain}"):
            raise ConfigurationNotInEffect(f"{address} answers {response.status} and leads to {target!r}")
        if not target.endswith("/posts/?from=plain"):
            raise ConfigurationNotInEffect(f"the redirect of {address} loses the path: {target!r}")


async def _headers(site: Site, admin: _Admin) -> None:
    await admin.put("headers", HeaderSettings(headers=SECURITY_HEADERS))
    async with open_site(site) as session:
        for path in ("", "no-such-page"):
            async with session.get(site.url + path) as response:
                wrong = [name for name, value in SECURITY_HEADERS.items() if response.headers.get(name) != value]
                if wrong:
                    raise ConfigurationNotInEffect(f"/{path} is sent without {', '.join(wrong)}")


async def _access(site: Site, admin: _Admin) -> None:
    await admin.put("access", AccessSettings(deny_dotfiles=True, listings=False, methods=("GET", "HEAD")))
    findings = await together(probes.dotfiles(site), probes.listings(site), probes.methods(site))
    for found in findings:
        if found:
            raise ConfigurationNotInEffect(f"{found[0].where}: {found[0].what}")


async def _scan(
    site: Site, requirements: SecurityRequirements, sources: Sequence[Path], configured: asyncio.Event
) -> tuple[dict[str, bool], list[Finding]]:
    """Looks at once at what does not depend on the configuration, and at the rest when that is done."""
    at_once: dict[str, Probe] = {
        "tls_versions": lambda: probes.tls_versions(site),
        "certificate": lambda: probes.certificate(site),
        "traversal": lambda: probes.traversal(site),
        "disclosure": lambda: probes.disclosure(site),
        "hosts": lambda: probes.hosts(site),
        "admin": lambda: probes.admin(site),
        "secrets": lambda: asyncio.to_thread(_secrets, site, sources),
    }
    afterwards: dict[str, Probe] = {}
    if requirements.security_headers:
        paths = ("/", "/no-such-page", "/.env", "/assets/")
        afterwards["headers"] = lambda: probes.headers_missing(site, tuple(SECURITY_HEADERS), paths)
    if requirements.access_control:
        afterwards["dotfiles"] = lambda: probes.dotfiles(site)
        afterwards["listings"] = lambda: probes.listings(site)
        afterwards["methods"] = lambda: probes.methods(site)

    async def later(probe: Probe) -> list[Finding]:
        await configured.wait()
        return await probe()

    found = await together(
        *(_looked(probe) for probe in at_once.values()), *(later(probe) for probe in afterwards.values())
    )
    checks = {name: not findings for name, findings in zip([*at_once, *afterwards], found, strict=True)}
    return checks, sorted(finding for findings in found for finding in findings)


async def _looked(probe: Probe) -> list[Finding]:
    return await probe()


def _secrets(site: Site, sources: Sequence[Path]) -> list[Finding]:
    """In what is about to be published, and in what already is: the two agents work at the same time."""
    found = [finding for source in sources for finding in secrets_in_files(source)]
    bucket = Bucket(Path(site.bucket.directory))
    for path, stored in bucket.current().objects.items():
        if stored.content_type.startswith(("text/", "application/")):
            try:
                text = bucket.object_path(stored).read_text(encoding="utf-8", errors="replace")
            except FileNotFoundError:  # a release was replaced meanwhile; quality assurance reads the final one
                continue
            found.extend(secrets_in(text, path))
    return found
