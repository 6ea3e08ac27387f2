"""The endpoint for Prometheus: takes a reading, and writes it as prometheus-client does."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import TypeAlias

from aiohttp import web
from prometheus_client import CollectorRegistry, GCCollector, PlatformCollector, ProcessCollector
from prometheus_client.exposition import choose_encoder

from coordinator_service.telemetry.metrics import CoordinatorCollector, Reading

Read: TypeAlias = Callable[[], Awaitable[Reading]]


def scrape(read: Read) -> web.Application:
    """The application."""
    registry = CollectorRegistry()
    collector = CoordinatorCollector()
    registry.register(collector)
    ProcessCollector(registry=registry)
    PlatformCollector(registry=registry)
    GCCollector(registry=registry)
    one_at_a_time = asyncio.Lock()

    async def metrics(request: web.Request) -> web.Response:
        encode, content_type = choose_encoder(request.headers.get("Accept", ""))
        async with one_at_a_time:
            collector.reading = await read()
            body = encode(registry)
        return web.Response(body=body, headers={"Content-Type": content_type})

    application = web.Application()
    application.router.add_get("/metrics", metrics)
    return application
