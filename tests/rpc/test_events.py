"""EventService on the wire: subscriptions, history, single events."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import grpc
import pytest
from concert.v1 import event_pb2, event_service_pb2, state_service_pb2

from coordinator_service.log.memory import MemoryStore
from coordinator_service.rpc.page_tokens import write_token
from coordinator_service.server import CoordinatorServer

from .peer import Peer, publish, refused
from .serving import serving

Subscribe = event_service_pb2.SubscribeRequest
ListEvents = event_service_pb2.ListEventsRequest
ListStateHistory = state_service_pb2.ListStateHistoryRequest
EARLIEST = event_service_pb2.START_POSITION_EARLIEST
CUSTOM = event_pb2.EVENT_TYPE_CUSTOM


async def follow(call: Any) -> AsyncIterator[Any]:
    """The events of a subscription, one by one."""
    async for response in call:
        for event in response.events:
            yield event


async def take(call: Any, count: int) -> list[Any]:
    """The next events of a subscription."""
    found: list[Any] = []
    async with asyncio.timeout(20):
        async for event in follow(call):
            found.append(event)
            if len(found) == count:
                break
    return found


async def bookmark(call: Any) -> Any:
    """The next bookmark that says that the subscription has caught up."""
    async with asyncio.timeout(20):
        async for response in call:
            if response.bookmark.caught_up:
                return response.bookmark
    raise AssertionError("the subscription ended")


def names(events: list[Any]) -> list[str]:
    return [event.custom.name for event in events]


async def pages(peer: Peer, request: Any) -> list[Any]:
    """Every page of a list, with the request that asks for it."""
    found = [await peer.events.ListEvents(request)]
    while found[-1].next_page_token:
        request.page_token = found[-1].next_page_token
        found.append(await peer.events.ListEvents(request))
    return found


async def test_a_subscriber_gets_every_matching_event_once_in_order(peer: Peer) -> None:
    """E2: history first, then what is published, filtered, without a gap or a repetition."""
    await peer.publish("a", "b", "a")
    call = peer.events.Subscribe(Subscribe(position=EARLIEST, filter={"custom_names": ["a"]}))
    assert len(await take(call, 2)) == 2
    published = [(await peer.publish("a", "b")).sequences[0] for _ in range(5)]
    events = await take(call, 5)
    assert [event.sequence for event in events] == published
    assert set(names(events)) == {"a"}
    call.cancel()


async def test_a_subscription_resumes_after_its_bookmark(peer: Peer) -> None:
    """E2: resuming after last_sequence neither repeats nor leaves out anything, even where nothing matched."""
    call = peer.events.Subscribe(Subscribe(position=EARLIEST, filter={"custom_names": ["never"]}))
    await peer.publish("a")
    seen = await bookmark(call)
    while seen.last_sequence < await peer.last_sequence():
        seen = await bookmark(call)
    call.cancel()
    await peer.publish("b", "c")
    cursor = event_service_pb2.Cursor(log_id=seen.log_id, sequence=seen.last_sequence)
    resumed = peer.events.Subscribe(Subscribe(after=cursor))
    assert names(await take(resumed, 2)) == ["b", "c"]
    resumed.cancel()


async def test_a_subscriber_may_come_before_the_first_publisher(peer: Peer) -> None:
    """E2: a namespace that does not exist yet can be followed."""
    call = peer.events.Subscribe(Subscribe(namespace="blog", filter={"types": [CUSTOM]}))
    await bookmark(call)
    await peer.publish("first", namespace="blog")
    assert names(await take(call, 1)) == ["first"]
    call.cancel()


async def test_a_subscription_may_start_at_a_time(peer: Peer) -> None:
    """The first event at or after a time, and everything from there on."""
    sequences = [(await peer.publish(name)).sequences[0] for name in ("a", "b", "c")]
    second = (await peer.events.GetEvent(event_service_pb2.GetEventRequest(sequence=sequences[1]))).event
    call = peer.events.Subscribe(Subscribe(since=second.timestamp))
    assert names(await take(call, 2)) == ["b", "c"]
    call.cancel()


async def test_cursors_that_point_nowhere_are_refused(peer: Peer) -> None:
    """E4: another log is DATA_LOSS with both ids, the future is INVALID_ARGUMENT. Never a silent gap."""
    log_id = (await peer.publish("a")).log_id
    other = await refused(peer.events.Subscribe(Subscribe(after={"log_id": "other", "sequence": 1})).read())
    assert (other.code, other.reason) == ("DATA_LOSS", "LOG_MISMATCH")
    position = other.details["LogPosition"]
    assert (position.log_id, position.requested_log_id) == (log_id, "other")
    future = await refused(peer.events.Subscribe(Subscribe(after={"sequence": 10**6})).read())
    assert (future.code, future.reason) == ("INVALID_ARGUMENT", "CURSOR_IN_FUTURE")


async def test_what_was_compacted_away_is_out_of_range(tmp_path: Path) -> None:
    """E4: OUT_OF_RANGE with the oldest sequence kept, for a cursor, a page and an event; EARLIEST is what is kept."""
    store = MemoryStore()
    async with (
        serving(tmp_path, store=store, snapshot_events=10, tail_bytes_max=1) as server,
        grpc.aio.insecure_channel(server.address) as channel,
    ):
        peer = Peer(channel)
        oldest = await _compact(peer, store)
        for call in (
            peer.events.Subscribe(Subscribe(after={"sequence": 1})).read(),
            peer.events.ListEvents(ListEvents(after_sequence=1)),
            peer.events.GetEvent(event_service_pb2.GetEventRequest(sequence=1)),
        ):
            refusal = await refused(call)
            assert (refusal.code, refusal.reason) == ("OUT_OF_RANGE", "CURSOR_COMPACTED")
            assert refusal.details["LogPosition"].oldest_sequence == oldest
        assert (await peer.events.ListEvents(ListEvents())).events[0].sequence == oldest
        call = peer.events.Subscribe(Subscribe(position=EARLIEST))
        assert (await take(call, 1))[0].sequence == oldest
        call.cancel()


async def _compact(peer: Peer, store: MemoryStore) -> int:
    """Publishes until two snapshots are kept, and trims what lies below the older one."""
    log = await store.open("default")
    async with asyncio.timeout(20):
        while len(await log.snapshots()) < 2:
            await peer.publish("a")
    last = (await log.ends()).last_sequence
    oldest = await log.trim(last, epoch=1)
    assert oldest > 2
    return oldest


@pytest.mark.parametrize("method", ["ListEvents", "ListStateHistory"])
async def test_a_page_token_that_no_list_gave_out_is_not_waited_for(peer: Peer, method: str) -> None:
    """E4: bad input: one that ends beyond the log is refused at once, whatever its numbers and direction."""
    await peer.publish("a")
    log_id = (await peer.events.ListEvents(ListEvents())).log_id
    last = await peer.last_sequence()
    for after, until, sequence in ((0, last + 1, 0), (0, 2**63, last), (last + 9, last + 9, 0), (0, 1, 2**64 - 1)):
        for descending in (False, True):
            token = write_token("events", f"{after},{until},{sequence},{log_id}")
            if method == "ListEvents":
                call = peer.events.ListEvents(ListEvents(page_token=token, descending=descending), timeout=60)
            else:
                history = ListStateHistory(page_token=token, descending=descending)
                call = peer.state.ListStateHistory(history, timeout=60)
            refusal = await refused(call)
            assert (refusal.code, refusal.reason) == ("INVALID_ARGUMENT", "CURSOR_IN_FUTURE")


@pytest.mark.parametrize("descending", [False, True])
async def test_pages_of_history_are_the_filtered_log(peer: Peer, descending: bool) -> None:
    """Every matching event once, in either direction, whatever is published between two pages."""
    sequences = list((await peer.publish(*["a", "b"] * 10)).sequences)
    request = ListEvents(filter={"custom_names": ["b"]}, page_size=3, descending=descending)
    first = await peer.events.ListEvents(request)
    await peer.publish("b")
    request.page_token = first.next_page_token
    found = [first, *await pages(peer, request)]
    listed = [event.sequence for page in found for event in page.events]
    assert listed == sorted(sequences[1::2], reverse=descending)
    assert all(len(page.events) <= 3 for page in found)
    assert {page.sequence for page in found} == {sequences[-1]}
    assert {page.log_id for page in found} == {first.log_id}


async def test_a_page_looks_at_a_bounded_number_of_events(tmp_path: Path) -> None:
    """A filter that matches little gives empty pages with a next token, in either direction, and all in the end."""
    async with (
        serving(tmp_path, list_scan_events_max=7) as server,
        grpc.aio.insecure_channel(server.address) as channel,
    ):
        peer = Peer(channel)
        await peer.publish("needle", *["hay"] * 50)
        for descending in (False, True):
            found = await pages(peer, ListEvents(filter={"custom_names": ["needle"]}, descending=descending))
            assert len(found) == 8
            assert [name for page in found for name in names(page.events)] == ["needle"]


async def test_history_by_time_and_by_sequence(peer: Peer) -> None:
    """since and until, after_sequence and until_sequence: half-open intervals of time, exact sequences."""
    events = []
    for name in ("a", "b", "c", "d"):
        (sequence,) = (await peer.publish(name)).sequences
        events.append((await peer.events.GetEvent(event_service_pb2.GetEventRequest(sequence=sequence))).event)
    b, d = events[1], events[3]
    for request in (
        ListEvents(since=b.timestamp, until=d.timestamp),
        ListEvents(after_sequence=b.sequence - 1, until_sequence=d.sequence - 1),
        ListEvents(since=b.timestamp, until_sequence=d.sequence - 1),
    ):
        for descending in (False, True):
            request.descending = descending
            (page,) = await pages(peer, request)
            assert names(page.events) == (["c", "b"] if descending else ["b", "c"])
    assert names((await peer.events.ListEvents(ListEvents(since=d.timestamp))).events) == ["d"]
    later = event_pb2.Event(timestamp=d.timestamp).timestamp
    later.seconds += 3600
    assert not (await peer.events.ListEvents(ListEvents(since=later))).events
    assert names((await pages(peer, ListEvents(until=later, filter={"types": [CUSTOM]})))[-1].events)[-1] == "d"


async def test_a_page_travels_within_a_message(peer: Peer) -> None:
    """Many large events are several pages: none is larger than what gRPC takes."""
    for _ in range(5):
        request = publish("large")
        request.events[0].custom.data.data = bytes(900_000)
        await peer.events.Publish(request)
    found = await pages(peer, ListEvents(filter={"custom_names": ["large"]}))
    assert [len(page.events) for page in found] == [2, 2, 1]


async def test_a_read_does_not_make_a_namespace(coordinator: CoordinatorServer, peer: Peer) -> None:
    """Looking at a namespace that is not there says that nothing is there, and leaves it so."""
    page = await peer.events.ListEvents(ListEvents(namespace="blog"))
    assert (list(page.events), page.sequence, page.log_id) == ([], 0, "")
    refusal = await refused(peer.events.GetEvent(event_service_pb2.GetEventRequest(namespace="blog", sequence=1)))
    assert refusal.code == "NOT_FOUND"
    assert not await coordinator._namespaces.exists("blog")  # the only way to look without touching
    await peer.publish("a", namespace="blog")
    assert (await peer.events.ListEvents(ListEvents(namespace="blog"))).events


async def test_a_call_is_traced_by_its_metadata(peer: Peer) -> None:
    """T2: the traceparent of a call is that of its events, a draft's own comes first, a malformed one is ignored."""
    call_trace = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
    draft_trace = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"
    request = publish("a", "b")
    request.events[1].traceparent = draft_trace
    await peer.events.Publish(request, metadata=(("traceparent", call_trace),))
    await peer.events.Publish(publish("c"), metadata=(("traceparent", "nonsense"),))
    events = (await peer.events.ListEvents(ListEvents(filter={"types": [CUSTOM]}))).events
    assert [event.traceparent for event in events] == [call_trace, draft_trace, ""]
