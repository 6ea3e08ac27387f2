"""Who calls, in which namespace, in which trace: the one place that reads it from a call."""

from __future__ import annotations

from typing import Any

from coordinator_service.core.rejections import InvalidField
from coordinator_service.rpc.validation import name_fault
from coordinator_service.telemetry.call_spans import call_context

NAMESPACE_DEFAULT = "default"
_TRACEPARENT = "traceparent"


def principal_of(_context: Any) -> str:
    """The authenticated caller of a call; empty as long as callers are not authenticated."""
    return ""


def namespace_of(name: str) -> str:
    """The namespace that a request names: "default" when it names none. Raises InvalidField."""
    if not name:
        return NAMESPACE_DEFAULT
    fault = name_fault(name)
    if fault:
        raise InvalidField(("namespace", fault))
    return name


def traceparent_of(context: Any) -> str:
    """The W3C trace context in which a call is served: its own span's, else what it came with, as it came; empty when
    there is none."""
    return call_context.get() or call_traceparent_of(context)


def call_traceparent_of(context: Any) -> str:
    """The W3C trace context that a call came with, as it came; empty when there is none."""
    for key, value in context.invocation_metadata() or ():
        if key == _TRACEPARENT:
            return value if isinstance(value, str) else ""
    return ""
