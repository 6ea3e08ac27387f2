"""Who calls, in which namespace, in which trace: the one place that reads it from a call."""

from __future__ import annotations

from contextvars import ContextVar
from typing import Any, Final

from coordinator_service.core.rejections import InvalidField
from coordinator_service.rpc.validation import name_fault
from coordinator_service.security.roles import Access
from coordinator_service.telemetry.call_spans import call_context

NAMESPACE_DEFAULT = "default"
_TRACEPARENT = "traceparent"


calling: Final[ContextVar[Access | None]] = ContextVar("calling", default=None)
"""Who makes the call that is being served, and what it may do in the namespace that it names; None where callers are
not authenticated. Each call has a task, and so a context, of its own."""


def principal_of_call() -> str | None:
    """The authenticated caller of the call that is being served; None where callers are not authenticated."""
    access = calling.get()
    return None if access is None else access.principal


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
