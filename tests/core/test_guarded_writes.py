"""Writes under paths that locks guard."""

from __future__ import annotations

from dataclasses import replace

import pytest

from coordinator_service.core import commands, reasons
from coordinator_service.core.answers import recalled
from coordinator_service.core.commands import Caller
from coordinator_service.core.events import ConflictDetected, ConflictResolved, CoordinationRequired, EventType
from coordinator_service.core.rejections import StateConflict
from coordinator_service.core.specs import LockGrant, Policy, TaskLock
from coordinator_service.core.values import ConflictStrategy, LockMode, MergeStrategy
from tests.core.driver import Namespace, caller, changing, task, updating


def test_a_write_under_a_guarded_path_is_refused_and_recorded(namespace: Namespace) -> None:
    """S6: resource_conflict: the lock, its holder and what is there are handed over; nothing is written."""
    namespace.update("site/pages/1", "draft", writer="me")
    token = namespace.hold(caller(), "pages", holder="editor", guards="site/pages")
    rejection = namespace.refuse_on_record(StateConflict, updating("site/pages/1", "mine", writer="me"))
    assert rejection.conflict_type == "resource_conflict"
    [key] = rejection.keys
    assert (key.key, key.their_key, key.their_writer) == ("site/pages/1", "site/pages", "editor")
    assert (key.attempted, key.current) == ("mine", "draft")
    assert key.guarded_by == LockGrant(resource="pages", mode=LockMode.EXCLUSIVE, holder="editor", fencing_token=token)
    detected, required, resolved = namespace.events[-3:]
    assert (detected.cause, detected.reason) == (token, reasons.GUARDED_BY_LOCK)
    assert namespace.last(ConflictDetected).strategy is None
    assert namespace.last(CoordinationRequired) == CoordinationRequired(
        action="retry_state_update", target="me", winner="editor", conflict_sequence=detected.sequence
    )
    assert namespace.last(ConflictResolved).loser == "me"
    assert (required.cause, resolved.cause) == (detected.sequence, detected.sequence)
    assert namespace.value("site/pages/1") == "draft"


@pytest.mark.parametrize("path", ["site/pages", "site/pages/1/a"])
@pytest.mark.parametrize("strategy", MergeStrategy)
def test_whatever_lies_at_or_under_it(namespace: Namespace, path: str, strategy: MergeStrategy) -> None:
    """S6: by any strategy, appends too."""
    namespace.hold(caller(), "pages", holder="editor", guards="site/pages")
    namespace.refuse_on_record(StateConflict, updating(path, [1], strategy=strategy, writer="me"))


@pytest.mark.parametrize("path", ["site", "site/page", "site/pages2", "other"])
def test_nothing_else(namespace: Namespace, path: str) -> None:
    """S6: what lies above or beside is free."""
    namespace.hold(caller(), "pages", holder="editor", guards="site/pages")
    namespace.update(path, 1, writer="me")


def test_clearing_what_holds_a_guarded_path_is_refused(namespace: Namespace) -> None:
    """S6: a deletion by prefix, and a replaced prefix, write everything under them; a key alone does not."""
    namespace.update("site", 1, writer="me")
    namespace.update("site/pages/1", 1, writer="me")
    namespace.hold(caller(), "pages", holder="editor", guards="site/pages")
    namespace.refuse_on_record(StateConflict, commands.DeleteState(prefix="site", writer="me"))
    namespace.refuse_on_record(StateConflict, commands.DeleteState(keys=("site/pages/1",), writer="me"))
    change = changing(strategy=MergeStrategy.REPLACE, prefix="site")
    namespace.refuse_on_record(StateConflict, commands.UpdateState(change=change, writer="me"))
    namespace.do(commands.DeleteState(keys=("site",), writer="me"))


