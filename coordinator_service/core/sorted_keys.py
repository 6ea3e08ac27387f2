"""Keys in order: where a range begins, and room for one more, found in a moment among a million.

A sorted list would move all that lies behind a new key. Here the keys lie in chunks, so that a new one moves few.
"""

from __future__ import annotations

from bisect import bisect_left, insort
from collections.abc import Iterable, Iterator
from typing import Any, Generic, TypeVar

K = TypeVar("K", bound=Any)
"""Whatever has an order."""

CHUNK_KEYS_MAX = 512


class SortedKeys(Generic[K]):
    """Distinct strings, or whatever else has an order, in that order."""

    __slots__ = ("_chunks", "_lasts")

    def __init__(self, keys: Iterable[K] = ()) -> None:
        ordered = sorted(keys)
        size = CHUNK_KEYS_MAX // 2
        self._chunks = [ordered[start : start + size] for start in range(0, len(ordered), size)]
        self._lasts = [chunk[-1] for chunk in self._chunks]

    def __iter__(self) -> Iterator[K]:
        for chunk in self._chunks:
            yield from chunk

    def first(self) -> K | None:
        """The first of all; None when there is none."""
        return self._chunks[0][0] if self._chunks else None

    def add(self, key: K) -> None:
        """Puts in a key that is not there."""
        if not self._chunks:
            self._chunks.append([])
            self._lasts.append(key)
        at = min(bisect_left(self._lasts, key), len(self._lasts) - 1)
        chunk = self._chunks[at]
        insort(chunk, key)
        if len(chunk) > CHUNK_KEYS_MAX:
            half = len(chunk) // 2
            self._chunks.insert(at + 1, chunk[half:])
            self._lasts.insert(at + 1, chunk[-1])
            del chunk[half:]
        self._lasts[at] = chunk[-1]

    def remove(self, key: K) -> None:
        """Takes out a key that is there."""
        at = bisect_left(self._lasts, key)
        chunk = self._chunks[at]
        del chunk[bisect_left(chunk, key)]
        if chunk:
            self._lasts[at] = chunk[-1]
        else:
            del self._chunks[at], self._lasts[at]

    def starting_at(self, key: K) -> Iterator[K]:
        """The keys that are not before one, in order. They must not change while this is walked."""
        at = bisect_left(self._lasts, key)
        for number in range(at, len(self._chunks)):
            chunk = self._chunks[number]
            first = bisect_left(chunk, key) if number == at else 0
            for position in range(first, len(chunk)):
                yield chunk[position]
