"""Replicas over Redis: what its log adds to a bare script, what another's namespace costs, and how long one changes
hands. Left out, and said, where there is no redis-server.
"""

from __future__ import annotations

import asyncio
import dataclasses
import os
import signal
import sys
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from itertools import pairwise

import grpc
from redis.asyncio import Redis

from benchmarks import frames, past, redis_store
from benchmarks.figure import Figure, Sample, Target
from benchmarks.load import OPTIONS, PUBLISH, Load
from benchmarks.redis_store import LEASE_MS
from benchmarks.rounds import put_on
from benchmarks.servers import Server
from benchmarks.settings import Settings
from coordinator_service.log.base import Batch
from coordinator_service.log.redis import RedisStore
from coordinator_service.log.redis_options import RedisOptions
from tests.redis_process import RedisProcess

BATCH_EVENTS = 100
EVENT_BYTES = 200
READERS = 32
SETTLE_SECONDS_MAX = 60.0
PAUSE_SECONDS = 0.002
"""Between two tries of a write while a namespace changes hands."""

BARE_SCRIPT = """
local has = redis.call('HGET', KEYS[1], 'epoch')
if has ~= ARGV[1] then return 0 end
for i = 2, #ARGV do redis.call('XADD', KEYS[2], '*', 'e', ARGV[i]) end
return 1
"""
"""A look at the epoch and an entry for each event: the least that a fenced append can be."""


def measure(settings: Settings) -> list[Figure]:
    """Everything that has to do with replicas."""
    if not redis_store.is_there():
        print("        there is no redis-server: left out", file=sys.stderr)
        return []
    with redis_store.redis() as store:
        appends = asyncio.run(_measure_appends(settings, store))
    with _two_replicas(settings) as (store, replicas):
        calls = _measure_calls(settings, store, replicas)
        balance = _measure_balance(settings, store, replicas)
        readers = _measure_readers(settings, store, replicas)
    return [appends, *calls, balance, readers, *_measure_changes(settings)]


# The log.


async def _measure_appends(settings: Settings, store: RedisProcess) -> Figure:
    """One append after another, as the group commit makes them."""
    figure = Figure(
        name=f"Redis append, batches of {BATCH_EVENTS}",
        unit="events/s",
        ceiling="a bare script: epoch check, XADD of each event",
        target=Target(floor=0.5, goal=0.8),
    )
    opened = RedisStore(RedisOptions(url=store.url))
    log = await opened.open("bench")
    epoch = await log.claim("bench")
    event = os.urandom(EVENT_BYTES)
    end = 0

    async def append() -> None:
        nonlocal end
        batch = Batch(
            first_sequence=end + 1,
            last_sequence=end + BATCH_EVENTS,
            time_ns=time.time_ns(),
            events=event * BATCH_EVENTS,
        )
        end = batch.last_sequence
        await log.append(batch, epoch)

    async with Redis.from_url(store.url) as bare:
        await bare.hset("bare", "epoch", "1")
        script = bare.register_script(BARE_SCRIPT)

        async def run() -> None:
            await script(keys=["bare", "bare:log"], args=["1", *[event] * BATCH_EVENTS])

        for _ in range(settings.rounds):
            ceiling = await _rate(run, settings.seconds)
            figure.samples.append(Sample(concert=await _rate(append, settings.seconds), ceiling=ceiling))
    await opened.close()
    return figure


async def _rate(append: Callable[[], object], seconds: float) -> float:
    """Events a second, one batch after another."""
    began = time.perf_counter()
    done = 0
    while (took := time.perf_counter() - began) < seconds:
        await append()  # type: ignore[misc]
        done += BATCH_EVENTS
    return done / took


# Two replicas.


@contextmanager
def _two_replicas(settings: Settings) -> Iterator[tuple[RedisProcess, dict[str, Server]]]:
    with redis_store.redis() as store, ExitStack() as running, ThreadPoolExecutor() as starting:
        made = {name: redis_store.replica(store, settings.loop, name) for name in ("a", "b")}
        entered = dict(zip(made, starting.map(running.enter_context, made.values()), strict=True))
        yield store, entered


