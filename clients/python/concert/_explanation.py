"""Why something is as it is, and what it waits for: asking, and telling it to people."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from concert._caller import Origin
from concert._methods import EXPLAIN
from concert.errors import InvalidArgument
from concert.v1 import event_pb2, explanation_pb2, monitor_service_pb2


class Explanation:
    """What led to something, and what it waits for now. `str()` tells it to people; the rest is for programs.

    The elements are the contract's messages: `Waiting`, with its `Blocker`s and `Candidate`s, and `CauseStep`.
    """

    def __init__(self, message: Any) -> None:
        """Of a `concert.v1.Explanation`."""
        self.message = message

    @property
    def subject(self) -> str:
        """What is explained."""
        return str(self.message.subject)

    @property
    def summary(self) -> str:
        """Where it stands and why, in one sentence."""
        return str(self.message.summary)

    @property
    def waiting(self) -> list[Any]:
        """Everything of it that waits, at most 100, each with all that stands in its way."""
        return list(self.message.waiting)

    @property
    def causes(self) -> list[Any]:
        """The chain of causes, from the latest event of it back to the request that began it."""
        return list(self.message.causes)

    @property
    def effects(self) -> list[Any]:
        """What followed at once from the first of the causes."""
        return list(self.message.effects)

    @property
    def sequence(self) -> int:
        """The sequence that the present is true at."""
        return int(self.message.sequence)

    def __repr__(self) -> str:
        """Its subject and summary."""
        return f"<Explanation of {self.subject}: {self.summary}>"

    def __str__(self) -> str:
        """The whole of it, a line each."""
        return "\n".join(self._lines())

    def _lines(self) -> Iterator[str]:
        message = self.message
        yield message.summary
        if message.waiting:
            more = message.waiting_total - len(message.waiting)
            yield f"waiting{f' ({more} more are not shown)' if more > 0 else ''}:"
            for each in message.waiting:
                yield from _waiting_lines(each)
        if message.causes:
            yield "because:"
            yield from map(_step_line, message.causes)
            if message.earlier_cause:
                yield f"  #{message.earlier_cause} ..."
        if message.effects:
            yield "so that:"
            yield from map(_step_line, message.effects)
        yield f"true at {message.sequence}"


class Explain:
    """Asks for explanations."""

    def __init__(self, origin: Origin) -> None:
        """Asks as `origin`."""
        self._origin = origin

    async def ask(self, sequence: int, run: str, task: str, lock: str, agent: str) -> Explanation:
        """See `Client.explain`."""
        request = monitor_service_pb2.ExplainRequest()
        if sum(map(bool, (sequence, run, lock, agent))) != 1 or (task and not run):
            raise InvalidArgument("explain one of: a sequence, a run, a run's task, a lock, an agent")
        if task:
            request.task.run_id, request.task.task_id = run, task
        elif run:
            request.run_id = run
        elif lock:
            request.resource = lock
        elif agent:
            request.agent_id = agent
        else:
            request.sequence = sequence
        return Explanation((await self._origin.caller.call(EXPLAIN, request)).explanation)


def _waiting_lines(waiting: Any) -> Iterator[str]:
    yield f"  {_name(waiting)}"
    for blocker in waiting.blockers:
        kind = explanation_pb2.WaitKind.Name(blocker.kind).removeprefix("WAIT_KIND_")
        yield f"    {kind}: {blocker.text}"
    for each in waiting.candidates:
        yield f"    candidate {each.agent_id} {each.text}"


def _name(waiting: Any) -> str:
    if waiting.task_id:
        return f"task {waiting.run_id}/{waiting.task_id}"
    if waiting.run_id:
        return f"run {waiting.run_id}"
    if waiting.request_sequence:
        return f"request {waiting.request_sequence} of {waiting.holder}"
    return f"agent {waiting.agent_id}"


def _step_line(step: Any) -> str:
    kind = event_pb2.EventType.Name(step.type).removeprefix("EVENT_TYPE_")
    trace = f" {step.traceparent}" if step.traceparent else ""
    return f"  #{step.sequence} {kind} ({step.reason}): {step.text}{trace}"
