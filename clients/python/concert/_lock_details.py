"""What the errors of locks tell of holders and of those who wait."""

from __future__ import annotations

from typing import Any, TypedDict


class LockHolder(TypedDict):
    """Who stands in the way of a lock."""

    resource: str
    holder: str
    mode: str
    fencing_token: int


class LockWait(TypedDict):
    """One step of a cycle: who waits for which resource, by which request. The next one holds it under
    `fencing_token`; 0 when the next one waits too, and comes before.
    """

    holder: str
    resource: str
    request_sequence: int
    fencing_token: int


def lock_holder(grant: Any) -> LockHolder:
    """Who holds a lock, as an error says it."""
    mode = "shared" if grant.mode == 2 else "exclusive"
    return {
        "resource": grant.resource,
        "holder": grant.holder,
        "mode": mode,
        "fencing_token": grant.fencing_token,
    }


def lock_wait(step: Any) -> LockWait:
    """A step of a cycle, as an error says it."""
    return {
        "holder": step.holder,
        "resource": step.resource,
        "request_sequence": step.request_sequence,
        "fencing_token": step.fencing_token,
    }
