"""Agents that keep failing at a capability are left alone for a while."""

from __future__ import annotations

import pytest

from coordinator_service.core import commands, reasons
from coordinator_service.core.events import CircuitOpened, EventType
from coordinator_service.core.policies import DEFAULT_CIRCUIT
from coordinator_service.core.specs import AgentSpec, Capability, CircuitPolicy, Policy, RetryPolicy, TaskTarget
from coordinator_service.core.values import CircuitStatus
from tests.core.driver import Namespace, seconds, task

ONCE = RetryPolicy(attempts_max=1)
COOL_DOWN_SECONDS = 5
OPENS = (EventType.CIRCUIT_OPENED, EventType.CIRCUIT_HALF_OPENED, EventType.CIRCUIT_CLOSED)


def govern(namespace: Namespace, **fields: float) -> None:
    """The default policy's circuit from now on: three failures in a row, unless said otherwise."""
    cool_down_ns = seconds(COOL_DOWN_SECONDS)
    circuit = CircuitPolicy(cool_down_ns=cool_down_ns, **{"failures_max": 3, **fields})  # type: ignore[arg-type]
    namespace.do(commands.ChangePolicies(policies=(Policy(name="default", retry=ONCE, circuit=circuit),)))


def fail(namespace: Namespace, run_id: str, **fields: bool) -> None:
    """A run of one task, which fails."""
    namespace.submit_one("t", run_id)
    namespace.fail("t", run_id, **fields)


def succeed(namespace: Namespace, run_id: str) -> None:
    """A run of one task, which succeeds."""
    namespace.submit_one("t", run_id)
    namespace.complete("t", run_id)


def opened(namespace: Namespace) -> None:
    """Agent a has failed three times in a row."""
    govern(namespace)
    namespace.open("a", "work", "paint", slots=9)
    for number in range(3):
        fail(namespace, f"failing-{number}")


def status(namespace: Namespace, capability: str = "work") -> CircuitStatus:
    """Of agent a's circuit."""
    row = namespace.agent("a").circuits.get(capability)
    return CircuitStatus.CLOSED if row is None else row.status


def told(namespace: Namespace) -> list[tuple[str, str, str]]:
    """What happened to circuits: type, agent, reason."""
    return [(event.type.name, event.agent_id, event.reason) for event in namespace.of_type(*OPENS)]


def test_failures_in_a_row_open_the_circuit_of_that_agent_and_capability(namespace: Namespace) -> None:
    """R14, R6: the agent is passed over for the capability, not for others, and other agents are not."""
    opened(namespace)
    assert told(namespace) == [("CIRCUIT_OPENED", "a", reasons.CONSECUTIVE_FAILURES)]
    payload = namespace.last(CircuitOpened)
    until_ns = namespace.now_ns + seconds(COOL_DOWN_SECONDS)
    assert (payload.capability, payload.failures, payload.until_ns) == ("work", 3, until_ns)
    namespace.submit(task("work"), task("paint", capability="paint"), run_id="more")
    assert namespace.statuses("more") == {"work": "READY", "paint": "RUNNING"}
    namespace.open("b", "work")
    assert namespace.task("work", "more").agent_id == "b"


def test_a_success_in_between_begins_the_count_again(namespace: Namespace) -> None:
    """R14: consecutive failures are meant; a circuit that nothing speaks against is not kept."""
    govern(namespace)
    namespace.open("a", "work")
    for number in range(4):
        fail(namespace, f"one-{number}")
        fail(namespace, f"two-{number}")
        succeed(namespace, f"three-{number}")
    assert (told(namespace), namespace.agent("a").circuits) == ([], {})


def test_after_the_cool_down_one_trial_closes_it(namespace: Namespace) -> None:
    """R14, D7: the cool-down is an event time that comes due; one task goes through, and the rest when it succeeded."""
    opened(namespace)
    namespace.submit(task("trial"), task("rest-1"), task("rest-2"), run_id="more")
    namespace.advance(COOL_DOWN_SECONDS - 0.001)
    assert status(namespace) is CircuitStatus.OPEN
    namespace.advance(0.001)
    assert status(namespace) is CircuitStatus.HALF_OPEN
    assert namespace.statuses("more") == {"trial": "RUNNING", "rest-1": "READY", "rest-2": "READY"}
    token = namespace.token("trial", "more")
    decision = namespace.decide(commands.CompleteTask(attempt_token=token), namespace.reporter(token))
    assert [event.type.name for event in decision.events] == [
        "AGENT_COMPLETED",
        "CIRCUIT_CLOSED",
        "TASK_ASSIGNED",
        "TASK_ASSIGNED",
    ]
    assert [reason for _, _, reason in told(namespace)][1:] == [reasons.COOLED_DOWN, reasons.TRIAL_SUCCEEDED]


