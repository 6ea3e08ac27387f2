"""The port to whoever provides infrastructure. `local` is one; a cloud is another with the same steps."""

from __future__ import annotations

from typing import Protocol

import msgspec

from agent_service.infrastructure.certificates import Certificate
from agent_service.site import BucketPlace, DistributionPlace, DnsPlace


class Credentials(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Where the provider's token is: a path and not the token, since what a task is given is in the log for ever."""

    token_file: str


class InfrastructureRequest(msgspec.Struct, frozen=True, kw_only=True):
    """What the infrastructure agent is asked for."""

    domain: str
    # Without them, those that the agent's host was started with.
    credentials: Credentials | None = None
    # Without it, the text record of the domain is looked up.
    domain_ownership: str | None = None


class Provider(Protocol):
    """Creates what is missing and finds what is there: every call may be repeated."""

    name: str

    async def check(self, request: InfrastructureRequest) -> None:
        """Raises CredentialsRefused or OwnershipNotProven."""
        ...

    async def create_bucket(self, domain: str, fencing_token: int) -> BucketPlace:
        """A place for uploads."""
        ...

    async def issue_certificate(self, domain: str, fencing_token: int) -> Certificate:
        """A certificate for the domain, renewed when near its end."""
        ...

    async def create_distribution(self, domain: str, fencing_token: int) -> None:
        """Servers for the domain, with nothing to serve yet."""
        ...

    async def attach(
        self, domain: str, bucket: BucketPlace, certificate: Certificate, fencing_token: int
    ) -> DistributionPlace:
        """Lets the distribution serve the bucket with the certificate."""
        ...

    async def point_domain(self, domain: str, place: DistributionPlace, fencing_token: int) -> DnsPlace:
        """Points the domain at the distribution."""
        ...
