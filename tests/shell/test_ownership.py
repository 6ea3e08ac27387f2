"""Several replicas over one place, under virtual time: who owns what, what moves, and who may speak."""

from __future__ import annotations

import asyncio
import gc
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable

import pytest

from coordinator_service.cluster.placement import ranked
from coordinator_service.core.commands import Caller
from coordinator_service.core.rejections import CursorInFuture, Rejection, Unavailable
from coordinator_service.log.base import Batch, LogError
from coordinator_service.log.memory import MemoryLog, MemoryStore
from coordinator_service.ownership import Replica
from coordinator_service.ports import Outcome
from tests.cluster.bench import LEASE_MS, BenchReplica, ClusterBench, read, revision, update, update_of

NAME = "blog"
LEASE_SECONDS = LEASE_MS / 1000


@pytest.fixture
async def bench() -> AsyncIterator[ClusterBench]:
    """Replicas over one place."""
    made = ClusterBench()
    yield made
    await made.end()


def replicas(count: int) -> list[Replica]:
    """Some that live."""
    return [Replica(replica_id=f"r{number}", incarnation=f"{number}", address="") for number in range(count)]


# Placement.


def test_namespaces_are_spread_and_few_move_when_a_replica_joins() -> None:
    """Each replica owns about as many as the others; a fourth takes a quarter, and nothing moves between the rest."""
    names = [f"n{number}" for number in range(2000)]
    before = {name: ranked(name, replicas(3))[0] for name in names}
    after = {name: ranked(name, reversed(replicas(4)))[0] for name in names}
    assert all(500 < count < 850 for count in Counter(before.values()).values())
    moved = {name for name in names if before[name] != after[name]}
    assert {after[name].replica_id for name in moved} == {"r3"}
    assert 350 < len(moved) < 650


def test_a_replica_that_was_restarted_keeps_its_rank() -> None:
    """What is left of its earlier process does not come before it."""
    ghost, again = (Replica(replica_id="r1", incarnation=incarnation, address="") for incarnation in ("a", "b"))
    for name in ("x", "y", "z"):
        order = ranked(name, [ghost, *replicas(1), again])
        assert order.index(again) + 1 == order.index(ghost)


# Owning.


async def test_a_namespace_has_one_owner_and_the_others_know_it(bench: ClusterBench) -> None:
    """Every replica names the same owner, and only that one serves the namespace."""
    joined = await bench.join("a", "b", "c")
    await asyncio.sleep(LEASE_SECONDS)
    owner = next(each for each in joined if each.ownership.owner_of(NAME) is None)
    await update(await owner.own(NAME), "k", 1)
    for other in joined:
        if other is not owner:
            assert other.ownership.owner_of(NAME) == owner.ownership.here
            with pytest.raises(Unavailable, match="owned by"):
                await other.own(NAME)
    assert await bench.epochs(NAME) == [1]


async def test_what_a_new_replica_is_to_own_moves_to_it_and_loses_nothing(bench: ClusterBench) -> None:
    """D6: graceful: the old owner finishes what was submitted and lets go, the new one goes on at once."""
    (first,) = await bench.join("a")
    names = [f"n{number}" for number in range(12)]
    for name in names:
        await update(await first.own(name), "k", 1)
    await bench.join("b", "c")
    loop = asyncio.get_running_loop()
    began = loop.time()
    for name in names:
        owner = await bench.settled(name)
        assert await read(await owner.own(name), "k") == 1
        await bench.epochs(name)
    assert loop.time() - began < LEASE_SECONDS
    assert len({bench.owner(name) for name in names}) == 3  # type: ignore[type-var]


async def test_what_is_to_move_on_while_it_is_being_opened_moves_on(bench: ClusterBench) -> None:
    """A replica joins while another takes what it is to own: nobody holds on to what is another's by now."""
    (first,) = await bench.join("a")
    names = [f"n{number}" for number in range(12)]
    for name in names:
        await update(await first.own(name), "k", 1)
    loop = asyncio.get_running_loop()
    began = loop.time()
    await bench.join("b", "c", "d")
    for name in names:
        await bench.settled(name)
    assert loop.time() - began < 2 * LEASE_SECONDS


