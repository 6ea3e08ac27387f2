"""Load: the client side of a measurement, in a process of its own.

It speaks raw grpc.aio in encoded bytes and does the same whether a ceiling or Concert answers. What came back is looked
at once the measurement is over: an answer that was an error, or a repetition, fails the load.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import subprocess
import sys
import time
from collections.abc import Callable, Coroutine
from dataclasses import asdict, dataclass
from typing import Any

import grpc

from benchmarks import frames
from benchmarks.loops import LOOPS, run

CONNECT = "/concert.v1.SessionService/Connect"
PUBLISH = "/concert.v1.EventService/Publish"
SUBSCRIBE = "/concert.v1.EventService/Subscribe"

OPTIONS = (("grpc.max_receive_message_length", 4 * 1024 * 1024), ("grpc.use_local_subchannel_pool", 1))
"""Each channel has a connection of its own."""
AHEAD_BYTES = 16 * 1024 * 1024
"""Requests made ahead, together."""
PROCESS_SECONDS_MAX = 60.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Load:
    """What to ask of a server, and for how long."""

    kind: str
    """commands, calls, readers, or chain."""
    address: str
    namespace: str
    prefix: str = ""
    """Of request ids, so that no load repeats the requests of another; the namespace when empty."""
    seconds: float = 2.0
    warm_up_seconds: float = 0.4
    in_flight: int = 32
    """Requests without an answer at any time."""
    events: int = 1
    """Events a request publishes."""
    frame_commands_max: int = 1_000
    """Commands sent in one frame; more go into the next."""
    readers: int = 8
    publishes: bool = False
    """For readers: whether this load publishes what they read, `events` at a time."""
    tasks: int = 100
    """For chain: how many tasks follow one another."""
    token: str = ""
    """The bearer token of calls and commands, where they have one."""
    echoed: bool = False
    """Whether the answers are a ceiling's, which echoes, and say nothing."""

    @property
    def metadata(self) -> tuple[tuple[str, str], ...]:
        """What goes with a call."""
        return (("authorization", f"Bearer {self.token}"),) if self.token else ()

    @property
    def request_prefix(self) -> str:
        """What its request ids begin with."""
        return f"{self.prefix or self.namespace}-"


class LoadFailed(Exception):  # noqa: N818
    """The load process failed, or an answer was not what it has to be."""


def put(load: Load, loop: str) -> dict[str, Any]:
    """Puts a load on a server from a new process and returns what it measured. Raises LoadFailed."""
    done = subprocess.run(
        [sys.executable, "-m", "benchmarks.load", "--loop", loop, json.dumps(asdict(load))],
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=PROCESS_SECONDS_MAX + load.seconds + load.warm_up_seconds,
        check=False,
    )
    if done.returncode != 0:
        raise LoadFailed(f"{load}\n{done.stderr[-4000:]}")
    return dict(json.loads(done.stdout))


class Count:
    """Answers counted as they come, and the part of them that falls into the measured time."""

    def __init__(self, load: Load) -> None:
        self.answers = 0
        self.frames = 0
        self.over = asyncio.Event()
        self._load = load

    async def measure(self) -> dict[str, Any]:
        """Waits out the warm-up and the measured time while others count."""
        await asyncio.sleep(self._load.warm_up_seconds)
        answers, frames_, began, cpu = self.answers, self.frames, time.perf_counter(), time.process_time()
        await asyncio.sleep(self._load.seconds)
        took = time.perf_counter() - began
        self.over.set()
        answers, frames_ = self.answers - answers, self.frames - frames_
        return {
            "rate": answers / took,
            "count": answers,
            "seconds": took,
            "answers_per_frame": answers / max(1, frames_),
            "client_cpu_share": (time.process_time() - cpu) / took,
        }


def channel(load: Load) -> Any:
    """A connection of its own. Untyped: its methods take and return bytes."""
    return grpc.aio.insecure_channel(load.address, options=OPTIONS)


