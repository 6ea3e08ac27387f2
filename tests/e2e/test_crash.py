"""SIGKILL of the coordinator at random moments of a run: nothing acknowledged is lost, nothing is executed twice."""

from __future__ import annotations

import asyncio
import itertools
import random
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import Any

import concert
import pytest
from concert import RunStatus
from concert.agent import Agent, AgentHost, TaskContext

from tests.coordinator_process import CoordinatorProcess, coordinator_process

KILLS = 30
CHAINS = 6
CHAIN_LENGTH = 5


class Step(Agent):
    """A short piece of work that remembers which attempts it executed."""

    capabilities = ("step",)
    slots = 2

    def __init__(self, name: str, begun: asyncio.Event) -> None:
        self.name = name
        self.begun = begun
        self.executed: Counter[int] = Counter()

    async def execute(self, context: TaskContext) -> Any:
        """Waits a little and counts."""
        self.executed[context.attempt_token] += 1
        self.begun.set()
        await asyncio.sleep(0.15)
        context.set_state({f"chains/{context.task_id}": context.attempt_token})
        return {"task": context.task_id}


def chains() -> list[Any]:
    """Some chains of tasks side by side; the first step of each takes a lock that the others want, too."""
    return [
        concert.task(
            f"{chain}-{step}",
            capability="step",
            depends_on=[f"{chain}-{step - 1}"] if step else [],
            locks=["start"] if not step else [],
        )
        for chain in range(CHAINS)
        for step in range(CHAIN_LENGTH)
    ]


async def run_until(client: concert.Client, over: asyncio.Event) -> list[Any]:
    """One run after another; how they ended."""
    finals = []
    while not over.is_set():
        run = await client.submit_run(tasks=chains(), timeout=600)
        finals.append(await run.wait())
    return finals


class Publisher:
    """Publishes one event after another, and knows the sequence of each that was acknowledged."""

    def __init__(self) -> None:
        self.acknowledged: dict[str, int] = {}
        self.answered = asyncio.Event()

    async def publish_until(self, client: concert.Client, over: asyncio.Event) -> None:
        """Each event has an id of its own, and is sent until it is acknowledged."""
        for number in itertools.count():
            if over.is_set():
                return
            name = f"publisher-{number}"
            self.acknowledged[name] = await client.publish("beat", {"n": number}, event_id=name)
            self.answered.set()
            await asyncio.sleep(0.02)


async def lock_until(client: concert.Client, over: asyncio.Event) -> list[int]:
    """Takes and releases a lock again and again; the fencing tokens it was told."""
    tokens = []
    while not over.is_set():
        try:
            async with client.lock("contended", lease=30) as held:
                tokens.append(held.fencing_token)
                await asyncio.sleep(0.02)
        except concert.LockLost:
            continue
    return tokens


@asynccontextmanager
async def hosted(address: str, *agents: Agent) -> AsyncIterator[None]:
    """Agents that live through all of it."""
    async with AsyncExitStack() as stack:
        for agent in agents:
            host = await stack.enter_async_context(AgentHost(agent, address=address, lease=60))
            await host.registered()
        yield


async def all_events(client: concert.Client) -> list[Any]:
    """The whole log."""
    last = (await client.events.list(limit=1, descending=True))[0].sequence
    found = []
    async with client.subscribe(start="earliest") as events:
        async for event in events:
            found.append(event)
            if event.sequence >= last:
                return found
    raise AssertionError("the subscription ended")


