"""What callers are shown."""

from __future__ import annotations

import pytest

from coordinator_service.core import commands, views
from coordinator_service.core.rejections import NotFound
from coordinator_service.core.specs import RetryPolicy, TaskError, TaskLock
from coordinator_service.core.values import LockMode, RunStatus
from tests.core.driver import Namespace, caller, seconds, task

ONCE = RetryPolicy(attempts_max=1)


def test_a_run_is_shown_with_its_tasks(namespace: Namespace) -> None:
    """D4, R13: a read is true at the sequence it names."""
    namespace.open("a", "work")
    namespace.submit(task("one", metadata={"k": "v"}), task("two", "one"), name="deploy", metadata={"m": "n"})
    read = namespace.do(commands.GetRun(run_id="run"))
    assert read.sequence == namespace.state.sequence
    run = read.run
    assert (run.name, run.status, run.metadata, run.cancelling) == ("deploy", RunStatus.RUNNING, {"m": "n"}, False)
    assert (run.counts.running, run.counts.pending) == (1, 1)
    one, two = run.tasks
    assert (one.task_id, one.agent_id, one.attempt_token, one.metadata) == (
        "one",
        "a",
        namespace.token("one"),
        {"k": "v"},
    )
    assert (two.depends_on, two.group, two.error) == (("one",), 1, None)
    namespace.do(commands.CancelRun(run_id="run"))
    assert namespace.do(commands.GetRun(run_id="run")).run.cancelling


def test_a_task_that_succeeded_shows_no_earlier_error(namespace: Namespace) -> None:
    """R10: what a failed attempt left behind is no longer the task's."""
    namespace.open("a", "work")
    namespace.submit(task("t"))
    namespace.fail("t")
    namespace.advance(1)
    assert namespace.do(commands.GetRun(run_id="run")).run.tasks[0].error.error_type == "Broken"
    namespace.complete("t", result=b"r")
    shown = namespace.do(commands.GetRun(run_id="run")).run.tasks[0]
    assert (shown.error, shown.has_result, shown.attempts) == (None, True, 2)


def test_runs_are_listed_newest_first_page_by_page(namespace: Namespace) -> None:
    """R13: without their tasks, by status if asked."""
    namespace.open("a", "work")
    for number in range(5):
        namespace.submit(task("t", capability="work" if number == 0 else "rest"), run_id=f"r{number}")
    listed, below = [], 0
    while True:
        page = namespace.do(commands.ListRuns(below_sequence=below, count_max=2))
        listed += [run.run_id for run in page.runs]
        assert all(run.tasks == () for run in page.runs)
        if not (below := page.next_sequence):
            break
    assert listed == ["r4", "r3", "r2", "r1", "r0"]
    running = namespace.do(commands.ListRuns(status=RunStatus.RUNNING))
    assert [run.run_id for run in running.runs] == ["r0"]


def test_a_result_is_read_once_the_task_succeeded(namespace: Namespace) -> None:
    """R16: GetTaskResult; before that, and for what is not there, NOT_FOUND."""
    namespace.open("a-1", "work", name="a")
    namespace.submit(task("t"))
    for run_id, task_id, kind in (("run", "t", "result"), ("run", "u", "task"), ("other", "t", "run")):
        rejection = namespace.refuse(NotFound, commands.GetTaskResult(run_id=run_id, task_id=task_id))
        assert rejection.kind == kind
    assert namespace.refuse(NotFound, commands.GetTaskResult(run_id="run", task_id="t")).name == "run/t"
    namespace.complete("t", result=b"r")
    read = namespace.do(commands.GetTaskResult(run_id="run", task_id="t"))
    assert (read.result, read.agent_name, read.sequence) == (b"r", "a", namespace.task("t").result_sequence)


def test_the_result_of_a_task_that_failed_is_refused_with_its_error(namespace: Namespace) -> None:
    """R16: whoever asks for the result learns why there is none."""
    namespace.open("a-1", "work", name="a")
    namespace.submit(task("t"))
    error = TaskError(error_type="NameError", message="name 'x' is not defined")
    token = namespace.token("t")
    failed = commands.FailTask(attempt_token=token, error=error, retryable=False)
    namespace.do(failed, namespace.reporter(token))
    refused = namespace.refuse(NotFound, commands.GetTaskResult(run_id="run", task_id="t"))
    assert refused.message == "no such result: run/t is FAILED: NameError: name 'x' is not defined"


def test_an_agent_is_sent_all_that_it_needs(namespace: Namespace) -> None:
    """R16, R9: input, context, results of direct dependencies, locks with their tokens, the time left."""
    namespace.open("a", "work", slots=2)
    namespace.submit(
        task("far"),
        task("first", "far"),
        task("before"),
        task("t", "first", after=("before",), input=b"in", locks=(TaskLock(resource="door"),), metadata={"k": "v"}),
        context=b"context",
    )
    for each, result in (("far", b"0"), ("before", None), ("first", b"1")):
        namespace.complete(each, result=result)
    token = namespace.token("t")
    namespace.now_ns += seconds(1)
    sent = namespace.do(commands.GetAttempt(attempt_token=token)).task
    assert (sent.namespace, sent.run_id, sent.task_id, sent.attempt, sent.attempt_token) == (
        "test",
        "run",
        "t",
        1,
        token,
    )
    assert (sent.capability, sent.agent_name, sent.policy, sent.metadata) == ("work", "a", "default", {"k": "v"})
    assert (sent.input, sent.context) == (b"in", b"context")
    assert [(each.task_id, each.result, each.by_reference) for each in sent.results] == [("first", b"1", False)]
    assert [(lock.resource, lock.fencing_token > token) for lock in sent.locks] == [("door", True)]
    assert (sent.deadline_ns - namespace.now_ns, sent.time_left_ns) == (seconds(299), seconds(299))


