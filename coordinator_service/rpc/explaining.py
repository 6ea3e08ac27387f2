"""Explain over the wire: what is asked about."""

from __future__ import annotations

from typing import Any

from coordinator_service.core.commands import Explain
from coordinator_service.core.rejections import CursorInFuture, InvalidField, NotFound
from coordinator_service.explaining import beyond_the_end
from coordinator_service.rpc.validation import Faults, name_fault, resource_fault


def read_explain(request: Any) -> Explain:
    """What an ExplainRequest asks for. Raises InvalidField."""
    faults = Faults()
    subject = request.WhichOneof("subject")
    if subject is None:
        raise InvalidField(("subject", "must be a sequence, run_id, task, resource or agent_id"))
    if subject == "sequence":
        faults.add("sequence", None if request.sequence else "must be 1 or more")
    elif subject == "run_id":
        faults.add("run_id", name_fault(request.run_id))
    elif subject == "task":
        faults.add("task.run_id", name_fault(request.task.run_id))
        faults.add("task.task_id", name_fault(request.task.task_id))
    elif subject == "resource":
        faults.add("resource", resource_fault(request.resource))
    else:
        faults.add("agent_id", name_fault(request.agent_id))
    faults.settle()
    return Explain(
        run_id=request.task.run_id or request.run_id,
        task_id=request.task.task_id,
        resource=request.resource,
        agent_id=request.agent_id,
        sequence=request.sequence,
    )


def not_there(asked: Explain) -> NotFound | CursorInFuture:
    """Why nothing can be explained in a namespace that does not exist."""
    if asked.sequence:
        return beyond_the_end(asked.sequence, 0)
    if asked.resource:
        return NotFound("lock", asked.resource)
    return NotFound("agent", asked.agent_id) if asked.agent_id else NotFound("run", asked.run_id)
