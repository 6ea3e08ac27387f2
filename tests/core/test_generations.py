"""A run that is tried again."""

from __future__ import annotations

from dataclasses import replace

import pytest

from coordinator_service.core import commands
from coordinator_service.core.answers import FromLog, RunAgain
from coordinator_service.core.apply import apply
from coordinator_service.core.commands import RetryRun
from coordinator_service.core.events import EventType, RunRetried
from coordinator_service.core.evicted_runs import EvictedRun
from coordinator_service.core.fold import restored
from coordinator_service.core.limits import Limits
from coordinator_service.core.rejections import LimitReached, NotFound, RunNotRetryable
from coordinator_service.core.specs import RetryPolicy, RunView
from tests.core.conftest import OpenNamespace
from tests.core.driver import Namespace, caller, copied, encoded, seconds, task

ONCE = RetryPolicy(attempts_max=1)
RETRY = RetryRun(run_id="run")


def failed(namespace: Namespace) -> None:
    """A run of which something succeeded, something failed, something was skipped."""
    namespace.open("a", "work", slots=9)
    namespace.submit(
        task("good"),
        task("bad", "good", input=b"input", retry=ONCE),
        task("end", "bad"),
        task("sweep", after=("bad",)),
        timeout_ns=seconds(100),
    )
    namespace.complete("good", result=b"kept")
    namespace.fail("bad")
    namespace.complete("sweep")


def evict(namespace: Namespace) -> None:
    """Time passes, and something happens."""
    namespace.advance(5)
    namespace.do(commands.Publish(drafts=(commands.EventDraft(name="happens"),)))


def read_back(namespace: Namespace, command: commands.Command = RETRY) -> object:
    """What the shell does with an answer that is in the log alone."""
    asked = namespace.do(command)
    assert isinstance(asked, FromLog)
    evicted = EvictedRun("test", asked)
    evicted.take(event for event in namespace.events if asked.first_sequence <= event.sequence <= asked.last_sequence)
    return evicted.answer()


def test_everything_that_did_not_succeed_runs_again(namespace: Namespace) -> None:
    """R15: as the next generation of the same run; what succeeded is not executed again, and its result is there."""
    failed(namespace)
    assert namespace.run().status.name == "PARTIAL_FAILURE"
    namespace.advance(50)
    answer: RunAgain = namespace.do(RETRY)
    assert (answer.generation, namespace.run().generation) == (2, 2)
    assert namespace.last(RunRetried).tasks == 2
    assert namespace.statuses() == {"good": "SUCCEEDED", "bad": "RUNNING", "end": "PENDING", "sweep": "SUCCEEDED"}
    [result] = namespace.do(commands.GetAttempt(attempt_token=namespace.token("bad"))).task.results
    assert (result.task_id, result.result) == ("good", b"kept")
    namespace.complete("bad")
    namespace.complete("end")
    assert namespace.run().status.name == "SUCCEEDED"
    assert namespace.state.tasks_live == 0


def test_attempts_and_time_outs_begin_anew(namespace: Namespace) -> None:
    """R15, R10, R11: the run has its whole time again, a task all of its attempts; attempt numbers go on."""
    failed(namespace)
    namespace.advance(90)
    namespace.do(RETRY)
    assert namespace.run().deadline_ns == namespace.now_ns + seconds(100)
    row = namespace.task("bad")
    assert (row.attempts, row.failures, row.losses, row.error) == (2, 0, 0, None)
    namespace.advance(99)
    assert not namespace.run().status.over
    namespace.advance(20)
    assert namespace.run().status.name == "TIMED_OUT"


def test_a_run_may_be_tried_again_more_than_once(namespace: Namespace) -> None:
    """R15: each is a generation, and each is over in its own time."""
    failed(namespace)
    for generation in (2, 3, 4):
        namespace.advance(10)
        namespace.do(RETRY)
        namespace.advance(1)
        namespace.fail("bad")
        assert namespace.run().generation == generation
        assert namespace.events[-1].type is EventType.RUN_COMPLETED
        assert namespace.events[-1].payload.execution_time_seconds == pytest.approx(1)  # type: ignore[union-attr]


