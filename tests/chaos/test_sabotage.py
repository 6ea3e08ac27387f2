"""Chaos finds what it is there to find: faults put in on purpose, each provoked by what it takes and no more.

The load and the reckoning are those of every scenario; only what befalls the cluster is chosen, so that it is quick.
"""

from __future__ import annotations

import asyncio
import itertools
import re
from collections.abc import Callable
from typing import Any

import concert
import pytest
from concert import _connection, errors

from tests.chaos.__main__ import seeds
from tests.chaos.clients import KEYS, Publisher, crowd, is_unknown
from tests.chaos.cluster import Replica
from tests.chaos.reckoning import read_whole
from tests.chaos.sabotage import program
from tests.chaos.scenario import Failed, Scenario, play
from tests.chaos.told import Batch, now, unique
from tests.judging.models import Read, Write

pytestmark = [pytest.mark.timeout(600), pytest.mark.xdist_group("chaos")]
SECONDS_MAX = 60.0
SECONDS = 0.6
"""Of faults that do not wait for anything: some round trips."""
LOSSES = 5
SCENARIOS_MAX = 24


async def until(holds: Callable[[], bool]) -> None:
    """Waits until it does."""
    deadline = now() + SECONDS_MAX
    while not holds():
        assert now() < deadline, "it does not come to that"
        await asyncio.sleep(0.02)


async def owner_of(scenario: Scenario, besides: Replica | None = None) -> Replica:
    """Whoever owns the namespace, once that is somebody else."""
    deadline = now() + SECONDS_MAX
    while (found := await scenario.cluster.owner()) is None or found is besides:
        assert now() < deadline, "nobody else owns it"
        await asyncio.sleep(0.02)
    return found


async def work_goes_on(scenario: Scenario, batches: int = 5) -> None:
    """Until some more was published."""
    before = _acknowledged(scenario)
    await until(lambda: _acknowledged(scenario) >= before + batches)


def _acknowledged(scenario: Scenario) -> int:
    return sum(1 for batch in scenario.told.batches if batch.sequences)


def _others(scenario: Scenario, replica: Replica) -> list[str]:
    return [each.clients.address for each in scenario.cluster.replicas if each is not replica]


def nobody(*_: Any) -> list[Any]:
    """No load."""
    return []


def publishers(*given: Any) -> list[Any]:
    """Of the crowd those who publish in calls of their own."""
    return [each for each in crowd(*given) if type(each) is Publisher]


async def the_way_to_the_store_is_held(scenario: Scenario) -> None:
    """A batch is on its way while its owner is overtaken, and arrives then."""
    owner = await owner_of(scenario)
    assert owner.store_way is not None
    async with concert.connect(owner.clients.address, call_seconds=SECONDS_MAX, retry_seconds=0.0) as client:
        over = asyncio.Event()
        publishing = [asyncio.create_task(_publish_on(client, scenario, f"late-{number}", over)) for number in range(4)]
        await work_goes_on(scenario)
        owner.store_way.hold(answers=False)
        await owner_of(scenario, besides=owner)
        async with concert.connect(_others(scenario, owner), call_seconds=SECONDS_MAX) as other:
            await other.publish("after")
        over.set()
        owner.store_way.let_pass()
        await asyncio.gather(*publishing)
    await asyncio.sleep(SECONDS)
    await read_whole(scenario.cluster.store.url)


async def _publish_on(client: concert.Client, scenario: Scenario, by: str, over: asyncio.Event) -> None:
    """Batches long enough to outlast what another owner writes first, until there is no answer. Or until it is over:
    whose way is held may have handed the namespace on just before, and then every batch is answered."""
    for count in itertools.count():
        if over.is_set():
            return
        batch = Batch(tuple(unique(by, count, number) for number in range(50)))
        scenario.told.batches.append(batch)
        try:
            batch.sequences = tuple(await client.publish_many([concert.draft(name) for name in batch.names]))
        except errors.ConcertError as error:
            if not is_unknown(error):
                raise
            return


