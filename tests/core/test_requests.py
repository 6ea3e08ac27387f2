"""Idempotency: a request that comes again."""

from __future__ import annotations

from dataclasses import replace

import pytest

from coordinator_service.core import commands, reasons, specs
from coordinator_service.core.ages import FORGOTTEN_AT_ONCE
from coordinator_service.core.answers import Acquired, Done, Published, Recall, RunAccepted, recalled
from coordinator_service.core.commands import Caller
from coordinator_service.core.events import EventType
from coordinator_service.core.limits import Limits
from coordinator_service.core.rejections import (
    InvalidField,
    LockLost,
    LockTimeout,
    LockUpgrade,
    Rejection,
    RequestIdReused,
    SessionOver,
    StateConflict,
)
from coordinator_service.core.values import LockMode
from tests.core.conftest import OpenNamespace
from tests.core.driver import LEASE_NS, Namespace, asking, seconds, task, updating


def asker(request_id: str, *, digest: bytes = b"1", method: str = "M", principal: str = "") -> Caller:
    """Somebody who names the request."""
    return Caller(principal=principal, request_id=request_id, digest=digest, method=method)


def recall(namespace: Namespace, command: commands.Command, caller: Caller) -> object:
    """What a repeated command is told: the answer made from the first decision's events."""
    decision = namespace.decide(command, caller)
    assert isinstance(decision.answer, Recall)
    assert decision.events == []
    first = decision.answer.first_sequence
    return recalled(namespace.events[first - 1 : first - 1 + decision.answer.count])


def test_the_same_request_again_has_no_second_effect(namespace: Namespace) -> None:
    """D5: the same again returns the first answer, replayed."""
    first = namespace.do(updating("k", 1), asker("r"))
    again = recall(namespace, updating("k", 1), asker("r"))
    assert again == replace(first, replayed=True)
    assert len(namespace.of_type(EventType.STATE_UPDATED)) == 1


def test_another_command_under_that_id_is_refused(namespace: Namespace) -> None:
    """D5: INVALID_ARGUMENT."""
    namespace.do(updating("k", 1), asker("r"))
    rejection = namespace.refuse(RequestIdReused, updating("k", 2), asker("r", digest=b"2"))
    assert rejection.violations[0][0] == "request_id"


def test_an_id_belongs_to_a_principal_and_a_method(namespace: Namespace) -> None:
    """D5: (principal, method, request_id) name a request."""
    for caller in (asker("r"), asker("r", principal="alice"), asker("r", method="N")):
        namespace.do(updating("k", 1, base=namespace.state.sequence), caller)
    assert len(namespace.of_type(EventType.STATE_UPDATED)) == 3


def test_a_pure_refusal_is_decided_afresh(namespace: Namespace) -> None:
    """D5: what had no events is not remembered."""
    spec = specs.RunSpec(run_id="run", agents=("late",))
    namespace.refuse(InvalidField, commands.SubmitRun(spec=spec), asker("r"))
    namespace.open("late", "work")
    assert isinstance(namespace.do(commands.SubmitRun(spec=spec), asker("r")), RunAccepted)


def test_the_first_answer_is_a_function_of_its_events(namespace: Namespace) -> None:
    """D5: a run, a report with what it frees, a lost conflict."""
    submit = commands.SubmitRun(spec=specs.RunSpec(tasks=(task("t"), task("u", "t"))))
    accepted = namespace.do(submit, asker("run"))
    assert recall(namespace, submit, asker("run")) == replace(accepted, replayed=True)

    session = namespace.open("a", "work")
    token = namespace.token("t", accepted.run_id)
    reporter = replace(asker("done"), session_id=session.session_id)
    done = namespace.do(commands.CompleteTask(attempt_token=token), reporter)
    assert recall(namespace, commands.CompleteTask(attempt_token=token), reporter) == replace(done, replayed=True)

    namespace.update("a", 1, writer="them")
    lost = namespace.refuse_on_record(StateConflict, updating("a", 2, writer="me"), asker("conflict"))
    again = recall(namespace, updating("a", 2, writer="me"), asker("conflict"))
    assert isinstance(again, StateConflict)
    assert vars(again) == vars(lost)


