"""Lock queues: who waits for which lock, in the order of their turn, and who stands in whose way (L2, L6).

Everybody who waits has a place, in the queues of all the resources that it wants, by the key that was fixed when it was
queued. Of two places of different holders that conflict, exactly one waits for the other: the later for the earlier,
unless it passes it, because the earlier one waits for its holder already (wait_for.py). Then the earlier waits for the
later, so that no grant ever closes a cycle. Whether somebody stands in the way is one look at the first in the queue.
"""

from __future__ import annotations

import heapq
from collections.abc import Iterator

from coordinator_service.core import claims
from coordinator_service.core.sorted_keys import SortedKeys
from coordinator_service.core.state import GrantRow, LockQueue, NamespaceState, Place, QueueKey, WaiterRow
from coordinator_service.core.values import NS_PER_MS, LockMode

NOBODY: frozenset[int] = frozenset()

# Looking.


def place_of(waiter: WaiterRow) -> Place:
    """The place that a waiting request takes."""
    return Place(
        sequence=waiter.request_sequence,
        key=waiter.queue_key,
        holder=waiter.holder,
        wants={request.resource: request.mode for request in waiter.requests},
        passes=frozenset(waiter.passes) if waiter.passes else NOBODY,
    )


def is_obstructed(
    state: NamespaceState, resource: str, mode: LockMode, holder: str, key: QueueKey, now_ns: int
) -> bool:
    """Whether a conflicting holder, or a conflicting waiter or claim of an earlier turn, stands in the way (L2, R7)."""
    wants = {resource: mode}
    return is_blocked(state, Place(sequence=0, key=key, holder=holder, wants=wants), now_ns)


def is_blocked(state: NamespaceState, place: Place, now_ns: int) -> bool:
    """Whether anybody stands in the way of a place, in the queues already or about to enter them."""
    if state.index.holding_back:
        end_holding_back(state, now_ns)
    return any(_is_blocked_on(state, place, resource, mode, now_ns) for resource, mode in place.wants.items())


def _is_blocked_on(state: NamespaceState, place: Place, resource: str, mode: LockMode, now_ns: int) -> bool:
    row = state.locks.get(resource)
    if row is not None:
        if place.holder in row.holders:
            return mode is LockMode.EXCLUSIVE and row.mode is LockMode.SHARED
        if mode is LockMode.EXCLUSIVE or row.mode is LockMode.EXCLUSIVE:
            return True
    queue = state.index.lock_queues.get(resource)
    if queue is not None and _is_blocked_in(state, queue, place, resource, mode):
        return True
    return claims.is_held_up(state, resource, mode, place.holder, place.key, now_ns)


def _is_blocked_in(state: NamespaceState, queue: LockQueue, place: Place, resource: str, mode: LockMode) -> bool:
    if _is_behind(state, queue.exclusive, place):
        return True
    if mode is LockMode.EXCLUSIVE and queue.shared and _is_behind(state, queue.shared, place):
        return True
    return any(conflicts(state.index.places[each], place, resource) for each in _passed_by(state, place))


def _is_behind(state: NamespaceState, line: SortedKeys[tuple[QueueKey, int]], place: Place) -> bool:
    """Whether anybody of another holder stands before a place whom it does not pass."""
    key = place.key
    for entry_key, sequence in line:
        if entry_key >= key:
            return False
        if sequence not in place.passes and state.index.places[sequence].holder != place.holder:
            return True
    return False


def _passed_by(state: NamespaceState, place: Place) -> Iterator[int]:
    """Those who pass a place and still stand in its way."""
    for sequence in place.passed_by:
        other = state.index.places.get(sequence)
        if other is not None and other.blocks:
            yield sequence


def conflicts(one: Place, other: Place, resource: str) -> bool:
    """Whether two places of different holders cannot both have a resource."""
    mine, theirs = one.wants.get(resource), other.wants.get(resource)
    if mine is None or theirs is None or one.holder == other.holder:
        return False
    return mine is LockMode.EXCLUSIVE or theirs is LockMode.EXCLUSIVE


def waits_for(one: Place, other: Place, resource: str) -> bool:
    """Whether a place waits for another one, of the two places that conflict."""
    if not other.blocks or not conflicts(one, other, resource):
        return False
    return one.sequence in other.passes or (other.key < one.key and other.sequence not in one.passes)


def in_order(queue: LockQueue) -> Iterator[tuple[QueueKey, int]]:
    """Everybody who stands in others' way, in the order of their turn. They must not change meanwhile."""
    return heapq.merge(queue.exclusive, queue.shared) if queue.shared else iter(queue.exclusive)


def first(state: NamespaceState, resource: str, now_ns: int) -> Place | None:
    """Whose turn it is."""
    if state.index.holding_back:
        end_holding_back(state, now_ns)
    queue = state.index.lock_queues.get(resource)
    if queue is None:
        return None
    head, shared = queue.exclusive.first(), queue.shared.first()
    if head is None or (shared is not None and shared < head):
        head = shared
    return None if head is None else state.index.places[head[1]]


