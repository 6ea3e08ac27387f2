"""Why a lock is not granted: who holds it, and who comes first (X1)."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Final, TypeVar

from coordinator_service.core import claims, lock_queues, locks
from coordinator_service.core.explanations import BlockerView, TaskRefView, WaitingView, WaitKind
from coordinator_service.core.specs import LockGrant
from coordinator_service.core.state import NamespaceState, Place, QueueKey, WaiterRow
from coordinator_service.core.values import NS_PER_SECOND, LockMode

T = TypeVar("T")

NAMED_MAX: Final = 20
"""Holders, requests, tasks and agents that one blocker names."""
_IN_TEXT_MAX: Final = 3


@dataclass(slots=True)
class LockWaits:
    """Looks at the locks of a state at a time, at each queue once."""

    state: NamespaceState
    now_ns: int
    _lines: dict[str, list[WaiterRow]] = field(default_factory=dict)

    def of_request(self, waiter: WaiterRow) -> WaitingView:
        """A lock request that waits."""
        blockers = [] if waiter.attached else [_detached(waiter)]
        for request in waiter.requests:
            blockers += self.blockers(request.resource, request.mode, waiter.holder, waiter.queue_key)
        resources = listed(waiter.requests, lambda request: request.resource)
        return WaitingView(
            text=f"{waiter.holder} waits for {resources}: {in_words(blockers)}",
            blockers=tuple(blockers),
            request_sequence=waiter.request_sequence,
            holder=waiter.holder,
            since_ns=waiter.since_ns,
        )

    def blockers(self, resource: str, mode: LockMode, holder: str, key: QueueKey) -> list[BlockerView]:
        """What stands in the way of somebody who wants a lock: an empty holder is a task that has no attempt yet."""
        found = []
        held = self._held(resource, mode, holder)
        if held:
            names = listed(held, self.holder_of)
            own = " itself, which it has to give back first" if held[0].holder == holder else ""
            found.append(
                BlockerView(
                    kind=WaitKind.LOCK,
                    text=f"{resource} is held {held[0].mode.name.lower()} by {names}{own}",
                    resource=resource,
                    holders=tuple(held[:NAMED_MAX]),
                    sequence=held[0].fencing_token,
                )
            )
        row = self.state.locks.get(resource)
        if row is None or holder not in row.holders:
            found += self._queue(resource, mode, holder, key)
        return found

    def holder_of(self, grant: LockGrant) -> str:
        """Who holds a lock, in words: with the task or the agent, where the holder is an attempt or a session."""
        holder = grant.holder
        kind, _, number = holder.partition("/")
        if kind == "attempt" and number.isdigit() and (attempt := self.state.attempts.get(int(number))) is not None:
            return f"{holder} (task {attempt.run_id}/{attempt.task_id} by {attempt.agent_id})"
        if kind == "session" and number.isdigit() and (agent := self.state.agent_of_session(int(number))) is not None:
            return f"{holder} (agent {agent.spec.agent_id})"
        return holder

    def line(self, resource: str) -> list[WaiterRow]:
        """Those who wait for a lock, in the order of their turn."""
        line = self._lines.get(resource)
        if line is None:
            places = lock_queues.waiting_for(self.state, resource)
            line = self._lines[resource] = [self.state.waiters[place.sequence] for place in places]
        return line

    def claimed_by(self, resource: str) -> list[TaskRefView]:
        """Ready tasks that declare a lock and wait for it (R7), in the order of their turn."""
        kinds = self.state.index.claims.get(resource, {})
        waiting = sorted(claim for queue in kinds.values() for claim in queue.every)
        return [TaskRefView(run_id=run_id, task_id=task_id) for _, run_id, task_id in waiting]

    def _held(self, resource: str, mode: LockMode, holder: str) -> list[LockGrant]:
        row = self.state.locks.get(resource)
        if row is None:
            return []
        if holder in row.holders:
            own = mode is LockMode.EXCLUSIVE and row.mode is LockMode.SHARED
            tokens = [row.holders[holder]] if own else []
        else:
            tokens = list(row.holders.values()) if LockMode.EXCLUSIVE in (mode, row.mode) else []
        return [locks.as_grant(self.state.grants[token]) for token in tokens]

    def _queue(self, resource: str, mode: LockMode, holder: str, key: QueueKey) -> list[BlockerView]:
        requests = [each.request_sequence for each in self._ahead(resource, mode, holder, key)]
        tasks = self._holding_up(resource, mode, holder, key)
        if not requests and not tasks:
            return []
        first: list[int | TaskRefView] = [*requests, *tasks]
        return [
            BlockerView(
                kind=WaitKind.QUEUE,
                text=f"{listed(first, self._named)} come{'s' if len(first) == 1 else ''} first for {resource}",
                resource=resource,
                requests=tuple(requests[:NAMED_MAX]),
                tasks=tuple(tasks[:NAMED_MAX]),
                position=len(first) + 1,
                sequence=requests[0] if requests else 0,
            )
        ]

    def _named(self, one: int | TaskRefView) -> str:
        if isinstance(one, int):
            return f"request {one} of {self.state.waiters[one].holder}"
        return f"task {one.run_id}/{one.task_id}"

    def _ahead(self, resource: str, mode: LockMode, holder: str, key: QueueKey) -> list[WaiterRow]:
        """Requests of others that conflict and go first (L2)."""
        state = self.state
        if state.index.holding_back:
            lock_queues.end_holding_back(state, self.now_ns)
        place = state.index.places.get(key[2]) or Place(sequence=0, key=key, holder=holder, wants={resource: mode})
        waiting = (state.index.places[waiter.request_sequence] for waiter in self.line(resource))
        return [state.waiters[each.sequence] for each in waiting if lock_queues.waits_for(place, each, resource)]

    def _holding_up(self, resource: str, mode: LockMode, holder: str, key: QueueKey) -> list[TaskRefView]:
        """Ready tasks of an earlier turn that keep the lock for themselves (R7)."""
        found = []
        for kind, queue in self.state.index.claims.get(resource, {}).items():
            if LockMode.EXCLUSIVE not in (mode, kind[0]):
                continue
            for claim in claims.holding_up(self.state, kind, queue, self.now_ns):
                if claim[0] >= key:
                    break
                if not holder or not claims.waits_for(self.state, claim, holder):
                    found.append(claim)
        return [TaskRefView(run_id=run_id, task_id=task_id) for _, run_id, task_id in sorted(found)]


def _detached(waiter: WaiterRow) -> BlockerView:
    who = "the stream of its session" if waiter.session_id else "its caller"
    return BlockerView(
        kind=WaitKind.DETACHED,
        text=f"{who} is gone for now: it keeps its place and is granted nothing until that comes back",
        requests=(waiter.request_sequence,),
        until_ns=waiter.grace_until_ns,
        sequence=waiter.session_id,
    )


# Words.


def listed(things: Sequence[T], name: Callable[[T], str] = str) -> str:
    """A few of them by name, and how many more there are."""
    shown, more = things[:_IN_TEXT_MAX], len(things) - _IN_TEXT_MAX
    return ", ".join(map(name, shown)) + (f" and {more} more" if more > 0 else "")


def in_words(blockers: list[BlockerView]) -> str:
    """What stands in the way, in one line."""
    return "; ".join(blocker.text for blocker in blockers)


def in_seconds(time_ns: int) -> str:
    """A time for people."""
    return f"{max(0, time_ns) / NS_PER_SECOND:.3g} s"
