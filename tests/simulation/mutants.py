"""Faults put into the coordinator on purpose, one at a time, to show that the simulator would find them.

Each is a small slip that somebody could make, and that no test of a single module need notice.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any, TypeAlias

import pytest

from coordinator_service import sequencer, sessions, snapshots, tail
from coordinator_service.core import agents, attempts, capacity, decide, locks, requests, runs
from coordinator_service.core.commands import DetachSession, Release

Mutant: TypeAlias = Callable[[pytest.MonkeyPatch], None]


def answers_before_the_commit(patch: pytest.MonkeyPatch) -> None:
    """D4: an answer is given at once instead of with its batch."""

    def answer(_self: sequencer.Sequencer, respond: Any, outcome: Any) -> None:
        if isinstance(outcome, sequencer.Waiting) or not hasattr(outcome, "first_sequence"):
            respond(outcome)

    patch.setattr(sequencer.Sequencer, "_answer", answer)


def followers_see_what_is_not_durable(patch: pytest.MonkeyPatch) -> None:
    """D4: the tail takes events up when their append begins."""
    append = sequencer.Sequencer._append

    async def early(self: sequencer.Sequencer, batch: Any) -> None:
        self._on_committed(batch.committed)
        self._on_committed, committed = (lambda _: None), self._on_committed
        try:
            await append(self, batch)
        finally:
            self._on_committed = committed

    patch.setattr(sequencer.Sequencer, "_append", early)


def assigns_to_the_detached(patch: pytest.MonkeyPatch) -> None:
    """D6: an agent without a stream is given tasks."""

    def takes_tasks(agent: Any) -> bool:
        return bool(agent.session_id) and not agent.draining and len(agent.attempts) < agent.spec.slots

    patch.setattr(capacity, "takes_tasks", takes_tasks)


def a_release_wakes_nobody(patch: pytest.MonkeyPatch) -> None:
    """L2: the next in line is not granted what a holder gives back."""
    pump, released = locks.pump, locks.decide_release

    def release(d: Any, command: Any) -> Any:
        patch.setattr(locks, "pump", lambda *_: None)
        try:
            return released(d, command)
        finally:
            patch.setattr(locks, "pump", pump)

    patch.setitem(decide._DECIDERS, Release, release)


def a_resume_skips_one_event(patch: pytest.MonkeyPatch) -> None:
    """E2: a follower begins one too late."""
    begin = tail.TailFollower.__init__

    def late(self: tail.TailFollower, of: tail.Tail, after: int, check: Any) -> None:
        begin(self, of, min(after + 1, of.last), check)

    patch.setattr(tail.TailFollower, "__init__", late)


def repetitions_are_not_recognised(patch: pytest.MonkeyPatch) -> None:
    """D5: a request that comes again takes effect again."""
    patch.setattr(requests, "remembered", lambda *_: None)


def a_stale_stream_detaches_its_successor(patch: pytest.MonkeyPatch) -> None:
    """D6: whoever loses a stream detaches the session, though it was taken up by another stream since."""

    def detach(d: Any, command: Any) -> Any:
        agent = d.state.agent_of_session(command.session_id)
        latest = 0 if agent is None else agent.attached_sequence
        return agents.decide_detach(d, replace(command, attached_sequence=latest))

    patch.setitem(decide._DECIDERS, DetachSession, detach)


def a_dropped_namespace_forgets_its_waiters(patch: pytest.MonkeyPatch) -> None:
    """Invariant 8: when the namespace is dropped, whoever waits for a lock is told nothing."""
    stop = sequencer.Sequencer.stop

    def forget(self: sequencer.Sequencer, failure: Any) -> None:
        self._waiting.clear()
        stop(self, failure)

    patch.setattr(sequencer.Sequencer, "stop", forget)


def a_lost_attempt_is_not_tried_again(patch: pytest.MonkeyPatch) -> None:
    """A4, R10: the tasks of a session that ended are left as they are."""

    def lose(*_: Any) -> None:
        return

    patch.setattr(attempts, "lose", lose)


def a_snapshot_leaves_out_the_last_batch(patch: pytest.MonkeyPatch) -> None:
    """Invariant 7: a snapshot is named after the end of the log, but holds less."""
    tables = snapshots.encode_tables

    def encode(found: Any, *more: Any) -> bytes:
        found.published = dict(list(found.published.items())[:-1])
        return tables(found, *more)

    patch.setattr(snapshots, "encode_tables", encode)


def deadlines_are_not_watched(patch: pytest.MonkeyPatch) -> None:
    """D7: nothing comes due by itself."""
    patch.setattr(sequencer.Sequencer, "_watch_deadlines", lambda _: None)


def dependents_start_at_once(patch: pytest.MonkeyPatch) -> None:
    """R1: a task does not wait for all that it depends on."""
    finish = runs.finish_task

    def early(state: Any, run: Any, task: Any, status: Any, event: Any) -> None:
        for each in state.index.dependents.get((run.run_id, task.spec.task_id), ()):
            run.tasks[each].waiting_for = min(1, run.tasks[each].waiting_for)
        finish(state, run, task, status, event)

    patch.setattr(runs, "finish_task", early)


def a_new_stream_is_not_sent_what_it_misses(patch: pytest.MonkeyPatch) -> None:
    """A5: an agent that resumes is not told of the attempts that it does not know of."""
    welcome = sessions.SessionHub._join

    def join(self: sessions.SessionHub, stream: Any, opened: Any) -> None:
        welcome(self, stream, replace(opened, live=(), cancelling=()))

    patch.setattr(sessions.SessionHub, "_join", join)
