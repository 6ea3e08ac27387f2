"""Who holds what, who waits, and who comes next."""

from __future__ import annotations

from dataclasses import replace

import pytest

from coordinator_service.core import commands, reasons, specs
from coordinator_service.core.answers import Acquired, Waiting
from coordinator_service.core.commands import Caller
from coordinator_service.core.decide import decide
from coordinator_service.core.events import (
    EventType,
    ResourceAcquired,
    ResourceReleased,
    ResourceRequested,
    ResourceRequestRefused,
    ResourceRequestTimedOut,
)
from coordinator_service.core.limits import Limits
from coordinator_service.core.rejections import (
    InvalidField,
    LimitReached,
    LockTimeout,
    LockUpgrade,
    NotHolder,
    PermissionDenied,
    StaleAttempt,
)
from coordinator_service.core.specs import LockRequest
from coordinator_service.core.values import LockMode
from tests.core.conftest import OpenNamespace
from tests.core.driver import Namespace, asking, caller, seconds, task

SHARED = LockMode.SHARED
EXCLUSIVE = LockMode.EXCLUSIVE


def named(namespace: Namespace, resource: str, holder: str, mode: LockMode = EXCLUSIVE) -> Acquired | Waiting:
    """A request without a session, under a holder's name."""
    return namespace.acquire(caller(), resource, mode=mode, holder=holder)


def test_one_exclusive_holder_and_nobody_beside_it(namespace: Namespace) -> None:
    """L1: EXCLUSIVE has one holder, SHARED many and no exclusive one."""
    named(namespace, "door", "a")
    for mode in (EXCLUSIVE, SHARED):
        assert isinstance(named(namespace, "door", f"b{mode}", mode), Waiting)
    assert namespace.holders("door") == ["a"]


def test_many_share(namespace: Namespace) -> None:
    """L1: shared holders stand side by side; an exclusive one waits for the last of them."""
    first = namespace.hold(caller(), "door", mode=SHARED, holder="a")
    second = namespace.hold(caller(), "door", mode=SHARED, holder="b")
    named(namespace, "door", "c")
    namespace.release(caller(), first)
    assert namespace.holders("door") == ["b"]
    namespace.release(caller(), second)
    assert namespace.holders("door") == ["c"]
    assert [event.reason for event in namespace.of_type(EventType.RESOURCE_ACQUIRED)] == [
        reasons.LOCK_FREE,
        reasons.LOCK_SHARED,
        reasons.NEXT_IN_LINE,
    ]


def test_who_the_holder_is(namespace: Namespace) -> None:
    """L1: the attempt inside a task, else the session, else the name given, else the request's own sequence."""
    session = namespace.open("a", "work")
    namespace.submit(task("t"))
    inside = namespace.inside("t")
    namespace.acquire(inside, "one", holder="ignored")
    namespace.acquire(session, "two")
    named(namespace, "three", "me")
    answer = namespace.acquire(caller(), "four")
    assert namespace.holders("one") == [f"attempt/{inside.attempt_token}"]
    assert namespace.holders("two") == [f"session/{session.session_id}"]
    assert namespace.holders("three") == ["me"]
    assert isinstance(answer, Acquired)
    assert answer.grants[0].holder == f"request/{answer.request_sequence}"


@pytest.mark.parametrize("name", ["attempt/1", "session/1"])
def test_nobody_takes_the_name_of_an_attempt_or_a_session(namespace: Namespace, name: str) -> None:
    """L1: what an attempt or a session holds is its own."""
    namespace.refuse(InvalidField, asking("door", holder=name))


def test_all_locks_of_an_attempt_end_with_it(namespace: Namespace) -> None:
    """L1: declared or asked for, held or waited for: all end with the attempt, in its batch."""
    namespace.open("a", "work")
    namespace.submit(task("t", locks=(specs.TaskLock(resource="declared"),)))
    inside = namespace.inside("t")
    namespace.hold(inside, "asked")
    named(namespace, "held", "somebody")
    waiting = namespace.acquire(inside, "held")
    token = namespace.token("t")
    decision = namespace.decide(commands.CompleteTask(attempt_token=token), namespace.reporter(token))
    assert {event.reason for event in decision.events if event.type is EventType.RESOURCE_RELEASED} == {
        reasons.ATTEMPT_OVER
    }
    assert namespace.holders("declared") == namespace.holders("asked") == []
    assert waiting.request_sequence not in namespace.state.waiters


