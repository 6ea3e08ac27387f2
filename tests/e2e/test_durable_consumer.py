"""Named subscriptions through the client: at least once, across SIGKILL of the consumer and of the coordinator."""

from __future__ import annotations

import asyncio
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import concert
import pytest

from tests.coordinator_process import CoordinatorProcess, coordinator_process
from tests.e2e import durable_consumer

EVENTS = 800
KILLS = 4


@pytest.fixture
def coordinator(tmp_path: Path) -> Iterator[CoordinatorProcess]:
    with coordinator_process(tmp_path) as process:
        yield process


def processed(path: Path) -> list[int]:
    """What consumers wrote down, in order."""
    return [int(line) for line in path.read_text().splitlines()] if path.exists() else []


async def acknowledged(client: concert.Client, sequence: int) -> None:
    """Waits until the only subscription has acknowledged a sequence."""
    async with asyncio.timeout(20):
        while (await client.subscriptions.list())[0].cursor.sequence < sequence:  # noqa: ASYNC110 (there is nobody to tell us)
            await asyncio.sleep(0.02)


@pytest.mark.parametrize("victim", ["consumer", "coordinator", "both"])
async def test_every_event_is_processed_at_least_once(
    coordinator: CoordinatorProcess, tmp_path: Path, victim: str
) -> None:
    """E5: whoever is killed, and whenever, no event is passed over; what comes again is what was not acknowledged yet,
    and the cursor only ever moves forward."""
    written = tmp_path / "processed"
    async with concert.connect(coordinator.address) as client:
        for first in range(0, EVENTS, 100):
            await client.publish_many([concert.draft("numbered", {"n": n}) for n in range(first, first + 100)])
        command = [sys.executable, durable_consumer.__file__, coordinator.address, str(written), str(EVENTS - 1)]
        consumer = subprocess.Popen(command)
        cursors = []
        for kill in range(KILLS):
            goal = (kill + 1) * EVENTS // (KILLS + 2)
            async with asyncio.timeout(60):
                while len(processed(written)) < goal and consumer.poll() is None:  # noqa: ASYNC110 (there is nobody to tell us)
                    await asyncio.sleep(0.01)
            if victim in ("coordinator", "both"):
                await asyncio.to_thread(coordinator.restart)
            if victim in ("consumer", "both"):
                consumer.kill()
                consumer.wait()
                consumer = subprocess.Popen(command)
            cursors.append((await client.subscriptions.list())[0].cursor.sequence)
        assert await asyncio.to_thread(consumer.wait, 60) == 0
        (kept,) = await client.subscriptions.list()
    seen = processed(written)
    assert sorted(set(seen)) == list(range(EVENTS))
    assert cursors == sorted(cursors)
    assert kept.lag_events == 0 or victim != "consumer"
    firsts = [number for position, number in enumerate(seen) if position == 0 or number > max(seen[:position])]
    assert firsts == list(range(EVENTS)), "an event was handed out before one that comes before it"


async def test_what_is_processed_is_acknowledged_by_itself(coordinator: CoordinatorProcess) -> None:
    """E5: asking for the next event says that the one before is processed; one in the middle of its processing is not,
    and comes again to the next consumer; leaving acknowledges the rest."""
    async with concert.connect(coordinator.address) as client:
        async with client.named_subscription("s", custom_names=["a"]) as events:
            first, second, third = await client.publish_many([concert.draft("a") for _ in range(3)])
            seen = []
            async for event in events:
                seen.append(event.sequence)
                if len(seen) == 2:
                    break
            assert seen == [first, second]
        assert (await client.subscriptions.list())[0].cursor.sequence == first
        async with client.named_subscription("s", custom_names=["a"]) as events:
            seen = []
            async for event in events:
                seen.append(event.sequence)
                if event.sequence == third:
                    await events.ack(event)
                    break
        assert seen == [second, third]
        assert (await client.subscriptions.list())[0].cursor.sequence == third


async def test_what_no_filter_lets_through_is_acknowledged_too(coordinator: CoordinatorProcess) -> None:
    """E5: a subscription that matches little does not stay behind, nor hold the log up."""
    async with (
        concert.connect(coordinator.address) as client,
        client.named_subscription("s", custom_names=["needle"]) as events,
    ):
        needle = await client.publish("needle")

        async def consume() -> None:
            async for event in events:
                assert event.sequence == needle

        consuming = asyncio.create_task(consume())
        hay = await client.publish_many([concert.draft("hay") for _ in range(50)])
        await acknowledged(client, hay[-1])
        consuming.cancel()
        await asyncio.gather(consuming, return_exceptions=True)


async def test_by_hand_only_what_is_acknowledged_counts(coordinator: CoordinatorProcess) -> None:
    """E5: with acknowledge=False nothing is acknowledged but by ack, which is durable when it returns."""
    async with concert.connect(coordinator.address) as client:
        sequences = await client.publish_many([concert.draft("a") for _ in range(4)])
        manual = client.named_subscription("s", custom_names=["a"], start="earliest", acknowledge=False)
        async with manual as events:
            async for event in events:
                if event.sequence == sequences[1]:
                    await events.ack(event)
                if event.sequence == sequences[3]:
                    break
        await asyncio.to_thread(coordinator.restart)
        assert (await client.subscriptions.list())[0].cursor.sequence == sequences[1]
        cursor = concert.Cursor(log_id=(await client.events.get(1)).log_id, sequence=sequences[0])
        with pytest.raises(concert.CursorBehind):
            await client.subscriptions.acknowledge("s", cursor)
        await client.subscriptions.acknowledge("s", cursor, reset=True)
        assert (await client.subscriptions.list())[0].cursor.sequence == sequences[0]
        assert await client.subscriptions.delete("s")
        assert not await client.subscriptions.delete("s")


async def test_a_subscription_that_is_gone_is_told(coordinator: CoordinatorProcess) -> None:
    """E5: a consumer whose subscription was deleted hears of it instead of consuming for nobody."""

    async def consume(events: concert.NamedSubscription) -> None:
        async with events, asyncio.timeout(20):
            await client.subscriptions.delete("s")
            await client.publish_many([concert.draft("a") for _ in range(2)])
            async for _ in events:
                pass

    async with concert.connect(coordinator.address) as client:
        with pytest.raises(concert.NotFound):
            await consume(client.named_subscription("s", custom_names=["a"], start="earliest"))


async def test_two_consumers_of_a_name_both_see_everything(coordinator: CoordinatorProcess) -> None:
    """E5: a name is a cursor, not a queue: each consumer is told everything, and the furthest counts."""
    async with concert.connect(coordinator.address) as client, client.session(agent_id="in-a-session") as session:
        await client.subscriptions.create("s")
        sequences = await client.publish_many([concert.draft("a") for _ in range(3)])
        for surface in (client, session):
            async with surface.named_subscription("s", custom_names=["a"], acknowledge=False) as events:
                seen = []
                async for event in events:
                    seen.append(event.sequence)
                    if len(seen) == 3:
                        break
                assert seen == sequences
        with pytest.raises(concert.InvalidArgument):
            client.named_subscription("s", start="yesterday")  # type: ignore[arg-type]
        with pytest.raises(RuntimeError):
            await anext(aiter(client.named_subscription("s")))
