"""Sessions and their streams: A4 to A7, D6, and the waits of L6 that hang on them."""

from __future__ import annotations

import asyncio

import pytest

from coordinator_service.core.answers import Acquired, Done, SessionOpened, Waiting
from coordinator_service.core.commands import (
    Caller,
    CancelRun,
    CompleteTask,
    DetachSession,
    DrainAgent,
    EndSession,
    GetAgent,
    Release,
    ResumeSession,
    StartTask,
)
from coordinator_service.core.events import (
    AgentDisconnected,
    AgentFailed,
    ResourceReleased,
    TaskAssigned,
    TaskRetryScheduled,
)
from coordinator_service.core.reasons import GOODBYE
from coordinator_service.core.rejections import (
    AlreadyExists,
    Fault,
    LimitReached,
    LockTimeout,
    SessionOver,
    StaleAttempt,
    Unavailable,
)
from coordinator_service.core.values import AgentStatus, TaskStatus
from coordinator_service.sessions import SessionHubs, SessionLimits, SessionStream
from tests.shell.bench import (
    Asked,
    Bench,
    acquire,
    kinds,
    messages,
    next_task,
    open_session,
    publish,
    refused,
    settle,
    submit,
    until,
)


def session_of(stream: SessionStream) -> int:
    assert stream.opened is not None
    return stream.opened.session_id


async def status_of(bench: Bench, agent_id: str = "agent") -> AgentStatus:
    read = await (await bench.open()).call(GetAgent(agent_id=agent_id), Caller())
    return read.agent.status  # type: ignore[union-attr]


async def test_welcome_comes_first(bench: Bench) -> None:
    """A5: before any task, though one was ready; with what the client needs to know."""
    port = await bench.open()
    await port.call(submit("t"), bench.caller("SubmitRun"))
    stream = await bench.connect(lease_ms=3000)
    await settle()
    first, *rest = await messages(stream)
    assert first.welcome.session_id == session_of(stream)
    assert first.welcome.log_id == port.log_id
    assert first.welcome.lease.seconds == 3
    assert dict(first.welcome.limits) == {"a_limit": 1}
    assert [message.task.task_id for message in rest] == ["t"]


async def test_a_task_is_not_pushed_before_its_assignment_is_durable(bench: Bench) -> None:
    """D4: an agent never executes what the log does not have."""
    stream = await bench.connect()
    await kinds(stream)
    port = await bench.open()
    bench.disk.hold()
    Asked(port, submit("t"), bench.caller("SubmitRun"))
    pushed = asyncio.create_task(next_task(stream))
    await settle()
    assert not pushed.done()
    bench.disk.release()
    assert (await pushed).attempt_token <= bench.durable


async def test_a_lost_stream_detaches_at_once(bench: Bench) -> None:
    """D6: what the session has stays, and it is given nothing new until it is back."""
    stream = await bench.connect(slots=2)
    port = await bench.open()
    await port.call(submit("first"), bench.caller("SubmitRun"))
    token = (await next_task(stream)).attempt_token
    (await bench.hub()).detach(stream)
    await port.call(submit("second", run_id="another"), bench.caller("SubmitRun"))
    assert await status_of(bench) is AgentStatus.DETACHED
    assert list(port.sequencer.state.attempts) == [token]
    back = await bench.resume(session_of(stream), token)
    assert (await next_task(back)).task_id == "second"


async def test_a_stream_that_was_replaced_detaches_nobody(bench: Bench) -> None:
    """D6: the old stream is found to be lost while the session is being resumed on a new one."""
    old = await bench.connect()
    hub = await bench.hub()
    bench.disk.hold()
    resuming = asyncio.create_task(bench.resume(session_of(old)))
    await settle()
    hub.detach(old)
    bench.disk.release()
    new = await resuming
    await settle()
    assert await status_of(bench) is AgentStatus.ATTACHED
    port = await bench.open()
    await port.call(submit("t"), bench.caller("SubmitRun"))
    assert (await next_task(new)).task_id == "t"


async def test_a_detach_that_comes_late_is_nothing(bench: Bench) -> None:
    """D6: it names the stream that was lost; another one has begun since."""
    stream = await bench.connect()
    first = stream.opened.attached_sequence  # type: ignore[union-attr]
    await bench.resume(session_of(stream))
    port = await bench.open()
    await port.call(DetachSession(session_id=session_of(stream), attached_sequence=first), Caller())
    assert await status_of(bench) is AgentStatus.ATTACHED