def test_a_trial_that_fails_opens_it_again(namespace: Namespace) -> None:
    """R14: for another cool-down, and then for another trial."""
    opened(namespace)
    namespace.submit(task("t1"), task("t2"), run_id="more")
    namespace.advance(COOL_DOWN_SECONDS)
    namespace.fail("t1", "more")
    assert told(namespace)[-1] == ("CIRCUIT_OPENED", "a", reasons.TRIAL_FAILED)
    assert namespace.task("t2", "more").status.name == "READY"
    namespace.advance(COOL_DOWN_SECONDS)
    namespace.complete("t2", "more")
    assert status(namespace) is CircuitStatus.CLOSED


@pytest.mark.parametrize("how", ["not retryable", "cancelled", "lost"])
def test_a_trial_without_a_verdict_is_followed_by_another(namespace: Namespace, how: str) -> None:
    """R14: what does not speak against the agent decides nothing; the circuit stays half-open."""
    opened(namespace)
    namespace.submit_one("t", "trial")
    namespace.advance(COOL_DOWN_SECONDS)
    if how == "not retryable":
        namespace.fail("t", "trial", retryable=False)
    elif how == "cancelled":
        namespace.do(commands.CancelRun(run_id="trial"))
        namespace.fail("t", "trial", cancelled=True)
    else:
        namespace.end(commands.Caller(session_id=namespace.agent("a").session_id))
        namespace.open("a", "work")
    assert status(namespace) is CircuitStatus.HALF_OPEN
    if how != "lost":
        namespace.submit_one("t", "next")
    run_id = "trial" if how == "lost" else "next"
    namespace.complete("t", run_id)
    assert status(namespace) is CircuitStatus.CLOSED


def test_what_does_not_speak_against_the_agent_does_not_count(namespace: Namespace) -> None:
    """R14: not retryable is the task's own fault; lost is the session's; cancelled is the run's."""
    govern(namespace)
    for number in range(4):
        session = namespace.open("a", "work")
        fail(namespace, f"own-{number}", retryable=False)
        namespace.submit_one("t", f"cancelled-{number}")
        namespace.do(commands.CancelRun(run_id=f"cancelled-{number}"))
        namespace.fail("t", f"cancelled-{number}")
        namespace.submit_one("t", f"lost-{number}")
        namespace.end(session)
        namespace.do(commands.CancelRun(run_id=f"lost-{number}"))
    assert (told(namespace), namespace.agent("a").circuits) == ([], {})


def test_an_attempt_that_takes_too_long_counts(namespace: Namespace) -> None:
    """R14, R11: a time-out is a failure of the agent."""
    govern(namespace, failures_max=1)
    namespace.open("a", "work")
    namespace.submit(task("t", max_execution_time_ns=seconds(1)))
    namespace.advance(60)
    assert told(namespace)[0] == ("CIRCUIT_OPENED", "a", reasons.CONSECUTIVE_FAILURES)


def test_a_rate_over_a_window_opens_it(namespace: Namespace) -> None:
    """R14: half of the attempts within the window failed, once there are enough of them."""
    govern(namespace, failures_max=0, failure_rate_max=0.5, attempts_min=6, window_ns=seconds(10))
    namespace.open("a", "work")
    for number in range(2):
        fail(namespace, f"bad-{number}")
        succeed(namespace, f"good-{number}")
    fail(namespace, "bad-2")
    assert status(namespace) is CircuitStatus.CLOSED
    fail(namespace, "bad-3")
    assert told(namespace) == [("CIRCUIT_OPENED", "a", reasons.FAILURE_RATE)]
    payload = namespace.last(CircuitOpened)
    assert (payload.window_attempts, payload.window_failures) == (6, 4)


