"""Shared state: versioned values under paths, whose conflicts are never silent."""

from __future__ import annotations

import asyncio
import inspect
from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Literal, NamedTuple, TypeAlias

from concert._backoff import Backoff
from concert._caller import Origin
from concert._fences import Fences, to_fences
from concert._limits import KEYS_PER_READ_MAX, STATE_MODIFY_ATTEMPTS_MAX
from concert._methods import DELETE_STATE, GET_STATE, LIST_STATE_HISTORY, UPDATE_STATE
from concert._pages import read_pages
from concert._payload import to_value
from concert._state_watch import StateWatch
from concert._value import JSON, from_value
from concert.errors import InvalidArgument, StateConflictError
from concert.v1 import event_service_pb2, state_pb2, state_service_pb2

Strategy: TypeAlias = Literal["merge", "replace", "append"]

_STRATEGY_NAMES: dict[int, Strategy] = {1: "merge", 2: "replace", 3: "append"}
_STRATEGIES = {
    "merge": state_pb2.MERGE_STRATEGY_MERGE,
    "replace": state_pb2.MERGE_STRATEGY_REPLACE,
    "append": state_pb2.MERGE_STRATEGY_APPEND,
}


@dataclass(frozen=True, slots=True)
class StateEntry:
    """A key as it was read. `revision` is the sequence of the event that changed it last."""

    key: str
    value: JSON
    revision: int
    writer: str
    updated_at: datetime


@dataclass(frozen=True, slots=True)
class StateRevision:
    """A change, as the history of a key or path tells it.

    `updates` are the values that its writer gave to what was asked for (read the key `at` this revision for what
    came of them), `deletes` the keys it named, `prefix` a path that it cleared. `cause` is the sequence of the
    event that led to it (an attempt's token, or 0), `reason` "UPDATED" or "TASK_RESULT".
    """

    revision: int
    writer: str
    strategy: Strategy
    changed_at: datetime
    cause: int
    reason: str
    updates: dict[str, JSON]
    deletes: tuple[str, ...]
    prefix: str
    priority: int
    agent_id: str
    run_id: str
    task_id: str
    traceparent: str


class Modified(NamedTuple):
    """What `State.modify` wrote, and the revision it became."""

    value: JSON
    revision: int


def state_change(
    updates: Mapping[str, JSON],
    *,
    strategy: str = "merge",
    prefix: str = "",
    base_revision: int | None = None,
    deletes: Iterable[str] = (),
) -> state_pb2.StateChange:
    """The contract's StateChange. Raises InvalidArgument for an unknown strategy, InvalidPayload for what is
    not JSON.
    """
    if strategy not in _STRATEGIES:
        raise InvalidArgument(f"a strategy is one of {', '.join(_STRATEGIES)}, not {strategy!r}")
    change = state_pb2.StateChange(strategy=_STRATEGIES[strategy], prefix=prefix, deletes=deletes)
    for key, value in updates.items():
        change.updates.add(key=key).value.CopyFrom(to_value(value))
    if base_revision is not None:
        change.base_revision = base_revision
    return change