async def test_who_leaves_hands_over_at_once(bench: ClusterBench) -> None:
    """A replica that is told to stop lets go before its lease ends, and what it answered stands."""
    await bench.join("a", "b")
    await asyncio.sleep(LEASE_SECONDS)
    owner = await _owner_of(bench)
    written = await revision(await owner.own(NAME), "k", 7)
    began = asyncio.get_running_loop().time()
    leaving = asyncio.create_task(owner.leave())
    successor = await bench.owned(NAME, other_than=owner)
    assert asyncio.get_running_loop().time() - began < LEASE_SECONDS / 4
    assert await read(await successor.own(NAME), "k") == 7
    assert await revision(await successor.own(NAME), "k", 8) > written
    await leaving


async def test_who_dies_is_succeeded_when_its_lease_is_over(bench: ClusterBench) -> None:
    """Not before: it might only be slow. Not much later either."""
    await bench.join("a", "b", "c")
    await asyncio.sleep(LEASE_SECONDS)
    owner = await _owner_of(bench)
    await update(await owner.own(NAME), "k", 7)
    loop = asyncio.get_running_loop()
    began = loop.time()
    await owner.die()
    successor = await bench.owned(NAME)
    assert LEASE_SECONDS / 2 < loop.time() - began < 2 * LEASE_SECONDS
    assert await read(await successor.own(NAME), "k") == 7


async def test_a_paused_owner_that_wakes_serves_nothing_old_and_appends_nothing(bench: ClusterBench) -> None:
    """D4, invariant 12: its first word after the pause is UNAVAILABLE, whoever asks and whatever they ask."""
    await bench.join("a", "b")
    await asyncio.sleep(LEASE_SECONDS)
    owner = await _owner_of(bench)
    port = await owner.own(NAME)
    await update(port, "k", "old")
    owner.clock.stall(10 * LEASE_SECONDS)  # SIGSTOP, and now SIGCONT: nothing has run yet
    asked: list[Outcome] = []
    port.submit(*_command("k", "late"), asked.append)
    assert [type(each) for each in asked] == [Unavailable]
    with pytest.raises(Unavailable):
        await port.keep_alive((1,))
    assert not port.renew_session(1)
    with pytest.raises(Unavailable):
        await read(port, "k")
    assert port.dropped


async def test_an_owner_that_was_fenced_serves_no_read(bench: ClusterBench) -> None:
    """D4: also while it believes in its lease, a read is released only when the store has said who owns the log."""
    (owner,) = await bench.join("a")
    port = await owner.own(NAME)
    await update(port, "k", "old")
    log = await owner.store.open(NAME)
    await log.claim("somebody/else")
    with pytest.raises(Unavailable):
        await read(port, "k")
    assert port.dropped


async def test_a_replica_that_is_cut_off_lets_its_namespaces_go_when_its_lease_is_over(bench: ClusterBench) -> None:
    """Whoever listens to it is told without asking; when it is back it owns again what it is to own."""
    (owner,) = await bench.join("a")
    port = await owner.own(NAME)
    owner.members.cut_off = True
    failure = await port.wait_dropped()
    assert isinstance(failure, Unavailable)
    with pytest.raises(Unavailable, match="no lease"):
        await owner.namespaces.get(NAME)
    owner.members.cut_off = False
    await bench.owned(NAME)
    await update(await owner.own(NAME), "k", 1)


async def test_two_that_both_want_a_namespace_fence_each_other_and_one_stays(bench: ClusterBench) -> None:
    """Invariant 12: replicas that saw different members claim one after another, never side by side."""
    one, other = await bench.join("a", "b")
    await asyncio.sleep(LEASE_SECONDS)
    await update(await (await _owner_of(bench)).own(NAME), "k", 0)
    other.members.cut_off = one.members.cut_off = True
    await asyncio.sleep(2 * LEASE_SECONDS)
    one.members.cut_off = other.members.cut_off = False
    owner = await bench.owned(NAME)
    await update(await owner.own(NAME), "k", 1)
    await asyncio.sleep(LEASE_SECONDS)
    assert [each.owns(NAME) for each in (one, other)].count(True) == 1
    await bench.epochs(NAME)


async def test_whoever_waits_at_a_hand_over_is_told_where_to_go(bench: ClusterBench) -> None:
    """Invariant 8: calls under way are answered; those that come too late are UNAVAILABLE with a hint when to retry."""
    await bench.join("a")
    names = [f"n{number}" for number in range(6)]
    ports = {name: await bench.replicas["a"].own(name) for name in names}
    outcomes: list[Outcome] = []
    for port in ports.values():
        port.submit(*_command("k", 1), outcomes.append)
    await bench.join("b")
    await asyncio.sleep(LEASE_SECONDS)
    for port in ports.values():
        port.submit(*_command("k", 2), outcomes.append)
    await asyncio.sleep(LEASE_SECONDS)
    assert len(outcomes) == 2 * len(names)
    moved = [name for name in names if bench.replicas["b"].owns(name)]
    refused = [each for each in outcomes if isinstance(each, Rejection)]
    assert 0 < len(refused) == len(moved) < len(names)
    assert all(isinstance(each, Unavailable) and each.retry_after_ms for each in refused)
    for name in moved:
        assert await read(await bench.replicas["b"].own(name), "k") == 1


