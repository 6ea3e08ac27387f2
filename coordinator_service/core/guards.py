"""Guards: which locks stand over a state path, for as long as they are held (S6).

A lock guards the path that its request names, and everything under it. Found by path in as many look-ups as the path
has segments, however many locks are held.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from coordinator_service.core.values import path_covers, path_parts

if TYPE_CHECKING:
    from coordinator_service.core.commands import Caller
    from coordinator_service.core.state import GrantRow, NamespaceState

# Looking.


def guarding(state: NamespaceState, path: str) -> list[GrantRow]:
    """The grants that guard a path: it, or something above it. By rising depth, then fencing token."""
    guarded = state.index.guarded
    if not guarded:
        return []
    return [state.grants[token] for part in path_parts(path) for token in sorted(guarded.get(part, ()))]


def guarding_within(state: NamespaceState, path: str) -> list[GrantRow]:
    """The grants that guard something at or under a path: for what is done to all that lies there."""
    return [state.grants[token] for token in sorted(state.index.guarded_within.get(path, ()))]


def guarded_part(grant: GrantRow, path: str) -> str:
    """What of its guarded paths stands over a path, or lies under it."""
    return next(each for each in paths(grant) if path_covers(each, path) or path_covers(path, each))


def holds(caller: Caller, grant: GrantRow) -> bool:
    """Whether who calls is the holder of a grant: its attempt, or its session outside of attempts; else the session or
    principal that it was granted to, with its fencing token among the fences of the call.
    """
    if grant.attempt_token:
        return grant.attempt_token == caller.attempt_token
    if grant.session_id and grant.session_id != caller.session_id:
        return False
    if grant.session_id and not caller.attempt_token:
        return True
    return grant.principal == caller.principal and any(fence.fencing_token == grant.token for fence in caller.fences)


# What apply calls to keep the paths in step.


def add(state: NamespaceState, grant: GrantRow, path: str) -> None:
    """The grant guards a path from now on."""
    state.index.guarded.setdefault(path, {})[grant.token] = None
    for part in path_parts(path):
        state.index.guarded_within.setdefault(part, {})[grant.token] = None


def drop(state: NamespaceState, grant: GrantRow) -> None:
    """The grant has ended, and guards nothing any more."""
    for path in paths(grant):
        _forget(state.index.guarded, path, grant.token)
        for part in path_parts(path):
            _forget(state.index.guarded_within, part, grant.token)


def paths(grant: GrantRow) -> tuple[str, ...]:
    """What a grant guards: the path of the request that it was made for, and of those that were counted on it."""
    return (grant.guards, *grant.guards_also) if grant.guards else grant.guards_also


def _forget(paths_to_tokens: dict[str, dict[int, None]], path: str, token: int) -> None:
    tokens = paths_to_tokens.get(path)
    if tokens is not None:
        tokens.pop(token, None)
        if not tokens:
            del paths_to_tokens[path]