def test_waiters_are_served_in_their_order(namespace: Namespace) -> None:
    """L2: first come, first served within one priority and ageing step."""
    token = namespace.hold(caller(), "door", holder="0")
    for name in "123":
        named(namespace, "door", name)
    for name in "123":
        namespace.release(caller(), token)
        assert namespace.holders("door") == [name]
        token = namespace.state.locks["door"].holders[name]


def test_priority_orders_a_lock_queue(namespace: Namespace) -> None:
    """L2, R5: one key orders ready tasks and lock waiters; the highest priority of a call holds for all of it."""
    token = namespace.hold(caller(), "door", holder="0")
    named(namespace, "door", "plain")
    both = (LockRequest(resource="door", holder="urgent", priority=1), LockRequest(resource="b", holder="urgent"))
    namespace.do(commands.Acquire(requests=both))
    assert namespace.last(ResourceRequested).priority == 1
    namespace.release(caller(), token)
    assert namespace.holders("door") == ["urgent"]


def test_waiting_outweighs_priority_for_locks_too(namespace: Namespace) -> None:
    """L2, R5: ageing is in the key, so nobody starves behind higher priorities."""
    token = namespace.hold(caller(), "door", holder="0")
    named(namespace, "door", "patient")
    namespace.now_ns += seconds(21)
    namespace.acquire(caller(), "door", holder="urgent", priority=1)
    namespace.release(caller(), token)
    assert namespace.holders("door") == ["patient"]


def test_a_shared_request_does_not_overtake_an_exclusive_one(namespace: Namespace) -> None:
    """L2: a shared request does not overtake an exclusive one of an earlier key; readers cannot starve a writer."""
    token = namespace.hold(caller(), "door", mode=SHARED, holder="reader")
    named(namespace, "door", "writer")
    assert isinstance(named(namespace, "door", "late reader", SHARED), Waiting)
    namespace.release(caller(), token)
    assert namespace.holders("door") == ["writer"]
    namespace.release(caller(), namespace.state.locks["door"].holders["writer"])
    assert namespace.holders("door") == ["late reader"]


def test_shared_requests_pass_shared_ones_that_wait_for_something_else(namespace: Namespace) -> None:
    """L2: a waiter blocks only who conflicts with it."""
    named(namespace, "window", "x")
    token = namespace.hold(caller(), "door", holder="x")
    both = tuple(LockRequest(resource=each, mode=SHARED, holder="both") for each in ("door", "window"))
    namespace.do(commands.Acquire(requests=both))
    named(namespace, "door", "reader", SHARED)
    named(namespace, "door", "writer")
    named(namespace, "door", "late reader", SHARED)
    namespace.release(caller(), token)
    assert namespace.holders("door") == ["reader"]


def test_several_are_granted_together_or_not_at_all(namespace: Namespace) -> None:
    """L3: while one of them is held, the others stay free for nobody but the earlier waiter."""
    token = namespace.hold(caller(), "b", holder="x")
    waiting = namespace.acquire(caller(), "a", "b", "c", holder="all")
    assert isinstance(waiting, Waiting)
    assert (namespace.holders("a"), namespace.holders("c")) == ([], [])
    assert isinstance(named(namespace, "a", "late"), Waiting)
    namespace.release(caller(), token)
    assert [namespace.holders(each) for each in "abc"] == [["all"]] * 3
    for each in namespace.of_type(EventType.RESOURCE_ACQUIRED)[1:]:
        assert isinstance(each.payload, ResourceAcquired)
        assert each.payload.request_sequence == waiting.request_sequence


def test_late_grants_belong_to_who_asked(namespace: Namespace) -> None:
    """L3, L1: whoever waited for several locks may release each of them, whoever freed them."""
    token = namespace.hold(caller(principal="x"), "b", holder="x")
    namespace.acquire(caller(principal="y"), "a", "b", holder="y")
    namespace.release(caller(principal="x"), token)
    tokens = [namespace.state.locks[each].holders["y"] for each in "ab"]
    for each in tokens:
        namespace.refuse(NotHolder, commands.Release(fencing_tokens=(each,)), caller(principal="x"))
    namespace.release(caller(principal="y"), *tokens)


