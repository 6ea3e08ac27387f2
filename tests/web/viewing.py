"""Viewers without a browser: they read the stream as it comes, or do not read it."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any
from urllib.parse import urlencode

PATIENCE_SECONDS = 60.0


def live_path(*topics: str, namespace: str = "default") -> str:
    """Where topics are streamed."""
    return "/live?" + urlencode([("namespace", namespace), *(("topic", topic) for topic in topics)])


class Viewer:
    """One connection, by hand: it takes what it is sent when it is asked to."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader = reader
        self._writer = writer
        self.status = 0

    async def begin(self, path: str) -> None:
        """Asks, and reads the head of the answer."""
        self._writer.write(f"GET {path} HTTP/1.1\r\nHost: localhost\r\n\r\n".encode())
        await self._writer.drain()
        head = await self._reader.readuntil(b"\r\n\r\n")
        self.status = int(head.split()[1])

    async def frames(self) -> AsyncIterator[dict[str, Any]]:
        """Each, as it comes; chunks of the transfer are taken apart."""
        text = b""
        while size := int(await self._reader.readline(), 16):
            text += await self._reader.readexactly(size)
            await self._reader.readexactly(2)
            while b"\n\n" in text:
                message, _, text = text.partition(b"\n\n")
                if message.startswith(b"data: "):
                    yield json.loads(message[6:])

    async def until(self, topic: str, holds: Any) -> dict[str, Any]:
        """The first frame of a topic of which something holds."""
        async with asyncio.timeout(PATIENCE_SECONDS):
            async for frame in self.frames():
                if frame["topic"] == topic and holds(frame):
                    return frame
        raise AssertionError("the stream ended")

    def close(self) -> None:
        self._writer.close()


@asynccontextmanager
async def viewing(address: str, *topics: str, namespace: str = "default") -> AsyncIterator[Viewer]:
    """A viewer of some topics, gone afterwards."""
    host, _, port = address.rpartition(":")
    viewer = Viewer(*await asyncio.open_connection(host, int(port), limit=2**22))
    try:
        await viewer.begin(live_path(*topics, namespace=namespace))
        yield viewer
    finally:
        viewer.close()


def merged(body: dict[str, Any], change: dict[str, Any]) -> dict[str, Any]:
    """A run as it was told, with what changed."""
    moving = list(body["moving"])
    for place, moved in change["moved"]:
        moving[place] = moved
    head = {name: value for name, value in change.items() if name != "moved"}
    return {**body, **head, "moving": moving}