def hold_until_ns(state: NamespaceState) -> int:
    """Until when detached waiters block others (L6)."""
    return state.owner_since_ns + state.limits.reattach_hold_ms * NS_PER_MS


def waiting_for(state: NamespaceState, resource: str) -> list[Place]:
    """Those who wait for a resource, in the order of their turn, those set aside among them."""
    queue = state.index.lock_queues.get(resource)
    if queue is None:
        return []
    places = state.index.places
    aside = [(places[sequence].key, sequence) for sequence in queue.aside]
    return [places[sequence] for _, sequence in (sorted([*in_order(queue), *aside]) if aside else in_order(queue))]


def position(state: NamespaceState, place: Place) -> int:
    """A place in the longest of its queues, from 1; those who block nobody do not count."""
    most = 0
    for resource in place.wants:
        queue = state.index.lock_queues.get(resource)
        if queue is not None:
            entry = (place.key, place.sequence)
            most = max(most, queue.exclusive.count_before(entry) + queue.shared.count_before(entry))
    return 1 + most


def gate(resource: str, mode: LockMode) -> str:
    """Where tasks are parked that want a lock which somebody stands in the way of.

    One for each mode, so that whoever may pass first is the first of those parked: whatever stands in its way stands in
    the way of all behind it.
    """
    return f"exclusive:{resource}" if mode is LockMode.EXCLUSIVE else f"shared:{resource}"


# What apply calls to keep queues in step.


def enter(state: NamespaceState, place: Place) -> None:
    """Puts a place into the queues of what it wants; set aside if it blocks nobody."""
    index = state.index
    index.places[place.sequence] = place
    index.waits_of.setdefault(place.holder, {})[place.sequence] = None
    begun = []
    for resource in place.wants:
        index.waiting.setdefault((resource, place.holder), {})[place.sequence] = None
        queue = index.lock_queues.get(resource)
        if queue is None:
            queue = index.lock_queues[resource] = LockQueue()
            begun.append(resource)
        if not place.blocks:
            queue.aside[place.sequence] = None
        else:
            _line(queue, place, resource).add((place.key, place.sequence))
    if place.passes:
        _note_passing(state, place)
    note_ties(state, place.holder)
    for resource in begun:
        _note_queue(state, resource, 1)


def leave(state: NamespaceState, waiter: WaiterRow) -> None:
    """Takes a place out of all its queues."""
    index = state.index
    sequence = waiter.request_sequence
    place = index.places[sequence]
    if place.passes or place.passed_by:
        start_over(state, waiter)
    del index.places[sequence]
    _forget(index.waits_of, place.holder, sequence)
    ended = []
    for resource in place.wants:
        _forget(index.waiting, (resource, place.holder), sequence)
        queue = index.lock_queues[resource]
        queue.passing.pop(sequence, None)
        if place.blocks:
            entry = (place.key, sequence)
            _line(queue, place, resource).remove(entry)
            if place.entangled:
                queue.entangled.remove(entry)
        else:
            del queue.aside[sequence]
        if not (queue.exclusive or queue.shared or queue.aside):
            del index.lock_queues[resource]
            ended.append(resource)
    note_ties(state, place.holder)
    for resource in ended:
        _note_queue(state, resource, -1)


def set_aside(state: NamespaceState, place: Place) -> None:
    """The place blocks nobody from now on, and is kept."""
    if not place.blocks:
        return
    place.blocks = False
    entry = (place.key, place.sequence)
    for resource in place.wants:
        queue = state.index.lock_queues[resource]
        _line(queue, place, resource).remove(entry)
        if place.entangled:
            queue.entangled.remove(entry)
        queue.aside[place.sequence] = None


def bring_back(state: NamespaceState, place: Place) -> None:
    """The place blocks others again."""
    if place.blocks:
        return
    place.blocks = True
    entry = (place.key, place.sequence)
    for resource in place.wants:
        queue = state.index.lock_queues[resource]
        del queue.aside[place.sequence]
        _line(queue, place, resource).add(entry)
        if place.entangled:
            queue.entangled.add(entry)


def let_pass(state: NamespaceState, waiter: WaiterRow, passed: int) -> None:
    """A waiter passes a place that has just come in before it."""
    waiter.passes = (*waiter.passes, passed)
    place = state.index.places[waiter.request_sequence]
    place.passes |= {passed}
    _note_passing(state, place)
    note_ties(state, place.holder)


def start_over(state: NamespaceState, waiter: WaiterRow) -> None:
    """Forgets whom a waiter passes and who passes it: it is about to come back, or gone."""
    place = state.index.places[waiter.request_sequence]
    for sequence in place.passes:
        other = state.index.places.get(sequence)
        if other is not None:
            other.passed_by -= {place.sequence}
            note_ties(state, other.holder)
    for sequence in place.passed_by:
        row = state.waiters.get(sequence)
        if row is not None:
            row.passes = tuple(each for each in row.passes if each != place.sequence)
            other = state.index.places[sequence]
            other.passes -= {place.sequence}
            note_ties(state, other.holder)
    waiter.passes = ()
    place.passes = place.passed_by = NOBODY
    note_ties(state, place.holder)


