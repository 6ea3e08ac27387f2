"""Reading a paged list to its end."""

from __future__ import annotations

from typing import Any

from concert._caller import Caller
from concert._limits import LIST_ENTRIES_MAX, PAGE_SIZE_MAX
from concert._methods import Method
from concert.errors import LimitReached


async def read_pages(caller: Caller, method: Method, request: Any, field: str, limit: int | None = None) -> list[Any]:
    """The entries of all pages, or the first `limit`. Raises LimitReached beyond 100 000 without a limit."""
    entries: list[Any] = []
    request.page_size = min(limit or PAGE_SIZE_MAX, PAGE_SIZE_MAX)
    while True:
        page = await caller.call(method, request)
        entries += getattr(page, field)
        if limit is not None and len(entries) >= limit:
            return entries[:limit]
        if not page.next_page_token:
            return entries
        if len(entries) >= LIST_ENTRIES_MAX:
            raise LimitReached(f"{method.name} has more than {LIST_ENTRIES_MAX} entries: narrow it, or give a limit")
        request.page_token = page.next_page_token
