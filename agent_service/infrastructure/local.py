"""The `local` provider: everything on this machine, under one directory, and as real as a machine can make it.

account/            the token it accepts, the secret that ownership challenges derive from
authority/          the certificate authority and what it issued
buckets/<domain>/   releases
sites/<domain>/     settings, ports and admin token of each distribution
zone/zone.json      the DNS map
"""

from __future__ import annotations

import asyncio
import fcntl
import logging
from pathlib import Path
from types import TracebackType
from typing import IO

from agent_service.faults import CredentialsRefused
from agent_service.infrastructure.account import Account
from agent_service.infrastructure.bucket import Bucket
from agent_service.infrastructure.certificates import Certificate, LocalAuthority
from agent_service.infrastructure.distribution import LOOPBACK, Distribution
from agent_service.infrastructure.provider import InfrastructureRequest
from agent_service.infrastructure.zone import SiteRecord, Zone
from agent_service.site import BucketPlace, DistributionPlace, DnsPlace

log = logging.getLogger(__name__)


class LocalProvider:
    """Owns its directory while it is open, and the distributions it runs."""

    name = "local"

    def __init__(self, root: Path, *, token_file: Path | None = None) -> None:
        self.root = root.resolve()
        self.zone = Zone(self.root / "zone" / "zone.json")
        self.account = Account(self.root / "account", self.zone)
        self._authority = LocalAuthority(self.root / "authority")
        self._token_file = token_file
        self._distributions: dict[str, Distribution] = {}
        self._owned: IO[bytes] | None = None

    async def __aenter__(self) -> LocalProvider:
        self._owned = _own(self.root)
        # The sites of before this process are up again before anybody asks for them.
        for directory in sorted(self.root.glob("sites/*/")):
            if (directory / "ports.json").exists():
                await self._distribution(directory.name).start()
                log.info("serving %s again", directory.name)
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        try:
            await asyncio.gather(*(distribution.stop() for distribution in self._distributions.values()))
        finally:
            self._distributions.clear()
            if self._owned is not None:
                self._owned.close()

    async def check(self, request: InfrastructureRequest) -> None:
        """See Provider.check."""
        named = request.credentials.token_file if request.credentials else self._token_file
        if named is None:
            raise CredentialsRefused("no credentials: neither the request nor the agent's host names a token file")
        try:
            token = await asyncio.to_thread(Path(named).read_text)
        except OSError as error:
            raise CredentialsRefused(f"the token file cannot be read: {error}") from error
        self.account.check_token(token.strip())
        self.account.check_ownership(request.domain, request.domain_ownership)

    async def create_bucket(self, domain: str, fencing_token: int) -> BucketPlace:
        """See Provider.create_bucket."""
        bucket = self._bucket(domain)
        await asyncio.to_thread(bucket.create, fencing_token)
        return BucketPlace(name=domain, directory=str(bucket.directory))

    async def issue_certificate(self, domain: str, fencing_token: int) -> Certificate:
        """See Provider.issue_certificate."""
        return await asyncio.to_thread(self._authority.certificate, domain, fencing_token)

    async def create_distribution(self, domain: str, fencing_token: int) -> None:
        """See Provider.create_distribution."""
        del fencing_token  # starting what is there already changes nothing that another holder could have set
        await self._distribution(domain).start()

    async def attach(
        self, domain: str, bucket: BucketPlace, certificate: Certificate, fencing_token: int
    ) -> DistributionPlace:
        """See Provider.attach."""
        distribution = self._distribution(domain)
        await distribution.attach(Bucket(Path(bucket.directory)), certificate, fencing_token)
        return DistributionPlace(
            address=LOOPBACK,
            https_port=distribution.ports.https_port,
            http_port=distribution.ports.http_port,
            admin_port=distribution.ports.admin_port,
            admin_token_file=str(distribution.admin_token_file),
        )

    async def point_domain(self, domain: str, place: DistributionPlace, fencing_token: int) -> DnsPlace:
        """See Provider.point_domain."""
        record = SiteRecord(address=place.address, https_port=place.https_port, http_port=place.http_port)
        changed = await asyncio.to_thread(self.zone.point, domain, record, fencing_token)
        return DnsPlace(zone_file=str(self.zone.path), changed=changed)

    def _bucket(self, domain: str) -> Bucket:
        return Bucket(self.root / "buckets" / domain)

    def _distribution(self, domain: str) -> Distribution:
        if domain not in self._distributions:
            self._distributions[domain] = Distribution(self.root / "sites" / domain, domain)
        return self._distributions[domain]


def _own(root: Path) -> IO[bytes]:
    """Keeps others off `root` while what is returned stays open. Raises RuntimeError when somebody is there."""
    root.mkdir(parents=True, exist_ok=True)
    owned = (root / "owner").open("ab")
    try:
        fcntl.flock(owned, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        owned.close()
        raise RuntimeError(f"another infrastructure agent already serves {root}") from None
    return owned
