"""An HTTP server of a coordinator: an aiohttp application on an address of its own, on the coordinator's loop."""

from __future__ import annotations

from aiohttp import web

SHUTDOWN_SECONDS = 1.0
"""How long what is being answered may take when the coordinator stops."""


class CannotListenHttp(Exception):  # noqa: N818 (it says what happened)
    """The address cannot be served on."""


class HttpServer:
    """Serves one application."""

    def __init__(self, application: web.Application, listen: str) -> None:
        self.address = ""
        """HOST:PORT, once it serves."""
        self._listen = listen
        self._runner = web.AppRunner(
            application, access_log=None, shutdown_timeout=SHUTDOWN_SECONDS, handler_cancellation=True
        )

    async def start(self) -> None:
        """Raises CannotListenHttp."""
        host, _, port = self._listen.rpartition(":")
        await self._runner.setup()
        site = web.TCPSite(self._runner, host.strip("[]"), int(port))
        try:
            await site.start()
        except OSError as fault:
            await self._runner.cleanup()
            raise CannotListenHttp(f"cannot listen on {self._listen}: {fault.strerror or fault}") from None
        self.address = f"{host}:{self._runner.addresses[0][1]}"

    async def stop(self) -> None:
        """Answers what is being answered, for a moment."""
        await self._runner.cleanup()