def test_a_hello_that_comes_again_takes_up_the_session_it_opened(namespace: Namespace) -> None:
    """D5, A2: its answer was lost, and with it the only word of the session's id; whatever it ended ends only once."""
    old = namespace.open("a", "work")
    namespace.submit(task("t"))
    opening = commands.OpenSession(
        spec=specs.AgentSpec(agent_id="a", capabilities=(specs.Capability(name="work"),)),
        lease_ns=LEASE_NS,
        takeover=True,
    )
    opened = namespace.do(opening, asker("hello"))
    assert opened.session_id > old.session_id
    namespace.do(commands.DetachSession(session_id=opened.session_id, attached_sequence=opened.attached_sequence))
    again = namespace.do(opening, asker("hello"))
    [attached] = namespace.of_type(EventType.AGENT_ATTACHED)
    assert attached.sequence == again.attached_sequence
    assert (again.session_id, again.lease_ns, again.resumed) == (opened.session_id, LEASE_NS, True)
    assert len(namespace.of_type(EventType.AGENT_DISCONNECTED)) == 1
    assert len(namespace.of_type(EventType.AGENT_REGISTERED)) == 2


def test_a_hello_that_comes_again_is_told_that_its_session_is_over(namespace: Namespace) -> None:
    """D5: it opens no second one under the same request_id."""
    opening = commands.OpenSession(spec=specs.AgentSpec(agent_id="a"), lease_ns=LEASE_NS)
    opened = namespace.do(opening, asker("hello"))
    namespace.do(commands.EndSession(session_id=opened.session_id, reason=reasons.LEASE_EXPIRED))
    assert namespace.refuse(SessionOver, opening, asker("hello")).session_id == opened.session_id
    assert namespace.do(opening, asker("another hello")).session_id > opened.session_id


def drafts(*event_ids: str) -> commands.Publish:
    """A command that publishes."""
    return commands.Publish(drafts=tuple(commands.EventDraft(name="built", event_id=each) for each in event_ids))


def test_publishing_returns_a_sequence_for_each_draft(namespace: Namespace) -> None:
    """E1: the envelope is the coordinator's: principal, cause and time are not in a draft."""
    session = namespace.open("a-1", name="a", principal="alice")
    published = namespace.do(
        commands.Publish(drafts=(commands.EventDraft(name="x", data=b"1", run_id="r", metadata={"k": "v"}),)), session
    )
    event = namespace.events[-1]
    assert published == Published(sequences=(event.sequence,))
    assert (event.agent_id, event.agent_name, event.principal, event.run_id) == ("a-1", "a", "alice", "r")
    assert (event.time_ns, event.cause, event.metadata) == (namespace.now_ns, 0, {"k": "v"})


def test_publishing_inside_an_attempt_is_caused_by_it(namespace: Namespace) -> None:
    """E1: cause and subject are those of the attempt."""
    namespace.open("a", "work")
    namespace.submit(task("t"))
    inside = namespace.inside("t")
    namespace.do(drafts(""), inside)
    event = namespace.events[-1]
    assert (event.cause, event.run_id, event.task_id) == (inside.attempt_token, "run", "t")


def test_an_event_id_is_stored_once(namespace: Namespace) -> None:
    """D5: event_id deduplicates publishes in the same way, also within one of them."""
    first = namespace.do(drafts("one", "two", "one"))
    assert first.sequences == (2, 3, 2)
    assert namespace.do(drafts("three", "two")).sequences == (4, 3)
    assert len(namespace.of_type(EventType.CUSTOM)) == 3


def test_publishing_again_gives_the_same_sequences(namespace: Namespace) -> None:
    """D5: with event ids that were known before, that were new, and none."""
    namespace.do(drafts("known"))
    command = drafts("", "known", "new", "new", "")
    first = namespace.do(command, asker("r"))
    again = namespace.do(command, asker("r"))
    assert again == replace(first, replayed=True)


