"""One load on one server: `load.py KIND ADDRESS NAMESPACE WARM_UP_SECONDS SECONDS` prints what was measured as JSON.

The kind `bare` is grpc.aio without the client: frames of publishing commands, 32 without an answer, to a server that
answers each. The others ask a coordinator through the client: `commands` (the same commands over a session), `locks`
(pairs of acquire and release), `tasks` (through an agent, and a chain of them), `subscribe` (events published in
batches by one session and followed by a subscription).
"""

from __future__ import annotations

import asyncio
import itertools
import json
import sys
import time
from collections.abc import Awaitable, Callable
from typing import Any

import concert
from concert.agent import Agent, AgentHost, TaskContext

from benchmarks.load import Load, put_commands
from benchmarks.loops import LOOP_DEFAULT, run

IN_FLIGHT = 32
BATCH = 100
CHAIN = 100
WIDE = 500
DATA = bytes(64)


class Rate:
    """Counts what comes, and the part of it that falls into the measured time."""

    def __init__(self, warm_up_seconds: float, seconds: float) -> None:
        self._warm_up_seconds = warm_up_seconds
        self._seconds = seconds
        self._count = 0
        self._measures = False
        self._samples: list[float] = []
        self.is_over = False

    def add(self, count: int, began: float = 0.0) -> None:
        """So many more came; the one that began then."""
        self._count += count
        if began and self._measures:
            self._samples.append(time.perf_counter() - began)

    async def measure(self) -> float:
        """Waits out both times; how many came a second."""
        await asyncio.sleep(self._warm_up_seconds)
        before, began, self._measures = self._count, time.perf_counter(), True
        await asyncio.sleep(self._seconds)
        rate = (self._count - before) / (time.perf_counter() - began)
        self._measures, self.is_over = False, True
        return rate

    def quantile(self, part: float) -> float:
        """That part of the samples is not above this; 0 without any."""
        ordered = sorted(self._samples)
        return ordered[int(part * (len(ordered) - 1))] if ordered else 0.0


async def commands(client: concert.Client, rate: Rate) -> dict[str, float]:
    """Publishing commands over a session."""
    async with client.session() as session:
        return await at_once(rate, lambda _place: session.publish("measured", DATA))


async def locks(client: concert.Client, rate: Rate) -> dict[str, float]:
    """Pairs of acquire and release, each place in flight on a resource of its own."""
    async with client.session() as session:

        async def pair(place: int) -> None:
            async with session.lock(f"resource-{place}"):
                pass

        return await at_once(rate, pair)


async def at_once(rate: Rate, one: Callable[[int], Awaitable[Any]]) -> dict[str, float]:
    """So many of one thing at a time, again and again."""

    async def again(place: int) -> None:
        while not rate.is_over:
            began = time.perf_counter()
            await one(place)
            rate.add(1, began)

    async with asyncio.TaskGroup() as group:
        for place in range(IN_FLIGHT):
            group.create_task(again(place))
        measured = await rate.measure()
    return {"rate": measured, "p50_seconds": rate.quantile(0.5), "p99_seconds": rate.quantile(0.99)}


class Worker(Agent):
    """Does nothing, at once."""

    name = "worker"
    capabilities = ("measured",)
    slots = IN_FLIGHT

    def __init__(self, rate: Rate) -> None:
        self._rate = rate

    async def execute(self, _context: TaskContext) -> None:
        self._rate.add(1)


async def tasks(client: concert.Client, rate: Rate) -> dict[str, float]:
    """Runs of independent tasks, one after another; then one run of tasks that follow one another."""
    async with AgentHost(Worker(rate), address=client.address, namespace=client.namespace) as host:
        await host.registered()

        async def keep_busy() -> None:
            while not rate.is_over:
                wide = [concert.task(f"t{number}", capability="measured") for number in range(WIDE)]
                await (await client.submit_run(tasks=wide)).wait()

        async with asyncio.TaskGroup() as group:
            for _ in range(2):  # one is submitted while the other is worked on
                group.create_task(keep_busy())
            measured = await rate.measure()
        names = [f"t{number}" for number in range(CHAIN)]
        links = [concert.task(names[0], capability="measured")]
        links += [
            concert.task(name, capability="measured", depends_on=[before]) for before, name in itertools.pairwise(names)
        ]
        began = time.perf_counter()
        await (await client.submit_run(tasks=links)).wait()
        return {"rate": measured, "round_trip_seconds": (time.perf_counter() - began) / CHAIN}


async def subscribe(client: concert.Client, rate: Rate) -> dict[str, float]:
    """Events published in batches by a session and followed by a subscription."""
    async with client.session() as session, client.subscribe(custom_names=["measured"]) as events:

        async def publish() -> None:
            while not rate.is_over:
                await session.publish_many([concert.draft("measured", DATA) for _ in range(BATCH)])

        async def follow() -> None:
            async for _event in events:
                rate.add(1)

        following = asyncio.create_task(follow())
        async with asyncio.TaskGroup() as group:
            for _ in range(2):
                group.create_task(publish())
            measured = await rate.measure()
        following.cancel()
        await asyncio.gather(following, return_exceptions=True)
        return {"rate": measured}


async def put(kind: str, address: str, namespace: str, warm_up_seconds: float, seconds: float) -> dict[str, Any]:
    """Puts the load on."""
    if kind == "bare":
        load = Load(
            kind="commands",
            address=address,
            namespace=namespace,
            seconds=seconds,
            warm_up_seconds=warm_up_seconds,
            in_flight=IN_FLIGHT,
            echoed=True,
        )
        return await put_commands(load)
    loads = {"commands": commands, "locks": locks, "tasks": tasks, "subscribe": subscribe}
    async with concert.connect(address, namespace=namespace) as client:
        return await loads[kind](client, Rate(warm_up_seconds, seconds))


def main() -> None:
    """The entry point."""
    kind, address, namespace, warm_up_seconds, seconds = sys.argv[1:]
    measured = run(put(kind, address, namespace, float(warm_up_seconds), float(seconds)), LOOP_DEFAULT)
    print(json.dumps(measured))


main()
