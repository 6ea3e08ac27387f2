"""Which ready task goes to which agent, and when."""

from __future__ import annotations

import pytest

from coordinator_service.core import commands, reasons
from coordinator_service.core.events import EventType, TaskAssigned
from coordinator_service.core.limits import Limits
from coordinator_service.core.specs import AgentSpec, Capability, Policy, TaskLock, TaskTarget
from coordinator_service.core.values import NS_PER_MS, LockMode
from tests.core.conftest import OpenNamespace
from tests.core.driver import Namespace, caller, task


def assigned(namespace: Namespace) -> list[str]:
    """Tasks in the order in which they were assigned."""
    return [event.task_id for event in namespace.of_type(EventType.TASK_ASSIGNED)]


def test_a_task_starts_the_moment_its_own_dependencies_are_done(namespace: Namespace) -> None:
    """R4: not when a whole group is: the second level of one branch runs beside the first of another."""
    namespace.open("a", "work", slots=9)
    namespace.submit(task("fast"), task("slow"), task("after-fast", "fast"), task("after-both", "fast", "slow"))
    namespace.complete("fast")
    assert namespace.statuses() == {
        "fast": "SUCCEEDED",
        "slow": "RUNNING",
        "after-fast": "RUNNING",
        "after-both": "PENDING",
    }
    namespace.complete("slow")
    assert namespace.task("after-both").status.name == "RUNNING"


def test_the_completion_and_the_assignments_it_frees_are_one_batch(namespace: Namespace) -> None:
    """R9: what a completion frees is assigned in the same decision, caused by it."""
    namespace.open("a", "work")
    namespace.submit(task("first"), task("second", "first"))
    token = namespace.token("first")
    decision = namespace.decide(commands.CompleteTask(attempt_token=token), namespace.reporter(token))
    completed, following = decision.events
    assert (completed.type, following.type) == (EventType.AGENT_COMPLETED, EventType.TASK_ASSIGNED)
    assert following.cause == completed.sequence


def test_order_of_submission_does_not_matter(namespace: Namespace) -> None:
    """R3: a task listed before what it depends on waits all the same."""
    namespace.open("a", "work")
    namespace.submit(task("last", "middle"), task("middle", "first"), task("first"))
    for each in ("first", "middle", "last"):
        namespace.complete(each)
    assert assigned(namespace) == ["first", "middle", "last"]


@pytest.mark.parametrize(
    "target",
    [TaskTarget(capability="paint"), TaskTarget(agent_name="painter"), TaskTarget(agent_id="p-1")],
)
def test_a_task_names_a_capability_a_name_or_an_id(namespace: Namespace, target: TaskTarget) -> None:
    """R1, R6: only an agent that answers to the target is given the task."""
    namespace.open("other", "work")
    namespace.submit(task("t", target=target))
    assert namespace.task("t").status.name == "READY"
    namespace.open("p-1", "paint", name="painter")
    assert (namespace.task("t").agent_id, namespace.task("t").agent_name) == ("p-1", "painter")


def test_an_agent_has_as_many_tasks_as_slots(namespace: Namespace) -> None:
    """R6: free slots."""
    namespace.open("a", "work", slots=2)
    namespace.submit(*(task(f"t{number}") for number in range(3)))
    assert sorted(namespace.statuses().values()) == ["READY", "RUNNING", "RUNNING"]
    namespace.complete("t0")
    assert namespace.task("t2").status.name == "RUNNING"


def test_the_least_loaded_agent_comes_first_ties_by_id(namespace: Namespace) -> None:
    """R6: least loaded agent first, ties by id."""
    namespace.open("b", "work", slots=9)
    namespace.open("a", "work", slots=9)
    namespace.open("c", "rest", slots=9)
    namespace.submit(*(task(f"t{number}") for number in range(4)))
    assert [namespace.task(f"t{number}").agent_id for number in range(4)] == ["a", "b", "a", "b"]
    namespace.complete("t0")
    namespace.complete("t2")
    namespace.submit(task("next"), run_id="more")
    assert namespace.task("next", "more").agent_id == "a"


def test_load_counts_across_capabilities(namespace: Namespace) -> None:
    """R6: an agent busy with one kind of task is not the least loaded for another."""
    namespace.open("a", "cook", "serve", slots=2)
    namespace.open("b", "serve", slots=2)
    namespace.submit(task("dish", capability="cook"), task("table", capability="serve"))
    assert namespace.task("table").agent_id == "b"


def test_the_namespace_runs_no_more_than_its_limit(open_namespace: OpenNamespace) -> None:
    """R6: MAX_CONCURRENT_AGENTS per namespace; the next starts as soon as one ends."""
    namespace = open_namespace(Limits(agents_running_max=2))
    namespace.open("a", "work", slots=9)
    namespace.open("b", "rest", slots=9)
    namespace.submit(task("t0"), task("t1"), task("t2"), task("t3", capability="rest"))
    assert sorted(namespace.statuses().values()) == ["READY", "READY", "RUNNING", "RUNNING"]
    namespace.complete("t0")
    namespace.complete("t1")
    assert sorted(namespace.statuses().values()) == ["RUNNING", "RUNNING", "SUCCEEDED", "SUCCEEDED"]