@pytest.mark.parametrize(
    ("requests", "why"),
    [
        ((LockRequest(resource="a"), LockRequest(resource="a", mode=SHARED)), "twice"),
        ((LockRequest(resource="a", holder="x"), LockRequest(resource="b", holder="y")), "the same"),
    ],
)
def test_a_request_that_contradicts_itself_is_refused(
    namespace: Namespace, requests: tuple[LockRequest, ...], why: str
) -> None:
    """L3: one resource once, one holder a call."""
    assert why in namespace.refuse(InvalidField, commands.Acquire(requests=requests)).message


@pytest.mark.parametrize(("limits", "subject"), [({"locks_max": 1}, "locks_max"), ({"lock_waiters_max": 0}, None)])
def test_more_than_the_limits_is_refused(
    open_namespace: OpenNamespace, limits: dict[str, int], subject: str | None
) -> None:
    """L3, L6: locks and waiters are bounded; asking for more changes nothing."""
    namespace = open_namespace(Limits(**limits))
    named(namespace, "door", "x")
    rejection = namespace.refuse(LimitReached, asking("door", holder="y"))
    assert rejection.subject == (subject or "lock_waiters_max")


@pytest.mark.parametrize("mode", [EXCLUSIVE, SHARED])
def test_the_same_or_a_weaker_mode_is_the_same_grant(namespace: Namespace, mode: LockMode) -> None:
    """L5: counted by request; the lock ends with the last release."""
    token = namespace.hold(caller(), "door", holder="me")
    assert namespace.hold(caller(), "door", mode=mode, holder="me") == token
    assert namespace.last(ResourceAcquired).existing_token == token
    assert namespace.of_type(EventType.RESOURCE_ACQUIRED)[-1].reason == reasons.LOCK_HELD_ALREADY
    namespace.release(caller(), token)
    assert namespace.last(ResourceReleased).remaining == 1
    assert namespace.holders("door") == ["me"]
    namespace.release(caller(), token)
    assert namespace.holders("door") == []


def test_a_counted_grant_is_given_back_as_often_as_it_was_taken(namespace: Namespace) -> None:
    """L5: several releases in one call count one by one, and one too many refuses them all."""
    token = namespace.hold(caller(), "door", holder="me")
    namespace.hold(caller(), "door", holder="me")
    namespace.refuse(NotHolder, commands.Release(fencing_tokens=(token,) * 3))
    namespace.release(caller(), token, token)
    assert namespace.holders("door") == []


def test_a_stronger_mode_is_refused(namespace: Namespace) -> None:
    """L5, L9: LOCK_UPGRADE, which is an event, and the shared grant stands."""
    token = namespace.hold(caller(), "door", mode=SHARED, holder="me")
    rejection = namespace.refuse_on_record(LockUpgrade, asking("free", "door", holder="me"))
    assert (rejection.resource, rejection.token) == ("door", token)
    assert namespace.last(ResourceRequestRefused).resource == "door"
    assert namespace.events[-1].reason == reasons.LOCK_UPGRADE
    assert (namespace.holders("door"), namespace.holders("free")) == (["me"], [])


def test_a_holder_passes_its_own_waiting_requests(namespace: Namespace) -> None:
    """L5: a holder's requests never conflict with each other, so what it waits for does not bar it."""
    session = namespace.open("a")
    named(namespace, "window", "x")
    blocking = namespace.acquire(session, "door", "window")
    assert isinstance(namespace.acquire(session, "door"), Acquired)
    named(namespace, "door", "late")
    assert blocking.request_sequence in namespace.state.waiters


def test_a_holder_passes_its_own_waiting_requests_when_the_lock_comes_free(namespace: Namespace) -> None:
    """L5: the same when the lock was held by somebody else at first."""
    session = namespace.open("a")
    named(namespace, "window", "x")
    token = namespace.hold(caller(), "door", holder="x")
    namespace.acquire(session, "door", "window")
    namespace.acquire(session, "door")
    named(namespace, "door", "late")
    namespace.release(caller(), token)
    assert namespace.holders("door") == [f"session/{session.session_id}"]


def test_a_holder_passes_those_who_wait_behind_its_own_request(namespace: Namespace) -> None:
    """L2, L5: they wait for this holder already; to wait for them would be to wait for itself."""
    session = namespace.open("a")
    named(namespace, "window", "x")
    named(namespace, "roof", "y")
    namespace.acquire(session, "door", "window")
    named(namespace, "door", "between")
    waiting = namespace.acquire(session, "door", "roof")
    between, own = list(namespace.state.waiters)[1:]
    assert waiting.request_sequence == own
    assert namespace.state.waiters[own].passes == (between,)
    assert isinstance(namespace.acquire(session, "door"), Acquired)


