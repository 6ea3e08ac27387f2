"""D5: the same request again gets the first answer; another one under its id is refused."""

from __future__ import annotations

from typing import Any

from .peer import Peer, acquire, publish, refused, submit, update


async def test_a_repeated_request_is_answered_again_and_done_once(peer: Peer) -> None:
    """D5: replayed = true, the same answer, nothing more in the log."""
    for call, request, answer in [
        (peer.events.Publish, publish("a", "b", request_id="r-1"), lambda response: list(response.sequences)),
        (peer.state.UpdateState, update("a", request_id="r-1"), lambda response: response.revision),
        (peer.runs.SubmitRun, submit("a", request_id="r-1"), lambda response: (response.run_id, response.sequence)),
        (peer.locks.Acquire, acquire("a", request_id="r-1"), lambda response: response.grants[0].fencing_token),
    ]:
        first = await call(request)
        last = await peer.last_sequence()
        again = await call(request)
        assert (first.replayed, again.replayed) == (False, True)
        assert answer(again) == answer(first)
        assert await peer.last_sequence() == last


async def test_another_request_under_the_same_id_is_refused(peer: Peer) -> None:
    """D5: INVALID_ARGUMENT (REQUEST_ID_REUSED), and nothing happens."""
    await peer.publish("a", request_id="r-1")
    last = await peer.last_sequence()
    refusal = await refused(peer.publish("b", request_id="r-1"))
    assert (refusal.code, refusal.reason) == ("INVALID_ARGUMENT", "REQUEST_ID_REUSED")
    assert "request_id" in refusal.fields
    assert await peer.last_sequence() == last


async def test_the_same_id_in_another_namespace_or_method_is_another_request(peer: Peer) -> None:
    """D5: a request is named by (principal, method, request_id) within its namespace."""
    responses: list[Any] = [
        await peer.publish("a", request_id="r-1"),
        await peer.publish("a", request_id="r-1", namespace="blog"),
        await peer.update("a", request_id="r-1"),
    ]
    assert [response.replayed for response in responses] == [False, False, False]


async def test_a_request_without_an_id_is_done_every_time(peer: Peer) -> None:
    """An empty request_id means that repetitions are not recognised."""
    first, second = await peer.publish("a"), await peer.publish("a")
    assert second.sequences[0] > first.sequences[0]
    assert not second.replayed


async def test_a_draft_with_a_known_event_id_is_not_stored_again(peer: Peer) -> None:
    """D5: event_id deduplicates in the same way, whatever the request is."""
    request = publish("a")
    request.events[0].event_id = "e-1"
    first, second = await peer.events.Publish(request), await peer.events.Publish(request)
    assert first.sequences == second.sequences


async def test_a_refusal_is_decided_afresh(peer: Peer) -> None:
    """D5: what changed nothing is not remembered: once the fault is mended the same id works."""
    await peer.submit("a", run_id="r")
    assert (await refused(peer.submit("a", run_id="r", request_id="x"))).code == "ALREADY_EXISTS"
    assert not (await peer.submit("a", run_id="r-2", request_id="x")).replayed


async def test_a_repeated_publish_names_its_known_drafts_too(peer: Peer) -> None:
    """D5: the first answer again, also for drafts that were not stored because their event_id was known."""
    known = publish("a")
    known.events[0].event_id = "e-1"
    await peer.events.Publish(known)
    request = publish("a", "b", request_id="r-1")
    request.events[0].event_id = "e-1"
    first, again = await peer.events.Publish(request), await peer.events.Publish(request)
    assert again.replayed
    assert again.sequences == first.sequences
