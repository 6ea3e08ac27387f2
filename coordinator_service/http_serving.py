"""What a coordinator serves over HTTP: the page and the metrics, each on an address of its own. Loaded where one of
them is asked for: aiohttp takes long to load.
"""

from __future__ import annotations

from collections.abc import Sequence

import grpc
from aiohttp import web

from coordinator_service.clock import Clock
from coordinator_service.config import Settings
from coordinator_service.rpc.guard import Guard
from coordinator_service.rpc.json_calls import JsonCalls
from coordinator_service.web.acting import Acting
from coordinator_service.web.guarded import OPEN, guarded
from coordinator_service.web.http_server import HttpServer
from coordinator_service.web.live.live_page import LivePage
from coordinator_service.web.page import page
from coordinator_service.web.readings import Sources, read_health, read_metrics
from coordinator_service.web.same_origin import PageTokens, known_by
from coordinator_service.web.scrape import scrape


class HttpServing:
    """Of one server. `start` before anything else, `stop` at the end."""

    def __init__(
        self,
        settings: Settings,
        sources: Sources,
        clock: Clock,
        guard: Guard | None,
        handlers: Sequence[grpc.GenericRpcHandler],
    ) -> None:
        self.web_address = ""
        """HOST:PORT of the page, where it is served."""
        self.metrics_address = ""
        """The same of the metrics."""
        self.live: LivePage | None = None
        """The live page, where it is served."""
        self._settings = settings
        self._sources = sources
        self._clock = clock
        self._guard = guard
        self._handlers = handlers
        self._servers: list[HttpServer] = []

    async def start(self) -> None:
        """Before calls are served: whoever asks is told that the coordinator is not ready yet. Raises
        CannotListenHttp."""
        settings, sources = self._settings, self._sources
        if settings.web_listen is not None:
            self.web_address = await self._serve(self._page(), settings.web_listen)
        if settings.metrics_listen is not None:
            metrics = scrape(lambda: read_metrics(sources))
            self.metrics_address = await self._serve(metrics, settings.metrics_listen)

    async def stop(self) -> None:
        """Answers what is being answered, for a moment."""
        for server in self._servers:
            await server.stop()

    def _page(self) -> web.Application:
        settings, sources, guard = self._settings, self._sources, self._guard
        application = page(lambda: read_health(sources))
        self.live = LivePage(sources, settings.live_limits(), settings.trace_url or "", lists_namespaces=guard is None)
        self.live.add_to(application)
        if settings.page_hosts is not None:
            application.middlewares.append(known_by(settings.page_hosts, OPEN))
        if guard is not None:
            application.middlewares.append(guarded(guard.gate, exposed=settings.page_is_exposed))
        calls = JsonCalls(self._handlers) if settings.page_acts else None
        tokens = PageTokens(self._clock, " ".join(settings.cluster_secrets()))
        Acting(calls, tokens, None if guard is None else guard.gate).add_to(application)
        return application

    async def _serve(self, application: web.Application, listen: str) -> str:
        server = HttpServer(application, listen)
        await server.start()
        self._servers.append(server)
        return server.address
