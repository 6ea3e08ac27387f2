"""A proxy between a client and the coordinator that does to bytes what networks do: splits, joins, holds, resets."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Callable

from clients.conformance.impostor import Impostor

_CHUNK_BYTES = 65536


class Network:
    """Forwards connections to an address, until told otherwise. `split_bytes`: pieces of at most so many bytes, each
    written by itself; `coalesce_seconds`: what comes within that time is written at once.
    """

    def __init__(self, target: Callable[[], str], *, split_bytes: int = 0, coalesce_seconds: float = 0) -> None:
        self.address = ""
        self._target = target
        self._split_bytes = split_bytes
        self._coalesce_seconds = coalesce_seconds
        self._flows = asyncio.Event()
        self._flows.set()
        self._refuses = self._impersonates = False
        self._writers: set[asyncio.StreamWriter] = set()
        self._muted: set[asyncio.StreamWriter] = set()
        self._tasks: set[asyncio.Task[None]] = set()
        self._server: asyncio.Server | None = None
        self._impostor: Impostor | None = None

    async def start(self) -> None:
        """Listens."""
        self._server = await asyncio.start_server(self._accept, "127.0.0.1", 0)
        self.address = f"127.0.0.1:{self._server.sockets[0].getsockname()[1]}"

    async def stop(self) -> None:
        """Resets everything and stops listening."""
        if self._server is not None:
            self._server.close()
        self.cut()
        self._flow()
        if self._impostor is not None:
            await self._impostor.stop()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    async def do(self, what: str) -> None:
        """One of cut, stall, flow, refuse, swallow, impersonate."""
        if what == "impersonate":
            await self._impersonate()
            return
        actions = {
            "cut": self.cut,
            "stall": self._flows.clear,
            "flow": self._flow,
            "refuse": self._refuse,
            "swallow": self._swallow,
        }
        actions[what]()

    def cut(self) -> None:
        """Resets every connection."""
        for writer in list(self._writers):
            writer.transport.abort()

    async def _impersonate(self) -> None:
        """Returns once a few have met the impostor."""
        if self._impostor is None:
            self._impostor = Impostor()
            await self._impostor.start()
        self._impersonates = True
        self.cut()
        await self._impostor.met()

    def _flow(self) -> None:
        self._refuses = self._impersonates = False
        self._flows.set()

    def _refuse(self) -> None:
        self._refuses = True
        self.cut()

    def _swallow(self) -> None:
        self._muted |= self._writers

    async def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if self._refuses:
            writer.transport.abort()
            return
        onward = self._target()
        if self._impersonates and self._impostor is not None:
            onward = self._impostor.address
            self._impostor.noticed()
        host, _, port = onward.rpartition(":")
        try:
            onward_reader, onward_writer = await asyncio.open_connection(host, int(port))
        except OSError:
            writer.transport.abort()
            return
        for each in (writer, onward_writer):
            each.transport.get_extra_info("socket").setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._writers |= {writer, onward_writer}
        for source, sink in ((reader, onward_writer), (onward_reader, writer)):
            task = asyncio.create_task(self._pass(source, sink))
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)

    async def _pass(self, source: asyncio.StreamReader, sink: asyncio.StreamWriter) -> None:
        try:
            while chunk := await source.read(_CHUNK_BYTES):
                if self._coalesce_seconds:
                    await asyncio.sleep(self._coalesce_seconds)
                await self._flows.wait()
                if sink in self._muted:
                    continue
                size = self._split_bytes or len(chunk)
                for start in range(0, len(chunk), size):
                    sink.write(chunk[start : start + size])
                    await sink.drain()
                    if self._split_bytes:
                        await asyncio.sleep(0)
        except ConnectionError:
            pass
        self._writers.discard(sink)
        sink.close()