def test_the_window_is_stated(open_namespace: OpenNamespace) -> None:
    """D5, D8: after the window a request and an event_id are new again; what it remembered goes with it."""
    namespace = open_namespace(Limits(request_window_ms=1000))
    namespace.do(updating("k", 1, writer="me"), asker("r"))
    namespace.do(drafts("one"))
    namespace.advance(0.999)
    recall(namespace, updating("k", 1, writer="me"), asker("r"))
    assert namespace.do(drafts("one")).sequences == (3,)
    namespace.advance(0.001)
    namespace.do(updating("k", 1, writer="me"), asker("r"))
    assert namespace.do(drafts("one")).sequences == (5,)
    assert (len(namespace.state.requests), len(namespace.state.published)) == (1, 1)


def test_what_comes_again_does_not_keep_others_from_being_forgotten(open_namespace: OpenNamespace) -> None:
    """D8: a request made anew under an old id does not hold up the eviction of those between."""
    namespace = open_namespace(Limits(request_window_ms=1000))
    for number in range(3):
        namespace.do(drafts(f"e{number}"), asker(f"r{number}"))
    namespace.advance(1)
    namespace.do(drafts("e0"), asker("r0"))
    assert len(namespace.state.requests) == len(namespace.state.published) == 1


def test_no_window_at_all_remembers_nothing(open_namespace: OpenNamespace) -> None:
    """D5: a window of zero is a window."""
    namespace = open_namespace(Limits(request_window_ms=0))
    namespace.do(updating("k", 1, writer="me"), asker("r"))
    assert isinstance(namespace.do(updating("k", 1, writer="me"), asker("r")), Done)
    assert namespace.state.requests == {}


def test_a_repeated_acquire_gets_its_grant(namespace: Namespace) -> None:
    """D5: the grant that stands, replayed."""
    first = namespace.do(asking("a", "b", holder="me"), asker("r", method="Acquire"))
    assert namespace.do(asking("a", "b", holder="me"), asker("r", method="Acquire")) == replace(first, replayed=True)
    assert len(namespace.of_type(EventType.RESOURCE_REQUESTED)) == 1


def test_a_repeated_acquire_whose_grant_is_gone_is_told_so(namespace: Namespace) -> None:
    """D5: FAILED_PRECONDITION (LOCK_LOST)."""
    first = namespace.do(asking("a", holder="me"), asker("r"))
    namespace.do(commands.ExpireLock(fencing_token=first.grants[0].fencing_token))
    rejection = namespace.refuse(LockLost, asking("a", holder="me"), asker("r"))
    assert rejection.request_sequence == first.request_sequence


def test_a_repeated_acquire_that_waits_keeps_its_place(namespace: Namespace) -> None:
    """D5, L6: it waits on in its place, and later gets the grant that came meanwhile."""
    token = namespace.hold(Caller(), "a", holder="x")
    first = namespace.do(asking("a", holder="me"), asker("r"))
    again = namespace.do(asking("a", holder="me"), asker("r"))
    assert again == replace(first, replayed=True)
    namespace.release(Caller(), token)
    granted = namespace.do(asking("a", holder="me"), asker("r"))
    assert isinstance(granted, Acquired)
    assert (granted.replayed, granted.request_sequence) == (True, first.request_sequence)


@pytest.mark.parametrize(
    ("kind", "mode", "wait_seconds"),
    [
        (LockTimeout, LockMode.EXCLUSIVE, 0.0),
        (LockTimeout, LockMode.EXCLUSIVE, 1.0),
        (LockUpgrade, LockMode.SHARED, 9.0),
    ],
)
def test_a_repeated_acquire_that_was_refused_is_refused_alike(
    namespace: Namespace, kind: type[Rejection], mode: LockMode, wait_seconds: float
) -> None:
    """D5, L9: a refusal that is an event is the first answer."""
    holder = "me" if kind is LockUpgrade else "x"
    token = namespace.hold(Caller(), "a", holder=holder, mode=mode)
    command = asking("free", "a", holder="me", wait_seconds=wait_seconds)
    namespace.decide(command, asker("r"))
    namespace.advance(2)
    namespace.release(Caller(), token)
    refused = namespace.refuse(kind, command, asker("r"))
    if isinstance(refused, LockUpgrade):
        assert refused.resource == "a"


