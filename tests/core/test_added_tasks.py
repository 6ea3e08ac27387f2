"""Tasks that are added to a run while it lives."""

from __future__ import annotations

from typing import Any

import pytest

from coordinator_service.core import commands, reasons
from coordinator_service.core.commands import AddTasks, Caller
from coordinator_service.core.events import EventType
from coordinator_service.core.limits import Limits
from coordinator_service.core.rejections import (
    DependencyCycle,
    DependencyUnknown,
    InvalidField,
    LimitReached,
    NotFound,
    PermissionDenied,
    Rejection,
    RunOver,
    StaleAttempt,
)
from coordinator_service.core.specs import Dependency, RetryPolicy, RunSpec, TaskSpec, TaskTarget
from tests.core.conftest import OpenNamespace
from tests.core.driver import Namespace, caller, seconds, task

ONCE = RetryPolicy(attempts_max=1)


def adding(*tasks: TaskSpec, run_id: str = "run", last: bool = False) -> AddTasks:
    """A command that adds tasks."""
    return AddTasks(run_id=run_id, tasks=tasks, last=last)


def grow(namespace: Namespace, *tasks: TaskSpec, of: Caller | None = None, **fields: Any) -> int:
    """Tasks are added, outside of an attempt unless said otherwise."""
    return int(namespace.do(adding(*tasks, **fields), of or caller()).sequence)


def test_a_running_task_adds_tasks_to_its_run(namespace: Namespace) -> None:
    """R15: they wait for tasks that were there and for each other, whatever their order; one batch, caused by the
    attempt, and the run is over when they are."""
    namespace.open("a", "work", slots=9)
    namespace.submit(task("plan"), task("other"))
    inside = namespace.inside("plan")
    before = namespace.state.sequence
    sequence = grow(namespace, task("last", "page"), task("page", "other"), of=inside)
    extended, *added = namespace.events[before:]
    assert sequence == extended.sequence
    assert [event.type.name for event in (extended, *added)] == ["RUN_EXTENDED", "TASK_ADDED", "TASK_ADDED"]
    assert (extended.cause, extended.task_id, extended.agent_id) == (inside.attempt_token, "plan", "a")
    assert {event.cause for event in added} == {sequence}
    assert [namespace.task(each).group for each in ("other", "page", "last")] == [0, 1, 2]
    for each in ("plan", "other", "page"):
        assert not namespace.run().status.over
        namespace.complete(each)
    namespace.complete("last")
    assert namespace.run().status.name == "SUCCEEDED"


def test_what_waits_for_nothing_that_is_not_over_starts_at_once(namespace: Namespace) -> None:
    """R15, R4: in the very decision, with the results of what is over already."""
    namespace.open("a", "work", slots=9)
    namespace.submit(task("plan"), task("done"))
    namespace.complete("done", result=b"r")
    grow(namespace, task("new", "done", after=("done",)), of=namespace.inside("plan"))
    assert namespace.task("new").status.name == "RUNNING"
    attempt = namespace.do(commands.GetAttempt(attempt_token=namespace.token("new")))
    assert [each.task_id for each in attempt.task.results] == ["done"]


def test_names_and_capabilities_mean_what_is_there_then(namespace: Namespace) -> None:
    """R15, R1: resolved once, over old and new tasks; old ones never wait for new ones."""
    namespace.open("a", "work", slots=9)
    old = TaskSpec(task_id="old", target=TaskTarget(capability="work"), after=(Dependency(capability="paint"),))
    namespace.submit(task("plan"), old)
    paint = task("paint", capability="paint")
    new = TaskSpec(
        task_id="new",
        target=TaskTarget(capability="work"),
        depends_on=(Dependency(capability="paint"), Dependency(capability="work")),
    )
    grow(namespace, paint, new, of=namespace.inside("plan"))
    assert namespace.task("old").after == ()
    assert namespace.task("new").depends_on == ("paint", "plan", "old")


def test_what_depends_on_a_failure_is_skipped_when_it_is_added(namespace: Namespace) -> None:
    """R15, R10: it would wait for ever; everything downstream names the task that failed."""
    namespace.open("a", "work", slots=9)
    namespace.submit(task("plan"), task("bad", retry=ONCE), task("lost", "bad"))
    namespace.fail("bad")
    grow(namespace, task("end", "new"), task("new", "lost"), task("after", after=("bad",)), of=namespace.inside("plan"))
    statuses = namespace.statuses()
    assert [statuses[each] for each in ("new", "end", "after")] == ["SKIPPED", "SKIPPED", "RUNNING"]
    for each in ("new", "end"):
        error = namespace.task(each).error
        assert error is not None
        assert error.cause_task_id == "bad"
    namespace.complete("after")
    namespace.complete("plan")
    assert namespace.run().status.name == "PARTIAL_FAILURE"


def test_an_open_run_is_over_when_it_was_closed(namespace: Namespace) -> None:
    """R15: it may begin with nothing, grows from outside, and waits for AddTasks{last}."""
    namespace.open("a", "work", slots=9)
    namespace.submit(open=True)
    assert namespace.run().status.name == "PENDING"
    grow(namespace, task("one"))
    namespace.complete("one")
    assert (namespace.run().status.name, namespace.run().open) == ("RUNNING", True)
    grow(namespace, task("two", "one"), last=True)
    assert not namespace.run().open
    namespace.refuse(PermissionDenied, adding(task("late")), caller())
    namespace.complete("two")
    assert namespace.run().status.name == "SUCCEEDED"


