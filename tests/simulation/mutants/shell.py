"""Faults in the shell: the sequencer, followers, sessions, leases, snapshots and the fence of the store."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from typing import Any

import msgspec
import pytest

from coordinator_service import (
    clock,
    followed_log,
    leases,
    named_subscriptions,
    sequencer,
    sessions,
    snapshots,
    tail,
)
from coordinator_service.core import agents, decide
from coordinator_service.core.answers import StateRead
from coordinator_service.core.commands import DetachSession
from coordinator_service.log import memory
from coordinator_service.log.base import LogError
from coordinator_service.rpc.state_selector import StateSelector
from tests.simulation.mutants.mutant import mutant


@mutant("an answer is given at once instead of with its batch", "D4", "6")
def answers_before_the_commit(patch: pytest.MonkeyPatch) -> None:
    def answer(_self: sequencer.Sequencer, respond: Any, outcome: Any) -> None:
        if isinstance(outcome, sequencer.Waiting) or not hasattr(outcome, "first_sequence"):
            respond(outcome)

    patch.setattr(sequencer.Sequencer, "_answer", answer)


@mutant("a read is released before the commit of what it saw", "D4", "6", "S1")
def reads_before_the_commit(patch: pytest.MonkeyPatch) -> None:
    answer = sequencer.Sequencer._answer

    def early(self: sequencer.Sequencer, respond: Any, outcome: Any) -> None:
        if isinstance(outcome, StateRead):
            respond(outcome)
        else:
            answer(self, respond, outcome)

    patch.setattr(sequencer.Sequencer, "_answer", early)


@mutant("followers see events when their append begins", "D4", "11", "E2", "E5", "S1", "X1")
def followers_see_what_is_not_durable(patch: pytest.MonkeyPatch) -> None:
    settle = sequencer.Sequencer._settle

    async def early(self: sequencer.Sequencer, batch: Any) -> None:
        if batch.committed:
            self._on_committed(batch.committed)
        self._on_committed, committed = (lambda _: None), self._on_committed
        try:
            await settle(self, batch)
        finally:
            self._on_committed = committed

    patch.setattr(sequencer.Sequencer, "_settle", early)


@mutant("a batch that the disk had no room for is acknowledged", "D3", "D4", "E5", "S1", "5", "7", "ValueError")
def a_full_disk_goes_unnoticed(patch: pytest.MonkeyPatch) -> None:
    append = memory.MemoryLog.append

    async def forgiving(self: memory.MemoryLog, batch: Any, epoch: int) -> None:
        try:
            await append(self, batch, epoch)
        except LogError as error:
            if "space" not in str(error):
                raise

    patch.setattr(memory.MemoryLog, "append", forgiving)


@mutant("whoever waits for a lock is told nothing when the namespace is dropped", "8", first_seed=25)
def a_dropped_namespace_forgets_its_waiters(patch: pytest.MonkeyPatch) -> None:
    stop = sequencer.Sequencer.stop

    def forget(self: sequencer.Sequencer, failure: Any) -> None:
        self._waiting.clear()
        stop(self, failure)

    patch.setattr(sequencer.Sequencer, "stop", forget)


@mutant("nothing comes due by itself", "8")
def deadlines_are_not_watched(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(sequencer.Sequencer, "_watch_deadlines", lambda _: None)


@mutant("a resume begins one event too late", "E2", "E5", "S1", "X1", "11", "8", "KeyError", "Unavailable")
def a_resume_skips_one_event(patch: pytest.MonkeyPatch) -> None:
    begin = tail.TailFollower.__init__

    def late(self: tail.TailFollower, of: tail.Tail, after: int, check: Any) -> None:
        begin(self, of, min(after + 1, of.last), check)

    patch.setattr(tail.TailFollower, "__init__", late)


@mutant(
    "a cursor below the oldest event goes on from there, without a word",
    *("11", "E2", "E4", "E5", "S1", "X1", "KeyError"),
    first_seed=100,
)
def a_gap_is_passed_over_in_silence(patch: pytest.MonkeyPatch) -> None:
    async def kept(_self: followed_log.FollowedLog, _after: int) -> None:
        return

    async def read(self: tail.TailFollower, *, events_max: int = 1000) -> Any:
        found = await self._tail.read(self._position, events_max)
        self._position = found[-1].sequence
        return found

    patch.setattr(followed_log.FollowedLog, "check_kept", kept)
    patch.setattr(tail.TailFollower, "read", read)


@mutant("a watcher of shared state is not told of what is deleted", "S1")
def a_deletion_is_not_watched(patch: pytest.MonkeyPatch) -> None:
    covers = StateSelector.matches

    def matches(self: StateSelector, event: Any) -> bool:
        return covers(self, event) and not event.payload.deletes

    patch.setattr(StateSelector, "matches", matches)


@mutant("a consumer is told that its cursor has moved before that is durable", "E5")
def a_cursor_moves_before_it_is_durable(patch: pytest.MonkeyPatch) -> None:
    written = named_subscriptions.NamedSubscriptions._written
    kept: set[asyncio.Future[None]] = set()

    async def later(self: named_subscriptions.NamedSubscriptions) -> None:
        writing = asyncio.ensure_future(written(self))
        kept.add(writing)
        writing.add_done_callback(lambda done: done.cancelled() or done.exception())

    patch.setattr(named_subscriptions.NamedSubscriptions, "_written", later)


@mutant(
    "whoever loses a stream detaches the session, though another stream took it up", "D6", "A5", "8", first_seed=580
)
def a_stale_stream_detaches_its_successor(patch: pytest.MonkeyPatch) -> None:
    def detach(d: Any, command: Any) -> Any:
        agent = d.state.agent_of_session(command.session_id)
        latest = 0 if agent is None else agent.attached_sequence
        return agents.decide_detach(d, replace(command, attached_sequence=latest))

    patch.setitem(decide._DECIDERS, DetachSession, detach)


@mutant("an agent that resumes is not told of the attempts that it does not know of", "A5", "8")
def a_new_stream_is_not_sent_what_it_misses(patch: pytest.MonkeyPatch) -> None:
    welcome = sessions.SessionHub._join

    def join(self: sessions.SessionHub, stream: Any, opened: Any) -> None:
        welcome(self, stream, replace(opened, live=(), cancelling=()))

    patch.setattr(sessions.SessionHub, "_join", join)


@mutant("a heartbeat does not make a lease whole", "D7")
def a_lease_is_not_renewed(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(leases.Leases, "renew", lambda self, key: 1 if key in self._leases else 0)


@mutant("namespace time follows a wall clock that jumps", "D2", "D7", "8")
def time_follows_the_wall_clock(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(clock.NamespaceClock, "now_ns", lambda self: self._clock.wall_ns())


@mutant("a snapshot is named after the end of the log, and holds less", "7", "LogCorrupt")
def a_snapshot_leaves_out_the_last_batch(patch: pytest.MonkeyPatch) -> None:
    tables = snapshots.encode_tables

    def encode(found: Any, *more: Any) -> bytes:
        found.published = dict(list(found.published.items())[:-1])
        return tables(found, *more)

    patch.setattr(snapshots, "encode_tables", encode)


@mutant("a spoiled snapshot is believed", "7", "8", "DecodeError", "ValidationError", first_seed=25)
def a_spoiled_snapshot_is_believed(patch: pytest.MonkeyPatch) -> None:
    def decode(data: bytes) -> snapshots.Folds:
        return msgspec.msgpack.decode(data[snapshots._HEAD_BYTES :], type=snapshots.Folds)

    patch.setattr(snapshots, "decode_folds", decode)


@mutant(
    "a store that was replaced may still write, whatever its epoch",
    *("5", "7", "12", "D3", "E5", "S1", "ValueError"),
    first_seed=105,
)
def a_zombie_is_not_fenced(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(memory.MemoryStore, "check_open", lambda _: None)
    patch.setattr(memory.MemoryLog, "_check_epoch", lambda *_: None)
