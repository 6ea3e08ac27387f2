"""RunService: runs, and following one."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import grpc
from concert.v1 import run_service_pb2 as pb

from coordinator_service.core.answers import RunRead
from coordinator_service.core.commands import Caller, GetRun
from coordinator_service.core.events import Event, RunCompleted, RunRetried
from coordinator_service.core.rejections import NotFound
from coordinator_service.ports import Committed, NamespacePort
from coordinator_service.rpc import limits
from coordinator_service.rpc.calls import Calls, Context
from coordinator_service.rpc.operations.runs import (
    ADD_TASKS,
    CANCEL_RUN,
    GET_RUN,
    GET_TASK_RESULT,
    LIST_RUNS,
    PLAN_RUN,
    RETRY_RUN,
    SUBMIT_RUN,
)
from coordinator_service.rpc.run_parts import run_parts
from coordinator_service.rpc.validation import Faults, name_fault

_OPERATIONS = (PLAN_RUN, SUBMIT_RUN, GET_RUN, LIST_RUNS, CANCEL_RUN, ADD_TASKS, RETRY_RUN, GET_TASK_RESULT)
_WATCHER = Caller(method="WatchRun")
_EVENTS_FIELD = 2 << 3 | 2  # WatchRunResponse.events


class RunServicer:
    """Serves RunService."""

    def __init__(self, calls: Calls) -> None:
        self._calls = calls

    def handler(self) -> grpc.GenericRpcHandler:
        """What the server registers."""
        calls = self._calls
        handlers = {each.method: calls.operation(each) for each in _OPERATIONS}
        handlers["WatchRun"] = calls.streaming(pb.WatchRunRequest, self._watch)
        return calls.service("RunService", handlers)

    async def _watch(self, request: Any, context: Context) -> None:
        """A snapshot, then what changes, then the run as it ended. A run that is over is one message."""
        faults = Faults()
        faults.add("run_id", name_fault(request.run_id))
        faults.settle()
        asked = GetRun(run_id=request.run_id)
        port = await self._calls.port_if_any(request.namespace)
        if port is None:
            raise NotFound("run", asked.run_id)
        first = await _read(port, asked)
        for message in _snapshot(first):
            await context.write(message)
        if not first.run.status.over:
            await _follow(port, asked, first, context)


async def _follow(port: NamespacePort, asked: GetRun, first: RunRead, context: Context) -> None:
    """Until the run is over; where it was tried again before that could be told, until that generation is."""
    follower = await port.follow(first.sequence)
    generation = first.run.generation
    try:
        while True:
            found = [each for each in await follower.read() if each.event.run_id == asked.run_id]
            for batch in _batches(found):
                generation += sum(isinstance(each.event.payload, RunRetried) for each in batch)
                if _ends(batch[-1].event):
                    last = await _read(port, asked)
                    if last.run.generation == generation:
                        await context.write(_encode(batch, batch[-1].sequence))
                        for message in _snapshot(last):
                            await context.write(message)
                        return
                await context.write(_encode(batch, batch[-1].sequence))
    finally:
        follower.close()


def _batches(found: list[Committed]) -> list[list[Committed]]:
    """Events that travel together: up to FRAME_BYTES_MAX (a larger one alone), and none after an end of the run."""
    batches: list[list[Committed]] = []
    size = limits.FRAME_BYTES_MAX
    for each in found:
        if size + len(each.frame) > limits.FRAME_BYTES_MAX:
            batches.append([])
            size = 0
        batches[-1].append(each)
        size = limits.FRAME_BYTES_MAX if _ends(each.event) else size + len(each.frame)
    return batches


def _ends(event: Event) -> bool:
    return isinstance(event.payload, RunCompleted)


async def _read(port: NamespacePort, asked: GetRun) -> RunRead:
    answer = await port.call(asked, _WATCHER)
    assert isinstance(answer, RunRead)
    return answer


def _snapshot(read: RunRead) -> Iterator[bytes]:
    """A run in as many messages as it takes."""
    parts = run_parts(read.run)
    part = next(parts)
    for following in parts:
        yield pb.WatchRunResponse(run=part, sequence=read.sequence, run_continues=True).SerializeToString()
        part = following
    yield pb.WatchRunResponse(run=part, sequence=read.sequence).SerializeToString()


def _encode(events: list[Committed], sequence: int) -> bytes:
    response = pb.WatchRunResponse(sequence=sequence)
    # A frame is an element of a repeated field 1; here the events are field 2: all but the tag is the same.
    tag = bytes((_EVENTS_FIELD,))
    parts = [part for each in events for part in (tag, each.frame[1:])]
    return b"".join((*parts, response.SerializeToString()))