def _owned_by(store: RedisProcess, replicas: dict[str, Server], owner: str, settings: Settings, what: str) -> str:
    """A namespace that this replica owns: names are tried until one falls to it."""
    for number in range(64):
        namespace = settings.namespace(what, number)
        put_on(
            replicas[owner],
            Load(kind="calls", address="", namespace=namespace, seconds=0.1, in_flight=1),
            settings.loop,
        )
        if redis_store.owner_of(store, namespace) == owner:
            return namespace
    raise AssertionError(f"no namespace falls to {owner}")


def _measure_calls(settings: Settings, store: RedisProcess, replicas: dict[str, Server]) -> list[Figure]:
    namespace = _owned_by(store, replicas, "a", settings, "call")
    figures = []
    for in_flight in (1, 32):
        figure = Figure(
            name=f"a forwarded call, {in_flight} in flight",
            unit="ms",
            ceiling="the same at the owner",
            target=Target(floor=2.2, goal=1.6, lower_is_better=True) if in_flight > 1 else None,
        )
        for number in range(settings.rounds):
            load = Load(kind="calls", address="", namespace=namespace, seconds=settings.seconds, in_flight=in_flight)
            direct, forwarded = (
                put_on(
                    replicas[name],
                    dataclasses.replace(load, prefix=settings.namespace(f"{name}{in_flight}", number)),
                    settings.loop,
                )
                for name in ("a", "b")
            )
            figure.samples.append(
                Sample(concert=in_flight * 1000 / forwarded["rate"], ceiling=in_flight * 1000 / direct["rate"])
            )
        figures.append(figure)
    return figures


def _measure_balance(settings: Settings, store: RedisProcess, replicas: dict[str, Server]) -> Figure:
    """Two loads at once, each on a namespace of its own: of one replica, and of one each."""
    figure = Figure(
        name="two replicas, a namespace each",
        unit="µs of CPU",
        ceiling="one replica that owns both",
    )
    own = {name: _owned_by(store, replicas, name, settings, f"balance-{name}") for name in replicas}
    second = _owned_by(store, replicas, "a", settings, "second")
    for number in range(settings.rounds):
        prefix = settings.namespace("balance", number)
        alone = _together(settings, replicas, [("a", own["a"]), ("a", second)], f"{prefix}-one")
        shared = _together(settings, replicas, list(own.items()), f"{prefix}-two")
        figure.samples.append(Sample(concert=shared, ceiling=alone))
    return figure


def _together(settings: Settings, replicas: dict[str, Server], loads: list[tuple[str, str]], prefix: str) -> float:
    """CPU of both replicas for each decision, in µs: of the one that owns, and of the one that stands by."""
    before = sum(server.cpu_seconds() for server in replicas.values())

    def one(number: int) -> int:
        name, namespace = loads[number]
        load = Load(
            kind="commands", address="", namespace=namespace, prefix=f"{prefix}-{number}", seconds=settings.seconds
        )
        return int(put_on(replicas[name], load, settings.loop)["total"])

    with ThreadPoolExecutor() as both:
        total = sum(both.map(one, range(len(loads))))
    return (sum(server.cpu_seconds() for server in replicas.values()) - before) * 1e6 / max(1, total)


def _measure_readers(settings: Settings, store: RedisProcess, replicas: dict[str, Server]) -> Figure:
    """What readers cost the owner: here, and at another replica."""
    figure = Figure(
        name=f"{READERS} readers at another replica",
        unit="µs of the owner's CPU per event",
        ceiling="the same readers at the owner",
    )
    namespace = _owned_by(store, replicas, "a", settings, "readers")
    for number in range(settings.rounds):
        spent = {}
        for name in ("a", "b"):
            prefix = settings.namespace(f"readers-{name}", number)
            before = replicas["a"].cpu_seconds()
            load = Load(kind="readers", address="", namespace=namespace, seconds=settings.seconds, readers=READERS)
            with ThreadPoolExecutor() as both:
                reading = both.submit(put_on, replicas[name], load, settings.loop)
                publishing = both.submit(
                    put_on, replicas["a"], dataclasses.replace(load, kind="commands", prefix=prefix), settings.loop
                )
                reading.result()
                published = publishing.result()["total"]
            spent[name] = (replicas["a"].cpu_seconds() - before) * 1e6 / max(1, published)
        figure.samples.append(Sample(concert=spent["b"], ceiling=spent["a"]))
    return figure


