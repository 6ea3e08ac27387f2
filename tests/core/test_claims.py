"""Ready tasks in the queues of the locks that they declare: whom they hold up, and when."""

from __future__ import annotations

from typing import Any

import pytest

from coordinator_service.core import claims, commands
from coordinator_service.core.answers import Acquired, Waiting
from coordinator_service.core.events import EventType
from coordinator_service.core.limits import Limits
from coordinator_service.core.rejections import LockTimeout
from coordinator_service.core.specs import AgentSpec, Capability, Policy, TaskLock, TaskSpec
from coordinator_service.core.values import LockMode
from tests.core.conftest import OpenNamespace
from tests.core.driver import Namespace, asking, caller, task

RESERVE_SECONDS = Limits().reserve_after_ms / 1000


def needing(task_id: str, *resources: str, **fields: Any) -> TaskSpec:
    """A task that declares locks."""
    return task(task_id, locks=tuple(TaskLock(resource=each) for each in resources), **fields)


def test_a_ready_task_waits_for_its_locks_without_end(namespace: Namespace) -> None:
    """R7: no time-out of a wait ends it (L6); it is assigned the moment its locks are free."""
    namespace.do(commands.ChangePolicies(policies=(Policy(name="default", resource_timeout_ns=10**9),)))
    outsider = namespace.open("x")
    door = namespace.hold(outsider, "door")
    namespace.open("a", "work")
    namespace.submit(needing("t", "door"), timeout_ns=10**15)
    namespace.advance(1_000)
    assert namespace.task("t").status.name == "READY"
    namespace.release(outsider, door)
    assert namespace.holders("door") == [f"attempt/{namespace.token('t')}"]


def test_while_an_agent_has_a_free_slot_it_holds_up_whoever_comes_later(namespace: Namespace) -> None:
    """R7: half of its locks are free, and stay free for it; nobody slips past."""
    session = namespace.open("x")
    cdn = namespace.hold(session, "cdn")
    namespace.open("a", "work")
    namespace.submit(needing("t", "bucket", "cdn"))
    assert isinstance(namespace.acquire(namespace.open("y"), "bucket"), Waiting)
    namespace.refuse_on_record(LockTimeout, asking("bucket", wait_seconds=0))
    assert namespace.holders("bucket") == []
    namespace.release(session, cdn)
    assert namespace.holders("bucket") == [f"attempt/{namespace.token('t')}"]
    namespace.complete("t")
    assert namespace.holders("bucket") == [f"session/{namespace.agent('y').session_id}"]


def test_what_does_not_conflict_is_not_held_up(namespace: Namespace) -> None:
    """R7, L2: shared requests pass a task that wants the lock shared; an exclusive one waits behind it."""
    cdn = namespace.open("x")
    namespace.hold(cdn, "cdn")
    namespace.open("a", "work")
    shared = TaskLock(resource="bucket", mode=LockMode.SHARED)
    namespace.submit(task("t", locks=(shared, TaskLock(resource="cdn"))))
    assert isinstance(namespace.acquire(caller(), "bucket", mode=LockMode.SHARED), Acquired)
    assert isinstance(namespace.acquire(caller(), "bucket"), Waiting)


def test_with_no_agent_it_holds_up_nobody(namespace: Namespace) -> None:
    """R7: detached, draining and other agents do not count, however long the task has waited."""
    detached, draining = namespace.open("d", "work"), namespace.open("e", "work")
    namespace.open("other", "paint")
    namespace.detach(detached)
    namespace.do(commands.DrainAgent(agent_id="e"))
    namespace.submit(needing("t", "door"))
    namespace.advance(RESERVE_SECONDS + 1)
    assert isinstance(namespace.acquire(draining, "door"), Acquired)


def test_behind_busy_agents_it_is_passed_until_it_has_waited_long_enough(namespace: Namespace) -> None:
    """R7: a lock does not lie idle for a task whose agents are busy, and a task that waits is not passed for ever."""
    namespace.open("a", "work")
    namespace.submit(task("long"), run_id="first")
    namespace.submit(needing("t", "door"))
    early = namespace.hold(caller(), "door")
    namespace.release(caller(), early)
    namespace.advance(RESERVE_SECONDS)
    assert isinstance(namespace.acquire(caller(), "door"), Waiting)
    namespace.complete("long", "first")
    assert namespace.holders("door") == [f"attempt/{namespace.token('t')}"]


