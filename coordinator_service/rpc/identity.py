"""Who calls, in which namespace, in which trace: the one place that reads it from a call."""

from __future__ import annotations

from contextvars import ContextVar
from typing import Any, Final

from coordinator_service.core.rejections import InvalidField, Unauthenticated
from coordinator_service.rpc.validation import name_fault
from coordinator_service.security.roles import Access
from coordinator_service.telemetry.call_spans import call_context

NAMESPACE_DEFAULT = "default"
_TRACEPARENT: Final = "traceparent"
_AUTHORIZATION: Final = "authorization"


calling: Final[ContextVar[Access | None]] = ContextVar("calling", default=None)
"""Who makes the call that is being served, and what it may do in the namespace that it names; None where callers are
not authenticated. Each call has a task, and so a context, of its own."""


def principal_of_call() -> str | None:
    """The authenticated caller of the call that is being served; None where callers are not authenticated."""
    access = calling.get()
    return None if access is None else access.principal


def credentials_of(context: Any) -> tuple[str, bytes]:
    """The authorization that a call came with, else its certificate. Its trace context is kept for traceparent_of on
    the way: metadata is made anew whenever it is asked for, which costs more than all the rest. Raises
    Unauthenticated."""
    authorization = traceparent = ""
    for key, value in context.invocation_metadata() or ():
        if key == _AUTHORIZATION:
            if authorization:
                raise Unauthenticated("authorization is given twice", needed={"credential": "one bearer token"})
            authorization = value
        elif key == _TRACEPARENT and not traceparent and isinstance(value, str):
            traceparent = value
    if call_context.get() is None:
        call_context.set(traceparent)
    if authorization:
        return authorization, b""
    certificates = (context.auth_context() or {}).get("x509_pem_cert", ())
    return "", certificates[0] if certificates else b""


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
    read = call_context.get()
    return call_traceparent_of(context) if read is None else read


def call_traceparent_of(context: Any) -> str:
    """The W3C trace context that a call came with, as it came; empty when there is none."""
    for key, value in context.invocation_metadata() or ():
        if key == _TRACEPARENT:
            return value if isinstance(value, str) else ""
    return ""
