"""Live fan-out from one publisher to eight subscribers, while the events are published and made durable.

The eight readers share one process with the publisher, on a connection each. The ceiling streams a message that
Concert sent, cached, to the same eight readers without anybody publishing: the price of deciding and storing counts
against Concert. What one more reader costs, by the coordinator's CPU time with eight and with one, is shown apart.
"""

from __future__ import annotations

import asyncio
import dataclasses

from concert.v1 import event_pb2, event_service_pb2

from benchmarks import frames, servers
from benchmarks.ceilings import CACHE
from benchmarks.figure import Figure, Sample, Target
from benchmarks.load import PUBLISH, SUBSCRIBE, Load, channel
from benchmarks.loops import run
from benchmarks.rounds import put_on, sample
from benchmarks.settings import Settings

EVENTS = 100
"""Events of a batch; a reader that keeps up is sent one at a time."""
IN_FLIGHT = 2
"""Batches without an answer, each a frame: one is decided while the other is on its way to disk."""
READERS = 8


def measure(settings: Settings) -> list[Figure]:
    """Events delivered a second, over all readers; and µs of CPU for each event that one more reader is sent."""
    figure = Figure(
        name="fan-out 1 to 8",
        unit="events/s",
        ceiling="server stream of cached bytes",
        target=Target(floor=0.3, goal=0.5),
    )
    cpu = Figure(name="fan-out, CPU of one more reader", unit="µs an event", ceiling="server stream of cached bytes")
    load = Load(
        kind="readers",
        address="",
        namespace="",
        seconds=settings.seconds,
        readers=READERS,
        events=EVENTS,
        in_flight=IN_FLIGHT,
        publishes=True,
        frame_commands_max=1,
    )
    with servers.ceiling(settings.loop) as bare, servers.concert(settings.loop) as coordinator:
        message = run(message_of(coordinator.address, settings.namespace("message", 0)), settings.loop)
        run(cache(bare.address, message), settings.loop)
        for number in range(settings.rounds):
            of_round = dataclasses.replace(load, namespace=settings.namespace("fan-out", number))
            above = put_on(bare, dataclasses.replace(of_round, publishes=False, echoed=True), settings.loop)
            below = put_on(coordinator, of_round, settings.loop)
            figure.samples.append(sample(below, above, "rate"))
            alone = dataclasses.replace(of_round, namespace=settings.namespace("one-reader", number), readers=1)
            cpu_alone = put_on(coordinator, alone, settings.loop)["server_cpu_us"]
            added = (below["server_cpu_us"] * READERS - cpu_alone) / (READERS - 1)
            cpu.samples.append(Sample(concert=added, ceiling=above["server_cpu_us"]))
    return [figure, cpu]


async def message_of(address: str, namespace: str) -> bytes:
    """The message in which Concert delivers EVENTS events."""
    load = Load(kind="readers", address=address, namespace=namespace)
    position = event_service_pb2.START_POSITION_EARLIEST
    custom = event_pb2.EventFilter(custom_names=["measured"])
    request = event_service_pb2.SubscribeRequest(namespace=namespace, filter=custom, position=position)
    async with channel(load) as connection:
        await connection.unary_unary(PUBLISH)(next(frames.publish_requests(namespace, EVENTS, "message-")))
        call = connection.unary_stream(SUBSCRIBE)(request.SerializeToString())
        async with asyncio.timeout(10):
            while True:
                message: bytes = await call.read()
                if len(event_service_pb2.SubscribeResponse.FromString(message).events) == EVENTS:
                    return message


async def cache(address: str, message: bytes) -> None:
    """Has a ceiling stream a message."""
    async with channel(Load(kind="readers", address=address, namespace="")) as connection:
        await connection.unary_unary(CACHE)(message)
