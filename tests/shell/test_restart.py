"""D5, D6, D7 and L6 across the death of a process: what is remembered, what is detached, and who comes back in time."""

from __future__ import annotations

import asyncio
import gc
import warnings
from dataclasses import replace
from typing import Any

from coordinator_service.core.answers import Acquired, Done, Published, RunAccepted, Waiting
from coordinator_service.core.commands import Acquire, CompleteTask, GetAgent, Release, StartTask, UpdateState
from coordinator_service.core.limits import Limits
from coordinator_service.core.rejections import (
    LockLost,
    LockTimeout,
    RequestIdReused,
    SessionOver,
    StateConflict,
    Unavailable,
)
from coordinator_service.core.specs import StateChange, StateUpdate
from coordinator_service.core.values import AgentStatus, LockMode, TaskStatus
from tests.shell.bench import Asked, Bench, acquire, next_task, publish, refused, settle, submit, until


def write(key: str, base: int | None = None) -> UpdateState:
    change = StateChange(updates=(StateUpdate(key=key, value=1.0),), base_revision=base)
    return UpdateState(change=change, writer="tester")


async def test_what_was_acknowledged_is_there_after_a_kill(bench: Bench) -> None:
    """D3: of events acknowledged none is missing, changed or in another order."""
    port = await bench.open()
    for number in range(10):
        await port.call(publish(f"e{number}"), bench.caller())
    before = [stored.batch.events for stored in bench.place.records["tested"].batches]
    await bench.reopen()
    after = [stored.batch.events for stored in bench.place.records["tested"].batches]
    assert after[: len(before)] == before


async def test_a_repeated_command_gets_its_first_answer_from_another_process(bench: Bench) -> None:
    """D5: each kind of answer is given again as it was, and nothing happens twice."""
    port = await bench.open()
    commands = {
        "Publish": publish("a", "b"),
        "UpdateState": write("k"),
        "SubmitRun": submit("t"),
        "Acquire": acquire("r"),
    }
    callers = {method: bench.caller(method) for method in commands}
    first = {method: await port.call(command, callers[method]) for method, command in commands.items()}
    port = await bench.reopen()
    end = bench.durable
    for method, command in commands.items():
        again = await port.call(command, callers[method])
        assert getattr(again, "replayed", False), method
        assert _told(again) == _told(first[method])
    assert bench.durable == end


def _told(answer: object) -> object:
    if isinstance(answer, Published):
        return answer.sequences
    if isinstance(answer, RunAccepted):
        return answer.run_id, answer.sequence
    if isinstance(answer, Acquired):
        return answer.grants
    assert isinstance(answer, Done)
    return answer.sequence


async def test_a_repeated_command_is_answered_below_the_tail_in_memory(bench: Bench) -> None:
    """D5: the first answer is read from the log where it is no longer in memory."""
    port = await bench.open()
    caller = bench.caller("UpdateState")
    first = await port.call(write("k"), caller)
    port = await bench.reopen()
    assert port._tail.slice(first.sequence - 1, 1) is None  # type: ignore[union-attr]
    assert await port.call(write("k"), caller) == Done(sequence=first.sequence, replayed=True)  # type: ignore[union-attr]


async def test_an_answer_that_is_not_read_any_more_leaves_nothing_behind(bench: Bench) -> None:
    """D4, D5: dropped between a decision and the reading of its first answer: the caller is told, and that is all."""
    port = await bench.open()
    caller = bench.caller("UpdateState")
    await port.call(write("k"), caller)
    read = port.sequencer._on_recall

    def read_and_drop(asked: Any, respond: Any) -> None:
        read(asked, respond)
        port.drop(Unavailable("gone"))

    port.sequencer._on_recall = read_and_drop
    with warnings.catch_warnings(record=True) as warned:
        warnings.simplefilter("always")
        assert isinstance(await refused(port.call(write("k"), caller)), Unavailable)
        await settle()
        gc.collect()
    assert [str(each.message) for each in warned] == []


async def test_a_conflict_is_told_again(bench: Bench) -> None:
    """D5: a refusal that left events is remembered like any answer."""
    port = await bench.open()
    await port.call(write("k"), bench.caller("UpdateState"))
    caller = bench.caller("UpdateState")
    first = await refused(port.call(write("k", base=1), caller))
    port = await bench.reopen()
    again = await refused(port.call(write("k", base=1), caller))
    assert isinstance(first, StateConflict)
    assert isinstance(again, StateConflict)
    assert (again.conflict_sequence, again.keys) == (first.conflict_sequence, first.keys)


async def test_another_command_under_a_used_id_is_refused(bench: Bench) -> None:
    """D5: a request_id names one request for good, whichever process is asked."""
    port = await bench.open()
    caller = replace(bench.caller(), digest=b"one")
    await port.call(publish("a"), caller)
    port = await bench.reopen()
    assert isinstance(await refused(port.call(publish("b"), replace(caller, digest=b"two"))), RequestIdReused)


