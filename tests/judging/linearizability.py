"""Whether a history of calls that overlapped could have happened one call at a time (Herlihy and Wing).

The search is that of Wing and Gong with the cache that Lowe added, as Porcupine does it: calls are tried in the order
in which they began; one that fits the model is taken out, and where nothing fits any more the last one taken is put
back. A state that was reached before with the same calls taken out is not gone into again.

A call whose outcome its caller never learned has no end: it may have taken effect at any time after it began, or never.
Calls on different objects do not matter to each other: give each object's calls by themselves.
"""

from __future__ import annotations

import math
from collections.abc import Hashable, Sequence
from dataclasses import dataclass
from typing import Generic, Protocol, TypeVar

from coordinator_service.core.invariants import InvariantBroken

S = TypeVar("S", bound=Hashable)
C = TypeVar("C")
UNKNOWN = math.inf
"""When a call ended whose outcome is not known."""
STEPS_MAX = 5_000_000
"""Of one search. A history that takes more was made too hard to judge, which is a fault of the test."""


class Model(Protocol[S, C]):
    """How an object behaves when it is called by one after another."""

    @property
    def beginning(self) -> S:
        """Before the first call."""

    def step(self, state: S, call: C) -> S | None:
        """What a call makes of the object, none when it could not have ended as it did."""


@dataclass(frozen=True, slots=True)
class Call(Generic[C]):
    """Something that was asked of an object and, as the model understands it, how it ended: between two times by one
    clock, the second UNKNOWN where nobody knows."""

    what: C
    begun: float
    ended: float
    by: str = ""

    def __str__(self) -> str:
        end = "?" if self.ended == UNKNOWN else f"{self.ended:.4f}"
        return f"[{self.begun:.4f}, {end}] {self.by} {self.what}"


class Undecided(Exception):  # noqa: N818 - it says what happened
    """The search took too long."""


class _Node:
    """A beginning or an end of a call, in a list of all by time. Out of the list it remembers where it was."""

    __slots__ = ("after", "before", "call", "end")

    def __init__(self, call: int, end: _Node | None) -> None:
        self.call = call
        self.end = end
        """Of a beginning: its end."""
        self.before: _Node = self
        self.after: _Node | None = None


def longest_order(model: Model[S, C], calls: Sequence[Call[C]]) -> tuple[list[int], bool]:
    """The longest order that was found in which the first calls can have happened, and whether that is enough: all that
    ended are in it. Raises Undecided."""
    first, ends_left = _listed(calls), sum(1 for each in calls if each.ended != UNKNOWN)
    state, taken = model.beginning, 0
    seen: set[tuple[int, S]] = set()
    order: list[tuple[_Node, S]] = []
    longest: list[int] = []
    at = first.after
    steps = 0
    while ends_left:
        steps += 1
        if steps > STEPS_MAX:
            raise Undecided(f"{len(calls)} calls were not judged in {STEPS_MAX} steps")
        if at is not None and at.end is not None:
            following = model.step(state, calls[at.call].what)
            if following is not None and (key := (taken | 1 << at.call, following)) not in seen:
                seen.add(key)
                order.append((at, state))
                taken, state = key
                _take_out(at)
                ends_left -= calls[at.call].ended != UNKNOWN
                if len(order) > len(longest):
                    longest = [node.call for node, _ in order]
                at = first.after
            else:
                at = at.after
        elif not order:
            return longest, False
        else:  # a call has ended that fits nowhere before this: the last one taken was taken too early
            node, state = order.pop()
            taken &= ~(1 << node.call)
            ends_left += calls[node.call].ended != UNKNOWN
            _put_back(node)
            at = node.after
    return [node.call for node, _ in order], True


def check_linearizable(model: Model[S, C], calls: Sequence[Call[C]], what: str) -> None:
    """Raises InvariantBroken, with the calls around the place where no order goes on."""
    order, enough = longest_order(model, calls)
    if enough:
        return
    in_order = set(order)
    left = sorted((each for i, each in enumerate(calls) if i not in in_order), key=lambda each: each.begun)
    stuck = min((each.ended for each in left), default=UNKNOWN)
    around = [each for each in left if each.begun <= stuck]
    told = [f"{what} is not linearizable: after", *(f"  {calls[i]}" for i in order[-8:])]
    told += ["none of these can be next:", *(f"  {each}" for each in around)]
    raise InvariantBroken("\n".join(told))


def _listed(calls: Sequence[Call[C]]) -> _Node:
    """A head, and behind it the beginnings and ends by time; of two at one time the beginning comes first, so that the
    calls count as overlapping."""
    moments: list[tuple[float, int, int, _Node]] = []
    for i, call in enumerate(calls):
        assert call.begun <= call.ended, call
        end = _Node(i, None)
        moments += [(call.begun, 0, i, _Node(i, end)), (call.ended, 1, i, end)]
    head = last = _Node(-1, None)
    for *_, node in sorted(moments, key=lambda each: each[:3]):
        if node.end is None and calls[node.call].ended == UNKNOWN:
            continue  # nothing has to be decided because of an end that never was
        last.after, node.before = node, last
        last = node
    return head


def _take_out(beginning: _Node) -> None:
    for node in (beginning, beginning.end):
        if node is not None and node.before is not node:
            node.before.after = node.after
            if node.after is not None:
                node.after.before = node.before


def _put_back(beginning: _Node) -> None:
    for node in (beginning.end, beginning):
        if node is not None and node.before is not node:
            node.before.after = node
            if node.after is not None:
                node.after.before = node
