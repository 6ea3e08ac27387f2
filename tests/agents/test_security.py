"""The security agent's work: each probe is shown to find what it looks for, and the finished site to pass."""

from __future__ import annotations

import asyncio
import datetime as dt
import itertools
import ssl
import warnings
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import msgspec
import pytest

from agent_service.faults import ConfigurationNotInEffect, StaleFenceRefused
from agent_service.infrastructure.local import LocalProvider
from agent_service.infrastructure.zone import SiteRecord, Zone
from agent_service.security import probes
from agent_service.security.hardening import SECURITY_HEADERS, score, secure
from agent_service.security.secrets import secrets_in, secrets_in_files
from agent_service.site import Finding, SecurityRequirements, Site
from agent_service.site_client import open_site
from tests.agents.conftest import BLOG, DOMAIN, RecordingAttempt, write_post

ALL = SecurityRequirements()
# Put together here so that no scanner of this repository takes them for real.
AWS_KEY = "AKIA" + "Q7RZ2MK4T9XW8B3N"
PRIVATE_KEY = "-----BEGIN EC " + "PRIVATE KEY-----"


@asynccontextmanager
async def weak_server(site: Site, answer: bytes = b"", *, old_tls: bool = False) -> AsyncIterator[Site]:
    """A site in the same place that answers everything alike, and speaks old TLS when asked to."""
    issued = Path(site.certificate.authority_file).parent / "issued" / site.domain
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(issued / "certificate.pem", issued / "key.pem")
    if old_tls:
        context.set_ciphers("ALL:@SECLEVEL=0")
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", DeprecationWarning)
            context.minimum_version = ssl.TLSVersion.TLSv1

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            await reader.readuntil(b"\r\n\r\n")
            writer.write(answer)
            await writer.drain()
        except (asyncio.IncompleteReadError, ConnectionError):
            pass
        finally:
            writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0, ssl=context)
    async with server:
        port = server.sockets[0].getsockname()[1]
        yield msgspec.structs.replace(site, distribution=msgspec.structs.replace(site.distribution, https_port=port))


def ok(headers: str, body: str) -> bytes:
    """A plain answer."""
    return f"HTTP/1.1 200 OK\r\n{headers}Content-Length: {len(body)}\r\n\r\n{body}".encode()


async def test_a_fresh_site_is_hardened_and_scores_full(site: Site, attempt: RecordingAttempt) -> None:
    """Configured, verified by fetching, scanned."""
    result = await secure(site, ALL, [BLOG / "locks"], attempt, "run-1")
    assert (result.security_score, result.findings) == (1.0, [])
    assert all(result.checks.values())
    assert {"tls_versions", "certificate", "traversal", "headers", "dotfiles", "listings", "methods", "secrets"} <= set(
        result.checks
    )
    async with open_site(site) as session:
        async with session.get(f"http://{DOMAIN}/a/b?c=d", allow_redirects=False) as response:
            assert (response.status, response.headers["Location"][:8]) == (308, "https://")
            assert response.headers["Location"].endswith("/a/b?c=d")
        async with session.get(site.url) as response:
            assert {name: response.headers[name] for name in SECURITY_HEADERS} == SECURITY_HEADERS
        async with session.post(site.url) as response:
            assert response.status == 405


async def test_hardening_again_changes_nothing(site: Site, attempt: RecordingAttempt) -> None:
    """The settings keep their revision."""
    first = await secure(site, ALL, [], attempt, "run-1")
    again = await secure(site, ALL, [], attempt, "run-1")
    assert again.settings_revision == first.settings_revision == 3


async def test_what_is_not_required_is_left_alone(site: Site, attempt: RecordingAttempt) -> None:
    """A site that wants plain HTTP keeps it."""
    none = SecurityRequirements(ssl_redirect=False, security_headers=False, access_control=False)
    result = await secure(site, none, [], attempt, "run-1")
    assert (result.settings_revision, result.configured["ssl_redirect"]) == (0, False)
    async with open_site(site) as session, session.get(f"http://{DOMAIN}/", allow_redirects=False) as response:
        assert response.status == 200


async def test_a_later_holder_of_the_lock_wins(site: Site, provider: LocalProvider, attempt: RecordingAttempt) -> None:
    """An attempt that was overtaken cannot set anything any more."""
    await secure(site, ALL, [], attempt, "later")
    with pytest.raises(StaleFenceRefused):
        await secure(site, ALL, [], RecordingAttempt(tokens=itertools.count(1)), "earlier")


async def test_a_setting_that_takes_no_effect_is_told(site: Site, attempt: RecordingAttempt) -> None:
    """Configuring is not believed, it is looked at: here visitors are sent to a server that ignores the settings."""
    plain_port = site.distribution.http_port
    async with weak_server(site, ok("", "hello")) as weak:
        record = SiteRecord(address="127.0.0.1", https_port=weak.distribution.https_port, http_port=plain_port)
        Zone(Path(site.dns.zone_file)).point(DOMAIN, record, 1_000_000)
        with pytest.raises(ConfigurationNotInEffect, match="is sent without"):
            await secure(weak, SecurityRequirements(access_control=False), [], attempt, "run-1")


