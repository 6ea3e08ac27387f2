"""The traced demonstration: five processes, their spans, and what is found out about them."""

from __future__ import annotations

import asyncio
import os
import sys
from pathlib import Path

import msgspec
import pytest

from agent_service.deployment import AGENTS
from agent_service.tracing.checks import Told, faults, sums
from agent_service.tracing.exporting import is_wanted
from agent_service.tracing.picture import as_svg, rows
from agent_service.tracing.trace import Span, Trace, TraceUnreadable, read_trace

from .test_demo import input_file
from .trace_store import TraceStore, answer_of, storing

SECONDS_MAX = 200
MS = 1_000_000


async def traced_demo(store: TraceStore, var: Path, *arguments: str) -> tuple[int, str, str]:
    """Runs the command to its end: exit code, output, and what it said meanwhile."""
    environment = {name: value for name, value in os.environ.items() if not name.startswith("OTEL_")}
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "agent_service", "jaeger-demo", "--var", str(var), *arguments),
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
        env={**environment, **store.environment},
    )
    async with asyncio.timeout(SECONDS_MAX):
        out, err = await process.communicate()
    assert process.returncode is not None
    return process.returncode, out.decode(), err.decode()


@pytest.mark.timeout(SECONDS_MAX + 60)
async def test_the_trace_of_the_deployment_has_its_shape_and_adds_up(tmp_path: Path, small_blog: list[Path]) -> None:
    """T2: submission, waits and executions apart, the agents' own spans in their own processes, and under them their
    locks, state and events; waits and executions add up to the makespan within 1 %."""
    picture = tmp_path / "trace.svg"
    given = input_file(tmp_path, small_blog)
    async with storing() as store:
        code, out, err = await traced_demo(store, tmp_path / "var", "--picture", str(picture), "--input", str(given))
        assert code == 0, err + out
        [root] = [each for each in store.receiver.spans if each.span.name.endswith("/SubmitRun")]
        ours = [each for each in store.receiver.spans if each.span.trace_id == root.span.trace_id]
        trace = read_trace(root.span.trace_id.hex(), answer_of(ours))
    assert "every event has its span, the shape is right, and the sums agree" in out
    assert {each.service for each in trace.spans} == {"concert-coordinator", *AGENTS}
    held = [each for each in trace.of("RESOURCE_RELEASED") if "bucket/" in str(each.attributes["concert.resource"])]
    assert [trace.by_id[each.parent_id].service for each in held] == ["infrastructure", "content"]
    assert trace.of("STATE_UPDATED")
    assert trace.of("TASK_PROGRESSED")
    drawn = picture.read_text()
    assert drawn.count("<rect") > len(AGENTS)
    assert "execute" in drawn


# A trace by hand, to see that each thing that may be wrong with one is found.


def span(span_id: str, parent: str, name: str, start: int, end: int, sequence: int = 0, **more: str) -> Span:
    """In milliseconds."""
    attributes = {f"concert.{key}": value for key, value in more.items() if key in ("event", "task_id")}
    return Span(
        span_id=span_id,
        parent_id=parent,
        name=name,
        service=more.get("service", "concert-coordinator"),
        start_ns=start * MS,
        end_ns=end * MS,
        attributes={**attributes, **({"concert.sequence": sequence} if sequence else {})},
        links=tuple(more["links"].split()) if "links" in more else (),
    )


SPANS = (
    span("c", "", "concert.v1.RunService/SubmitRun", 0, 2),
    span("1", "c", "run submitted", 1, 1, 1, event="RUN_SUBMITTED"),
    span("2", "c", "wait one", 1, 101, 2, event="TASK_ASSIGNED", task_id="a", links="1"),
    span("x", "2", "execute one", 102, 600, service="one"),
    span("3", "x", "lock held", 200, 300, 3, event="RESOURCE_RELEASED", task_id="a"),
    span("4", "2", "execute one", 101, 601, 4, event="AGENT_COMPLETED", task_id="a"),
    span("5", "c", "wait two", 601, 701, 5, event="TASK_ASSIGNED", task_id="b", links="4"),
    span("y", "5", "execute two", 702, 1000, service="two"),
    span("6", "5", "execute two", 701, 1001, 6, event="AGENT_COMPLETED", task_id="b"),
    span("7", "c", "run", 1, 1001, 7, event="RUN_COMPLETED"),
)
TOLD = Told(
    events={each.sequence: each.event for each in SPANS if each.sequence},
    agents={"a": "one", "b": "two"},
    makespan_seconds=1.0,
)


