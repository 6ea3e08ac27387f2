"""Watches: the feeds of a namespace, kept fresh while somebody views them, at a pace that decisions do not feel.

One task for each namespace waits for the log to move, reads every feed once, and wakes the viewers a few at a time.
Then it rests: the more that took, the longer, so that viewing never takes more than a small share of the coordinator,
however many view and however much happens. Nobody views: nothing is read.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from coordinator_service.core.rejections import LimitReached, NotFound, Rejection, Unavailable
from coordinator_service.local_namespace import LocalNamespace
from coordinator_service.namespaces import Namespaces
from coordinator_service.web.live.feed import Feed
from coordinator_service.web.live.topics import Topic

MakeFeed = Callable[[Topic], Feed]

_FAILED_SECONDS: Final = 1.0
"""A namespace that cannot be served is tried again after this."""
_WOKEN_AT_ONCE: Final = 10
"""Viewers that are woken before others on the loop get their turn."""


@dataclass(frozen=True, slots=True, kw_only=True)
class LiveLimits:
    """Bounds of the live page."""

    viewers_max: int = 1000
    feeds_max: int = 200
    """Different things that are watched at once, in all namespaces."""
    topics_per_viewer_max: int = 6
    interval_seconds: float = 0.25
    """Between two readings, at least."""
    interval_seconds_max: float = 5.0
    rest_seconds: float = 10.0
    """Where nothing happens, all is read again after this: health changes by time alone."""
    share: float = 0.04
    """Of the time, that may go into reading and telling."""
    viewer_seconds: float = 0.0001
    """What it takes to tell one viewer."""
    write_seconds_max: float = 30.0
    """A viewer who takes no bytes for so long is let go."""
    chunk_bytes: int = 64 * 1024
    """Written to a viewer before it is waited for."""


class Viewer:
    """Somebody who views some feeds. What it has not been told yet is told whole, once it can be."""

    def __init__(self, feeds: list[Feed]) -> None:
        self._seen = dict.fromkeys(feeds, 0)
        self._woken = asyncio.Event()

    def wake(self) -> None:
        """There may be something new."""
        self._woken.set()

    async def wait(self, seconds_max: float) -> None:
        """Until there may be something new, or for so long."""
        try:
            async with asyncio.timeout(seconds_max):
                await self._woken.wait()
        except TimeoutError:
            return

    def frames(self) -> list[bytes]:
        """What it has not been told."""
        self._woken.clear()
        found = []
        for feed, seen in self._seen.items():
            if feed.version != seen:
                found.append(feed.frame(seen))
                self._seen[feed] = feed.version
        return found


class Watch:
    """The feeds of one namespace."""

    def __init__(self, name: str, namespaces: Namespaces, limits: LiveLimits) -> None:
        self._name = name
        self._namespaces = namespaces
        self._limits = limits
        self.feeds: dict[str, Feed] = {}
        self.viewers: dict[Viewer, list[Feed]] = {}
        self._wanted = asyncio.Event()
        self._task: asyncio.Task[None] | None = None

    def enter(self, feeds: list[Feed]) -> Viewer:
        """Somebody views these."""
        viewer = Viewer(feeds)
        for feed in feeds:
            self.feeds[feed.key] = feed
            feed.viewers += 1
        self.viewers[viewer] = feeds
        self._wanted.set()
        if self._task is None:
            self._task = asyncio.get_running_loop().create_task(self._keep_fresh())
        return viewer

    def leave(self, viewer: Viewer) -> None:
        """Nobody follows a feed that nobody views."""
        for feed in self.viewers.pop(viewer, []):
            feed.viewers -= 1
            if not feed.viewers:
                self.feeds.pop(feed.key, None)
        if not self.viewers:
            self.close()

    def close(self) -> None:
        """Ends the reading."""
        if self._task is not None:
            self._task.cancel()
            self._task = None

    async def _keep_fresh(self) -> None:
        while True:
            try:
                if not await self._namespaces.exists(self._name):
                    raise NotFound("namespace", self._name)
                await self._follow(await self._namespaces.own(self._name))
            except Rejection as refusal:
                for feed in self.feeds.values():
                    feed.fail(refusal.message)
                await self._wake_viewers()
            await asyncio.sleep(_FAILED_SECONDS)

    async def _follow(self, namespace: LocalNamespace) -> None:
        """Until the namespace is dropped: raises Rejection then."""
        loop = asyncio.get_running_loop()
        while True:
            self._wanted.clear()
            began = loop.time()
            position = namespace.last_sequence
            for feed in list(self.feeds.values()):
                await _refresh(feed, namespace)
            await self._wake_viewers()
            took = loop.time() - began + self._limits.viewer_seconds * len(self.viewers)
            pause = max(self._limits.interval_seconds, took / self._limits.share)
            await self._pause(namespace, min(pause, self._limits.interval_seconds_max))
            await self._moved(namespace, position)

    async def _wake_viewers(self) -> None:
        for number, viewer in enumerate(list(self.viewers)):
            viewer.wake()
            if number % _WOKEN_AT_ONCE == _WOKEN_AT_ONCE - 1:
                await asyncio.sleep(0)

    async def _pause(self, namespace: LocalNamespace, seconds: float) -> None:
        """Rests; but what somebody begins to view meanwhile is read at once, for the first time."""
        loop = asyncio.get_running_loop()
        until = loop.time() + seconds
        while (left := until - loop.time()) > 0:
            try:
                async with asyncio.timeout(left):
                    await self._wanted.wait()
            except TimeoutError:
                return
            self._wanted.clear()
            for feed in list(self.feeds.values()):
                if not feed.version:
                    await _refresh(feed, namespace)
            await self._wake_viewers()
            await asyncio.sleep(min(self._limits.interval_seconds / 5, max(0.0, until - loop.time())))

    async def _moved(self, namespace: LocalNamespace, position: int) -> None:
        """Until the log has moved, somebody views something new, or time alone may have changed something."""
        follower = await namespace.follow(min(position, namespace.last_sequence), namespace.log_id)
        moved = asyncio.ensure_future(follower.read(events_max=1))
        wanted = asyncio.ensure_future(self._wanted.wait())
        try:
            await asyncio.wait((moved, wanted), timeout=self._limits.rest_seconds, return_when=asyncio.FIRST_COMPLETED)
            if moved.done():
                moved.result()
        finally:
            for each in (moved, wanted):
                each.cancel()
            await asyncio.gather(moved, wanted, return_exceptions=True)


async def _refresh(feed: Feed, namespace: LocalNamespace) -> None:
    try:
        await feed.refresh(namespace)
    except Unavailable:
        if namespace.dropped:
            raise
        feed.fail("it cannot be read now")
    except Rejection as refusal:
        feed.fail(refusal.message)


class Watches:
    """All of them, and the bounds that they have together."""

    def __init__(self, namespaces: Namespaces, make_feed: MakeFeed, limits: LiveLimits) -> None:
        self.limits = limits
        self._namespaces = namespaces
        self._make_feed = make_feed
        self._watches: dict[str, Watch] = {}
        self._closed = False

    @property
    def viewers(self) -> int:
        """How many view something."""
        return sum(len(each.viewers) for each in self._watches.values())

    @property
    def feeds(self) -> int:
        """How many different things are viewed."""
        return sum(len(each.feeds) for each in self._watches.values())

    def enter(self, name: str, topics: list[Topic]) -> Viewer:
        """Somebody views these topics of a namespace. Raises LimitReached, Unavailable."""
        if self._closed:
            raise Unavailable("the coordinator is shutting down")
        if self.viewers >= self.limits.viewers_max:
            raise LimitReached("web_viewers_max", self.limits.viewers_max)
        watch = self._watches.get(name)
        known = {} if watch is None else watch.feeds
        feeds = [known.get(topic.key) or self._make_feed(topic) for topic in topics]
        if self.feeds + sum(feed.key not in known for feed in feeds) > self.limits.feeds_max:
            raise LimitReached("web_feeds_max", self.limits.feeds_max)
        if watch is None:
            watch = self._watches[name] = Watch(name, self._namespaces, self.limits)
        return watch.enter(feeds)

    def leave(self, name: str, viewer: Viewer) -> None:
        """The end of that."""
        watch = self._watches[name]
        watch.leave(viewer)
        if not watch.viewers:
            del self._watches[name]

    @property
    def closed(self) -> bool:
        """Whether viewers are to leave."""
        return self._closed

    def close(self) -> None:
        """Viewers are sent away."""
        self._closed = True
        for watch in self._watches.values():
            watch.close()
            for viewer in watch.viewers:
                viewer.wake()
