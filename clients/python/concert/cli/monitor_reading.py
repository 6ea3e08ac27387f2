"""What the monitor shows: the coordinator's own figures, read again and again, and the events between."""

from __future__ import annotations

import asyncio
import time
from collections import deque
from collections.abc import Iterable
from typing import Any

import concert
from concert.v1 import event_pb2, explanation_pb2, run_pb2

EVENTS_REMEMBERED_MAX = 300
TROUBLES_REMEMBERED_MAX = 20
RUNS_EXPLAINED_MAX = 5
LIST_MAX = 200
RATE_SECONDS = 5.0
_TROUBLE = frozenset(
    {
        event_pb2.EVENT_TYPE_AGENT_FAILED,
        event_pb2.EVENT_TYPE_CONFLICT_DETECTED,
        event_pb2.EVENT_TYPE_RESOURCE_REQUEST_TIMED_OUT,
        event_pb2.EVENT_TYPE_CIRCUIT_OPENED,
        event_pb2.EVENT_TYPE_AGENT_DETACHED,
        event_pb2.EVENT_TYPE_RUN_CANCELLED,
    }
)
_OF_NO_INTEREST = frozenset(
    {explanation_pb2.WAIT_KIND_EXECUTION, explanation_pb2.WAIT_KIND_DEPENDENCY, explanation_pb2.WAIT_KIND_TASKS}
)


class Reading:
    """The newest of everything. `fault` says why there is nothing newer."""

    def __init__(self, address: str, namespace: str) -> None:
        self.address = address
        self.namespace = namespace
        self.fault = ""
        self.sequence: int | None = 0
        self.health: Any = None
        self.metrics: Any = None
        self.agents: list[Any] = []
        self.locks: list[Any] = []
        self.waiting: list[Any] = []
        self.events: deque[Any] = deque(maxlen=EVENTS_REMEMBERED_MAX)
        self.troubles: deque[Any] = deque(maxlen=TROUBLES_REMEMBERED_MAX)
        self._counted: deque[tuple[float, int]] = deque()
        self._counting_since = time.monotonic()

    async def read(self, client: concert.Client) -> None:
        """Reads everything but events. Raises ConcertError."""
        self.health, self.metrics, self.agents, self.locks = await asyncio.gather(
            client.monitor.health(),
            client.monitor.metrics(),
            client.agents.list(connected=True, limit=LIST_MAX),
            client.locks.list(limit=LIST_MAX),
        )
        active = [run for run in self.metrics.runs if not is_over(run)][:RUNS_EXPLAINED_MAX]
        told = await asyncio.gather(*(_waiting(client, run.run_id) for run in active))
        self.waiting = [each for waiting in told for each in waiting]

    def remember(self, events: Iterable[Any]) -> None:
        """Takes events in that follow those before."""
        count = 0
        for event in events:
            self.events.append(event)
            count += 1
            if event.type in _TROUBLE:
                self.troubles.append(event)
        if self.events:
            self.sequence = self.events[-1].sequence
        self._counted.append((time.monotonic(), count))

    def events_per_second(self) -> float:
        """Over the last few seconds."""
        now = time.monotonic()
        while self._counted and self._counted[0][0] < now - RATE_SECONDS:
            self._counted.popleft()
        looked_back = min(RATE_SECONDS, max(1.0, now - self._counting_since))
        return sum(count for at, count in self._counted if at > self._counting_since + 0.5) / looked_back

    def messages(self) -> dict[str, Any]:
        """All of it, as the contract's messages."""
        return {
            "health": self.health,
            "metrics": self.metrics,
            "agents": self.agents,
            "locks": self.locks,
            "waiting": self.waiting,
        }


def is_over(run: Any) -> bool:
    """Whether a run, as metrics tell of it, is."""
    return run.status not in (run_pb2.RUN_STATUS_PENDING, run_pb2.RUN_STATUS_RUNNING)


async def _waiting(client: concert.Client, run_id: str) -> list[Any]:
    """Tasks of a run that wait for something else than for each other."""
    try:
        explanation = await client.explain(run=run_id)
    except concert.NotFound:  # it was over and evicted meanwhile
        return []
    return [
        each
        for each in explanation.waiting
        if each.task_id and any(blocker.kind not in _OF_NO_INTEREST for blocker in each.blockers)
    ]
