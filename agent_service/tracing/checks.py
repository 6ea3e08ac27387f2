"""What has to be true of the trace of a run: that it is whole, has the shape that it should, and adds up."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass

from agent_service.tracing.trace import Span, Trace

SUMS_DIFFER_MAX = 0.01
"""Share of the makespan that waits and executions may be off by."""
TOUCHING_NS = 1_000_000
"""What lies closer together touches: durations in events are seconds in floating point."""
CLOCKS_NS = 250_000_000
"""How far an agent's clock, which its own spans are by, may be from the coordinator's."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Told:
    """What the coordinator itself says of a run."""

    events: Mapping[int, str]
    """The type of each of its platform events, by sequence."""
    agents: Mapping[str, str]
    """Which service did each task, by task id."""
    makespan_seconds: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Part:
    """A wait or an execution, as a span says it."""

    task_id: str
    kind: str
    seconds: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Sums:
    """How the makespan of a run adds up, from the task that ended last back to the submission."""

    makespan_seconds: float
    parts: tuple[Part, ...]

    @property
    def seconds(self) -> float:
        """All parts together."""
        return sum(each.seconds for each in self.parts)

    @property
    def differ(self) -> float:
        """How far off they are, as a share of the makespan."""
        return abs(self.seconds - self.makespan_seconds) / self.makespan_seconds if self.makespan_seconds else 1.0


def is_whole(trace: Trace, told: Told) -> bool:
    """Whether every span that is to come is there."""
    sequences = {each.sequence for each in trace.spans}
    services = {each.service for each in trace.spans if not each.event}
    return sequences >= told.events.keys() and services >= set(told.agents.values())


def faults(trace: Trace, told: Told) -> list[str]:
    """What is wrong with a trace, a line each; empty when nothing is."""
    return [*_set_faults(trace, told), *_shape_faults(trace, told), *_sum_faults(trace, told)]


def sums(trace: Trace) -> Sums | None:
    """How the makespan adds up; None of a trace that has not the shape for it.

    A wait is linked to what made its task ready: the execution of another task, or the submission.
    """
    runs, executions = trace.of("RUN_COMPLETED"), _executions(trace)
    if len(runs) != 1 or not executions:
        return None
    parts: list[Part] = []
    execution: Span | None = max(executions, key=lambda each: each.end_ns)
    while execution is not None and len(parts) < 2 * len(executions):
        wait = trace.by_id.get(execution.parent_id)
        if wait is None or wait.event != "TASK_ASSIGNED":
            return None
        parts += (_part(execution, "execution"), _part(wait, "wait"))
        before = [trace.by_id[each] for each in wait.links if each in trace.by_id]
        execution = next((each for each in before if each in executions), None)
    return Sums(makespan_seconds=runs[0].seconds, parts=tuple(reversed(parts)))


def _part(span: Span, kind: str) -> Part:
    return Part(task_id=span.task_id, kind=kind, seconds=span.seconds)


def _executions(trace: Trace) -> list[Span]:
    return trace.of("AGENT_COMPLETED", "AGENT_FAILED")


def _set_faults(trace: Trace, told: Told) -> Iterator[str]:
    there = {each.sequence: each.event for each in trace.spans if each.sequence}
    for sequence in sorted(told.events.keys() - there.keys()):
        yield f"event {sequence} {told.events[sequence]} has no span"
    for sequence in sorted(there.keys() - told.events.keys()):
        yield f"span of event {sequence} {there[sequence]}, which is none of this run"
    for sequence in sorted(there.keys() & told.events.keys()):
        if there[sequence] != told.events[sequence]:
            yield f"event {sequence} is {told.events[sequence]}, its span says {there[sequence]}"


def _shape_faults(trace: Trace, told: Told) -> Iterator[str]:
    if len(trace.roots) != 1 or not trace.roots[0].name.endswith("/SubmitRun"):
        yield f"the trace begins with {_names(trace.roots)}, not with the call of SubmitRun alone"
        return
    root = trace.roots[0]
    for each in trace.of("RUN_SUBMITTED", "TASK_ASSIGNED", "RUN_COMPLETED"):
        if each.parent_id != root.span_id:
            yield f"{each.name} (event {each.sequence}) is not right under the call of SubmitRun"
    for task_id, service in told.agents.items():
        yield from _attempt_faults(trace, task_id, service)


def _attempt_faults(trace: Trace, task_id: str, service: str) -> Iterator[str]:
    waits = [each for each in trace.of("TASK_ASSIGNED") if each.task_id == task_id]
    if not waits:
        yield f"task {task_id} has no wait"
    for wait in waits:
        below = [each for each in trace.spans if trace.lies_under(each, wait)]
        executions = [each for each in trace.children(wait) if each in _executions(trace)]
        if len(executions) != 1:
            yield f"an attempt of {task_id} has {len(executions)} executions, not one"
            continue
        [execution] = executions
        if abs(execution.start_ns - wait.end_ns) > TOUCHING_NS:
            yield f"{task_id}: the execution does not begin where the wait ends"
        own = [each for each in trace.children(wait) if each.service == service and not each.event]
        if len(own) != 1:
            yield f"an attempt of {task_id} has {len(own)} spans of {service}'s own right under it, not one"
        for each in own:
            if each.start_ns < execution.start_ns - CLOCKS_NS or each.end_ns > execution.end_ns + CLOCKS_NS:
                yield f"{task_id}: {service}'s own span is longer than the execution"
        ids = {each.span_id for each in below}
        attempt_events = [each for each in trace.spans if each.task_id == task_id and _within(each, wait, execution)]
        for each in attempt_events:
            if each.span_id not in ids:
                yield f"{each.name} (event {each.sequence}) of {task_id} is not under its attempt"


def _within(span: Span, wait: Span, execution: Span) -> bool:
    """Whether a span is of an event that happened in an attempt, after it was assigned."""
    is_event = bool(span.event) and span.sequence != wait.sequence
    return is_event and wait.sequence < span.sequence <= execution.sequence


def _sum_faults(trace: Trace, told: Told) -> Iterator[str]:
    found = sums(trace)
    if found is None:
        yield "waits and executions cannot be followed from the end of the run to its beginning"
        return
    if found.differ > SUMS_DIFFER_MAX:
        yield f"waits and executions add up to {found.seconds:.3f} s, the makespan is {found.makespan_seconds:.3f} s"
    if abs(found.makespan_seconds - told.makespan_seconds) > SUMS_DIFFER_MAX * told.makespan_seconds:
        yield f"the run is {found.makespan_seconds:.3f} s in the trace, {told.makespan_seconds:.3f} s by its events"


def _names(spans: Iterable[Span]) -> str:
    return ", ".join(each.name for each in spans) or "nothing"
