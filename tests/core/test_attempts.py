"""What agents report, and how an attempt ends."""

from __future__ import annotations

import pytest

from coordinator_service.core import commands, reasons, specs
from coordinator_service.core.commands import Caller
from coordinator_service.core.events import AgentCompleted, AgentFailed, AgentStarted, EventType, TaskRetryScheduled
from coordinator_service.core.rejections import InvalidField, PermissionDenied, StaleAttempt, StateConflict
from coordinator_service.core.specs import RetryPolicy, TaskError, TaskLock
from coordinator_service.core.values import MergeStrategy
from tests.core.driver import Namespace, asking, caller, changing, seconds, task, updating

ONCE = RetryPolicy(attempts_max=1)
BROKEN = TaskError(error_type="Broken")


def running(namespace: Namespace, **fields: object) -> int:
    """The token of a task that runs."""
    namespace.open("a", "work", slots=3)
    namespace.submit(task("t", **fields), context=b"context")
    return namespace.token("t")


def reports(token: int) -> list[commands.Command]:
    """Every report of an attempt."""
    return [
        commands.StartTask(attempt_token=token),
        commands.ProgressTask(attempt_token=token, progress=specs.Progress(fraction=0.5)),
        commands.CompleteTask(attempt_token=token),
        commands.FailTask(attempt_token=token, error=BROKEN),
    ]


def test_the_life_of_an_attempt_is_told_by_events(namespace: Namespace) -> None:
    """R18: AGENT_STARTED with capabilities, dependencies and context; AGENT_COMPLETED with result and time."""
    namespace.open("a", "work", "sing")
    namespace.submit(task("first"), task("t", "first"), context=b"context")
    namespace.complete("first")
    token = namespace.token("t")
    session = namespace.reporter(token)
    namespace.do(commands.StartTask(attempt_token=token), session)
    started = namespace.last(AgentStarted)
    assert (started.capabilities, started.dependencies, started.context) == (("work", "sing"), ("first",), b"context")
    namespace.now_ns += seconds(1.5)
    namespace.complete("t", result=b"result")
    completed = namespace.last(AgentCompleted)
    assert (completed.attempt_token, completed.result) == (token, b"result")
    assert completed.execution_time_seconds == 1.5


def test_a_failure_is_told_with_its_error(namespace: Namespace) -> None:
    """R18: AGENT_FAILED with error, error_type, traceback and context."""
    token = running(namespace, retry=ONCE)
    error = TaskError(error_type="ValueError", message="no", traceback="line 1")
    namespace.do(commands.FailTask(attempt_token=token, error=error, context=b"why"), namespace.reporter(token))
    failed = namespace.last(AgentFailed)
    assert (failed.error, failed.context, failed.retryable, failed.final) == (error, b"why", True, True)
    assert namespace.task("t").error == error


def test_events_of_an_attempt_name_agent_run_and_task(namespace: Namespace) -> None:
    """R18: an event's envelope says what it is about."""
    namespace.open("a-1", "work", name="a")
    namespace.submit(task("t"))
    namespace.complete("t")
    [event] = namespace.of_type(EventType.AGENT_COMPLETED)
    assert (event.agent_id, event.agent_name, event.run_id, event.task_id) == ("a-1", "a", "run", "t")


def test_starting_twice_is_one_event(namespace: Namespace) -> None:
    """R8: a repeated report of the start is answered as the first was."""
    token = running(namespace)
    first = namespace.do(commands.StartTask(attempt_token=token), namespace.reporter(token))
    again = namespace.do(commands.StartTask(attempt_token=token), namespace.reporter(token))
    assert (again.sequence, again.replayed) == (first.sequence, True)


def test_progress_is_kept_until_the_next_attempt(namespace: Namespace) -> None:
    """R18: how far an attempt is belongs to that attempt."""
    token = running(namespace)
    progress = specs.Progress(fraction=0.5, message="half")
    namespace.do(commands.ProgressTask(attempt_token=token, progress=progress), namespace.reporter(token))
    assert namespace.task("t").progress == progress
    namespace.fail("t")
    namespace.advance(1)
    assert namespace.task("t").progress is None


@pytest.mark.parametrize("number", range(4), ids=["start", "progress", "complete", "fail"])
def test_a_late_report_changes_nothing(namespace: Namespace, number: int) -> None:
    """R8: only the current attempt may report; a late one is STALE_ATTEMPT."""
    old = running(namespace)
    session = namespace.reporter(old)
    namespace.fail("t")
    namespace.advance(1)
    assert namespace.token("t") != old
    assert namespace.refuse(StaleAttempt, reports(old)[number], session).token == old


