"""Ages: what is to be forgotten in time, the oldest first (D8)."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator
from typing import Any, Final, TypeVar

Aged = TypeVar("Aged", bound=tuple[Any, ...])

FORGOTTEN_AT_ONCE: Final = 100
"""So many go with one event: after a pause, the first event does not pay for all that grew old meanwhile."""


def take_due(ages: deque[Aged], until_ns: int) -> Iterator[Aged]:
    """Takes those whose time, the first of each, is not after until_ns: FORGOTTEN_AT_ONCE at most."""
    for _ in range(FORGOTTEN_AT_ONCE):
        if not ages or ages[0][0] > until_ns:
            return
        yield ages.popleft()
