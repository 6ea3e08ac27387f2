"""The feed of a run: the whole once, then the tasks that changed."""

from __future__ import annotations

from collections.abc import Generator
from typing import Any

from coordinator_service.core.answers import RunRead
from coordinator_service.core.commands import Caller, GetRun
from coordinator_service.core.metrics import Metrics
from coordinator_service.core.rejections import NotFound
from coordinator_service.core.run_chart import Fixed, Moving, RunChart, chart_of, run_chart
from coordinator_service.core.state import NamespaceState
from coordinator_service.local_namespace import LocalNamespace
from coordinator_service.web.live.feed import Feed
from coordinator_service.web.live.topics import Topic

_READER = Caller(method="Page")


class RunFeed(Feed):
    """One run."""

    def __init__(self, topic: Topic) -> None:
        super().__init__(topic.key)
        self._run_id = topic.run_id
        self._head: dict[str, Any] = {}
        self._fixed: tuple[Fixed, ...] = ()
        self._moving: tuple[Moving, ...] = ()
        self._from_log = False

    async def refresh(self, namespace: LocalNamespace) -> None:
        """See Feed. A run that is no longer in memory is read from the log, once."""
        try:
            sequence, now_ns, chart = await namespace.look(self._steps)
        except NotFound:
            if self._from_log:
                return
            read = await namespace.call(GetRun(run_id=self._run_id), _READER)
            assert isinstance(read, RunRead)
            self._from_log = True
            sequence, now_ns, chart = read.sequence, namespace.now_ns(), chart_of(read.run)
        else:
            self._from_log = False
        self._take(sequence, now_ns, chart)

    def _steps(
        self, state: NamespaceState, _: Metrics, now_ns: int
    ) -> Generator[None, None, tuple[int, int, RunChart]]:
        run = state.runs.get(self._run_id)
        known = run is not None and len(run.tasks) == self._head.get("tasks_total") and bool(self._fixed)
        chart = yield from run_chart(state, self._run_id, now_ns, with_fixed=not known)
        return state.sequence, now_ns, chart

    def _take(self, sequence: int, now_ns: int, chart: RunChart) -> None:
        head = {
            "run": chart.run,
            "deadline_ns": chart.deadline_ns,
            "traceparent": chart.traceparent,
            "tasks_total": chart.tasks_total,
            "critical": chart.critical,
            "critical_ns": chart.critical_ns if chart.run.status.over else 0,
            "waits": chart.waits,
            "cancel_reason": chart.cancel_reason,
            "metadata": chart.metadata,
        }
        change: dict[str, Any] | None = None
        if chart.fixed and chart.fixed != self._fixed:
            self._fixed = chart.fixed
        elif self.version and not self._fault:
            pairs = enumerate(zip(chart.moving, self._moving, strict=True))
            moved = [(place, new) for place, (new, old) in pairs if new != old]
            if not moved and head == self._head:
                return
            change = {**head, "moved": moved}
        self._head, self._moving, self._fault = head, chart.moving, ""
        self._tell(sequence, now_ns, change)

    def _body(self) -> Any:
        return {**self._head, "fixed": self._fixed, "moving": self._moving}
