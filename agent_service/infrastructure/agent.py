"""The infrastructure agent: gives a domain a bucket, a certificate, a distribution and a name that leads there."""

from __future__ import annotations

import os
from pathlib import Path
from types import TracebackType
from typing import Any

from concert.agent import Agent, PreconditionFailed, TaskContext

from agent_service.faults import Permanent
from agent_service.infrastructure.local import LocalProvider
from agent_service.infrastructure.provider import Credentials, InfrastructureRequest
from agent_service.infrastructure.provisioning import provision
from agent_service.request import merged_input, requested, state_key
from agent_service.site import read, written

ROOT_DEFAULT = "var/provider"


class InfrastructureAgent(Agent):
    """Needs a domain name, credentials, and proof that the domain is its owner's.

    Its provider's servers live as long as its process, not as long as an attempt: the host enters it before it takes
    tasks and leaves it when it stops.
    """

    name = "infrastructure"
    capabilities = (
        "aws_resource_creation",
        "cloudfront_deployment",
        "route53_configuration",
        "ssl_certificate_management",
    )

    def __init__(self, provider: LocalProvider | None = None) -> None:
        self.provider = provider or local_provider()

    async def __aenter__(self) -> InfrastructureAgent:
        await self.provider.__aenter__()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.provider.__aexit__(kind, error, trace)

    async def validate_preconditions(self, context: TaskContext) -> None:
        """Refuses a malformed request, unknown credentials, and a domain that is not proven to be the owner's."""
        try:
            await self.provider.check(_request(context))
        except (ValueError, Permanent) as error:
            raise PreconditionFailed(f"{type(error).__name__}: {error}") from error

    async def execute(self, context: TaskContext) -> Any:
        """Returns a Site."""
        request = _request(context)
        site = written(await provision(request.domain, self.provider, context))
        context.set_state({state_key(request.domain, self.name): site}, strategy="replace")
        return site


def local_provider() -> LocalProvider:
    """The provider that the environment names: CONCERT_PROVIDER_ROOT (by default var/provider) holds everything, and
    CONCERT_PROVIDER_TOKEN_FILE the credentials (by default those of the account in the root)."""
    root = Path(os.environ.get("CONCERT_PROVIDER_ROOT", ROOT_DEFAULT))
    token_file = os.environ.get("CONCERT_PROVIDER_TOKEN_FILE")
    return LocalProvider(root, token_file=Path(token_file) if token_file else root / "account" / "token")


def _request(context: TaskContext) -> InfrastructureRequest:
    merged = merged_input(context.run_context, context.input)
    credentials = merged.get("credentials")
    return InfrastructureRequest(
        domain=requested(context.run_context, context.input).domain,
        credentials=read(credentials, Credentials, "credentials") if credentials is not None else None,
        domain_ownership=merged.get("domain_ownership"),
    )
