"""The feed of events: the newest that match, then those that follow."""

from __future__ import annotations

import asyncio
from collections import deque
from typing import Any, Final

from coordinator_service.history import Query, read_page
from coordinator_service.local_namespace import LocalNamespace
from coordinator_service.ports import Committed, Follower
from coordinator_service.web.live.event_lines import EventLine, event_line
from coordinator_service.web.live.feed import Feed
from coordinator_service.web.live.topics import Topic

LINES_MAX: Final = 200
"""Events that are shown, and that are told at once; of more that came at once the newest."""
SCAN_EVENTS_MAX: Final = 20_000
"""Events that are looked at for the first lines, or at once; of more that came at once the newest."""
_EVENTS_PER_STEP: Final = 100


class EventsFeed(Feed):
    """Events of some types, of a run, a task, an agent, or all."""

    def __init__(self, topic: Topic) -> None:
        super().__init__(topic.key)
        self._selector = topic.selector
        self._lines: deque[EventLine] = deque(maxlen=LINES_MAX)
        self._log_id = ""
        self._position = 0
        self._passed_over = 0

    async def refresh(self, namespace: LocalNamespace) -> None:
        """See Feed."""
        if self._log_id != namespace.log_id:
            await self._begin(namespace)
            return
        last = namespace.last_sequence
        if last <= self._position and not self._fault:
            return
        passed_over = max(0, last - self._position - SCAN_EVENTS_MAX)
        follower = await namespace.follow(self._position + passed_over)
        try:
            found, matched = await self._matching(follower, last)
        finally:
            follower.close()
        self._position = last
        self._passed_over = passed_over + matched - len(found)
        if found or passed_over or self._fault:
            self._fault = ""
            self._lines.extend(found)
            self._tell(last, namespace.now_ns(), {"lines": found, "passed_over": self._passed_over})

    async def _begin(self, namespace: LocalNamespace) -> None:
        query = Query(
            selector=self._selector,
            after=0,
            until=0,
            since_ns=0,
            before_ns=0,
            events_max=LINES_MAX,
            descending=True,
            token=None,
        )
        page = await read_page(namespace, query, scan_events_max=SCAN_EVENTS_MAX)
        self._lines.clear()
        self._lines.extend(event_line(each.event) for each in reversed(page.events))
        self._log_id, self._position, self._fault = namespace.log_id, page.left.sequence, ""
        self._tell(self._position, namespace.now_ns(), None)

    async def _matching(self, follower: Follower, last: int) -> tuple[list[EventLine], int]:
        """The newest matching events up to a sequence, and how many matched."""
        newest: deque[Committed] = deque(maxlen=LINES_MAX)
        matched = 0
        while follower.position < last:
            for number, each in enumerate(await follower.read(events_max=last - follower.position)):
                if number % _EVENTS_PER_STEP == _EVENTS_PER_STEP - 1:
                    await asyncio.sleep(0)
                if self._selector.selects_all or self._selector.takes(each):
                    newest.append(each)
                    matched += 1
        return [event_line(each.event) for each in newest], matched

    def _body(self) -> Any:
        return {"lines": list(self._lines), "passed_over": 0}
