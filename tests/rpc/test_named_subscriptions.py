"""Named subscriptions on the wire (E5)."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import grpc
import pytest
from concert.v1 import event_service_pb2 as pb
from google.protobuf import timestamp_pb2

from coordinator_service.rpc.page_tokens import write_token

from .peer import Peer, refused
from .serving import serving
from .test_events import EARLIEST, bookmark, names, take

TOO_LONG = "x" * 129


def create(name: str = "s", **fields: Any) -> Any:
    return pb.CreateSubscriptionRequest(name=name, **fields)


def acknowledge(sequence: int, log_id: str, name: str = "s", **fields: Any) -> Any:
    return pb.AcknowledgeRequest(name=name, cursor=pb.Cursor(log_id=log_id, sequence=sequence), **fields)


async def test_a_consumer_goes_on_where_it_acknowledged(peer: Peer) -> None:
    """E5: a named subscription as the start of Subscribe: after what was acknowledged, whoever reads it."""
    await peer.publish("before")
    made = (await peer.events.CreateSubscription(create())).subscription
    assert (made.name, made.lag_events, made.HasField("acknowledged_at")) == ("s", 0, False)
    first, second, third = (await peer.publish("a", "b", "c")).sequences
    call = peer.events.Subscribe(pb.SubscribeRequest(subscription="s"))
    assert names(await take(call, 3)) == ["a", "b", "c"]
    call.cancel()
    moved = (await peer.events.Acknowledge(acknowledge(second, made.cursor.log_id))).subscription
    assert (moved.cursor.sequence, moved.lag_events, moved.HasField("acknowledged_at")) == (second, 1, True)
    for _ in range(2):
        call = peer.events.Subscribe(pb.SubscribeRequest(subscription="s"))
        assert [event.sequence for event in await take(call, 1)] == [third]
        call.cancel()
    assert first < second


async def test_where_a_subscription_starts(peer: Peer) -> None:
    """E5: at an end of the log, after a cursor, or at a time, as Subscribe does."""
    (sequence,) = (await peer.publish("a")).sequences
    event = (await peer.events.GetEvent(pb.GetEventRequest(sequence=sequence))).event
    starts: dict[str, dict[str, Any]] = {
        "earliest": {"position": EARLIEST},
        "after": {"after": pb.Cursor(log_id=event.log_id, sequence=sequence - 1)},
        "since": {"since": event.timestamp},
        "latest": {},
    }
    for name, start in starts.items():
        await peer.events.CreateSubscription(create(name, **start))
    listed = await peer.events.ListSubscriptions(pb.ListSubscriptionsRequest())
    assert [each.name for each in listed.subscriptions] == sorted(starts)
    found = {each.name: each.cursor.sequence for each in listed.subscriptions}
    assert found == {"earliest": 0, "after": sequence - 1, "since": found["since"], "latest": sequence}
    assert found["since"] < sequence
    assert (listed.sequence, listed.log_id, listed.oldest_sequence) == (sequence, event.log_id, 1)


async def test_subscriptions_are_listed_by_pages(peer: Peer) -> None:
    """E5: in the order of their names, each once."""
    for name in ("ü", "b", "a:1", "c"):
        await peer.events.CreateSubscription(create(name))
    found: list[str] = []
    request = pb.ListSubscriptionsRequest(page_size=1)
    while True:
        page = await peer.events.ListSubscriptions(request)
        found += [each.name for each in page.subscriptions]
        request.page_token = page.next_page_token
        if not page.next_page_token:
            break
    assert found == ["a:1", "b", "c", "ü"]


async def test_the_same_request_again(peer: Peer) -> None:
    """D5: made again under its request_id it is answered as at first; deleting again says that nothing was there."""
    first = await peer.events.CreateSubscription(create(request_id="r"))
    await peer.publish("a")
    again = await peer.events.CreateSubscription(create(request_id="r"))
    assert (again.replayed, again.subscription.cursor) == (True, first.subscription.cursor)
    refusal = await refused(peer.events.CreateSubscription(create(request_id="other")))
    assert (refusal.code, refusal.reason) == ("ALREADY_EXISTS", "ALREADY_EXISTS")
    assert refusal.details["ResourceInfo"].resource_type == "subscription"
    deleted = [(await peer.events.DeleteSubscription(pb.DeleteSubscriptionRequest(name="s"))).deleted for _ in range(2)]
    assert deleted == [True, False]


async def test_bad_input_is_named_and_stores_nothing(peer: Peer) -> None:
    """E5, E4: bad input: names, cursors, tokens: each the named error with the path of its field; nothing is kept."""
    await peer.publish("a", "b")
    made = (await peer.events.CreateSubscription(create(position=EARLIEST))).subscription
    log_id = made.cursor.log_id
    last = await peer.last_sequence()
    await peer.events.Acknowledge(acknowledge(last, log_id))
    far = timestamp_pb2.Timestamp(seconds=10**15)
    cases: list[tuple[Any, str, str]] = [
        (peer.events.CreateSubscription(create("")), "INVALID_FIELD", "name"),
        (peer.events.CreateSubscription(create(TOO_LONG)), "INVALID_FIELD", "name"),
        (peer.events.CreateSubscription(create("a\nb")), "INVALID_FIELD", "name"),
        (peer.events.CreateSubscription(create("n", request_id=TOO_LONG)), "INVALID_FIELD", "request_id"),
        (peer.events.CreateSubscription(create("n", since=far)), "INVALID_FIELD", "since"),
        (peer.events.CreateSubscription(create("n", position=9)), "INVALID_FIELD", "position"),
        (
            peer.events.CreateSubscription(create("n", after=pb.Cursor(sequence=last + 1))),
            "CURSOR_IN_FUTURE",
            "after.sequence",
        ),
        (peer.events.Acknowledge(acknowledge(1, log_id, name="")), "INVALID_FIELD", "name"),
        (peer.events.Acknowledge(acknowledge(1, "")), "INVALID_FIELD", "cursor.log_id"),
        (peer.events.Acknowledge(acknowledge(last + 1, log_id)), "CURSOR_IN_FUTURE", "cursor.sequence"),
        (peer.events.Acknowledge(acknowledge(last + 1, log_id, reset=True)), "CURSOR_IN_FUTURE", "cursor.sequence"),
        (peer.events.Acknowledge(acknowledge(last - 1, log_id)), "CURSOR_BEHIND", "cursor.sequence"),
        (peer.events.DeleteSubscription(pb.DeleteSubscriptionRequest()), "INVALID_FIELD", "name"),
        (peer.events.ListSubscriptions(pb.ListSubscriptionsRequest(page_size=1001)), "INVALID_FIELD", "page_size"),
        (
            peer.events.ListSubscriptions(pb.ListSubscriptionsRequest(page_token=write_token("runs", 1))),
            "INVALID_FIELD",
            "page_token",
        ),
        (take(peer.events.Subscribe(pb.SubscribeRequest(subscription="")), 1), "INVALID_FIELD", "subscription"),
    ]
    for call, reason, field in cases:
        refusal = await refused(call)
        assert (refusal.code, refusal.reason, list(refusal.fields)) == ("INVALID_ARGUMENT", reason, [field])
    for call in (
        peer.events.Acknowledge(acknowledge(1, log_id, name="nobody")),
        peer.events.Acknowledge(acknowledge(1, log_id, namespace="nowhere")),
        take(peer.events.Subscribe(pb.SubscribeRequest(subscription="nobody")), 1),
    ):
        refusal = await refused(call)
        assert (refusal.code, refusal.details["ResourceInfo"].resource_type) == ("NOT_FOUND", "subscription")
    refusal = await refused(peer.events.Acknowledge(acknowledge(1, "another")))
    assert (refusal.code, refusal.reason) == ("DATA_LOSS", "LOG_MISMATCH")
    assert refusal.details["LogPosition"].requested_log_id == "another"
    (kept,) = (await peer.events.ListSubscriptions(pb.ListSubscriptionsRequest())).subscriptions
    assert kept.cursor.sequence == last == await peer.last_sequence()


async def test_asking_makes_no_namespace(peer: Peer) -> None:
    """Listing, acknowledging and deleting where there is nothing leave nothing behind; creating makes the namespace."""
    assert not (await peer.events.ListSubscriptions(pb.ListSubscriptionsRequest(namespace="new"))).log_id
    request = pb.DeleteSubscriptionRequest(namespace="new", name="s")
    assert not (await peer.events.DeleteSubscription(request)).deleted
    await refused(peer.events.Acknowledge(acknowledge(0, "l", namespace="new")))
    await refused(take(peer.events.Subscribe(pb.SubscribeRequest(namespace="new", subscription="s")), 1))
    assert not (await peer.events.ListSubscriptions(pb.ListSubscriptionsRequest(namespace="new"))).log_id
    await peer.events.CreateSubscription(create(namespace="new"))
    assert (await peer.events.ListSubscriptions(pb.ListSubscriptionsRequest(namespace="new"))).log_id


@pytest.mark.parametrize("event_store", ["sqlite"])
async def test_cursors_survive_a_restart(tmp_path: Path, event_store: str) -> None:
    """E5: what was acknowledged is durable; the subscription goes on there after a restart of the coordinator."""
    async with (
        serving(tmp_path, event_store=event_store) as server,
        grpc.aio.insecure_channel(server.address) as channel,
    ):
        peer = Peer(channel)
        made = (await peer.events.CreateSubscription(create(position=EARLIEST))).subscription
        sequences = (await peer.publish("a", "b", "c")).sequences
        await peer.events.Acknowledge(acknowledge(sequences[1], made.cursor.log_id))
    async with (
        serving(tmp_path, event_store=event_store, subscriptions_max=1, bookmark_seconds_max=0.2) as server,
        grpc.aio.insecure_channel(server.address) as channel,
    ):
        peer = Peer(channel)
        call = peer.events.Subscribe(pb.SubscribeRequest(subscription="s", filter={"custom_names": ["a", "b", "c"]}))
        assert names(await take(call, 1)) == ["c"]
        assert (await bookmark(call)).last_sequence > sequences[2]
        call.cancel()
        refusal = await refused(peer.events.CreateSubscription(create("more")))
        assert (refusal.code, refusal.reason) == ("RESOURCE_EXHAUSTED", "LIMIT_REACHED")
        assert refusal.details["QuotaFailure"].violations[0].subject == "subscriptions_max"


async def test_many_acknowledge_at_once(peer: Peer) -> None:
    """E5: the furthest counts; whoever comes later with less is told."""
    made = (await peer.events.CreateSubscription(create(position=EARLIEST))).subscription
    sequences = (await peer.publish(*["a"] * 20)).sequences
    calls = [peer.events.Acknowledge(acknowledge(each, made.cursor.log_id)) for each in sequences]
    outcomes = await asyncio.gather(*calls, return_exceptions=True)
    assert any(not isinstance(outcome, BaseException) for outcome in outcomes)
    (kept,) = (await peer.events.ListSubscriptions(pb.ListSubscriptionsRequest())).subscriptions
    assert kept.cursor.sequence == sequences[-1]
