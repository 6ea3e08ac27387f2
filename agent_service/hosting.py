"""Hosting agents: the four of the deployment by name, any other as MODULE:CLASS."""

from __future__ import annotations

import contextlib
import importlib
from collections.abc import Sequence

from concert import credentials_from_environment
from concert.agent import Agent, run_agents

AGENTS = {
    "infrastructure": "agent_service.infrastructure.agent:InfrastructureAgent",
    "content": "agent_service.content.agent:ContentAgent",
    "security": "agent_service.security.agent:SecurityAgent",
    "quality_assurance": "agent_service.quality_assurance.agent:QualityAssuranceAgent",
}


class UnknownAgent(Exception):  # noqa: N818
    """No agent goes by that name, or what is there is no agent."""


def load_agent(name: str) -> Agent:
    """Makes the agent called `name`. Raises UnknownAgent saying what was looked for and not found."""
    module_name, colon, class_name = AGENTS.get(name, name).partition(":")
    if not colon:
        known = ", ".join(AGENTS)
        raise UnknownAgent(f"{name!r} is neither one of {known} nor MODULE:CLASS")
    try:
        found = getattr(importlib.import_module(module_name), class_name)
    except (ImportError, AttributeError) as error:
        raise UnknownAgent(f"{name!r} cannot be loaded: {error}") from error
    if not (isinstance(found, type) and issubclass(found, Agent)):
        raise UnknownAgent(f"{name!r} does not derive from concert.agent.Agent")
    return found()


def service_name(names: Sequence[str]) -> str:
    """What a process that hosts these agents is called in traces: the one agent's name, or what it is."""
    return names[0].rpartition(":")[2] if len(names) == 1 else "concert-agents"


async def host(names: Sequence[str], addresses: Sequence[str], namespace: str, lease_seconds: float) -> None:
    """Hosts agents until SIGTERM (running tasks finish) or SIGINT. An agent that is an async context manager is entered
    before it takes tasks and left after it has none."""
    agents = [load_agent(name) for name in names]
    async with contextlib.AsyncExitStack() as stack:
        for agent in agents:
            if isinstance(agent, contextlib.AbstractAsyncContextManager):
                await stack.enter_async_context(agent)
        known = credentials_from_environment()
        await run_agents(*agents, address=addresses, namespace=namespace, lease=lease_seconds, **known)