async def test_what_was_read_before_its_owner_heard_that_it_is_durable_is_not_the_future(
    bench: ClusterBench, monkeypatch: pytest.MonkeyPatch
) -> None:
    """E5, E2: another replica reads it in the log at once; the owner waits for its own append instead of refusing."""
    (owner,) = await bench.join("a")
    port = await owner.own(NAME)
    await port.create_subscription("s", 0, port.log_id, "r")
    append, heard = MemoryLog.append, asyncio.Event()

    async def heard_late(self: MemoryLog, batch: Batch, epoch: int) -> None:
        await append(self, batch, epoch)
        await heard.wait()

    monkeypatch.setattr(MemoryLog, "append", heard_late)
    outcomes: list[Outcome] = []
    port.submit(*_command("k", 1), outcomes.append)
    durable = await (await MemoryStore(bench.place).open(NAME)).grown(port.last_sequence)
    assert durable > port.last_sequence
    acknowledging = asyncio.create_task(port.acknowledge("s", port.log_id, durable, reset=False))
    following = asyncio.create_task(port.follow(durable))
    await asyncio.sleep(LEASE_SECONDS / 10)
    assert not acknowledging.done()
    assert not following.done()
    heard.set()
    assert (await acknowledging).sequence == durable
    assert (await following).position == durable
    with pytest.raises(CursorInFuture):
        await port.follow(durable + 1)


async def test_an_owner_that_was_fenced_finds_out_when_it_is_asked_for_what_it_does_not_know(
    bench: ClusterBench,
) -> None:
    """E2: another owner appended it, so who asks is not refused, but sent on."""
    (owner,) = await bench.join("a")
    port = await owner.own(NAME)
    await port.create_subscription("s", 0, port.log_id, "r")
    await (await owner.store.open(NAME)).claim("somebody/else")
    with pytest.raises(Unavailable):
        await port.follow(port.last_sequence + 1)
    assert port.dropped


async def test_an_owner_that_was_fenced_does_not_say_where_a_cursor_is(bench: ClusterBench) -> None:
    """E5, D4: the new owner may have moved it."""
    (owner,) = await bench.join("a")
    port = await owner.own(NAME)
    await port.create_subscription("s", 0, port.log_id, "r")
    await (await owner.store.open(NAME)).claim("somebody/else")
    with pytest.raises(Unavailable):
        await port.named_subscription("s")
    assert port.dropped


@pytest.mark.parametrize("asked", ["keep_alive", "acknowledge", "create", "delete"])
async def test_an_owner_that_was_fenced_refuses_nothing_from_memory(bench: ClusterBench, asked: str) -> None:
    """E5, L7, D4: what it does not know the new owner may: nothing is gone, not found or taken by its word."""
    (owner,) = await bench.join("a")
    port = await owner.own(NAME)
    await port.create_subscription("s", 0, port.log_id, "r")
    await (await owner.store.open(NAME)).claim("somebody/else")
    asking: dict[str, Callable[[], Awaitable[object]]] = {
        "keep_alive": lambda: port.keep_alive((1,)),
        "acknowledge": lambda: port.acknowledge("other", port.log_id, 1, reset=False),
        "create": lambda: port.create_subscription("s", 0, port.log_id, "another"),
        "delete": lambda: port.delete_subscription("other"),
    }
    with pytest.raises(Unavailable):
        await asking[asked]()
    assert port.dropped
    with pytest.raises(Unavailable):
        await asking[asked]()