def test_the_holder_may(namespace: Namespace) -> None:
    """S6: its session, and the attempt that the lock was assigned with; others of the same agent may not."""
    session = namespace.open("a", "work", slots=2)
    token = namespace.hold(session, "pages", guards="site")
    namespace.update("site/1", 1, session)
    namespace.release(session, token)
    namespace.submit(task("t", locks=(TaskLock(resource="pages", guards="site"),)), task("u"))
    namespace.update("site/1", 2, namespace.inside("t"))
    namespace.refuse_on_record(StateConflict, updating("site/1", 3), namespace.inside("u"))
    report = commands.CompleteTask(attempt_token=namespace.token("u"), changes=(changing(("site/1", 3)),))
    namespace.refuse_on_record(StateConflict, report, namespace.reporter(namespace.token("u")))
    namespace.complete("t", changes=(changing(("site/1", 4)),))
    assert namespace.value("site/1") == 4
    namespace.do(
        replace(report, changes=(changing(("site/1", 5), base=namespace.state.sequence),)),
        namespace.reporter(report.attempt_token),
    )


def test_one_of_those_who_share_a_lock_may(namespace: Namespace) -> None:
    """S6: somebody else holds it too, but so does the writer."""
    one, two = namespace.open("one"), namespace.open("two")
    for session in (one, two):
        namespace.hold(session, "pages", mode=LockMode.SHARED, guards="site")
    namespace.update("site/1", 1, one)
    namespace.refuse_on_record(StateConflict, updating("site/1", 2, writer="me"))


@pytest.mark.parametrize("strategy", ConflictStrategy)
def test_whatever_the_priority_and_the_strategy(namespace: Namespace, strategy: ConflictStrategy) -> None:
    """S6, S7: no strategy lets a writer past somebody else's lock."""
    policy = Policy(name="default", conflict_strategy=strategy)
    namespace.do(commands.ChangePolicies(policies=(policy,)))
    namespace.hold(caller(), "pages", holder="editor", guards="site")
    command = commands.UpdateState(change=changing(("site/1", 1)), writer="me", priority=9)
    namespace.refuse_on_record(StateConflict, command)


def test_after_the_lock_the_write_goes_through(namespace: Namespace) -> None:
    """S6, S8: the revision handed over is one to build on, and what the holder wrote since counts."""
    session = namespace.open("a")
    token = namespace.hold(session, "pages", guards="site")
    rejection = namespace.refuse_on_record(StateConflict, updating("site/1", 1, writer="me"))
    base = rejection.current_revision
    namespace.update("site/1", "theirs", session)
    namespace.release(session, token)
    rejection = namespace.refuse_on_record(StateConflict, updating("site/1", 1, base=base, writer="me"))
    assert rejection.conflict_type == "concurrent_modification"
    namespace.update("site/1", 1, base=rejection.current_revision, writer="me")


def test_the_platforms_own_writes_pass(namespace: Namespace) -> None:
    """S6, S9: a result is written wherever somebody put a guard."""
    namespace.open("a", "work", name="crew")
    namespace.submit(task("t"))
    namespace.hold(caller(), "pages", holder="editor", guards="crew_result")
    namespace.complete("t", result_is_json=True, result_json=1.0)
    assert namespace.value("crew_result") == 1.0


def test_a_repetition_is_told_the_same(namespace: Namespace) -> None:
    """S6, D5: from the events of the first decision."""
    namespace.hold(caller(), "pages", holder="editor", guards="site")
    first = namespace.refuse_on_record(StateConflict, updating("site", 1, writer="me"), Caller(request_id="r"))
    again = recalled(namespace.events[-3:])
    assert isinstance(again, StateConflict)
    assert (again.conflict_type, again.current_revision) == (first.conflict_type, first.current_revision)
    assert again.keys == first.keys


def test_an_attempt_that_times_out_behind_a_lock_failed_by_conflict(namespace: Namespace) -> None:
    """S6, R11."""
    namespace.open("a", "work")
    namespace.submit(task("t", max_execution_time_ns=10**9))
    namespace.hold(caller(), "pages", holder="editor", guards="site")
    namespace.refuse_on_record(StateConflict, updating("site", 1), namespace.inside("t"))
    namespace.advance(15)
    assert namespace.task("t").error is not None
    assert namespace.of_type(EventType.AGENT_FAILED)[0].payload.error.error_type == "STATE_CONFLICT"  # type: ignore[union-attr]
