"""Ages: what is to be forgotten in time, the oldest first (D8)."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator
from typing import Any, Final, TypeVar

Aged = TypeVar("Aged", bound=tuple[Any, ...])

FORGOTTEN_AT_ONCE: Final = 100
"""So many go with one event: after a pause, the first event does not pay for all that grew old meanwhile."""


def take_due(
    ages: deque[Aged] | list[Aged],
    until_ns: int,
    stands: Callable[[Aged], bool],
    pop: Callable[[Any], Any] = deque.popleft,
) -> Iterator[Aged]:
    """Takes those whose time, the first of each, is not after until_ns: FORGOTTEN_AT_ONCE at most of those that stand.

    What stands no longer (an agent that came back) is passed over uncounted: a restored state has no such entries, and
    must forget the same with the same event.
    """
    left = FORGOTTEN_AT_ONCE
    while left and ages and ages[0][0] <= until_ns:
        aged: Aged = pop(ages)
        if stands(aged):
            left -= 1
            yield aged
