"""Standby: the namespaces that this replica is to own should their owners go, folded already.

Taking over is to claim the log and to fold it to its end. What the owner appended since its last snapshot may be much
(snapshots.py): whoever is next in rank folds it as it grows, twice a second at most, and has no more to fold than half
a second of events when the time comes. It costs the CPU time of a fold and the memory of a state.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from dataclasses import dataclass, field

from coordinator_service.core.fold import tidy
from coordinator_service.core.rejections import Unavailable
from coordinator_service.log.base import LogError, LogStore
from coordinator_service.ownership import Ownership
from coordinator_service.snapshots import Fold, fold_to_end, recover

_log = logging.getLogger(__name__)

FOLD_SECONDS = 0.5
"""A standby folds what was appended since at most this long ago."""
LOOK_SECONDS = 5.0
"""How often is looked for namespaces to follow, beside whenever the owners change."""
TIDY_EVENTS = 50_000


@dataclass(eq=False, slots=True)
class _Following:
    """One namespace. Who holds `folding` folds, or takes the fold away."""

    folding: asyncio.Lock = field(default_factory=asyncio.Lock)
    fold: Fold | None = None
    task: asyncio.Task[None] | None = None


class Standby:
    """Follows the logs of the namespaces that this replica is the next to own, at most so many."""

    def __init__(self, store: LogStore, ownership: Ownership, *, namespaces_max: int) -> None:
        self._store = store
        self._ownership = ownership
        self._namespaces_max = namespaces_max
        self._following: dict[str, _Following] = {}
        self._one_at_a_time = asyncio.Lock()
        self._changed = asyncio.Event()
        ownership.on_change(self._changed.set)

    async def keep(self) -> None:
        """Until cancelled."""
        try:
            while True:
                self._changed.clear()
                await self._look()
                with contextlib.suppress(TimeoutError):
                    async with asyncio.timeout(LOOK_SECONDS):
                        await self._changed.wait()
        finally:
            for name in list(self._following):
                self._drop(name)

    async def take(self, name: str) -> Fold | None:
        """The fold of a namespace as far as it has come, for its new owner alone; None where there is none."""
        following = self._following.get(name)
        if following is None:
            return None
        async with following.folding:
            self._drop(name)
            return following.fold

    def folded(self, name: str) -> int:
        """Up to which sequence a namespace is folded here; 0 where it is not."""
        following = self._following.get(name)
        return 0 if following is None or following.fold is None else following.fold.state.sequence

    async def _look(self) -> None:
        try:
            names = await self._store.namespaces()
        except LogError:
            return
        for name in list(self._following):
            if not self._may_be_ours(name):
                self._drop(name)
        for name in names:
            if len(self._following) >= self._namespaces_max:
                return
            if name not in self._following and self._ownership.is_next(name):
                self._begin(name)

    def _may_be_ours(self, name: str) -> bool:
        """Whether this replica is the next to own a namespace, or is about to own it."""
        try:
            return self._ownership.is_next(name) or self._ownership.owner_of(name) is None
        except Unavailable:
            return True  # it is not known who lives: what is folded stays true

    def _begin(self, name: str) -> None:
        following = self._following[name] = _Following()
        following.task = asyncio.get_running_loop().create_task(self._follow(name, following))

    def _drop(self, name: str) -> None:
        following = self._following.pop(name, None)
        if following is not None and following.task is not None:
            following.task.cancel()

    async def _follow(self, name: str, following: _Following) -> None:
        try:
            log = await self._store.open(name)
            async with self._one_at_a_time, following.folding:
                fold = following.fold = await recover(log)
            tidied = fold.state.sequence
            while True:
                await log.grown(fold.state.sequence)
                async with following.folding:
                    await fold_to_end(log, fold)
                    if fold.state.sequence >= tidied + TIDY_EVENTS:
                        tidy(fold.state)
                        tidied = fold.state.sequence
                await asyncio.sleep(FOLD_SECONDS)
        except LogError as fault:  # a log that went on as another one, too
            _log.info("namespace %s is not followed for now: %s", name, fault)
            following.fold = None
            if self._following.get(name) is following:
                del self._following[name]
