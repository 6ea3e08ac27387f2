"""Feeds of how things stand: the overview, lists, explanations."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Generator
from typing import Any, Final, TypeAlias

from coordinator_service.core import overview
from coordinator_service.core.metrics import Metrics
from coordinator_service.core.overview import Some
from coordinator_service.core.state import NamespaceState
from coordinator_service.explaining import explain
from coordinator_service.local_namespace import LocalNamespace
from coordinator_service.web.live.clipping import clipped
from coordinator_service.web.live.feed import ReadingFeed
from coordinator_service.web.live.topics import Topic

OVERVIEW_LINES_MAX: Final = 24
LIST_LINES_MAX: Final = 200

About: TypeAlias = Callable[[], Awaitable[dict[str, Any]]]
"""What is known of the coordinator itself."""


class OverviewFeed(ReadingFeed):
    """The namespace at a glance, and the coordinator."""

    def __init__(self, topic: Topic, about: About) -> None:
        super().__init__(topic.key)
        self._about = about

    async def read(self, namespace: LocalNamespace) -> tuple[int, int, Any]:
        """See ReadingFeed."""

        def steps(
            state: NamespaceState, metrics: Metrics, now_ns: int
        ) -> Generator[None, None, tuple[int, int, overview.Overview]]:
            found = yield from overview.overview(metrics, state, now_ns, OVERVIEW_LINES_MAX)
            return state.sequence, now_ns, found

        sequence, now_ns, found = await namespace.look(steps)
        about = await self._about()
        return sequence, now_ns, {"about": {**about, "log_id": namespace.log_id}, "overview": found}


class ListFeed(ReadingFeed):
    """Runs, agents, locks or keys."""

    def __init__(self, topic: Topic) -> None:
        super().__init__(topic.key)
        self._topic = topic

    async def read(self, namespace: LocalNamespace) -> tuple[int, int, Any]:
        """See ReadingFeed."""
        view, match = self._topic.view, self._topic.match

        def steps(state: NamespaceState, metrics: Metrics, now_ns: int) -> Generator[None, None, tuple[int, int, Some]]:
            if view == "runs":
                found = yield from overview.run_lines(metrics, state, match, LIST_LINES_MAX)
            elif view == "agents":
                found = yield from overview.agent_lines(state, match, LIST_LINES_MAX)
            elif view == "locks":
                found = yield from overview.lock_lines(state, match, LIST_LINES_MAX)
            else:
                found = yield from overview.key_lines(state, match, LIST_LINES_MAX)
            return state.sequence, now_ns, found

        sequence, now_ns, found = await namespace.look(steps)
        if view != "keys":
            return sequence, now_ns, found
        lines = [
            {
                "key": each.key,
                "value": clipped(each.value),
                "revision": each.revision,
                "writer": each.writer,
                "updated_at_ns": each.updated_at_ns,
            }
            for each in found.shown
        ]
        return sequence, now_ns, {"shown": lines, "total": found.total}


class ExplainFeed(ReadingFeed):
    """Why something is as it is (X1)."""

    def __init__(self, topic: Topic) -> None:
        super().__init__(topic.key)
        self._asked = topic.explain

    async def read(self, namespace: LocalNamespace) -> tuple[int, int, Any]:
        """See ReadingFeed."""
        found = await explain(namespace, self._asked)
        return found.sequence, namespace.now_ns(), {"explanation": found}
