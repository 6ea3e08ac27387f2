"""Nobody waits for itself: what closes a cycle is refused, and who waits for a holder already does not hold it up."""

from __future__ import annotations

from coordinator_service.core import commands, reasons
from coordinator_service.core.answers import Acquired, Waiting
from coordinator_service.core.events import EventType, ResourceRequestReattached, ResourceRequestRefused
from coordinator_service.core.rejections import Deadlock, LockTimeout
from coordinator_service.core.specs import LockRequest, LockWait
from coordinator_service.core.values import LockMode
from tests.core.driver import Namespace, asking, caller, seconds, task

SHARED = LockMode.SHARED
LONG = {"wait_timeout_ns": seconds(1000)}


def take(namespace: Namespace, holder: str, *resources: str, mode: LockMode = LockMode.EXCLUSIVE) -> int:
    """Asks for locks under a name: the fencing token, or the negative sequence of a request that waits."""
    answer = namespace.acquire(caller(), *resources, mode=mode, holder=holder, **LONG)
    return -answer.request_sequence if isinstance(answer, Waiting) else answer.grants[0].fencing_token


def test_two_who_want_what_the_other_holds(namespace: Namespace) -> None:
    """L4: the second is refused, with the cycle; the first waits on and is granted."""
    x, y = take(namespace, "x", "a"), take(namespace, "y", "b")
    waits = take(namespace, "x", "b")
    refusal = namespace.refuse_on_record(Deadlock, asking("a", holder="y", wait_seconds=30))
    assert refusal.cycle == (
        LockWait(holder="y", request_sequence=refusal.request_sequence, resource="a", fencing_token=x),
        LockWait(holder="x", request_sequence=-waits, resource="b", fencing_token=y),
    )
    refused = namespace.last(ResourceRequestRefused)
    assert (refused.cycle, refused.resource) == (refusal.cycle, "a")
    assert namespace.events[-1].reason == reasons.DEADLOCK
    namespace.release(caller(), y)
    assert namespace.holders("b") == ["x"]


def test_a_cycle_may_be_long(namespace: Namespace) -> None:
    """L4: over as many holders as there are, named in order."""
    for number in range(30):
        take(namespace, f"h{number}", f"r{number}")
    for number in range(29):
        assert take(namespace, f"h{number}", f"r{number + 1}") < 0
    refusal = namespace.refuse_on_record(Deadlock, asking("r0", holder="h29", wait_seconds=30))
    assert [step.holder for step in refusal.cycle] == ["h29", *(f"h{number}" for number in range(29))]


def test_a_cycle_may_lead_through_a_queue(namespace: Namespace) -> None:
    """L4: waiting behind somebody who waits counts like waiting for a holder."""
    take(namespace, "x", "a")
    take(namespace, "y", "b")
    take(namespace, "x", "b")
    first = take(namespace, "z", "b", "c")
    take(namespace, "w", "d")
    assert take(namespace, "w", "c") < 0  # behind z, which waits for y's b
    refusal = namespace.refuse_on_record(Deadlock, asking("d", holder="y", wait_seconds=30))
    assert [(step.holder, step.resource, bool(step.fencing_token)) for step in refusal.cycle] == [
        ("y", "d", True),
        ("w", "c", False),
        ("z", "b", True),
    ]
    assert refusal.cycle[2].request_sequence == -first


def test_readers_close_cycles_too(namespace: Namespace) -> None:
    """L4: two that share a lock and each want what the other one holds besides."""
    for name in "xy":
        take(namespace, name, "door", mode=SHARED)
        take(namespace, name, name)
    take(namespace, "x", "y")
    namespace.refuse_on_record(Deadlock, asking("x", holder="y", mode=SHARED, wait_seconds=30))


def test_who_would_not_wait_closes_no_cycle(namespace: Namespace) -> None:
    """L4, L6: it is told that it is not its turn."""
    take(namespace, "x", "a")
    take(namespace, "y", "b")
    take(namespace, "x", "b")
    namespace.refuse_on_record(LockTimeout, asking("a", holder="y", wait_seconds=0))


def test_the_refusal_is_remembered(namespace: Namespace) -> None:
    """L4, D5: the same request again is refused again, without another event."""
    take(namespace, "x", "a")
    take(namespace, "y", "b")
    take(namespace, "x", "b")
    again = caller(request_id="r", method="Acquire")
    first = namespace.refuse_on_record(Deadlock, asking("a", holder="y", wait_seconds=30), again)
    second = namespace.refuse(Deadlock, asking("a", holder="y", wait_seconds=30), again)
    assert first.request_sequence == second.request_sequence


def test_who_waits_for_a_holder_does_not_hold_it_up(namespace: Namespace) -> None:
    """L2: an earlier waiter for several locks, one of which the holder has, is passed."""
    take(namespace, "x", "a")
    take(namespace, "y", "a", "b")
    assert take(namespace, "z", "b") < 0
    assert take(namespace, "x", "b") > 0
    assert namespace.holders("b") == ["x"]


def test_who_waits_behind_whoever_is_passed_is_passed_too(namespace: Namespace) -> None:
    """L2: over the graph, not only at first hand; somebody else before them is not."""
    take(namespace, "x", "a")
    take(namespace, "w", "c")
    take(namespace, "v", "b", "c")
    take(namespace, "y", "a", "b")
    take(namespace, "z", "b")
    waits = -take(namespace, "x", "b")
    v, y, z = list(namespace.state.waiters)[:3]
    assert namespace.state.waiters[waits].passes == (y, z)
    assert v not in namespace.state.waiters[waits].passes
    namespace.release(caller(), namespace.state.locks["c"].holders["w"])
    for each in ("b", "c"):
        namespace.release(caller(), namespace.state.locks[each].holders["v"])
    assert namespace.holders("b") == ["x"]


