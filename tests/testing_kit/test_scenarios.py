"""The four scenarios of the mission, as a user of the kit would write them."""

from __future__ import annotations

import pytest
from concert import retry
from concert.testing import Kit, fail, give, require, sleep, stage, task, write

ROLES = ("infrastructure", "content", "security")


async def test_three_agents_of_a_second_take_a_second(concert_kit: Kit) -> None:
    """R4: what depends on nothing runs at the same time."""
    for role in ROLES:
        await concert_kit.agent(role, sleep(1))
    run = await concert_kit.run(*(task(role) for role in ROLES))
    history = await concert_kit.finish(run)
    history.assert_status("SUCCEEDED")
    history.assert_overlap(*ROLES)
    history.assert_took(at_least=1.0, at_most=1.1)
    history.assert_at_most_once()


async def test_everything_runs_in_the_order_of_its_dependencies(concert_kit: Kit) -> None:
    """R3, R4: whatever order the tasks were given in, each begins when what it depends on is done, and no later."""
    for role, seconds in zip(ROLES, (3, 2, 1), strict=True):
        await concert_kit.agent(role, sleep(seconds), give({"by": role}))
    await concert_kit.agent("quality_assurance", sleep(1))
    run = await concert_kit.run(
        task("quality_assurance", depends_on=["content", "security"]),
        task("content", depends_on=["infrastructure"]),
        task("security", depends_on=["infrastructure"]),
        task("infrastructure"),
    )
    history = await concert_kit.finish(run)
    history.assert_succeeded()
    history.assert_order("infrastructure", "content", "quality_assurance")
    history.assert_order("infrastructure", "security", "quality_assurance")
    history.assert_overlap("content", "security")
    history.assert_took(at_least=6.0, at_most=6.1)


async def test_two_that_write_the_same_path_conflict_and_the_loser_tries_again(concert_kit: Kit) -> None:
    """S3, S4, S7: the first writer wins, the loser is told, and its next attempt goes through."""
    await concert_kit.agent("content", sleep(1), write("pages/index"))
    await concert_kit.agent("security", sleep(2), write("pages/index"))
    run = await concert_kit.run(task("content"), task("security"))
    history = await concert_kit.finish(run)
    conflict = history.assert_conflict(key="pages/index", winner="content", loser="security")
    assert conflict.at == pytest.approx(2.0, abs=0.01)
    history.assert_succeeded("content", attempts=1)
    history.assert_succeeded("security", attempts=2)
    entry = await concert_kit.client.state.get("pages/index")
    assert entry is not None
    assert entry.value == "security"


async def test_a_conflict_of_staged_changes_fails_the_attempt(concert_kit: Kit) -> None:
    """R9, S4: what is staged becomes true with the completion, or the attempt fails with STATE_CONFLICT."""
    await concert_kit.agent("content", sleep(1), stage("page"))
    await concert_kit.agent("security", sleep(2), stage("page"))
    run = await concert_kit.run(task("content"), task("security", retry=retry(attempts_max=1)))
    history = await concert_kit.finish(run)
    history.assert_conflict(key="page", winner="content", loser="security")
    history.assert_failed("security", error_type="STATE_CONFLICT", attempts=1)


async def test_a_failure_stops_what_depends_on_it_and_nothing_else(concert_kit: Kit) -> None:
    """R10, R13: what is downstream is skipped and names the cause; the rest goes on; clean-up always runs."""
    content = await concert_kit.agent("content", sleep(1), fail("no such bucket"))
    await concert_kit.agent("security", sleep(5))
    await concert_kit.agent("quality_assurance")
    run = await concert_kit.run(
        task("content", retry=retry(attempts_max=2)),
        task("security"),
        task("quality_assurance", depends_on=["content"]),
    )
    history = await concert_kit.finish(run)
    history.assert_status("PARTIAL_FAILURE")
    assert history.assert_failed("content", error_type="RuntimeError", attempts=2).error == "no such bucket"
    history.assert_skipped("quality_assurance", cause="content")
    history.assert_succeeded("security")
    assert content.cleaned_up == content.executed == [("content", 1), ("content", 2)]


async def test_a_failure_that_passes_is_tried_again(concert_kit: Kit) -> None:
    """R10: a task that fails twice succeeds at the third attempt, after back-offs that nobody waits for."""
    await concert_kit.agent("content", fail(times=2), give("at last"))
    again = retry(attempts_max=3, backoff_initial=60, backoff_multiplier=2, backoff_max=600)
    run = await concert_kit.run(task("content", retry=again))
    history = await concert_kit.finish(run)
    history.assert_succeeded("content", attempts=3)
    first, second = history.task("content").back_offs
    assert 45 <= first <= 60.1
    assert 90 <= second <= 120.1
    assert await run.result("content") == "at last"


@pytest.mark.parametrize("written", [False, True])
async def test_a_precondition_decides_whether_a_task_is_begun(concert_kit: Kit, written: bool) -> None:
    """R10: without what it needs a task fails for good with PRECONDITION_FAILED; with it, it runs."""
    content = await concert_kit.agent("content", require("bucket"))
    if written:
        await concert_kit.client.state.update({"bucket": "b-1"})
    history = await concert_kit.finish(await concert_kit.run(task("content")))
    if written:
        history.assert_succeeded("content", attempts=1)
    else:
        history.assert_failed("content", error_type="PRECONDITION_FAILED", attempts=1)
    assert content.executed == [("content", 1)] * written