class TestProbes:
    async def test_an_unhardened_site_is_found_wanting(self, site: Site) -> None:
        """The same probes that pass afterwards fail before."""
        assert await probes.headers_missing(site, ["X-Frame-Options"], ["/"])
        assert await probes.dotfiles(site)
        assert await probes.listings(site)
        assert [finding.where for finding in await probes.methods(site)] == ["OPTIONS /"]

    async def test_old_tls_is_found(self, site: Site) -> None:
        """The probe really speaks TLS 1.0 and 1.1, and is not stopped by its own library."""
        async with weak_server(site, old_tls=True) as weak:
            assert [finding.what for finding in await probes.tls_versions(weak)] == [
                "accepts TLSv1",
                "accepts TLSv1_1",
            ]

    async def test_a_server_that_leads_out_of_the_site_is_found(self, site: Site) -> None:
        """By what it shows."""
        async with weak_server(site, ok("", "root:x:0:0:root:/root:/bin/sh")) as weak:
            findings = await probes.traversal(weak)
        assert {finding.severity for finding in findings} == {"critical"}
        assert len(findings) == len(probes.TRAVERSALS)

    async def test_talkative_answers_are_found(self, site: Site) -> None:
        """A version, a listing, an open host."""
        async with weak_server(site, ok("Server: Thing/1.2.3\r\n", "<h1>Index of /</h1>")) as weak:
            assert {finding.what for finding in await probes.disclosure(weak)} == {"server: Thing/1.2.3"}
            assert await probes.listings(weak)
            assert await probes.hosts(weak)

    async def test_a_certificate_that_ends_soon_is_found(self, site: Site) -> None:
        """Before it ends, not after."""
        assert await probes.certificate(site) == []
        soon = dt.datetime.now(dt.UTC) + dt.timedelta(days=80)
        (finding,) = await probes.certificate(site, now=soon)
        assert (finding.severity, "ends in" in finding.what) == ("high", True)

    async def test_a_certificate_of_another_authority_is_found(self, site: Site, tmp_path: Path) -> None:
        """Trusted means trusted by this authority."""
        async with LocalProvider(tmp_path / "other") as other:
            stranger = await other.issue_certificate(DOMAIN, 1)
        certificate = msgspec.structs.replace(site.certificate, authority_file=stranger.authority_file)
        (finding,) = await probes.certificate(msgspec.structs.replace(site, certificate=certificate))
        assert (finding.severity, "no trusted connection" in finding.what) == ("critical", True)


class TestSecrets:
    @pytest.mark.parametrize(
        "line",
        [
            f"aws_access_key_id = {AWS_KEY}",
            PRIVATE_KEY,
            "token: ghp_" + "a1B2c3D4e5" * 4,
            "postgres://admin:" + "s3cretword@db.internal/prod",
            'api_key = "' + "x9Qv7Lm2Rt5Wk8Zp" + '"',
        ],
    )
    def test_the_shapes_of_credentials_are_recognised(self, line: str) -> None:
        """And never shown in full."""
        findings = list(secrets_in(f"first\n{line}\n", "post.md"))
        assert [(finding.where, finding.severity) for finding in findings] == [("post.md:2", "critical")]
        assert line.split()[-1].strip('"') not in findings[0].what

    @pytest.mark.parametrize(
        "line",
        [
            "A fencing token is a number that only ever rises.",
            'password = "aaaaaaaaaaaaaaaa"',
            "lock.fencing_token",
            "https://example.org/path:with@signs",
            "sha256 = 9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08",
        ],
    )
    def test_talk_about_secrets_is_no_secret(self, line: str) -> None:
        """A scanner that cries wolf is switched off."""
        assert list(secrets_in(line, "post.md")) == []

    def test_the_blog_holds_none(self) -> None:
        """What we deploy is clean, code samples included."""
        assert list(secrets_in_files(BLOG)) == []

    async def test_one_planted_in_a_post_is_found_before_it_is_published(
        self, site: Site, small_blog: list[Path], attempt: RecordingAttempt
    ) -> None:
        """The score falls below the usual threshold."""
        write_post(small_blog[0], "leak", f"Use this:\n\n    {AWS_KEY}")
        result = await secure(site, ALL, small_blog, attempt, "run-1")
        assert [finding.where.partition(":")[0] for finding in result.findings] == ["first/leak.md"]
        assert result.security_score < 0.9
        assert not result.checks["secrets"]

    async def test_hidden_files_of_a_source_are_looked_at_too(self, tmp_path: Path) -> None:
        """That is where they usually are."""
        (tmp_path / ".env").write_text(f"KEY={AWS_KEY}\n")
        assert [finding.where for finding in secrets_in_files(tmp_path)] == [f"{tmp_path.name}/.env:1"]


def test_the_score_falls_with_each_finding_and_not_below_nothing() -> None:
    """One grave finding is below the usual threshold, one small one is not."""

    def found(severity: str) -> Finding:
        return Finding(severity=severity, check="x", where="x", what="x")

    assert score([]) == 1
    assert score([found("high")]) < 0.9
    assert score([found("medium")]) > 0.9
    assert score([found("critical")] * 5) == 0
