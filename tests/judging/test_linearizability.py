"""The judge is judged: histories that are known to be good and bad, and all that are small against brute force."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import permutations
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from coordinator_service.core.invariants import InvariantBroken
from tests.judging.linearizability import UNKNOWN, Call, Model, check_linearizable, longest_order
from tests.judging.models import Acquire, Delete, Exchange, Free, Key, Lock, Read, Write

NEVER = UNKNOWN


def calls(*told: tuple[Any, float, float]) -> list[Call[Any]]:
    """From what, begun, ended."""
    return [Call(what, begun, ended, f"client {i}") for i, (what, begun, ended) in enumerate(told)]


KEY_GOOD = {
    "nothing happened": calls(),
    "one after another": calls((Read(None), 0, 1), (Write("a"), 2, 3), (Read("a"), 4, 5)),
    "a read beside a write sees it or not": calls((Write("a"), 0, 5), (Read(None), 1, 2), (Read("a"), 3, 4)),
    "two writes at once take effect in either order": calls(
        (Write("a"), 0, 5), (Write("b"), 0, 5), (Read("b"), 6, 7), (Read("b"), 8, 9)
    ),
    "a write that ends last may have happened first": calls(
        (Write("a"), 0, 9), (Write("b"), 1, 2), (Read("b"), 10, 11)
    ),
    "of two exchanges of one value one is done": calls(
        (Write("a"), 0, 1), (Exchange("a", "b"), 2, 4), (Exchange("a", "c", done=False), 2, 4), (Read("b"), 5, 6)
    ),
    "a write of unknown outcome is seen late": calls((Write("a"), 0, NEVER), (Read(None), 5, 6), (Read("a"), 7, 8)),
    "a write of unknown outcome is never seen": calls((Write("a"), 0, NEVER), (Read(None), 5, 6), (Read(None), 7, 8)),
    "an exchange of unknown outcome explains another's refusal": calls(
        (Write("a"), 0, 1), (Exchange("a", "b"), 2, NEVER), (Exchange("a", "c", done=False), 3, 4)
    ),
    "deleted, and there again": calls(
        (Write("a"), 0, 1), (Delete(), 2, 3), (Delete(found=False), 4, 5), (Write("b"), 6, 7), (Read("b"), 8, 9)
    ),
}
KEY_BAD = {
    "a stale read": calls((Write("a"), 0, 1), (Write("b"), 2, 3), (Read("a"), 4, 5)),
    "a lost write": calls((Write("a"), 0, 1), (Read(None), 2, 3)),
    "a value that nobody wrote": calls((Write("a"), 0, 1), (Read("x"), 2, 3)),
    "a read before its write began": calls((Read("a"), 0, 1), (Write("a"), 2, 3)),
    "seen, then unseen": calls((Write("a"), 0, 9), (Read("a"), 1, 2), (Read(None), 3, 4)),
    "two readers do not agree which came first": calls(
        (Write("a"), 0, 9), (Write("b"), 0, 9), (Read("a"), 1, 2), (Read("b"), 3, 4), (Read("a"), 5, 6)
    ),
    "both exchanges of one value are done": calls(
        (Write("a"), 0, 1), (Exchange("a", "b"), 2, 4), (Exchange("a", "c"), 2, 4)
    ),
    "an exchange is refused though nothing changed": calls((Write("a"), 0, 1), (Exchange("a", "b", done=False), 2, 3)),
    "a write of unknown outcome is seen, then not": calls(
        (Write("a"), 0, NEVER), (Read("a"), 1, 2), (Read(None), 3, 4)
    ),
    "a write of unknown outcome takes effect before it began": calls((Read("a"), 0, 1), (Write("a"), 2, NEVER)),
    "what was deleted is read": calls((Write("a"), 0, 1), (Delete(), 2, 3), (Read("a"), 4, 5)),
}
LOCK_GOOD = {
    "in turns": calls((Acquire(1), 0, 1), (Free(1), 2, 3), (Acquire(4), 0, 5), (Free(4), 6, 7)),
    "granted while the release is on its way": calls((Acquire(1), 0, 1), (Free(1), 2, 6), (Acquire(4), 3, 4)),
    "shared": calls((Acquire(1, shared=True), 0, 1), (Acquire(2, shared=True), 2, 3), (Free(1), 4, 5), (Free(2), 4, 5)),
    "a lease that may be over": calls((Acquire(1), 0, 1), (Free(1), 2, NEVER), (Acquire(7), 3, 9)),
    "a lease that is not over": calls((Acquire(1), 0, 1), (Free(1), 2, NEVER)),
}
LOCK_BAD = {
    "two holders": calls((Acquire(1), 0, 1), (Acquire(2), 2, 3), (Free(1), 4, 5), (Free(2), 4, 5)),
    "two holders for a while": calls((Acquire(1), 0, 1), (Acquire(2), 0, 3), (Free(1), 4, 5), (Free(2), 6, 7)),
    "an exclusive holder beside a shared one": calls(
        (Acquire(1, shared=True), 0, 1), (Acquire(2), 2, 3), (Free(1), 4, 5)
    ),
    "a shared holder beside an exclusive one": calls((Acquire(1), 0, 1), (Acquire(2, shared=True), 2, 3)),
    "a token that is not higher": calls((Acquire(5), 0, 1), (Free(5), 2, 3), (Acquire(4), 4, 5)),
    "a token twice": calls((Acquire(5), 0, 1), (Free(5), 2, 3), (Acquire(5), 4, 5)),
    "released by who does not hold it": calls((Acquire(1), 0, 1), (Free(1), 2, 3), (Free(1), 4, 5)),
    "a lease is over before it is": calls((Acquire(1), 0, 1), (Acquire(3), 2, 3), (Free(1), 4, NEVER)),
}


@pytest.mark.parametrize("history", KEY_GOOD.values(), ids=KEY_GOOD)
def test_a_key_that_could_have_been_is_accepted(history: list[Call[Any]]) -> None:
    """None of these is more than calls that overlap."""
    check_linearizable(Key(), history, "key")


@pytest.mark.parametrize("history", KEY_BAD.values(), ids=KEY_BAD)
def test_a_key_that_cannot_have_been_is_refused(history: list[Call[Any]]) -> None:
    """Each of these has no order."""
    with pytest.raises(InvariantBroken, match="not linearizable"):
        check_linearizable(Key(), history, "key")


@pytest.mark.parametrize("history", LOCK_GOOD.values(), ids=LOCK_GOOD)
def test_a_lock_that_could_have_been_is_accepted(history: list[Call[Any]]) -> None:
    """None of these is more than calls that overlap."""
    check_linearizable(Lock(), history, "lock")


@pytest.mark.parametrize("history", LOCK_BAD.values(), ids=LOCK_BAD)
def test_a_lock_that_cannot_have_been_is_refused(history: list[Call[Any]]) -> None:
    """Each of these has no order."""
    with pytest.raises(InvariantBroken, match="not linearizable"):
        check_linearizable(Lock(), history, "lock")


VALUES = st.sampled_from(("a", "b", "c"))
KEY_CALLS = st.one_of(
    st.builds(Read, st.one_of(st.none(), VALUES)),
    st.builds(Write, VALUES),
    st.builds(Exchange, VALUES, VALUES, st.booleans()),
    st.builds(Delete, st.booleans()),
)
LOCK_CALLS = st.one_of(st.builds(Acquire, st.integers(1, 4), st.booleans()), st.builds(Free, st.integers(1, 4)))


def timed(what: st.SearchStrategy[Any]) -> st.SearchStrategy[list[Call[Any]]]:
    """Up to six of them, anyhow in time."""

    def call(each: Any, begun: int, took: int) -> Call[Any]:
        return Call(each, begun, UNKNOWN if took == 7 else begun + took)

    return st.lists(st.builds(call, what, st.integers(0, 9), st.integers(0, 7)), max_size=6)


@given(timed(KEY_CALLS))
def test_any_small_history_of_a_key_is_judged_as_by_trying_all_orders(history: list[Call[Any]]) -> None:
    """Wing and Gong's search with its cache finds an order exactly where there is one."""
    assert longest_order(Key(), history)[1] is _tried(Key(), history)


