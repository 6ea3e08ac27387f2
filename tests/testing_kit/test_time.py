"""The test's time: whatever the coordinator waits for comes when the test says so."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from concert import LockLost, retry
from concert.agent import Agent, TaskContext
from concert.testing import Kit, NotSettled, VirtualTime, fail, hang, hold, sleep, task


async def test_time_stands_still_until_it_is_let_pass(concert_kit: Kit) -> None:
    """D2: namespace time is the test's, to the nanosecond."""
    first = await concert_kit.client.publish("noon")
    await concert_kit.advance(3600)
    second = await concert_kit.client.publish("one o'clock")
    before, after = [await concert_kit.client.events.get(each) for each in (first, second)]
    assert after.timestamp.ToNanoseconds() - before.timestamp.ToNanoseconds() == 3600 * 10**9


async def test_an_attempt_times_out_when_its_time_is_over(concert_kit: Kit) -> None:
    """R11: not before, and the agent is told and gives up."""
    agent = await concert_kit.agent("content", hang())
    run = await concert_kit.run(task("content", max_execution_time=120, retry=retry(attempts_max=1)))
    await concert_kit.advance(119)
    assert (await concert_kit.history(run)).task("content").outcome == "running"
    await concert_kit.advance(2)
    history = await concert_kit.history(run)
    history.assert_failed("content", error_type="TIMEOUT")
    assert history.task("content").over_at == pytest.approx(120, abs=0.1)
    assert agent.cleaned_up == [("content", 1)]


async def test_a_back_off_is_as_long_as_it_says_and_takes_no_time(concert_kit: Kit) -> None:
    """R10: ten minutes of back-off."""
    await concert_kit.agent("content", fail(times=1))
    run = await concert_kit.run(task("content", retry=retry(2, backoff_initial=600, backoff_max=600)), timeout=3600)
    await concert_kit.advance(440)
    assert (await concert_kit.history(run)).task("content").outcome == "backing off"
    await concert_kit.advance(161)
    (await concert_kit.history(run)).assert_succeeded("content", attempts=2)


async def test_a_lock_nobody_keeps_ends_with_its_lease(concert_kit: Kit) -> None:
    """L7: the next in line gets it."""
    client = concert_kit.client
    await concert_kit.agent("content", hold("database", wait=100))
    alone = client.lock("database", lease=60, holder="alone")
    await alone.__aenter__()  # and never kept alive: the client does that in real time
    run = await concert_kit.run(task("content"))
    await concert_kit.advance(20)
    (await concert_kit.history()).assert_locked("database", "alone")
    history = await concert_kit.finish(run)
    with pytest.raises(LockLost):
        await alone.__aexit__(None, None, None)
    first, second = history.assert_locked("database", "alone", "content")
    assert first.outcome == "lease expired"
    assert second.acquired_at == pytest.approx(60, abs=0.2)


async def test_the_tasks_of_an_agent_that_crashed_go_to_another(concert_kit: Kit) -> None:
    """A4: its session stands until its lease is over; then its tasks are run elsewhere, once."""
    first = await concert_kit.agent("content", sleep(10))
    run = await concert_kit.run(task("content"), timeout=3600)
    await concert_kit.advance(5)
    await concert_kit.crash(first)
    await concert_kit.agent("content", sleep(10))
    await concert_kit.advance(200)
    assert len((await concert_kit.history(run)).task("content").attempts) == 1
    history = await concert_kit.finish(run)
    history.assert_succeeded("content", attempts=2)
    history.assert_at_most_once()
    assert history.task("content").attempts[0].outcome == "lost"


async def test_agents_that_live_stay_however_much_time_passes(concert_kit: Kit) -> None:
    """A4: a lease is a matter of silence, not of time."""
    await concert_kit.agent("content", sleep(1000))
    run = await concert_kit.run(task("content", max_execution_time=2000), timeout=2000)
    history = await concert_kit.finish(run)
    history.assert_succeeded("content", attempts=1)


async def test_an_agent_of_ones_own_sleeps_by_the_time_it_is_given(concert_kit: Kit) -> None:
    """Any agent that waits by kit.time takes no real time."""

    class Slow(Agent):
        def __init__(self, time: VirtualTime) -> None:
            self.time = time

        async def execute(self, context: TaskContext) -> Any:
            await self.time.sleep(100)
            return context.task_id

    await concert_kit.host(Slow(concert_kit.time))
    run = await concert_kit.run(task("slow"))
    (await concert_kit.finish(run)).assert_took(at_least=100, at_most=100)


async def test_time_does_not_pass_while_an_agent_works(concert_kit: Kit) -> None:
    """Whoever is at work in real time for too long is named, with the timeline, rather than left behind."""

    class Stuck(Agent):
        async def execute(self, context: TaskContext) -> Any:
            await asyncio.Event().wait()

    concert_kit.patience_seconds = 0.2
    await concert_kit.host(Stuck())
    await concert_kit.run(task("stuck"))
    with pytest.raises(NotSettled, match=r"task stuck, attempt 1, by stuck-(.|\n)*= works"):
        await concert_kit.advance(1)