@pytest.mark.parametrize("limit", ["namespace", "run", "policy"])
def test_a_limit_without_room_is_as_good_as_a_busy_agent(open_namespace: OpenNamespace, limit: str) -> None:
    """R7, R6: a task behind a limit is passed, too, until it has waited long enough."""
    namespace = open_namespace(Limits(agents_running_max=1 if limit == "namespace" else 9))
    running_max = 1 if limit == "policy" else 0
    namespace.do(commands.ChangePolicies(policies=(Policy(name="default", running_max=running_max),)))
    namespace.open("a", "work", slots=9)
    namespace.submit(task("long"), needing("t", "door"), running_max=1 if limit == "run" else 0)
    passed = namespace.hold(caller(), "door")
    namespace.release(caller(), passed)
    namespace.advance(RESERVE_SECONDS)
    assert isinstance(namespace.acquire(caller(), "door"), Waiting)
    namespace.complete("long")
    assert namespace.task("t").status.name == "RUNNING"


@pytest.mark.parametrize("how", ["busy", "detached", "drained", "ended", "other", "cancelled", "limit"])
def test_whoever_was_held_up_goes_on_when_the_claim_holds_up_nobody_any_more(namespace: Namespace, how: str) -> None:
    """R7, invariant 8: the last free slot is taken, the agent goes, the task is cancelled: in that very decision."""
    namespace.hold(namespace.open("x"), "cdn")
    agent = namespace.open("a", "work")
    namespace.submit(needing("t", "bucket", "cdn"))
    waiting = namespace.open("y")
    assert isinstance(namespace.acquire(waiting, "bucket"), Waiting)
    if how == "busy":
        namespace.submit(task("other"), run_id="other")
    elif how == "detached":
        namespace.detach(agent)
    elif how == "drained":
        namespace.do(commands.DrainAgent(agent_id="a"))
    elif how == "ended":
        namespace.end(agent)
    elif how == "other":
        namespace.do(commands.UpdateAgent(spec=AgentSpec(agent_id="", capabilities=(Capability(name="p"),))), agent)
    elif how == "cancelled":
        namespace.do(commands.CancelRun(run_id="run"))
    else:
        namespace.open("b", "paint")
        namespace.submit(task("p", capability="paint"), run_id="p")
        namespace.do(commands.ChangePolicies(policies=(Policy(name="default", running_max=1),)))
    assert namespace.holders("bucket") == [f"session/{waiting.session_id}"]


def test_a_claim_does_not_hold_up_whom_it_waits_for(namespace: Namespace) -> None:
    """R7, L2: that would be a deadlock: the holder of one of its locks may take the other, at once or when it waits."""
    namespace.open("a", "work")
    holder = namespace.open("x")
    namespace.hold(holder, "cdn")
    namespace.submit(needing("t", "bucket", "cdn"))
    assert isinstance(namespace.acquire(holder, "bucket"), Acquired)


def test_whoever_is_granted_what_a_claim_waits_for_is_held_up_no_more(namespace: Namespace) -> None:
    """R7, L2: a waiter that comes to hold one of the claim's locks is what the claim waits for."""
    namespace.open("a", "work")
    first, second = namespace.open("x"), namespace.open("y")
    gate = namespace.hold(first, "gate")
    assert isinstance(namespace.acquire(second, "gate", priority=9), Waiting)
    namespace.submit(needing("t", "door", "gate"))
    assert isinstance(namespace.acquire(second, "door"), Waiting)
    namespace.release(first, gate)
    assert namespace.holders("door") == namespace.holders("gate") == [f"session/{second.session_id}"]