async def test_a_resume_replaces_the_stream(bench: Bench) -> None:
    """A2: one session has one stream; the one before it is told that it is over."""
    old = await bench.connect()
    new = await bench.resume(session_of(old))
    await kinds(old)
    with pytest.raises(SessionOver):
        await old.next_frame()
    assert await kinds(new) == ["welcome"]


@pytest.mark.parametrize("waits", [True, False])
async def test_a_word_that_comes_late_at_another_replica_strands_nobody(bench: Bench, *, waits: bool) -> None:
    """D6: an agent gave up resuming there, resumed here, and what it had said there takes effect after all. Its stream
    here would be given nothing any more: it is told to resume. Seed 1795946466779 of the simulator."""
    here = await bench.connect()
    elsewhere = await SessionHubs(bench.session_limits, {}).of(await bench.open())
    bench.disk.hold()
    late = asyncio.create_task(elsewhere.connect(ResumeSession(session_id=session_of(here)), Caller()))
    await settle()
    if not waits:
        late.cancel()
    bench.disk.release()
    await asyncio.wait([late])
    await settle()
    assert await status_of(bench) is (AgentStatus.ATTACHED if waits else AgentStatus.DETACHED)
    assert await kinds(here) == ["welcome"]
    with pytest.raises(Unavailable):
        await here.next_frame()
    back = await bench.resume(session_of(here))
    await settle()
    assert await status_of(bench) is AgentStatus.ATTACHED
    port = await bench.open()
    await port.call(submit("t"), bench.caller("SubmitRun"))
    assert (await next_task(back)).task_id == "t"
    assert not waits or late.result().closed is not None
    elsewhere.close(Unavailable("the test is over"))


async def test_a_client_that_vanishes_while_it_connects_is_detached(bench: Bench) -> None:
    """D6: its session stands, and waits for it like any that lost its stream."""
    hub = await bench.hub()
    bench.disk.hold()
    connecting = asyncio.create_task(hub.connect(open_session("agent"), Caller()))
    await settle()
    connecting.cancel()
    await settle()
    bench.disk.release()
    await until(lambda: bench.durable >= 2)
    assert await status_of(bench) is AgentStatus.DETACHED


async def test_a_live_agent_id_is_refused_unless_taken_over(bench: Bench) -> None:
    """A2: and the session taken over ends, its stream with it."""
    old = await bench.connect()
    await kinds(old)
    with pytest.raises(AlreadyExists):
        await bench.connect()
    new = await bench.connect(takeover=True)
    with pytest.raises(SessionOver):
        await old.next_frame()
    assert session_of(new) > session_of(old)
    assert await status_of(bench) is AgentStatus.ATTACHED


async def test_everything_of_a_session_ends_with_it_in_one_batch(bench: Bench) -> None:
    """A4: disconnected, attempts failed, locks released, tasks retried elsewhere: one decision."""
    stream = await bench.connect("gone", lease_ms=1000)
    port = await bench.open()
    await port.call(submit("t"), bench.caller("SubmitRun"))
    token = (await next_task(stream)).attempt_token
    await port.call(acquire("r"), bench.caller("Acquire", session_id=session_of(stream)))
    other = await bench.connect("other", lease_ms=60_000)
    follower = await port.follow(bench.durable)
    assert (await next_task(other)).attempt_token > token
    events = [each.event for each in await follower.read()]
    happened = [type(event.payload) for event in events]
    assert happened[0] is AgentDisconnected
    assert {AgentFailed, TaskRetryScheduled, ResourceReleased, TaskAssigned} <= set(happened)
    last = bench.place.records["tested"].batches[-1].batch
    assert last.first_sequence <= events[0].sequence
    assert last.last_sequence >= events[-1].sequence


async def test_a_goodbye_ends_the_session_and_its_stream(bench: Bench) -> None:
    """A7: what is left of it is taken up by others."""
    stream = await bench.connect()
    await kinds(stream)
    port = await bench.open()
    await port.call(EndSession(session_id=session_of(stream), reason=GOODBYE), Caller())
    with pytest.raises(SessionOver):
        await stream.next_frame()