@pytest.mark.timeout(900)
async def test_thirty_kills_lose_nothing_and_repeat_nothing(tmp_path: Path) -> None:
    """D3, D5, D6, R8, A5, L7: after every restart on the same data runs go on, and nothing is lost or done twice.

    `execute` is called at most once for an attempt token, every acknowledged event is there once, and every lock is
    held as it was or released by an event.
    """
    seed = random.randrange(2**32)
    chance = random.Random(seed)
    print(f"seed {seed}")
    begun = asyncio.Event()
    agents = [Step(f"step-{each}", begun) for each in "abc"]
    with coordinator_process(tmp_path) as coordinator:
        async with AsyncExitStack() as stack:
            client = await stack.enter_async_context(
                concert.connect(coordinator.address, call_seconds=300, retry_seconds=300)
            )
            await stack.enter_async_context(hosted(coordinator.address, *agents))
            standing = await stack.enter_async_context(client.lock("standing", lease=600))
            over = asyncio.Event()
            running = asyncio.create_task(run_until(client, over))
            publisher = Publisher()
            publishing = asyncio.create_task(publisher.publish_until(client, over))
            locking = asyncio.create_task(lock_until(client, over))
            answers = await kill_again_and_again(coordinator, begun, publisher.answered, chance)
            over.set()
            finals = await running
            await publishing
            tokens = await locking
            events = await all_events(client)
            locks = {lock.resource: lock for lock in await client.locks.list()}

    assert {final.status for final in finals} == {RunStatus.RUN_STATUS_SUCCEEDED}
    assert [event.sequence for event in events] == list(range(1, len(events) + 1))
    assert sum(1 for event in events if event.HasField("owner_started")) == KILLS + 1
    check_attempts([final.run_id for final in finals], agents, events)
    assert len(publisher.acknowledged) >= answers
    check_published(publisher.acknowledged, events)
    check_locks(tokens, events)
    assert [grant.fencing_token for grant in locks["standing"].holders] == [standing.fencing_token]


async def kill_again_and_again(
    coordinator: CoordinatorProcess, begun: asyncio.Event, answered: asyncio.Event, chance: random.Random
) -> int:
    """At random moments: some while everybody is still coming back, some once an agent began an attempt, and some
    once an event was acknowledged. How many were of the last kind.
    """
    answers = 0
    for _ in range(KILLS):
        sign = chance.choice((None, begun, answered))
        if sign is not None:
            await awaited_anew(sign)
            answers += sign is answered
        await asyncio.sleep(chance.uniform(0.0, 0.3))
        await asyncio.to_thread(coordinator.restart)
    return answers


async def awaited_anew(sign: asyncio.Event) -> None:
    """Until it is set once more."""
    sign.clear()
    async with asyncio.timeout(60):
        await sign.wait()


def check_attempts(run_ids: list[str], agents: list[Step], events: list[Any]) -> None:
    """At most one execution for a token; one accepted completion for a task."""
    executed = sum((agent.executed for agent in agents), Counter[int]())
    assert {token: count for token, count in executed.items() if count > 1} == {}
    completed = Counter((event.run_id, event.task_id) for event in events if event.HasField("agent_completed"))
    assert completed == Counter((run_id, task.task_id) for run_id in run_ids for task in chains())
    assigned = {event.sequence for event in events if event.HasField("task_assigned")}
    assert set(executed) <= assigned


def check_published(acknowledged: dict[str, int], events: list[Any]) -> None:
    """Each acknowledged event is in the log once, where it was said to be."""
    stored = Counter(event.event_id for event in events if event.HasField("custom"))
    by_sequence = {event.sequence: event for event in events}
    for event_id, sequence in acknowledged.items():
        assert stored[event_id] == 1
        assert by_sequence[sequence].event_id == event_id


def check_locks(tokens: list[int], events: list[Any]) -> None:
    """Tokens rise, each is a grant of the log, and a grant ends with an event before the next one begins."""
    assert tokens == sorted(set(tokens))
    holder = 0
    granted = set()
    for event in events:
        if event.HasField("resource_acquired") and event.resource_acquired.resource == "contended":
            assert holder == 0, f"{event.sequence} granted what {holder} holds"
            holder = event.sequence
            granted.add(holder)
        elif event.HasField("resource_released") and event.resource_released.resource == "contended":
            assert event.resource_released.fencing_token == holder
            holder = 0
    assert set(tokens) <= granted