@pytest.mark.parametrize("number", range(4), ids=["start", "progress", "complete", "fail"])
def test_nobody_reports_for_another(namespace: Namespace, number: int) -> None:
    """R8: a report for someone else's attempt is refused, by session or by principal."""
    token = running(namespace)
    other = namespace.open("b")
    namespace.refuse(PermissionDenied, reports(token)[number], other)
    namespace.refuse(PermissionDenied, reports(token)[number], caller(principal="mallory"))


def test_a_token_of_the_future_is_stale(namespace: Namespace) -> None:
    """R8: a token that nobody was given counts for nothing."""
    running(namespace)
    namespace.refuse(StaleAttempt, commands.CompleteTask(attempt_token=10**9))


def test_a_completion_is_accepted_once(namespace: Namespace) -> None:
    """R8: the second completion of an attempt is stale."""
    token = running(namespace)
    session = namespace.reporter(token)
    namespace.complete("t", result=b"first")
    namespace.refuse(StaleAttempt, commands.CompleteTask(attempt_token=token, result=b"second"), session)
    assert namespace.task("t").result == b"first"


@pytest.mark.parametrize(
    "command",
    [
        commands.Publish(drafts=(commands.EventDraft(name="x"),)),
        commands.SubmitRun(spec=specs.RunSpec(tasks=(task("t"),))),
        asking("door"),
        updating("k", 1),
    ],
    ids=lambda command: type(command).__name__,
)
def test_a_stale_attempt_does_nothing_at_all(namespace: Namespace, command: commands.Command) -> None:
    """R8, L8: inside an attempt every command is fenced by its token."""
    token = running(namespace)
    inside = Caller(session_id=namespace.reporter(token).session_id, attempt_token=token)
    namespace.fail("t")
    namespace.refuse(StaleAttempt, command, inside)


def test_completion_updates_and_releases_are_one_batch(namespace: Namespace) -> None:
    """R9: completion, its state updates, the release of its locks and the assignments that follow."""
    token = running(namespace, locks=(TaskLock(resource="door"),))
    outsider = namespace.open("x")
    namespace.acquire(outsider, "door")
    command = commands.CompleteTask(attempt_token=token, changes=(changing(("a/b", 1)), changing(("c", 2))))
    decision = namespace.decide(command, namespace.reporter(token))
    assert [event.type.name for event in decision.events] == [
        "STATE_UPDATED",
        "STATE_UPDATED",
        "AGENT_COMPLETED",
        "RESOURCE_RELEASED",
        "RESOURCE_ACQUIRED",
        "RUN_COMPLETED",
    ]
    assert namespace.holders("door") == [f"session/{outsider.session_id}"]
    assert namespace.last(AgentCompleted).state_changes == 2


def test_a_conflicting_completion_leaves_the_attempt_alive(namespace: Namespace) -> None:
    """R9: the report is ABORTED with the conflict and the attempt lives on to report again."""
    token = running(namespace, locks=(TaskLock(resource="door"),))
    revision = namespace.update("k", "theirs", writer="them")
    command = commands.CompleteTask(attempt_token=token, changes=(changing(("fine", 1)), changing(("k", "mine"))))
    rejection = namespace.refuse_on_record(StateConflict, command, namespace.reporter(token))
    assert rejection.keys[0].their_revision == revision
    assert namespace.task("t").status.name == "RUNNING"
    assert "fine" not in namespace.state.entries
    assert namespace.holders("door") == [f"attempt/{token}"]
    namespace.complete("t", changes=(changing(("k", "mine"), base=revision),))
    assert namespace.value("k") == "mine"


def test_a_completion_with_an_impossible_update_changes_nothing(namespace: Namespace) -> None:
    """R9, S2: an append to what is no list refuses the whole report."""
    token = running(namespace)
    namespace.do(updating("k", 1), namespace.inside("t"))
    changes = (changing(("k", 2)), changing(("k", 3), strategy=MergeStrategy.APPEND))
    command = commands.CompleteTask(attempt_token=token, changes=changes)
    assert namespace.refuse(InvalidField, command, namespace.reporter(token)).violations[0][0] == (
        "state_changes[1].updates[0]"
    )