def test_a_reservation_does_not_hold_up_the_attempt_whose_slot_it_waits_for(namespace: Namespace) -> None:
    """R7: the task waits for the attempt to end, so the attempt may have the lock; anybody else may not."""
    namespace.open("a", "work")
    namespace.open("b", "paint")
    namespace.submit(task("long"), task("elsewhere", capability="paint"), run_id="first")
    namespace.submit(needing("t", "door"))
    namespace.advance(RESERVE_SECONDS)
    namespace.refuse_on_record(LockTimeout, asking("door", wait_seconds=0), namespace.inside("elsewhere", "first"))
    assert isinstance(namespace.acquire(namespace.inside("long", "first"), "door"), Acquired)
    namespace.complete("long", "first")
    assert namespace.holders("door") == [f"attempt/{namespace.token('t')}"]


def test_a_task_holds_up_tasks_of_a_later_turn(namespace: Namespace) -> None:
    """R7, R5: among tasks, too, a wide one is not starved by narrow ones that come after it."""
    holder = namespace.open("x")
    cdn = namespace.hold(holder, "cdn")
    namespace.open("a", "work", slots=9)
    namespace.submit(needing("wide", "bucket", "cdn"), needing("narrow", "bucket"), task("free"))
    assert namespace.statuses() == {"wide": "READY", "narrow": "READY", "free": "RUNNING"}
    namespace.release(holder, cdn)
    assert namespace.task("wide").status.name == "RUNNING"
    namespace.complete("wide")
    assert namespace.task("narrow").status.name == "RUNNING"


def test_a_task_that_backs_off_holds_up_nobody_until_it_is_ready(namespace: Namespace) -> None:
    """R7, R10: a wait for the next attempt is no wait for locks."""
    holder = namespace.open("x")
    namespace.open("a", "work")
    namespace.submit(needing("t", "bucket", "cdn"))
    namespace.fail("t")
    cdn = namespace.hold(holder, "cdn")
    passed = namespace.hold(caller(), "bucket")
    namespace.release(caller(), passed)
    namespace.advance(1)
    assert isinstance(namespace.acquire(caller(), "bucket"), Waiting)
    namespace.release(holder, cdn)
    assert namespace.task("t").attempts == 2


def test_taking_the_locks_and_giving_them_on_are_one_batch_each(namespace: Namespace) -> None:
    """R7, R9: the release of the locks at the end of an attempt and the assignment that follows are one decision."""
    namespace.open("a", "work", slots=2)
    namespace.submit(needing("one", "door", "gate"), needing("two", "door", "gate"))
    token = namespace.token("one")
    decision = namespace.decide(commands.CompleteTask(attempt_token=token), namespace.reporter(token))
    assert [event.type.name for event in decision.events] == [
        "AGENT_COMPLETED",
        "RESOURCE_RELEASED",
        "RESOURCE_RELEASED",
        "TASK_ASSIGNED",
        "RESOURCE_ACQUIRED",
        "RESOURCE_ACQUIRED",
    ]
    assert len(namespace.of_type(EventType.RESOURCE_REQUESTED)) == 0


def test_whom_a_claim_waits_for_can_be_asked(namespace: Namespace) -> None:
    """R7: its edges in the graph of who waits for whom: holders of its locks, and attempts whose slots it needs."""
    holder = namespace.open("x")
    namespace.open("a", "work")
    namespace.submit(task("long"), run_id="first")
    namespace.hold(holder, "door")
    namespace.submit(needing("t", "door"))
    claim = (namespace.task("t").queue_key, "run", "t")
    long = namespace.token("long", "first")
    assert set(claims.awaited(namespace.state, claim)) == {f"session/{holder.session_id}", f"attempt/{long}"}
    for each in claims.awaited(namespace.state, claim):
        assert claims.waits_for(namespace.state, claim, each)
    assert not claims.waits_for(namespace.state, claim, "somebody")


def test_nothing_stays_behind(namespace: Namespace) -> None:
    """R7, D8: queues of claims grow with what waits, not with what happened."""
    namespace.open("a", "work", slots=2)
    for number in range(20):
        run_id = f"run-{number}"
        namespace.submit(needing("t", f"door-{number}"), needing("u", f"door-{number}"), run_id=run_id)
        namespace.complete("t", run_id)
        namespace.complete("u", run_id)
    index = namespace.state.index
    assert (index.claims, index.freed) == ({}, {})