class State:
    """The shared state of a namespace."""

    def __init__(self, origin: Origin) -> None:
        """Reads and writes as `origin`."""
        self._origin = origin

    async def get(self, key: str, *, at: int = 0) -> StateEntry | None:
        """One key, now or `at` a revision; None when it does not exist. Raises CursorInFuture, CursorCompacted
        (the revision is kept no more).
        """
        entries, _revision = await self._read([key], at)
        return entries.get(key)

    async def get_many(self, keys: Iterable[str], *, at: int = 0) -> dict[str, StateEntry]:
        """Those of at most 1000 keys that exist, read at one revision. Raises as `get`."""
        entries, _revision = await self._read(list(keys), at)
        return entries

    async def list(self, prefix: str = "", *, limit: int | None = None, at: int = 0) -> list[StateEntry]:
        """Everything at and under a path, by key. Longer lists are read in pages, each true at its own
        revision unless one is given. Raises as `get`.
        """
        request = state_service_pb2.GetStateRequest(prefix=prefix, revision=at)
        entries = await read_pages(self._origin.caller, GET_STATE, request, "entries", limit)
        return [_entry(entry) for entry in entries]

    async def update(
        self,
        updates: Mapping[str, JSON],
        *,
        strategy: Strategy = "merge",
        base_revision: int | None = None,
        prefix: str = "",
        deletes: Iterable[str] = (),
        priority: int = 0,
        request_id: str = "",
        fences: Fences = (),
    ) -> int:
        """Changes 1 to 1000 keys, all or none, and returns the new revision.

        With a `base_revision` nothing that overlaps may have changed after it; 0 relies on nothing being there.
        `prefix` goes with "replace": other keys under it go. `deletes` are keys that go with the same revision.
        `priority`, 0 to 9, counts by the policy priority_based; inside an attempt the task's does. `fences`: locks
        that this relies on, as `client.lock` hands them out; if one is no longer held nothing is changed. Raises
        StateConflictError, InvalidArgument (append to what is no list), NotFound (a delete of what is not
        there), CursorCompacted (a base too old to tell), InvalidPayload, StaleAttempt, StaleFence.
        """
        change = state_change(updates, strategy=strategy, prefix=prefix, base_revision=base_revision, deletes=deletes)
        request = state_service_pb2.UpdateStateRequest(
            request_id=request_id,
            attempt_token=self._origin.attempt_token,
            change=change,
            writer=self._origin.writer,
            priority=priority,
            fences=to_fences(fences),
        )
        return int((await self._origin.caller.call(UPDATE_STATE, request)).revision)

    async def delete(
        self,
        *keys: str,
        prefix: str = "",
        base_revision: int | None = None,
        priority: int = 0,
        request_id: str = "",
        fences: Fences = (),
    ) -> int:
        """Deletes 1 to 1000 keys, all or none, or whatever is at and under the path `prefix`; returns the
        revision. Raises NotFound when there is nothing to delete; otherwise as `update`.
        """
        request = state_service_pb2.DeleteStateRequest(
            request_id=request_id,
            attempt_token=self._origin.attempt_token,
            keys=keys,
            prefix=prefix,
            writer=self._origin.writer,
            priority=priority,
            fences=to_fences(fences),
        )
        if base_revision is not None:
            request.base_revision = base_revision
        return int((await self._origin.caller.call(DELETE_STATE, request)).revision)

    async def history(
        self,
        key: str = "",
        *,
        prefix: str = "",
        after: int = 0,
        until: int = 0,
        newest_first: bool = False,
        limit: int | None = None,
    ) -> Sequence[StateRevision]:
        """The changes of a key, or of everything at and under a path, in (after, until] (0: no end), the oldest
        first. Raises CursorInFuture, CursorCompacted.
        """
        request = state_service_pb2.ListStateHistoryRequest(
            key=key, prefix=prefix, after_revision=after, until_revision=until, descending=newest_first
        )
        revisions = await read_pages(self._origin.caller, LIST_STATE_HISTORY, request, "revisions", limit)
        return [_revision(each) for each in revisions]

    def watch(self, *keys: str, prefix: str = "", after: event_service_pb2.Cursor | int | None = None) -> StateWatch:
        """Follows at most 1000 keys, or everything at and under a path: `async for change in state.watch(...)`.

        What is there comes first, then each change; with `after` (a Cursor, or a revision) only the changes
        after it. Iterating raises CursorCompacted, LogMismatch, CursorInFuture, InvalidArgument, and Unavailable
        when no coordinator was reached at all within `retry_seconds`.
        """
        return StateWatch(self._origin.caller, keys, prefix, after)

    async def modify(
        self,
        key: str,
        change: Callable[[JSON], JSON | Awaitable[JSON]],
        *,
        attempts_max: int = STATE_MODIFY_ATTEMPTS_MAX,
        priority: int = 0,
        fences: Fences = (),
    ) -> Modified:
        """Replaces a value by what `change` makes of it (of None when there is none), and again when another
        was faster.

        `change` may be called several times and may be a coroutine function. Raises StateConflictError after
        `attempts_max`, and at once where somebody else's lock guards the key.
        """
        backoff = Backoff()
        attempt = 1
        while True:
            entries, revision = await self._read([key])
            made = change(entries[key].value if key in entries else None)
            value = await made if inspect.isawaitable(made) else made
            try:
                written = await self.update(
                    {key: value}, strategy="replace", base_revision=revision, priority=priority, fences=fences
                )
            except StateConflictError as conflict:
                if attempt >= attempts_max or conflict.conflict_type == "resource_conflict":
                    raise
                attempt += 1
                await asyncio.sleep(backoff.pause_seconds())
                continue
            return Modified(value, written)

    async def _read(self, keys: Sequence[str], at: int = 0) -> tuple[dict[str, StateEntry], int]:
        if not 0 < len(keys) <= KEYS_PER_READ_MAX:
            raise InvalidArgument(f"a read names 1 to {KEYS_PER_READ_MAX} keys, not {len(keys)}")
        request = state_service_pb2.GetStateRequest(keys=keys, revision=at)
        response = await self._origin.caller.call(GET_STATE, request)
        entries, revision = [*response.entries], int(response.sequence)
        while response.next_page_token:  # more than fits into a message: the rest as it was then
            request.revision, request.page_token = revision, response.next_page_token
            response = await self._origin.caller.call(GET_STATE, request)
            entries += response.entries
        return {entry.key: _entry(entry) for entry in entries}, revision


def _revision(revision: Any) -> StateRevision:
    return StateRevision(
        revision=revision.revision,
        writer=revision.writer,
        strategy=_STRATEGY_NAMES.get(revision.strategy, "merge"),
        changed_at=revision.changed_at.ToDatetime(tzinfo=UTC),
        cause=revision.cause,
        reason=revision.reason,
        updates={update.key: from_value(update.value) for update in revision.updates},
        deletes=tuple(revision.deletes),
        prefix=revision.prefix,
        priority=revision.priority,
        agent_id=revision.agent_id,
        run_id=revision.run_id,
        task_id=revision.task_id,
        traceparent=revision.traceparent,
    )


def _entry(entry: Any) -> StateEntry:
    return StateEntry(
        key=entry.key,
        value=from_value(entry.value),
        revision=entry.revision,
        writer=entry.writer,
        updated_at=entry.updated_at.ToDatetime(tzinfo=UTC),
    )