def test_what_was_cancelled_or_timed_out_can_be_tried_again(namespace: Namespace) -> None:
    """R15, R12: nothing of the earlier end sticks to the next generation."""
    namespace.open("a", "work", slots=9)
    namespace.submit(task("t"), task("u", "t"))
    namespace.do(commands.CancelRun(run_id="run"))
    namespace.fail("t", cancelled=True)
    assert namespace.run().status.name == "CANCELLED"
    namespace.do(RETRY)
    assert namespace.statuses() == {"t": "RUNNING", "u": "PENDING"}
    namespace.complete("t")
    namespace.complete("u")
    assert namespace.run().status.name == "SUCCEEDED"


def test_what_is_not_over_or_has_nothing_left_to_do_is_not_tried_again(open_namespace: OpenNamespace) -> None:
    """R15: RUN_NOT_RETRYABLE, NOT_FOUND, LIMIT_REACHED, and nothing happens."""
    namespace = open_namespace(Limits(tasks_live_max=4))
    namespace.refuse(NotFound, RETRY)
    failed(namespace)
    namespace.submit(task("t"), run_id="more")
    namespace.refuse(LimitReached, RETRY)
    namespace.refuse(RunNotRetryable, RetryRun(run_id="more"))
    namespace.complete("t", "more")
    namespace.refuse(RunNotRetryable, RetryRun(run_id="more"))
    namespace.do(RETRY)
    namespace.refuse(RunNotRetryable, RETRY)


def test_a_run_that_is_tried_again_is_not_evicted_for_its_first_end(open_namespace: OpenNamespace) -> None:
    """R15, D8: retention counts from the latest end."""
    namespace = open_namespace(Limits(run_retention_ms=10_000))
    failed(namespace)
    namespace.advance(5)
    namespace.do(RETRY)
    namespace.advance(6)
    namespace.do(commands.Publish(drafts=(commands.EventDraft(name="happens"),)))
    assert "run" in namespace.state.runs
    namespace.fail("bad")
    namespace.advance(9)
    namespace.do(commands.Publish(drafts=(commands.EventDraft(name="happens"),)))
    assert "run" in namespace.state.runs
    namespace.advance(1)
    namespace.do(commands.Publish(drafts=(commands.EventDraft(name="happens"),)))
    assert "run" in namespace.state.evicted


def test_an_evicted_run_is_first_restated(open_namespace: OpenNamespace) -> None:
    """R15, D8: one event a task, results and inputs with them, and then it begins again in the same batch."""
    namespace = open_namespace(Limits(run_retention_ms=1000))
    failed(namespace)
    known: RunView = namespace.do(commands.GetRun(run_id="run")).run
    evict(namespace)
    restated = read_back(namespace)
    assert isinstance(restated, RetryRun)
    decision = namespace.decide(restated)
    assert [event.type.name for event in decision.events] == [
        "RUN_RESTATED",
        *["TASK_RESTATED"] * 4,
        "RUN_RETRIED",
        "TASK_ASSIGNED",
    ]
    assert decision.answer == RunAgain(generation=2, sequence=decision.events[5].sequence)
    assert namespace.state.evicted == {}
    attempt = namespace.do(commands.GetAttempt(attempt_token=namespace.token("bad"))).task
    assert (attempt.input, attempt.results[0].result, attempt.attempt) == (b"input", b"kept", 2)
    again: RunView = namespace.do(commands.GetRun(run_id="run")).run
    assert (again.submitted_at_ns, again.name, again.traceparent) == (
        known.submitted_at_ns,
        known.name,
        known.traceparent,
    )
    namespace.complete("bad")
    namespace.complete("end")
    assert namespace.run().status.name == "SUCCEEDED"


