"""The infrastructure agent's work, with real files, real certificates and real servers."""

from __future__ import annotations

import asyncio
import base64
import datetime as dt
import hashlib
import ssl
import subprocess
import sys
import time
from pathlib import Path

import aiohttp
import pytest
from cryptography import x509

from agent_service.faults import CredentialsRefused, OwnershipNotProven, StaleFenceRefused
from agent_service.infrastructure.bucket import VERSIONS_KEPT_MAX, Bucket, Upload
from agent_service.infrastructure.certificates import Certificate, LocalAuthority
from agent_service.infrastructure.distribution import FENCING_HEADER
from agent_service.infrastructure.local import LocalProvider
from agent_service.infrastructure.provider import Credentials, InfrastructureRequest
from agent_service.infrastructure.provisioning import provision
from agent_service.infrastructure.settings import AccessSettings, ProtectedPrefix
from agent_service.infrastructure.zone import is_domain_name
from agent_service.security.probes import TRAVERSALS, exchange
from agent_service.site import BucketPlace, DistributionPlace, DnsPlace, Site, written
from agent_service.site_client import open_site
from tests.agents.conftest import DOMAIN, RecordingAttempt

# Later than any token of the attempts here.
LATE = 1_000_000


def put(bucket: Bucket, token: int, **contents: bytes) -> int:
    """Releases contents by path (written with _ for .) and returns the version."""
    stored = {
        path.replace("_", "."): bucket.put(Upload(content=content, content_type="text/plain"))
        for path, content in contents.items()
    }
    return bucket.release(stored, token).version


async def test_a_site_is_reached_by_its_name_by_whoever_trusts_its_authority(site: Site) -> None:
    """The result of provisioning leads a real TLS client to the site."""
    async with open_site(site) as session, session.get(site.url) as response:
        assert response.status == 200
    with pytest.raises(aiohttp.ClientConnectorCertificateError):
        async with aiohttp.ClientSession() as session, session.get(site.local_url):
            pass


async def test_bucket_certificate_and_distribution_are_made_in_parallel_and_dns_last(
    provider: LocalProvider, attempt: RecordingAttempt
) -> None:
    """Each of the three waits for the other two to have begun, so one after another would never end."""
    meeting = asyncio.Barrier(3)
    order: list[str] = []

    class Meeting(LocalProvider):
        async def create_bucket(self, domain: str, fencing_token: int) -> BucketPlace:
            await meeting.wait()
            order.append("bucket")
            return await provider.create_bucket(domain, fencing_token)

        async def issue_certificate(self, domain: str, fencing_token: int) -> Certificate:
            await meeting.wait()
            order.append("certificate")
            return await provider.issue_certificate(domain, fencing_token)

        async def create_distribution(self, domain: str, fencing_token: int) -> None:
            await meeting.wait()
            order.append("distribution")
            await provider.create_distribution(domain, fencing_token)

        async def attach(
            self, domain: str, bucket: BucketPlace, certificate: Certificate, fencing_token: int
        ) -> DistributionPlace:
            return await provider.attach(domain, bucket, certificate, fencing_token)

        async def point_domain(self, domain: str, place: DistributionPlace, fencing_token: int) -> DnsPlace:
            order.append("dns")
            return await provider.point_domain(domain, place, fencing_token)

    async with asyncio.timeout(10):
        await provision(DOMAIN, Meeting(provider.root), attempt)
    assert sorted(order[:3]) == ["bucket", "certificate", "distribution"]
    assert order[3:] == ["dns"]
    assert attempt.said[-1] == (1.0, "dns")


async def test_provisioning_again_finds_what_is_there(
    site: Site, provider: LocalProvider, attempt: RecordingAttempt
) -> None:
    """An attempt that is executed again changes nothing that is good."""
    again = await provision(DOMAIN, provider, attempt)
    assert again.distribution == site.distribution
    assert again.certificate.fingerprint_sha256 == site.certificate.fingerprint_sha256
    assert (again.certificate.renewed, again.dns.changed) == (False, False)


async def test_what_is_changed_is_locked(site: Site, attempt: RecordingAttempt) -> None:
    """Every resource that provisioning writes to is held while it does."""
    assert set(attempt.locked) == {f"bucket/{DOMAIN}", "authority/local", f"distribution/{DOMAIN}", "dns/zone"}