def detach(state: NamespaceState, waiter: WaiterRow) -> None:
    """The waiter's caller is gone: it blocks nobody, unless detached ones do for a while (L6)."""
    waiter.attached = False
    if not state.index.holding_back:
        set_aside(state, state.index.places[waiter.request_sequence])


def attach(state: NamespaceState, waiter: WaiterRow, passes: tuple[int, ...]) -> None:
    """The waiter may be granted again, in its old place."""
    waiter.attached = True
    waiter.grace_until_ns = 0
    waiter.passes = passes
    place = state.index.places[waiter.request_sequence]
    bring_back(state, place)
    if passes:
        place.passes = frozenset(passes)
        _note_passing(state, place)


def hold_back(state: NamespaceState) -> None:
    """L6: an owner begins: for a while those who are detached block others too."""
    state.index.holding_back = True
    for waiter in state.waiters.values():
        waiter.attached = False
        bring_back(state, state.index.places[waiter.request_sequence])


def end_holding_back(state: NamespaceState, now_ns: int) -> None:
    """From the end of the hold on, those who are detached block nobody."""
    if now_ns >= hold_until_ns(state):
        state.index.holding_back = False
        for waiter in state.waiters.values():
            if not waiter.attached:
                set_aside(state, state.index.places[waiter.request_sequence])


def restore(state: NamespaceState) -> None:
    """Puts everybody into the queues again, from the tables."""
    for grant in state.grants.values():
        note_granted(state, grant)
    state.index.holding_back = state.time_ns < hold_until_ns(state)
    for waiter in state.waiters.values():
        place = place_of(waiter)
        place.blocks = waiter.attached or state.index.holding_back
        enter(state, place)
    for place in state.index.places.values():
        if place.passes:
            _note_passing(state, place)


def note_granted(state: NamespaceState, grant: GrantRow) -> None:
    """The holder has one lock more."""
    state.index.grants_of.setdefault(grant.holder, {})[grant.token] = None
    _note_awaited(state, grant, 1)


def note_released(state: NamespaceState, grant: GrantRow) -> None:
    """The holder has one lock less."""
    _forget(state.index.grants_of, grant.holder, grant.token)
    _note_awaited(state, grant, -1)


def _note_awaited(state: NamespaceState, grant: GrantRow, change: int) -> None:
    if grant.mode is LockMode.SHARED or grant.resource in state.index.lock_queues:
        _count_awaited(state, grant.holder, change)


def _note_queue(state: NamespaceState, resource: str, change: int) -> None:
    """A lock is waited for, or no longer is. One that is shared counts always, so that its holders are not counted."""
    row = state.locks.get(resource)
    if row is not None and row.mode is LockMode.EXCLUSIVE:
        for holder in row.holders:
            _count_awaited(state, holder, change)


def _count_awaited(state: NamespaceState, holder: str, change: int) -> None:
    awaited = state.index.awaited
    count = awaited.get(holder, 0) + change
    if count:
        awaited[holder] = count
    else:
        del awaited[holder]
    if holder in state.index.waits_of:
        note_ties(state, holder)


def note_ties(state: NamespaceState, holder: str, *, one_more: bool = False) -> None:
    """Marks the places of a holder that became entangled, or no longer are: a look at two of them tells. one_more
    is for a holder that is about to have another place.
    """
    sequences = state.index.waits_of.get(holder)
    if not sequences:
        return
    several = one_more or len(sequences) > 1
    if len(sequences) > 2:
        sequences = {next(reversed(sequences)): None}
    for sequence in sequences:
        place = state.index.places[sequence]
        out_of_order = bool(place.passes or place.passed_by)
        entangled = several or out_of_order or len(place.wants) > 1 or holder in state.index.awaited
        if entangled is place.entangled:
            continue
        place.entangled = entangled
        if not place.blocks:
            continue
        for resource in place.wants:
            line = state.index.lock_queues[resource].entangled
            if entangled:
                line.add((place.key, sequence))
            else:
                line.remove((place.key, sequence))


def _note_passing(state: NamespaceState, place: Place) -> None:
    for resource in place.wants:
        state.index.lock_queues[resource].passing[place.sequence] = None
    for sequence in place.passes:
        passed = state.index.places.get(sequence)
        if passed is not None and place.sequence not in passed.passed_by:
            passed.passed_by |= {place.sequence}
            note_ties(state, passed.holder)


def _line(queue: LockQueue, place: Place, resource: str) -> SortedKeys[tuple[QueueKey, int]]:
    return queue.exclusive if place.wants[resource] is LockMode.EXCLUSIVE else queue.shared


def _forget(table: dict, key: object, member: int) -> None:  # type: ignore[type-arg]
    members = table[key]
    del members[member]
    if not members:
        del table[key]
