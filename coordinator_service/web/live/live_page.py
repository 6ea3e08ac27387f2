"""The live page over HTTP: its files, the stream that each viewer follows, and what is asked for once."""

from __future__ import annotations

import asyncio
from enum import IntEnum
from typing import Any, Final

import msgspec
from aiohttp import ClientConnectionResetError, web

from coordinator_service.core.events import EventType
from coordinator_service.core.explanations import CandidateVerdict, WaitKind
from coordinator_service.core.figures import HealthStatus
from coordinator_service.core.rejections import NotFound, Rejection
from coordinator_service.core.values import (
    AgentStatus,
    CircuitStatus,
    ConflictStrategy,
    LockMode,
    MergeStrategy,
    RunStatus,
    TaskStatus,
)
from coordinator_service.history import Query, read_one, read_page
from coordinator_service.local_namespace import LocalNamespace
from coordinator_service.web.live.assets import HEADERS, Assets, with_headers
from coordinator_service.web.live.event_lines import event_line, full_event
from coordinator_service.web.live.events_feed import LINES_MAX, SCAN_EVENTS_MAX, EventsFeed
from coordinator_service.web.live.feed import Feed
from coordinator_service.web.live.readings import ExplainFeed, ListFeed, OverviewFeed
from coordinator_service.web.live.run_feed import RunFeed
from coordinator_service.web.live.topics import NAME_BYTES_MAX, NoTopic, Topic, read_sequence, read_topic
from coordinator_service.web.live.watch import LiveLimits, Viewer, Watches
from coordinator_service.web.readings import Sources, read_health

_WORDS: Final[tuple[type[IntEnum], ...]] = (
    AgentStatus,
    CandidateVerdict,
    CircuitStatus,
    ConflictStrategy,
    EventType,
    HealthStatus,
    LockMode,
    MergeStrategy,
    RunStatus,
    TaskStatus,
    WaitKind,
)
_PING: Final = b": still here\n\n"
_PING_SECONDS: Final = 15.0
_NAMES_SHOWN_MAX: Final = 200
_ABOUT_SECONDS: Final = 2.0
_FULL_AT_ONCE: Final = 2


