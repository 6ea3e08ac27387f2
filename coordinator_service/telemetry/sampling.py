"""Sampling: which traces are exported, by the sampler that OTEL_TRACES_SAMPLER names, asked as rarely as possible.

The decision depends on nothing but the trace id and, for the parent-based samplers, on the flag that came with the
context: every process comes to the same one. The SDK's sampler answers in some microseconds; what it would say is
known beforehand for its own samplers, and then costs a comparison.
"""

from __future__ import annotations

import re

from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.sampling import Decision, Sampler, TraceIdRatioBased
from opentelemetry.trace import NonRecordingSpan, SpanContext, TraceFlags, set_span_in_context

from coordinator_service.telemetry.trace_ids import TRACE_ID, is_sampled

_TRACE_ID_LIMIT = TraceIdRatioBased.TRACE_ID_LIMIT
_OWN = re.compile(r"(?:ParentBased\{root:)?(AlwaysOnSampler|AlwaysOffSampler|TraceIdRatioBased\{([^}]+)\})")


class Sampling:
    """One sampler."""

    def __init__(self, sampler: Sampler) -> None:
        self.description = sampler.get_description()
        self._sampler = sampler
        self._bound = _bound(self.description)
        self._follows_parents = _follows_parents(sampler)

    @classmethod
    def from_environment(cls) -> Sampling:
        """As OTEL_TRACES_SAMPLER and OTEL_TRACES_SAMPLER_ARG say; by default the parent's decision, else all."""
        return cls(TracerProvider(shutdown_on_exit=False).sampler)

    def root(self, trace_id: bytes) -> bool:
        """Whether a trace that begins here is sampled."""
        low = int.from_bytes(trace_id[8:], "big")
        if self._bound is not None:
            return low & _TRACE_ID_LIMIT < self._bound
        number = int.from_bytes(trace_id, "big")
        return self._sampler.should_sample(None, number, "").decision is Decision.RECORD_AND_SAMPLE

    def continued(self, traceparent: str) -> bool:
        """Whether a trace is sampled that came from elsewhere, in a valid traceparent."""
        if self._follows_parents:
            return is_sampled(traceparent)
        return self.root(bytes.fromhex(traceparent[TRACE_ID]))


def _bound(description: str) -> int | None:
    """What the low half of a sampled trace id lies below; None for a sampler that is not the SDK's own."""
    own = _OWN.match(description)
    if own is None:
        return None
    if own[1] == "AlwaysOnSampler":
        return _TRACE_ID_LIMIT + 1
    if own[1] == "AlwaysOffSampler":
        return 0
    return TraceIdRatioBased.get_bound_for_rate(float(own[2]))


def _follows_parents(sampler: Sampler) -> bool:
    """Whether the flag of a remote parent decides, whatever the trace id."""

    def decision(trace_id: int, flags: int) -> bool:
        remote = SpanContext(trace_id, 1, is_remote=True, trace_flags=TraceFlags(flags))
        within = set_span_in_context(NonRecordingSpan(remote))
        return sampler.should_sample(within, trace_id, "").decision is Decision.RECORD_AND_SAMPLE

    extremes = (1, (1 << 128) - 1)
    return all(decision(each, TraceFlags.SAMPLED) and not decision(each, TraceFlags.DEFAULT) for each in extremes)
