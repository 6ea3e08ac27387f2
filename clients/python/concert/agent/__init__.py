"""Agents: programs that are given tasks. Derive from Agent, then `await run_agents(MyAgent())`."""

from concert.agent.agent import Agent, Capability, NotRetryable, PreconditionFailed
from concert.agent.context import PreviousResults, TaskContext
from concert.agent.runtime import AgentHost, run_agents

__all__ = [
    "Agent",
    "AgentHost",
    "Capability",
    "NotRetryable",
    "PreconditionFailed",
    "PreviousResults",
    "TaskContext",
    "run_agents",
]
