"""Hosting agents (being written: the signatures stand)."""

from __future__ import annotations

from collections.abc import Sequence

from concert.agent.agent import Agent


class AgentHost:
    """Hosts agents in this process: `async with AgentHost(MyAgent(), address="127.0.0.1:7420") as host: await host.wait()`."""

    def __init__(self, *agents: Agent, address: str = "127.0.0.1:7420", namespace: str = "", agent_ids: Sequence[str] = (), lease: float = 15.0) -> None: raise NotImplementedError
    async def __aenter__(self) -> AgentHost: raise NotImplementedError
    async def __aexit__(self, *exc: object) -> None: raise NotImplementedError
    def drain(self) -> None: raise NotImplementedError
    def cancel(self) -> None: raise NotImplementedError
    async def wait(self) -> None: raise NotImplementedError


async def run_agents(*agents: Agent, address: str = "127.0.0.1:7420", namespace: str = "", agent_ids: Sequence[str] = (), lease: float = 15.0) -> None:
    """Hosts agents until SIGTERM (drain: running tasks finish; a second one cancels them) or SIGINT (cancels them)."""
    raise NotImplementedError
