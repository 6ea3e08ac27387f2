"""Runs from their submission to the end of the last task."""

from __future__ import annotations

import pytest

from coordinator_service.core import commands, reasons
from coordinator_service.core.events import EventType, RunCompleted, RunSubmitted
from coordinator_service.core.limits import Limits
from coordinator_service.core.rejections import (
    AlreadyExists,
    DependencyCycle,
    DependencyUnknown,
    InvalidField,
    LimitReached,
    NotFound,
    RunOver,
)
from coordinator_service.core.specs import Dependency, RetryPolicy, RunSpec, TaskSpec
from coordinator_service.core.values import NS_PER_SECOND, RunStatus
from tests.core.conftest import OpenNamespace
from tests.core.driver import Namespace, seconds, task

ONCE = RetryPolicy(attempts_max=1)


def submitting(
    *tasks: TaskSpec, run_id: str = "run", agents: tuple[str, ...] = (), policy: str = ""
) -> commands.SubmitRun:
    """A command that submits a run."""
    return commands.SubmitRun(spec=RunSpec(run_id=run_id, tasks=tasks, agents=agents, policy=policy))


def test_a_run_is_accepted_whole_in_one_decision(namespace: Namespace) -> None:
    """R3: RUN_SUBMITTED and one TASK_ADDED a task, and what can start starts, in one batch."""
    namespace.open("a", "work")
    decision = namespace.decide(submitting(task("first"), task("second", "first")))
    assert [event.type.name for event in decision.events] == [
        "RUN_SUBMITTED",
        "TASK_ADDED",
        "TASK_ADDED",
        "TASK_ASSIGNED",
    ]
    assert namespace.run().status is RunStatus.RUNNING


def test_a_run_without_an_id_is_named_after_its_event(namespace: Namespace) -> None:
    """R3: every run has a name, and the answer says which."""
    run_id = namespace.submit(task("t"), run_id="")
    [submitted] = namespace.of_type(EventType.RUN_SUBMITTED)
    assert run_id == f"run-{submitted.sequence}" == submitted.run_id


def test_a_run_id_is_used_once(namespace: Namespace) -> None:
    """R3: a second run under the same id is refused, and the first stays as it was."""
    namespace.submit(task("t"))
    namespace.refuse(AlreadyExists, submitting(task("other")))


def test_a_duplicate_task_id_is_refused(namespace: Namespace) -> None:
    """R3: a duplicate id is refused with the field that repeats it, and nothing is stored."""
    rejection = namespace.refuse(InvalidField, submitting(task("t"), task("t")))
    assert rejection.violations[0][0] == "run.tasks[1].task_id"


def test_a_cycle_is_refused_and_named(namespace: Namespace) -> None:
    """R3: circular dependencies are refused with the circle, each on the one before."""
    rejection = namespace.refuse(DependencyCycle, submitting(task("a", "c"), task("b", "a"), task("c", "b"), task("d")))
    start = rejection.task_ids.index("a")
    assert (*rejection.task_ids[start:], *rejection.task_ids[:start]) == ("a", "b", "c")


def test_a_dependency_on_nothing_is_refused(namespace: Namespace) -> None:
    """R1, R3: a depends_on that means no task is refused with its place."""
    rejection = namespace.refuse(DependencyUnknown, submitting(task("t", "ghost")))
    assert rejection.violations[0][0] == "run.tasks[0].depends_on[0]"
    assert "ghost" in rejection.violations[0][1]


@pytest.mark.parametrize(
    ("spec", "why"),
    [
        (RunSpec(run_id="run"), "at least one"),
        (RunSpec(run_id="run", tasks=(task("t"),), agents=("a",)), "either"),
        (RunSpec(run_id="run", tasks=(task("t"),), policy="unheard-of"), "unheard-of"),
        (RunSpec(run_id="run", tasks=(task("t", policy="unheard-of"),)), "run.tasks[0].policy"),
    ],
)
def test_a_run_that_makes_no_sense_is_refused(namespace: Namespace, spec: RunSpec, why: str) -> None:
    """R3, R17: no tasks, tasks beside agents, a policy that does not exist."""
    assert why in namespace.refuse(InvalidField, commands.SubmitRun(spec=spec)).message


