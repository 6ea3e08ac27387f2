"""What is forgotten, and when: by apply alone, by event time."""

from __future__ import annotations

import pytest

from coordinator_service.core import commands
from coordinator_service.core.ages import FORGOTTEN_AT_ONCE
from coordinator_service.core.answers import FromLog, Recall
from coordinator_service.core.apply import apply
from coordinator_service.core.commands import Caller
from coordinator_service.core.evicted_runs import EvictedRun
from coordinator_service.core.fold import restored
from coordinator_service.core.limits import Limits
from coordinator_service.core.references import oldest_needed
from coordinator_service.core.rejections import AlreadyExists, NotFound, RunOver
from coordinator_service.core.specs import RunSpec
from coordinator_service.core.state import NamespaceState
from tests.core.conftest import OpenNamespace
from tests.core.driver import Namespace, asking, caller, copied, encoded, task, updating

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


def forgets_alike(namespace: Namespace, copy: NamespaceState) -> None:
    """After a pause, event by event: the live state and a copy that was restored before forget the same."""
    namespace.advance(5)
    for _ in range(3):
        before = namespace.state.sequence
        namespace.do(commands.Publish(drafts=(commands.EventDraft(name="later"),)))
        for event in namespace.events[before:]:
            apply(copy, event)
        assert encoded(copy.tables()) == encoded(namespace.state.tables())


def test_what_was_forgotten_early_is_not_forgotten_again(open_namespace: OpenNamespace) -> None:
    """D8, D1: requests that were withdrawn delay the end of no other, in the live state as in a restored one."""
    namespace = open_namespace(LIMITS)
    for number in range(2 * FORGOTTEN_AT_ONCE):
        who = Caller(request_id=f"r{number}", digest=b"1", method="M")
        if number < FORGOTTEN_AT_ONCE // 2:
            token = namespace.hold(Caller(), "a", holder="x")
            waiting = namespace.do(asking("a", holder="me"), who)
            namespace.do(commands.WithdrawRequest(request_sequence=waiting.request_sequence))
            namespace.release(Caller(), token)
        else:
            namespace.do(commands.Publish(drafts=(commands.EventDraft(name="built"),)), who)
    forgets_alike(namespace, restored("test", copied(namespace.state.tables())))


@pytest.mark.parametrize("returned", [0, FORGOTTEN_AT_ONCE // 2])
def test_agents_that_came_back_delay_the_end_of_no_other(open_namespace: OpenNamespace, returned: int) -> None:
    """D8, D1: nor does it matter in which order they left when they left at one time."""
    namespace = open_namespace(LIMITS)
    for number in range(returned):
        namespace.end(namespace.open(f"returns-{number}"))
        namespace.open(f"returns-{number}")
    for session in [namespace.open(f"a-{number}") for number in reversed(range(2 * FORGOTTEN_AT_ONCE))]:
        namespace.end(session)
    forgets_alike(namespace, restored("test", copied(namespace.state.tables())))


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


def test_what_is_known_of_evicted_runs_is_bounded(open_namespace: OpenNamespace) -> None:
    """D8: by time and by number, the oldest first; then the id is free and the run unknown."""
    limits = Limits(run_retention_ms=1000, evicted_retention_ms=60_000, evicted_runs_max=3)
    namespace = open_namespace(limits)
    namespace.open("a", "work")
    for number in range(6):
        namespace.submit(task("t"), run_id=f"run-{number}")
        namespace.complete("t", f"run-{number}")
        namespace.advance(2)
    namespace.update("k", 1, writer="w")
    assert list(namespace.state.evicted) == ["run-3", "run-4", "run-5"]
    namespace.refuse(NotFound, commands.GetRun(run_id="run-2"))
    namespace.submit(task("t"), run_id="run-2")
    namespace.complete("t", "run-2")
    namespace.advance(57)
    namespace.update("k", 2, writer="w")
    assert list(namespace.state.evicted) == ["run-5", "run-2"]
    namespace.advance(60)
    namespace.update("k", 3, writer="w")
    assert list(namespace.state.evicted) == []


def test_remembered_requests_are_bounded(open_namespace: OpenNamespace) -> None:
    """D5, D8: beyond requests_max the oldest go first; those that stay are answered as before."""
    namespace = open_namespace(Limits(requests_max=3))
    callers = [caller("p", f"r{number}", digest=b"d") for number in range(5)]
    revisions = [namespace.update(f"k/{number}", number, each) for number, each in enumerate(callers)]
    assert len(namespace.state.requests) == 3
    last = namespace.state.sequence
    for number in (2, 3, 4):
        recall = namespace.do(updating(f"k/{number}", number), callers[number])
        assert (type(recall), recall.first_sequence) == (Recall, revisions[number])
    assert namespace.state.sequence == last
    for number in range(5):
        draft = commands.EventDraft(name="n", event_id=f"e{number}")
        namespace.do(commands.Publish(drafts=(draft,)))
    assert list(namespace.state.published) == ["e2", "e3", "e4"]


def test_names_made_up_for_each_agent_do_not_pile_up(open_namespace: OpenNamespace) -> None:
    """D8, R2: beyond roles_max a role goes with its last agent; one that still has an agent stays, and so do others."""
    namespace = open_namespace(Limits(agent_retention_ms=1000, roles_max=2))
    namespace.open("stays", "work")
    namespace.open("shared-1", "work", name="shared")
    for number in range(5):
        namespace.end(namespace.open(f"temporary-{number}", "work"))
        namespace.end(namespace.open(f"shared-{number + 2}", "work", name="shared"))
        namespace.advance(2)
        namespace.update("k", number, writer="w")
    assert set(namespace.state.roles) == {"stays", "shared"}


def test_what_the_log_is_needed_for(open_namespace: OpenNamespace) -> None:
    """D8, R15, D5: everything from the oldest run in memory and the oldest remembered request on."""
    namespace = open_namespace(LIMITS)
    namespace.open("a", "work")
    namespace.advance(5)
    namespace.update("k", 0, writer="w")
    assert oldest_needed(namespace.state) == namespace.state.sequence + 1
    namespace.submit(task("t"))
    submitted = namespace.run().sequence
    namespace.update("k", 1, caller("p", "r", digest=b"d"), writer="w")
    assert oldest_needed(namespace.state) == submitted
    namespace.complete("t")
    namespace.advance(0.2)
    request = namespace.update("k", 2, caller("p", "s", digest=b"d"), writer="w")
    namespace.advance(0.4)
    assert oldest_needed(namespace.state) == submitted
    namespace.advance(0.5)
    namespace.update("k", 3, caller("p", "u", digest=b"d"), writer="w")
    assert oldest_needed(namespace.state) > request
