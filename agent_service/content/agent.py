"""The content agent: brings posts and images onto a site that the infrastructure agent has made."""

from __future__ import annotations

import asyncio
from typing import Any

import concert
from concert.agent import Agent, PreconditionFailed, TaskContext

from agent_service.content.migration import migrate
from agent_service.content.posts import check_accessible
from agent_service.faults import Permanent
from agent_service.request import requested, state_key
from agent_service.site import Site, read, written


class ContentAgent(Agent):
    """Needs sources that are accessible."""

    name = "content"
    capabilities = ("content_migration", "image_optimization", "metadata_extraction", "content_validation")
    depends_on = (concert.on_agent("infrastructure"),)

    async def validate_preconditions(self, context: TaskContext) -> None:
        """Refuses sources that are missing, empty or unreadable."""
        try:
            for directory in requested(context.run_context, context.input).directories:
                await asyncio.to_thread(check_accessible, directory)
        except (ValueError, Permanent) as error:
            raise PreconditionFailed(f"{type(error).__name__}: {error}") from error

    async def execute(self, context: TaskContext) -> Any:
        """Returns a ContentResult."""
        request = requested(context.run_context, context.input)
        site = read(context.previous_results["infrastructure"], Site, "result of infrastructure")
        result = written(await migrate(site, request.directories, context))
        summary = {name: value for name, value in result.items() if name != "paths"}
        summary["deployment_id"] = context.run_id
        context.set_state({state_key(request.domain, self.name): summary}, strategy="replace")
        return result