async def test_a_site_survives_its_process_with_ports_and_settings(site: Site, provider: LocalProvider) -> None:
    """A restarted agent serves its sites again at once, where they were."""
    await set_section(site, "access", {"listings": False}, token=LATE)
    await provider.__aexit__(None, None, None)
    with pytest.raises(OSError, match=r"refused|Connect call failed"):
        await asyncio.open_connection(site.distribution.address, site.distribution.https_port)
    async with LocalProvider(provider.root), open_site(site) as session, session.get(site.url) as response:
        assert response.status == 404  # and no longer a listing


async def test_two_processes_cannot_own_one_root(provider: LocalProvider) -> None:
    """A second infrastructure agent on the same directory is refused rather than let in."""
    with pytest.raises(RuntimeError, match="already serves"):
        async with LocalProvider(provider.root):
            pass


class TestPreconditions:
    async def test_the_right_token_and_a_published_challenge_are_accepted(self, provider: LocalProvider) -> None:
        """Credentials from the host, ownership from the zone."""
        await provider.check(InfrastructureRequest(domain=DOMAIN))

    async def test_an_unknown_token_is_refused(self, provider: LocalProvider, tmp_path: Path) -> None:
        """A token file with another token in it."""
        (tmp_path / "wrong").write_text("not-the-token")
        request = InfrastructureRequest(domain=DOMAIN, credentials=Credentials(token_file=str(tmp_path / "wrong")))
        with pytest.raises(CredentialsRefused, match="does not know"):
            await provider.check(request)

    async def test_a_missing_token_file_is_refused(self, provider: LocalProvider, tmp_path: Path) -> None:
        """A path that leads nowhere."""
        request = InfrastructureRequest(domain=DOMAIN, credentials=Credentials(token_file=str(tmp_path / "none")))
        with pytest.raises(CredentialsRefused, match="cannot be read"):
            await provider.check(request)

    async def test_a_domain_without_challenge_is_refused(self, provider: LocalProvider) -> None:
        """Nobody has published anything for it."""
        with pytest.raises(OwnershipNotProven, match=r"_concert-challenge\.other\.test"):
            await provider.check(InfrastructureRequest(domain="other.test"))

    async def test_a_wrong_ownership_token_is_refused_although_the_zone_is_right(self, provider: LocalProvider) -> None:
        """A token that is given is checked; one domain's proof is none for another."""
        good = provider.account.challenge(DOMAIN)
        await provider.check(InfrastructureRequest(domain=DOMAIN, domain_ownership=good))
        with pytest.raises(OwnershipNotProven):
            await provider.check(
                InfrastructureRequest(domain=DOMAIN, domain_ownership=provider.account.challenge("other.test"))
            )

    @pytest.mark.parametrize("name", ["", "blog", "Blog.test", "../etc", "a..b", "-a.test", "a" * 64 + ".test"])
    def test_what_is_no_domain_name_is_recognised(self, name: str) -> None:
        """Names end up in paths and certificates."""
        assert not is_domain_name(name)


class TestCertificates:
    def test_it_is_kept_while_good_and_renewed_near_its_end(self, tmp_path: Path) -> None:
        """The same certificate for two months, then another."""
        authority = LocalAuthority(tmp_path)
        now = dt.datetime.now(dt.UTC)
        first = authority.certificate(DOMAIN, 1, now=now)
        kept = authority.certificate(DOMAIN, 2, now=now + dt.timedelta(days=59))
        renewed = authority.certificate(DOMAIN, 3, now=now + dt.timedelta(days=61))
        assert first.renewed
        assert not kept.renewed
        assert kept.fingerprint_sha256 == first.fingerprint_sha256
        assert renewed.renewed
        assert renewed.fingerprint_sha256 != first.fingerprint_sha256

    @pytest.mark.parametrize("broken", ["certificate.pem", "key.pem"])
    def test_a_broken_pair_is_replaced(self, tmp_path: Path, broken: str) -> None:
        """A crash between key and certificate, or a damaged file, is repaired by the next attempt."""
        authority = LocalAuthority(tmp_path)
        authority.certificate(DOMAIN, 1)
        (tmp_path / "issued" / DOMAIN / broken).write_text("half of a fi")
        repaired = authority.certificate(DOMAIN, 2)
        assert repaired.renewed
        ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER).load_cert_chain(repaired.certificate_file, repaired.key_file)

    def test_the_leaf_names_the_domain_and_is_signed_by_the_authority(self, tmp_path: Path) -> None:
        """What a TLS client will look at."""
        issued = LocalAuthority(tmp_path).certificate(DOMAIN, 1)
        leaf = x509.load_pem_x509_certificate(Path(issued.certificate_file).read_bytes())
        leaf.verify_directly_issued_by(x509.load_pem_x509_certificate(Path(issued.authority_file).read_bytes()))
        names = leaf.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
        assert DOMAIN in names.get_values_for_type(x509.DNSName)

    def test_keys_are_readable_by_their_owner_alone(self, tmp_path: Path) -> None:
        """From the moment they are written."""
        issued = LocalAuthority(tmp_path).certificate(DOMAIN, 1)
        for path in (Path(issued.key_file), tmp_path / "authority-key.pem"):
            assert path.stat().st_mode & 0o077 == 0