def test_a_limit_that_rises_lets_through_who_waited(open_namespace: OpenNamespace) -> None:
    """R6, D6: limits come with an owner; what waited behind the old one is looked at again."""
    namespace = open_namespace(Limits(agents_running_max=1))
    session = namespace.open("a", "work", slots=9)
    namespace.submit(task("t0"), task("t1"))
    namespace.start_owner(Limits(agents_running_max=2))
    namespace.resume(session, namespace.token("t0"))
    assert namespace.task("t1").status.name == "RUNNING"


def test_a_limit_that_falls_ends_nothing_that_runs(open_namespace: OpenNamespace) -> None:
    """R6: no assignment exceeds a limit in force at that moment; what began under another goes on."""
    namespace = open_namespace(Limits(agents_running_max=3))
    session = namespace.open("a", "work", slots=9)
    namespace.submit(*(task(f"t{number}") for number in range(4)))
    namespace.start_owner(Limits(agents_running_max=1))
    namespace.resume(session)
    for each in ("t0", "t1"):
        namespace.complete(each)
        assert namespace.task("t3").status.name == "READY"
    namespace.complete("t2")
    assert namespace.task("t3").status.name == "RUNNING"


def test_a_run_has_no_more_running_than_it_says(namespace: Namespace) -> None:
    """R6: running_max of a run; other runs go on."""
    namespace.open("a", "work", slots=9)
    namespace.submit(task("t0"), task("t1"), running_max=1)
    namespace.submit(task("t0"), run_id="free")
    assert namespace.statuses() == {"t0": "RUNNING", "t1": "READY"}
    assert namespace.statuses("free") == {"t0": "RUNNING"}
    namespace.complete("t0")
    assert namespace.statuses() == {"t0": "SUCCEEDED", "t1": "RUNNING"}


def test_a_policy_has_no_more_running_than_it_says(namespace: Namespace) -> None:
    """R6: running_max of a policy, over all runs; a change lets through who waited."""
    narrow = (Policy(name="default"), Policy(name="narrow", running_max=1))
    namespace.do(commands.ChangePolicies(policies=narrow))
    namespace.open("a", "work", slots=9)
    for run_id in ("one", "two", "three"):
        namespace.submit(task("t"), run_id=run_id, policy="narrow")
    assert [namespace.task("t", run_id).status.name for run_id in ("one", "two", "three")] == [
        "RUNNING",
        "READY",
        "READY",
    ]
    namespace.complete("t", "one")
    assert namespace.task("t", "two").status.name == "RUNNING"
    namespace.do(commands.ChangePolicies(policies=(Policy(name="default"), Policy(name="narrow", running_max=2))))
    assert namespace.task("t", "three").status.name == "RUNNING"


def test_all_declared_locks_come_with_the_assignment(namespace: Namespace) -> None:
    """R6, L1: a task's locks are taken in the same decision, held by the attempt, named by its token."""
    namespace.open("a", "work")
    locks = (TaskLock(resource="bucket"), TaskLock(resource="cdn", mode=LockMode.SHARED, guards="site"))
    namespace.submit(task("t", locks=locks))
    token = namespace.token("t")
    grants = [namespace.state.grants[each] for each in namespace.state.attempts[token].grants]
    assert [(grant.resource, grant.mode, grant.holder, grant.guards) for grant in grants] == [
        ("bucket", LockMode.EXCLUSIVE, f"attempt/{token}", ""),
        ("cdn", LockMode.SHARED, f"attempt/{token}", "site"),
    ]
    assert {event.reason for event in namespace.of_type(EventType.RESOURCE_ACQUIRED)} == {reasons.TASK_LOCK}


def test_nobody_sits_idle_holding_half_of_what_it_needs(namespace: Namespace) -> None:
    """R6, L3: a task whose locks are not all free holds none, and its agent takes another."""
    outsider = namespace.open("x")
    held = namespace.hold(outsider, "cdn")
    namespace.open("a", "work")
    namespace.submit(task("blocked", locks=(TaskLock(resource="bucket"), TaskLock(resource="cdn"))), task("free"))
    assert namespace.statuses() == {"blocked": "READY", "free": "RUNNING"}
    assert namespace.holders("bucket") == []
    namespace.release(outsider, held)
    namespace.complete("free")
    assert namespace.task("blocked").status.name == "RUNNING"


def test_two_tasks_of_one_agent_exclude_each_other(namespace: Namespace) -> None:
    """L1, R9: the holder is the attempt, not the agent; the lock goes on in the batch of the completion."""
    namespace.open("a", "work", slots=2)
    namespace.submit(task("one", locks=(TaskLock(resource="door"),)), task("two", locks=(TaskLock(resource="door"),)))
    assert namespace.statuses() == {"one": "RUNNING", "two": "READY"}
    namespace.complete("one")
    assert namespace.holders("door") == [f"attempt/{namespace.token('two')}"]


