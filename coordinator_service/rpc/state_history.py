"""The history of shared state: its changes, read from the log a page at a time (S1)."""

from __future__ import annotations

from typing import Any

from concert.v1 import state_service_pb2 as pb

from coordinator_service.core.events import Event, StateUpdated
from coordinator_service.core.rejections import CursorInFuture
from coordinator_service.history import Query, read_page
from coordinator_service.log.mirror import fill as mirror_fill
from coordinator_service.log.mirror import fill_timestamp
from coordinator_service.ports import NamespacePort
from coordinator_service.rpc.history import next_token, read_list_token
from coordinator_service.rpc.page_tokens import page_size
from coordinator_service.rpc.state_selector import StateSelector
from coordinator_service.rpc.validation import Faults, optional_path_fault


def read_query(request: Any) -> Query:
    """The query of a ListStateHistoryRequest. Raises InvalidField."""
    faults = Faults()
    faults.add("key", optional_path_fault(request.key))
    faults.add("prefix", optional_path_fault(request.prefix))
    if request.key and request.prefix:
        faults.add("prefix", "is given together with key")
    if request.until_revision and request.until_revision < request.after_revision:
        faults.add("until_revision", "lies before after_revision")
    keys = frozenset((request.key,)) if request.key else frozenset[str]()
    query = Query(
        selector=StateSelector(keys=keys, prefix=request.prefix),
        after=request.after_revision,
        until=request.until_revision,
        since_ns=0,
        before_ns=0,
        events_max=page_size(faults, request.page_size),
        descending=request.descending,
        token=read_list_token(faults, request.page_token),
    )
    faults.settle()
    return query


async def read_history(port: NamespacePort, query: Query, *, scan_events_max: int) -> pb.ListStateHistoryResponse:
    """The next page. Raises CursorInFuture, CursorCompacted, LogMismatch."""
    last = (await port.ends()).last_sequence
    if query.after > last:
        raise CursorInFuture(("after_revision", f"is {query.after}, the log ends at {last}"))
    page = await read_page(port, query, scan_events_max=scan_events_max)
    left = page.left
    response = pb.ListStateHistoryResponse(next_page_token=next_token(page), sequence=left.sequence, log_id=left.log_id)
    selector = query.selector
    assert isinstance(selector, StateSelector)
    for each in page.events:
        _fill(each.event, selector, response.revisions.add())
    return response


def _fill(event: Event, selector: StateSelector, revision: Any) -> None:
    """What a change did to what is asked for."""
    payload = event.payload
    assert isinstance(payload, StateUpdated)
    revision.revision = event.sequence
    revision.writer = payload.writer
    revision.strategy = int(payload.merge_strategy)
    fill_timestamp(event.time_ns, revision.changed_at)
    revision.cause = event.cause
    revision.reason = event.reason
    for update in payload.updates:
        if selector.covers(update.key):
            mirror_fill(update, revision.updates.add())
    revision.deletes.extend(key for key in payload.deletes if selector.covers(key))
    if selector.clears(payload):
        revision.prefix = payload.prefix
    revision.priority = payload.priority
    revision.agent_id, revision.run_id, revision.task_id = event.agent_id, event.run_id, event.task_id
    revision.traceparent = event.traceparent
