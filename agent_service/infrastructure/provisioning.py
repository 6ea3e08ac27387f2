"""The infrastructure agent's work: bucket, certificate and distribution in parallel, then DNS."""

from __future__ import annotations

import aiohttp

from agent_service.faults import ConfigurationNotInEffect
from agent_service.infrastructure.certificates import Certificate
from agent_service.infrastructure.provider import Provider
from agent_service.site import BucketPlace, CertificatePlace, Site
from agent_service.site_client import open_site
from agent_service.work import Attempt, Steps, held, together

STEPS = 5


async def provision(domain: str, provider: Provider, attempt: Attempt) -> Site:
    """Everything a site needs to be reached over HTTPS under its name. May be repeated: it repairs what is there."""
    steps = Steps(attempt, STEPS)

    async def bucket() -> BucketPlace:
        async with held(attempt, f"bucket/{domain}") as token:
            return await provider.create_bucket(domain, token)

    async def certificate() -> Certificate:
        # The authority signs for every domain, so it is what is locked, not the one certificate.
        async with held(attempt, f"authority/{provider.name}") as token:
            return await provider.issue_certificate(domain, token)

    # The distribution's lock spans its creation and the attachment, so that nobody sets up a server that is half there.
    async with held(attempt, f"distribution/{domain}") as distribution_token:
        bucket_place, issued, _ = await together(
            steps.run("bucket", bucket()),
            steps.run("certificate", certificate()),
            steps.run("distribution", provider.create_distribution(domain, distribution_token)),
        )
        place = await steps.run("origin", provider.attach(domain, bucket_place, issued, distribution_token))
    async with held(attempt, "dns/zone") as token:
        dns = await steps.run("dns", provider.point_domain(domain, place, token))
    site = Site(
        domain=domain,
        provider=provider.name,
        url=f"https://{domain}/",
        local_url=f"https://localhost:{place.https_port}/",
        bucket=bucket_place,
        certificate=CertificatePlace(
            authority_file=issued.authority_file,
            names=issued.names,
            not_after=issued.not_after,
            fingerprint_sha256=issued.fingerprint_sha256,
            renewed=issued.renewed,
        ),
        distribution=place,
        dns=dns,
        step_seconds=steps.seconds,
    )
    await _reach(site)
    return site


async def _reach(site: Site) -> None:
    """Nothing is done before a client that trusts the authority alone has reached the site by its name."""
    try:
        async with open_site(site) as session, session.get(site.url):
            pass
    except aiohttp.ClientError as error:
        raise ConfigurationNotInEffect(f"{site.url} cannot be reached: {error}") from error
