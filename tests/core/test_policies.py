"""The values that govern tasks, locks and state."""

from __future__ import annotations

from coordinator_service.core import commands
from coordinator_service.core.events import EventType, PolicyChanged
from coordinator_service.core.policies import BUILT_IN_POLICIES, DEFAULT_POLICY
from coordinator_service.core.rejections import InvalidField
from coordinator_service.core.specs import Policy, RetryPolicy, TaskTarget
from coordinator_service.core.values import ConflictStrategy
from tests.core.driver import Namespace, seconds, task


def test_the_built_in_policies_are_those_of_the_mission() -> None:
    """R17: default 300 s and 30 s, timestamp_based; high_priority 600 s and 60 s, priority_based."""
    default, high = BUILT_IN_POLICIES["default"], BUILT_IN_POLICIES["high_priority"]
    assert (default.max_execution_time_ns, default.resource_timeout_ns) == (seconds(300), seconds(30))
    assert (high.max_execution_time_ns, high.resource_timeout_ns) == (seconds(600), seconds(60))
    assert default.conflict_strategy is ConflictStrategy.TIMESTAMP_BASED
    assert high.conflict_strategy is ConflictStrategy.PRIORITY_BASED


def test_a_tasks_policy_is_its_own_else_its_runs_else_its_agent_names_else_default(namespace: Namespace) -> None:
    """R17: which policy holds for a task."""
    names = ("default", "own", "run", "crew")
    namespace.do(commands.ChangePolicies(policies=tuple(Policy(name=name) for name in names)))
    for_crew = TaskTarget(agent_name="crew")
    namespace.submit(task("own", policy="own", target=for_crew), task("run", target=for_crew), policy="run")
    namespace.submit(task("crew", target=for_crew), task("default"), run_id="other")
    assert {task_id: row.policy for each in ("run", "other") for task_id, row in namespace.run(each).tasks.items()} == {
        "own": "own",
        "run": "run",
        "crew": "crew",
        "default": "default",
    }


def test_values_in_force_when_decided_hold(namespace: Namespace) -> None:
    """R17: an attempt keeps the deadline it began with; the next one has the new."""
    namespace.open("a", "work")
    namespace.submit(task("t"))
    started_ns = namespace.now_ns
    namespace.do(commands.ChangePolicies(policies=(Policy(name="default", max_execution_time_ns=seconds(5)),)))
    assert namespace.state.attempts[namespace.token("t")].deadline_ns == started_ns + seconds(300)
    namespace.fail("t")
    namespace.advance(1)
    assert namespace.state.attempts[namespace.token("t")].deadline_ns <= namespace.now_ns + seconds(5)


def test_a_policy_that_is_gone_falls_back_to_the_default(namespace: Namespace) -> None:
    """R17: a task outlives the policy it was submitted under."""
    namespace.submit(task("t"), policy="high_priority")
    namespace.do(commands.ChangePolicies(policies=(Policy(name="default", max_execution_time_ns=seconds(7)),)))
    namespace.open("a", "work")
    assert namespace.state.attempts[namespace.token("t")].deadline_ns == namespace.now_ns + seconds(7)


def test_what_a_policy_leaves_unset_is_the_defaults(namespace: Namespace) -> None:
    """R17: field by field, also within the retries."""
    default = Policy(name="default", cancel_grace_ns=seconds(1))
    special = Policy(name="special", retry=RetryPolicy(attempts_max=9))
    namespace.do(commands.ChangePolicies(policies=(special, default), digest="d"))
    row = namespace.state.policies["special"]
    assert (row.cancel_grace_ns, row.resource_timeout_ns) == (seconds(1), DEFAULT_POLICY.resource_timeout_ns)
    assert row.retry is not None
    assert DEFAULT_POLICY.retry is not None
    assert (row.retry.attempts_max, row.retry.backoff_max_ns) == (9, DEFAULT_POLICY.retry.backoff_max_ns)


def test_a_change_is_an_event_and_its_repetition_none(namespace: Namespace) -> None:
    """R17: decisions depend on what the log says, never on a file that was read meanwhile."""
    change = commands.ChangePolicies(policies=(Policy(name="default"),), digest="one")
    namespace.do(change)
    assert namespace.last(PolicyChanged).digest == "one"
    assert namespace.decide(change).events == []
    assert len(namespace.of_type(EventType.POLICY_CHANGED)) == 1


def test_there_is_always_a_default(namespace: Namespace) -> None:
    """R17: policies without a default are refused."""
    namespace.refuse(InvalidField, commands.ChangePolicies(policies=(Policy(name="special"),)))
