"""The security agent: hardens a site that the infrastructure agent has made, and tries to break in."""

from __future__ import annotations

from typing import Any

import concert
from concert.agent import Agent, PreconditionFailed, TaskContext

from agent_service.faults import Permanent
from agent_service.request import requested, state_key
from agent_service.security.hardening import secure
from agent_service.site import Site, read, written


class SecurityAgent(Agent):
    """Works while the content agent does: it sets up how the site is served, not what."""

    name = "security"
    capabilities = ("ssl_configuration", "access_control", "security_headers", "vulnerability_scanning")
    depends_on = (concert.on_agent("infrastructure"),)

    async def validate_preconditions(self, context: TaskContext) -> None:
        """Refuses a malformed request."""
        try:
            _ = requested(context.run_context, context.input).directories
        except (ValueError, Permanent) as error:
            raise PreconditionFailed(f"{type(error).__name__}: {error}") from error

    async def execute(self, context: TaskContext) -> Any:
        """Returns a SecurityResult."""
        request = requested(context.run_context, context.input)
        site = read(context.previous_results["infrastructure"], Site, "result of infrastructure")
        result = written(
            await secure(site, request.security_requirements, request.directories, context, context.run_id)
        )
        context.set_state({state_key(request.domain, self.name): result}, strategy="replace")
        return result
