"""One scenario from its seed: load and faults, then calm, then the reckoning."""

from __future__ import annotations

import asyncio
import hashlib
import shutil
import tempfile
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from random import Random

import concert

from coordinator_service.core import events as e
from coordinator_service.core.invariants import InvariantBroken
from tests.chaos.agents import AgentProcess
from tests.chaos.clients import END_KEY, MARKER, PATIENT_SECONDS, Client, crowd, watch_stalls
from tests.chaos.cluster import PROGRAM, Cluster, cluster
from tests.chaos.faults import Faults
from tests.chaos.reckoning import WholeLog, read_whole, reckon
from tests.chaos.stores import ReplicatedStore, SingleStore, Store
from tests.chaos.told import Batch, Told
from tests.judging.lock_history import require

CHAOS_SECONDS = 8.0
CALM_SECONDS_MAX = 90.0
AGENTS = ("step-1", "step-2")
STORES: dict[str, Callable[[Path], Store]] = {"single": SingleStore, "replicated": ReplicatedStore}

Trouble = Callable[["Scenario"], Awaitable[None]]
Load = Callable[[Sequence[str], Told, Callable[[str], Random]], list[Client]]


class Failed(AssertionError):  # noqa: N818 - it says what happened
    """Something does not hold; says how to see it again."""


@dataclass(slots=True)
class Scenario:
    """Everything of it that runs."""

    cluster: Cluster
    agents: list[AgentProcess]
    random: Callable[[str], Random]
    told: Told = field(default_factory=Told)
    story: list[str] = field(default_factory=list)

    async def strike(self) -> None:
        """What befalls it, unless somebody has a plan."""
        faults = Faults(self.cluster, self.agents, self.random("faults"))
        self.story = faults.story
        await faults.strike(CHAOS_SECONDS)


def seeded(seed: int) -> Callable[[str], Random]:
    """A source of chance for each name, the same for the same seed."""

    def of(name: str) -> Random:
        return Random(hashlib.sha256(f"{seed}/{name}".encode()).digest())

    return of


async def play(
    seed: int,
    store: str,
    *,
    trouble: Trouble = Scenario.strike,
    program: tuple[str, ...] = PROGRAM,
    load: Load = crowd,
) -> str:
    """Plays it and returns what there is to say about it. Raises Failed."""
    directory = Path(tempfile.mkdtemp(prefix="concert-chaos-"))
    begun = time.monotonic()
    scenario: Scenario | None = None
    try:
        async with cluster(directory, STORES[store](directory), program=program) as running:
            scenario = Scenario(
                running, [AgentProcess(name, directory, running.addresses) for name in AGENTS], seeded(seed)
            )
            async with _agents(scenario.agents):
                log = await _play(scenario, trouble, load)
    except BaseException as error:
        story = "\n".join(scenario.story) if scenario is not None else "it did not begin"
        agents = "\n".join(f"--- {each.name}\n{each.log_tail()}" for each in scenario.agents) if scenario else ""
        if not isinstance(error, Exception):
            raise
        raise Failed(
            f"{_shown(error)}\n\nseed {seed}, store {store}:\n{story}\n{agents}\n"
            f"play it again: make chaos N=1 SEED={seed} STORE={store}"
        ) from error
    finally:
        shutil.rmtree(directory, ignore_errors=True)
    seconds, events = time.monotonic() - begun, log.events
    owners = sum(isinstance(each.payload, e.OwnerStarted) for each in events)
    resumed = sum(isinstance(each.payload, e.AgentAttached) for each in events)
    return (
        f"seed {seed}, store {store}: {len(scenario.story) // 2} faults, {owners} owners, {resumed} sessions resumed,"
        f" {len(events)} events, {scenario.told.tally()}; {seconds:.1f} s"
    )


async def _play(scenario: Scenario, trouble: Trouble, load: Load) -> WholeLog:
    running, told = scenario.cluster, scenario.told
    clients = load(running.addresses, told, scenario.random)
    await _load(scenario, clients, trouble)
    await _rest(running)
    await asyncio.gather(*(asyncio.to_thread(each.stop) for each in scenario.agents))
    live = await _live(running)
    await running.stop()
    log = await read_whole(running.store.url)
    executed = [token for each in scenario.agents for token in each.executed()]
    await asyncio.to_thread(reckon, log, told, executed)
    folded = {key: (row.value, row.revision) for key, row in log.state().entries.items()}
    for name, found in live.items():
        require(found == folded, f"7: replica {name} showed a state that the log does not fold to")
    return log


async def _load(scenario: Scenario, clients: list[Client], trouble: Trouble) -> None:
    """Load under trouble, until all that was begun is ended and every subscriber has seen the end."""
    over = asyncio.Event()
    stalls = asyncio.create_task(watch_stalls(scenario.told))
    try:
        async with asyncio.TaskGroup() as acting:
            acts = [acting.create_task(each.act(over), name=each.name) for each in clients]
            for agent in scenario.agents:
                agent.start()
            await trouble(scenario)
            over.set()
            await _end(scenario)
            left = (await asyncio.wait(acts, timeout=CALM_SECONDS_MAX))[1] if acts else set()
            require(not left, f"8: {sorted(each.get_name() for each in left)} do not come to an end")
    finally:
        stalls.cancel()


async def _end(scenario: Scenario) -> None:
    """Waits for the runs, and says that this is the end."""
    async with _patient(scenario.cluster) as client, asyncio.timeout(CALM_SECONDS_MAX):
        for run_id in scenario.told.runs:
            await client.run(run_id).wait()
        batch = Batch((MARKER,))
        scenario.told.batches.append(batch)
        batch.sequences = (await client.publish(MARKER),)
        await client.state.update({END_KEY: MARKER}, strategy="replace")


async def _rest(running: Cluster) -> None:
    """Until nobody holds a lock or waits for one, and every run is over: those too of which nobody was told."""
    deadline = time.monotonic() + CALM_SECONDS_MAX
    async with _patient(running) as client:
        while True:
            locks = await client.locks.list()
            runs = [run for status in ("pending", "running") for run in await client.runs.list(status=status)]
            if not locks and not runs:
                return
            require(time.monotonic() < deadline, f"8: {len(locks)} locks and {len(runs)} runs do not come to an end")
            await asyncio.sleep(0.2)


async def _live(running: Cluster) -> dict[str, dict[str, tuple[object, int]]]:
    """Shared state as each replica shows it."""
    found = {}
    for each in running.replicas:
        async with concert.connect(each.clients.address, call_seconds=60.0, retry_seconds=60.0) as client:
            found[each.name] = {entry.key: (entry.value, entry.revision) for entry in await client.state.list()}
    return found


@asynccontextmanager
async def _patient(running: Cluster) -> AsyncIterator[concert.Client]:
    async with concert.connect(
        running.addresses, writer="clients", call_seconds=PATIENT_SECONDS, retry_seconds=PATIENT_SECONDS
    ) as client:
        yield client


@asynccontextmanager
async def _agents(agents: list[AgentProcess]) -> AsyncIterator[None]:
    try:
        yield
    finally:
        for each in agents:
            await asyncio.to_thread(each.kill)


def _shown(error: BaseException) -> str:
    if isinstance(error, BaseExceptionGroup):
        return "\n".join(_shown(each) for each in error.exceptions)
    return str(error) if isinstance(error, InvariantBroken) else f"{type(error).__name__}: {error}"