def test_a_json_result_is_written_to_shared_state(namespace: Namespace) -> None:
    """S9: the result, the time and the status under the agent's name; a result without JSON writes nothing."""
    namespace.open("content-1", "work", slots=2, name="content")
    namespace.submit(task("json"), task("bytes"))
    namespace.complete("bytes", result=b"\0")
    assert namespace.state.entries == {}
    namespace.complete("json", result=b"...", result_is_json=True, result_json={"pages": 3.0})
    assert namespace.value("content_result") == {"pages": 3.0}
    assert namespace.value("content_status") == "completed"
    assert namespace.value("content_completed_at") == namespace.now_ns / 10**9


def test_failures_are_tried_again_by_policy(namespace: Namespace) -> None:
    """R10: attempts, exponential back-off with a cap, jitter of at most a quarter, and FAILED when they are spent."""
    retry = RetryPolicy(attempts_max=4, backoff_initial_ns=1000, backoff_multiplier=10.0, backoff_max_ns=50_000)
    running(namespace, retry=retry)
    for attempt, longest in ((2, 1000), (3, 10_000), (4, 50_000)):
        namespace.fail("t")
        scheduled = namespace.last(TaskRetryScheduled)
        wait = scheduled.ready_at_ns - namespace.now_ns
        assert longest * 3 // 4 <= wait <= longest
        assert scheduled.attempt == attempt
        assert namespace.task("t").status.name == "BACKING_OFF"
        namespace.advance(0.001)
        assert namespace.task("t").attempts == attempt
        assigned = namespace.of_type(EventType.TASK_ASSIGNED)[-1]
        assert assigned.cause == namespace.of_type(EventType.TASK_RETRY_SCHEDULED)[-1].sequence  # what led to it: X1
    namespace.fail("t")
    assert namespace.task("t").status.name == "FAILED"
    assert namespace.of_type(EventType.TASK_ASSIGNED)[-1].reason == reasons.RETRY_DUE


def test_jitter_comes_from_the_ids(namespace: Namespace) -> None:
    """R10, D1: two tasks that fail alike back off differently, and every fold comes to the same."""
    namespace.open("a", "work", slots=2)
    namespace.submit(task("one"), task("two"))
    namespace.fail("one")
    namespace.fail("two")
    waits = {
        event.payload.ready_at_ns - event.time_ns
        for event in namespace.events
        if isinstance(event.payload, TaskRetryScheduled)
    }
    assert len(waits) == 2


def test_a_back_off_of_absurd_length_is_capped(namespace: Namespace) -> None:
    """R10: however large the multiplier, the cap holds."""
    retry = RetryPolicy(attempts_max=9, backoff_initial_ns=1, backoff_multiplier=1e300, backoff_max_ns=seconds(1))
    running(namespace, retry=retry)
    for _ in range(4):
        namespace.fail("t")
        assert namespace.task("t").ready_at_ns <= namespace.now_ns + seconds(1)
        namespace.advance(1)
    assert namespace.task("t").status.name == "RUNNING"


def test_what_is_not_retryable_fails_at_once(namespace: Namespace) -> None:
    """R10: unless not retryable: a failed precondition, say, is not tried again."""
    running(namespace)
    namespace.fail("t", error_type="PRECONDITION_FAILED", retryable=False)
    assert namespace.task("t").status.name == "FAILED"
    assert namespace.run().status.name == "FAILED"


def test_lost_attempts_count_for_themselves(namespace: Namespace) -> None:
    """R10: attempts lost with a session count against lost_attempts_max only, and are tried again at once."""
    session = namespace.open("a", "work")
    namespace.submit(task("t", retry=RetryPolicy(attempts_max=2, lost_attempts_max=2)))
    for _ in range(2):
        namespace.end(session)
        assert namespace.last(AgentFailed).lost
        assert namespace.task("t").status.name == "READY"
        session = namespace.open("a", "work")
    assert (namespace.task("t").failures, namespace.task("t").losses) == (0, 2)
    namespace.fail("t")
    assert namespace.task("t").status.name == "BACKING_OFF"
    namespace.advance(1)
    namespace.end(session)
    assert namespace.task("t").status.name == "FAILED"
    error = namespace.task("t").error
    assert error is not None
    assert error.error_type == "SESSION_LOST"


def test_a_lost_attempt_goes_to_another_agent(namespace: Namespace) -> None:
    """A4: its tasks are retried elsewhere in the batch of the end."""
    session = namespace.open("a", "work")
    namespace.open("b", "work")
    namespace.submit(task("t"))
    namespace.end(session)
    assert namespace.task("t").agent_id == "b"
    assert namespace.last(AgentFailed).error.error_type == "SESSION_LOST"


