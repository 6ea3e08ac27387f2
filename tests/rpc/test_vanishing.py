"""Clients that vanish or read nothing: nobody else notices, and nothing is kept for them."""

from __future__ import annotations

import asyncio
import gc
from pathlib import Path
from typing import Any

import grpc
import pytest
from concert.v1 import event_service_pb2, run_service_pb2

from coordinator_service.server import CoordinatorServer
from coordinator_service.subscriptions import BATCH_BYTES_MAX, Selector, Subscription
from tests.relay import relaying

from .peer import Peer, publish
from .serving import serving

Subscribe = event_service_pb2.SubscribeRequest
EARLIEST = event_service_pb2.START_POSITION_EARLIEST
TAIL_BYTES_MAX = 4 * 1024 * 1024
EVENT_BYTES = 500_000
EVENTS = 120


def streams() -> int:
    """How many streams the coordinator in this process serves."""
    coroutines = (task.get_coro() for task in asyncio.all_tasks())
    names = [getattr(each, "__qualname__", "") for each in coroutines]
    return names.count("EventServicer._subscribe") + names.count("RunServicer._watch")


async def until(condition: Any) -> None:
    """Waits until the loop has brought something about."""
    async with asyncio.timeout(20):
        while not condition():  # noqa: ASYNC110 (there is nobody to tell us)
            await asyncio.sleep(0.001)


async def test_a_subscriber_that_reads_nothing_costs_nobody_anything(tmp_path: Path) -> None:
    """E3: publishers go on, others get everything, and what is kept for the one that does not read is bounded."""
    async with (
        serving(tmp_path, event_store="sqlite", tail_bytes_max=TAIL_BYTES_MAX) as server,
        grpc.aio.insecure_channel(server.address) as channel,
        grpc.aio.insecure_channel(server.address, options=[("grpc.use_local_subchannel_pool", 1)]) as idle_channel,
    ):
        peer = Peer(channel)
        idle = Peer(idle_channel).events.Subscribe(Subscribe(position=EARLIEST))
        await idle.read()  # it has begun, and reads no more
        reading = asyncio.create_task(_count(peer.events.Subscribe(Subscribe(position=EARLIEST)), EVENTS))
        before = _held()
        for _ in range(EVENTS):
            request = publish("large")
            request.events[0].custom.data.data = bytes(EVENT_BYTES)
            async with asyncio.timeout(10):
                await peer.events.Publish(request)
        assert await reading == EVENTS
        del request
        # The tail as events and as frames, and for each subscriber a few batches on their way to it.
        assert _held() - before < 2 * TAIL_BYTES_MAX + 2 * 3 * BATCH_BYTES_MAX < EVENTS * EVENT_BYTES // 2
        assert await _count(idle, EVENTS) == EVENTS
        idle.cancel()


def _held() -> int:
    """Bytes of large byte strings that this process holds: frames in the tail, batches on their way."""
    gc.collect()
    large = {id(each): len(each) for each in _referents() if type(each) is bytes and len(each) >= EVENT_BYTES}
    return sum(large.values())


def _referents() -> Any:
    for each in gc.get_objects():
        yield from gc.get_referents(each)


async def _count(call: Any, count: int) -> int:
    """Reads until that many custom events have come."""
    found = 0
    async with asyncio.timeout(60):
        while found < count:
            found += sum(event.HasField("custom") for event in (await call.read()).events)
    return found


@pytest.mark.parametrize("way", ["cancel", "break"])
async def test_a_stream_ends_with_its_client(coordinator: CoordinatorServer, peer: Peer, way: str) -> None:
    """A client that cancels, or is gone, leaves nothing behind, whether it was waiting or being written to."""
    await peer.publish(*["a"] * 100)
    await peer.submit("a", run_id="r")
    async with relaying(coordinator.address) as relay, grpc.aio.insecure_channel(relay.address) as channel:
        other = Peer(channel)
        calls = [
            other.events.Subscribe(Subscribe(position=EARLIEST)),
            other.events.Subscribe(Subscribe()),
            other.runs.WatchRun(run_service_pb2.WatchRunRequest(run_id="r")),
        ]
        for call in calls:
            await call.read()
        assert streams() == 3
        if way == "break":
            relay.break_connections()
        for call in calls:
            call.cancel()
        await until(lambda: streams() == 0)
    assert await peer.publish("still_here")


async def test_a_client_that_vanishes_mid_call_is_not_waited_for(peer: Peer) -> None:
    """What it asked for is done or not done, whole either way, and nothing fails."""
    for _ in range(50):
        call = peer.events.Publish(publish("a", "b"))
        await asyncio.sleep(0)
        call.cancel()
    await peer.publish("last")
    customs = event_service_pb2.ListEventsRequest(filter={"types": [100]}, page_size=1000)
    names = [event.custom.name for event in (await peer.events.ListEvents(customs)).events]
    assert names.pop() == "last"
    assert names == ["a", "b"] * (len(names) // 2)


def test_a_subscription_has_no_queue_of_its_own() -> None:
    """E3: a subscription is a position and a filter; what is not read stays in the log."""
    subscription = Subscription(None, Selector(), 0)  # type: ignore[arg-type]
    position, selection = {"_port", "_after", "_log_id", "_follower"}, {"_selector", "_since_ns", "_wants_all"}
    assert set(vars(subscription)) == position | selection
