"""D2: namespace time."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from coordinator_service.clock import NamespaceClock

SECOND = 1_000_000_000


class HandClock:
    """A clock that a test turns."""

    def __init__(self, wall_ns: int) -> None:
        self.wall = wall_ns
        self.monotonic = 5 * SECOND

    def wall_ns(self) -> int:
        return self.wall

    def monotonic_ns(self) -> int:
        return self.monotonic

    def pass_ns(self, elapsed_ns: int, *, wall_ns: int | None = None) -> None:
        self.monotonic += elapsed_ns
        self.wall += elapsed_ns if wall_ns is None else wall_ns


def test_a_start_steps_forward_to_the_wall_clock() -> None:
    """D2: an owner that starts long after the last event goes on from the wall clock."""
    clock = HandClock(1_000 * SECOND)
    assert NamespaceClock(clock).start(10 * SECOND) == 1_000 * SECOND


def test_a_start_never_steps_back() -> None:
    """D2: a wall clock that lies before the last event is waited for, not followed."""
    clock = HandClock(10 * SECOND)
    time = NamespaceClock(clock)
    assert time.start(1_000 * SECOND) == 1_000 * SECOND + 1


def test_time_agrees_with_a_wall_clock_that_runs_true() -> None:
    """D2: where nothing is off, namespace time is wall time."""
    clock = HandClock(1_000 * SECOND)
    time = NamespaceClock(clock)
    time.start(0)
    clock.pass_ns(7 * SECOND)
    assert time.now_ns() == clock.wall


@pytest.mark.parametrize(("jump_seconds", "pace"), [(3600, 1.1), (-3600, 0.9)])
def test_a_jump_of_the_wall_clock_is_slewed(jump_seconds: int, pace: float) -> None:
    """D2: while they differ, time runs a tenth faster or slower: it neither jumps nor freezes."""
    clock = HandClock(10_000 * SECOND)
    time = NamespaceClock(clock)
    began = time.start(0)
    clock.wall += jump_seconds * SECOND
    clock.pass_ns(100 * SECOND)
    assert time.now_ns() - began == pytest.approx(100 * pace * SECOND)


def test_a_slew_ends_when_the_wall_clock_is_reached() -> None:
    """D2: a small difference is made up, and no more than that."""
    clock = HandClock(10_000 * SECOND)
    time = NamespaceClock(clock)
    time.start(0)
    clock.wall += SECOND
    for _ in range(30):
        clock.pass_ns(SECOND)
        time.now_ns()
    assert time.now_ns() == clock.wall


@given(
    last_ns=st.integers(0, 10**18),
    wall_ns=st.integers(0, 10**18),
    steps=st.lists(st.tuples(st.integers(0, 10**12), st.integers(-(10**15), 10**15)), max_size=30),
)
def test_time_never_runs_backwards_or_freezes(last_ns: int, wall_ns: int, steps: list[tuple[int, int]]) -> None:
    """D2: whatever the wall clock does, between nine and eleven tenths of the time elapsed pass."""
    clock = HandClock(wall_ns)
    time = NamespaceClock(clock)
    before = time.start(last_ns)
    assert before > last_ns
    for elapsed_ns, wall_change_ns in steps:
        clock.pass_ns(elapsed_ns, wall_ns=wall_change_ns)
        now = time.now_ns()
        assert elapsed_ns * 9 // 10 <= now - before <= elapsed_ns + elapsed_ns // 10
        before = now