async def an_owner_stands_still(scenario: Scenario) -> None:
    """While it does others are written to, and only then it is asked: it hears that when it goes on."""
    owner = await owner_of(scenario)
    await _write_all(scenario, [owner.clients.address], "before")
    owner.pause()
    await owner_of(scenario, besides=owner)
    await _write_all(scenario, _others(scenario, owner), "meanwhile")
    async with concert.connect(owner.clients.address, call_seconds=SECONDS_MAX, retry_seconds=0.0) as client:

        async def read(key: str) -> None:
            begun = now()
            try:
                entry = await client.state.get(key)
            except errors.Unavailable:
                return
            read = Read(None if entry is None else entry.value)
            scenario.told.called(scenario.told.keys[key], read, begun, "reader")

        reading = [asyncio.create_task(read(key)) for key in KEYS * 5]
        await asyncio.sleep(SECONDS)
        owner.resume()
        await asyncio.gather(*reading)


async def _write_all(scenario: Scenario, addresses: list[str], by: str) -> None:
    async with concert.connect(addresses, writer="clients", call_seconds=SECONDS_MAX) as client:
        for key in KEYS:
            begun, value = now(), unique(by, 0, key)
            await client.state.update({key: value}, strategy="replace")
            scenario.told.called(scenario.told.keys[key], Write(value), begun, by)


async def an_owner_is_cut_off_and_dies(scenario: Scenario) -> None:
    """What it decided last did not get to the store."""
    owner = await owner_of(scenario)
    assert owner.store_way is not None
    await work_goes_on(scenario)
    owner.store_way.hold(answers=False)
    await asyncio.sleep(SECONDS)
    await owner.kill()
    owner.store_way.break_connections()
    owner.store_way.let_pass()
    await owner.start()


async def answers_are_lost(scenario: Scenario) -> None:
    """Again and again: what was asked took effect, and nobody was told."""
    for _ in range(LOSSES):
        await work_goes_on(scenario)
        for replica in scenario.cluster.replicas:
            replica.clients.hold(asks=False)
        await asyncio.sleep(SECONDS)
        for replica in scenario.cluster.replicas:
            replica.clients.break_connections()
            replica.clients.let_pass()


async def find_out(found: str, **options: Any) -> None:
    """Plays until a scenario does not hold, as `found` says: whether the fault comes into play is a matter of time, and
    of which of two that race is first (about every third scenario, where it is a pause); one that breaks other things
    too shows in more than one way."""
    said = []
    for seed in seeds(SCENARIOS_MAX):
        try:
            said.append(str(await play(seed, "single", **options)))
        except Failed as failed:
            if re.search(found, str(failed)):
                return
            said.append(str(failed))
    pytest.fail("\n\n".join(said))


@pytest.mark.parametrize(
    ("fault", "trouble", "load", "found"),
    [
        ("the_fence_is_left_out", the_way_to_the_store_is_held, nobody, "7: the log does not agree"),
        ("a_paused_owner_reads_without_looking", an_owner_stands_still, nobody, "is not linearizable"),
        (
            "answers_before_the_commit",
            an_owner_is_cut_off_and_dies,
            None,
            "6: |D3: |L8: |not linearizable|CURSOR_IN_FUTURE",
        ),
    ],
)
async def test_a_coordinator_with_a_fault_is_found_out(fault: str, trouble: Any, load: Any, found: str) -> None:
    """Each breaks what it is known to break."""
    options = {} if load is None else {"load": load}
    await find_out(found, trouble=trouble, program=program(fault), **options)


async def test_a_client_that_repeats_under_another_request_id_is_found_out(monkeypatch: pytest.MonkeyPatch) -> None:
    """D5: what it published is there twice."""
    original = _connection.Connection._callable

    def forgetful(self: Any, method: Any) -> Any:
        call = original(self, method)

        def anew(request: Any, **options: Any) -> Any:
            if method.names_request:
                request.request_id = self.request_ids.next()
            return call(request, **options)

        return anew if not method.streams else call

    monkeypatch.setattr(_connection.Connection, "_callable", forgetful)
    await find_out(r"6: .* is there", trouble=answers_are_lost, load=publishers)


async def test_what_finds_them_out_finds_nothing_where_there_is_nothing() -> None:
    """All of it, one after another, without a fault."""

    async def all_of_it(scenario: Scenario) -> None:
        for trouble in (answers_are_lost, an_owner_stands_still, an_owner_is_cut_off_and_dies):
            await trouble(scenario)
        await the_way_to_the_store_is_held(scenario)

    print(await play(next(seeds(1)), "single", trouble=all_of_it))