@pytest.mark.parametrize(
    ("limits", "kind", "why"),
    [
        (Limits(run_tasks_max=1), InvalidField, "run.tasks"),
        (Limits(tasks_live_max=1), LimitReached, "tasks_live_max"),
        (Limits(runs_live_max=0), LimitReached, "runs_live_max"),
    ],
)
def test_more_than_the_limits_is_refused(
    open_namespace: OpenNamespace, limits: Limits, kind: type[InvalidField], why: str
) -> None:
    """R3: too many tasks or runs are refused whole."""
    namespace = open_namespace(limits)
    assert why in namespace.refuse(kind, submitting(task("one"), task("two"))).message


def test_a_run_of_agents_has_a_task_for_each_name(namespace: Namespace) -> None:
    """R2: the id of a task is the agent's name; dependencies and afters are those of its latest registration."""
    on_infrastructure = (Dependency(agent_name="infrastructure"),)
    namespace.end(namespace.open("i-1", "provision", name="infrastructure"))
    namespace.open("c-1", "migrate", name="content", depends_on=on_infrastructure)
    namespace.open(
        "q-1", "check", name="quality", depends_on=(Dependency(capability="migrate"),), after=on_infrastructure
    )
    namespace.do(submitting(agents=("quality", "content", "infrastructure")))
    assert namespace.task("content").depends_on == ("infrastructure",)
    assert (namespace.task("quality").depends_on, namespace.task("quality").after) == (
        ("content",),
        ("infrastructure",),
    )
    assert namespace.statuses() == {"quality": "PENDING", "content": "PENDING", "infrastructure": "READY"}
    namespace.open("i-2", "provision", name="infrastructure")
    assert namespace.task("infrastructure").agent_id == "i-2"


def test_an_agent_that_never_registered_is_refused(namespace: Namespace) -> None:
    """R2: never registered: refused."""
    namespace.open("client")
    for name in ("ghost", "client"):
        rejection = namespace.refuse(InvalidField, submitting(agents=(name,)))
        assert rejection.violations[0][0] == "run.agents[0]"


def test_a_failure_skips_what_is_downstream_and_nothing_else(namespace: Namespace) -> None:
    """R10: everything downstream by depends_on is SKIPPED naming the cause; everything else goes on."""
    namespace.open("a", "work", slots=9)
    namespace.submit(
        task("fails", retry=ONCE),
        task("child", "fails"),
        task("grandchild", "child"),
        task("afterwards", after=("fails", "grandchild")),
        task("sibling"),
    )
    namespace.fail("fails")
    assert namespace.statuses() == {
        "fails": "FAILED",
        "child": "SKIPPED",
        "grandchild": "SKIPPED",
        "afterwards": "RUNNING",
        "sibling": "RUNNING",
    }
    for skipped in ("child", "grandchild"):
        error = namespace.task(skipped).error
        assert error is not None
        assert (error.error_type, error.cause_task_id) == ("DEPENDENCY_FAILED", "fails")
    namespace.complete("sibling")
    namespace.complete("afterwards")
    assert namespace.run().status is RunStatus.PARTIAL_FAILURE


def test_skipping_is_caused_step_by_step(namespace: Namespace) -> None:
    """R10: each TASK_SKIPPED names the event that led to it."""
    namespace.open("a", "work")
    namespace.submit(task("fails", retry=ONCE), task("child", "fails"), task("grandchild", "child"))
    namespace.fail("fails")
    failed = namespace.of_type(EventType.AGENT_FAILED)[0]
    child, grandchild = namespace.of_type(EventType.TASK_SKIPPED)
    assert (child.cause, grandchild.cause) == (failed.sequence, child.sequence)


