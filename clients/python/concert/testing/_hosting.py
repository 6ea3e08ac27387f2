"""Agents under the test's time: hosted by the real runtime, and kept alive as time passes.

A runtime sends heartbeats in real time. What passes of the test's time is not real, so the kit has each agent give a
sign of life whenever a share of its lease has passed; an agent that crashes gives none.
"""

from __future__ import annotations

from typing import Any

from concert._methods import GET_STATE
from concert.agent import Agent, AgentHost, TaskContext
from concert.testing._time import attempt_token
from concert.v1 import state_service_pb2

LEASE_SECONDS = 300.0
"""The longest there is: fewer signs of life."""


class AttemptAware(Agent):
    """An agent, and around each of its methods the attempt that it is about."""

    def __init__(self, agent: Agent) -> None:
        """Around `agent`, as it is now."""
        self.name = agent.role
        self.agent_id = agent.agent_id
        self.capabilities = agent.capability_list()
        self.depends_on, self.after = agent.depends_on, agent.after
        self.slots, self.labels = agent.slots, agent.labels
        self._agent = agent

    async def validate_preconditions(self, context: TaskContext) -> bool | None:
        """As the agent."""
        attempt_token.set(context.attempt_token)
        return await self._agent.validate_preconditions(context)

    async def execute(self, context: TaskContext) -> Any:
        """As the agent."""
        attempt_token.set(context.attempt_token)
        return await self._agent.execute(context)

    async def cleanup(self, context: TaskContext) -> None:
        """As the agent."""
        attempt_token.set(context.attempt_token)
        await self._agent.cleanup(context)


async def give_sign_of_life(host: AgentHost) -> None:
    """One frame per agent, which makes its lease whole and leaves no event."""
    for hosted in host._hosted:
        session = hosted._link._session if hosted._link is not None else None
        if session is not None and session.session_id:
            request = state_service_pb2.GetStateRequest(keys=["sign_of_life"])
            await hosted.caller_for(session).call(GET_STATE, request)


async def crash(host: AgentHost) -> None:
    """Ends the agents as a power cut would: no goodbye, no report, no other session."""
    for hosted in host._hosted:
        link = hosted._link
        if link is not None and (session := link._session) is not None:
            link._stopping = True
            await hosted.thread.run(session.abandon)