def test_results_beyond_what_fits_go_by_reference(namespace: Namespace, monkeypatch: pytest.MonkeyPatch) -> None:
    """R16: up to 1 MiB in all, the smallest first; the rest by reference."""
    monkeypatch.setattr(views, "RESULTS_INLINE_BYTES_MAX", 10)
    namespace.open("a", "work", slots=9)
    namespace.submit(task("large"), task("small"), task("medium"), task("t", "large", "small", "medium"))
    for each, size in (("large", 8), ("small", 3), ("medium", 7)):
        namespace.complete(each, result=b"x" * size)
    sent = namespace.do(commands.GetAttempt(attempt_token=namespace.token("t"))).task
    assert [(each.task_id, each.by_reference, len(each.result or b"")) for each in sent.results] == [
        ("large", True, 0),
        ("small", False, 3),
        ("medium", False, 7),
    ]


def test_an_attempt_that_is_to_stop_is_told_instead(namespace: Namespace) -> None:
    """R12, A5: no task, but why and how long it has; nothing at all once it is over."""
    namespace.open("a", "work")
    namespace.submit(task("t"))
    token = namespace.token("t")
    namespace.do(commands.CancelRun(run_id="run"))
    namespace.now_ns += seconds(4)
    read = namespace.do(commands.GetAttempt(attempt_token=token))
    assert (read.task, read.cancel_reason, read.grace_ns) == (None, "RUN_CANCELLED", seconds(6))
    namespace.fail("t", cancelled=True)
    assert namespace.do(commands.GetAttempt(attempt_token=token)).cancel_reason == ""


def test_agents_are_listed_by_id(namespace: Namespace) -> None:
    """A1: by capability, by name, only those connected, page by page."""
    namespace.open("b", "work", name="crew")
    namespace.open("a", "work", "paint")
    namespace.end(namespace.open("c", "work", name="crew"))

    def listed(**filters: object) -> list[str]:
        answer = namespace.do(commands.ListAgents(**filters))  # type: ignore[arg-type]
        return [agent.spec.agent_id for agent in answer.agents]

    assert listed() == ["a", "b", "c"]
    assert listed(connected=True) == ["a", "b"]
    assert listed(agent_name="crew") == ["b", "c"]
    assert listed(capability="paint") == ["a"]
    page = namespace.do(commands.ListAgents(count_max=2))
    assert page.next_agent_id == "b"
    assert listed(after_agent_id=page.next_agent_id) == ["c"]
    shown = namespace.do(commands.GetAgent(agent_id="b")).agent
    assert (shown.spec.agent_name, shown.status.name, shown.attempt_tokens) == ("crew", "ATTACHED", ())
    namespace.refuse(NotFound, commands.GetAgent(agent_id="nobody"))


def test_a_lock_shows_who_holds_it_and_who_waits(namespace: Namespace) -> None:
    """L9: holders by token, waiters in the order of their turn, also those who are detached."""
    session = namespace.open("a")
    namespace.advance(5)
    token = namespace.hold(caller(), "door", mode=LockMode.SHARED, holder="x")
    namespace.acquire(session, "door")
    namespace.acquire(caller(), "door", mode=LockMode.SHARED, holder="z")
    namespace.acquire(caller(), "door", holder="urgent", priority=9)
    namespace.detach(session)
    namespace.acquire(caller(), "other", holder="y")
    lock = namespace.do(commands.GetLock(resource="door")).lock
    assert [(grant.holder, grant.fencing_token) for grant in lock.holders] == [("x", token)]
    assert [(waiter.holder, waiter.mode.name, waiter.detached) for waiter in lock.waiters] == [
        ("urgent", "EXCLUSIVE", False),
        (f"session/{session.session_id}", "EXCLUSIVE", True),
        ("z", "SHARED", False),
    ]
    namespace.refuse(NotFound, commands.GetLock(resource="free"))


def test_locks_are_listed_by_name(namespace: Namespace) -> None:
    """L9: held or waited for, by prefix, page by page."""
    for resource in ("b/2", "a", "b/1"):
        namespace.hold(caller(), resource, holder="x")
    assert [lock.resource for lock in namespace.do(commands.ListLocks(prefix="b/")).locks] == ["b/1", "b/2"]
    page = namespace.do(commands.ListLocks(count_max=2))
    assert ([lock.resource for lock in page.locks], page.next_resource) == (["a", "b/1"], "b/1")
    rest = namespace.do(commands.ListLocks(after_resource="b/1"))
    assert ([lock.resource for lock in rest.locks], rest.next_resource) == (["b/2"], "")


def test_unknown_runs_are_not_found(namespace: Namespace) -> None:
    """R13: NOT_FOUND names what was looked for."""
    rejection = namespace.refuse(NotFound, commands.GetRun(run_id="ghost"))
    assert (rejection.kind, rejection.name) == ("run", "ghost")


def test_reads_say_how_far_the_namespace_is(namespace: Namespace) -> None:
    """D4: a read that looks at nothing still waits for what came before it."""
    assert namespace.do(commands.GetEnds()).sequence == namespace.state.sequence
