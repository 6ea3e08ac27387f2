from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import aclosing
from datetime import UTC, datetime
from typing import Any

import concert
import pytest
from concert import _following
from concert import _methods as methods
from concert.v1 import error_pb2, event_pb2, event_service_pb2

from .scripted_coordinator import LOG_ID, Refused, ScriptedCoordinator, refusal

Script = Callable[[Any], AsyncIterator[Any]]


def response(*sequences: int, bookmark: int = 0) -> Any:
    events = [event_pb2.Event(log_id=LOG_ID, sequence=sequence) for sequence in sequences]
    made = event_service_pb2.SubscribeResponse(events=events)
    if bookmark:
        made.bookmark.CopyFrom(event_service_pb2.Bookmark(log_id=LOG_ID, last_sequence=bookmark, caught_up=True))
    return made


def in_turn(*scripts: list[Any]) -> Script:
    """One script for each stream; an exception in it is raised, `...` waits for ever."""
    left = list(scripts)

    async def answer(_request: Any) -> AsyncIterator[Any]:
        for step in left.pop(0):
            if step is ...:
                await asyncio.Event().wait()
            if isinstance(step, Exception):
                raise step
            yield step

    return answer


async def take(subscription: concert.Subscription, count: int) -> list[int]:
    sequences = []
    async with aclosing(aiter(subscription)) as events:
        async for event in events:
            sequences.append(event.sequence)
            if len(sequences) == count:
                break
    return sequences


GONE = Refused(refusal(14, "UNAVAILABLE", "going away"))


async def test_a_subscription_resumes_after_its_bookmark(
    coordinator: ScriptedCoordinator, client: concert.Client
) -> None:
    """E2: every event once, in order, over streams that break; quiet stretches are not read again."""
    coordinator.answer(
        methods.SUBSCRIBE,
        in_turn(
            [response(3, 5), response(bookmark=20), GONE], [response(21, 22), GONE], [response(23, bookmark=23), ...]
        ),
    )
    assert await take(client.subscribe(start="earliest"), 5) == [3, 5, 21, 22, 23]
    first, second, third = coordinator.requests["Subscribe"]
    assert first.position == event_service_pb2.START_POSITION_EARLIEST
    assert (second.after.sequence, second.after.log_id) == (20, LOG_ID)
    assert third.after.sequence == 22


async def test_a_stream_that_ends_well_is_resumed_too(coordinator: ScriptedCoordinator, client: concert.Client) -> None:
    """E2: a coordinator that drains ends its streams with OK; that is no end of the log."""
    coordinator.answer(methods.SUBSCRIBE, in_turn([response(1)], [response(2), ...]))
    assert await take(client.subscribe(after=0), 2) == [1, 2]


async def test_an_event_that_comes_twice_is_handed_out_once(
    coordinator: ScriptedCoordinator, client: concert.Client
) -> None:
    """E2: exactly once, even from a coordinator that starts a little early."""
    coordinator.answer(methods.SUBSCRIBE, in_turn([response(1, 2), GONE], [response(2, 3), ...]))
    assert await take(client.subscribe(after=0), 3) == [1, 2, 3]


async def test_the_cursor_is_behind_what_was_not_handed_out(
    coordinator: ScriptedCoordinator, client: concert.Client
) -> None:
    """The cursor names the last event handed out, not the last received: a crash between loses nothing."""
    coordinator.answer(methods.SUBSCRIBE, in_turn([response(1, 2, 3, bookmark=9), ...]))
    subscription = client.subscribe(after=0)
    assert await take(subscription, 2) == [1, 2]
    assert (subscription.cursor.sequence, subscription.cursor.log_id) == (2, LOG_ID)


async def test_entering_waits_until_the_subscription_stands(
    coordinator: ScriptedCoordinator, client: concert.Client
) -> None:
    """E2: after entering, nothing that is published can be missed, and the first response is not lost either."""
    coordinator.answer(methods.SUBSCRIBE, in_turn([response(7, bookmark=7), ...]))
    async with client.subscribe() as subscription:
        assert coordinator.requests["Subscribe"]
        assert await take(subscription, 1) == [7]


