"""Reading a trace back from Jaeger, by its query API (HTTP, version 3: OTLP's messages as JSON)."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

import aiohttp

from agent_service.tracing.trace import Trace, TraceUnreadable, read_trace

URL_VARIABLE = "JAEGER_QUERY_URL"
URL_DEFAULT = "http://127.0.0.1:16686"
POLL_SECONDS = 0.5
ANSWER_SECONDS_MAX = 10.0


class JaegerSilent(Exception):  # noqa: N818
    """Jaeger's query API cannot be asked."""


async def read_when(url: str, trace_id: str, whole: Callable[[Trace], bool], seconds_max: float = 60.0) -> Trace:
    """The trace, as soon as it is whole, or as it is after that time: spans come in by and by. Raises JaegerSilent,
    TraceUnreadable."""
    loop = asyncio.get_running_loop()
    give_up_at = loop.time() + seconds_max
    timeout = aiohttp.ClientTimeout(total=ANSWER_SECONDS_MAX)
    async with aiohttp.ClientSession(timeout=timeout, trust_env=False) as session:
        while True:
            found = await _read(session, url, trace_id)
            if (found is not None and whole(found)) or loop.time() > give_up_at:
                return found or Trace(trace_id, [])
            await asyncio.sleep(POLL_SECONDS)


async def _read(session: aiohttp.ClientSession, url: str, trace_id: str) -> Trace | None:
    try:
        async with session.get(f"{url.rstrip('/')}/api/v3/traces/{trace_id}") as response:
            if response.status == 404:
                return None  # not there yet
            body = await response.read()
            if response.status != 200:
                raise TraceUnreadable(f"Jaeger answers {response.status}: {body[:200].decode(errors='replace')}")
    except (aiohttp.ClientError, TimeoutError) as fault:
        raise JaegerSilent(f"no answer from Jaeger's query API at {url}: {fault or type(fault).__name__}") from None
    return read_trace(trace_id, body)
