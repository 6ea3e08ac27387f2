"""A relay between two that talk over TCP, whose connections can be broken, slowed and held, as a network does it."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

CHUNK_BYTES = 64 * 1024


class Relay:
    """Passes bytes on to HOST:PORT, until it is told to do it otherwise."""

    def __init__(self, target: str = "") -> None:
        self.target = target
        """Where connections go that come from now on; may be told late, or change."""
        self.address = ""
        """HOST:PORT, once it listens."""
        self.delay_seconds = 0.0
        """How much later everything arrives."""
        self.cut = False
        """Whether whoever connects is sent away."""
        self._server: asyncio.Server | None = None
        self._tasks: set[asyncio.Task[None]] = set()
        self._writers: set[asyncio.StreamWriter] = set()
        self._asks, self._answers = asyncio.Event(), asyncio.Event()
        self.let_pass()

    async def start(self) -> None:
        """Listens, on a port of its choosing."""
        self._server = await asyncio.start_server(self._accept, "127.0.0.1", 0)
        self.address = f"127.0.0.1:{self._server.sockets[0].getsockname()[1]}"

    async def end(self) -> None:
        """Breaks everything and waits until it is over."""
        if self._server is not None:
            self._server.close()
        self.let_pass()
        self.break_connections()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    def break_connections(self) -> None:
        """Resets every connection. What was held is lost."""
        for writer in self._writers:
            writer.transport.abort()

    def hold(self, *, asks: bool = True, answers: bool = True) -> None:
        """Nothing arrives any more, there (`asks`) or back (`answers`), until `let_pass`; nobody is told."""
        if asks:
            self._asks.clear()
        if answers:
            self._answers.clear()

    def let_pass(self) -> None:
        """What was held arrives, in order."""
        self._asks.set()
        self._answers.set()

    async def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        onward_writer: asyncio.StreamWriter | None = None
        try:
            if self.cut:
                raise ConnectionRefusedError("cut")
            host, _, port = self.target.rpartition(":")
            onward_reader, onward_writer = await asyncio.open_connection(host, int(port))
        except OSError:
            writer.transport.abort()
            return
        self._writers |= {writer, onward_writer}
        for source, sink, passing in ((reader, onward_writer, self._asks), (onward_reader, writer, self._answers)):
            task = asyncio.create_task(self._pass(source, sink, passing))
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)

    async def _pass(self, source: asyncio.StreamReader, sink: asyncio.StreamWriter, passing: asyncio.Event) -> None:
        try:
            while chunk := await source.read(CHUNK_BYTES):
                if self.delay_seconds:
                    await asyncio.sleep(self.delay_seconds)
                await passing.wait()
                sink.write(chunk)
                await sink.drain()
        except OSError:
            pass
        finally:
            sink.close()
            self._writers.discard(sink)


@asynccontextmanager
async def relaying(address: str) -> AsyncIterator[Relay]:
    """A relay to an address."""
    relay = Relay(address)
    await relay.start()
    try:
        yield relay
    finally:
        await relay.end()