async def test_a_heartbeat_keeps_a_session(bench: Bench) -> None:
    """A4: a session that is heard lives, however long it has nothing to do; one that is not ends."""
    stream = await bench.connect(lease_ms=2000)
    port = await bench.open()
    for _ in range(20):
        await asyncio.sleep(1)
        assert port.renew_session(session_of(stream))
    began = asyncio.get_running_loop().time()
    await until(lambda: not port.sequencer.state.index.sessions)
    assert asyncio.get_running_loop().time() - began == pytest.approx(2.0, abs=0.3)
    await settle()
    assert not port.renew_session(session_of(stream))


async def test_commands_of_a_session_apply_in_order(bench: Bench) -> None:
    """A6: whatever they are; only a blocking acquire is answered late."""
    stream = await bench.connect()
    session_id = session_of(stream)
    port = await bench.open()
    held = await port.call(acquire("r"), bench.caller("Acquire"))
    order: list[str] = []

    def note(name: str):  # type: ignore[no-untyped-def]
        return lambda outcome: None if isinstance(outcome, Waiting) else order.append(name)

    port.submit(publish("a"), bench.caller(session_id=session_id), note("a"))
    port.submit(acquire("r"), bench.caller("Acquire", session_id=session_id), note("acquire"))
    port.submit(publish("b"), bench.caller(session_id=session_id), note("b"))
    port.submit(submit("t"), bench.caller("SubmitRun", session_id=session_id), note("submit"))
    await until(lambda: len(order) == 3)
    assert isinstance(held, Acquired)
    await port.call(Release(fencing_tokens=(held.grants[0].fencing_token,)), bench.caller("Release"))
    await until(lambda: len(order) == 4)
    assert order == ["a", "b", "submit", "acquire"]


async def test_a_waiting_acquire_is_answered_when_it_is_granted_or_its_time_is_over(bench: Bench) -> None:
    """L6: Waiting at once, and then one answer; a time-out names the holders."""
    port = await bench.open()
    held = await port.call(acquire("r"), bench.caller("Acquire"))
    assert isinstance(held, Acquired)
    patient = Asked(port, acquire("r", wait_ms=60_000), bench.caller("Acquire"))
    hasty = Asked(port, acquire("r", wait_ms=2_000), bench.caller("Acquire"))
    refusal = await hasty.final()
    assert isinstance(refusal, LockTimeout)
    assert [grant.holder for grant in refusal.holders] == [held.grants[0].holder]
    assert asyncio.get_running_loop().time() == pytest.approx(2.0, abs=0.1)
    await port.call(Release(fencing_tokens=(held.grants[0].fencing_token,)), bench.caller("Release"))
    granted = await patient.final()
    assert isinstance(granted, Acquired)
    assert [type(outcome) for outcome in patient.told] == [Waiting, Acquired]
    assert granted.grants[0].fencing_token > held.grants[0].fencing_token


async def test_a_cancelled_call_withdraws_its_request(bench: Bench) -> None:
    """L6: nobody waits behind one who has gone."""
    port = await bench.open()
    await port.call(acquire("r"), bench.caller("Acquire"))
    leaving = asyncio.create_task(port.call(acquire("r"), bench.caller("Acquire")))
    await until(lambda: bool(port.sequencer.state.waiters))
    leaving.cancel()
    await until(lambda: not port.sequencer.state.waiters, seconds_max=1)


async def test_a_call_cancelled_before_it_is_decided_withdraws_its_request(bench: Bench) -> None:
    """L6: the wait is known only later, and is withdrawn then."""
    port = await bench.open()
    await port.call(acquire("r"), bench.caller("Acquire"))
    bench.disk.hold()
    leaving = asyncio.create_task(port.call(acquire("r"), bench.caller("Acquire")))
    await settle()
    leaving.cancel()
    await settle()
    assert port.sequencer.state.waiters
    bench.disk.release()
    await until(lambda: not port.sequencer.state.waiters, seconds_max=1)


async def test_a_call_that_is_repeated_elsewhere_is_not_withdrawn_by_the_first(bench: Bench) -> None:
    """L6, D5: the latest caller of a request waits for it; the one before is told to ask again."""
    port = await bench.open()
    held = await port.call(acquire("r"), bench.caller("Acquire"))
    assert isinstance(held, Acquired)
    caller = bench.caller("Acquire")
    first = asyncio.create_task(port.call(acquire("r"), caller))
    await until(lambda: bool(port.sequencer.state.waiters))
    second = Asked(port, acquire("r"), caller)
    first.cancel()
    await settle()
    await port.call(Release(fencing_tokens=(held.grants[0].fencing_token,)), bench.caller("Release"))
    assert isinstance(await second.final(), Acquired)


