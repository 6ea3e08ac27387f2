"""What a new owner says first, and what that does to those who spoke to the last one."""

from __future__ import annotations

from coordinator_service.core import commands, reasons
from coordinator_service.core.answers import Acquired
from coordinator_service.core.commands import Caller
from coordinator_service.core.events import EventType, OwnerStarted
from coordinator_service.core.limits import Limits
from coordinator_service.core.specs import TaskLock
from coordinator_service.core.values import AgentStatus
from tests.core.conftest import OpenNamespace
from tests.core.driver import Namespace, asking, caller, seconds, task


def test_ownership_begins_with_an_event_that_records_epoch_and_limits(open_namespace: OpenNamespace) -> None:
    """D6, D1: a fold reads no configuration: the limits are in the log."""
    namespace = open_namespace(Limits(run_tasks_max=7))
    [event] = namespace.events
    assert isinstance(event.payload, OwnerStarted)
    assert (event.sequence, event.payload.epoch, event.reason) == (1, 1, reasons.OWNER_CHANGED)
    assert namespace.state.limits.run_tasks_max == 7
    assert Limits.from_mapping({**event.payload.limits, "of a later version": 1}) == Limits(run_tasks_max=7)


def test_every_session_and_waiter_is_detached(namespace: Namespace) -> None:
    """D6: no assignment and no grant, place in the queue kept, until they re-attach."""
    session = namespace.open("a", "work", slots=2)
    holder = caller(principal="x")
    token = namespace.hold(holder, "door", holder="x")
    waiting = namespace.acquire(session, "door")
    namespace.submit(task("runs"))
    namespace.start_owner()
    assert namespace.agent("a").status is AgentStatus.DETACHED
    namespace.submit(task("later"), run_id="more")
    namespace.release(holder, token)
    assert namespace.task("later", "more").status.name == "READY"
    assert namespace.holders("door") == []
    assert waiting.request_sequence in namespace.state.waiters
    namespace.resume(session, namespace.token("runs"))
    assert namespace.task("later", "more").status.name == "RUNNING"
    assert namespace.holders("door") == [f"session/{session.session_id}"]


def test_attempts_and_grants_stand_as_they_stood(namespace: Namespace) -> None:
    """D6: an owner change ends nothing; an agent that never noticed may report."""
    session = namespace.open("a", "work")
    namespace.submit(task("t"))
    token = namespace.hold(session, "door")
    namespace.start_owner()
    assert token in namespace.state.grants
    namespace.complete("t")
    assert namespace.run().status.name == "SUCCEEDED"


def test_a_call_that_does_not_come_back_within_the_grace_is_ended(namespace: Namespace) -> None:
    """D6: call-bound waiters re-attach by request id within the grace, or are ended; each of these is an event."""
    token = namespace.hold(caller(), "door", holder="x")
    returning = Caller(request_id="r", method="Acquire")
    namespace.do(asking("door", holder="back", wait_seconds=100), returning)
    namespace.acquire(caller(), "door", holder="gone", wait_timeout_ns=seconds(100))
    namespace.start_owner()
    namespace.advance(14)
    assert namespace.do(asking("door", holder="back", wait_seconds=100), returning).replayed
    namespace.advance(1)
    [withdrawn] = namespace.of_type(EventType.RESOURCE_REQUEST_WITHDRAWN)
    [reattached] = namespace.of_type(EventType.RESOURCE_REQUEST_REATTACHED)
    assert (withdrawn.reason, reattached.reason) == (reasons.NOT_REATTACHED, reasons.CALLER_RETURNED)
    namespace.release(caller(), token)
    assert namespace.holders("door") == ["back"]


def test_a_call_that_comes_back_to_a_free_lock_gets_it_at_once(namespace: Namespace) -> None:
    """D6: re-attaching grants in the same decision."""
    token = namespace.hold(caller(), "door", holder="x")
    returning = Caller(request_id="r", method="Acquire")
    namespace.do(asking("door", holder="back"), returning)
    namespace.start_owner()
    namespace.release(caller(), token)
    answer = namespace.do(asking("door", holder="back"), returning)
    assert isinstance(answer, Acquired)
    assert answer.grants[0].holder == "back"


def test_detached_waiters_hold_their_place_for_a_while(namespace: Namespace) -> None:
    """L6, D6: they block others for reattach_hold after OWNER_STARTED, and nobody after it."""
    token = namespace.hold(caller(), "door", holder="x")
    namespace.acquire(caller(), "door", holder="early", wait_timeout_ns=seconds(100))
    namespace.start_owner()
    namespace.release(caller(), token)
    namespace.acquire(caller(), "door", holder="late", wait_timeout_ns=seconds(100))
    namespace.advance(4.9)
    assert namespace.holders("door") == []
    namespace.advance(0.1)
    assert namespace.holders("door") == ["late"]


def test_a_task_behind_a_detached_waiter_goes_on_after_the_hold(namespace: Namespace) -> None:
    """L6, R6: the end of the hold wakes tasks as well."""
    token = namespace.hold(caller(), "door", holder="x")
    namespace.acquire(caller(), "door", holder="early")
    session = namespace.open("a", "work")
    namespace.submit(task("t", locks=(TaskLock(resource="door"),)))
    namespace.start_owner()
    namespace.resume(session)
    namespace.release(caller(), token)
    assert namespace.task("t").status.name == "READY"
    namespace.advance(5)
    assert namespace.task("t").status.name == "RUNNING"


def test_a_session_lost_within_the_hold_blocks_no_longer_than_it(namespace: Namespace) -> None:
    """L6: the end of the hold is looked at also when nobody waited as it began."""
    namespace.start_owner()
    session = namespace.open("a")
    token = namespace.hold(caller(), "door", holder="x")
    namespace.acquire(session, "door")
    namespace.acquire(caller(), "door", holder="y")
    namespace.detach(session)
    namespace.release(caller(), token)
    assert namespace.holders("door") == []
    namespace.advance(5)
    assert namespace.holders("door") == ["y"]


def test_waiters_set_aside_hold_their_place_again_under_another_owner(namespace: Namespace) -> None:
    """D6, L6: a second change of owner begins the hold anew for everybody who still waits."""
    token = namespace.hold(caller(), "door", holder="x")
    namespace.acquire(caller(), "door", holder="early", wait_timeout_ns=seconds(100))
    namespace.start_owner()
    namespace.advance(6)
    namespace.acquire(caller(), "door", holder="late", wait_timeout_ns=seconds(100))
    namespace.start_owner()
    namespace.release(caller(), token)
    assert namespace.holders("door") == []


def test_epochs_rise_and_are_kept(namespace: Namespace) -> None:
    """D6: who owns is part of the state (invariant 12)."""
    namespace.start_owner()
    namespace.start_owner()
    assert namespace.state.epoch == 3
    owners = [event.payload for event in namespace.events if isinstance(event.payload, OwnerStarted)]
    assert [owner.epoch for owner in owners] == [1, 2, 3]


def test_only_time_moves_while_nobody_owns(namespace: Namespace) -> None:
    """D2: OWNER_STARTED alone may step time forward; what came due meanwhile is decided after it, by its own time."""
    namespace.submit(task("t"), timeout_ns=seconds(10))
    namespace.now_ns += seconds(1000)
    namespace.do(commands.StartOwner(epoch=9, replica_id="late", limits=namespace.limits))
    assert namespace.run().status.name == "PENDING"
    namespace.tick()
    assert namespace.run().status.name == "TIMED_OUT"