async def test_an_event_id_is_stored_once(bench: Bench) -> None:
    """D5: a publisher that repeats an event under another request is given the sequence it has."""
    port = await bench.open()
    first = await port.call(publish("a", event_id="mine"), bench.caller())
    port = await bench.reopen()
    again = await port.call(publish("a", event_id="mine"), bench.caller())
    assert isinstance(first, Published)
    assert isinstance(again, Published)
    assert again.sequences == first.sequences


async def test_a_grant_that_no_longer_stands_is_lost(bench: Bench) -> None:
    """D5: a repeated acquire is not told of locks that it no longer has."""
    port = await bench.open()
    caller = bench.caller("Acquire")
    held = await port.call(acquire("r"), caller)
    assert isinstance(held, Acquired)
    await port.call(Release(fencing_tokens=(held.grants[0].fencing_token,)), bench.caller("Release"))
    port = await bench.reopen()
    assert isinstance(await refused(port.call(acquire("r"), caller)), LockLost)


async def test_locks_stand_as_they_stood(bench: Bench) -> None:
    """D3, L8: a restart takes no lock away and gives none a second time."""
    port = await bench.open()
    held = await port.call(acquire("r"), bench.caller("Acquire"))
    port = await bench.reopen()
    rival = Asked(port, acquire("r", wait_ms=0), bench.caller("Acquire"))
    refusal = await rival.final()
    assert isinstance(refusal, LockTimeout)
    assert isinstance(held, Acquired)
    assert [grant.fencing_token for grant in refusal.holders] == [held.grants[0].fencing_token]


async def test_a_new_owner_detaches_every_session(bench: Bench) -> None:
    """D6: nothing is assigned until the agent is back, and then at once."""
    stream = await bench.connect()
    session_id = stream.opened.session_id  # type: ignore[union-attr]
    port = await bench.reopen()
    await port.call(submit("t"), bench.caller("SubmitRun"))
    read = await port.call(GetAgent(agent_id="agent"), bench.caller())
    assert read.agent.status is AgentStatus.DETACHED  # type: ignore[union-attr]
    assert port.sequencer.state.task("run", "t").status is TaskStatus.READY
    back = await bench.resume(session_id)
    assert (await next_task(back)).task_id == "t"


async def test_an_attempt_outlives_the_process(bench: Bench) -> None:
    """A5, R8: the agent reports to the new owner under its old token, and is not sent the task again."""
    stream = await bench.connect()
    session_id = stream.opened.session_id  # type: ignore[union-attr]
    port = await bench.open()
    await port.call(submit("t"), bench.caller("SubmitRun"))
    token = (await next_task(stream)).attempt_token
    await port.call(StartTask(attempt_token=token), bench.caller("TaskStarted", session_id=session_id))
    port = await bench.reopen()
    back = await bench.resume(session_id, token)
    assert back.opened is not None
    assert (back.opened.live, back.opened.stale) == ((), ())
    await port.call(CompleteTask(attempt_token=token), bench.caller("TaskCompleted", session_id=session_id))
    assert port.sequencer.state.task("run", "t").status is TaskStatus.SUCCEEDED


async def test_an_agent_that_forgot_is_sent_its_task_again(bench: Bench) -> None:
    """A5: what the agent does not name is pushed, what it should not have is named stale."""
    stream = await bench.connect()
    session_id = stream.opened.session_id  # type: ignore[union-attr]
    port = await bench.open()
    await port.call(submit("t"), bench.caller("SubmitRun"))
    token = (await next_task(stream)).attempt_token
    await bench.reopen()
    back = await bench.resume(session_id, 10_000)
    assert back.opened is not None
    assert (back.opened.live, back.opened.stale) == ((token,), (10_000,))
    assert (await next_task(back)).attempt_token == token


async def test_leases_start_whole_with_each_owner(bench: Bench) -> None:
    """D7: an agent that could not be heard while nobody owned the namespace has its whole lease to come back."""
    stream = await bench.connect(lease_ms=3000)
    session_id = stream.opened.session_id  # type: ignore[union-attr]
    await asyncio.sleep(2.8)
    bench.start()
    await asyncio.sleep(60)
    port = await bench.open()
    await asyncio.sleep(2.8)
    assert port.renew_session(session_id)
    assert (await bench.resume(session_id)).opened is not None


async def test_a_session_that_does_not_come_back_ends(bench: Bench) -> None:
    """D6, A4: after its lease the agent is gone, and its task waits for another."""
    stream = await bench.connect(lease_ms=3000)
    port = await bench.open()
    await port.call(submit("t"), bench.caller("SubmitRun"))
    await next_task(stream)
    port = await bench.reopen()
    await until(lambda: port.sequencer.state.task("run", "t").status is TaskStatus.READY)
    assert isinstance(await _resume_refused(bench, stream.opened.session_id), SessionOver)  # type: ignore[union-attr]


async def _resume_refused(bench: Bench, session_id: int) -> BaseException | None:
    try:
        await bench.resume(session_id)
    except SessionOver as refusal:
        return refusal
    return None


