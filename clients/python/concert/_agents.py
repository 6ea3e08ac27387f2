"""Who is there."""

from __future__ import annotations

from typing import Any

from concert._caller import Origin
from concert._methods import DRAIN_AGENT, GET_AGENT, LIST_AGENTS
from concert._pages import read_pages
from concert.v1 import agent_service_pb2


class Agents:
    """The agents of a namespace."""

    def __init__(self, origin: Origin) -> None:
        """Asks as `origin`."""
        self._origin = origin

    async def list(
        self, *, name: str = "", capability: str = "", connected: bool = False, limit: int | None = None
    ) -> list[Any]:
        """Agents by id, those too that are gone while they are kept, unless `connected`."""
        request = agent_service_pb2.ListAgentsRequest(agent_name=name, capability=capability, connected=connected)
        return await read_pages(self._origin.caller, LIST_AGENTS, request, "agents", limit)

    async def get(self, agent_id: str) -> Any:
        """One agent. Raises NotFound."""
        request = agent_service_pb2.GetAgentRequest(agent_id=agent_id)
        return (await self._origin.caller.call(GET_AGENT, request)).agent

    async def drain(self, agent_id: str) -> int:
        """Tells an agent to take no new tasks and leave when it has none; the sequence of the event. Raises
        NotFound.
        """
        request = agent_service_pb2.DrainAgentRequest(agent_id=agent_id)
        return int((await self._origin.caller.call(DRAIN_AGENT, request)).sequence)
