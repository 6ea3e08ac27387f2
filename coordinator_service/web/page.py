"""The page: /health and /ready, and the place where more is added.

/health says whether the process is alive and how it does; it is 200 as long as anything answers, since to start anew
would help nobody whom a failing agent does not help. /ready is 503 while calls should go elsewhere: before the
coordinator serves, while it stops, and while the default namespace cannot be served.
"""

from __future__ import annotations

from aiohttp import web

from coordinator_service.web.health import Health, ReadHealth

REQUEST_BYTES_MAX = 16 * 1024


def page(read_health: ReadHealth) -> web.Application:
    """The application. What else is to be served is added to its routes before it is started."""
    application = web.Application(client_max_size=REQUEST_BYTES_MAX)

    async def health(_request: web.Request) -> web.Response:
        return web.json_response(_body(await read_health()))

    async def ready(_request: web.Request) -> web.Response:
        found = await read_health()
        return web.json_response(_body(found), status=200 if found.ready else 503)

    application.router.add_get("/health", health)
    application.router.add_get("/ready", ready)
    return application


def _body(health: Health) -> dict[str, object]:
    return {
        "status": health.status.name.lower(),
        "ready": health.ready,
        "version": health.version,
        "replica_id": health.replica_id,
        "faults": health.faults,
    }
