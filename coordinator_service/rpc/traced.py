"""Calls within spans: what wraps the handlers of a service where tracing is on. Where it is off nothing is wrapped."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable
from functools import partial
from typing import Any, TypeAlias

import grpc

from coordinator_service.core.rejections import Rejection
from coordinator_service.ports import Outcome, Respond
from coordinator_service.rpc.identity import call_traceparent_of
from coordinator_service.rpc.validation import usable_traceparent
from coordinator_service.telemetry.call_spans import CallSpans, call_context

_Serve: TypeAlias = Callable[[bytes, Any], Awaitable[Any]]


def traced(
    spans: CallSpans, service: str, handlers: dict[str, grpc.RpcMethodHandler[Any, Any]]
) -> dict[str, grpc.RpcMethodHandler[Any, Any]]:
    """The handlers of a service, each call within a span where it is sampled."""
    return {method: _traced(spans, f"{service}/{method}", each) for method, each in handlers.items()}


def begin_trace(spans: CallSpans, method: str, respond: Respond) -> tuple[str, Respond]:
    """For a command that came without a context and begins what is followed for long: its context, and what is to be
    called with its answer."""
    context, span_id = spans.context_of("")
    if not span_id:
        return context, respond
    began_ns = time.time_ns()

    def respond_and_end(outcome: Outcome) -> None:
        status = outcome.code if isinstance(outcome, Rejection) else "OK"
        spans.end(method, "", context, span_id, began_ns, status)
        respond(outcome)

    return context, respond_and_end


def _traced(spans: CallSpans, method: str, handler: Any) -> grpc.RpcMethodHandler[Any, Any]:
    if handler.response_streaming:
        return grpc.unary_stream_rpc_method_handler(partial(_serve, spans, method, handler.unary_stream))
    return grpc.unary_unary_rpc_method_handler(partial(_serve, spans, method, handler.unary_unary))


async def _serve(spans: CallSpans, method: str, serve: _Serve, encoded: bytes, call: Any) -> Any:
    parent = usable_traceparent(call_traceparent_of(call))
    context, span_id = spans.context_of(parent)
    call_context.set(context)  # each call has a task, and so a context, of its own
    if not span_id:
        return await serve(encoded, call)
    began_ns = time.time_ns()
    status = "OK"
    try:
        return await serve(encoded, call)
    except asyncio.CancelledError:
        status = "CANCELLED"
        raise
    except BaseException:
        code = call.code()
        status = code.name if isinstance(code, grpc.StatusCode) else "UNKNOWN"
        raise
    finally:
        spans.end(method, parent, context, span_id, began_ns, status)
