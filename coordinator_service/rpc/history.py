"""History over the wire: the queries and page tokens of lists of events."""

from __future__ import annotations

from typing import Any

from coordinator_service.history import Page, Query, Token
from coordinator_service.rpc.page_tokens import is_sequence, page_size, read_token, write_token
from coordinator_service.rpc.selectors import read_selector
from coordinator_service.rpc.validation import Faults, check_timestamp

_TOKEN = "events"


def read_query(request: Any) -> Query:
    """The query of a ListEventsRequest. Raises InvalidField."""
    faults = Faults()
    since_ns = check_timestamp(faults, request, "since")
    before_ns = check_timestamp(faults, request, "until")
    if since_ns and before_ns and before_ns < since_ns:
        faults.add("until", "lies before since")
    if request.until_sequence and request.until_sequence < request.after_sequence:
        faults.add("until_sequence", "lies before after_sequence")
    query = Query(
        selector=read_selector(faults, request.filter),
        after=request.after_sequence,
        until=request.until_sequence,
        since_ns=since_ns,
        before_ns=before_ns,
        events_max=page_size(faults, request.page_size),
        descending=request.descending,
        token=read_list_token(faults, request.page_token),
    )
    faults.settle()
    return query


def next_token(page: Page) -> str:
    """The token of what is left after a page, empty at the end."""
    left = page.left
    return "" if left.over else write_token(_TOKEN, f"{left.after},{left.until},{left.sequence},{left.log_id}")


def read_list_token(faults: Faults, token: str) -> Token | None:
    """What a page token of history stands for."""
    position = read_token(faults, _TOKEN, token)
    if not position:
        return None
    after, until, sequence, log_id = (*position.split(",", 3), "", "", "")[:4]
    if not all(map(is_sequence, (after, until, sequence))):
        faults.add("page_token", "is not a token that this list gave out")
        return None
    return Token(log_id=log_id, after=int(after), until=int(until), sequence=int(sequence))
