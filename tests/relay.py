"""A relay between a peer and the coordinator whose connections can be broken, as a network breaks them."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager


class Relay:
    """Passes bytes on, until it is broken."""

    def __init__(self, address: str) -> None:
        self.address = ""
        self._host, _, port = address.rpartition(":")
        self._port = int(port)
        self._tasks: set[asyncio.Task[None]] = set()
        self._writers: set[asyncio.StreamWriter] = set()

    def break_connections(self) -> None:
        """Resets every connection."""
        for writer in self._writers:
            writer.transport.abort()

    async def accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Connects a peer through."""
        onward_reader, onward_writer = await asyncio.open_connection(self._host, self._port)
        self._writers |= {writer, onward_writer}
        for source, sink in ((reader, onward_writer), (onward_reader, writer)):
            task = asyncio.create_task(_pass(source, sink))
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)

    async def end(self) -> None:
        """Breaks everything and waits until it is over."""
        self.break_connections()
        await asyncio.gather(*self._tasks, return_exceptions=True)


async def _pass(source: asyncio.StreamReader, sink: asyncio.StreamWriter) -> None:
    try:
        while chunk := await source.read(65536):
            sink.write(chunk)
            await sink.drain()
    except ConnectionError:
        pass
    sink.close()


@asynccontextmanager
async def relaying(address: str) -> AsyncIterator[Relay]:
    """A relay to an address."""
    relay = Relay(address)
    async with await asyncio.start_server(relay.accept, "127.0.0.1", 0) as server:
        relay.address = f"127.0.0.1:{server.sockets[0].getsockname()[1]}"
        yield relay
        await relay.end()
