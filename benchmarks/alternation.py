"""Two servers asked in turn by one client, so that a small difference between them shows.

A server's CPU for an answer depends most of all on how many requests it finds at once, and a load that sends as fast as
it can leaves that to chance. Here it is settled: a flight of so many requests goes to one server, and when all of them
are answered one goes to the other; first is now the one, now the other. Whatever the machine does meanwhile befalls
both.
"""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import AbstractAsyncContextManager
from typing import Any

from benchmarks import frames
from benchmarks.load import CONNECT, PUBLISH, Load, LoadFailed, channel, check_replies, check_responses
from benchmarks.servers import Server

Fly = Callable[[], Awaitable[None]]
"""Sends a flight of requests, and waits for the last answer."""
WARM_UP_FLIGHTS = 60
AHEAD = 20_000
"""Requests made at once."""


async def alternate(servers: Sequence[Server], loads: Sequence[Load]) -> list[float]:
    """CPU of each server for an answer, in µs. All loads are of one kind, and as many in flight; the first says for how
    long."""
    async with contextlib.AsyncExitStack() as stack:
        flights = [await stack.enter_async_context(KINDS[load.kind](load)) for load in loads]
        for _ in range(WARM_UP_FLIGHTS):
            for fly in flights:
                await fly()
        before, pairs = [server.cpu_seconds() for server in servers], 0
        give_up_at = time.perf_counter() + loads[0].seconds
        while time.perf_counter() < give_up_at:
            for fly in flights if pairs % 2 else reversed(flights):
                await fly()
            pairs += 1
        answers = pairs * loads[0].in_flight
        return [(server.cpu_seconds() - cpu) * 1e6 / answers for server, cpu in zip(servers, before, strict=True)]


@contextlib.asynccontextmanager
async def _commands(load: Load) -> AsyncIterator[Fly]:
    """A frame of commands over one session."""
    commands = frames.Pool(frames.publish_commands(load.events, load.request_prefix), AHEAD)
    kept = list[bytes]()
    async with channel(load) as connection:
        call = connection.stream_stream(CONNECT)(metadata=load.metadata)
        await call.write(frames.hello_frame(load.namespace))
        await call.read()

        async def fly() -> None:
            await call.write(commands.take(load.in_flight))
            owed = load.in_flight
            while owed:
                frame = await call.read()
                if not isinstance(frame, bytes):
                    raise LoadFailed(f"the session ended: {await call.code()} {await call.details()}")
                kept.append(frame)
                owed -= frames.messages_in(frame)

        yield fly
        call.cancel()
    check_replies(kept)


@contextlib.asynccontextmanager
async def _calls(load: Load) -> AsyncIterator[Fly]:
    """Unary calls over one connection."""
    requests = frames.Pool(frames.publish_requests(load.namespace, load.events, load.request_prefix), AHEAD)
    kept = list[bytes]()
    async with channel(load) as connection:
        publish = connection.unary_unary(PUBLISH)

        async def fly() -> None:
            calls = (publish(requests.take(1), metadata=load.metadata) for _ in range(load.in_flight))
            kept.extend(await asyncio.gather(*calls))

        yield fly
    check_responses(kept)


KINDS: dict[str, Callable[[Load], AbstractAsyncContextManager[Any]]] = {"commands": _commands, "calls": _calls}