def test_a_wait_ends_by_policy(namespace: Namespace) -> None:
    """L6: 30 s unless said otherwise; an event that names the holders, and the next in line moves up."""
    token = namespace.hold(caller(), "door", holder="x")
    namespace.advance(1)
    first = namespace.acquire(caller(), "door", holder="y")
    second = namespace.acquire(caller(), "door", holder="z", wait_timeout_ns=seconds(100))
    namespace.advance(29.9)
    assert first.request_sequence in namespace.state.waiters
    namespace.advance(0.1)
    timed_out = namespace.last(ResourceRequestTimedOut)
    assert timed_out.request_sequence == first.request_sequence
    assert [(grant.holder, grant.fencing_token) for grant in timed_out.holders] == [("x", token)]
    assert timed_out.position == 1
    assert list(namespace.state.waiters) == [second.request_sequence]


def test_the_shortest_wait_of_a_call_holds_for_all(namespace: Namespace) -> None:
    """L6: and the position tells how many stood before it."""
    named(namespace, "door", "x")
    named(namespace, "door", "y")
    requests = tuple(
        LockRequest(resource=each, holder="z", wait_timeout_ns=seconds(wait))
        for each, wait in (("free", 9), ("door", 3))
    )
    waiting = namespace.do(commands.Acquire(requests=requests))
    namespace.advance(3)
    assert waiting.request_sequence not in namespace.state.waiters
    assert namespace.last(ResourceRequestTimedOut).position == 2


def test_a_request_that_will_not_wait_is_refused_at_once(namespace: Namespace) -> None:
    """L6, L9: a wait of 0: LOCK_TIMEOUT naming the holders, which is an event."""
    token = namespace.hold(caller(), "door", holder="x")
    rejection = namespace.refuse_on_record(LockTimeout, asking("door", holder="y", wait_seconds=0))
    assert [grant.fencing_token for grant in rejection.holders] == [token]
    assert [event.type for event in namespace.events[-2:]] == [
        EventType.RESOURCE_REQUESTED,
        EventType.RESOURCE_REQUEST_REFUSED,
    ]
    assert namespace.state.waiters == {}


def test_a_cancelled_call_withdraws_its_request(namespace: Namespace) -> None:
    """L6: the next in line moves up at once."""
    named(namespace, "door", "reader", SHARED)
    gone = named(namespace, "door", "writer")
    named(namespace, "door", "other reader", SHARED)
    for _ in range(2):
        namespace.do(commands.WithdrawRequest(request_sequence=gone.request_sequence))
    assert namespace.holders("door") == ["reader", "other reader"]
    assert len(namespace.of_type(EventType.RESOURCE_REQUEST_WITHDRAWN)) == 1


def test_a_detached_waiter_blocks_nobody_and_keeps_its_place(namespace: Namespace) -> None:
    """L6: others pass a detached waiter; when it is back it is next."""
    namespace.advance(5)
    session = namespace.open("a")
    token = namespace.hold(caller(), "door", holder="x")
    namespace.acquire(session, "door", wait_timeout_ns=seconds(99))
    named(namespace, "door", "y")
    namespace.detach(session)
    namespace.release(caller(), token)
    assert namespace.holders("door") == ["y"]
    named(namespace, "door", "z")
    namespace.resume(session)
    namespace.release(caller(), namespace.state.locks["door"].holders["y"])
    assert namespace.holders("door") == [f"session/{session.session_id}"]


def test_a_lease_that_ends_grants_to_the_next_in_the_same_batch(namespace: Namespace) -> None:
    """L7: RESOURCE_RELEASED (LEASE_EXPIRED), whole however often it was counted, and the next in line."""
    token = namespace.hold(caller(), "door", holder="x")
    namespace.hold(caller(), "door", holder="x")
    named(namespace, "door", "y")
    decision = namespace.decide(commands.ExpireLock(fencing_token=token))
    assert [(event.type.name, event.reason) for event in decision.events] == [
        ("RESOURCE_RELEASED", reasons.LEASE_EXPIRED),
        ("RESOURCE_ACQUIRED", reasons.NEXT_IN_LINE),
    ]
    assert namespace.holders("door") == ["y"]
    assert namespace.decide(commands.ExpireLock(fencing_token=token)).events == []