async def test_the_caller_before_is_told_to_ask_again(bench: Bench) -> None:
    """L6: nobody is left without an answer."""
    port = await bench.open()
    await port.call(acquire("r"), bench.caller("Acquire"))
    caller = bench.caller("Acquire")
    first = Asked(port, acquire("r"), caller)
    await settle()
    Asked(port, acquire("r"), caller)
    assert isinstance(await first.final(), Unavailable)


async def test_a_session_s_waiter_is_granted_nothing_while_it_is_detached(bench: Bench) -> None:
    """D6, L6: it blocks nobody, keeps its place, and is next once it is back."""
    stream = await bench.connect(lease_ms=60_000)
    port = await bench.open()
    held = await port.call(acquire("r"), bench.caller("Acquire"))
    assert isinstance(held, Acquired)
    waiting = Asked(port, acquire("r"), bench.caller("Acquire", session_id=session_of(stream)))
    await settle()
    behind = Asked(port, acquire("r"), bench.caller("Acquire"))
    await settle()
    (await bench.hub()).detach(stream)
    await port.call(Release(fencing_tokens=(held.grants[0].fencing_token,)), bench.caller("Release"))
    granted = await behind.final()
    assert isinstance(granted, Acquired)
    await bench.resume(session_of(stream))
    await port.call(Release(fencing_tokens=(granted.grants[0].fencing_token,)), bench.caller("Release"))
    assert isinstance(await waiting.final(), Acquired)


async def test_a_cancelled_run_reaches_the_agent(bench: Bench) -> None:
    """R12, A5: with the reason and the grace; and again on a stream that resumes."""
    stream = await bench.connect(lease_ms=60_000)
    port = await bench.open()
    await port.call(submit("t"), bench.caller("SubmitRun"))
    token = (await next_task(stream)).attempt_token
    await port.call(CancelRun(run_id="run"), bench.caller("CancelRun"))
    (cancel,) = await messages(stream)
    assert (cancel.cancel.attempt_token, cancel.cancel.reason, cancel.cancel.grace.seconds) == (token, "CANCELLED", 10)
    await asyncio.sleep(4)
    back = await bench.resume(session_of(stream), token)
    await settle()
    told = [message.cancel for message in await messages(back) if message.WhichOneof("message") == "cancel"]
    assert [(each.attempt_token, each.grace.seconds) for each in told] == [(token, 6)]


async def test_a_fenced_attempt_is_stale_to_its_agent(bench: Bench) -> None:
    """R11, A5: after the grace the agent is told to stop and forget it, and its report changes nothing."""
    stream = await bench.connect(lease_ms=60_000)
    port = await bench.open()
    await port.call(submit("t"), bench.caller("SubmitRun"))
    token = (await next_task(stream)).attempt_token
    await port.call(CancelRun(run_id="run"), bench.caller("CancelRun"))
    await messages(stream)
    (stale,) = await messages(stream)
    assert (stale.cancel.attempt_token, stale.cancel.reason) == (token, "STALE")
    report = bench.caller("TaskCompleted", session_id=session_of(stream))
    assert isinstance(await refused(port.call(CompleteTask(attempt_token=token), report)), StaleAttempt)


async def test_a_repeated_report_is_acknowledged_again(bench: Bench) -> None:
    """A5, D5: reports are commands: one that is repeated on another stream is told the same."""
    stream = await bench.connect(lease_ms=60_000)
    port = await bench.open()
    await port.call(submit("t"), bench.caller("SubmitRun"))
    token = (await next_task(stream)).attempt_token
    for command in (StartTask(attempt_token=token), CompleteTask(attempt_token=token)):
        caller = bench.caller(type(command).__name__, session_id=session_of(stream))
        first = await port.call(command, caller)
        await bench.resume(session_of(stream))
        again = await port.call(command, caller)
        assert isinstance(first, Done)
        assert again == Done(sequence=first.sequence, replayed=True)
    assert port.sequencer.state.task("run", "t").status is TaskStatus.SUCCEEDED


