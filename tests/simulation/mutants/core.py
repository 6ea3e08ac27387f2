"""Faults in the core: locks, requests, sessions, attempts, runs and shared state."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from coordinator_service.core import (
    apply,
    attempts,
    capacity,
    circuits,
    conflicts,
    decide,
    lock_queues,
    lock_tables,
    locks,
    past_state,
    requests,
    runs,
    scheduler,
)
from coordinator_service.core.commands import Release
from coordinator_service.core.events import ResourceRequested
from coordinator_service.core.values import NS_PER_MS, LockMode
from tests.simulation.mutants.mutant import mutant


@mutant("a lock that is shared by others is granted to one who wants it alone", "1")
def a_lock_is_granted_twice(patch: pytest.MonkeyPatch) -> None:
    obstructed = lock_queues.is_obstructed

    def overlook(state: Any, resource: str, mode: LockMode, *rest: Any) -> bool:
        row = state.locks.get(resource)
        if row is not None and row.mode is LockMode.SHARED:
            return False
        return obstructed(state, resource, mode, *rest)

    patch.setattr(lock_queues, "is_obstructed", overlook)


@mutant("the next in line is not granted what a holder gives back", "8")
def a_release_wakes_nobody(patch: pytest.MonkeyPatch) -> None:
    pump, released = locks.pump, locks.decide_release

    def release(d: Any, command: Any) -> Any:
        patch.setattr(locks, "pump", lambda *_: None)
        try:
            return released(d, command)
        finally:
            patch.setattr(locks, "pump", pump)

    patch.setitem(decide._DECIDERS, Release, release)


@mutant("priority counts, and waiting does not: the low wait for ever", "L2")
def ageing_starves(patch: pytest.MonkeyPatch) -> None:
    def key(_state: Any, priority: int, _ready_at_ns: int, sequence: int) -> Any:
        return (-priority, 0, sequence)

    patch.setattr(lock_tables, "queue_key", key)


@mutant("an agent without a stream is given tasks", "D6")
def assigns_to_the_detached(patch: pytest.MonkeyPatch) -> None:
    def takes_tasks(agent: Any) -> bool:
        return bool(agent.session_id) and not agent.draining and len(agent.attempts) < agent.spec.slots

    patch.setattr(capacity, "takes_tasks", takes_tasks)


@mutant("an open circuit stays open when it has cooled down", "R14", first_seed=90)
def a_circuit_never_half_opens(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(circuits, "half_open", lambda *_: None)


@mutant("what an attempt or session does counts after its end", "L8", "4", "8", "AttributeError", "KeyError")
def a_fence_is_not_checked(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(decide, "_FENCED", ())


@mutant("whoever names locks is not asked whether it has them still", "L8")
def named_fences_are_not_checked(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(locks, "check_fences", lambda _: None)


@mutant("the lock that guards a path keeps nobody from writing it", "S6")
def a_guard_is_passed_by(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(conflicts, "_check_guards", lambda *_: None)


@mutant("a read of the past is of one event later", "D4")
def a_read_of_the_past_is_off_by_one(patch: pytest.MonkeyPatch) -> None:
    remembered = past_state._remembered

    def later(state: Any, command: Any) -> Any:
        found = remembered(state, replace(command, revision=min(command.revision + 1, state.sequence)))
        return None if found is None else replace(found, sequence=command.revision)

    patch.setattr(past_state, "_remembered", later)


@mutant("a request that comes again takes effect again", "D5")
def repetitions_are_not_recognised(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(requests, "remembered", lambda *_: None)


@mutant("requests are remembered for a little less than the window", "D5", "7")
def a_request_is_forgotten_early(patch: pytest.MonkeyPatch) -> None:
    forget = requests.forget_old

    def early(state: Any) -> None:
        limits = state.limits
        state.limits = replace(limits, request_window_ms=limits.request_window_ms * 9 // 10)
        try:
            forget(state)
        finally:
            state.limits = limits

    patch.setattr(requests, "forget_old", early)


@mutant("a change exactly as old as the window still conflicts", "S7", first_seed=140)
def the_conflict_window_is_off_by_its_boundary(patch: pytest.MonkeyPatch) -> None:
    def stands(theirs: Any, base: int | None, window_from_ns: int) -> bool:
        return theirs.revision > base if base is not None else theirs.time_ns >= window_from_ns

    patch.setattr(conflicts, "_stands", stands)


@mutant("a change right after the base of a write is passed over", "S5")
def the_base_of_a_write_is_off_by_one(patch: pytest.MonkeyPatch) -> None:
    def stands(theirs: Any, base: int | None, window_from_ns: int) -> bool:
        return theirs.revision > base + 1 if base is not None else theirs.time_ns > window_from_ns

    patch.setattr(conflicts, "_stands", stands)


@mutant("a read leaves out the last key", "D4", "S1")
def a_read_leaves_out_the_last_key(patch: pytest.MonkeyPatch) -> None:
    read = past_state.read

    def short(d: Any, command: Any) -> Any:
        found = read(d, command)
        return replace(found, entries=found.entries[:-1]) if len(found.entries) > 1 else found

    patch.setitem(decide._DECIDERS, decide.commands.GetState, short)


@mutant("the tasks of a session that ended are left as they are", "4", "8")
def a_lost_attempt_is_not_tried_again(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(attempts, "lose", lambda *_: None)


@mutant("a task does not wait for all that it depends on", "3")
def dependents_start_at_once(patch: pytest.MonkeyPatch) -> None:
    finish = runs.finish_task

    def early(state: Any, run: Any, task: Any, status: Any, event: Any) -> None:
        for each in state.index.dependents.get((run.run_id, task.spec.task_id), ()):
            run.tasks[each].waiting_for = min(1, run.tasks[each].waiting_for)
        finish(state, run, task, status, event)

    patch.setattr(runs, "finish_task", early)


@mutant("one attempt more than the limit of the namespace", "9")
def a_limit_is_off_by_one(patch: pytest.MonkeyPatch) -> None:
    closed_gate = scheduler.closed_gate

    def late(state: Any, *rest: Any) -> str:
        limits = state.limits
        state.limits = replace(limits, agents_running_max=limits.agents_running_max + 1)
        try:
            return closed_gate(state, *rest)
        finally:
            state.limits = limits

    patch.setattr(scheduler, "closed_gate", late)


@mutant("a wait for a lock ends a little early", "L6", first_seed=70)
def a_wait_ends_early(patch: pytest.MonkeyPatch) -> None:
    requested = apply._APPLIERS[ResourceRequested]

    def early(state: Any, event: Any, payload: Any) -> None:
        if payload.deadline_ns:
            payload = replace(payload, deadline_ns=max(event.time_ns + 1, payload.deadline_ns - NS_PER_MS))
        requested(state, event, payload)

    patch.setitem(apply._APPLIERS, ResourceRequested, early)