def test_a_lock_that_frees_up_by_any_means_wakes_the_task(namespace: Namespace) -> None:
    """R6: a task parked behind a lease, a session or a withdrawn request is not forgotten."""
    namespace.open("a", "work", slots=9)
    session = namespace.open("x")
    leased = namespace.hold(caller(), "one")
    namespace.hold(session, "two")
    for number in ("one", "two"):
        namespace.submit(task("t", locks=(TaskLock(resource=number),)), run_id=number)
    namespace.do(commands.ExpireLock(fencing_token=leased))
    namespace.end(session)
    assert [namespace.task("t", each).status.name for each in ("one", "two")] == ["RUNNING", "RUNNING"]


def test_ready_tasks_are_taken_by_one_key(namespace: Namespace) -> None:
    """R5: priority is worth waiting time; within one ageing step the run with fewer tasks at work comes first, then
    whoever was queued first."""
    namespace.submit(task("big-1"), task("big-2"), task("big-3"), run_id="big")
    namespace.submit(task("small"), run_id="small")
    namespace.submit(task("urgent", priority=1), task("urgent-2", priority=1), run_id="urgent")
    namespace.open("a", "work")
    for _ in range(6):
        [(token, attempt)] = namespace.state.attempts.items()
        namespace.complete(attempt.task_id, attempt.run_id)
        assert token
    assert assigned(namespace) == ["urgent", "urgent-2", "big-1", "small", "big-2", "big-3"]


def test_waiting_outweighs_priority_in_the_end(namespace: Namespace) -> None:
    """R5: one priority step is worth one ageing step of waiting, so nothing starves."""
    namespace.submit(task("patient"), run_id="old")
    namespace.now_ns += 21 * 1_000_000_000
    namespace.submit(task("urgent", priority=1), run_id="new")
    namespace.open("a", "work")
    assert assigned(namespace) == ["patient"]


@pytest.mark.parametrize("priority", [0, 4])
def test_nothing_starves(open_namespace: OpenNamespace, priority: int) -> None:
    """R5: of the tasks that come later only those pass that are ready within as many ageing steps as they are higher in
    priority, and the rounding's one: however many more there always are, the task's turn comes."""
    namespace = open_namespace(Limits(ageing_step_ms=1000, run_timeout_ms=10**9))
    namespace.submit(task("patient", priority=priority), run_id="patient")
    namespace.submit(*(task(f"t{number}", priority=9) for number in range(3)), run_id="first")
    namespace.open("a", "work")
    began_ns, passed_by = namespace.now_ns, 0
    while namespace.task("patient", "patient").status.name == "READY":
        [attempt] = namespace.state.attempts.values()
        ready_at_ns = namespace.task(attempt.task_id, attempt.run_id).ready_at_ns
        assert ready_at_ns < began_ns + (9 - priority + 1) * 1000 * NS_PER_MS
        passed_by += 1
        namespace.advance(0.25)
        namespace.submit(*(task(f"t{number}", priority=9) for number in range(3)), run_id=f"more-{passed_by}")
        namespace.complete(attempt.task_id, attempt.run_id)
    assert passed_by > 4, "others came later and went first"


def test_priority_is_the_tasks_own_else_its_runs_else_its_policys(namespace: Namespace) -> None:
    """R5, R17: where a priority comes from."""
    namespace.submit(task("own", priority=7), task("runs"), run_id="one", priority=3, policy="high_priority")
    namespace.submit(task("policys"), run_id="two", policy="high_priority")
    namespace.submit(task("none"), run_id="three")
    assert [
        namespace.task("own", "one").priority,
        namespace.task("runs", "one").priority,
        namespace.task("policys", "two").priority,
        namespace.task("none", "three").priority,
    ] == [7, 3, 5, 0]


def test_an_agent_that_changes_its_name_of_work_leaves_no_trace_in_old_pools(namespace: Namespace) -> None:
    """A3, R6: pools know exactly who is there."""
    session = namespace.open("a", "old")
    namespace.do(commands.UpdateAgent(spec=AgentSpec(agent_id="a", capabilities=(Capability(name="new"),))), session)
    assert set(namespace.state.index.pools) == {"capability:new", "name:a", "id:a"}
    namespace.end(session)
    assert namespace.state.index.pools == {}


def test_an_assignment_says_for_whom_and_until_when(namespace: Namespace) -> None:
    """R11, R17: the deadline of an attempt counts from TASK_ASSIGNED, by the task's own limit, else its policy's."""
    namespace.open("a", "work", slots=3)
    namespace.submit(task("default"), task("policy", policy="high_priority"), task("own", max_execution_time_ns=5))
    deadlines = {
        event.task_id: event.payload.deadline_ns - event.time_ns
        for event in namespace.of_type(EventType.TASK_ASSIGNED)
        if isinstance(event.payload, TaskAssigned)
    }
    assert deadlines == {"default": 300 * 10**9, "policy": 600 * 10**9, "own": 5}
