"""A trace as it comes back from a trace store: spans in OTLP's JSON encoding, read into a tree."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from functools import cached_property
from typing import Any, TypeAlias

import msgspec

COORDINATOR = "concert-coordinator"
"""The service name of a coordinator's spans, unless OTEL_SERVICE_NAME says another."""
NS_PER_SECOND = 1_000_000_000
MOMENT_NS = 2_000
"""Jaeger keeps times in whole microseconds: what began and ended at once may be two apart when it comes back."""

Attribute: TypeAlias = str | int | float | bool


class TraceUnreadable(Exception):  # noqa: N818
    """What came back is no trace."""


class Span(msgspec.Struct, frozen=True, kw_only=True):
    """One span. Ids are hexadecimal, times in nanoseconds of Unix time; parent_id is empty where it has none."""

    span_id: str
    parent_id: str
    name: str
    service: str
    start_ns: int
    end_ns: int
    attributes: Mapping[str, Attribute]
    links: tuple[str, ...] = ()
    """Ids of the spans that it is linked to."""

    @property
    def event(self) -> str:
        """The type of the event that it is the span of; empty for any other span."""
        return str(self.attributes.get("concert.event", ""))

    @property
    def sequence(self) -> int:
        """The sequence of that event; 0 for any other span."""
        return int(self.attributes.get("concert.sequence", 0))

    @property
    def task_id(self) -> str:
        """The task that it is about; empty for none."""
        return str(self.attributes.get("concert.task_id", ""))

    @property
    def is_moment(self) -> bool:
        """Whether it began and ended at once."""
        return self.end_ns - self.start_ns < MOMENT_NS

    @property
    def seconds(self) -> float:
        """How long it was."""
        return (self.end_ns - self.start_ns) / NS_PER_SECOND


class Trace:
    """Spans of one trace, each once, in the order of their start."""

    def __init__(self, trace_id: str, spans: Iterator[Span] | list[Span]) -> None:
        self.trace_id = trace_id
        self.by_id = {each.span_id: each for each in spans}
        self.spans = sorted(self.by_id.values(), key=lambda each: (each.start_ns, each.sequence, each.span_id))

    @cached_property
    def roots(self) -> list[Span]:
        """Spans whose parent is not in the trace."""
        return [each for each in self.spans if each.parent_id not in self.by_id]

    @cached_property
    def _children(self) -> dict[str, list[Span]]:
        children: dict[str, list[Span]] = {}
        for each in self.spans:
            children.setdefault(each.parent_id, []).append(each)
        return children

    def children(self, span: Span) -> list[Span]:
        """The spans right under one."""
        return self._children.get(span.span_id, [])

    def of(self, *events: str) -> list[Span]:
        """The spans of events of some types."""
        return [each for each in self.spans if each.event in events]

    def lies_under(self, span: Span, above: Span) -> bool:
        """Whether a span is below another, at any depth."""
        seen: set[str] = set()
        while span.parent_id in self.by_id and span.span_id not in seen:
            seen.add(span.span_id)
            span = self.by_id[span.parent_id]
            if span.span_id == above.span_id:
                return True
        return False


# OTLP's JSON encoding: 64-bit numbers are text, ids are hexadecimal.


class _Value(msgspec.Struct, rename="camel"):
    string_value: str | None = None
    int_value: str | int | None = None
    double_value: float | None = None
    bool_value: bool | None = None

    def plain(self) -> Attribute:
        if self.int_value is not None:
            return int(self.int_value)
        for value in (self.string_value, self.double_value, self.bool_value):
            if value is not None:
                return value
        return ""


class _Pair(msgspec.Struct):
    key: str
    value: _Value = msgspec.field(default_factory=_Value)


class _Link(msgspec.Struct, rename="camel"):
    span_id: str


class _Span(msgspec.Struct, rename="camel"):
    span_id: str
    name: str = ""
    parent_span_id: str = ""
    start_time_unix_nano: str | int = 0
    end_time_unix_nano: str | int = 0
    attributes: list[_Pair] = []
    links: list[_Link] = []


class _ScopeSpans(msgspec.Struct):
    spans: list[_Span] = []


class _Resource(msgspec.Struct):
    attributes: list[_Pair] = []


class _ResourceSpans(msgspec.Struct, rename="camel"):
    resource: _Resource = msgspec.field(default_factory=_Resource)
    scope_spans: list[_ScopeSpans] = []


class _Traces(msgspec.Struct, rename="camel"):
    resource_spans: list[_ResourceSpans] = []


class _Answer(msgspec.Struct):
    result: _Traces


def read_trace(trace_id: str, answer: bytes) -> Trace:
    """The trace in the answer of a query for it: an object whose `result` holds resourceSpans. Raises
    TraceUnreadable."""
    try:
        found = msgspec.json.decode(answer, type=_Answer).result
        return Trace(trace_id, [each for group in found.resource_spans for each in _spans(group)])
    except (msgspec.MsgspecError, ValueError) as fault:
        raise TraceUnreadable(f"no trace in OTLP's JSON encoding: {fault}") from None


def _spans(group: _ResourceSpans) -> Iterator[Span]:
    service = str(_plain(group.resource.attributes).get("service.name", ""))
    for scope in group.scope_spans:
        for each in scope.spans:
            yield Span(
                span_id=each.span_id,
                parent_id=each.parent_span_id,
                name=each.name,
                service=service,
                start_ns=int(each.start_time_unix_nano),
                end_ns=int(each.end_time_unix_nano),
                attributes=_plain(each.attributes),
                links=tuple(link.span_id for link in each.links),
            )


def _plain(pairs: list[_Pair]) -> dict[str, Any]:
    return {pair.key: pair.value.plain() for pair in pairs}
