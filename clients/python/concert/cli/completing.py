"""What a shell may complete: names that the coordinator knows. Quick or nothing."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Awaitable, Callable

import concert
from concert.cli.place import Place
from concert.cli.safe_text import is_safe

COMPLETE_SECONDS_MAX = 1.0
NAMES_MAX = 100


def runs(incomplete: str) -> list[str]:
    """Ids of runs."""
    return _names(incomplete, _runs)


def agents(incomplete: str) -> list[str]:
    """Ids of agents."""
    return _names(incomplete, _agents)


def resources(incomplete: str) -> list[str]:
    """Resources that are held or waited for."""
    return _names(incomplete, _resources)


def keys(incomplete: str) -> list[str]:
    """Keys of shared state."""
    return _names(incomplete, _keys)


async def _runs(client: concert.Client) -> list[str]:
    return [run.run_id for run in await client.runs.list(limit=NAMES_MAX)]


async def _agents(client: concert.Client) -> list[str]:
    return [agent.spec.agent_id for agent in await client.agents.list(connected=True, limit=NAMES_MAX)]


async def _resources(client: concert.Client) -> list[str]:
    return [lock.resource for lock in await client.locks.list(limit=NAMES_MAX)]


async def _keys(client: concert.Client) -> list[str]:
    return [entry.key for entry in await client.state.list(limit=NAMES_MAX)]


def _names(incomplete: str, ask: Callable[[concert.Client], Awaitable[list[str]]]) -> list[str]:
    async def asked() -> list[str]:
        place = Place().but(
            os.environ.get("CONCERT_ADDRESS"), os.environ.get("CONCERT_NAMESPACE"), COMPLETE_SECONDS_MAX
        )
        async with asyncio.timeout(COMPLETE_SECONDS_MAX), place.connect() as client:
            return await ask(client)

    try:
        found = asyncio.run(asked())
    except Exception:
        return []
    return [name for name in found if name.startswith(incomplete) and is_safe(name) and " " not in name]
