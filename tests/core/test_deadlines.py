"""Times in the state at which a decision is due."""

from __future__ import annotations

from coordinator_service.core import commands, deadlines
from coordinator_service.core.events import EventType
from coordinator_service.core.limits import Limits
from tests.core.driver import Namespace, caller, seconds, task


def next_in_seconds(namespace: Namespace) -> float | None:
    """When something is due, from now."""
    due_ns = deadlines.next_deadline_ns(namespace.state)
    return None if due_ns is None else (due_ns - namespace.now_ns) / seconds(1)


def test_what_is_due_next_is_known(namespace: Namespace) -> None:
    """D7: deadlines of attempts, runs, waits and back-offs are event times in the state."""
    namespace.advance(10)
    assert next_in_seconds(namespace) is None
    namespace.hold(caller(), "door", holder="x")
    namespace.acquire(caller(), "door", holder="y")
    assert next_in_seconds(namespace) == 30
    namespace.submit(task("t", max_execution_time_ns=seconds(5)), timeout_ns=seconds(20))
    assert next_in_seconds(namespace) == 20
    namespace.open("a", "work")
    assert next_in_seconds(namespace) == 5
    namespace.fail("t")
    assert 0.37 < (next_in_seconds(namespace) or 0) <= 0.5


def test_a_deadline_whose_matter_is_over_is_none(namespace: Namespace) -> None:
    """D7: each is checked again against the state as it then is."""
    namespace.advance(10)
    namespace.open("a", "work")
    namespace.submit(task("t"))
    token = namespace.hold(caller(), "door", holder="x")
    namespace.acquire(caller(), "door", holder="y")
    namespace.complete("t")
    namespace.release(caller(), token)
    assert next_in_seconds(namespace) is None


def test_a_tick_before_its_time_does_nothing(namespace: Namespace) -> None:
    """D7: the shell may wake up early."""
    namespace.advance(10)
    namespace.submit(task("t"), timeout_ns=seconds(20))
    namespace.now_ns += seconds(20) - 1
    assert namespace.decide(commands.Tick()).events == []
    namespace.now_ns += 1
    assert next(event.type for event in namespace.decide(commands.Tick()).events) is EventType.RUN_CANCELLED


def test_many_deadlines_at_once_are_split_over_decisions(namespace: Namespace) -> None:
    """D7: one decision handles a bounded number; the rest are due at once after it."""
    namespace.hold(caller(), "door", holder="x")
    for _ in range(3):
        namespace.acquire(caller(), "door")
    namespace.now_ns += seconds(60)
    before = deadlines.DUE_MAX
    try:
        deadlines.DUE_MAX = 2
        assert len(namespace.decide(commands.Tick()).events) == 1
        assert len(namespace.decide(commands.Tick()).events) == 2
    finally:
        deadlines.DUE_MAX = before


def test_deadlines_of_what_is_over_are_not_kept() -> None:
    """D8: the number of deadlines kept grows with what lives, not with what happened."""
    namespace = Namespace(Limits(run_retention_ms=0), restore_every=100)
    namespace.open("a", "work")
    for number in range(700):
        namespace.submit(task("t"), run_id=f"run-{number}")
        namespace.complete("t", f"run-{number}")
    assert len(namespace.state.index.deadlines) <= deadlines.DEADLINES_TIDY_MIN
