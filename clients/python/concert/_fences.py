"""Fences: the locks that a command relies on. If one is no longer held the command is refused, with StaleFence."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, TypeAlias

from concert.v1 import lock_pb2

if TYPE_CHECKING:
    from concert._lock import Lock

Fences: TypeAlias = "Iterable[Lock | lock_pb2.LockGrant | lock_pb2.Fence]"
"""What an `async with client.lock(...)` hands out, or single grants of it, or fences that somebody else sent."""


def to_fences(fences: Fences) -> list[lock_pb2.Fence]:
    """The contract's Fence for each lock."""
    found: list[lock_pb2.Fence] = []
    for each in fences:
        if isinstance(each, lock_pb2.Fence):
            found.append(each)
        else:
            grants = (each,) if isinstance(each, lock_pb2.LockGrant) else each.grants
            found += [lock_pb2.Fence(resource=one.resource, fencing_token=one.fencing_token) for one in grants]
    return found