def test_fail_fast_cancels_everything_unfinished(namespace: Namespace) -> None:
    """R10, R12: fail_fast cancels what has not started and tells what runs."""
    namespace.open("a", "work", slots=2)
    namespace.submit(task("fails", retry=ONCE), task("runs"), task("waits", "runs"), fail_fast=True)
    namespace.fail("fails")
    assert namespace.statuses() == {"fails": "FAILED", "runs": "CANCELLING", "waits": "CANCELLED"}
    assert namespace.state.attempts[namespace.token("runs")].cancel_reason == reasons.FAIL_FAST
    namespace.fail("runs", cancelled=True)
    assert namespace.run().status is RunStatus.FAILED


@pytest.mark.parametrize(
    ("failing", "status"),
    [((), "SUCCEEDED"), (("one",), "PARTIAL_FAILURE"), (("one", "two"), "FAILED")],
)
def test_the_status_of_a_run_says_how_its_tasks_ended(
    namespace: Namespace, failing: tuple[str, ...], status: str
) -> None:
    """R13: SUCCEEDED, PARTIAL_FAILURE when some succeeded, FAILED when none did."""
    namespace.open("a", "work", slots=2)
    namespace.submit(task("one", retry=ONCE), task("two", retry=ONCE))
    namespace.now_ns += seconds(2)
    for each in ("one", "two"):
        if each in failing:
            namespace.fail(each)
        else:
            namespace.complete(each)
    completed = namespace.last(RunCompleted)
    assert completed.status.name == namespace.run().status.name == status
    assert (completed.counts.succeeded, completed.counts.failed) == (2 - len(failing), len(failing))
    assert completed.execution_time_seconds == 2.0


def test_a_run_is_pending_until_a_task_starts(namespace: Namespace) -> None:
    """R13: PENDING, then RUNNING with the first assignment."""
    namespace.submit(task("t"))
    assert namespace.run().status is RunStatus.PENDING
    namespace.now_ns += 5
    namespace.open("a", "work")
    assert namespace.run().status is RunStatus.RUNNING
    assert namespace.run().started_at_ns == namespace.now_ns


def test_cancelling_a_run_stops_what_has_not_started_and_tells_what_runs(namespace: Namespace) -> None:
    """R12: pending tasks CANCELLED, running ones told; the run stays CANCELLED."""
    namespace.open("a", "work")
    namespace.submit(task("runs"), task("ready"), task("pending", "runs"))
    namespace.do(commands.CancelRun(run_id="run"))
    assert namespace.statuses() == {"runs": "CANCELLING", "ready": "CANCELLED", "pending": "CANCELLED"}
    assert namespace.of_type(EventType.TASK_CANCEL_REQUESTED)[0].reason == reasons.RUN_CANCELLED
    namespace.fail("runs", cancelled=True)
    assert namespace.task("runs").status.name == "CANCELLED"
    assert namespace.run().status is RunStatus.CANCELLED


def test_a_completion_in_the_grace_counts_but_the_run_stays_cancelled(namespace: Namespace) -> None:
    """R12: a completion in the grace makes the task SUCCEEDED; the run stays CANCELLED, and nothing new starts."""
    namespace.open("a", "work")
    namespace.submit(task("runs"), task("next", "runs"))
    namespace.do(commands.CancelRun(run_id="run"))
    namespace.complete("runs")
    assert namespace.statuses() == {"runs": "SUCCEEDED", "next": "CANCELLED"}
    assert namespace.run().status is RunStatus.CANCELLED


def test_an_agent_that_does_not_stop_is_fenced(namespace: Namespace) -> None:
    """R12: after the grace the attempt is fenced and the task CANCELLED."""
    namespace.open("a", "work")
    namespace.submit(task("runs"))
    namespace.do(commands.CancelRun(run_id="run"))
    namespace.advance(9)
    assert namespace.task("runs").status.name == "CANCELLING"
    namespace.advance(1)
    assert namespace.task("runs").status.name == "CANCELLED"
    assert namespace.run().status is RunStatus.CANCELLED