def test_the_window_moves_on(namespace: Namespace) -> None:
    """R14: what happened before the window is forgotten, and what is kept of it is bounded."""
    govern(namespace, failures_max=0, failure_rate_max=0.5, attempts_min=6, window_ns=seconds(10))
    namespace.open("a", "work")
    for number in range(40):
        namespace.advance(3)
        fail(namespace, f"bad-{number}")
    assert told(namespace) == []
    assert len(namespace.agent("a").circuits["work"].window) <= 11


def test_a_policy_may_switch_it_off(namespace: Namespace) -> None:
    """R14, P1: 0 failures and no rate never open it."""
    govern(namespace, failures_max=0)
    namespace.open("a", "work")
    for number in range(40):
        fail(namespace, f"bad-{number}")
    assert told(namespace) == []


def test_what_a_policy_leaves_unset_is_the_defaults(namespace: Namespace) -> None:
    """R14, R17: field by field."""
    own = Policy(name="own", circuit=CircuitPolicy(failures_max=0, attempts_min=7))
    namespace.do(commands.ChangePolicies(policies=(Policy(name="default"), own)))
    circuit = namespace.state.policies["own"].circuit
    assert circuit is not None
    assert (circuit.failures_max, circuit.attempts_min) == (0, 7)
    assert circuit.cool_down_ns == DEFAULT_CIRCUIT.cool_down_ns
    assert namespace.state.policies["default"].circuit == DEFAULT_CIRCUIT


def test_a_restart_of_the_agent_does_not_close_it(namespace: Namespace) -> None:
    """R14: it is the agent_id's, whichever session; what the agent claims no more goes."""
    opened(namespace)
    session = namespace.open("b", "rest")
    namespace.end(commands.Caller(session_id=namespace.agent("a").session_id))
    namespace.open("a", "work")
    assert status(namespace) is CircuitStatus.OPEN
    namespace.advance(COOL_DOWN_SECONDS)
    assert status(namespace) is CircuitStatus.HALF_OPEN
    caller = commands.Caller(session_id=namespace.agent("a").session_id)
    namespace.do(commands.UpdateAgent(spec=AgentSpec(agent_id="a", capabilities=(Capability(name="rest"),))), caller)
    assert namespace.agent("a").circuits == {}
    assert session.session_id


def test_tasks_that_name_the_agent_have_a_circuit_of_their_own(namespace: Namespace) -> None:
    """R14: by name or by id, it is the one without a capability."""
    govern(namespace)
    namespace.open("a", "work", name="worker")
    for number, target in enumerate(
        [TaskTarget(agent_name="worker"), TaskTarget(agent_id="a"), TaskTarget(agent_name="worker")]
    ):
        namespace.submit(task("t", target=target), run_id=f"run-{number}")
        namespace.fail("t", f"run-{number}")
    assert (status(namespace, ""), status(namespace)) == (CircuitStatus.OPEN, CircuitStatus.CLOSED)
    namespace.submit(task("by-id", target=TaskTarget(agent_id="a")), task("work"), run_id="more")
    assert namespace.statuses("more") == {"by-id": "READY", "work": "RUNNING"}


def test_attempts_from_before_it_opened_change_nothing(namespace: Namespace) -> None:
    """R14: only the trial decides; a success that was under way when it opened does not close it."""
    govern(namespace)
    namespace.open("a", "work", slots=9)
    namespace.submit(task("early"), task("late"), run_id="before")
    for number in range(3):
        fail(namespace, f"bad-{number}")
    namespace.complete("early", "before")
    assert status(namespace) is CircuitStatus.OPEN
    namespace.advance(COOL_DOWN_SECONDS)
    namespace.fail("late", "before")
    assert status(namespace) is CircuitStatus.HALF_OPEN


def test_readers_see_it(namespace: Namespace) -> None:
    """R14: GetAgent tells which circuits are not closed, until when, and which attempt is the trial."""
    opened(namespace)
    [circuit] = namespace.do(commands.GetAgent(agent_id="a")).agent.circuits
    assert (circuit.capability, circuit.status, circuit.failures) == ("work", CircuitStatus.OPEN, 3)
    assert circuit.until_ns == namespace.now_ns + seconds(COOL_DOWN_SECONDS)
    namespace.submit_one("t", "trial")
    namespace.advance(COOL_DOWN_SECONDS)
    [circuit] = namespace.do(commands.GetAgent(agent_id="a")).agent.circuits
    assert (circuit.status, circuit.until_ns) == (CircuitStatus.HALF_OPEN, 0)
    assert circuit.trial_token == namespace.token("t", "trial")
