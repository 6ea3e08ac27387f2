"""Lock queues: who waits for which lock, in the order of their turn, and who stands in whose way (L2, L6).

Each resource has its waiters in heaps by the key that was fixed when they were queued, so that whether somebody stands
in the way is one look at the first of them. Entries of those who are gone stay until they come up.
"""

from __future__ import annotations

import heapq

from coordinator_service.core import claims
from coordinator_service.core.state import LockQueue, NamespaceState, QueueKey, WaiterRow
from coordinator_service.core.values import NS_PER_MS, LockMode

# Looking.


def is_obstructed(
    state: NamespaceState, resource: str, mode: LockMode, holder: str, key: QueueKey, now_ns: int
) -> bool:
    """Whether a conflicting holder, or a conflicting waiter or claim of an earlier turn, stands in the way (L2, R7).

    A holder's own requests never conflict with each other (L5).
    """
    row = state.locks.get(resource)
    if row is not None:
        if holder in row.holders:
            return mode is LockMode.EXCLUSIVE and row.mode is LockMode.SHARED
        if mode is LockMode.EXCLUSIVE or row.mode is LockMode.EXCLUSIVE:
            return True
    return _is_behind(state, resource, mode, holder, key, now_ns) or claims.is_held_up(
        state, resource, mode, holder, key, now_ns
    )


def _is_behind(state: NamespaceState, resource: str, mode: LockMode, holder: str, key: QueueKey, now_ns: int) -> bool:
    """Whether a conflicting waiter of an earlier turn stands in the way."""
    queue = state.index.lock_queues.get(resource)
    if queue is None:
        return False
    heap = queue.every if mode is LockMode.EXCLUSIVE else queue.exclusive
    first = head(state, queue, heap, now_ns)
    if first is None or first.queue_key >= key:
        return False
    return first.holder != holder or _is_behind_others(state, heap, holder, key, now_ns)


def _is_behind_others(
    state: NamespaceState, heap: list[tuple[QueueKey, int]], holder: str, key: QueueKey, now_ns: int
) -> bool:
    """Whether somebody besides the holder waits before a key."""
    for entry_key, sequence in heap:
        waiter = state.waiters.get(sequence)
        if waiter is not None and entry_key < key and waiter.holder != holder and blocks(state, waiter, now_ns):
            return True
    return False


def head(state: NamespaceState, queue: LockQueue, heap: list[tuple[QueueKey, int]], now_ns: int) -> WaiterRow | None:
    """The first waiter that still stands and blocks. Detached ones are set aside, those that are gone dropped."""
    while heap:
        sequence = heap[0][1]
        waiter = state.waiters.get(sequence)
        if waiter is not None:
            if blocks(state, waiter, now_ns):
                return waiter
            queue.aside[sequence] = None
        heapq.heappop(heap)
    return None


def blocks(state: NamespaceState, waiter: WaiterRow, now_ns: int) -> bool:
    """A detached waiter blocks nobody, except for reattach_hold after an owner change (L6)."""
    return waiter.attached or now_ns < hold_until_ns(state)


def hold_until_ns(state: NamespaceState) -> int:
    """Until when detached waiters block others (L6)."""
    return state.owner_since_ns + state.limits.reattach_hold_ms * NS_PER_MS


def mode_of(waiter: WaiterRow, resource: str) -> LockMode | None:
    """How a waiter wants a resource; None when it does not."""
    for request in waiter.requests:
        if request.resource == resource:
            return request.mode
    return None


def waiting_for(state: NamespaceState, resource: str) -> list[WaiterRow]:
    """Those who wait for a resource, in the order of their turn, detached ones among them."""
    queue = state.index.lock_queues.get(resource)
    if queue is None:
        return []
    sequences = dict.fromkeys([*(sequence for _, sequence in queue.every), *queue.aside])
    rows = (state.waiters.get(sequence) for sequence in sequences)
    return sorted((row for row in rows if row is not None), key=lambda row: row.queue_key)


def position(state: NamespaceState, waiter: WaiterRow, now_ns: int) -> int:
    """The waiter's place in the longest of its queues, from 1; detached ones that block nobody do not count."""
    places = [1]
    for request in waiter.requests:
        queue = waiting_for(state, request.resource)
        earlier = [each for each in queue if each.queue_key < waiter.queue_key and blocks(state, each, now_ns)]
        places.append(1 + len(earlier))
    return max(places)


def gate(resource: str, mode: LockMode) -> str:
    """Where tasks are parked that want a lock which somebody stands in the way of.

    One for each mode, so that whoever may pass first is the first of those parked: whatever stands in its way stands in
    the way of all behind it.
    """
    return f"exclusive:{resource}" if mode is LockMode.EXCLUSIVE else f"shared:{resource}"


# What apply calls to keep queues in step.


def requeue_all(state: NamespaceState) -> None:
    """Puts every waiter back into its queues: those set aside as detached block others again for a while (L6)."""
    state.index.lock_queues.clear()
    state.index.waiting.clear()
    for waiter in state.waiters.values():
        enqueue(state, waiter)


def enqueue(state: NamespaceState, waiter: WaiterRow) -> None:
    """Puts a waiter into the queues of its resources."""
    for request in waiter.requests:
        state.index.waiting.setdefault((request.resource, waiter.holder), {})[waiter.request_sequence] = None
        queue = state.index.lock_queues.get(request.resource)
        if queue is None:
            queue = state.index.lock_queues[request.resource] = LockQueue()
        queue.aside.pop(waiter.request_sequence, None)
        entry = (waiter.queue_key, waiter.request_sequence)
        heapq.heappush(queue.every, entry)
        if request.mode is LockMode.EXCLUSIVE:
            heapq.heappush(queue.exclusive, entry)


def attach(state: NamespaceState, waiter: WaiterRow) -> None:
    """The waiter may be granted again, in its old place."""
    waiter.attached = True
    waiter.grace_until_ns = 0
    enqueue(state, waiter)


def dequeue(state: NamespaceState, waiter: WaiterRow) -> None:
    """The waiter, which is in the tables no more, leaves its queues; entries of it are dropped when they come up."""
    sequence = waiter.request_sequence
    for request in waiter.requests:
        of_holder = state.index.waiting[request.resource, waiter.holder]
        del of_holder[sequence]
        if not of_holder:
            del state.index.waiting[request.resource, waiter.holder]
        queue = state.index.lock_queues[request.resource]
        queue.aside.pop(sequence, None)
        for heap in (queue.every, queue.exclusive):
            while heap and heap[0][1] not in state.waiters:
                heapq.heappop(heap)
        if not queue.every and not queue.aside:
            del state.index.lock_queues[request.resource]