def test_a_request_that_was_withdrawn_is_made_anew(namespace: Namespace) -> None:
    """D5, L6: a call that was cancelled never had an answer, so the same request may wait again."""
    namespace.hold(Caller(), "a", holder="x")
    first = namespace.do(asking("a", holder="me"), asker("r"))
    namespace.do(commands.WithdrawRequest(request_sequence=first.request_sequence))
    again = namespace.do(asking("a", holder="me"), asker("r"))
    assert again.request_sequence > first.request_sequence
    assert not again.replayed


def test_a_request_survives_a_restart(namespace: Namespace) -> None:
    """D5: the window survives restart and failover, the outcome of a late answer with it."""
    token = namespace.hold(Caller(), "a", holder="x")
    waiting = namespace.do(asking("a", holder="me"), asker("r"))
    namespace.start_owner()
    namespace.advance(1)
    assert namespace.do(asking("a", holder="me"), asker("r")).request_sequence == waiting.request_sequence
    assert namespace.of_type(EventType.RESOURCE_REQUEST_REATTACHED)
    namespace.release(Caller(), token)
    namespace.start_owner()
    assert isinstance(namespace.do(asking("a", holder="me"), asker("r")), Acquired)


def test_a_wait_may_outlast_the_window(open_namespace: OpenNamespace) -> None:
    """D5, L6: what was forgotten meanwhile does not disturb the grant."""
    namespace = open_namespace(Limits(request_window_ms=1000))
    token = namespace.hold(Caller(), "a", holder="x")
    namespace.do(asking("a", holder="me", wait_seconds=60), asker("r"))
    namespace.advance(seconds(5) / seconds(1))
    namespace.release(Caller(), token)
    assert namespace.holders("a") == ["me"]
    assert namespace.state.requests == {}


def test_a_refused_request_is_not_remembered_for_somebody_elses_assignment(namespace: Namespace) -> None:
    """D5: only events of its own decision make a request known."""
    namespace.refuse(InvalidField, commands.SubmitRun(spec=specs.RunSpec()), asker("r"))
    assert namespace.state.requests == {}


def test_no_event_pays_for_all_that_grew_old_in_a_pause(open_namespace: OpenNamespace) -> None:
    """D8: eviction is spread over the events that follow; what is too old is unknown at once all the same (D5)."""
    namespace = open_namespace(Limits(request_window_ms=1000))
    for number in range(2 * FORGOTTEN_AT_ONCE + 10):
        namespace.do(drafts(f"e{number}"), asker(f"r{number}"))
    namespace.advance(2)
    left = []
    for number in range(4):
        namespace.do(drafts(f"later-{number}"))
        left.append((len(namespace.state.requests), len(namespace.state.published) - number - 1))
    assert left == [(FORGOTTEN_AT_ONCE + 10, FORGOTTEN_AT_ONCE + 10), (10, 10), (0, 0), (0, 0)]
    last = f"e{2 * FORGOTTEN_AT_ONCE + 9}"
    namespace.do(drafts("other"), asker("r0"))
    assert namespace.do(drafts(last)).sequences == (namespace.state.sequence,)


def test_a_request_that_is_too_old_is_unknown_before_it_is_forgotten(open_namespace: OpenNamespace) -> None:
    """D5: the window ends by the clock, whether or not eviction has come that far."""
    namespace = open_namespace(Limits(request_window_ms=1000))
    for number in range(2 * FORGOTTEN_AT_ONCE):
        namespace.do(drafts(f"e{number}"), asker(f"r{number}"))
    namespace.advance(2)
    youngest = 2 * FORGOTTEN_AT_ONCE - 1
    answer = namespace.do(drafts(f"e{youngest}"), asker(f"r{youngest}"))
    assert (answer.replayed, answer.sequences) == (False, (namespace.state.sequence,))
    assert f"r{youngest}" in "".join(namespace.state.requests)
