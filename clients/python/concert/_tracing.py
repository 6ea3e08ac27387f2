"""Trace context across processes, when the opentelemetry API is installed; nothing, at no cost, when it is
not.

Only the API is used: whether and where spans are exported is the program's decision.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager

try:
    from opentelemetry import trace
    from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator
except ImportError:  # pragma: no cover - the API comes with the project's own environment
    _PROPAGATOR = None
else:
    _PROPAGATOR = TraceContextTextMapPropagator()

_INSTRUMENTATION = "concert"


def current_traceparent() -> str:
    """The W3C traceparent of the span in whose context this is called; empty without one."""
    if _PROPAGATOR is None or not trace.get_current_span().get_span_context().is_valid:
        return ""
    carrier: dict[str, str] = {}
    _PROPAGATOR.inject(carrier)
    return carrier.get("traceparent", "")


@contextmanager
def span(name: str, traceparent: str, attributes: Mapping[str, str | int]) -> Iterator[None]:
    """Runs its body in a span that is the child of `traceparent` (of none when empty)."""
    if _PROPAGATOR is None:
        yield
        return
    parent = _PROPAGATOR.extract({"traceparent": traceparent}) if traceparent else None
    tracer = trace.get_tracer(_INSTRUMENTATION)
    with tracer.start_as_current_span(name, context=parent, attributes=dict(attributes)):
        yield