class TestBucket:
    def test_a_release_is_switched_as_a_whole_and_repeating_it_changes_nothing(self, tmp_path: Path) -> None:
        """The version rises only when something is different."""
        bucket = Bucket(tmp_path)
        bucket.create(1)
        assert put(bucket, 1, a_txt=b"1", b_txt=b"2") == 1
        assert put(bucket, 2, a_txt=b"1", b_txt=b"2") == 1
        assert put(bucket, 3, a_txt=b"3") == 2
        assert set(Bucket(tmp_path).current().objects) == {"a.txt"}

    def test_an_object_that_lost_its_content_is_written_again(self, tmp_path: Path) -> None:
        """Uploading repairs."""
        bucket = Bucket(tmp_path)
        bucket.create(1)
        stored = bucket.put(Upload(content=b"whole", content_type="text/plain"))
        bucket.object_path(stored).write_bytes(b"who")
        bucket.put(Upload(content=b"whole", content_type="text/plain"))
        assert bucket.object_path(stored).read_bytes() == b"whole"

    def test_an_older_holder_of_the_lock_is_refused_and_changes_nothing(self, tmp_path: Path) -> None:
        """The fencing token is checked where the files are."""
        bucket = Bucket(tmp_path)
        bucket.create(1)
        put(bucket, 34, a_txt=b"second")
        with pytest.raises(StaleFenceRefused, match="33 is older than 34"):
            put(bucket, 33, a_txt=b"first, woke up late")
        assert bucket.object_path(bucket.current().objects["a.txt"]).read_bytes() == b"second"

    def test_what_a_killed_attempt_left_is_cleared_and_old_releases_are_forgotten(self, tmp_path: Path) -> None:
        """The bucket does not grow for ever."""
        bucket = Bucket(tmp_path)
        bucket.create(1)
        (tmp_path / "objects" / ".abc.123.staged").write_bytes(b"half")
        bucket.create(2)
        for number in range(VERSIONS_KEPT_MAX + 3):
            put(bucket, 3, a_txt=str(number).encode())
        assert len(list((tmp_path / "versions").iterdir())) == VERSIONS_KEPT_MAX
        assert len(list((tmp_path / "objects").iterdir())) == VERSIONS_KEPT_MAX


RELEASING = """
import sys
from pathlib import Path
from agent_service.infrastructure.bucket import Bucket, Upload

bucket = Bucket(Path(sys.argv[1]))
bucket.create(1)
print("ready", flush=True)
for turn in range(1_000_000):
    contents = {f"{name}.txt": f"{turn} {name} ".encode() * 500 for name in "abcdef"}
    uploads = {path: Upload(content=content, content_type="text/plain") for path, content in contents.items()}
    bucket.release({path: bucket.put(upload) for path, upload in uploads.items()}, 1)
"""


def test_a_bucket_killed_while_it_is_written_to_serves_one_release_or_the_other(tmp_path: Path) -> None:
    """SIGKILL at any moment: what is current is whole, all of one turn, and the next attempt goes on from there."""
    versions = [0]
    for pause_seconds in (0.0, 0.013, 0.031, 0.057, 0.1):
        writing = subprocess.Popen([sys.executable, "-c", RELEASING, str(tmp_path)], stdout=subprocess.PIPE, text=True)
        assert writing.stdout is not None
        with writing, writing.stdout:
            assert writing.stdout.readline() == "ready\n"
            time.sleep(pause_seconds)  # the moment of the accident, not a wait for anything
            writing.kill()
        bucket = Bucket(tmp_path)
        release = bucket.current()
        contents = [bucket.object_path(stored).read_bytes() for stored in release.objects.values()]
        for stored, content in zip(release.objects.values(), contents, strict=True):
            assert hashlib.sha256(content).hexdigest() == stored.sha256
        assert len({content.split()[0] for content in contents}) <= 1
        assert release.version >= versions[-1]
        versions.append(release.version)
    assert versions[-1] > 0