@pytest.mark.parametrize(
    ("status", "kind"),
    [
        (refusal(11, "CURSOR_COMPACTED", "gone", error_pb2.LogPosition(oldest_sequence=50)), concert.CursorCompacted),
        (refusal(15, "LOG_MISMATCH", "other log"), concert.LogMismatch),
        (refusal(3, "CURSOR_IN_FUTURE", "not yet"), concert.CursorInFuture),
    ],
)
async def test_a_gap_is_an_error(
    coordinator: ScriptedCoordinator, client: concert.Client, status: Any, kind: type[concert.ConcertError]
) -> None:
    """E4: what cannot be resumed without a gap is raised, after everything that could be had."""
    coordinator.answer(methods.SUBSCRIBE, in_turn([response(4), GONE], [Refused(status)]))
    events = aiter(client.subscribe(after=3))
    assert (await anext(events)).sequence == 4
    with pytest.raises(kind) as error:
        await anext(events)
    if isinstance(error.value, concert.CursorCompacted):
        assert error.value.oldest_sequence == 50


async def test_a_stream_without_bookmarks_is_given_up(
    coordinator: ScriptedCoordinator, client: concert.Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Bookmarks prove that a quiet stream lives; one that stays silent for longer is opened again."""
    monkeypatch.setattr(_following, "BOOKMARK_SILENCE_SECONDS_MAX", 0.1)
    coordinator.answer(methods.SUBSCRIBE, in_turn([response(1), ...], [response(2), ...]))
    assert await take(client.subscribe(after=0), 2) == [1, 2]


async def test_a_subscription_to_nobody_gives_up(coordinator: ScriptedCoordinator) -> None:
    """A wrong address is an error, not a subscription that waits for ever."""
    await coordinator.stop()
    async with concert.connect(coordinator.address, retry_seconds=0.1) as client:
        with pytest.raises(concert.Unavailable):
            await take(client.subscribe(), 1)


async def test_the_filter_and_the_start_are_sent(coordinator: ScriptedCoordinator, client: concert.Client) -> None:
    """Types go by number or name, with or without prefix; a time, a cursor, an end of the log say where to
    start.
    """
    when = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)
    coordinator.answer(methods.SUBSCRIBE, in_turn(*[[response(bookmark=1), ...]] * 3))
    starts: list[dict[str, Any]] = [{"since": when}, {"after": concert.Cursor(log_id="l", sequence=4)}, {}]
    for start in starts:
        async with client.subscribe(
            types=["agent_completed", "EVENT_TYPE_CUSTOM", 4], custom_names=["x"], run_ids=["r"], **start
        ):
            pass
    first, second, third = coordinator.requests["Subscribe"]
    assert list(first.filter.types) == [2, 100, 4]
    assert (list(first.filter.custom_names), list(first.filter.run_ids)) == (["x"], ["r"])
    assert first.since.ToDatetime(tzinfo=UTC) == when
    assert (second.after.log_id, second.after.sequence) == ("l", 4)
    assert third.position == event_service_pb2.START_POSITION_LATEST
    with pytest.raises(concert.InvalidArgument):
        client.subscribe(types=["agent_finished"])


async def test_batches_come_as_they_arrive(coordinator: ScriptedCoordinator, client: concert.Client) -> None:
    """Those in a hurry take several events at a time; the cursor covers a batch when the next is asked for."""
    coordinator.answer(methods.SUBSCRIBE, in_turn([response(1, 2), response(3), ...]))
    subscription = client.subscribe(after=0)
    async with aclosing(subscription.batches()) as batches:
        assert [event.sequence for event in await anext(batches)] == [1, 2]
        assert subscription.cursor.sequence == 0
        assert [event.sequence for event in await anext(batches)] == [3]
        assert subscription.cursor.sequence == 2
