"""StateService on the wire: conflicts that hand over what a retry needs, reads in pages."""

from __future__ import annotations

from concert.v1 import state_pb2, state_service_pb2

from .peer import Peer, refused, update

GetState = state_service_pb2.GetStateRequest


async def test_a_lost_conflict_hands_over_the_current_value(peer: Peer) -> None:
    """S3, S8: ABORTED with the key, its current value, its revision and its writer; the next try builds on that."""
    base = (await peer.update("site/title", "old", writer="a")).revision
    current = (await peer.update("site/title", "theirs", writer="b", base=base)).revision
    refusal = await refused(peer.update("site/title", "mine", writer="a", base=base))
    assert (refusal.code, refusal.reason) == ("ABORTED", "STATE_CONFLICT")
    conflict = refusal.details["StateConflict"]
    (key,) = conflict.keys
    assert (key.key, key.current.string_value, key.their_writer, key.their_revision) == (
        "site/title",
        "theirs",
        "b",
        current,
    )
    assert await peer.update("site/title", "mine", writer="a", base=conflict.current_revision)


async def test_a_large_conflict_fits_into_a_trailer(peer: Peer) -> None:
    """Details stay under 4 KiB: values are left out and named by size and digest, keys beyond what fits are dropped."""
    request = update("k-0", "x")
    del request.change.updates[:]
    for number in range(100):
        added = request.change.updates.add(key=f"site/{'k' * 300}/{number}")
        added.value.string_value = "ä" * 2000
    await peer.state.UpdateState(request)
    request.change.base_revision = 0
    refusal = await refused(peer.state.UpdateState(request))
    assert refusal.reason == "STATE_CONFLICT"
    assert refusal.size <= 4096
    keys = refusal.details["StateConflict"].keys
    assert 0 < len(keys) <= 20
    assert not keys[0].HasField("current")
    assert keys[0].current_digest.startswith("4002:")


async def test_append_to_what_is_no_list_is_refused(peer: Peer) -> None:
    """S2: INVALID_ARGUMENT, and nothing changes."""
    await peer.update("a", 1, writer="w")
    request = update("a", 2, writer="w")
    request.change.strategy = state_pb2.MERGE_STRATEGY_APPEND
    refusal = await refused(peer.state.UpdateState(request))
    assert (refusal.code, refusal.reason) == ("INVALID_ARGUMENT", "INVALID_FIELD")


async def test_state_is_read_by_keys_and_by_prefix(peer: Peer) -> None:
    """S1, S4: what exists, by key, at a revision that an update can build on."""
    for key in ("site/b", "site/a", "sitemap", "other"):
        await peer.update(key, key)
    by_keys = await peer.state.GetState(GetState(keys=["site/b", "missing", "other"]))
    assert [entry.key for entry in by_keys.entries] == ["other", "site/b"]
    under = await peer.state.GetState(GetState(prefix="site"))
    assert [(entry.key, entry.value.string_value) for entry in under.entries] == [("site/a",) * 2, ("site/b",) * 2]
    assert await peer.update("site/a", 2, base=under.sequence)


async def test_state_is_read_in_pages_that_travel_within_a_message(peer: Peer) -> None:
    """Pages are cut by count and by size; together they are everything, in order, for keys as for a prefix."""
    keys = [f"large/{number}" for number in range(5)]
    for key in keys:
        await peer.update(key, "x" * 900_000)
    for request in (GetState(prefix="large"), GetState(keys=keys), GetState(page_size=1)):
        read = []
        while True:
            page = await peer.state.GetState(request)
            assert page.ByteSize() < 2 * 1024 * 1024
            read += [entry.key for entry in page.entries]
            request.page_token = page.next_page_token
            if not request.page_token:
                break
        assert read == keys


async def test_null_is_a_value(peer: Peer) -> None:
    """A key that holds null exists."""
    request = update("a")
    request.change.updates[0].value.null_value = 0  # type: ignore[assignment]
    await peer.state.UpdateState(request)
    (entry,) = (await peer.state.GetState(GetState(keys=["a"]))).entries
    assert entry.value.WhichOneof("kind") == "null_value"


async def test_a_namespace_that_is_not_there_holds_nothing(peer: Peer) -> None:
    """A first writer may look before it writes: no entries at revision 0."""
    read = await peer.state.GetState(GetState(namespace="blog"))
    assert (list(read.entries), read.sequence) == ([], 0)


async def test_a_priority_out_of_range_is_refused(peer: Peer) -> None:
    """Bad input, S7: 0 to 9; nothing is written."""
    refusal = await refused(peer.update("a", 1, writer="w", priority=10))
    assert (refusal.code, refusal.fields) == ("INVALID_ARGUMENT", {"priority": "must be 0 to 9"})
    assert not (await peer.state.GetState(GetState(keys=["a"]))).entries