def secret_in(path: str) -> str:
    """What a token file holds."""
    return Path(path).read_text()


async def set_section(
    site: Site, section: str, value: object, *, token: int | None, secret: str | None = None
) -> tuple[int, str]:
    """Calls the admin endpoint; returns status and text."""
    place = site.distribution
    secret = secret_in(place.admin_token_file) if secret is None else secret
    headers = {"Authorization": f"Bearer {secret}"}
    if token is not None:
        headers[FENCING_HEADER] = str(token)
    url = f"http://{place.address}:{place.admin_port}/settings/{section}"
    async with aiohttp.ClientSession() as session, session.put(url, json=value, headers=headers) as response:
        return response.status, await response.text()


class TestDistribution:
    async def test_settings_take_effect_at_once(self, site: Site) -> None:
        """What another process sets is what visitors get."""
        status, _ = await set_section(site, "headers", {"headers": {"X-Seen": "yes"}}, token=LATE)
        assert status == 200
        async with open_site(site) as session, session.get(site.url) as response:
            assert response.headers["X-Seen"] == "yes"

    async def test_the_admin_endpoint_refuses_who_must_not(self, site: Site) -> None:
        """Without the secret, without a fencing token, with an older one, with nonsense: nothing changes."""
        assert (await set_section(site, "access", {}, token=LATE, secret="guess"))[0] == 401
        assert (await set_section(site, "access", {}, token=None))[0] == 428
        assert (await set_section(site, "nothing", {}, token=LATE))[0] == 404
        assert (await set_section(site, "access", {"listings": "perhaps"}, token=LATE))[0] == 422
        assert (await set_section(site, "headers", {"headers": {"X": "a\r\nSet-Cookie: b"}}, token=LATE))[0] == 422
        assert (await set_section(site, "access", {"listings": False}, token=LATE))[0] == 200
        status, text = await set_section(site, "access", {"listings": True}, token=LATE - 1)
        assert (status, f"{LATE - 1} is older than {LATE}" in text) == (409, True)
        async with open_site(site) as session, session.get(site.url) as response:
            assert response.status == 404

    @pytest.mark.parametrize("path", TRAVERSALS)
    async def test_no_path_leads_out_of_the_site(self, site: Site, path: str) -> None:
        """Sent raw, as an attacker would."""
        status, _, body = await exchange(site, "GET", path)
        assert status >= 400
        assert b"PRIVATE KEY" not in body

    async def test_garbage_and_unknown_hosts_are_refused_and_the_site_goes_on(self, site: Site) -> None:
        """A server that answers afterwards is a server that is up."""
        assert (await exchange(site, "GET", "/", host="else.example"))[0] == 421
        reader, writer = await asyncio.open_connection(site.distribution.address, site.distribution.https_port)
        writer.write(b"\x00\xff garbage that is no handshake \r\n\r\n" * 20)
        await reader.read()
        writer.close()
        async with open_site(site) as session, session.get(site.url) as response:
            assert response.status == 200

    async def test_strict_transport_security_is_not_sent_for_localhost(self, site: Site) -> None:
        """A browser would hold every other server on the machine to it."""
        headers = {"headers": {"Strict-Transport-Security": "max-age=1", "X-Frame-Options": "DENY"}}
        await set_section(site, "headers", headers, token=LATE)
        _, by_name, _ = await exchange(site, "GET", "/")
        _, by_localhost, _ = await exchange(site, "GET", "/", host="localhost")
        assert "strict-transport-security" in by_name
        assert "strict-transport-security" not in by_localhost
        assert "x-frame-options" in by_localhost

    async def test_a_protected_prefix_asks_for_its_password(self, site: Site) -> None:
        """Kept as a salted digest, asked for before anything under it is looked up."""
        access = AccessSettings(protected=(ProtectedPrefix.of("/drafts/", "open sesame"),))
        assert (await set_section(site, "access", written(access), token=LATE))[0] == 200
        async with open_site(site) as session:
            for password, expected in (("open sesame", 200), ("guess", 401)):
                encoded = base64.b64encode(f"anybody:{password}".encode()).decode()
                headers = {"Authorization": f"Basic {encoded}"}
                async with session.get(site.url + "drafts/", headers=headers) as response:
                    assert response.status == expected
            async with session.get(site.url + "drafts/") as response:
                assert response.headers["WWW-Authenticate"].startswith("Basic")
