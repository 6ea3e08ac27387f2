"""The wait-for graph: who waits for whom, over held locks and over the order of the queues (L2, L4).

Its nodes are holders: nobody gives back what it holds before it has what it waits for. Somebody who waits, waits for
everybody who holds what it wants, and for everybody whose place stands in its way. When a request is queued, three
things are looked for, so that no cycle can form:

- a holder in its way that waits for its own holder already: the request closes a cycle and is refused (L4);
- places before it that wait for its holder already: it passes them (L2);
- places behind it that its holder waits for: they pass it (L2).

A grant adds no way to the graph, so it stays without cycles. After R. Holt, "Some deadlock properties of computer
systems" (1972). A search goes from both ends in turn and is over when the smaller end is exhausted: mostly at once,
since mostly nobody waits for whoever asks. Who is set aside (L6) is not in the graph, and is queued again when it comes
back.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Iterator
from typing import NamedTuple, TypeAlias

from coordinator_service.core import lock_queues
from coordinator_service.core.sorted_keys import SortedKeys
from coordinator_service.core.specs import LockWait
from coordinator_service.core.state import LockQueue, NamespaceState, Place, QueueKey
from coordinator_service.core.values import LockMode

CYCLE_NAMED_MAX = 100
"""Holders of a cycle that a refusal names."""

Entry: TypeAlias = tuple[QueueKey, int]
Line: TypeAlias = SortedKeys[Entry]
_FIRST: Entry = ((-(2**63), 0, 0), 0)


class Ahead(NamedTuple):
    """What comes of queueing a place: whether anybody is in its way, whom it passes, who passes it, and the cycle that
    it would close: holders, each of which waits for the next, the last for the first; empty when there is none.
    """

    obstructed: bool = False
    passes: frozenset[int] = lock_queues.NOBODY
    passed_by: frozenset[int] = lock_queues.NOBODY
    cycle: tuple[str, ...] = ()


FREE = Ahead()


def look_ahead(state: NamespaceState, place: Place, now_ns: int) -> Ahead:
    """Looks ahead, for a place that is not in the queues yet or is to come back into them."""
    if state.index.holding_back:
        lock_queues.end_holding_back(state, now_ns)
    index = state.index
    passes = lock_queues.NOBODY
    if place.holder in index.grants_of or place.holder in index.waits_of:
        lock_queues.note_ties(state, place.holder, one_more=True)
        towards = _Search([place.holder], _Dependants(state, besides=place.sequence).of)
        blockers = _Blockers(state, besides=place.sequence)
        away = _Search([], blockers.of)
        away.start_among(_holders_in_the_way(state, place))
        met = _meet(away, towards)
        if met:
            there, back = away.way_to(met), towards.way_to(met)
            return Ahead(obstructed=True, cycle=tuple(dict.fromkeys([place.holder, *there, *back[::-1]])))
        if not towards.is_over:
            away.start_among(blockers.of_place(_standing_fresh(place)))
            if _holds_any(state, place) or _meet(away, towards):
                towards.finish()
        if towards.is_over:
            passes = frozenset(_places_of(state, place, towards.found, later=False))
    passed_by = _passing(state, place, passes)
    in_order = not (passes or passed_by or place.passes or place.passed_by)
    planned = place if in_order else _standing_fresh(place, passes, passed_by)
    return Ahead(lock_queues.is_blocked(state, planned, now_ns), passes, passed_by)


def _passing(state: NamespaceState, place: Place, passes: frozenset[int]) -> frozenset[int]:
    """The later places that its holder waits for, once the place stands."""
    if not any(_may_be_awaited_behind(state, place, resource) for resource in place.wants):
        return lock_queues.NOBODY
    blockers = _Blockers(state, besides=place.sequence, whole_behind=place)
    away = _Search([place.holder], blockers.of)
    away.start_among(blockers.of_place(_standing_fresh(place, passes)))
    away.finish()
    return frozenset(_places_of(state, place, away.found, later=True))


def _standing_fresh(
    place: Place, passes: frozenset[int] = lock_queues.NOBODY, passed_by: frozenset[int] = lock_queues.NOBODY
) -> Place:
    return Place(
        sequence=place.sequence,
        key=place.key,
        holder=place.holder,
        wants=place.wants,
        passes=passes,
        passed_by=passed_by,
    )


def _holds_any(state: NamespaceState, place: Place) -> bool:
    rows = (state.locks.get(resource) for resource in place.wants)
    return any(row is not None and place.holder in row.holders for row in rows)


def waits(state: NamespaceState, cycle: tuple[str, ...], place: Place) -> tuple[LockWait, ...]:
    """What each holder of a cycle waits for that the next one has, or is to have before it. place is the one that
    closes the cycle, of its first holder.
    """
    found: list[LockWait] = []
    for number, holder in enumerate(cycle[:CYCLE_NAMED_MAX]):
        following = cycle[(number + 1) % len(cycle)]
        found += _waits(state, [place] if number == 0 else _standing(state, holder), following)
    return tuple(found[:CYCLE_NAMED_MAX])


def _waits(state: NamespaceState, own: list[Place], following: str) -> list[LockWait]:
    """The wait of a holder for another one; two where the search stepped over somebody between them."""
    for place in own:
        step = _wait(state, place, following)
        if step is not None:
            return [step]
    for place in own:
        for resource in place.wants:
            queue = state.index.lock_queues.get(resource)
            if queue is None:
                continue
            for _, sequence in queue.exclusive.before((place.key, place.sequence)):
                between = state.index.places[sequence]
                step = _wait(state, between, following)
                if step is not None:
                    return [LockWait(holder=place.holder, request_sequence=place.sequence, resource=resource), step]
    return []


def _wait(state: NamespaceState, place: Place, following: str) -> LockWait | None:
    for resource, mode in place.wants.items():
        row = state.locks.get(resource)
        holds = row is not None and following in row.holders and LockMode.EXCLUSIVE in (mode, row.mode)
        others = () if holds else state.index.waiting.get((resource, following), ())
        if holds or any(lock_queues.waits_for(place, state.index.places[each], resource) for each in others):
            return LockWait(
                holder=place.holder,
                request_sequence=place.sequence,
                resource=resource,
                fencing_token=row.holders[following] if holds and row is not None else 0,
            )
    return None


def _holders_in_the_way(state: NamespaceState, place: Place) -> Iterator[str]:
    for resource, mode in place.wants.items():
        row = state.locks.get(resource)
        if row is not None and LockMode.EXCLUSIVE in (mode, row.mode):
            for holder in row.holders:
                if holder != place.holder:
                    yield holder


def _standing(state: NamespaceState, holder: str, besides: int = 0) -> list[Place]:
    """The places of a holder that are in the graph."""
    places = (state.index.places[each] for each in state.index.waits_of.get(holder, ()))
    return [place for place in places if place.blocks and place.sequence != besides]


def _places_of(state: NamespaceState, place: Place, holders: Iterable[str], *, later: bool) -> Iterator[int]:
    """The places of some holders that conflict with one, before or behind it."""
    index = state.index
    for holder in holders:
        for resource in place.wants:
            for sequence in index.waiting.get((resource, holder), ()):
                other = index.places[sequence]
                behind = other.key > place.key
                if behind is later and other.blocks and lock_queues.conflicts(place, other, resource):
                    yield sequence


def _may_be_awaited_behind(state: NamespaceState, place: Place, resource: str) -> bool:
    """Whether anybody may stand behind a place whom its holder waits for: who holds what it wants, or somebody to whom
    a way leads that comes from elsewhere.
    """
    row = state.locks.get(resource)
    if row is not None and row.mode is LockMode.EXCLUSIVE and any(each in state.index.waits_of for each in row.holders):
        return True
    queue = state.index.lock_queues.get(resource)
    last = None if queue is None else queue.entangled.last()
    return last is not None and last[0] > place.key


class _Search:
    """Everybody who is reached from some holders, nearest first, one look at a time."""

    def __init__(self, starts: Iterable[str], neighbours: Callable[[str], Iterator[str]]) -> None:
        self.found: dict[str, str] = dict.fromkeys(starts, "")
        """Everybody reached, and from whom."""
        self.is_over = False
        self._frontier = deque(self.found)
        self._neighbours = neighbours
        self._from = ""
        self._looks: Iterator[str] = iter(())
        self._more: Iterator[str] | None = None

    def start_among(self, more: Iterator[str]) -> None:
        """Begins at these too."""
        self._more = more
        self.is_over = False

    def look(self) -> str:
        """Looks at one neighbour more: its name if it is new, else nothing. Sets is_over when there is none."""
        neighbour = next(self._looks, "")
        if not neighbour:
            self._turn()
        elif neighbour not in self.found:
            self.found[neighbour] = self._from
            self._frontier.append(neighbour)
            return neighbour
        return ""

    def _turn(self) -> None:
        if self._more is not None:
            self._from, self._looks, self._more = "", self._more, None
        elif self._frontier:
            self._from = self._frontier.popleft()
            self._looks = self._neighbours(self._from)
        else:
            self.is_over = True

    def finish(self) -> None:
        """Looks at everybody."""
        while not self.is_over:
            self.look()

    def way_to(self, holder: str) -> list[str]:
        """A shortest way from a start, both ends in it."""
        way = [holder]
        while self.found[way[-1]]:
            way.append(self.found[way[-1]])
        return way[::-1]


def _meet(one: _Search, other: _Search) -> str:
    """A holder that both reach; empty when one of them is exhausted before that."""
    for each in one.found:
        if each in other.found:
            return each
    while not one.is_over and not other.is_over:
        if (new := one.look()) and new in other.found:
            return new
        if (new := other.look()) and new in one.found:
            return new
    return ""


class _Ranges:
    """Which parts of the queues were looked through, so that each is looked through once."""

    def __init__(self, state: NamespaceState) -> None:
        self.state = state
        self._seen: dict[tuple[str, str], Entry | None] = {}
        self._left_out: dict[tuple[str, str], list[Entry]] = {}

    def before(self, resource: str, name: str, line: Line, end: Entry, start: Entry = _FIRST) -> Iterator[Entry]:
        """Entries of a line from start to end, the last first, that no call under this name gave before."""
        seen = self._seen.get((resource, name)) or start
        if end > seen:
            self._seen[resource, name] = end
            for entry in line.before(end):
                if entry < seen:
                    return
                yield entry

    def behind(self, resource: str, name: str, line: Line, start: Entry) -> Iterator[Entry]:
        """Entries of a line from start on that no call under this name gave before."""
        seen = self._seen.get((resource, name))
        if seen is None or start < seen:
            self._seen[resource, name] = start
            for entry in line.starting_at(start):
                if seen is not None and entry >= seen:
                    return
                yield entry

    def left_out(
        self, resource: str, name: str, entries: Iterator[Entry], excepted: Callable[[Place], bool]
    ) -> Iterator[Place]:
        """The places of entries, except for some, which are looked at again in every later call under this name."""
        again = self._left_out.pop((resource, name), [])
        for entry in (*again, *entries) if again else entries:
            place = self.state.index.places[entry[1]]
            if excepted(place):
                self._left_out.setdefault((resource, name), []).append(entry)
            else:
                yield place


class _Blockers:
    """Whom holders wait for.

    Places that are not entangled are stepped over: whatever they wait for, whoever stands behind them waits for too.
    Only in the queues of whole_behind, behind it, everybody is looked at.
    """

    def __init__(self, state: NamespaceState, besides: int, whole_behind: Place | None = None) -> None:
        self._state = state
        self._ranges = _Ranges(state)
        self._besides = besides
        self._whole_behind = whole_behind

    def of(self, holder: str) -> Iterator[str]:
        """Whom a holder waits for."""
        for place in _standing(self._state, holder, self._besides):
            yield from self.of_place(place)

    def of_place(self, place: Place) -> Iterator[str]:
        """Whom a place waits for."""
        state = self._state
        yield from _holders_in_the_way(state, place)
        for resource, mode in place.wants.items():
            queue = state.index.lock_queues.get(resource)
            if queue is not None:
                yield from self._in_queue(place, resource, mode, queue)
        for sequence in sorted(place.passed_by):
            other = state.index.places.get(sequence)
            if other is not None and other.blocks and sequence != self._besides:
                yield other.holder

    def _in_queue(self, place: Place, resource: str, mode: LockMode, queue: LockQueue) -> Iterator[str]:
        end: Entry = (place.key, place.sequence)
        whole = self._whole_behind
        if whole is not None and resource in whole.wants and whole.key < place.key:
            start = (whole.key, whole.sequence)
            yield from self._before(place, resource, "behind, exclusive", queue.exclusive, end, start)
            if mode is LockMode.EXCLUSIVE:
                yield from self._before(place, resource, "behind, shared", queue.shared, end, start)
            end = start
        if mode is LockMode.SHARED:
            run, stepped_over = self._run_before(resource, queue, end)
            yield from self._left_out(place, resource, "exclusive", run, _FIRST, end)
            if stepped_over is None:
                return
            row = self._state.locks.get(resource)
            if row is not None:
                yield from row.holders
            end = stepped_over
        yield from self._before(place, resource, "entangled", queue.entangled, end)

    def _run_before(self, resource: str, queue: LockQueue, end: Entry) -> tuple[list[Entry], Entry | None]:
        """The exclusive ones before an entry that are entangled, as far as the first one that is not; and that one."""
        run: list[Entry] = []
        for entry in self._ranges.before(resource, "exclusive", queue.exclusive, end):
            if not self._state.index.places[entry[1]].entangled:
                return run, entry
            run.append(entry)
        return run, None

    def _before(
        self, place: Place, resource: str, name: str, line: Line, end: Entry, start: Entry = _FIRST
    ) -> Iterator[str]:
        entries = self._ranges.before(resource, name, line, end, start)
        return self._left_out(place, resource, name, entries, start, end)

    def _left_out(
        self, place: Place, resource: str, name: str, entries: Iterable[Entry], start: Entry, end: Entry
    ) -> Iterator[str]:
        def excepted(other: Place) -> bool:
            passed = other.sequence in place.passes or other.sequence == self._besides
            return passed or not start <= (other.key, other.sequence) < end

        for other in self._ranges.left_out(resource, name, iter(entries), excepted):
            yield other.holder


class _Dependants:
    """Who waits for holders. besides is a place that nobody waits for yet."""

    def __init__(self, state: NamespaceState, besides: int = 0) -> None:
        self._state = state
        self._ranges = _Ranges(state)
        self._besides = besides

    def of(self, holder: str) -> Iterator[str]:
        """Who waits for a holder."""
        state = self._state
        for token in state.index.grants_of.get(holder, ()):
            grant = state.grants[token]
            yield from self._in_queue(grant.resource, grant.mode, _FIRST, token)
        for place in _standing(state, holder):
            if place.sequence == self._besides:
                continue
            for resource, mode in place.wants.items():
                yield from self._in_queue(resource, mode, (place.key, place.sequence), place.sequence)
            for sequence in sorted(place.passes):
                passed = state.index.places.get(sequence)
                if passed is not None and passed.blocks and sequence != self._besides:
                    yield passed.holder

    def _in_queue(self, resource: str, mode: LockMode, start: Entry, awaited: int) -> Iterator[str]:
        queue = self._state.index.lock_queues.get(resource)
        if queue is None:
            return

        def excepted(other: Place) -> bool:
            passed = awaited in other.passes or other.sequence == self._besides
            return passed or (other.key, other.sequence) < start

        for name, line in (("exclusive", queue.exclusive), ("shared", queue.shared)):
            if mode is LockMode.EXCLUSIVE or name == "exclusive":
                entries = self._ranges.behind(resource, name, line, start)
                for other in self._ranges.left_out(resource, name, entries, excepted):
                    yield other.holder
