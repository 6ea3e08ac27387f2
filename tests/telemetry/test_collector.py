"""Where spans go, from the standard variables: what they may say, and what is said to those that say what cannot be."""

from __future__ import annotations

import pytest

from coordinator_service.telemetry.collector import CollectorFault, collector_from

ENDPOINT = "OTEL_EXPORTER_OTLP_ENDPOINT"


@pytest.mark.parametrize(
    "variables",
    [
        {},
        {ENDPOINT: " "},
        {ENDPOINT: "http://c:4317", "OTEL_SDK_DISABLED": "TRUE"},
        {ENDPOINT: "http://c:4317", "OTEL_TRACES_EXPORTER": "none"},
    ],
)
def test_without_an_endpoint_or_switched_off_there_is_no_collector(variables: dict[str, str]) -> None:
    """T1: tracing is off by default."""
    assert collector_from(variables) is None


@pytest.mark.parametrize(
    ("variables", "target", "is_plain"),
    [
        ({ENDPOINT: "http://c:4317"}, "c:4317", True),
        ({ENDPOINT: "c:4317", "OTEL_EXPORTER_OTLP_INSECURE": "true"}, "c:4317", True),
        ({ENDPOINT: "https://c:4317", "OTEL_EXPORTER_OTLP_INSECURE": "true"}, "c:4317", False),
        ({ENDPOINT: "http://c:4317", "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT": "http://t:1"}, "t:1", True),
        ({ENDPOINT: "http://c:4317", "OTEL_EXPORTER_OTLP_PROTOCOL": "grpc"}, "c:4317", True),
    ],
)
def test_the_endpoint_says_where_and_whether_with_tls(variables: dict[str, str], target: str, is_plain: bool) -> None:
    """As the specification of the exporter says: the scheme decides; what is said for traces goes first."""
    collector = collector_from(variables)
    assert collector is not None
    assert (collector.target, collector.credentials is None) == (target, is_plain)


@pytest.mark.parametrize(
    ("name", "value", "cure"),
    [
        ("OTEL_EXPORTER_OTLP_PROTOCOL", "http/protobuf", "only grpc"),
        ("OTEL_EXPORTER_OTLP_TRACES_PROTOCOL", "http/json", "4317"),
        ("OTEL_EXPORTER_OTLP_COMPRESSION", "zip", "gzip"),
        ("OTEL_EXPORTER_OTLP_TIMEOUT", "soon", "seconds"),
        ("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", "http://", "no endpoint"),
    ],
)
def test_what_cannot_be_is_named_with_its_cure(name: str, value: str, cure: str) -> None:
    """Nobody waits for spans that are sent where nothing takes them."""
    with pytest.raises(CollectorFault, match=cure):
        collector_from({ENDPOINT: "http://c:4317", name: value})