# From one owner to another.


def _measure_changes(settings: Settings) -> list[Figure]:
    """From the last acknowledged write to the next, at a replica that did not own the namespace."""
    events = f"{settings.history_events:,} events".replace(",", " ")
    takeover = Figure(
        name=f"take-over after SIGKILL, {events}, beyond the lease of {LEASE_MS / 1000:g} s",
        unit="s",
        target=Target(of="concert", floor=1.0, goal=0.3, lower_is_better=True),
    )
    handover = Figure(
        name=f"hand-over at SIGTERM, {events}",
        unit="s",
        target=Target(of="concert", floor=0.5, goal=0.15, lower_is_better=True),
    )
    with redis_store.redis() as store:
        asyncio.run(_write_past(store, settings.history_events))
        for number in range(settings.rounds):
            for figure, how, lease in ((takeover, signal.SIGKILL, LEASE_MS / 1000), (handover, signal.SIGTERM, 0.0)):
                gap = _change(settings, store, how, settings.namespace(f"change-{how.name}", number))
                assert gap > lease / 2, f"{gap:.3f} s after {how.name}, while the lease of the owner ran on"
                figure.samples.append(Sample(concert=gap - lease, details={"gap_seconds": gap}))
    return [takeover, handover]


async def _write_past(store: RedisProcess, events: int) -> None:
    opened = RedisStore(RedisOptions(url=store.url))
    await past.write_into(opened, events)
    await opened.close()


def _change(settings: Settings, store: RedisProcess, how: signal.Signals, prefix: str) -> float:
    """Two replicas that have settled; the owner goes; how long nobody's write was acknowledged."""
    with ExitStack() as running, ThreadPoolExecutor() as starting:
        made = {name: redis_store.replica(store, settings.loop, name) for name in ("a", "b")}
        replicas = dict(zip(made, starting.map(running.enter_context, made.values()), strict=True))
        return asyncio.run(_gap(store, replicas, how, prefix))


async def _at_rest(server: Server) -> None:
    """Until a replica has nothing to do: by then it has folded what it owns or stands by for."""
    while True:
        before = server.cpu_seconds()
        await asyncio.sleep(1.0)
        if server.cpu_seconds() - before < 0.1:
            return


async def _settled_owner(store: RedisProcess, replicas: dict[str, Server]) -> str:
    """Which replica owns the past once it does not move any more: whoever starts first owns it until the other is here,
    and may have to give it up then.
    """
    while True:
        owner = redis_store.owner_of(store, past.NAMESPACE)
        for server in replicas.values():
            await _at_rest(server)
        if owner in replicas and redis_store.owner_of(store, past.NAMESPACE) == owner:
            return owner


async def _gap(store: RedisProcess, replicas: dict[str, Server], how: signal.Signals, prefix: str) -> float:
    requests = iter(frames.publish_requests(past.NAMESPACE, 1, prefix))
    async with asyncio.timeout(SETTLE_SECONDS_MAX * 2):
        owner = await _settled_owner(store, replicas)
        survivor = next(server for name, server in replicas.items() if name != owner)
        async with grpc.aio.insecure_channel(survivor.address, options=OPTIONS) as channel:
            publish = channel.unary_unary(PUBLISH)
            request = next(requests)
            acknowledged: list[float] = []

            async def write() -> None:
                nonlocal request
                try:
                    await publish(request, timeout=SETTLE_SECONDS_MAX)
                except grpc.aio.AioRpcError as error:
                    if error.code() is not grpc.StatusCode.UNAVAILABLE:
                        raise
                    await asyncio.sleep(PAUSE_SECONDS)
                    return
                acknowledged.append(time.perf_counter())
                request = next(requests)

            while len(acknowledged) < 20:
                await write()
            assert redis_store.owner_of(store, past.NAMESPACE) == owner, "it moved by itself"
            replicas[owner].process.send_signal(how)
            sent, before = time.perf_counter(), len(acknowledged)
            while redis_store.owner_of(store, past.NAMESPACE) == owner or acknowledged[-1] < sent:
                await write()
            for _ in range(20):
                await write()
            times = [acknowledged[before - 1], *acknowledged[before:]]
            return max(later - earlier for earlier, later in pairwise(times))