def test_a_lock_of_a_session_or_attempt_has_no_lease_of_its_own(namespace: Namespace) -> None:
    """L7, L8: it ends with its session or attempt, so no attempt writes on without a lock it was granted."""
    session = namespace.open("a", "work")
    namespace.submit(task("t"))
    for who in (session, namespace.inside("t")):
        token = namespace.hold(who, f"lock-{who.attempt_token}")
        assert namespace.decide(commands.ExpireLock(fencing_token=token)).events == []
        assert token in namespace.state.grants


def test_the_lease_is_the_one_asked_for(namespace: Namespace) -> None:
    """L7: 30 s unless the request says otherwise."""
    answer = namespace.acquire(caller(), "a", holder="x")
    longer = namespace.acquire(caller(), "b", holder="x", lease_ns=seconds(60))
    assert isinstance(answer, Acquired)
    assert isinstance(longer, Acquired)
    assert (answer.grants[0].lease_ns, longer.grants[0].lease_ns) == (seconds(30), seconds(60))


def test_the_fencing_token_is_the_sequence_of_the_grant(namespace: Namespace) -> None:
    """L8: it strictly increases, and can be looked up in the log."""
    tokens = []
    for _ in range(3):
        token = namespace.hold(caller(), "door", holder="x")
        assert namespace.events[token - 1].type is EventType.RESOURCE_ACQUIRED
        tokens.append(token)
        namespace.release(caller(), token)
    assert tokens == sorted(set(tokens))


def test_release_always_passes(namespace: Namespace) -> None:
    """L8: a session gives back what its attempts hold, in or outside of them; but nothing twice."""
    session = namespace.open("a", "work")
    namespace.submit(task("t"))
    token = namespace.hold(namespace.inside("t"), "door")
    namespace.release(replace(session, attempt_token=12345), token)
    namespace.refuse(NotHolder, commands.Release(fencing_tokens=(token,)), session)


def test_an_attempt_that_lost_its_locks_cannot_take_others(namespace: Namespace) -> None:
    """L8: an attempt that is over is fenced out of the locks as of everything else."""
    namespace.open("a", "work")
    namespace.submit(task("t"))
    inside = namespace.inside("t")
    namespace.fail("t")
    namespace.refuse(StaleAttempt, asking("door"), inside)


@pytest.mark.parametrize(
    "stranger",
    [caller(principal="mallory"), Caller(principal="mallory", attempt_token=3)],
    ids=["call", "attempt"],
)
def test_nobody_releases_what_another_holds(namespace: Namespace, stranger: Caller) -> None:
    """L1: a token is no credential: sessions, attempts and principals release their own."""
    alone = namespace.hold(caller(principal="alice"), "one", holder="x")
    session = namespace.open("a", "work", principal="alice")
    namespace.submit(task("t"))
    of_session = namespace.hold(session, "two")
    of_attempt = namespace.hold(namespace.inside("t"), "three")
    other = namespace.open("b", principal="alice")
    for token in (alone, of_session, of_attempt):
        namespace.refuse(NotHolder, commands.Release(fencing_tokens=(token,)), stranger)
    for token in (of_session, of_attempt):
        namespace.refuse(NotHolder, commands.Release(fencing_tokens=(token,)), other)


@pytest.mark.parametrize("holder", ["name", "session", "attempt", "declared"])
def test_force_takes_a_lock_from_whoever_holds_it(namespace: Namespace, holder: str) -> None:
    """L8: whoever it was and however often it was counted; the next in line has it in the same decision, and the event
    says who did it and that it was by force."""
    session = namespace.open("a", "work", principal="alice")
    namespace.submit(task("t", locks=(specs.TaskLock(resource="door"),) if holder == "declared" else ()))
    asks = {"name": caller(principal="alice"), "session": session}.get(holder) or namespace.inside("t")
    named_holder = "x" if holder == "name" else ""
    token = namespace.hold(asks, "door", holder=named_holder)
    assert namespace.hold(asks, "door", holder=named_holder) == token
    named(namespace, "door", "y")
    decision = namespace.decide(commands.Release(fencing_tokens=(token,), force=True), caller(principal="olivia"))
    released, acquired = decision.events[:2]
    assert (released.principal, released.reason) == ("olivia", reasons.RELEASED_BY_FORCE)
    assert isinstance(released.payload, ResourceReleased)
    assert (released.payload.fencing_token, released.payload.remaining) == (token, 0)
    assert (acquired.reason, namespace.holders("door")) == (reasons.NEXT_IN_LINE, ["y"])


