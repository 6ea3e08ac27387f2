"""Runs in parts: one with thousands of tasks does not fit into one message."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import Any

from concert.v1 import run_pb2

from coordinator_service.core.specs import RunView
from coordinator_service.log.mirror import fill as mirror_fill
from coordinator_service.log.mirror import to_proto
from coordinator_service.rpc import limits

_TASK_OVERHEAD_BYTES = 8
"""Tag and length of a task among others."""


def run_parts(run: RunView, bytes_max: int = limits.FRAME_BYTES_MAX) -> Iterator[Any]:
    """A Run with as many of its tasks as fit, then, while there are more, Runs that have nothing but those."""
    part = run_pb2.Run()
    mirror_fill(replace(run, tasks=()), part)
    size = part.ByteSize()
    for task in run.tasks:
        message: Any = to_proto(task)
        task_bytes = message.ByteSize() + _TASK_OVERHEAD_BYTES
        if part.tasks and size + task_bytes > bytes_max:
            yield part
            part, size = run_pb2.Run(), 0
        part.tasks.append(message)
        size += task_bytes
    yield part
