"""Which locks stand over a state path."""

from __future__ import annotations

from coordinator_service.core import guards, specs
from coordinator_service.core.commands import Caller
from coordinator_service.core.fold import restored
from coordinator_service.core.state import NamespaceState
from coordinator_service.core.values import LockMode
from tests.core.driver import Namespace, caller, copied, task


def resources(state: NamespaceState, path: str) -> list[str]:
    """The locks that guard a path."""
    return [grant.resource for grant in guards.guarding(state, path)]


def test_a_lock_guards_its_path_and_everything_under_it(namespace: Namespace) -> None:
    """S6: found from the path itself and from below, by whole segments; not from above or beside."""
    namespace.hold(caller(), "one", holder="x", guards="site/pages")
    state = namespace.state
    for path in ("site/pages", "site/pages/1", "site/pages/1/status"):
        assert resources(state, path) == ["one"]
    for path in ("site", "site/page", "site/pages2", "other"):
        assert resources(state, path) == []
    for path in ("site", "site/pages"):
        assert [grant.resource for grant in guards.guarding_within(state, path)] == ["one"]
    assert guards.guarding_within(state, "site/pages/1") == []


def test_a_path_may_be_guarded_by_several_locks(namespace: Namespace) -> None:
    """S6: at its own depth and above, all are found, also in a restored copy."""
    namespace.hold(caller(), "low", holder="x", guards="site/pages")
    namespace.hold(caller(), "high", holder="y", guards="site")
    namespace.hold(caller(), "too", holder="z", guards="site/pages", mode=LockMode.SHARED)
    expected = ["high", "low", "too"]
    assert resources(namespace.state, "site/pages/1") == expected
    assert resources(restored("test", copied(namespace.state.tables())), "site/pages/1") == expected


def test_a_lock_that_ended_guards_nothing(namespace: Namespace) -> None:
    """S6: released, by its lease or with its attempt, alike; a lock that is only waited for guards nothing yet."""
    token = namespace.hold(caller(), "one", holder="x", guards="a")
    namespace.acquire(caller(), "one", holder="y", guards="b")
    assert (resources(namespace.state, "a"), resources(namespace.state, "b")) == (["one"], [])
    namespace.release(caller(), token)
    assert (resources(namespace.state, "a"), resources(namespace.state, "b")) == ([], ["one"])
    namespace.open("agent", "work")
    namespace.submit(task("t", locks=(specs.TaskLock(resource="declared", guards="c"),)))
    assert resources(namespace.state, "c") == ["declared"]
    namespace.complete("t")
    assert resources(namespace.state, "c") == []


def test_a_lock_guards_what_each_of_its_requests_named(namespace: Namespace) -> None:
    """S6, L5: requests counted on one grant add their paths, which end with it."""
    token = namespace.hold(caller(), "one", holder="x")
    for path in ("a", "b", "b"):
        assert namespace.hold(caller(), "one", holder="x", guards=path) == token
    assert (resources(namespace.state, "a"), resources(namespace.state, "b")) == (["one"], ["one"])
    namespace.release(caller(), *[token] * 4)
    assert namespace.state.index.guarded == namespace.state.index.guarded_within == {}


def test_who_the_holder_of_a_guard_is(namespace: Namespace) -> None:
    """S6, L1: the attempt, the session outside of its attempts, else who sends the token along and is the same."""
    session = namespace.open("a", "work", principal="alice")
    namespace.submit(task("t"))
    inside = namespace.inside("t")
    of_attempt, of_session, of_call = (
        namespace.state.grants[namespace.hold(who, f"lock-{number}", holder="x", guards="g")]
        for number, who in enumerate((inside, session, caller(principal="alice")))
    )
    assert guards.holds(inside, of_attempt)
    assert guards.holds(session, of_session)
    assert not guards.holds(session, of_attempt)
    assert not guards.holds(inside, of_session)
    assert not guards.holds(caller(principal="alice"), of_session)
    fences = (specs.Fence(resource="lock-2", fencing_token=of_call.token),)
    assert not guards.holds(caller(principal="alice"), of_call)
    assert guards.holds(Caller(principal="alice", fences=fences), of_call)
    assert not guards.holds(Caller(principal="mallory", fences=fences), of_call)