async def test_an_opening_that_fails_when_nobody_waits_any_more_is_nobodys_fault(
    bench: ClusterBench, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A call that was cancelled leaves no exception behind that asyncio complains of."""
    (owner,) = await bench.join("a")
    complaints: list[object] = []
    asyncio.get_running_loop().set_exception_handler(lambda _, context: complaints.append(context))

    async def fail(_self: MemoryStore, _namespace: str) -> MemoryLog:
        await asyncio.sleep(0.01)
        raise LogError("the store cannot be reached")

    monkeypatch.setattr(MemoryStore, "open", fail)
    calling = asyncio.create_task(owner.own(NAME))
    await asyncio.sleep(0.005)
    calling.cancel()
    await asyncio.sleep(0.1)
    del calling
    gc.collect()
    assert complaints == []


# Standing by.


async def test_the_next_in_rank_takes_over_without_folding_the_past(
    bench: ClusterBench, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Invariant 7: what it folded as the log grew is the state; nothing else is folded when the owner is gone."""
    await bench.join("a", "b", "c")
    await asyncio.sleep(LEASE_SECONDS)
    owner = await _owner_of(bench)
    port = await owner.own(NAME)
    for value in range(50):
        last = await revision(port, "k", value)
    successor = next(each for each in bench.replicas.values() if each.ownership.is_next(NAME))
    await _folded(successor, last)
    assert [each.standby.folded(NAME) > 0 for each in bench.replicas.values()].count(True) == 1

    async def never(_log: object) -> None:
        raise AssertionError("it was folded from the beginning")

    monkeypatch.setattr("coordinator_service.namespaces.recover", never)
    await owner.die()
    assert await bench.owned(NAME) is successor
    port = await successor.own(NAME)
    assert await read(port, "k") == 49
    assert await revision(port, "k", 50) > last
    assert not successor.standby.folded(NAME)


async def test_a_fold_of_another_past_is_not_taken(bench: ClusterBench, caplog: pytest.LogCaptureFixture) -> None:
    """D9: where the chain does not agree, the log is what counts."""
    await bench.join("a", "b")
    await asyncio.sleep(LEASE_SECONDS)
    owner = await _owner_of(bench)
    last = await revision(await owner.own(NAME), "k", 7)
    successor = next(each for each in bench.replicas.values() if each is not owner)
    await _folded(successor, last)
    fold = successor.standby._following[NAME].fold
    assert fold is not None
    fold.hash = b"?" * 32
    await owner.die()
    assert await read(await (await bench.owned(NAME)).own(NAME), "k") == 7
    assert "is folded anew" in caplog.text


async def test_who_is_no_longer_next_lets_the_fold_go(bench: ClusterBench) -> None:
    """Its memory is for what it may have to own."""
    (first,) = await bench.join("a")
    await asyncio.sleep(LEASE_SECONDS)
    names = [f"n{number}" for number in range(12)]
    ends = {name: await revision(await first.own(name), "k", 1) for name in names}
    await bench.join("b")
    for name in names:
        await bench.settled(name)
    await bench.join("c", "d")
    for name in names:
        await bench.settled(name)
    await asyncio.sleep(2 * LEASE_SECONDS)
    for each in bench.replicas.values():
        assert {name for name in names if each.ownership.is_next(name)} == set(each.standby._following)
        for name in each.standby._following:
            await _folded(each, ends[name], name)


async def _folded(successor: BenchReplica, sequence: int, name: str = NAME) -> None:
    while successor.standby.folded(name) < sequence:  # noqa: ASYNC110
        await asyncio.sleep(0.01)


async def _owner_of(bench: ClusterBench) -> BenchReplica:
    """The replica that is to own the namespace, and does."""
    owner = next(each for each in bench.replicas.values() if each.ownership.owner_of(NAME) is None)
    await owner.own(NAME)
    return owner


def _command(key: str, value: object) -> tuple[object, Caller]:
    return update_of(key, value), Caller()


async def test_a_lease_that_ran_out_is_noted_before_there_is_another(bench: ClusterBench) -> None:
    """Once, whether its timer or the next beat finds it so: who asked before may have been answered elsewhere since."""
    (replica,) = await bench.join("a")
    stood: list[bool] = []
    replica.ownership.on_lapse(lambda: stood.append(replica.ownership.stands()))
    await asyncio.sleep(LEASE_SECONDS)
    assert stood == []
    replica.clock.stall(2 * LEASE_SECONDS)  # a beat comes before the timer of the lease
    await asyncio.sleep(LEASE_SECONDS / 2)
    assert replica.ownership.stands()
    assert stood == [False]
    replica.members.cut_off = True
    await asyncio.sleep(2 * LEASE_SECONDS)
    assert stood == [False, False]
    replica.members.cut_off = False
    await asyncio.sleep(LEASE_SECONDS)
    assert replica.ownership.stands()
    assert stood == [False, False]
