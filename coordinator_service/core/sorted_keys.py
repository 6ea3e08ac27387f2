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
    """Distinct strings, or whatever else has an order, in that order. They must not change while they are walked."""

    __slots__ = ("_chunks", "_lasts")

    def __init__(self, keys: Iterable[K] = ()) -> None:
        ordered = sorted(keys)
        size = CHUNK_KEYS_MAX // 2
        self._chunks = [ordered[start : start + size] for start in range(0, len(ordered), size)]
        self._lasts = [chunk[-1] for chunk in self._chunks]

    def __iter__(self) -> Iterator[K]:
        for chunk in self._chunks:
            yield from chunk

    def __bool__(self) -> bool:
        return bool(self._chunks)

    def __len__(self) -> int:
        return sum(map(len, self._chunks))

    def __contains__(self, key: K) -> bool:
        return next(self.starting_at(key), None) == key

    def first(self) -> K | None:
        """The smallest key; None when there is none."""
        return self._chunks[0][0] if self._chunks else None

    def last(self) -> K | None:
        """The largest key; None when there is none."""
        return self._lasts[-1] if self._lasts else None

    def add(self, key: K) -> None:
        """Puts in a key that is not there."""
        chunks = self._chunks
        if not chunks:
            chunks.append([key])
            self._lasts.append(key)
            return
        at = 0 if len(chunks) == 1 else min(bisect_left(self._lasts, key), len(self._lasts) - 1)
        chunk = chunks[at]
        insort(chunk, key)
        if len(chunk) > CHUNK_KEYS_MAX:
            half = len(chunk) // 2
            chunks.insert(at + 1, chunk[half:])
            self._lasts.insert(at + 1, chunk[-1])
            del chunk[half:]
        self._lasts[at] = chunk[-1]

    def remove(self, key: K) -> None:
        """Takes out a key that is there."""
        at = 0 if len(self._chunks) == 1 else bisect_left(self._lasts, key)
        chunk = self._chunks[at]
        del chunk[bisect_left(chunk, key)]
        if chunk:
            self._lasts[at] = chunk[-1]
        else:
            del self._chunks[at], self._lasts[at]

    def starting_at(self, key: K) -> Iterator[K]:
        """The keys that are not before one, in order."""
        at = bisect_left(self._lasts, key)
        for number in range(at, len(self._chunks)):
            chunk = self._chunks[number]
            first = bisect_left(chunk, key) if number == at else 0
            for position in range(first, len(chunk)):
                yield chunk[position]

    def before(self, key: K) -> Iterator[K]:
        """The keys before one, the nearest first."""
        at = bisect_left(self._lasts, key)
        for number in range(min(at, len(self._chunks) - 1), -1, -1):
            chunk = self._chunks[number]
            end = bisect_left(chunk, key) if number == at else len(chunk)
            for position in range(end - 1, -1, -1):
                yield chunk[position]

    def count_before(self, key: K) -> int:
        """How many keys there are before one."""
        at = bisect_left(self._lasts, key)
        count = sum(len(chunk) for chunk in self._chunks[:at])
        return count + bisect_left(self._chunks[at], key) if at < len(self._chunks) else count
