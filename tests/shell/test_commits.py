"""D3, D4 and group commit: nothing is said before it is durable, and a failure leaves nothing half done."""

from __future__ import annotations

import asyncio

import pytest

from coordinator_service.core.answers import Acquired, Done, Published, StateRead, Waiting
from coordinator_service.core.commands import COORDINATOR, CancelRun, GetEnds, GetState, Release, UpdateState
from coordinator_service.core.rejections import Fault, LimitReached, NotFound, Rejection, Unavailable
from coordinator_service.core.specs import StateChange, StateUpdate
from coordinator_service.local_namespace import ShellLimits
from coordinator_service.log.codec import split
from coordinator_service.sequencer import SequencerLimits
from coordinator_service.subscriptions import Selector, Subscription
from tests.shell.bench import NAME, Asked, Bench, acquire, publish, settle


def write(key: str, value: float) -> UpdateState:
    return UpdateState(change=StateChange(updates=(StateUpdate(key=key, value=value),)), writer="tester")


async def test_an_answer_waits_for_its_commit(bench: Bench) -> None:
    """D4: while the disk writes, the caller hears nothing."""
    port = await bench.open()
    bench.disk.hold()
    asked = Asked(port, publish("a"), bench.caller())
    await settle()
    assert asked.told == []
    assert port.sequencer.state.sequence == bench.durable + 1
    bench.disk.release()
    assert await asked.final() == Published(sequences=(bench.durable,))


async def test_an_answer_waits_for_its_own_commit_not_for_one_before_it(bench: Bench) -> None:
    """D4: what is decided while an earlier batch is on its way goes with the next one."""
    port = await bench.open()
    bench.disk.hold()
    first = Asked(port, publish("a"), bench.caller())
    await settle()
    second = Asked(port, publish("b"), bench.caller())
    read = Asked(port, GetEnds())
    await settle()
    bench.disk.let_one()
    assert await first.final() == Published(sequences=(2,))
    await settle()
    assert (second.told, read.told, bench.durable) == ([], [], 2)
    bench.disk.release()
    assert await second.final() == Published(sequences=(3,))
    assert await read.final() == Done(sequence=3)


async def test_a_read_waits_for_what_it_saw(bench: Bench) -> None:
    """D4: a read that saw a write is not answered before that write is durable."""
    port = await bench.open()
    bench.disk.hold()
    written = Asked(port, write("k", 1.0), bench.caller("UpdateState"))
    read = Asked(port, GetState(keys=("k",)))
    await settle()
    assert (written.told, read.told) == ([], [])
    bench.disk.release()
    found = await read.final()
    assert isinstance(found, StateRead)
    assert (found.entries[0].value, found.sequence) == (1.0, bench.durable)


async def test_a_read_of_what_is_durable_is_answered_at_once(bench: Bench) -> None:
    """D4: with nothing under way a read costs no commit."""
    port = await bench.open()
    begun = bench.disk.begun
    assert isinstance(await Asked(port, GetEnds()).final(), Done)
    assert bench.disk.begun == begun


async def test_a_refusal_waits_too(bench: Bench) -> None:
    """D4: a refusal also says something of the state, so it is no earlier than what it is based on."""
    port = await bench.open()
    bench.disk.hold()
    Asked(port, acquire("r"), bench.caller("Acquire"))
    refusal = Asked(port, Release(fencing_tokens=(99,)), bench.caller("Release"))
    await settle()
    assert refusal.told == []
    bench.disk.release()
    assert isinstance(await refusal.final(), Rejection)


async def test_a_subscriber_sees_nothing_that_is_not_durable(bench: Bench) -> None:
    """D4: the tail of a follower ends with the last commit."""
    port = await bench.open()
    follower = await port.follow(bench.durable)
    bench.disk.hold()
    asked = Asked(port, publish("a"), bench.caller())
    await settle()
    assert not follower.ready()
    bench.disk.release()
    (found,) = await follower.read()
    assert found.sequence == bench.durable
    await asked.final()


async def test_many_commands_share_few_appends(bench: Bench) -> None:
    """Group commit: what is asked while the disk writes becomes one batch."""
    port = await bench.open()
    before = bench.batches
    bench.disk.hold()
    asked = [Asked(port, publish(f"e{number}"), bench.caller()) for number in range(500)]
    await settle()
    bench.disk.release()
    outcomes = [await each.final() for each in asked]
    assert [outcome.sequences[0] for outcome in outcomes if isinstance(outcome, Published)] == list(range(2, 502))
    assert bench.batches - before == 2


async def test_the_events_of_a_decision_are_one_batch(bench: Bench) -> None:
    """D3: whole decisions, even where a batch may hold next to nothing."""
    bench.shell = ShellLimits(sequencer=SequencerLimits(batch_bytes_max=1, turn_commands_max=1))
    port = await bench.open()
    asked = [Asked(port, publish("a", "b", "c"), bench.caller()) for _ in range(5)]
    for each in asked:
        await each.final()
    sizes = [len(split(stored.batch.events)) for stored in bench.place.records[NAME].batches[1:]]
    assert sizes == [3, 3, 3, 3, 3]