async def put_commands(load: Load) -> dict[str, Any]:
    """Commands over one session, `in_flight` of them: k answers lead to a frame of k new commands."""
    async with channel(load) as connection:
        count, kept = Count(load), list[bytes]()
        async with asyncio.TaskGroup() as group:
            sender = group.create_task(send_commands(connection, load, count, kept))
            measured = await count.measure()
            await sender
    if not load.echoed:
        check_replies(kept)
    return {**measured, "total": count.answers}


async def send_commands(connection: Any, load: Load, count: Count, kept: list[bytes]) -> None:
    """Keeps a session busy until the count is over; the frames that came are kept to be looked at later."""
    call = connection.stream_stream(CONNECT)(metadata=load.metadata)
    await call.write(frames.hello_frame(load.namespace))
    await call.read()
    commands = frames.publish_commands(load.events, load.request_prefix)
    pool = frames.Pool(commands, max(1000, AHEAD_BYTES // (100 * load.events)))
    owed = load.in_flight
    may_send = asyncio.Event()

    async def read() -> None:
        nonlocal owed
        while not count.over.is_set():
            frame = await call.read()
            if frame is grpc.aio.EOF:
                raise LoadFailed(f"the session ended: {await call.code()} {await call.details()}")
            answers = frames.messages_in(frame)
            count.answers += answers
            count.frames += 1
            kept.append(frame)
            owed += answers
            may_send.set()

    reader = asyncio.create_task(read())
    while not reader.done():
        if owed:
            sending = min(owed, load.frame_commands_max)
            owed -= sending
            await call.write(pool.take(sending))
        else:
            may_send.clear()
            waiting = asyncio.create_task(may_send.wait())
            await asyncio.wait([reader, waiting], return_when=asyncio.FIRST_COMPLETED)
            waiting.cancel()
    await reader
    call.cancel()


def check_replies(kept: list[bytes]) -> None:
    """Every reply has to say that new events were published."""
    from concert.v1 import session_service_pb2

    for frame in kept:
        for message in session_service_pb2.ConnectResponse.FromString(frame).messages:
            if message.WhichOneof("message") != "reply":
                continue
            if not message.reply.publish.sequences or message.reply.publish.replayed:
                raise LoadFailed(f"not published: {message}")


async def put_calls(load: Load) -> dict[str, Any]:
    """Unary calls over one connection, `in_flight` of them."""
    count, kept = Count(load), list[bytes]()
    requests = frames.publish_requests(load.namespace, load.events, load.request_prefix)
    pool = frames.Pool(requests, 50_000)
    async with channel(load) as connection:
        publish = connection.unary_unary(PUBLISH)

        async def call_again() -> None:
            while not count.over.is_set():
                kept.append(await publish(pool.take(1), metadata=load.metadata))
                count.answers += 1
                count.frames += 1

        async with asyncio.TaskGroup() as group:
            for _ in range(load.in_flight):
                group.create_task(call_again())
            measured = await count.measure()
    if not load.echoed:
        check_responses(kept)
    return {**measured, "total": count.answers}


def check_responses(kept: list[bytes]) -> None:
    """As check_replies, for unary calls."""
    from concert.v1 import event_service_pb2

    for encoded in kept:
        response = event_service_pb2.PublishResponse.FromString(encoded)
        if not response.sequences or response.replayed:
            raise LoadFailed(f"not published: {response}")


async def put_readers(load: Load) -> dict[str, Any]:
    """Readers of the event stream, each on a connection of its own, and who publishes what they read."""
    from concert.v1 import event_service_pb2

    request = event_service_pb2.SubscribeRequest(
        namespace=load.namespace, position=event_service_pb2.START_POSITION_LATEST
    ).SerializeToString()
    count = Count(load)
    readers = [Reader(load) for _ in range(load.readers)]
    async with asyncio.TaskGroup() as group:
        reading = [group.create_task(each.read(request)) for each in readers]
        await asyncio.gather(*(each.began.wait() for each in readers))
        publisher = group.create_task(publish_all_along(load, count)) if load.publishes else None
        await asyncio.sleep(load.warm_up_seconds)
        for each in readers:
            each.first = each.messages, each.last
        began, cpu = time.perf_counter(), time.process_time()
        await asyncio.sleep(load.seconds)
        for each in readers:
            each.end = each.messages, each.last
        took, cpu = time.perf_counter() - began, time.process_time() - cpu
        count.over.set()
        if publisher is not None:
            await publisher
        for task in reading:
            task.cancel()
    delivered = sum(each.delivered() for each in readers)
    messages = sum(each.end[0] - each.first[0] for each in readers)
    return {
        "rate": delivered / took,
        "count": delivered,
        "seconds": took,
        "events_per_message": delivered / max(1, messages),
        "client_cpu_share": cpu / took,
        "total": sum(each.delivered_ever() for each in readers),
    }


class Reader:
    """One subscription. It keeps the newest message; how far each one is says how many events came."""

    def __init__(self, load: Load) -> None:
        self._load = load
        self.began = asyncio.Event()
        self.messages = 0
        self.last = b""
        self.first = (0, b"")
        self.end = (0, b"")
        self._at_start = 0

    async def read(self, request: bytes) -> None:
        """Until it is cancelled."""
        async with channel(self._load) as connection:
            call = connection.unary_stream(SUBSCRIBE)(request)
            self.last = await call.read()
            self._at_start = self._position(self.last)
            self.began.set()
            while True:
                message = await call.read()
                if message is grpc.aio.EOF:
                    raise LoadFailed(f"a subscription ended: {await call.code()} {await call.details()}")
                self.last = message
                self.messages += 1

    def delivered(self) -> int:
        """Events within the measured time: gapless, so the difference of two positions; all alike from a ceiling."""
        if self._load.echoed:
            return (self.end[0] - self.first[0]) * self._load.events
        return self._position(self.end[1]) - self._position(self.first[1])

    def delivered_ever(self) -> int:
        """Events since the subscription began."""
        if self._load.echoed:
            return self.messages * self._load.events
        return self._position(self.last) - self._at_start

    @staticmethod
    def _position(message: bytes) -> int:
        from concert.v1 import event_service_pb2

        response = event_service_pb2.SubscribeResponse.FromString(message)
        if response.events and response.bookmark.last_sequence != response.events[-1].sequence:
            raise LoadFailed("a bookmark beside the last event")
        return int(response.bookmark.last_sequence)


async def publish_all_along(load: Load, count: Count) -> None:
    """Publishes over a session of its own until the count is over."""
    async with channel(load) as connection:
        kept: list[bytes] = []
        await send_commands(connection, load, count, kept)
        check_replies(kept)


async def put_chain(load: Load) -> dict[str, Any]:
    """A run of empty tasks, one after another, by an agent that reports each as started and completed at once."""
    from benchmarks.chain import Chain, bounce

    async with channel(load) as connection:
        call = connection.stream_stream(CONNECT)()
        chain = Chain(load.namespace, load.tasks, load.request_prefix)
        seconds = await (bounce(call, chain) if load.echoed else chain.complete(call))
        call.cancel()
    return {"ms_per_task": seconds * 1000 / load.tasks, "total": load.tasks}


KINDS: dict[str, Callable[[Load], Coroutine[Any, Any, dict[str, Any]]]] = {
    "commands": put_commands,
    "calls": put_calls,
    "readers": put_readers,
    "chain": put_chain,
}


def main() -> None:
    """The entry point."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.load")
    parser.add_argument("--loop", choices=LOOPS, required=True)
    parser.add_argument("load", type=lambda text: Load(**json.loads(text)))
    arguments = parser.parse_args()
    load: Load = arguments.load
    print(json.dumps(run(KINDS[load.kind](load), arguments.loop)))


if __name__ == "__main__":
    main()
