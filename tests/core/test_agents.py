"""Agents and their sessions."""

from __future__ import annotations

import pytest

from coordinator_service.core import commands, reasons, specs
from coordinator_service.core.commands import Caller
from coordinator_service.core.events import AgentDisconnected, AgentFailed, AgentRegistered, AgentUpdated, EventType
from coordinator_service.core.limits import Limits
from coordinator_service.core.rejections import (
    AlreadyExists,
    LimitReached,
    NoSession,
    NotFound,
    PermissionDenied,
    SessionOver,
)
from coordinator_service.core.specs import AgentSpec, Capability
from coordinator_service.core.values import AgentStatus
from tests.core.conftest import OpenNamespace
from tests.core.driver import LEASE_NS, Namespace, asking, caller, task, updating


def opening(agent_id: str, *, takeover: bool = False) -> commands.OpenSession:
    """A command that opens a session."""
    return commands.OpenSession(spec=AgentSpec(agent_id=agent_id), lease_ns=LEASE_NS, takeover=takeover)


def resuming(session: Caller, *tokens: int) -> commands.ResumeSession:
    """A command that resumes a session."""
    return commands.ResumeSession(session_id=session.session_id, attempt_tokens=tokens)


def test_an_agent_is_named_after_its_id_unless_it_says_otherwise(namespace: Namespace) -> None:
    """A1: an agent has an id and a name, by default the id."""
    namespace.open("builder-1")
    namespace.open("builder-2", name="builder")
    assert namespace.agent("builder-1").spec.agent_name == "builder-1"
    assert namespace.agent("builder-2").spec.agent_name == "builder"


def test_a_client_without_an_id_is_named_after_its_session(namespace: Namespace) -> None:
    """A1: a session of no agent in particular still has an id of its own."""
    first, second = namespace.open(), namespace.open()
    assert list(namespace.state.agents) == [f"client-{first.session_id}", f"client-{second.session_id}"]


def test_instances_of_one_name_share_its_tasks(namespace: Namespace) -> None:
    """A1: dependencies and targets use the name, so that many instances share a role."""
    namespace.open("builder-1", "build", name="builder")
    namespace.open("builder-2", "build", name="builder")
    target = specs.TaskTarget(agent_name="builder")
    namespace.submit(task("one", target=target), task("two", target=target))
    assert {namespace.task("one").agent_id, namespace.task("two").agent_id} == {"builder-1", "builder-2"}


def test_a_session_is_named_by_the_sequence_of_its_event(namespace: Namespace) -> None:
    """A2: the session id is a place in the log, and the event says who registered."""
    session = namespace.open("a", "work")
    [registered] = namespace.of_type(EventType.AGENT_REGISTERED)
    assert session.session_id == registered.sequence
    assert (registered.agent_id, registered.agent_name) == ("a", "a")
    assert namespace.agent("a").status is AgentStatus.ATTACHED


def test_a_second_session_under_a_live_id_is_refused(namespace: Namespace) -> None:
    """A2: one live session per agent_id."""
    namespace.open("a")
    assert namespace.refuse(AlreadyExists, opening("a")).name == "a"


def test_a_takeover_ends_the_old_session(namespace: Namespace) -> None:
    """A2, A4: a takeover by the same principal ends the session that lived, and all it had."""
    old = namespace.open("a", "work")
    namespace.submit(task("t"))
    lost = namespace.token("t")
    opened = namespace.do(commands.OpenSession(spec=AgentSpec(agent_id="a"), lease_ns=LEASE_NS, takeover=True))
    assert opened.session_id > old.session_id
    [gone] = namespace.of_type(EventType.AGENT_DISCONNECTED)
    assert gone.reason == reasons.TAKEN_OVER
    assert namespace.last(AgentFailed).attempt_token == lost
    namespace.refuse(SessionOver, resuming(old))


def test_a_takeover_by_another_principal_is_refused(namespace: Namespace) -> None:
    """A2: only the principal that opened a session may take it over."""
    namespace.open("a", principal="alice")
    namespace.refuse(PermissionDenied, opening("a", takeover=True), caller(principal="bob"))


def test_an_id_is_free_again_once_its_session_is_over(namespace: Namespace) -> None:
    """A2: the id belongs to a live session only."""
    namespace.end(namespace.open("a"))
    namespace.open("a")
    assert namespace.agent("a").status is AgentStatus.ATTACHED


def test_more_agents_than_the_limit_are_refused(open_namespace: OpenNamespace) -> None:
    """A2: the table of agents is bounded, and says so."""
    namespace = open_namespace(Limits(agents_max=1))
    namespace.open("a")
    assert namespace.refuse(LimitReached, opening("b")).subject == "agents_max"


