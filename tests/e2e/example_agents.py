"""Agents for the scenarios, each hosted in a process of its own: `host tests.e2e.example_agents:Alpha`."""

from __future__ import annotations

import asyncio
from typing import Any

from concert.agent import Agent, TaskContext


class Alpha(Agent):
    """Takes as long as its input says, in seconds, and answers with its own name and what came before."""

    name = "alpha"
    capabilities = ("work",)
    seconds = 0.0

    async def execute(self, context: TaskContext) -> Any:
        """Works for `seconds`; then does what `do` asks for."""
        wanted = context.input if isinstance(context.input, dict) else {}
        await asyncio.sleep(wanted.get("seconds", self.seconds))
        if wanted.get("do") == "fail":
            raise RuntimeError("told to fail")
        if wanted.get("do") == "write":
            context.set_state({wanted["key"]: context.task_id}, strategy="replace")
        return {"by": self.name, "before": sorted(context.previous_results)}


class Beta(Alpha):
    """Another role."""

    name = "beta"


class Gamma(Alpha):
    """Another role."""

    name = "gamma"
