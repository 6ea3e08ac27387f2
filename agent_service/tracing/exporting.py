"""The spans of an agent's process: exported as the standard OTEL_* variables say, or not at all where they name no
collector.

The agents themselves only use OpenTelemetry's API, through the client library and `step`: which SDK exports what they
say is up to the program that hosts them, and this is ours.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager

from opentelemetry import trace
from opentelemetry.exporter.otlp.proto.grpc.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk import environment_variables as otel
from opentelemetry.sdk.resources import SERVICE_NAME, OTELResourceDetector, Resource
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor

_ENDPOINTS = (otel.OTEL_EXPORTER_OTLP_TRACES_ENDPOINT, otel.OTEL_EXPORTER_OTLP_ENDPOINT)


def is_wanted(environment: Mapping[str, str] = os.environ) -> bool:
    """Whether a collector is named and tracing is not switched off."""
    off = environment.get(otel.OTEL_SDK_DISABLED, "").strip().lower() == "true"
    none = environment.get("OTEL_TRACES_EXPORTER", "").strip().lower() == "none"
    return not off and not none and any(environment.get(name, "").strip() for name in _ENDPOINTS)


@contextmanager
def spans_exported(service_name: str) -> Iterator[None]:
    """Exports the spans that end within its body; the last ones leave at its end. service_name is that of the resource
    unless OTEL_SERVICE_NAME or OTEL_RESOURCE_ATTRIBUTES say another."""
    if not is_wanted():
        yield
        return
    named = SERVICE_NAME in OTELResourceDetector().detect().attributes
    provider = TracerProvider(resource=Resource.create({} if named else {SERVICE_NAME: service_name}))
    provider.add_span_processor(BatchSpanProcessor(OTLPSpanExporter()))
    trace.set_tracer_provider(provider)
    try:
        yield
    finally:
        provider.shutdown()


def step(name: str) -> AbstractContextManager[object]:
    """A part of an attempt, as a span under that of the attempt."""
    return trace.get_tracer("agent_service").start_as_current_span(name)
