"""Somebody else at the coordinator's address, whose certificate is of an authority that no client trusts."""

from __future__ import annotations

import asyncio
import ssl
import tempfile
from pathlib import Path

from clients.conformance.certificates import make_certificates

MEETINGS = 3
SECONDS_MAX = 60.0


class Impostor:
    """Listens on loopback, from `start` to `stop`."""

    def __init__(self) -> None:
        self.address = ""
        self._server: asyncio.Server | None = None
        self._met = asyncio.Semaphore(0)

    async def start(self) -> None:
        """Listens."""
        with tempfile.TemporaryDirectory(prefix="concert-impostor-") as directory:
            certificates = make_certificates(Path(directory), "impostor")
            pem = Path(directory) / "impostor-chain.pem"
            pem.write_bytes(certificates.key + certificates.chain)
            context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
            context.load_cert_chain(pem)
        context.set_alpn_protocols(["h2"])
        self._server = await asyncio.start_server(self._meet, "127.0.0.1", 0, ssl=context)
        self.address = f"127.0.0.1:{self._server.sockets[0].getsockname()[1]}"

    async def stop(self) -> None:
        """Is gone."""
        if self._server is not None:
            self._server.close()

    def noticed(self) -> None:
        """Somebody connects."""
        self._met.release()

    async def met(self) -> None:
        """Waits until a few have connected since the last time."""
        async with asyncio.timeout(SECONDS_MAX):
            for _ in range(MEETINGS):
                await self._met.acquire()

    async def _meet(self, _reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.close()
