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
from concert._limits import KEYS_PER_READ_MAX, STATE_MODIFY_ATTEMPTS_MAX
from concert._methods import GET_STATE, UPDATE_STATE
from concert._pages import read_pages
from concert._payload import to_value
from concert._value import JSON, from_value
from concert.errors import InvalidArgument, StateConflictError
from concert.v1 import state_pb2, state_service_pb2

Strategy: TypeAlias = Literal["merge", "replace", "append"]

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
) -> state_pb2.StateChange:
    """The contract's StateChange. Raises InvalidArgument for an unknown strategy, InvalidPayload for what is
    not JSON.
    """
    if strategy not in _STRATEGIES:
        raise InvalidArgument(f"a strategy is one of {', '.join(_STRATEGIES)}, not {strategy!r}")
    change = state_pb2.StateChange(strategy=_STRATEGIES[strategy], prefix=prefix)
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

    async def get(self, key: str) -> StateEntry | None:
        """One key; None when it does not exist."""
        entries, _revision = await self._read([key])
        return entries.get(key)

    async def get_many(self, keys: Iterable[str]) -> dict[str, StateEntry]:
        """Those of at most 1000 keys that exist, read at one revision."""
        entries, _revision = await self._read(list(keys))
        return entries

    async def list(self, prefix: str = "", *, limit: int | None = None) -> list[StateEntry]:
        """Everything at and under a path, by key. Longer lists are read in pages, each true at its own
        revision.
        """
        request = state_service_pb2.GetStateRequest(prefix=prefix)
        entries = await read_pages(self._origin.caller, GET_STATE, request, "entries", limit)
        return [_entry(entry) for entry in entries]

    async def update(
        self,
        updates: Mapping[str, JSON],
        *,
        strategy: Strategy = "merge",
        base_revision: int | None = None,
        prefix: str = "",
        request_id: str = "",
    ) -> int:
        """Changes 1 to 1000 keys, all or none, and returns the new revision.

        With a `base_revision` nothing that overlaps may have changed after it. `prefix` goes with "replace":
        other keys under it go. Raises StateConflictError, InvalidArgument (append to what is no list),
        InvalidPayload, StaleAttempt.
        """
        change = state_change(updates, strategy=strategy, prefix=prefix, base_revision=base_revision)
        request = state_service_pb2.UpdateStateRequest(
            request_id=request_id,
            attempt_token=self._origin.attempt_token,
            change=change,
            writer=self._origin.writer,
        )
        return int((await self._origin.caller.call(UPDATE_STATE, request)).revision)

    async def modify(
        self,
        key: str,
        change: Callable[[JSON], JSON | Awaitable[JSON]],
        *,
        attempts_max: int = STATE_MODIFY_ATTEMPTS_MAX,
    ) -> Modified:
        """Replaces a value by what `change` makes of it (of None when there is none), and again when another
        was faster.

        `change` may be called several times and may be a coroutine function. Raises StateConflictError after
        `attempts_max`.
        """
        backoff = Backoff()
        attempt = 1
        while True:
            entries, revision = await self._read([key])
            made = change(entries[key].value if key in entries else None)
            value = await made if inspect.isawaitable(made) else made
            try:
                written = await self.update({key: value}, strategy="replace", base_revision=revision)
            except StateConflictError:
                if attempt >= attempts_max:
                    raise
                attempt += 1
                await asyncio.sleep(backoff.pause_seconds())
                continue
            return Modified(value, written)

    async def _read(self, keys: Sequence[str]) -> tuple[dict[str, StateEntry], int]:
        if not 0 < len(keys) <= KEYS_PER_READ_MAX:
            raise InvalidArgument(f"a read names 1 to {KEYS_PER_READ_MAX} keys, not {len(keys)}")
        response = await self._origin.caller.call(GET_STATE, state_service_pb2.GetStateRequest(keys=keys))
        return {entry.key: _entry(entry) for entry in response.entries}, int(response.sequence)


def _entry(entry: Any) -> StateEntry:
    return StateEntry(
        key=entry.key,
        value=from_value(entry.value),
        revision=entry.revision,
        writer=entry.writer,
        updated_at=entry.updated_at.ToDatetime(tzinfo=UTC),
    )
