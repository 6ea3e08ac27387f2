"""Real replicas over a real Redis, started, stopped, killed, paused: nothing acknowledged is lost, nothing is old."""

from __future__ import annotations

import asyncio
import os
import signal
import time
from collections.abc import Iterator

import concert
import pytest
from concert import errors

from tests.cluster.processes import SECONDS_MAX, Replicas, anywhere, replicas
from tests.redis_process import RedisProcess

pytestmark = [pytest.mark.timeout(600), pytest.mark.xdist_group("replicas")]
NAMES = ("a", "b", "c")
Cluster = tuple[Replicas, RedisProcess]


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    """Three replicas for all tests here: each leaves them as it found them."""
    with replicas(tmp_path_factory.mktemp("cluster"), NAMES) as running:
        yield running


async def put(running: Replicas, value: int) -> int:
    """Writes a key through whichever replica answers first; the revision."""
    return int((await anywhere(running.addresses, lambda client: client.state.update({"k": value})))[1])


async def get(running: Replicas) -> int:
    """Reads it likewise."""
    return int((await anywhere(running.addresses, lambda client: client.state.get("k")))[1].value)


async def owner_other_than(running: Replicas, name: str) -> str:
    """Who owns the namespace, once that is another."""
    deadline = time.monotonic() + SECONDS_MAX
    while (found := await running.owner()) in ("", name):
        assert time.monotonic() < deadline, f"{name} owns it still"
        await asyncio.sleep(0.05)
    return found


async def test_who_owns_is_killed_and_nothing_acknowledged_is_lost(cluster: Cluster) -> None:
    """Invariants 2 and 6: another goes on with all that was acknowledged, under higher revisions."""
    running, _ = cluster
    revision = await put(running, 41)
    owner = await running.owner()
    await asyncio.to_thread(running.processes[owner].kill)
    assert await get(running) == 41
    assert await owner_other_than(running, owner)
    assert await put(running, 42) > revision
    await asyncio.to_thread(running.start, owner)
    assert await get(running) == 42


async def test_who_owns_is_told_to_stop_and_hands_over(cluster: Cluster) -> None:
    """It ends with 0, the namespace goes on meanwhile, and comes back to where it was once that is started again."""
    running, _ = cluster
    await put(running, 51)
    owner = await running.owner()
    stopping = asyncio.create_task(asyncio.to_thread(running.processes[owner].terminate))
    assert await get(running) == 51
    assert await stopping == 0
    successor = await owner_other_than(running, owner)
    await put(running, 52)
    await asyncio.to_thread(running.start, owner)
    assert await owner_other_than(running, successor) == owner
    assert await get(running) == 52


async def test_an_update_goes_through_one_replica_after_another_under_load(cluster: Cluster) -> None:
    """Invariant 6, docs/operations.md, Upgrading: each is stopped, and started again; what was acknowledged is
    there, once, in its order, and nobody who asks has to know.
    """
    running, _ = cluster
    acknowledged: list[int] = []
    over = asyncio.Event()

    async def write(client: concert.Client) -> None:
        while not over.is_set():
            acknowledged.append(await client.publish("rolled", {"n": len(acknowledged)}))

    async with concert.connect(running.addresses, call_seconds=SECONDS_MAX, retry_seconds=SECONDS_MAX) as client:
        writing = asyncio.create_task(write(client))
        for name in NAMES:
            before = len(acknowledged)
            assert await asyncio.to_thread(running.processes[name].terminate) == 0
            await asyncio.to_thread(running.start, name)
            async with asyncio.timeout(SECONDS_MAX):
                while len(acknowledged) < before + 10 and not writing.done():  # noqa: ASYNC110
                    await asyncio.sleep(0.02)
        over.set()
        await writing
        found = await client.events.list(custom_names=["rolled"], limit=len(acknowledged) + 10)
    assert [each.sequence for each in found] == acknowledged
    assert [each.custom.data.json.struct_value["n"] for each in found] == list(range(len(acknowledged)))


async def test_a_paused_owner_that_wakes_serves_nothing_old(cluster: Cluster) -> None:
    """D4: while it slept another took over and was written to; what it answers then is that, or UNAVAILABLE."""
    running, _ = cluster
    await put(running, 1)
    owner = await running.owner()
    paused = running.processes[owner]
    others = [address for address in running.addresses if address != paused.address]
    async with concert.connect(paused.address, writer="tester", retry_seconds=0.0, call_seconds=SECONDS_MAX) as client:
        assert (await client.state.get("k")).value == 1
        os.kill(paused.pid, signal.SIGSTOP)
        try:
            asked = [asyncio.create_task(client.state.get("k")) for _ in range(5)]
            await anywhere(others, lambda other: other.state.update({"k": 2}))
        finally:
            os.kill(paused.pid, signal.SIGCONT)
        outcomes = await asyncio.gather(*asked, return_exceptions=True)
    for each in outcomes:
        if isinstance(each, errors.Unavailable):
            assert each.retry_after is not None
        else:
            assert not isinstance(each, BaseException), each
            assert each.value == 2
    assert await get(running) == 2


async def test_redis_dies_and_comes_back(cluster: Cluster) -> None:
    """Whoever asks meanwhile is told UNAVAILABLE; then everything is there again by itself."""
    running, redis = cluster
    await put(running, 1)
    await asyncio.to_thread(redis.stop)
    for address in running.addresses:
        async with concert.connect(address, writer="tester", retry_seconds=0.0, call_seconds=SECONDS_MAX) as client:
            with pytest.raises(errors.Unavailable):
                await client.state.update({"k": 2})
    await asyncio.to_thread(redis.start)
    assert await get(running) in (1, 2)
    await put(running, 3)
    assert await get(running) == 3
