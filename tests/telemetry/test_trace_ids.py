"""Ids that are functions of a position, and who is sampled."""

from __future__ import annotations

import pytest
from opentelemetry.sdk.trace.sampling import ALWAYS_OFF, ALWAYS_ON, ParentBased, Sampler, TraceIdRatioBased

from coordinator_service.telemetry.sampling import Sampling
from coordinator_service.telemetry.trace_ids import TraceIds, is_sampled, traceparent_of

SEQUENCES = range(1, 20_001)
TRACE = bytes(range(16))


def test_a_span_id_is_a_function_of_log_and_sequence() -> None:
    """T1: the same position always has the same span id, no two of a log share one, another log has others."""
    one, again, other = TraceIds("log-1"), TraceIds("log-1"), TraceIds("log-2")
    ids = [one.span(sequence) for sequence in SEQUENCES]
    assert ids == [again.span(sequence) for sequence in SEQUENCES]
    assert len(set(ids)) == len(ids)
    assert {len(each) for each in ids} == {8}
    assert not set(ids) & {other.span(sequence) for sequence in SEQUENCES}
    assert one.run_trace("run") == again.run_trace("run") != other.run_trace("run")


def test_a_traceparent_says_whether_it_is_sampled() -> None:
    """T2: context crosses processes as W3C trace context, with its flag."""
    for sampled in (True, False):
        assert is_sampled(traceparent_of(TRACE, TRACE[:8], sampled=sampled)) is sampled
    assert traceparent_of(TRACE, TRACE[:8], sampled=True) == f"00-{TRACE.hex()}-{TRACE[:8].hex()}-01"


@pytest.mark.parametrize("rate", [0.0, 0.01, 0.5, 1.0])
def test_a_share_of_the_traces_is_a_share_of_the_events(rate: float) -> None:
    """T1: ids lie evenly, so that a ratio of traces is that ratio of events."""
    sampling, ids = Sampling(TraceIdRatioBased(rate)), TraceIds("log")
    sampled = sum(sampling.root(ids.trace(sequence)) for sequence in SEQUENCES)
    assert abs(sampled / len(SEQUENCES) - rate) < 0.002


@pytest.mark.parametrize(
    "sampler",
    [ALWAYS_ON, ALWAYS_OFF, TraceIdRatioBased(0.3), ParentBased(ALWAYS_ON), ParentBased(TraceIdRatioBased(0.3))],
    ids=lambda sampler: sampler.get_description(),
)
def test_the_short_way_decides_as_the_sampler_itself(sampler: Sampler) -> None:
    """T1: what is known of the SDK's samplers beforehand is what they say when they are asked."""
    sampling, ids = Sampling(sampler), TraceIds("log")
    for sequence in range(1, 500):
        trace = ids.trace(sequence)
        asked = sampler.should_sample(None, int.from_bytes(trace, "big"), "").decision.is_sampled()
        assert sampling.root(trace) is asked
    follows = isinstance(sampler, ParentBased)
    for flag in (True, False):
        assert sampling.continued(traceparent_of(TRACE, TRACE[:8], sampled=flag)) is (
            flag if follows else sampling.root(TRACE)
        )


def test_the_sampler_is_the_one_that_the_environment_names(monkeypatch: pytest.MonkeyPatch) -> None:
    """T1: OTEL_TRACES_SAMPLER and its argument are read by OpenTelemetry's own SDK."""
    monkeypatch.setenv("OTEL_TRACES_SAMPLER", "parentbased_traceidratio")
    monkeypatch.setenv("OTEL_TRACES_SAMPLER_ARG", "0.25")
    assert "TraceIdRatioBased{0.25}" in Sampling.from_environment().description
    monkeypatch.delenv("OTEL_TRACES_SAMPLER")
    assert Sampling.from_environment().root(TRACE)