def test_closing_may_be_all_that_is_left_to_do(namespace: Namespace) -> None:
    """R15, R13: with everything over the run ends in the decision that closes it; one without any task succeeded."""
    namespace.open("a", "work", slots=9)
    namespace.submit(task("t"), open=True)
    namespace.complete("t")
    grow(namespace, last=True)
    assert namespace.run().status.name == "SUCCEEDED"
    namespace.submit(run_id="empty", open=True)
    grow(namespace, run_id="empty", last=True)
    assert namespace.run("empty").status.name == "SUCCEEDED"


@pytest.mark.parametrize("how", ["cancelled", "timed out", "failed fast"])
def test_an_open_run_that_is_stopped_is_over_without_being_closed(namespace: Namespace, how: str) -> None:
    """R15, R11, R12: nobody has to close what was stopped."""
    namespace.open("a", "work", slots=9)
    namespace.submit(task("t", retry=ONCE), open=True, fail_fast=True, timeout_ns=seconds(10))
    if how == "cancelled":
        namespace.do(commands.CancelRun(run_id="run"))
        namespace.fail("t", cancelled=True)
    elif how == "timed out":
        namespace.complete("t")
        namespace.advance(10)
    else:
        namespace.fail("t")
    expected = {"cancelled": "CANCELLED", "timed out": "TIMED_OUT", "failed fast": "FAILED"}
    assert namespace.run().status.name == expected[how]
    namespace.refuse(RunOver, adding(task("late"), last=True), caller())


@pytest.mark.parametrize(
    ("added", "refusal", "where"),
    [
        ((task("a", "b"), task("b", "c"), task("c", "a")), DependencyCycle, ""),
        ((task("a", "plan", "a"),), DependencyCycle, ""),
        ((task("plan"),), InvalidField, "tasks[0].task_id"),
        ((task("a"), task("a")), InvalidField, "tasks[1].task_id"),
        ((task("a"), task("b", "ghost")), DependencyUnknown, "tasks[1].depends_on[0]"),
        ((task("a", policy="ghost"),), InvalidField, "tasks[0].policy"),
        ((), InvalidField, "tasks"),
    ],
)
def test_what_cannot_be_added_is_refused_precisely(
    namespace: Namespace, added: tuple[TaskSpec, ...], refusal: type[Rejection], where: str
) -> None:
    """R15, R3: a circle, a duplicate id, a dependency on nothing, an unknown policy, no task: nothing is stored."""
    namespace.open("a", "work")
    namespace.submit(task("plan"))
    rejection = namespace.refuse(refusal, adding(*added), namespace.inside("plan"))
    if isinstance(rejection, InvalidField):
        assert [field for field, _ in rejection.violations] == [where]


def test_only_the_run_itself_and_who_opened_it_may_add(namespace: Namespace) -> None:
    """R15: an attempt of another run, a stale one, an agent that runs nothing of it, another principal: refused."""
    session = namespace.open("a", "work", slots=9, principal="agents")
    namespace.submit(task("t"))
    namespace.submit(task("t"), run_id="other")
    inside = namespace.inside("t", "other")
    named = Caller(principal="agents", session_id=inside.session_id, attempt_token=inside.attempt_token)
    namespace.refuse(PermissionDenied, adding(task("new")), named)
    namespace.refuse(PermissionDenied, adding(task("new")), session)
    namespace.refuse(PermissionDenied, adding(task("new")), caller())
    stale = Caller(principal="agents", session_id=session.session_id, attempt_token=1)
    namespace.refuse(StaleAttempt, adding(task("new")), stale)
    spec = RunSpec(run_id="open", open=True)
    namespace.do(commands.SubmitRun(spec=spec), caller("alice"))
    namespace.refuse(PermissionDenied, adding(task("new"), run_id="open"), caller("bob"))
    namespace.do(adding(task("new"), run_id="open"), caller("alice"))


def test_a_run_that_is_over_or_unknown_does_not_grow(open_namespace: OpenNamespace) -> None:
    """R15: RUN_OVER also when it is being stopped or no longer in memory; NOT_FOUND."""
    namespace = open_namespace(Limits(run_retention_ms=1000))
    namespace.open("a", "work")
    namespace.refuse(NotFound, adding(task("new")), caller())
    namespace.submit(task("t"), open=True)
    namespace.do(commands.CancelRun(run_id="run"))
    namespace.refuse(RunOver, adding(task("new")), caller())
    namespace.fail("t", cancelled=True)
    namespace.refuse(RunOver, adding(task("new")), caller())
    namespace.advance(5)
    namespace.update("k", 1)
    namespace.refuse(RunOver, adding(task("new")), caller())


def test_limits_count_what_is_there_already(open_namespace: OpenNamespace) -> None:
    """R15: the tasks of a run, and those of the namespace."""
    namespace = open_namespace(Limits(run_tasks_max=3, tasks_live_max=4))
    namespace.submit(task("t1"), task("t2"), open=True)
    namespace.refuse(InvalidField, adding(task("t3"), task("t4")), caller())
    namespace.submit(task("t1"), run_id="other")
    grow(namespace, task("t3"))
    assert namespace.state.tasks_live == 4
    namespace.submit(run_id="open", open=True)
    namespace.refuse(LimitReached, adding(task("t1"), run_id="open"), caller())


def test_a_repetition_adds_nothing(namespace: Namespace) -> None:
    """D5, R15: the same answer again."""
    namespace.submit(open=True)
    again = Caller(request_id="r", method="AddTasks", digest=b"d")
    first = namespace.do(adding(task("t")), again)
    recall = namespace.do(adding(task("t")), again)
    assert (recall.first_sequence, recall.count) == (first.sequence, 2)
    assert len(namespace.of_type(EventType.TASK_ADDED)) == 1
    assert namespace.of_type(EventType.RUN_EXTENDED)[0].reason == reasons.CALLER
