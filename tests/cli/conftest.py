"""Fixtures of the command's tests: one coordinator process for all, a namespace for each test, and agents."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from typing import Any

import concert
import pytest
from concert.agent import Agent, AgentHost, NotRetryable, TaskContext

from tests.coordinator_process import CoordinatorProcess, coordinator_process

from .concert_command import Concert, until


class Labourer(Agent):
    """Does as its input says: fails with a message, or says something and waits until the state says go."""

    capabilities = ("labour",)
    slots = 4

    async def execute(self, context: TaskContext) -> Any:
        given: Any = context.input or {}
        if "says" in given:
            await context.progress(0.5, given["says"])
        if "fails" in given:
            raise NotRetryable(given["fails"])
        if "waits_for" in given:

            async def told() -> Any:
                return await context.state.get(given["waits_for"])

            await until(told)
        return given.get("gives")


@pytest.fixture(scope="session")
def serving(tmp_path_factory: pytest.TempPathFactory) -> Iterator[CoordinatorProcess]:
    with coordinator_process(tmp_path_factory.mktemp("coordinator"), durable=False) as process:
        yield process


@pytest.fixture
def run(serving: CoordinatorProcess, request: pytest.FixtureRequest) -> Concert:
    """The command, in a namespace of its own."""
    return Concert(serving.address, request.node.name[:100])


@pytest.fixture
async def client(run: Concert) -> AsyncIterator[concert.Client]:
    async with concert.connect(run.address, namespace=run.namespace) as connected:
        yield connected


@pytest.fixture
async def labourer(run: Concert) -> AsyncIterator[str]:
    """An agent with the capability `labour`; its id."""
    async with AgentHost(Labourer(), address=run.address, namespace=run.namespace) as host:
        await host.registered()
        yield host.agent_ids[0]