@given(timed(LOCK_CALLS))
def test_any_small_history_of_a_lock_is_judged_as_by_trying_all_orders(history: list[Call[Any]]) -> None:
    """Wing and Gong's search with its cache finds an order exactly where there is one."""
    assert longest_order(Lock(), history)[1] is _tried(Lock(), history)


def test_a_long_history_of_many_clients_is_judged() -> None:
    """Four at any time, a thousand calls, some outcomes unknown: found right, or wrong, in the steps allowed."""
    history: list[Call[Any]] = []
    for i in range(1000):
        what: Any = Write(f"v{i}") if i % 3 else Read(f"v{i - 1}" if i else None)
        history.append(Call(what, i - 2.0, UNKNOWN if i in (199, 400, 799) else i + 1.5, f"client {i % 4}"))
    check_linearizable(Key(), history, "key")
    stale = [*history, Call(Read("v10"), 4000.0, 4001.0, "late")]
    with pytest.raises(InvariantBroken, match=r"Read\(value='v10'\)"):
        check_linearizable(Key(), stale, "key")


def _tried(model: Model[Any, Any], history: Sequence[Call[Any]]) -> bool:
    """By every order of every choice of the calls without an end."""
    certain = [each for each in history if each.ended != UNKNOWN]
    unsure = [each for each in history if each.ended == UNKNOWN]
    for chosen in range(1 << len(unsure)):
        some = [*certain, *(each for i, each in enumerate(unsure) if chosen >> i & 1)]
        if any(_is_order(model, order) for order in permutations(some)):
            return True
    return False


def _is_order(model: Model[Any, Any], order: Sequence[Call[Any]]) -> bool:
    state = model.beginning
    for i, each in enumerate(order):
        if any(later.ended < each.begun for later in order[i + 1 :]):
            return False
        state = model.step(state, each.what)
        if state is None:
            return False
    return True