def test_a_restated_run_is_evicted_and_told_again_like_any_other(open_namespace: OpenNamespace) -> None:
    """R15, D8: from where it was restated; its earlier events may be gone."""
    namespace = open_namespace(Limits(run_retention_ms=1000))
    failed(namespace)
    evict(namespace)
    namespace.do(read_back(namespace))  # type: ignore[arg-type]
    namespace.fail("bad")
    known = namespace.do(commands.GetRun(run_id="run")).run
    evict(namespace)
    assert namespace.state.evicted["run"].first_sequence == known.sequence
    told = read_back(namespace, commands.GetRun(run_id="run"))
    assert told.run == known  # type: ignore[attr-defined]
    namespace.do(read_back(namespace))  # type: ignore[arg-type]
    assert namespace.run().generation == 3


def test_what_was_read_back_is_not_needed_when_somebody_was_faster(open_namespace: OpenNamespace) -> None:
    """R15: the second of two that read the same run back is told that it is not over."""
    namespace = open_namespace(Limits(run_retention_ms=1000))
    failed(namespace)
    evict(namespace)
    restated = read_back(namespace)
    namespace.do(restated)  # type: ignore[arg-type]
    namespace.refuse(RunNotRetryable, restated)  # type: ignore[arg-type]


def test_an_evicted_run_with_nothing_left_to_do_is_refused(open_namespace: OpenNamespace) -> None:
    """R15: without reading anything back where the outcome says so."""
    namespace = open_namespace(Limits(run_retention_ms=1000))
    namespace.open("a", "work")
    namespace.submit(task("t"))
    namespace.complete("t")
    evict(namespace)
    namespace.refuse(RunNotRetryable, RETRY)


def test_what_is_too_large_to_be_restated_is_refused(
    open_namespace: OpenNamespace, monkeypatch: pytest.MonkeyPatch
) -> None:
    """R15: one decision has a bound."""
    namespace = open_namespace(Limits(run_retention_ms=1000))
    failed(namespace)
    evict(namespace)
    restated = read_back(namespace)
    assert isinstance(restated, RetryRun)
    tasks = tuple(replace(each, result=b"x" * 9_000_000) for each in restated.restated_tasks)
    namespace.refuse(LimitReached, replace(restated, restated_tasks=tasks))


def test_a_repetition_does_not_begin_another_generation(namespace: Namespace) -> None:
    """D5, R15: the same answer again, which says the generation."""
    failed(namespace)
    again = caller(request_id="r", method="RetryRun", digest=b"d")
    namespace.do(RETRY, again)
    recall = namespace.do(RETRY, again)
    assert namespace.run().generation == 2
    first = namespace.events[recall.first_sequence - 1]
    assert isinstance(first.payload, RunRetried)


def test_a_copy_taken_while_a_run_is_tried_again_goes_on_as_the_run_does(namespace: Namespace) -> None:
    """Invariant 7: what succeeded before waits for nothing, though what it came after is to be done again."""
    failed(namespace)
    namespace.do(RETRY)
    halfway = copied(namespace.state.tables())
    from_copy = restored("test", halfway)
    namespace.complete("bad")
    namespace.complete("end")
    for event in namespace.events:
        if event.sequence > halfway.sequence:
            apply(from_copy, event)
    assert encoded(from_copy.tables()) == encoded(namespace.state.tables())


def test_a_copy_taken_while_a_run_is_being_stopped_goes_on_as_the_run_does(namespace: Namespace) -> None:
    """Invariant 7: what is cancelled waits for nothing, though what it came after is still to stop."""
    namespace.open("a", "work")
    namespace.submit(task("first"), task("second", after=("first",)))
    namespace.do(commands.CancelRun(run_id="run"))
    halfway = copied(namespace.state.tables())
    from_copy = restored("test", halfway)
    namespace.complete("first")
    for event in namespace.events:
        if event.sequence > halfway.sequence:
            apply(from_copy, event)
    assert encoded(from_copy.tables()) == encoded(namespace.state.tables())
