"""History: reading the log a page at a time, in either direction.

A query is first resolved to an interval of sequences; a page token is what is left of that interval. Every page looks
at a bounded number of events, so that a filter which matches little costs a page, not the coordinator.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

from coordinator_service.core.rejections import CursorCompacted, CursorInFuture, LogMismatch, NotFound
from coordinator_service.ports import Committed, NamespacePort
from coordinator_service.subscriptions import Selector

READ_EVENTS_MAX = 1000
"""Events read from the log at a time."""
PAGE_BYTES_MAX = 2 * 1024 * 1024
"""Of frames in a page; a larger event is a page alone."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Query:
    """What of the log is asked for: sequences in (after, until], 0 for no end, and times in [since, before)."""

    selector: Selector
    after: int
    until: int
    since_ns: int
    before_ns: int
    events_max: int
    descending: bool
    token: Token | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Token:
    """What is left to look at, (after, until] of a log, and the sequence that the first page was true at."""

    log_id: str
    after: int
    until: int
    sequence: int

    @property
    def over(self) -> bool:
        """Whether nothing is left."""
        return self.after >= self.until


@dataclass(frozen=True, slots=True, kw_only=True)
class Page:
    """Matching events, and what is left to look at after them."""

    events: list[Committed]
    left: Token

    @property
    def frames(self) -> list[bytes]:
        """Their frames."""
        return [each.frame for each in self.events]


async def read_page(port: NamespacePort, query: Query, *, scan_events_max: int) -> Page:
    """The next page of a query, after looking at no more than scan_events_max events."""
    left = await _left(port, query)
    if left.over:
        return Page(events=[], left=left)
    scan = _Scan(query)
    if query.descending:
        left = await _scan_down(port, scan, left, scan_events_max)
    else:
        left = await _scan_up(port, scan, left, scan_events_max)
    return Page(events=scan.events, left=left)


class _Scan:
    """Matching events, until there are enough."""

    def __init__(self, query: Query) -> None:
        self.events: list[Committed] = []
        self._bytes = 0
        self._selector = query.selector
        self._events_max = query.events_max

    def takes(self, each: Committed) -> bool:
        """Looks at an event; false when there is no more room for it."""
        if not self._selector.selects_all and not self._selector.takes(each):
            return True
        size = self._bytes + len(each.frame)
        if len(self.events) >= self._events_max or (self.events and size > PAGE_BYTES_MAX):
            return False
        self.events.append(each)
        self._bytes = size
        return True


async def _scan_up(port: NamespacePort, scan: _Scan, left: Token, scan_events_max: int) -> Token:
    follower = await port.follow(left.after, left.log_id)
    end = min(left.until, left.after + scan_events_max)
    try:
        while follower.position < end:
            for each in await follower.read(events_max=min(READ_EVENTS_MAX, end - follower.position)):
                if not scan.takes(each):
                    return replace(left, after=each.sequence - 1)
    finally:
        follower.close()
    return replace(left, after=end)


async def _scan_down(port: NamespacePort, scan: _Scan, left: Token, scan_events_max: int) -> Token:
    end = max(left.after, left.until - scan_events_max)
    upper = left.until
    while upper > end:
        lower = max(end, upper - READ_EVENTS_MAX)
        for each in reversed(await _between(port, left.log_id, lower, upper)):
            if not scan.takes(each):
                return replace(left, until=each.sequence)
        upper = lower
    return replace(left, until=end)


async def _between(port: NamespacePort, log_id: str, lower: int, upper: int) -> list[Committed]:
    follower = await port.follow(lower, log_id)
    found: list[Committed] = []
    try:
        while follower.position < upper:
            found += await follower.read(events_max=upper - follower.position)
    finally:
        follower.close()
    return found


async def _left(port: NamespacePort, query: Query) -> Token:
    """The token's interval, or that of the whole query for the first page. Raises CursorCompacted, LogMismatch, and
    CursorInFuture for a token that no list gave out: nobody waits for the log to reach it.
    """
    ends = await port.ends()
    token = query.token
    if token is not None:
        if token.log_id != ends.log_id:
            raise LogMismatch(ends.log_id, token.log_id)
        if max(token.after, token.until, token.sequence) > ends.last_sequence:
            raise CursorInFuture(("page_token", f"goes to {token.until}, the log ends at {ends.last_sequence}"))
        if not query.descending and token.after < ends.oldest_sequence - 1:
            raise CursorCompacted(ends.log_id, ends.oldest_sequence, ends.last_sequence)
        return replace(token, after=max(token.after, ends.oldest_sequence - 1))
    if query.after and query.after < ends.oldest_sequence - 1:
        raise CursorCompacted(ends.log_id, ends.oldest_sequence, ends.last_sequence)
    last = ends.last_sequence
    after = max(query.after, ends.oldest_sequence - 1)
    until = min(query.until or last, last)
    if query.since_ns:
        after = max(after, await _last_before(port, query.since_ns, after, until))
    if query.before_ns:
        until = min(until, await _last_before(port, query.before_ns, after, until))
    return Token(log_id=ends.log_id, after=after, until=until, sequence=last)


async def _last_before(port: NamespacePort, time_ns: int, after: int, until: int) -> int:
    """The last sequence in (after, until] whose event is earlier than a time; `after` when there is none.

    The log knows the time of its batches; within the batch that holds the moment, events are looked at.
    """
    position = max(after, await port.locate(time_ns))
    if position >= until:
        return max(after, until)
    follower = await port.follow(position)
    try:
        while follower.position < until:
            for each in await follower.read(events_max=min(READ_EVENTS_MAX, until - follower.position)):
                if each.event.time_ns >= time_ns:
                    return each.sequence - 1
    finally:
        follower.close()
    return until


async def read_one(port: NamespacePort, sequence: int) -> Committed:
    """The event of a sequence. Raises NotFound beyond the end, CursorCompacted below the oldest kept."""
    ends = await port.ends()
    if sequence > ends.last_sequence:
        raise NotFound("event", str(sequence))
    if sequence < ends.oldest_sequence:
        raise CursorCompacted(ends.log_id, ends.oldest_sequence, ends.last_sequence)
    try:
        follower = await port.follow(sequence - 1)
    except CursorInFuture:
        raise NotFound("event", str(sequence)) from None
    try:
        return (await follower.read(events_max=1))[0]
    finally:
        follower.close()