def test_capabilities_change_during_a_session(namespace: Namespace) -> None:
    """A3: a change is an event, takes effect at once, and leaves the ids alone."""
    session = namespace.open("a", "cook")
    namespace.submit(task("t", capability="bake"))
    assert namespace.task("t").status.name == "READY"
    spec = AgentSpec(agent_id="other", agent_name="other", capabilities=(Capability(name="bake"),), slots=2)
    namespace.do(commands.UpdateAgent(spec=spec), session)
    updated = namespace.last(AgentUpdated)
    assert (updated.spec.agent_id, updated.spec.agent_name, updated.spec.slots) == ("a", "a", 2)
    assert namespace.task("t").agent_id == "a"


def test_a_capability_given_up_is_not_served_any_more(namespace: Namespace) -> None:
    """A3: what an agent no longer declares it is no longer given."""
    session = namespace.open("a", "work", "work")
    namespace.do(commands.UpdateAgent(spec=AgentSpec(agent_id="a", capabilities=(Capability(name="rest"),))), session)
    namespace.submit(task("t"))
    assert namespace.task("t").status.name == "READY"


def test_an_agent_without_a_session_cannot_describe_itself(namespace: Namespace) -> None:
    """A3: only a session's own agent changes."""
    spec = AgentSpec(agent_id="a")
    namespace.refuse(NoSession, commands.UpdateAgent(spec=spec))
    session = namespace.open("a")
    namespace.end(session)
    namespace.refuse(SessionOver, commands.UpdateAgent(spec=spec), session)


def test_everything_ends_with_the_session_in_one_decision(namespace: Namespace) -> None:
    """A4: AGENT_DISCONNECTED, AGENT_FAILED for each attempt, locks released, tasks retried elsewhere, one batch."""
    first = namespace.open("a", "work", slots=2)
    second = namespace.open("z", "work", slots=2)
    namespace.submit(task("one", locks=(specs.TaskLock(resource="door"),)), task("two"), task("three"))
    on_a = [each for each in ("one", "two", "three") if namespace.task(each).agent_id == "a"]
    token = namespace.hold(first, "window")
    waiting = namespace.acquire(second, "window")
    decision = namespace.decide(commands.EndSession(session_id=first.session_id, reason=reasons.LEASE_EXPIRED))
    types = [event.type for event in decision.events]
    assert types[0] is EventType.AGENT_DISCONNECTED
    assert types.count(EventType.AGENT_FAILED) == len(on_a) == 2
    assert EventType.RESOURCE_RELEASED in types
    assert namespace.holders("window") == [f"session/{second.session_id}"]
    assert token not in namespace.state.grants
    assert waiting.request_sequence not in namespace.state.waiters
    assert namespace.agent("z").attempts
    assert all(namespace.task(each).agent_id in ("a", "z") for each in on_a)
    assert namespace.holders("door") in ([], [f"attempt/{namespace.task('one').attempt_token}"])
    assert namespace.agent("a").status is AgentStatus.DISCONNECTED


def test_waits_of_a_session_end_with_it(namespace: Namespace) -> None:
    """A4, L6: a session's waiter follows its session."""
    holder, gone, next_one = namespace.open("a"), namespace.open("b"), namespace.open("c")
    token = namespace.hold(holder, "door")
    namespace.acquire(gone, "door")
    namespace.acquire(next_one, "door")
    namespace.end(gone)
    namespace.release(holder, token)
    assert namespace.holders("door") == [f"session/{next_one.session_id}"]


def test_a_session_that_is_over_ends_only_once(namespace: Namespace) -> None:
    """A4: ending it again changes nothing."""
    session = namespace.open("a")
    namespace.end(session)
    namespace.refuse(SessionOver, commands.EndSession(session_id=session.session_id, reason=reasons.GOODBYE))


@pytest.mark.parametrize(
    "command",
    [
        commands.Publish(drafts=(commands.EventDraft(name="x"),)),
        commands.SubmitRun(spec=specs.RunSpec(tasks=(task("t"),))),
        asking("door"),
        updating("k", 1),
    ],
    ids=lambda command: type(command).__name__,
)
def test_nothing_is_done_in_a_session_that_is_over(namespace: Namespace, command: commands.Command) -> None:
    """A4: what a session sends after its end is refused."""
    session = namespace.open("a")
    namespace.end(session)
    namespace.refuse(SessionOver, command, session)


def test_a_detached_session_keeps_what_it_has_and_gets_nothing_new(namespace: Namespace) -> None:
    """D6: losing a stream detaches that one session at once: no assignment, no grant, its place kept."""
    session = namespace.open("a", "work", slots=2)
    other = namespace.open("b")
    namespace.submit(task("mine"))
    blocking = namespace.hold(other, "door")
    namespace.acquire(session, "door")
    namespace.detach(session)
    namespace.submit(task("later"), run_id="more")
    namespace.release(other, blocking)
    assert namespace.task("mine").status.name == "RUNNING"
    assert namespace.task("later", "more").status.name == "READY"
    assert namespace.holders("door") == []
    namespace.resume(session, namespace.token("mine"))
    assert namespace.task("later", "more").status.name == "RUNNING"
    assert namespace.holders("door") == [f"session/{session.session_id}"]


