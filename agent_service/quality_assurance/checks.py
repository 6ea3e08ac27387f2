"""The quality assurance agent's work: four kinds of checks on the site as visitors get it, in parallel, and a score."""

from __future__ import annotations

import asyncio
import hashlib
import statistics
import time
from collections.abc import Sequence
from xml.etree import ElementTree

import aiohttp
from bs4 import BeautifulSoup

from agent_service.content.pages import ATOM, SITEMAP
from agent_service.content.validation import references, release_path
from agent_service.security import probes
from agent_service.security.hardening import SECURITY_HEADERS
from agent_service.security.secrets import secrets_in
from agent_service.site import (
    ContentResult,
    Finding,
    LoadTimes,
    QualityResult,
    QualityThresholds,
    SecurityRequirements,
    Site,
)
from agent_service.site_client import open_site
from agent_service.work import Attempt, Steps, together

# Two at a time, so that what is measured is the site and not the queue in front of it.
LOADS_AT_ONCE_MAX = 2
CONNECTIONS_A_PAGE_MAX = 6
GRAVE = ("critical", "high")


class Area:
    """Counts the checks of one area and keeps what they found."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.run = 0
        self.issues: list[Finding] = []

    def check(self, holds: bool, where: str, what: str, severity: str = "high") -> bool:
        """One check: `what` says what is wrong when it does not hold."""
        self.run += 1
        if not holds:
            self.issues.append(Finding(severity=severity, check=self.name, where=where, what=what))
        return holds

    @property
    def passed(self) -> int:
        """How many checks held."""
        return self.run - len(self.issues)


async def assure(
    site: Site,
    content: ContentResult,
    requirements: SecurityRequirements,
    thresholds: QualityThresholds,
    security_score: float | None,
    attempt: Attempt,
) -> QualityResult:
    """Everything there is to say about the site. `passed` says whether it is good enough; nothing is raised for it."""
    areas = {name: Area(name) for name in ("endpoints", "content", "security", "performance")}
    steps = Steps(attempt, len(areas))
    *_, load_times = await together(
        steps.run("endpoint testing", _endpoints(site, content, requirements, areas["endpoints"])),
        steps.run("content validation", _content(site, content, areas["content"])),
        steps.run("security scanning", _security(site, content, requirements, areas["security"])),
        steps.run("performance testing", _performance(site, content, thresholds, areas["performance"])),
    )
    found = security_score if security_score is not None else 0.0
    missing = "the security agent left no score for this deployment"
    below = f"the security score {found} is below {thresholds.min_security_score}"
    areas["security"].check(
        security_score is not None and found >= thresholds.min_security_score,
        "security_score",
        below if security_score is not None else missing,
    )
    run = sum(area.run for area in areas.values())
    passed = sum(area.passed for area in areas.values())
    issues = sorted(issue for area in areas.values() for issue in area.issues)
    return QualityResult(
        quality_score=round(passed / run, 4),
        security_score=found,
        checks_run=run,
        checks_passed=passed,
        by_area={name: {"run": area.run, "passed": area.passed} for name, area in areas.items()},
        issues_found=issues,
        load_times=load_times,
        passed=not any(issue.severity in GRAVE for issue in issues),
    )


async def _endpoints(site: Site, content: ContentResult, requirements: SecurityRequirements, area: Area) -> None:
    """Every page answers as a page, the machine-readable ones parse, and the corners behave."""
    async with open_site(site) as session:
        for page in content.pages:
            if page == "404.html":
                continue
            async with session.get(_url(site, page), allow_redirects=False) as response:
                kind = response.headers.get("Content-Type", "")
                good = response.status == 200 and kind.startswith("text/html")
                area.check(good, f"/{page}", f"answers {response.status} with {kind}")
        await _readable_by_machines(session, site, content, area)
        await _corners(session, site, area)
        if requirements.ssl_redirect:
            async with session.get(f"http://{site.domain}/") as response:
                good = response.url.scheme == "https" and response.status == 200
                area.check(good, f"http://{site.domain}/", f"ends at {response.url} with {response.status}")


async def _readable_by_machines(session: aiohttp.ClientSession, site: Site, content: ContentResult, area: Area) -> None:
    feed = await _parsed(session, site.url + "feed.xml", area)
    if feed is not None:
        entries = len(feed.findall(f"{{{ATOM}}}entry"))
        area.check(entries == content.posts, "/feed.xml", f"holds {entries} of {content.posts} posts")
    sitemap = await _parsed(session, site.url + "sitemap.xml", area)
    if sitemap is not None:
        listed = {str(element.text) for element in sitemap.iter(f"{{{SITEMAP}}}loc")}
        expected = {_url(site, page) for page in content.pages if page != "404.html"}
        area.check(listed == expected, "/sitemap.xml", f"differs from the pages in {len(listed ^ expected)} places")
    async with session.get(site.url + "robots.txt") as response:
        good = response.status == 200 and f"{site.url}sitemap.xml" in await response.text()
        area.check(good, "/robots.txt", "does not name the sitemap", "low")


async def _parsed(session: aiohttp.ClientSession, url: str, area: Area) -> ElementTree.Element | None:
    async with session.get(url) as response:
        body = await response.read()
    try:
        root = ElementTree.fromstring(body)
    except ElementTree.ParseError as error:
        area.check(False, url, f"does not parse: {error}")
        return None
    area.check(response.status == 200, url, f"answers {response.status}")
    return root


async def _corners(session: aiohttp.ClientSession, site: Site, area: Area) -> None:
    async with session.get(site.url + "no-such-page") as response:
        area.check(response.status == 404, "/no-such-page", f"answers {response.status}")
    async with session.get(site.url + "posts", allow_redirects=False) as response:
        good = response.status == 308 and response.headers.get("Location") == "/posts/"
        area.check(good, "/posts", f"answers {response.status} without leading to /posts/", "medium")
    async with session.get(site.url) as response:
        etag, length = response.headers.get("ETag", ""), len(await response.read())
    async with session.head(site.url) as response:
        good = response.status == 200 and response.headers.get("Content-Length") == str(length)
        area.check(good, "HEAD /", "differs from GET", "low")
    async with session.get(site.url, headers={"If-None-Match": etag}) as response:
        area.check(response.status == 304, "/", f"is sent again although unchanged ({response.status})", "low")


async def _content(site: Site, content: ContentResult, area: Area) -> None:
    """Every path is, byte for byte, what was uploaded, and every page is whole and leads nowhere in vain."""
    anchors: dict[str, set[str]] = {}
    pages: dict[str, BeautifulSoup] = {}
    async with open_site(site) as session:

        async def fetch(path: str) -> None:
            body = await _body(session, site, path)
            if body is None:
                area.check(False, f"/{path}", "cannot be fetched", "critical")
                return
            digest = hashlib.sha256(body).hexdigest()
            area.check(digest == content.paths[path].sha256, f"/{path}", "is not what was uploaded", "critical")
            if path in content.pages:
                pages[path] = soup = await asyncio.to_thread(BeautifulSoup, body, "html.parser")
                anchors[path] = {str(tag["id"]) for tag in soup.find_all(id=True)}

        await together(*(fetch(path) for path in content.paths))
    for path, soup in sorted(pages.items()):
        title = soup.title.get_text(strip=True) if soup.title else ""
        area.check(bool(title), f"/{path}", "has no title")
        area.check(len(soup.find_all("h1")) == 1, f"/{path}", "has not exactly one main heading", "low")
        speechless = [str(tag.get("src")) for tag in soup.find_all("img") if not tag.get("alt")]
        area.check(not speechless, f"/{path}", f"images without alternative text: {speechless}", "low")
        dead = [target for target in references(soup) if _is_dead(target, path, content, anchors)]
        area.check(not dead, f"/{path}", f"dead links: {', '.join(dead)}")


def _is_dead(target: str, path: str, content: ContentResult, anchors: dict[str, set[str]]) -> bool:
    if not target.startswith(("/", "#")) or target.startswith("//"):
        return False
    file, _, fragment = target.partition("#")
    found = release_path(file) if file else path
    return found not in content.paths or bool(fragment and fragment not in anchors.get(found, {fragment}))


async def _security(site: Site, content: ContentResult, requirements: SecurityRequirements, area: Area) -> None:
    """What visitors get is protected and holds no secret: looked at again, from what is really served."""
    async with open_site(site) as session:
        for path in content.paths:
            if path.startswith("assets/") and not path.endswith(".css"):
                continue
            async with session.get(_url(site, path)) as response:
                text = await response.text(errors="replace")
                missing = [name for name in SECURITY_HEADERS if name not in response.headers]
            if requirements.security_headers:
                area.check(not missing, f"/{path}", f"is sent without {', '.join(missing)}")
            found = list(secrets_in(text, path))
            area.check(not found, f"/{path}", "; ".join(finding.what for finding in found), "critical")
    looked = {"TLS": probes.tls_versions, "certificate": probes.certificate, "traversal": probes.traversal}
    if requirements.access_control:
        looked |= {"dotfiles": probes.dotfiles, "listings": probes.listings, "methods": probes.methods}
    for name, probe in looked.items():
        findings = await probe(site)
        told = "; ".join(f"{finding.where}: {finding.what}" for finding in findings)
        area.check(not findings, name, told, min((finding.severity for finding in findings), default="high"))


async def _performance(site: Site, content: ContentResult, thresholds: QualityThresholds, area: Area) -> LoadTimes:
    """Loads each page with everything on it, as a browser that comes for the first time would."""
    at_once = asyncio.Semaphore(LOADS_AT_ONCE_MAX)
    seconds: dict[str, float] = {}
    weights: list[int] = []

    async def load(page: str) -> None:
        async with at_once, open_site(site, connections_max=CONNECTIONS_A_PAGE_MAX) as session:
            started = time.monotonic()
            body = await _body(session, site, page) or b""
            needed = _needed(body)
            parts = await together(*(_body(session, site, release_path(target)) for target in needed))
            seconds[page] = time.monotonic() - started
            weights.append(len(body) + sum(len(part or b"") for part in parts))

    await together(*(load(page) for page in content.pages if page != "404.html"))
    for page, taken in sorted(seconds.items()):
        limit = thresholds.max_load_time_seconds
        area.check(taken <= limit, f"/{page}", f"takes {taken:.3f} s to load, more than {limit} s")
    slowest = max(seconds, key=seconds.__getitem__)
    return LoadTimes(
        pages=len(seconds),
        median_seconds=round(statistics.median(seconds.values()), 4),
        slowest_seconds=round(seconds[slowest], 4),
        slowest_page=f"/{slowest}",
        bytes=sum(weights),
    )


def _needed(body: bytes) -> Sequence[str]:
    """What a browser on a wide screen loads for a page: the style sheets, and of each picture the largest WebP."""
    soup = BeautifulSoup(body, "html.parser")
    targets = [str(tag["href"]) for tag in soup.find_all("link", rel="stylesheet", href=True)]
    targets += [str(tag["srcset"]).split(",")[-1].split()[0] for tag in soup.find_all("source", srcset=True)]
    return list(dict.fromkeys(targets))


async def _body(session: aiohttp.ClientSession, site: Site, path: str) -> bytes | None:
    try:
        async with session.get(_url(site, path)) as response:
            body = await response.read()
            # 404.html is what a missing page answers with; asked for by its own name it is a page.
            return body if response.status == 200 else None
    except aiohttp.ClientError:
        return None


def _url(site: Site, path: str) -> str:
    return site.url + path.removesuffix("index.html")
