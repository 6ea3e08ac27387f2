"""Spans as bytes: every part is what protobuf itself reads there."""

from __future__ import annotations

import math

from hypothesis import given
from hypothesis import strategies as some
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.resource.v1.resource_pb2 import Resource
from opentelemetry.proto.trace.v1.trace_pb2 import Span

from coordinator_service.telemetry import otlp

TEXTS = some.text(alphabet=some.characters(codec="utf-8"), max_size=300)
VALUES = TEXTS | some.integers(-(2**63), 2**63 - 1) | some.floats() | some.booleans()
IDS16, IDS8 = some.binary(min_size=16, max_size=16), some.binary(min_size=8, max_size=8)
TIMES = some.integers(0, 2**64 - 1)


@given(
    ids=some.tuples(IDS16, IDS8, IDS8),
    name=TEXTS,
    kind=some.sampled_from([Span.SPAN_KIND_INTERNAL, Span.SPAN_KIND_PRODUCER]),
    times=some.tuples(TIMES, TIMES),
    attributes=some.dictionaries(TEXTS, VALUES, max_size=8),
    link=some.tuples(IDS16, IDS8),
    status=some.tuples(some.integers(1, 2), TEXTS),
)
def test_what_is_put_together_from_parts_is_read_as_it_was_meant(
    ids: tuple[bytes, bytes, bytes],
    name: str,
    kind: int,
    times: tuple[int, int],
    attributes: dict[str, otlp.Attribute],
    link: tuple[bytes, bytes],
    status: tuple[int, str],
) -> None:
    """T1: ids, name, kind, times, attributes of every type, link and status; twice, for what was encoded before."""
    resource = Resource()
    resource.attributes.add(key="service.name").value.string_value = "s"
    scope = otlp.Scope(resource.SerializeToString(), "concert")
    encoded = otlp.span(
        [
            otlp.ids(ids[0], ids[1]),
            otlp.parent(ids[2]),
            otlp.name(name),
            otlp.kind_and_times(kind, *times),
            *(otlp.attribute(key, value) for key, value in attributes.items()),
            otlp.link(*link),
            otlp.status(*status),
        ]
    )
    request = ExportTraceServiceRequest.FromString(scope.request([encoded, encoded]))
    [resource_spans] = request.resource_spans
    assert resource_spans.resource == resource
    [scope_spans] = resource_spans.scope_spans
    assert scope_spans.scope.name == "concert"
    again, read = scope_spans.spans
    assert again == read or any(value != value for value in attributes.values())
    assert (read.trace_id, read.span_id, read.parent_span_id) == ids
    assert (read.name, read.kind) == (name, kind)
    assert (read.start_time_unix_nano, read.end_time_unix_nano) == times
    assert (read.links[0].trace_id, read.links[0].span_id) == link
    assert (read.status.code, read.status.message) == status
    assert len(read.attributes) == len(attributes)
    for pair in read.attributes:
        value = getattr(pair.value, pair.value.WhichOneof("value"))
        meant = attributes[pair.key]
        assert type(value) is type(meant)
        assert value == meant or (isinstance(meant, float) and math.isnan(meant) and math.isnan(value))