def test_detaching_twice_is_one_event(namespace: Namespace) -> None:
    """D6: a session that is detached, or over, cannot lose its stream."""
    session = namespace.open("a")
    for _ in range(2):
        namespace.detach(session)
    namespace.end(session)
    namespace.detach(session)
    assert len(namespace.of_type(EventType.AGENT_DETACHED)) == 1


def test_an_old_stream_that_ends_does_not_detach_the_new_one(namespace: Namespace) -> None:
    """D6, A5: a session that moved to another stream is not detached when the first one is found to be gone."""
    session = namespace.open("a")
    namespace.resume(session)
    old = commands.DetachSession(session_id=session.session_id, attached_sequence=session.session_id)
    assert namespace.decide(old).events == []
    assert namespace.agent("a").status is AgentStatus.ATTACHED


def test_resume_says_what_is_missing_and_what_is_stale(namespace: Namespace) -> None:
    """A5: the coordinator pushes what the agent does not know of, and cancels what does not count any more."""
    session = namespace.open("a", "work", slots=3)
    namespace.submit(task("known"), task("missed"), task("stopping"))
    known, missed, stopping = (namespace.token(each) for each in ("known", "missed", "stopping"))
    namespace.detach(session)
    namespace.now_ns = namespace.state.attempts[stopping].deadline_ns
    namespace.tick()
    answer = namespace.resume(session, known, stopping, 1)
    assert (answer.resumed, answer.live, answer.stale) == (True, (missed,), (1,))
    assert set(answer.cancelling) == {known, missed, stopping}
    assert answer.session_id == session.session_id


def test_only_its_own_principal_resumes_a_session(namespace: Namespace) -> None:
    """A5: a session id is no secret, so it is no credential either."""
    session = namespace.open("a", principal="alice")
    namespace.detach(session)
    namespace.refuse(PermissionDenied, resuming(session), caller(principal="mallory"))


def test_a_session_that_never_was_cannot_be_resumed(namespace: Namespace) -> None:
    """A5: an unknown session is over."""
    assert namespace.refuse(SessionOver, commands.ResumeSession(session_id=99)).session_id == 99


def test_a_draining_agent_finishes_and_gets_nothing_new(namespace: Namespace) -> None:
    """A7: no new tasks, running ones finish."""
    session = namespace.open("a", "work", slots=2)
    namespace.submit(task("running"))
    namespace.do(commands.DrainAgent(agent_id="a"))
    namespace.submit(task("waiting"), run_id="more")
    assert namespace.agent("a").status is AgentStatus.DRAINING
    namespace.complete("running")
    assert namespace.run().status.name == "SUCCEEDED"
    assert namespace.task("waiting", "more").status.name == "READY"
    namespace.do(commands.EndSession(session_id=session.session_id, reason=reasons.GOODBYE))
    assert namespace.last(AgentDisconnected).session_id == session.session_id


def test_draining_survives_a_lost_stream(namespace: Namespace) -> None:
    """A7, A5: an agent that comes back is told that it drains."""
    session = namespace.open("a", "work")
    namespace.do(commands.DrainAgent(agent_id="a"))
    namespace.do(commands.DrainAgent(agent_id="a"))
    namespace.detach(session)
    assert namespace.resume(session).draining
    assert len(namespace.of_type(EventType.AGENT_DRAINING)) == 1


def test_only_a_connected_agent_drains(namespace: Namespace) -> None:
    """A7: there is nothing to drain in an agent that is not there."""
    namespace.end(namespace.open("a"))
    for agent_id in ("a", "nobody"):
        namespace.refuse(NotFound, commands.DrainAgent(agent_id=agent_id))


def test_registration_keeps_what_an_agent_says_of_itself(namespace: Namespace) -> None:
    """R2: the latest registration of a name is kept, connected or not."""
    namespace.end(namespace.open("i", "build", name="infrastructure"))
    assert namespace.state.roles["infrastructure"] == namespace.last(AgentRegistered).spec


def test_what_a_session_gives_up_does_not_come_back_to_it(namespace: Namespace) -> None:
    """A4, L6: waits of a session and of its attempts end before its locks are handed on."""
    session = namespace.open("a", "work", slots=2)
    namespace.submit(task("one", locks=(specs.TaskLock(resource="door"),)), task("two"))
    namespace.acquire(namespace.inside("two"), "door")
    namespace.acquire(session, "door")
    other = namespace.open("b")
    namespace.acquire(other, "door")
    namespace.end(session)
    assert namespace.holders("door") == [f"session/{other.session_id}"]
    late = [event for event in namespace.of_type(EventType.RESOURCE_ACQUIRED) if event.reason == reasons.NEXT_IN_LINE]
    assert [event.agent_id for event in late] == ["b"]
