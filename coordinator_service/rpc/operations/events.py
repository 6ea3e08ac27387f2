"""Publishing."""

from __future__ import annotations

from typing import Any

from concert.v1 import event_service_pb2 as pb

from coordinator_service.core.answers import Published
from coordinator_service.core.commands import EventDraft, Publish
from coordinator_service.rpc import limits
from coordinator_service.rpc.operation import Operation, Scope
from coordinator_service.rpc.payloads import read_payload
from coordinator_service.rpc.validation import (
    Faults,
    check_metadata,
    count_fault,
    name_fault,
    optional_name_fault,
    traceparent_fault,
)


def decode_publish(request: Any, scope: Scope, faults: Faults) -> Publish:
    """E1: only what a draft may say is taken from it; the envelope is the coordinator's."""
    drafts = request.events
    if fault := count_fault(drafts, limits.DRAFTS_PER_PUBLISH_MAX, count_min=1):
        faults.add("events", fault)
    taken: list[EventDraft] = []
    for draft in drafts:
        taken.append(_read_draft(draft, scope, faults, len(taken)))
        if faults.full:
            break
    return Publish(drafts=tuple(taken))


def _read_draft(draft: Any, scope: Scope, faults: Faults, number: int) -> EventDraft:
    custom = draft.custom
    name = custom.name
    if fault := name_fault(name):
        faults.add(f"events[{number}].custom.name", fault)
    if event_id := draft.event_id:
        faults.add(f"events[{number}].event_id", _event_id_fault(event_id, scope))
    if run_id := draft.run_id:
        faults.add(f"events[{number}].run_id", optional_name_fault(run_id))
    if task_id := draft.task_id:
        faults.add(f"events[{number}].task_id", optional_name_fault(task_id))
    if traceparent := draft.traceparent:
        faults.add(f"events[{number}].traceparent", traceparent_fault(traceparent))
    if metadata := draft.metadata:
        check_metadata(faults, f"events[{number}].metadata", metadata)
    return EventDraft(
        name=name,
        data=read_payload(faults, f"events[{number}].custom.", custom, "data"),
        event_id=event_id,
        run_id=run_id,
        task_id=task_id,
        metadata=dict(sorted(metadata.items())) if metadata else None,
        traceparent=traceparent,
    )


def _event_id_fault(event_id: str, scope: Scope) -> str | None:
    if scope.log_id and event_id.startswith(f"{scope.log_id}/"):
        return "must not begin with the log_id: such ids are the coordinator's"
    return optional_name_fault(event_id)


def fill_published(answer: Published, scope: Scope, response: Any) -> None:
    response.sequences.extend(answer.sequences)
    response.log_id = scope.log_id
    if answer.replayed:
        response.replayed = True


PUBLISH = Operation(
    method="Publish",
    service="EventService",
    frame="publish",
    request=pb.PublishRequest,
    response=pb.PublishResponse,
    decode=decode_publish,
    fill=fill_published,
)
