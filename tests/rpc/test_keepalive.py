"""A connection that only pings is kept: clients keep theirs alive this way, calls or none."""

from __future__ import annotations

import asyncio

import pytest

from coordinator_service import server as server_module
from coordinator_service.config import Settings
from coordinator_service.server import PING_INTERVAL_MS_MIN, CoordinatorServer

PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
SETTINGS, PING, GOAWAY = 0x4, 0x6, 0x7
ACK = 0x1
PINGS = 8
"""gRPC sends a connection away once three of them came too soon."""
INTERVAL_MS = 200
"""Instead of the real interval, so that the test need not take as long."""


def http2_frame(kind: int, payload: bytes = b"", flags: int = 0) -> bytes:
    """A frame of the connection itself (RFC 9113, section 4.1)."""
    return len(payload).to_bytes(3, "big") + bytes([kind, flags]) + (0).to_bytes(4, "big") + payload


async def read_frame(reader: asyncio.StreamReader) -> tuple[int, int, bytes]:
    """Kind, flags and payload of the next frame."""
    head = await reader.readexactly(9)
    return head[3], head[4], await reader.readexactly(int.from_bytes(head[:3], "big"))


async def test_pings_without_calls_are_permitted(monkeypatch: pytest.MonkeyPatch) -> None:
    """contract: pings at the stated interval are answered, and never by GOAWAY (ENHANCE_YOUR_CALM)."""
    options = tuple(
        (key, INTERVAL_MS if value == PING_INTERVAL_MS_MIN else value) for key, value in server_module._OPTIONS
    )
    monkeypatch.setattr(server_module, "_OPTIONS", options)
    async with CoordinatorServer(Settings(listen="127.0.0.1:0", event_store="memory", replica_id="test")) as server:
        host, _, port = server.address.rpartition(":")
        reader, writer = await asyncio.open_connection(host, int(port))
        writer.write(PREFACE + http2_frame(SETTINGS))
        for number in range(PINGS):
            writer.write(http2_frame(PING, number.to_bytes(8, "big")))
            while True:
                kind, flags, payload = await asyncio.wait_for(read_frame(reader), 10)
                assert kind != GOAWAY, payload
                if kind == PING and flags & ACK:
                    assert payload == number.to_bytes(8, "big")
                    break
            # The interval itself is what is tested: there is no condition to await.
            await asyncio.sleep(INTERVAL_MS / 1000 + 0.05)
        writer.close()
        await writer.wait_closed()