async def test_a_failed_append_is_unavailable_to_all_who_wait(bench: Bench) -> None:
    """D3, D4: whoever asked in the batch, after it or before it and waits still, is told to ask again, once."""
    port = await bench.open()
    held = await Asked(port, acquire("r"), bench.caller("Acquire")).final()
    assert isinstance(held, Acquired)
    waiting = Asked(port, acquire("r"), bench.caller("Acquire"))
    await settle()
    assert [type(outcome) for outcome in waiting.told] == [Waiting]
    bench.disk.hold()
    in_batch = Asked(port, publish("a"), bench.caller())
    waits_in_batch = Asked(port, acquire("r"), bench.caller("Acquire"))
    await settle()
    in_next_batch = Asked(port, publish("b"), bench.caller())
    read = Asked(port, GetEnds())
    await settle()
    bench.disk.fails = True
    bench.disk.release()
    Asked(port, publish("never decided"), bench.caller())
    for asked in (in_batch, waits_in_batch, in_next_batch, read, waiting):
        assert isinstance(await asked.final(), Unavailable)
    assert port.dropped


async def test_a_namespace_is_loaded_again_without_what_failed(bench: Bench) -> None:
    """D3: of an append that failed nothing is there, in the log or in the state."""
    port = await bench.open()
    kept = await Asked(port, write("kept", 1.0), bench.caller("UpdateState")).final()
    assert isinstance(kept, Done)
    bench.disk.fails = True
    lost = Asked(port, write("lost", 2.0), bench.caller("UpdateState"))
    assert isinstance(await lost.final(), Unavailable)
    bench.disk.fails = False
    again = await bench.open()
    assert again is not port
    assert list(again.sequencer.state.entries) == ["kept"]
    assert again.sequencer.state.sequence == bench.durable == kept.sequence + 1  # OWNER_STARTED


async def test_a_disk_that_fails_on_opening_is_unavailable(bench: Bench) -> None:
    """D4: a namespace that cannot be written is not owned, and can be once the disk is well."""
    namespaces = bench.start()
    bench.disk.fails = True
    try:
        await namespaces.get(NAME)
        raise AssertionError("was opened")
    except Unavailable:
        pass
    bench.disk.fails = False
    assert not (await namespaces.get(NAME)).dropped


async def test_a_decision_that_breaks_is_told_and_leaves_the_log_whole(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    """D3: a fault in the core drops the state that is no longer to be trusted; the caller is told, nothing kept."""
    port = await bench.open()
    before = bench.durable
    monkeypatch.setattr("coordinator_service.sequencer.decide", _break)
    asked = Asked(port, publish("a"), bench.caller())
    behind = Asked(port, publish("b"), bench.caller())
    assert isinstance(await asked.final(), Fault)
    assert isinstance(await behind.final(), Fault)
    monkeypatch.undo()
    again = await bench.open()
    assert await again.call(publish("c"), bench.caller()) == Published(sequences=(before + 2,))


def _break(*_: object) -> None:
    raise RuntimeError("a slip in the core")


async def test_an_answer_that_cannot_be_given_keeps_nobody_from_theirs(bench: Bench) -> None:
    """D4: callers that share a batch do not share each other's troubles."""
    port = await bench.open()

    def explode(_outcome: object) -> None:
        raise RuntimeError("the stream has just gone")

    port.submit(publish("a"), bench.caller(), explode)
    assert isinstance(await Asked(port, publish("b"), bench.caller()).final(), Published)


async def test_a_full_inbox_refuses_and_the_coordinator_still_gets_through(bench: Bench) -> None:
    """Every queue has a bound; but a deadline must not be lost in it."""
    bench.shell = ShellLimits(sequencer=SequencerLimits(inbox_commands_max=2))
    port = await bench.open()
    asked = [Asked(port, publish(f"e{number}"), bench.caller()) for number in range(3)]
    own = Asked(port, GetEnds(), COORDINATOR)
    assert isinstance(asked[2].finals[0], LimitReached)
    assert isinstance(await asked[0].final(), Published)
    assert isinstance(await asked[1].final(), Published)
    assert await own.final() == Done(sequence=bench.durable)


async def test_closing_finishes_what_was_asked(bench: Bench) -> None:
    """D3: a shutdown loses nothing that was accepted, and refuses what comes after."""
    namespaces = bench.start()
    port = await namespaces.get(NAME)
    asked = [Asked(port, publish(f"e{number}"), bench.caller()) for number in range(20)]
    waiting = (Asked(port, acquire("r"), bench.caller("Acquire")), Asked(port, acquire("r"), bench.caller("Acquire")))
    await namespaces.close()
    assert [type(each.finals[0]) for each in asked] == [Published] * 20
    assert isinstance(waiting[0].finals[0], Acquired)
    assert isinstance(waiting[1].finals[0], Unavailable)
    assert isinstance(Asked(port, publish("late"), bench.caller()).finals[0], Unavailable)


async def test_a_subscription_ends_with_unavailable_when_the_namespace_is_dropped(bench: Bench) -> None:
    """D4: whoever follows is told to come back, and loses nothing by it."""
    port = await bench.open()
    seen: list[int] = []

    async def follow() -> None:
        async for delivery in Subscription(port, Selector(), 0).deliveries():
            seen[:] = [delivery.last_sequence]

    following = asyncio.create_task(follow())
    await settle()
    bench.disk.fails = True
    await Asked(port, publish("a"), bench.caller()).final()
    await settle()
    assert isinstance(following.exception(), Unavailable)
    assert seen == [bench.durable]


async def test_unknown_names_are_refused_without_a_trace(bench: Bench) -> None:
    """D1: a pure refusal stores nothing."""
    port = await bench.open()
    before = bench.durable
    asked = Asked(port, CancelRun(run_id="nobody's"), bench.caller("CancelRun"))
    assert isinstance(await asked.final(), NotFound)
    assert bench.durable == before
