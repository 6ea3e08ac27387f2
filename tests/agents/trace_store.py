"""A trace store for tests: takes spans by OTLP over gRPC, as any collector does, and answers the one query of Jaeger's
API that is asked, in the same encoding. What it is told is what it says."""

from __future__ import annotations

import json
from base64 import b64decode
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

from aiohttp import web
from google.protobuf.json_format import MessageToDict

from tests.telemetry.receiver import Received, Receiver, receiving

_IDS = ("traceId", "spanId", "parentSpanId")


@dataclass(frozen=True)
class TraceStore:
    """Where it takes spans, and where it is asked."""

    receiver: Receiver
    query_url: str

    @property
    def environment(self) -> dict[str, str]:
        """For whoever sends and asks."""
        return {
            "OTEL_EXPORTER_OTLP_ENDPOINT": f"http://{self.receiver.address}",
            "JAEGER_QUERY_URL": self.query_url,
        }


@asynccontextmanager
async def storing() -> AsyncIterator[TraceStore]:
    """One that listens."""
    async with receiving() as receiver:

        async def answer(request: web.Request) -> web.Response:
            trace_id = request.match_info["trace_id"]
            spans = [each for each in receiver.spans if each.span.trace_id.hex() == trace_id]
            if not spans:
                return web.json_response({"error": {"httpCode": 404, "message": "trace not found"}}, status=404)
            return web.Response(body=answer_of(spans), content_type="application/json")

        application = web.Application()
        application.router.add_get("/api/v3/traces/{trace_id}", answer)
        runner = web.AppRunner(application, access_log=None)
        await runner.setup()
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        try:
            yield TraceStore(receiver, f"http://127.0.0.1:{runner.addresses[0][1]}")
        finally:
            await runner.cleanup()


def answer_of(spans: list[Received]) -> bytes:
    """As Jaeger answers."""
    groups = [
        {
            "resource": {"attributes": [{"key": key, "value": {"stringValue": str(value)}}
                                        for key, value in each.resource.items()]},
            "scopeSpans": [{"scope": {"name": each.scope}, "spans": [_hexadecimal(MessageToDict(each.span))]}],
        }
        for each in spans
    ]  # fmt: skip
    return json.dumps({"result": {"resourceSpans": groups}}).encode()


def _hexadecimal(span: dict[str, Any]) -> dict[str, Any]:
    """OTLP's JSON writes ids so, where protobuf's writes base64."""
    for part in (span, *span.get("links", [])):
        for name in _IDS:
            if name in part:
                part[name] = b64decode(part[name]).hex()
    return span