def test_an_attempt_that_takes_too_long_is_told_then_fenced(namespace: Namespace) -> None:
    """R11: when due, an event marks the attempt cancelling; after the grace it is fenced and fails with TIMEOUT."""
    token = running(namespace, retry=ONCE, max_execution_time_ns=seconds(5), locks=(TaskLock(resource="door"),))
    session = namespace.reporter(token)
    namespace.advance(5)
    assert namespace.task("t").status.name == "CANCELLING"
    assert namespace.of_type(EventType.TASK_CANCEL_REQUESTED)[0].reason == reasons.ATTEMPT_TIMED_OUT
    assert namespace.holders("door") == [f"attempt/{token}"]
    namespace.advance(10)
    failed = namespace.last(AgentFailed)
    assert (failed.error.error_type, failed.error.message) == ("TIMEOUT", "not over within 5 s")
    assert namespace.holders("door") == []
    namespace.refuse(StaleAttempt, commands.CompleteTask(attempt_token=token), session)


def test_a_completion_in_the_grace_is_accepted(namespace: Namespace) -> None:
    """R11: until its acknowledgement or the grace a completion still counts."""
    running(namespace, max_execution_time_ns=seconds(5))
    namespace.advance(14)
    namespace.complete("t")
    assert namespace.task("t").status.name == "SUCCEEDED"
    namespace.advance(10)
    assert namespace.run().status.name == "SUCCEEDED"


def test_an_agent_that_acknowledges_ends_the_grace(namespace: Namespace) -> None:
    """R11: locks and retry wait until the agent has stopped, and no longer."""
    running(namespace, max_execution_time_ns=seconds(5), locks=(TaskLock(resource="door"),))
    namespace.advance(5)
    namespace.fail("t", cancelled=True)
    assert namespace.last(AgentFailed).error.error_type == "TIMEOUT"
    assert namespace.holders("door") == []
    assert namespace.task("t").status.name == "BACKING_OFF"


def test_an_agent_that_stops_unasked_has_failed(namespace: Namespace) -> None:
    """R12: "cancelled" means something only after it was told to stop."""
    running(namespace, retry=ONCE)
    namespace.fail("t", cancelled=True)
    assert namespace.task("t").status.name == "FAILED"


def test_a_time_out_after_a_conflict_says_so(namespace: Namespace) -> None:
    """R11: STATE_CONFLICT instead of TIMEOUT if its last report conflicted."""
    token = running(namespace, retry=ONCE, max_execution_time_ns=seconds(5))
    namespace.update("k", "theirs", writer="them")
    command = commands.CompleteTask(attempt_token=token, changes=(changing(("k", "mine")),))
    namespace.refuse_on_record(StateConflict, command, namespace.reporter(token))
    namespace.advance(20)
    assert namespace.last(AgentFailed).error.error_type == "STATE_CONFLICT"


def test_a_conflict_that_was_overcome_is_forgotten(namespace: Namespace) -> None:
    """R11: a write that succeeded after the conflict makes the time-out a plain one."""
    running(namespace, retry=ONCE, max_execution_time_ns=seconds(5))
    revision = namespace.update("k", "theirs", writer="them")
    inside = namespace.inside("t")
    namespace.refuse_on_record(StateConflict, updating("k", "mine"), inside)
    namespace.update("k", "mine", inside, base=revision)
    namespace.advance(20)
    assert namespace.last(AgentFailed).error.error_type == "TIMEOUT"


def test_a_run_cancelled_while_an_attempt_stops_takes_it_along(namespace: Namespace) -> None:
    """R11, R12: an attempt told to stop by its own time-out is cancelled, not tried again, once its run is."""
    running(namespace, max_execution_time_ns=seconds(5))
    namespace.advance(5)
    namespace.do(commands.CancelRun(run_id="run"))
    assert len(namespace.of_type(EventType.TASK_CANCEL_REQUESTED)) == 1
    namespace.advance(10)
    assert namespace.task("t").status.name == "CANCELLED"


def test_a_failure_in_a_run_that_is_being_stopped_is_the_end_of_the_task(namespace: Namespace) -> None:
    """R12: AGENT_FAILED is told, and the task is CANCELLED with its error."""
    running(namespace)
    namespace.do(commands.CancelRun(run_id="run"))
    namespace.fail("t")
    error = namespace.task("t").error
    assert namespace.task("t").status.name == "CANCELLED"
    assert error is not None
    assert error.error_type == "Broken"
