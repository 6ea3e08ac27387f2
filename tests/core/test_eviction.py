"""What is forgotten, and when: by apply alone, by event time."""

from __future__ import annotations

import pytest

from coordinator_service.core import commands
from coordinator_service.core.answers import FromLog
from coordinator_service.core.apply import apply
from coordinator_service.core.evicted_runs import EvictedRun
from coordinator_service.core.fold import restored
from coordinator_service.core.limits import Limits
from coordinator_service.core.rejections import AlreadyExists, NotFound, RunOver
from coordinator_service.core.specs import RunSpec
from coordinator_service.core.state import NamespaceState
from tests.core.conftest import OpenNamespace
from tests.core.driver import Namespace, copied, encoded, task

LIMITS = Limits(run_retention_ms=1000, agent_retention_ms=2000, request_window_ms=500)


def test_a_finished_run_goes_after_its_retention(open_namespace: OpenNamespace) -> None:
    """D8: by event time: nothing goes while nothing happens, and the first event after its time takes it along."""
    namespace = open_namespace(LIMITS)
    namespace.open("a", "work")
    namespace.submit(task("t"))
    namespace.submit(task("t"), run_id="unfinished", policy="high_priority")
    namespace.complete("t")
    namespace.advance(5)
    assert namespace.do(commands.GetRun(run_id="run")).run.status.name == "SUCCEEDED"
    namespace.update("k", 1)
    assert isinstance(namespace.do(commands.GetRun(run_id="run")), FromLog)
    assert list(namespace.state.runs) == ["unfinished"]
    assert namespace.state.tasks_live == 1


def test_a_run_that_is_gone_keeps_its_id(open_namespace: OpenNamespace) -> None:
    """D8: the log still has it, so another of that name is refused, and a cancel comes too late."""
    namespace = open_namespace(LIMITS)
    namespace.open("a", "work")
    namespace.submit(task("t"))
    namespace.complete("t")
    namespace.advance(5)
    namespace.update("k", 1)
    namespace.refuse(AlreadyExists, commands.SubmitRun(spec=RunSpec(run_id="run", tasks=(task("t"),))))
    namespace.refuse(RunOver, commands.CancelRun(run_id="run"))


def test_a_run_that_is_gone_is_told_again_from_its_events(open_namespace: OpenNamespace) -> None:
    """D8: what the log says of it is what was known of it, to the last task."""
    namespace = open_namespace(LIMITS)
    namespace.open("a", "work")
    namespace.submit(task("t"), task("u", "t"))
    namespace.complete("t")
    namespace.complete("u")
    known = namespace.do(commands.GetRun(run_id="run")).run
    namespace.advance(5)
    namespace.update("k", 1)
    asked = namespace.do(commands.GetRun(run_id="run"))
    evicted = EvictedRun("default", asked)
    evicted.take(event for event in namespace.events if asked.first_sequence <= event.sequence <= asked.last_sequence)
    assert evicted.answer().run == known
    nothing = namespace.do(commands.GetTaskResult(run_id="run", task_id="nothing"))
    unknown = EvictedRun("default", nothing)
    unknown.take(namespace.events)
    assert isinstance(unknown.answer(), NotFound)


def test_a_disconnected_agent_goes_but_its_role_stays(open_namespace: OpenNamespace) -> None:
    """D8, R2: runs made of agents still know the name."""
    namespace = open_namespace(LIMITS)
    namespace.end(namespace.open("a-1", "work", name="a"))
    returning = namespace.open("b", "work")
    namespace.end(returning)
    namespace.advance(1)
    namespace.open("b", "work")
    namespace.advance(1)
    namespace.update("k", 1)
    assert list(namespace.state.agents) == ["b"]
    assert "a" in namespace.state.roles


def test_agents_go_in_the_order_in_which_they_left(open_namespace: OpenNamespace) -> None:
    """D8, D1: a state restored from a snapshot forgets exactly what the live one forgets."""
    namespace = open_namespace(LIMITS)
    early, late = namespace.open("early"), namespace.open("late")
    namespace.end(late)
    namespace.advance(1)
    namespace.end(early)
    namespace.advance(1)
    namespace.update("k", 1)
    assert list(namespace.state.agents) == ["early"]


def test_eviction_is_part_of_the_fold(open_namespace: OpenNamespace) -> None:
    """D8, D1: a fold from the start and one from a copy taken halfway come to the same bytes (invariant 7)."""
    namespace = open_namespace(LIMITS)
    namespace.open("a", "work")
    halfway = None
    for number in range(20):
        namespace.submit(task("t"), run_id=f"run-{number}")
        namespace.complete("t", f"run-{number}")
        namespace.advance(0.3)
        if number == 10:
            halfway = copied(namespace.state.tables())
    assert halfway is not None
    from_start, from_copy = NamespaceState("test"), restored("test", halfway)
    for event in namespace.events:
        apply(from_start, event)
        if event.sequence > halfway.sequence:
            apply(from_copy, event)
    live = encoded(namespace.state.tables())
    assert encoded(from_start.tables()) == encoded(from_copy.tables()) == live
    assert len(namespace.state.runs) < 6


def test_apply_takes_the_next_event_and_no_other(namespace: Namespace) -> None:
    """D2: a gap or a repetition is a fault, not a state."""
    state = NamespaceState("test")
    first = namespace.events[0]
    apply(state, first)
    namespace.update("k", 1)
    namespace.update("k", 1, writer="me", base=namespace.state.sequence)
    for event in (first, namespace.events[2]):
        with pytest.raises(ValueError, match="does not follow"):
            apply(state, event)