class LivePage:
    """Serves it. trace_url is where a trace can be seen, {trace_id} in place of its id; empty where nowhere. What is
    told of the coordinator is the same for all viewers: lists_namespaces says whether they may all know of all of them.
    """

    def __init__(
        self, sources: Sources, limits: LiveLimits, trace_url: str = "", *, lists_namespaces: bool = True
    ) -> None:
        self._sources = sources
        self._lists_namespaces = lists_namespaces
        self._trace_url = trace_url
        self._assets = Assets()
        self._watches = Watches(sources.namespaces, self._make_feed, limits)
        self._words = msgspec.json.encode({each.__name__: {int(one): one.name for one in each} for each in _WORDS})
        self._about: dict[str, Any] = {}
        self._about_until = 0.0
        self._full_turn = asyncio.Semaphore(_FULL_AT_ONCE)

    def add_to(self, application: web.Application) -> None:
        """Adds the page to what is served."""
        application.middlewares.append(with_headers)
        self._assets.add_to(application)
        application.router.add_get("/words", self._serve_words)
        application.router.add_get("/live", self._serve_live)
        application.router.add_get("/event", self._serve_event)
        application.router.add_get("/events", self._serve_events)
        application.on_shutdown.append(self._end)

    @property
    def viewers(self) -> int:
        """How many view something now."""
        return self._watches.viewers

    @property
    def feeds(self) -> int:
        """How many different things they view."""
        return self._watches.feeds

    async def _end(self, _application: web.Application) -> None:
        self._watches.close()

    # The stream.

    async def _serve_live(self, request: web.Request) -> web.StreamResponse:
        try:
            name = _namespace(request)
            texts = list(dict.fromkeys(request.query.getall("topic", [])))
            if not 0 < len(texts) <= self._watches.limits.topics_per_viewer_max:
                raise NoTopic(f"one to {self._watches.limits.topics_per_viewer_max} topics are viewed at once")
            viewer = self._watches.enter(name, [read_topic(text) for text in texts])
        except NoTopic as fault:
            return _refused(400, str(fault))
        except Rejection as refusal:  # too many, or about to stop
            return _refused(503, refusal.message)
        try:
            return await self._stream(request, viewer)
        finally:
            self._watches.leave(name, viewer)

    async def _stream(self, request: web.Request, viewer: Viewer) -> web.StreamResponse:
        response = web.StreamResponse(
            headers={
                **HEADERS,
                "Content-Type": "text/event-stream",
                "Cache-Control": "no-store",
                "X-Accel-Buffering": "no",
            }
        )
        await response.prepare(request)
        try:
            while not self._watches.closed:
                frames = viewer.frames()
                for frame in frames:
                    await self._write(response, frame)
                if not frames:
                    await viewer.wait(_PING_SECONDS)
                    if not (frames := viewer.frames()):
                        await self._write(response, _PING)
                    for frame in frames:
                        await self._write(response, frame)
        except (ClientConnectionResetError, TimeoutError):
            if request.transport is not None:
                request.transport.abort()
        return response

    async def _write(self, response: web.StreamResponse, frame: bytes) -> None:
        """In chunks, each once the viewer has taken the one before. Raises TimeoutError when it takes none."""
        size = self._watches.limits.chunk_bytes
        for start in range(0, len(frame), size):
            async with asyncio.timeout(self._watches.limits.write_seconds_max):
                await response.write(frame if len(frame) <= size else frame[start : start + size])

    def _make_feed(self, topic: Topic) -> Feed:
        if topic.view == "overview":
            return OverviewFeed(topic, self._read_about)
        if topic.view == "run":
            return RunFeed(topic)
        if topic.view == "events":
            return EventsFeed(topic)
        if topic.view == "explain":
            return ExplainFeed(topic)
        return ListFeed(topic)

    async def _read_about(self) -> dict[str, Any]:
        """What is known of the coordinator; read anew now and then."""
        now = asyncio.get_running_loop().time()
        if now >= self._about_until:
            self._about_until = now + _ABOUT_SECONDS
            health = await read_health(self._sources)
            names = await self._sources.namespaces.names() if self._lists_namespaces else []
            self._about = {
                "version": health.version,
                "replica_id": health.replica_id,
                "status": int(health.status),
                "ready": health.ready,
                "faults": health.faults,
                "namespaces": names[:_NAMES_SHOWN_MAX],
                "namespaces_total": len(names),
                "build": self._assets.build,
                "trace_url": self._trace_url,
            }
        return self._about

    # What is asked for once.

    async def _serve_words(self, _request: web.Request) -> web.Response:
        return web.Response(body=self._words, content_type="application/json", headers={"Cache-Control": "no-cache"})

    async def _serve_event(self, request: web.Request) -> web.Response:
        """One event in full."""
        try:
            sequence = read_sequence(request.query.get("sequence", ""))
            async with self._full_turn:
                found = await read_one(await self._port(request), sequence)
                # An event may have a megabyte: others have their turn meanwhile.
                body = await asyncio.to_thread(lambda: msgspec.json.encode(full_event(found)))
        except NoTopic as fault:
            return _refused(400, str(fault))
        except Rejection as refusal:
            return _refused(404, refusal.message)
        return web.Response(body=body, content_type="application/json", headers={"Cache-Control": "no-store"})

    async def _serve_events(self, request: web.Request) -> web.Response:
        """Earlier events: those of a topic that come before a sequence, newest first."""
        try:
            topic = read_topic(request.query.get("topic", ""))
            before = read_sequence(request.query.get("before", ""))
            query = Query(
                selector=topic.selector,
                after=0,
                until=max(0, before - 1),
                since_ns=0,
                before_ns=0,
                events_max=LINES_MAX,
                descending=True,
                token=None,
            )
            page = await read_page(await self._port(request), query, scan_events_max=SCAN_EVENTS_MAX)
        except NoTopic as fault:
            return _refused(400, str(fault))
        except Rejection as refusal:
            return _refused(404, refusal.message)
        lines = [event_line(each.event) for each in page.events]
        body = msgspec.json.encode({"lines": lines, "before": 0 if page.left.over else page.left.until + 1})
        return web.Response(body=body, content_type="application/json", headers={"Cache-Control": "no-store"})

    async def _port(self, request: web.Request) -> LocalNamespace:
        name = _namespace(request)
        if not await self._sources.namespaces.exists(name):
            raise NotFound("namespace", name)
        return await self._sources.namespaces.own(name)


def _namespace(request: web.Request) -> str:
    name = request.query.get("namespace", "") or "default"
    if len(name.encode(errors="replace")) > NAME_BYTES_MAX:
        raise NoTopic(f"namespace has at most {NAME_BYTES_MAX} bytes")
    return name


def _refused(status: int, why: str) -> web.Response:
    body = msgspec.json.encode({"fault": why})
    headers = {"Retry-After": "5"} if status == 503 else {}
    return web.Response(status=status, body=body, content_type="application/json", headers=headers)
