"""Every assertion of a history passes where it is so and fails, with a timeline, where it is not."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

import pytest
from concert import retry
from concert.testing import History, HistoryError, Kit, fail, hold, read_history, sleep, task, write
from concert.v1 import event_pb2


async def eventful(kit: Kit) -> History:
    """Two writers and lock holders side by side, one failure, what it takes down, and one after all of that."""
    await kit.agent("content", sleep(1), write("page"), hold("database", 2))
    await kit.agent("security", sleep(2), write("page"), hold("database", 1))
    await kit.agent("broken", fail("told to"))
    await kit.agent("blocked")
    await kit.agent("report", sleep(1))
    run = await kit.run(
        task("content"),
        task("security"),
        task("broken", retry=retry(attempts_max=2)),
        task("blocked", depends_on=["broken"]),
        task("report", depends_on=["content", "security"]),
    )
    return await kit.finish(run)


ASSERTIONS: dict[str, tuple[Callable[[History], Any], Callable[[History], Any]]] = {
    "order": (
        lambda history: history.assert_order("content", "report"),
        lambda history: history.assert_order("content", "security"),
    ),
    "overlap": (
        lambda history: history.assert_overlap("content", "security"),
        lambda history: history.assert_overlap("content", "report"),
    ),
    "no overlap": (
        lambda history: history.assert_no_overlap("content", "report"),
        lambda history: history.assert_no_overlap("content", "security"),
    ),
    "running at most": (
        lambda history: history.assert_running_at_most(3),
        lambda history: history.assert_running_at_most(2),
    ),
    "took": (
        lambda history: history.assert_took(at_least=6, at_most=7),
        lambda history: history.assert_took(at_most=5),
    ),
    "status": (
        lambda history: history.assert_status("PARTIAL_FAILURE"),
        lambda history: history.assert_status("SUCCEEDED"),
    ),
    "succeeded": (
        lambda history: history.assert_succeeded("content", "report", attempts=1),
        lambda history: history.assert_succeeded(),
    ),
    "attempts": (
        lambda history: history.assert_succeeded("security", attempts=2),
        lambda history: history.assert_succeeded("security", attempts=1),
    ),
    "failed": (
        lambda history: history.assert_failed("broken", error_type="RuntimeError", attempts=2),
        lambda history: history.assert_failed("content"),
    ),
    "failed how": (
        lambda history: history.assert_failed("broken"),
        lambda history: history.assert_failed("broken", error_type="TIMEOUT"),
    ),
    "skipped": (
        lambda history: history.assert_skipped("blocked", cause="broken"),
        lambda history: history.assert_skipped("blocked", cause="content"),
    ),
    "conflict": (
        lambda history: history.assert_conflict(key="page", winner="content", loser="security"),
        lambda history: history.assert_conflict(key="page", winner="security", loser="content"),
    ),
    "conflict over a key": (
        lambda history: history.assert_conflict(),
        lambda history: history.assert_conflict(key="another"),
    ),
    "locked": (
        lambda history: history.assert_locked("database", "content", "security"),
        lambda history: history.assert_locked("database", "security", "content"),
    ),
    "task": (
        lambda history: history.task("content"),
        lambda history: history.task("nobody"),
    ),
}


@pytest.mark.parametrize("name", ASSERTIONS)
async def test_an_assertion_passes_or_fails_with_a_timeline(concert_kit: Kit, name: str) -> None:
    """What is so passes; what is not so fails, and shows every task and lock over time."""
    history = await eventful(concert_kit)
    holds, does_not = ASSERTIONS[name]
    holds(history)
    with pytest.raises(HistoryError, match=r"^expected that ") as failure:
        does_not(history)
    text = str(failure.value)
    for row in ("content ", "security ", "broken ", "blocked ", "report ", r"database \(content\) "):
        assert re.search(rf"^{row} *\|.{{60}}\| \w", text, re.MULTILINE), text
    assert "2 s: conflict (concurrent_modification): security wrote page, which content had written" in text
    assert "0 s: broken, attempt 1, failed: RuntimeError: told to" in text


async def test_what_is_cancelled_is_told_from_what_is_not(concert_kit: Kit) -> None:
    """R12: a run that is cancelled before its tasks began."""
    await concert_kit.agent("content", sleep(1))
    run = await concert_kit.run(task("content"), task("never", capability="none there"))
    await concert_kit.advance(2)
    await run.cancel()
    history = await concert_kit.finish(run)
    history.assert_cancelled("never")
    with pytest.raises(HistoryError, match="content cancelled; but it is succeeded"):
        history.assert_cancelled("content")


async def test_no_conflict_is_told_from_one(concert_kit: Kit) -> None:
    """S7: nobody met anybody, until somebody does."""
    await concert_kit.agent("content", write("page"))
    history = await concert_kit.finish(await concert_kit.run(task("content")))
    history.assert_no_conflict()
    with pytest.raises(HistoryError, match="no two writers met; but there are 1 conflicts"):
        (await eventful_again(concert_kit)).assert_no_conflict()


async def eventful_again(kit: Kit) -> History:
    await kit.agent("second", sleep(1), write("other"))
    await kit.agent("third", sleep(2), write("other"))
    return await kit.finish(await kit.run(task("second"), task("third")))


async def test_a_lock_held_by_two_is_found(concert_kit: Kit) -> None:
    """L1: no coordinator grants that, so the release between the two is taken out of the events."""
    history = await eventful(concert_kit)
    history.assert_exclusive()
    history.assert_exclusive("database")
    events = await concert_kit.client.events.list(limit=10_000)
    forged = History([event for event in events if event.WhichOneof("payload") != "resource_released"], history.run_id)
    with pytest.raises(HistoryError, match="database was never held by two at the same time; but content and security"):
        forged.assert_exclusive()


async def test_two_attempts_at_once_are_found(concert_kit: Kit) -> None:
    """R8: no coordinator allows that either, so the end of the first attempt is taken out."""
    history = await eventful(concert_kit)
    history.assert_at_most_once()
    events = await concert_kit.client.events.list(limit=10_000)
    forged = History([each for each in events if each.type != event_pb2.EVENT_TYPE_AGENT_FAILED], history.run_id)
    with pytest.raises(HistoryError, match="broken ran at most once at a time"):
        forged.assert_at_most_once("broken")


async def test_a_history_of_everything_names_its_runs(concert_kit: Kit) -> None:
    """Two runs with tasks of the same names are kept apart, and each has its own history."""
    await concert_kit.agent("content", sleep(1))
    first = await concert_kit.run(task("content"), run_id="first")
    second = await concert_kit.run(task("content"), run_id="second")
    await concert_kit.finish(first)
    await concert_kit.finish(second)
    both = await read_history(concert_kit.client)
    both.assert_order("first/content", "second/content")
    assert list((await read_history(concert_kit.client, second)).tasks) == ["content"]