async def test_a_waiter_comes_back_to_its_place(bench: Bench) -> None:
    """D6, L6: a call-bound waiter that repeats its request keeps its turn, before those that came later."""
    port = await bench.open()
    held = await port.call(acquire("r"), bench.caller("Acquire"))
    first, second = bench.caller("Acquire"), bench.caller("Acquire")
    for caller in (first, second):
        Asked(port, acquire("r", wait_ms=60_000), caller)
    await settle()
    port = await bench.reopen()
    later = Asked(port, acquire("r", wait_ms=60_000), second)
    sooner = Asked(port, acquire("r", wait_ms=60_000), first)
    await settle()
    assert [type(asked.told[0]) for asked in (sooner, later)] == [Waiting, Waiting]
    assert isinstance(held, Acquired)
    await port.call(Release(fencing_tokens=(held.grants[0].fencing_token,)), bench.caller("Release"))
    granted = await sooner.final()
    assert isinstance(granted, Acquired)
    assert later.finals == []


async def test_a_detached_waiter_is_granted_nothing_and_holds_others_up_only_for_a_while(bench: Bench) -> None:
    """D6, L6: for reattach_hold it blocks those behind it, then nobody; after the grace it is withdrawn."""
    bench.limits = Limits(reattach_hold_ms=5_000, reattach_grace_ms=15_000)
    port = await bench.open()
    held = await port.call(acquire("r"), bench.caller("Acquire"))
    assert isinstance(held, Acquired)
    gone = Asked(port, acquire("r", wait_ms=600_000), bench.caller("Acquire"))
    await settle()
    gone_sequence = gone.told[0].request_sequence  # type: ignore[union-attr]
    port = await bench.reopen()
    began = asyncio.get_running_loop().time()
    await port.call(Release(fencing_tokens=(held.grants[0].fencing_token,)), bench.caller("Release"))
    behind = Asked(port, acquire("r", wait_ms=600_000), bench.caller("Acquire"))
    await settle()
    assert [type(outcome) for outcome in behind.told] == [Waiting]
    granted = await behind.final()
    assert isinstance(granted, Acquired)
    assert 4.9 < asyncio.get_running_loop().time() - began < 5.2
    assert gone_sequence in port.sequencer.state.waiters
    await until(lambda: gone_sequence not in port.sequencer.state.waiters)
    assert 14.9 < asyncio.get_running_loop().time() - began < 15.2


async def test_time_goes_on_where_the_log_ended(bench: Bench) -> None:
    """D2: an owner whose wall clock lies in the past continues from the last event, and time still passes."""
    port = await bench.open()
    await port.call(publish("a"), bench.caller())
    last_ns = port.sequencer.state.time_ns
    bench.clock.wall_off_ns -= 10**15
    port = await bench.reopen()
    started_ns = port.sequencer.state.time_ns
    await asyncio.sleep(10)
    await port.call(publish("b"), bench.caller())
    assert last_ns < started_ns
    assert 8.9e9 < port.sequencer.state.time_ns - started_ns < 9.1e9  # slewed by a tenth


async def test_a_shared_lock_of_a_session_ends_with_it(bench: Bench) -> None:
    """A4, L7: a session is one lease over its locks too, whoever owns the namespace by then."""
    stream = await bench.connect(lease_ms=3000)
    session_id = stream.opened.session_id  # type: ignore[union-attr]
    port = await bench.open()
    await port.call(acquire("r", mode=LockMode.SHARED), bench.caller("Acquire", session_id=session_id))
    port = await bench.reopen()
    waiting = Asked(port, acquire("r", wait_ms=60_000), bench.caller("Acquire"))
    assert isinstance(await waiting.final(), Acquired)
    assert session_id not in port.sequencer.state.index.sessions


async def test_a_waiter_that_comes_back_to_what_its_holder_has_gets_it_at_once(bench: Bench) -> None:
    """L5, D6: whoever else stands first in line, since a holder's requests never conflict with each other."""
    port = await bench.open()
    held = await port.call(acquire("r"), bench.caller("Acquire"))
    assert isinstance(held, Acquired)
    returning = bench.caller("Acquire")
    Asked(port, acquire("r", holder="me"), returning)
    await settle()
    port = await bench.reopen()
    mine = Asked(port, acquire("r", holder="me"), bench.caller("Acquire"))
    await settle()
    await port.call(Release(fencing_tokens=(held.grants[0].fencing_token,)), bench.caller("Release"))
    granted = await mine.final()
    assert isinstance(granted, Acquired)
    first_in_line = acquire("r", wait_ms=60_000)
    urgent = Acquire(requests=(replace(first_in_line.requests[0], priority=9),))
    Asked(port, urgent, bench.caller("Acquire"))
    await settle()
    again = await port.call(acquire("r", holder="me"), returning)
    assert isinstance(again, Acquired)
    assert again.grants[0].fencing_token == granted.grants[0].fencing_token