def test_force_is_for_those_who_may_touch_what_is_anothers(namespace: Namespace) -> None:
    """What is its own a caller that is kept to its own may take by force too; nothing that is not held, or twice."""
    kept = replace(caller(principal="mallory"), own_only=True)
    others = namespace.hold(caller(principal="alice"), "one", holder="x")
    own = namespace.hold(kept, "two", holder="y")
    namespace.refuse(PermissionDenied, commands.Release(fencing_tokens=(own, others), force=True), kept)
    namespace.refuse(NotHolder, commands.Release(fencing_tokens=(own, own), force=True), kept)
    namespace.refuse(NotHolder, commands.Release(fencing_tokens=(9999,), force=True))
    namespace.do(commands.Release(fencing_tokens=(own,), force=True), kept)
    assert (namespace.holders("one"), namespace.holders("two")) == (["x"], [])


def test_releasing_several_is_all_or_none(namespace: Namespace) -> None:
    """L3: one token that is not the caller's refuses the others too."""
    mine = namespace.hold(caller(), "one", holder="x")
    namespace.refuse(NotHolder, commands.Release(fencing_tokens=(mine, 999)))


def test_the_hand_off_is_part_of_the_release(namespace: Namespace) -> None:
    """L7, L9: a release and the grant that follows it are one decision, and each step is an event."""
    token = namespace.hold(caller(), "door", holder="x")
    named(namespace, "door", "y")
    decision = namespace.decide(commands.Release(fencing_tokens=(token,)))
    released, acquired = decision.events
    assert (released.reason, acquired.reason) == (reasons.RELEASED_BY_HOLDER, reasons.NEXT_IN_LINE)
    assert isinstance(acquired.payload, ResourceAcquired)
    assert acquired.cause == acquired.payload.request_sequence
    assert [event.type.name for event in namespace.events[-5:]] == [
        "RESOURCE_REQUESTED",
        "RESOURCE_ACQUIRED",
        "RESOURCE_REQUESTED",
        "RESOURCE_RELEASED",
        "RESOURCE_ACQUIRED",
    ]


def test_the_policy_of_a_wait_is_that_of_whoever_waits(namespace: Namespace) -> None:
    """L6, R17: the attempt's policy, else that of the session's agent name, else the default."""
    named(namespace, "door", "x")
    session = namespace.open("h-1", "work", name="high_priority")
    namespace.submit(task("t", policy="default"))
    expected = ((session, 60), (namespace.inside("t"), 30), (caller(), 30))
    for who, wait in expected:
        namespace.acquire(who, "door")
        assert namespace.last(ResourceRequested).deadline_ns == namespace.now_ns + seconds(wait)


def test_a_holders_name_is_of_one_principal(namespace: Namespace) -> None:
    """L5: under the name of another's holder, or of one that waits, nobody shares its grant."""
    namespace.hold(caller(principal="x"), "a", holder="x")
    namespace.acquire(caller(principal="y"), "a", holder="y")
    for name in ("x", "y"):
        command = commands.Acquire(requests=(LockRequest(resource="a", holder=name),))
        namespace.refuse(PermissionDenied, command, caller(principal="mallory"))


@pytest.mark.parametrize("freed_by", ["release", "resume"])
def test_however_many_requests_one_holder_has_they_are_granted_at_once(namespace: Namespace, freed_by: str) -> None:
    """L5: hundreds of requests of one holder are one grant, counted; no decision breaks over how many there are."""
    other, session = namespace.open("other"), namespace.open("many")
    held = namespace.hold(other, "door")
    for _ in range(400):  # not by the driver: it looks at everybody, every time
        request = commands.Acquire(requests=(LockRequest(resource="door", mode=EXCLUSIVE),))
        decision = decide(namespace.state, request, session, namespace.now_ns)
        assert isinstance(decision.answer, Waiting)
        namespace.events += decision.events
    if freed_by == "release":
        namespace.release(other, held)
    else:
        namespace.detach(session)
        namespace.release(other, held)
        namespace.resume(session)
    (token,) = namespace.state.locks["door"].holders.values()
    assert namespace.state.grants[token].count == 400
    assert not namespace.state.waiters