async def test_a_drained_agent_is_told_and_given_nothing(bench: Bench) -> None:
    """A7: on its stream, and again when it resumes."""
    stream = await bench.connect(lease_ms=60_000)
    await kinds(stream)
    port = await bench.open()
    await port.call(DrainAgent(agent_id="agent"), bench.caller("DrainAgent"))
    assert await kinds(stream) == ["drain"]
    await port.call(submit("t"), bench.caller("SubmitRun"))
    back = await bench.resume(session_of(stream))
    assert await kinds(back) == ["welcome", "drain"]
    assert port.sequencer.state.task("run", "t").status is TaskStatus.READY


async def test_a_client_that_reads_nothing_loses_its_stream(bench: Bench) -> None:
    """E3: its outbox has a bound, and beyond it the session is detached; others go on."""
    stream = SessionStream(SessionLimits(outbox_bytes_max=100), on_closed=lambda _: None)
    stream.push_encoded(b"x" * 60)
    stream.push_encoded(b"y" * 60)
    assert isinstance(stream.closed, LimitReached)
    assert await stream.next_frame() == b"x" * 60
    with pytest.raises(LimitReached):
        await stream.next_frame()


async def test_frames_are_coalesced_up_to_their_bound(bench: Bench) -> None:
    """A6: whatever is ready goes into one frame, in order; a larger message travels alone."""
    stream = SessionStream(SessionLimits(frame_bytes_max=10), on_closed=lambda _: None)
    for framed in (b"aaaa", b"bbbb", b"cccc", b"d" * 12, b"ee"):
        stream.push_encoded(framed)
    assert [await stream.next_frame() for _ in range(4)] == [b"aaaabbbb", b"cccc", b"d" * 12, b"ee"]


async def test_an_attempt_that_cannot_be_written_cuts_its_stream_only(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    """D4, A5: other callers of the batch are answered, other agents served."""
    stream = await bench.connect()
    await kinds(stream)
    monkeypatch.setattr("coordinator_service.sessions.to_proto", _break)
    port = await bench.open()
    await port.call(submit("t"), bench.caller("SubmitRun"))
    with pytest.raises(Fault):
        await stream.next_frame()
    monkeypatch.undo()
    assert (await next_task(await bench.resume(session_of(stream)))).task_id == "t"


def _break(_: object) -> None:
    raise ValueError("a slip")


async def test_streams_end_when_the_namespace_is_dropped(bench: Bench) -> None:
    """D4: their clients come back, to a namespace that was loaded again, with everything they had."""
    stream = await bench.connect(lease_ms=60_000)
    port = await bench.open()
    await port.call(submit("t"), bench.caller("SubmitRun"))
    token = (await next_task(stream)).attempt_token
    bench.disk.fails = True
    await Asked(port, publish("a"), bench.caller()).final()
    with pytest.raises(Unavailable):
        await stream.next_frame()
    bench.disk.fails = False
    back = await bench.resume(session_of(stream), token)
    assert back.opened is not None
    assert back.opened.stale == ()
    assert (await bench.open()) is not port


async def test_a_stream_that_is_opened_while_all_others_end_ends_with_them(bench: Bench) -> None:
    """A5: nobody is left on a stream down which nothing will ever be sent."""
    hub = await bench.hub()
    bench.disk.hold()
    connecting = asyncio.create_task(bench.connect())
    await settle()
    hub.close(Unavailable("the log cannot be read"))
    bench.disk.release()
    stream = await connecting
    assert (await messages(stream))[0].HasField("welcome")
    with pytest.raises(Unavailable):
        await stream.next_frame()
    await settle()
    assert await status_of(bench) is AgentStatus.DETACHED


async def test_a_client_that_vanishes_as_its_answer_comes_is_detached(bench: Bench) -> None:
    """D6: also when it went in the very moment in which its session was opened."""
    hub = await bench.hub()
    connecting: asyncio.Task[SessionStream]
    join = hub._join

    def join_and_vanish(stream: SessionStream, opened: SessionOpened) -> None:
        join(stream, opened)
        asyncio.get_running_loop().call_soon(connecting.cancel)

    hub._join = join_and_vanish  # type: ignore[method-assign]
    connecting = asyncio.create_task(hub.connect(open_session("agent", lease_ms=60_000), Caller()))
    await settle()
    assert connecting.cancelled()
    assert await status_of(bench) is AgentStatus.DETACHED