def test_a_sound_trace_has_no_faults_and_its_parts_are_told() -> None:
    """T2: from the submission to the end, wait by wait and execution by execution."""
    trace = Trace("t", list(SPANS))
    assert faults(trace, TOLD) == []
    found = sums(trace)
    assert found is not None
    assert [(each.task_id, each.kind, each.seconds) for each in found.parts] == [
        ("a", "wait", 0.1),
        ("a", "execution", 0.5),
        ("b", "wait", 0.1),
        ("b", "execution", 0.3),
    ]
    assert found.seconds == pytest.approx(found.makespan_seconds)


def without(*ids: str) -> list[Span]:
    """The spans but some."""
    return [each for each in SPANS if each.span_id not in ids]


def changed(span_id: str, **changes: object) -> list[Span]:
    """The spans, one of them otherwise."""
    return [msgspec.structs.replace(each, **changes) if each.span_id == span_id else each for each in SPANS]


@pytest.mark.parametrize(
    ("spans", "says"),
    [
        (without("3"), "event 3 RESOURCE_RELEASED has no span"),
        ([*SPANS, span("9", "c", "other", 5, 5, 9, event="STATE_UPDATED")], "which is none of this run"),
        (changed("3", attributes={"concert.sequence": 3, "concert.event": "STATE_UPDATED"}), "its span says"),
        (without("c"), "the trace begins with"),
        (changed("x", parent_id="nobody"), "the trace begins with"),
        (changed("5", parent_id="1"), "not right under the call of SubmitRun"),
        (changed("3", parent_id="c"), "not under its attempt"),
        (without("x", "3"), "0 spans of one's own"),
        (changed("x", service="two"), "0 spans of one's own"),
        (changed("x", end_ns=5000 * MS), "longer than the execution"),
        (changed("4", start_ns=300 * MS), "does not begin where the wait ends"),
        (without("4"), "0 executions, not one"),
        (changed("5", start_ns=650 * MS), "add up to 0.951 s"),
        (changed("5", links=()), "add up to"),
        (changed("6", parent_id="c"), "cannot be followed"),
        (changed("7", end_ns=1101 * MS), "by its events"),
        ([], "the trace begins with nothing"),
    ],
)
def test_whatever_is_wrong_with_a_trace_is_found(spans: list[Span], says: str) -> None:
    """T2: the check can fail, and says why."""
    assert any(says in each for each in faults(Trace("t", spans), TOLD)), faults(Trace("t", spans), TOLD)


def test_a_picture_holds_names_as_text_whatever_they_are() -> None:
    """What an agent is called runs nowhere."""
    hostile = '<script>alert(1)</script>"&\n'
    trace = Trace("t", [span("1", "", hostile, 0, 5), span("2", "1", "moment", 1, 1), span("3", "1", "moment", 2, 2)])
    drawn = as_svg(trace, hostile)
    assert "<script>" not in drawn
    assert "&lt;script&gt;" in drawn
    assert [(row.depth, len(row.spans)) for row in rows(trace)] == [(0, 1), (1, 2)]
    rounded = [msgspec.structs.replace(each, end_ns=each.end_ns + 1_000) for each in trace.spans]
    assert len(rows(Trace("t", rounded))) == 2  # as a store does that counts in microseconds


@pytest.mark.parametrize("answer", [b"", b"{}", b"<html>", b'{"result": {"resourceSpans": [{"scopeSpans": 1}]}}'])
def test_an_answer_that_is_no_trace_is_said_to_be_none(answer: bytes) -> None:
    """Whatever answers at that port."""
    with pytest.raises(TraceUnreadable):
        read_trace("t", answer)


@pytest.mark.parametrize(
    ("environment", "wanted"),
    [
        ({}, False),
        ({"OTEL_EXPORTER_OTLP_ENDPOINT": "http://c:4317"}, True),
        ({"OTEL_EXPORTER_OTLP_TRACES_ENDPOINT": "http://c:4317"}, True),
        ({"OTEL_EXPORTER_OTLP_ENDPOINT": "http://c:4317", "OTEL_SDK_DISABLED": "true"}, False),
        ({"OTEL_EXPORTER_OTLP_ENDPOINT": "http://c:4317", "OTEL_TRACES_EXPORTER": "none"}, False),
    ],
)
def test_agents_export_where_the_standard_variables_say_so(environment: dict[str, str], wanted: bool) -> None:
    """T2: and never by themselves."""
    assert is_wanted(environment) is wanted