def test_a_cancelled_task_backs_off_no_more(namespace: Namespace) -> None:
    """R12: a task that waits to be tried again is cancelled like any other that has not started."""
    namespace.open("a", "work")
    namespace.submit(task("t"))
    namespace.fail("t")
    assert namespace.task("t").status.name == "BACKING_OFF"
    namespace.do(commands.CancelRun(run_id="run"))
    namespace.advance(60)
    assert namespace.task("t").status.name == "CANCELLED"


def test_an_attempt_lost_while_its_run_is_cancelled_is_not_tried_again(namespace: Namespace) -> None:
    """R12, A4: no retry in a run that is being stopped."""
    session = namespace.open("a", "work")
    namespace.submit(task("t"))
    namespace.do(commands.CancelRun(run_id="run"))
    namespace.end(session)
    assert namespace.task("t").status.name == "CANCELLED"
    assert namespace.run().status is RunStatus.CANCELLED


def test_a_run_is_cancelled_once(namespace: Namespace) -> None:
    """R12: a run that is over or being stopped is RUN_OVER; an unknown one NOT_FOUND."""
    namespace.open("a", "work")
    namespace.submit(task("t"))
    namespace.refuse(NotFound, commands.CancelRun(run_id="other"))
    namespace.do(commands.CancelRun(run_id="run"))
    namespace.refuse(RunOver, commands.CancelRun(run_id="run"))
    namespace.complete("t")
    namespace.refuse(RunOver, commands.CancelRun(run_id="run"))


def test_the_time_limit_of_a_run_is_recorded_at_submission(namespace: Namespace) -> None:
    """R11: its own, else the namespace's, never below its policies' max_execution_time."""
    long = task("long", max_execution_time_ns=seconds(1000))
    for run_id, fields, expected in (
        ("own", {"timeout_ns": seconds(7)}, 7),
        ("default", {}, 300),
        ("policy", {"policy": "high_priority"}, 600),
    ):
        namespace.submit(task("t"), run_id=run_id, **fields)
        assert namespace.last(RunSubmitted).deadline_ns == namespace.now_ns + expected * NS_PER_SECOND
    namespace.submit(long, run_id="long")
    assert namespace.run("long").deadline_ns == namespace.now_ns + seconds(1000)


def test_a_run_that_takes_too_long_is_stopped(namespace: Namespace) -> None:
    """R11, R13: a run timed out cancels as if told to, and stays TIMED_OUT whatever makes it in the grace."""
    namespace.open("a", "work")
    namespace.submit(task("runs"), task("waits"), timeout_ns=seconds(5))
    namespace.advance(5)
    assert namespace.statuses() == {"runs": "CANCELLING", "waits": "CANCELLED"}
    assert namespace.of_type(EventType.RUN_CANCELLED)[0].reason == reasons.RUN_TIMED_OUT
    namespace.complete("runs")
    assert namespace.run().status is RunStatus.TIMED_OUT


def test_plan_says_what_a_submission_would_do_and_does_nothing(namespace: Namespace) -> None:
    """R4: groups are levels for people; PlanRun stores nothing and names targets that nobody serves now."""
    namespace.open("a", "work")
    spec = RunSpec(tasks=(task("last", "left", "right"), task("left", "first"), task("right", "first"), task("first")))
    other = RunSpec(tasks=(*spec.tasks, task("odd", capability="unserved")))
    before = namespace.state.sequence
    plan = namespace.do(commands.PlanRun(spec=spec)).plan
    assert [set(group.task_ids) for group in plan.groups] == [{"first"}, {"left", "right"}, {"last"}]
    assert plan.critical_path == ("first", "left", "last")
    assert plan.unserved == ()
    assert [target.capability for target in namespace.do(commands.PlanRun(spec=other)).plan.unserved] == ["unserved"]
    namespace.refuse(DependencyCycle, commands.PlanRun(spec=RunSpec(tasks=(task("a", "a"),))))
    assert namespace.state.sequence == before


def test_a_task_that_depends_on_itself_is_a_circle(namespace: Namespace) -> None:
    """R3: the smallest circle is one task."""
    assert namespace.refuse(DependencyCycle, submitting(task("a", "a"))).task_ids == ("a",)
