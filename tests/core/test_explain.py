"""X1: why something is as it is, and what it waits for."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from coordinator_service.core import commands, lock_waits, task_waits
from coordinator_service.core.answers import Explained
from coordinator_service.core.causes import describe, step
from coordinator_service.core.commands import Explain
from coordinator_service.core.events import EventType
from coordinator_service.core.explanations import (
    BlockerView,
    CandidateVerdict,
    ExplanationView,
    WaitingView,
    WaitKind,
)
from coordinator_service.core.invariants import InvariantBroken
from coordinator_service.core.limits import Limits
from coordinator_service.core.rejections import NotFound
from coordinator_service.core.specs import CircuitPolicy, Policy, RetryPolicy, TaskLock, TaskTarget
from coordinator_service.core.values import LockMode
from tests.core.driver import Namespace, asking, seconds, task
from tests.core.explained import check_everything_is_explained
from tests.core.test_any_history import Walk


def explained(namespace: Namespace, **asked: Any) -> ExplanationView:
    """The present of something."""
    check_everything_is_explained(namespace.state, namespace.now_ns)
    answer: Explained = namespace.do(Explain(**asked))
    return answer.explanation


def of_task(namespace: Namespace, task_id: str, run_id: str = "run") -> WaitingView:
    """A task that waits."""
    (waiting,) = explained(namespace, run_id=run_id, task_id=task_id).waiting
    return waiting


def blocker(waiting: WaitingView, kind: WaitKind) -> BlockerView:
    """The one thing of a kind that stands in the way."""
    (found,) = [each for each in waiting.blockers if each.kind is kind]
    return found


def verdicts(waiting: WaitingView) -> dict[str, str]:
    """Why each candidate was passed over."""
    return {each.agent_id: each.verdict.name for each in waiting.candidates}


# Tasks.


def test_a_pending_task_waits_for_what_it_depends_on() -> None:
    """X1: those that are not over, by name and status."""
    namespace = Namespace()
    namespace.open("a", "work")
    namespace.submit(task("one"), task("two"), task("both", "one", "two"))
    namespace.complete("one")
    waiting = of_task(namespace, "both")
    found = blocker(waiting, WaitKind.DEPENDENCY)
    assert [each.task_id for each in found.tasks] == ["two"]
    assert found.text == "waits for two (RUNNING)"


def test_without_an_agent_the_task_says_so() -> None:
    """X1: no agent has the capability; one that had it and is gone is named."""
    namespace = Namespace()
    namespace.submit(task("t", capability="painting"))
    assert blocker(of_task(namespace, "t"), WaitKind.NO_AGENT).text == (
        "no agent with the capability 'painting' is connected"
    )
    namespace.open("other", "work")
    session = namespace.open("painter", "painting", slots=1)
    namespace.end(session)
    waiting = of_task(namespace, "t")
    assert "painter was, and is gone" in blocker(waiting, WaitKind.NO_AGENT).text
    assert verdicts(waiting) == {"painter": "DISCONNECTED"}
    for target in (TaskTarget(agent_name="role"), TaskTarget(agent_id="instance")):
        run_id = target.agent_name or target.agent_id
        namespace.submit(task("t", target=target), run_id=run_id)
        assert repr(run_id) in blocker(of_task(namespace, "t", run_id), WaitKind.NO_AGENT).text


def test_each_candidate_says_why_it_was_passed_over() -> None:
    """X1: busy, detached, draining: each agent with the reason, and each reason with its agents."""
    namespace = Namespace()
    busy = namespace.open("busy", "work")
    namespace.submit_one("first", run_id="before")
    detached, draining = namespace.open("detached", "work"), namespace.open("draining", "work")
    namespace.detach(detached)
    namespace.do(commands.DrainAgent(agent_id="draining"))
    namespace.submit_one("t")
    waiting = of_task(namespace, "t")
    assert verdicts(waiting) == {"busy": "NO_SLOT", "detached": "DETACHED", "draining": "DRAINING"}
    slots = blocker(waiting, WaitKind.SLOTS)
    assert (slots.agents, [(each.run_id, each.task_id) for each in slots.tasks]) == (("busy",), [("before", "first")])
    assert blocker(waiting, WaitKind.DETACHED).agents == ("detached",)
    assert blocker(waiting, WaitKind.DRAINING).agents == ("draining",)
    assert "busy (1 of 1)" in slots.text
    assert busy.session_id
    assert draining.session_id


def test_an_open_circuit_is_named_with_its_time_and_a_trial_with_its_attempt() -> None:
    """X1, R14: the agent is there and free, and given nothing of this capability for a while."""
    namespace = Namespace()
    circuit = CircuitPolicy(failures_max=1, cool_down_ns=seconds(60))
    once = RetryPolicy(attempts_max=1)
    namespace.do(commands.ChangePolicies(policies=(Policy(name="default", circuit=circuit, retry=once),)))
    namespace.open("a", "work", slots=2)
    namespace.submit_one("bad", run_id="before")
    namespace.fail("bad", run_id="before")
    namespace.submit(task("t"), task("u"))
    waiting = of_task(namespace, "t")
    found = blocker(waiting, WaitKind.CIRCUIT)
    assert (found.agents, found.until_ns) == (("a",), namespace.now_ns + seconds(60))
    assert namespace.events[found.sequence - 1].type is EventType.CIRCUIT_OPENED
    assert verdicts(waiting) == {"a": "CIRCUIT_OPEN"}
    assert waiting.candidates[0].text == f"its circuit is open for another 60 s, since event {found.sequence}"
    namespace.advance(61)
    trial = of_task(namespace, "u").candidates[0]
    assert trial.text == f"its circuit is half-open: attempt {namespace.token('t')} is the trial"


def test_every_limit_that_leaves_no_room_is_named() -> None:
    """X1: of namespace, run and policy, with its figures, beside an agent that could."""
    namespace = Namespace(Limits(agents_running_max=1))
    namespace.do(commands.ChangePolicies(policies=(Policy(name="default", running_max=1),)))
    namespace.open("a", "work", slots=5)
    namespace.submit(task("one"), task("two"), running_max=1)
    waiting = of_task(namespace, "two")
    limits = {each.limit: (each.in_use, each.limit_max) for each in waiting.blockers}
    assert limits == {
        "agents_running_max of the namespace": (1, 1),
        "running_max of run run": (1, 1),
        "running_max of policy default": (1, 1),
    }
    assert verdicts(waiting) == {"a": "AVAILABLE"}


def test_a_task_that_wants_a_lock_names_its_holders_and_who_comes_first() -> None:
    """X1, R7: held by whom, and which requests and tasks of an earlier turn want it too."""
    namespace = Namespace()
    holder = namespace.open("holder")
    namespace.hold(holder, "door")
    namespace.open("a", "work", slots=5)
    namespace.do(asking("door", wait_seconds=60), namespace.open("earlier"))
    locks = (TaskLock(resource="door"),)
    namespace.submit(task("one", locks=locks), task("two", locks=locks))
    waiting = of_task(namespace, "two")
    held = blocker(waiting, WaitKind.LOCK)
    assert [grant.holder for grant in held.holders] == [f"session/{holder.session_id}"]
    queue = blocker(waiting, WaitKind.QUEUE)
    assert (len(queue.requests), [each.task_id for each in queue.tasks], queue.position) == (1, ["one"], 3)
    session = f"session/{holder.session_id} (agent holder)"
    assert waiting.text.startswith(f"run/two (READY): door is held exclusive by {session}")


def test_back_off_execution_and_cancellation_say_until_when() -> None:
    """X1: the time of the next try, the deadline of the attempt, the end of the grace."""
    namespace = Namespace()
    namespace.open("a", "work", slots=2)
    retry = RetryPolicy(attempts_max=3, backoff_initial_ns=seconds(60))
    namespace.submit(task("again", retry=retry), task("long", max_execution_time_ns=seconds(100)))
    namespace.fail("again")
    found = blocker(of_task(namespace, "again"), WaitKind.BACK_OFF)
    assert found.until_ns == namespace.task("again").ready_at_ns
    assert "after Broken" in found.text
    found = blocker(of_task(namespace, "long"), WaitKind.EXECUTION)
    assert (found.until_ns, found.agents) == (namespace.now_ns + seconds(100), ("a",))
    namespace.advance(101)
    found = blocker(of_task(namespace, "long"), WaitKind.CANCELLATION)
    assert found.until_ns == namespace.now_ns - seconds(1) + seconds(10)
    assert "ATTEMPT_TIMED_OUT" in found.text


def test_a_back_off_that_is_over_is_what_a_task_waits_for_until_that_is_decided() -> None:
    """X1: between the moment and the decision nothing stands in the way, and still there is something to say."""
    namespace = Namespace()
    namespace.open("a", "work")
    namespace.submit(task("again", retry=RetryPolicy(attempts_max=3, backoff_initial_ns=seconds(60))))
    namespace.fail("again")
    namespace.now_ns = namespace.task("again").ready_at_ns
    found = blocker(of_task(namespace, "again"), WaitKind.BACK_OFF)
    assert found.until_ns == namespace.now_ns


def test_a_task_that_is_over_says_how_it_ended() -> None:
    """X1: nothing waits; the error, and the task that caused it."""
    namespace = Namespace()
    namespace.open("a", "work")
    namespace.submit(task("bad"), task("victim", "bad"))
    namespace.fail("bad", retryable=False)
    found = explained(namespace, run_id="run", task_id="victim")
    assert (found.waiting, found.summary) == (
        (),
        "task run/victim SKIPPED: DEPENDENCY_FAILED: bad did not succeed",
    )
    assert explained(namespace, run_id="run", task_id="bad").summary == "task run/bad FAILED: Broken"
    assert explained(namespace, run_id="run").summary == "run run is FAILED: failed bad (FAILED, Broken)"


def test_a_task_that_succeeded_says_at_which_attempt() -> None:
    """X1: the error of an attempt that was made up for is history."""
    namespace = Namespace()
    namespace.open("a", "work")
    namespace.submit(task("t", retry=RetryPolicy(attempts_max=3, backoff_initial_ns=seconds(1))), task("once"))
    namespace.fail("t")
    namespace.complete("once")
    namespace.advance(1)
    namespace.complete("t")
    assert explained(namespace, run_id="run", task_id="t").summary == "task run/t SUCCEEDED at attempt 2"
    assert explained(namespace, run_id="run", task_id="once").summary == "task run/once SUCCEEDED"


# Runs.


def test_a_run_lists_what_could_go_on_first() -> None:
    """X1: the run itself, then its tasks, those that wait for others last; how many there are in all."""
    namespace = Namespace()
    namespace.open("a", "work")
    count = 150
    namespace.submit(*(task(f"t{number}", *(["t0"] if number else [])) for number in range(count)), task("free"))
    found = explained(namespace, run_id="run")
    assert (found.waiting_total, len(found.waiting)) == (count + 2, 100)
    assert blocker(found.waiting[0], WaitKind.TASKS).until_ns == namespace.run().deadline_ns
    assert [each.task_id for each in found.waiting[1:3]] == ["t0", "free"]
    assert "151 of 151 tasks are not over, 1 of them running" in found.summary


def test_an_open_run_says_that_it_waits_for_more() -> None:
    """X1, R15: also when all tasks that it has are over, or it has none yet."""
    namespace = Namespace()
    namespace.submit(open=True)
    (waiting,) = explained(namespace, run_id="run").waiting
    assert [each.kind for each in waiting.blockers] == [WaitKind.OPEN]
    namespace.do(commands.AddTasks(run_id="run", tasks=(task("t"),)))
    waiting = explained(namespace, run_id="run").waiting[0]
    assert [each.kind for each in waiting.blockers] == [WaitKind.TASKS, WaitKind.OPEN]
    namespace.do(commands.AddTasks(run_id="run", last=True))
    waiting = explained(namespace, run_id="run").waiting[0]
    assert [each.kind for each in waiting.blockers] == [WaitKind.TASKS]


# Locks.


def test_a_lock_tells_who_holds_it_and_each_who_waits() -> None:
    """X1: in the order of their turn, each with what stands in its way."""
    namespace = Namespace()
    namespace.open("a", "work")
    namespace.submit(task("t", locks=(TaskLock(resource="door"),)))
    token = namespace.token("t")
    first, second = namespace.open("first"), namespace.open("second")
    for session in (first, second):
        namespace.do(asking("door", mode=LockMode.SHARED, wait_seconds=60), session)
    namespace.detach(second)
    found = explained(namespace, resource="door")
    assert f"door is held exclusive by attempt/{token} (task run/t by a); 2 wait for it" in found.summary
    assert [each.holder for each in found.waiting] == [f"session/{each.session_id}" for each in (first, second)]
    assert {each.kind for each in found.waiting[1].blockers} == {WaitKind.LOCK, WaitKind.DETACHED}


def test_a_sequence_is_explained_by_what_it_stands_for() -> None:
    """X1: one number line: a request, an attempt, a fencing token, a session, a task and a run, and what is over."""
    namespace = Namespace()
    session = namespace.open("a", "work")
    token = namespace.hold(namespace.open("holder"), "door")
    request = namespace.do(asking("door", wait_seconds=60), namespace.open("waiter")).request_sequence
    namespace.submit(task("t"), task("later", "t"))
    run, later = namespace.run(), namespace.task("later")
    assert explained(namespace, sequence=request).waiting[0].request_sequence == request
    assert explained(namespace, sequence=namespace.token("t")).waiting[0].task_id == "t"
    assert "door is held" in explained(namespace, sequence=token).summary
    assert "agent a is ATTACHED" in explained(namespace, sequence=session.session_id).summary
    assert "run run is RUNNING" in explained(namespace, sequence=run.sequence, run_id="run").summary
    asked = {"sequence": later.sequence, "run_id": "run", "task_id": "later"}
    assert explained(namespace, **asked).waiting[0].task_id == "later"
    assert explained(namespace, sequence=1).summary == "", "whoever serves it says what the event was"


# Agents.


def test_an_agent_says_what_it_has_and_what_it_waits_for() -> None:
    """X1: work, its stream, its last tasks, its locks."""
    namespace = Namespace()
    session = namespace.open("a", "work", slots=2)
    (waiting,) = explained(namespace, agent_id="a").waiting
    assert blocker(waiting, WaitKind.WORK).text == "no task that it could take is ready"
    namespace.hold(namespace.open("other"), "door")
    namespace.submit(task("t"), task("locked", locks=(TaskLock(resource="door"),)))
    (waiting,) = explained(namespace, agent_id="a").waiting
    work = blocker(waiting, WaitKind.WORK)
    assert [each.task_id for each in work.tasks] == ["locked"]
    assert "run/locked: door is held exclusive" in work.text
    namespace.do(asking("door", wait_seconds=60), namespace.inside("t"))
    namespace.do(commands.DrainAgent(agent_id="a"))
    found = explained(namespace, agent_id="a")
    assert {each.kind for waiting in found.waiting for each in waiting.blockers} >= {WaitKind.TASKS, WaitKind.LOCK}
    assert "executes run/t: 1 of 2 slots" in found.summary
    namespace.detach(session)
    assert blocker(explained(namespace, agent_id="a").waiting[0], WaitKind.DETACHED).sequence == session.session_id
    namespace.end(session)
    assert explained(namespace, agent_id="a").waiting == ()


# Bad input.


@pytest.mark.parametrize(
    "asked",
    [{"run_id": "ghost"}, {"run_id": "run", "task_id": "ghost"}, {"resource": "ghost"}, {"agent_id": "ghost"}],
    ids=str,
)
def test_what_does_not_exist_is_not_found(asked: dict[str, str]) -> None:
    """X1: nothing is made up."""
    namespace = Namespace()
    namespace.submit_one("t")
    namespace.refuse(NotFound, Explain(**asked))


# The check of all histories, checked.


def test_the_check_finds_an_explanation_that_leaves_something_out(monkeypatch: pytest.MonkeyPatch) -> None:
    """X1: a blocker that is not named, or one that is not so, breaks the check that every history goes through."""
    namespace = Namespace()
    holder = namespace.open("holder")
    namespace.hold(holder, "door")
    namespace.do(asking("door", wait_seconds=60), namespace.open("waiter"))
    namespace.open("a", "work")
    namespace.submit(task("t", locks=(TaskLock(resource="door"),)), task("u"), task("v"))
    check_everything_is_explained(namespace.state, namespace.now_ns)

    def breaks(target: type, name: str, instead: Any) -> None:
        with monkeypatch.context() as patch:
            patch.setattr(target, name, instead)
            with pytest.raises((InvariantBroken, ValueError)):
                check_everything_is_explained(namespace.state, namespace.now_ns)

    breaks(lock_waits.LockWaits, "_held", lambda *_: [])
    breaks(task_waits.TaskWaits, "blockers", lambda *_: [])
    staff = task_waits.TaskWaits._look_at
    breaks(task_waits.TaskWaits, "_look_at", lambda *given: replace(staff(*given), candidates=()))
    breaks(task_waits.TaskWaits, "_look_at", lambda *given: replace(staff(*given), blockers=[]))


# The past.


@pytest.mark.parametrize("seed", range(2))
def test_every_event_can_be_told_in_words(seed: int) -> None:
    """X1: whatever happens, a step of a chain says what happened, and its cause came before it."""
    walk = Walk(seed)
    walk.steps(300)
    for event in walk.history.namespace.events:
        told = step(event)
        assert told.text == describe(event)[:300] != ""
        assert told.cause < told.sequence


def test_one_is_not_told_as_many() -> None:
    """X1: the words of an event count as people do."""
    namespace = Namespace()
    namespace.submit(task("a"), run_id="alone")
    namespace.submit(task("a"), task("b"), run_id="both")
    namespace.update("k", 1)
    told = [describe(event) for event in namespace.events]
    assert "run alone was submitted with 1 task" in told
    assert "run both was submitted with 2 tasks" in told
    assert [words for words in told if words.endswith(" wrote 1 key")]


def test_verdicts_are_ordered_by_how_near_an_agent_is() -> None:
    """X1: those that could take a task come first among the candidates."""
    assert sorted(CandidateVerdict)[0] is CandidateVerdict.AVAILABLE
    assert sorted(CandidateVerdict)[-1] is CandidateVerdict.DISCONNECTED