def test_a_request_of_an_earlier_turn_lets_those_pass_that_it_waits_for(namespace: Namespace) -> None:
    """L2: a later waiter, whose holder has what it wants, goes first."""
    take(namespace, "x", "a")
    take(namespace, "w", "b")
    later = -take(namespace, "x", "b")
    requests = tuple(LockRequest(resource=each, holder="urgent", priority=9, **LONG) for each in "ab")
    urgent = namespace.do(commands.Acquire(requests=requests)).request_sequence
    assert namespace.state.waiters[later].passes == (urgent,)
    namespace.release(caller(), namespace.state.locks["b"].holders["w"])
    assert namespace.holders("b") == ["x"]
    for each in "ba":
        namespace.release(caller(), namespace.state.locks[each].holders["x"])
    assert namespace.holders("a") == namespace.holders("b") == ["urgent"]


def test_who_is_passed_waits_for_who_passes_it(namespace: Namespace) -> None:
    """L2, L4: also when the lock comes free before the reason is gone, so that no grant closes a cycle."""
    session = namespace.open("s")
    hold = namespace.hold(caller(), "r", holder="y")
    take(namespace, "l", "q")
    namespace.acquire(session, "q", **LONG)  # the session waits for l
    first = namespace.acquire(session, "r", **LONG)
    passing = -take(namespace, "l", "r")
    assert namespace.state.waiters[passing].passes == (first.request_sequence,)
    namespace.release(caller(), hold)
    assert namespace.holders("r") == ["l"]


def test_nobody_else_is_passed(namespace: Namespace) -> None:
    """L2: who holds something that nobody in the queue wants waits its turn."""
    take(namespace, "x", "a")
    take(namespace, "w", "b")
    first, second = -take(namespace, "y", "b"), -take(namespace, "x", "b")
    assert namespace.state.waiters[second].passes == namespace.state.waiters[first].passes == ()


def test_who_returns_is_queued_anew(namespace: Namespace) -> None:
    """L2, L4, L6: whom the returned wait for by now pass them."""
    namespace.advance(5)
    session = namespace.open("s")
    namespace.hold(caller(), "a", holder="x")
    namespace.hold(caller(), "b", holder="w")
    first = namespace.acquire(session, "a", "b", **LONG).request_sequence
    namespace.detach(session)
    second = -take(namespace, "x", "b")
    assert namespace.state.waiters[second].passes == ()
    namespace.resume(session)
    assert namespace.last(ResourceRequestReattached).passed_by == (second,)
    assert namespace.state.waiters[second].passes == (first,)
    namespace.release(caller(), namespace.state.locks["b"].holders["w"])
    assert namespace.holders("b") == ["x"]


def test_who_would_close_a_cycle_by_returning_is_refused(namespace: Namespace) -> None:
    """L4, L6: while a waiter is away somebody passes it and waits for what its holder has."""
    namespace.advance(5)
    session = namespace.open("s")
    namespace.hold(session, "a")
    door = namespace.hold(caller(), "door", holder="w")
    waiting = namespace.acquire(session, "door", **LONG).request_sequence
    namespace.detach(session)
    take(namespace, "x", "door")
    namespace.release(caller(), door)
    assert take(namespace, "x", "a") < 0
    namespace.resume(session)
    refused = namespace.last(ResourceRequestRefused)
    assert (refused.request_sequence, refused.cycle[0].resource) == (waiting, "door")
    assert waiting not in namespace.state.waiters
    assert namespace.of_type(EventType.RESOURCE_REQUEST_REFUSED)[-1].reason == reasons.DEADLOCK


def test_a_waiting_call_that_is_made_again_may_be_refused(namespace: Namespace) -> None:
    """L4, D6: the same for a call that comes back after an owner change."""
    again = caller(request_id="r", method="Acquire")
    namespace.hold(caller(), "a", holder="y", lease_ns=seconds(100))
    door = namespace.hold(caller(), "door", holder="w")
    namespace.decide(asking("door", holder="y", wait_seconds=1000), again)
    namespace.start_owner()
    namespace.advance(6)
    namespace.acquire(caller(), "door", holder="x", **LONG)
    namespace.release(caller(), door)
    assert take(namespace, "x", "a") < 0
    refusal = namespace.refuse_on_record(Deadlock, asking("door", holder="y", wait_seconds=1000), again)
    assert refusal.cycle == ()
    assert len(namespace.last(ResourceRequestRefused).cycle) == 2


def test_attempts_wait_for_each_other_too(namespace: Namespace) -> None:
    """L4, L1: two tasks of one agent are two holders."""
    namespace.open("agent", "work", slots=2)
    namespace.submit(task("one"), task("two"))
    one, two = namespace.inside("one"), namespace.inside("two")
    namespace.hold(one, "a")
    namespace.hold(two, "b")
    assert isinstance(namespace.acquire(one, "b"), Waiting)
    refusal = namespace.refuse_on_record(Deadlock, asking("a"), two)
    assert [step.holder for step in refusal.cycle] == [f"attempt/{each.attempt_token}" for each in (two, one)]
    namespace.fail("two")
    assert namespace.holders("b") == [f"attempt/{one.attempt_token}"]


def test_a_free_lock_is_granted_whoever_waits(namespace: Namespace) -> None:
    """L4: there is nothing to wait for, so there is no cycle."""
    take(namespace, "x", "a")
    take(namespace, "y", "a")
    assert isinstance(namespace.acquire(caller(), "c", holder="x"), Acquired)
