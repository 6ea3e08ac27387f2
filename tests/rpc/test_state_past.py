"""StateService: deletion, the past, history and watching, over a real server and across a restart."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import grpc
import pytest
from concert.v1 import event_service_pb2, state_pb2, state_service_pb2

from .peer import Peer, acquire, refused, update
from .serving import serving

pb = state_service_pb2


@asynccontextmanager
async def peer_of(directory: Path, **changes: Any) -> AsyncIterator[Peer]:
    """A peer of a coordinator on disk."""
    async with (
        serving(directory, event_store="sqlite", **changes) as server,
        grpc.aio.insecure_channel(server.address) as channel,
    ):
        yield Peer(channel)


async def read(peer: Peer, **fields: Any) -> dict[str, Any]:
    """Keys and their numbers."""
    response = await peer.state.GetState(pb.GetStateRequest(**fields))
    return {entry.key: entry.value.number_value for entry in response.entries}


async def watched(peer: Peer, count: int, **fields: Any) -> list[Any]:
    """The first messages of a watch up to the bookmark at which so many entries and changes were told."""
    told: list[Any] = []
    call = peer.state.WatchState(pb.WatchStateRequest(**fields))
    async with asyncio.timeout(20):
        async for response in call:
            told.append(response)
            if sum(len(each.entries) + len(each.changes) for each in told) >= count and response.HasField("bookmark"):
                break
    call.cancel()
    return told


def changes_of(told: list[Any]) -> list[tuple[str, str, float]]:
    """Key, outcome and number of each change."""
    return [
        (change.key, change.WhichOneof("outcome"), change.value.number_value)
        for response in told
        for change in response.changes
    ]


# Deletion.


async def test_keys_are_deleted(peer: Peer) -> None:
    """S1: by name or by path; a repetition is told the same; what is not there is NOT_FOUND."""
    for key in ("a", "b/1", "b/2", "c"):
        await peer.update(key, 1, writer="me")
    request = pb.DeleteStateRequest(keys=["a"], writer="me", request_id="r")
    first = await peer.state.DeleteState(request)
    again = await peer.state.DeleteState(request)
    assert (again.revision, again.replayed, first.replayed) == (first.revision, True, False)
    await peer.state.DeleteState(pb.DeleteStateRequest(prefix="b", writer="me"))
    assert await read(peer) == {"c": 1}
    refusal = await refused(peer.state.DeleteState(pb.DeleteStateRequest(keys=["a"], writer="me")))
    assert (refusal.code, refusal.reason) == ("NOT_FOUND", "NOT_FOUND")
    assert (refusal.details["ResourceInfo"].resource_type, refusal.details["ResourceInfo"].resource_name) == (
        "key",
        "a",
    )


async def test_a_deletion_may_conflict(peer: Peer) -> None:
    """S3: what somebody else changed since is not deleted."""
    base = (await peer.update("a", 1, writer="one")).revision
    await peer.update("a", 2, writer="two", base=base)
    request = pb.DeleteStateRequest(keys=["a"], base_revision=base, writer="one")
    refusal = await refused(peer.state.DeleteState(request))
    assert (refusal.code, refusal.reason) == ("ABORTED", "STATE_CONFLICT")
    assert refusal.details["StateConflict"].conflict_type == "concurrent_modification"


async def test_a_guarded_path_is_refused_with_what_a_retry_needs(peer: Peer) -> None:
    """S6: ABORTED with the lock, its holder and its fencing token."""
    request = acquire("pages", holder="editor")
    request.requests[0].guards = "site"
    (grant,) = (await peer.locks.Acquire(request)).grants
    refusal = await refused(peer.update("site/1", 1, writer="me", priority=9))
    assert (refusal.code, refusal.reason) == ("ABORTED", "STATE_CONFLICT")
    conflict = refusal.details["StateConflict"]
    assert conflict.conflict_type == "resource_conflict"
    guard = conflict.keys[0].guarded_by
    assert (guard.resource, guard.holder, guard.fencing_token) == ("pages", "editor", grant.fencing_token)


@pytest.mark.parametrize(
    ("method", "request_", "field", "code"),
    [
        ("DeleteState", pb.DeleteStateRequest(), "keys", "INVALID_ARGUMENT"),
        ("DeleteState", pb.DeleteStateRequest(keys=["a"], prefix="b"), "prefix", "INVALID_ARGUMENT"),
        ("DeleteState", pb.DeleteStateRequest(keys=["a", "a"]), "keys[1]", "INVALID_ARGUMENT"),
        ("DeleteState", pb.DeleteStateRequest(keys=["a//b"]), "keys[0]", "INVALID_ARGUMENT"),
        ("DeleteState", pb.DeleteStateRequest(prefix="x" * 513), "prefix", "INVALID_ARGUMENT"),
        ("DeleteState", pb.DeleteStateRequest(keys=["a"], priority=10), "priority", "INVALID_ARGUMENT"),
        ("DeleteState", pb.DeleteStateRequest(keys=["a"], base_revision=2**40), "base_revision", "INVALID_ARGUMENT"),
        ("GetState", pb.GetStateRequest(keys=["a"], revision=2**40), "revision", "INVALID_ARGUMENT"),
        ("ListStateHistory", pb.ListStateHistoryRequest(key="a", prefix="b"), "prefix", "INVALID_ARGUMENT"),
        ("ListStateHistory", pb.ListStateHistoryRequest(key="a/"), "key", "INVALID_ARGUMENT"),
        ("ListStateHistory", pb.ListStateHistoryRequest(after_revision=2**40), "after_revision", "INVALID_ARGUMENT"),
        (
            "ListStateHistory",
            pb.ListStateHistoryRequest(after_revision=3, until_revision=2),
            "until_revision",
            "INVALID_ARGUMENT",
        ),
    ],
)
async def test_bad_input_is_named(peer: Peer, method: str, request_: Any, field: str, code: str) -> None:
    """Bad input, S1: each fault by its field, and nothing is stored."""
    before = await peer.last_sequence()
    refusal = await refused(getattr(peer.state, method)(request_))
    assert (refusal.code, list(refusal.fields)) == (code, [field])
    assert await peer.last_sequence() == before


async def test_bad_changes_are_named(peer: Peer) -> None:
    """Bad input, S1, S3: deletes that are written too, more than may be, a base from the future."""
    request = update("a", 1)
    request.change.deletes.extend(["a", "b/"])
    assert set((await refused(peer.state.UpdateState(request))).fields) == {"change.deletes[0]", "change.deletes[1]"}
    del request.change.deletes[:]
    request.change.deletes.extend(f"k{number}" for number in range(1000))
    assert set((await refused(peer.state.UpdateState(request))).fields) == {"change.updates"}
    refusal = await refused(peer.update("a", 1, base=2**40))
    assert (refusal.reason, set(refusal.fields)) == ("CURSOR_IN_FUTURE", {"change.base_revision"})
    both = pb.UpdateStateRequest(
        change=state_pb2.StateChange(strategy=state_pb2.MERGE_STRATEGY_REPLACE, prefix="a", deletes=["b"])
    )
    assert set((await refused(peer.state.UpdateState(both))).fields) == {"change.prefix"}


@pytest.mark.parametrize(
    ("fields", "code", "names"),
    [
        ({"keys": ["a"], "prefix": "b"}, "INVALID_ARGUMENT", {"prefix"}),
        ({"keys": ["a/"]}, "INVALID_ARGUMENT", {"keys[0]"}),
        ({"after": {"sequence": 2**40}}, "INVALID_ARGUMENT", {"after"}),
        ({"after": {"sequence": 1, "log_id": "another"}}, "DATA_LOSS", None),
    ],
)
async def test_a_watch_that_cannot_be_is_refused(peer: Peer, fields: Any, code: str, names: set[str] | None) -> None:
    """Bad input, E4."""

    async def first() -> None:
        await peer.state.WatchState(pb.WatchStateRequest(**fields)).read()

    refusal = await refused(first())
    assert refusal.code == code
    assert names is None or set(refusal.fields) == names


# The past.


async def test_any_revision_is_read_as_it_was_also_after_a_restart(tmp_path: Path) -> None:
    """S1, D8: from memory, and when that has forgotten, from the log: in pages, with what was deleted since."""
    kept: dict[int, dict[str, Any]] = {}
    async with peer_of(tmp_path, state_history_values_max=3, snapshot_events=25) as peer:
        for number in range(20):
            revision = (await peer.update(f"k/{number % 4}", number, writer="me")).revision
            kept[revision] = await read(peer)
        revision = (await peer.state.DeleteState(pb.DeleteStateRequest(prefix="k", writer="me"))).revision
        kept[revision] = {}
        for each, expected in kept.items():
            assert await read(peer, revision=each) == expected
    async with peer_of(tmp_path, state_history_values_max=3, snapshot_events=25) as peer:
        for each, expected in kept.items():
            assert await read(peer, prefix="k", revision=each) == expected
            assert await read(peer, keys=["k/0", "k/3", "never"], revision=each) == {
                key: value for key, value in expected.items() if key in ("k/0", "k/3")
            }
        request = pb.GetStateRequest(prefix="k", revision=max(kept) - 1, page_size=3)
        first = await peer.state.GetState(request)
        request.page_token = first.next_page_token
        second = await peer.state.GetState(request)
        assert [entry.key for each in (first, second) for entry in each.entries] == ["k/0", "k/1", "k/2", "k/3"]
        assert (first.sequence, second.sequence) == (max(kept) - 1, max(kept) - 1)


async def test_a_namespace_that_is_not_there_has_no_past(peer: Peer) -> None:
    """S1: no history; a revision of it lies in the future."""
    history = await peer.state.ListStateHistory(pb.ListStateHistoryRequest(namespace="blog"))
    assert (list(history.revisions), history.sequence) == ([], 0)
    refusal = await refused(peer.state.GetState(pb.GetStateRequest(namespace="blog", revision=1)))
    assert refusal.reason == "CURSOR_IN_FUTURE"


# History.


async def test_the_history_of_a_key_and_of_a_path(peer: Peer) -> None:
    """S1: each change with revision, writer, strategy, time and what it did, in pages, both ways."""
    one = (await peer.update("a/x", 1, writer="one", priority=3)).revision
    request = update("a/x", 2, writer="two", base=one)
    request.change.updates.add(key="b").value.number_value = 5
    two = (await peer.state.UpdateState(request)).revision
    await peer.update("other", 1, writer="one")
    three = (
        await peer.state.DeleteState(pb.DeleteStateRequest(keys=["a/x"], base_revision=two, writer="one"))
    ).revision
    four = (await peer.update("a/y", 1, writer="one")).revision
    five = (await peer.state.DeleteState(pb.DeleteStateRequest(prefix="a", base_revision=four, writer="one"))).revision
    of_key = (await peer.state.ListStateHistory(pb.ListStateHistoryRequest(key="a/x"))).revisions
    assert [each.revision for each in of_key] == [one, two, three, five]
    assert [(each.writer, each.strategy, each.priority) for each in of_key[:2]] == [("one", 1, 3), ("two", 1, 0)]
    assert [update.key for update in of_key[1].updates] == ["a/x"]
    assert (list(of_key[2].deletes), of_key[3].prefix) == (["a/x"], "a")
    assert all(each.changed_at.seconds and each.reason == "UPDATED" for each in of_key)
    pages = []
    request = pb.ListStateHistoryRequest(prefix="a", page_size=2, descending=True)
    while True:
        page = await peer.state.ListStateHistory(request)
        pages.append([each.revision for each in page.revisions])
        request.page_token = page.next_page_token
        if not request.page_token:
            break
    assert [each for page in pages for each in page] == [five, four, three, two, one]
    bounded = pb.ListStateHistoryRequest(prefix="a", after_revision=one, until_revision=three)
    assert [each.revision for each in (await peer.state.ListStateHistory(bounded)).revisions] == [two, three]


async def test_history_looks_at_a_bounded_number_of_events(tmp_path: Path) -> None:
    """S1, D8: a page may be empty and have a next token; history survives a restart."""
    async with peer_of(tmp_path) as peer:
        first = (await peer.update("a", 1, writer="me")).revision
        await peer.publish(*(["noise"] * 100))
        last = (await peer.update("a", 2, writer="me")).revision
    async with peer_of(tmp_path, list_scan_events_max=20) as peer:
        request = pb.ListStateHistoryRequest(key="a")
        found, pages = [], 0
        while True:
            page = await peer.state.ListStateHistory(request)
            pages += 1
            found += [each.revision for each in page.revisions]
            request.page_token = page.next_page_token
            if not request.page_token:
                break
        assert found == [first, last]
        assert pages > 3


# Watching.


async def test_a_watcher_is_told_the_state_and_then_each_change(peer: Peer) -> None:
    """S1, E2: what is there first, at one revision; then what is set, deleted and cleared under the path, in order."""
    await peer.update("a/x", 1, writer="me")
    await peer.update("b", 1, writer="me")
    call = peer.state.WatchState(pb.WatchStateRequest(prefix="a"))
    first = await call.read()
    assert [(entry.key, entry.value.number_value) for entry in first.entries] == [("a/x", 1)]
    assert not first.HasField("bookmark")
    bookmark = await call.read()
    assert bookmark.bookmark.caught_up
    start = bookmark.bookmark
    await peer.update("a/y", 2, writer="me")
    await peer.update("b", 3, writer="me")
    await peer.update("a/y", 4, writer="me")
    await peer.state.DeleteState(pb.DeleteStateRequest(keys=["a/x"], writer="me"))
    await peer.state.DeleteState(pb.DeleteStateRequest(prefix="a", writer="me"))
    await peer.update("a", 5, writer="me")
    expected = [
        ("a/y", "value", 2),
        ("a/y", "value", 4),
        ("a/x", "deleted", 0),
        ("a", "cleared", 0),
        ("a", "value", 5),
    ]
    told: list[Any] = []
    async with asyncio.timeout(20):
        while len(changes_of(told)) < len(expected):
            told.append(await call.read())
    call.cancel()
    assert changes_of(told) == expected
    revisions = [change.revision for each in told for change in each.changes]
    assert revisions == sorted(revisions)
    resumed = await watched(peer, 3, prefix="a", after={"sequence": revisions[1], "log_id": start.log_id})
    assert changes_of(resumed) == expected[2:]
    assert not any(each.entries for each in resumed)


async def test_a_watch_of_keys_sees_them_alone(peer: Peer) -> None:
    """S1: those named, also when a path above them is cleared."""
    await peer.update("a/x", 1, writer="me")
    await peer.update("a/y", 1, writer="me")
    told = await watched(peer, 1, keys=["a/x", "never"])
    assert [entry.key for each in told for entry in each.entries] == ["a/x"]
    after = told[-1].bookmark.last_sequence
    await peer.update("a/y", 2, writer="me")
    await peer.state.DeleteState(pb.DeleteStateRequest(prefix="a", writer="me"))
    assert changes_of(await watched(peer, 1, keys=["a/x"], after={"sequence": after})) == [("a", "cleared", 0)]


async def test_a_watch_resumes_across_a_restart(tmp_path: Path) -> None:
    """S1, E2: every change after a revision once, from the log, and values that memory has no more are said to be
    superseded: the last is there."""
    async with peer_of(tmp_path, state_history_values_max=2) as peer:
        base = (await peer.update("k", 0, writer="me")).revision
        for number in range(1, 6):
            await peer.update("k", number, writer="me")
    async with peer_of(tmp_path, state_history_values_max=2) as peer:
        told = await watched(peer, 5, prefix="k", after={"sequence": base})
        outcomes = changes_of(told)
        assert [outcome for _, outcome, _ in outcomes] == ["superseded"] * 2 + ["value"] * 3
        assert [number for _, outcome, number in outcomes if outcome == "value"] == [3, 4, 5]


async def test_a_large_state_is_told_at_one_revision(peer: Peer) -> None:
    """S1: in messages that may travel, while writers go on: what is told first is the state at one revision, and what
    they write comes after it."""
    for number in range(5):
        await peer.update(f"k/{number}", "x" * 900_000, writer="me")
    call = peer.state.WatchState(pb.WatchStateRequest(prefix="k"))
    entries, changes = [], []
    first = await call.read()
    entries += first.entries
    await peer.update("k/9", 1, writer="me")
    async with asyncio.timeout(20):
        while not changes:
            response = await call.read()
            assert response.ByteSize() < 4 * 1024 * 1024
            entries += response.entries
            changes += response.changes
    call.cancel()
    assert [entry.key for entry in entries] == [f"k/{number}" for number in range(5)]
    assert [change.key for change in changes] == ["k/9"]


async def test_a_watcher_that_does_not_read_holds_up_nobody(tmp_path: Path) -> None:
    """E3: what it does not take stays in the log; it gets all of it when it reads again."""
    async with peer_of(tmp_path, tail_bytes_max=10_000) as peer:
        call = peer.state.WatchState(pb.WatchStateRequest(prefix="k"))
        await call.read()
        for number in range(300):
            await peer.update(f"k/{number % 3}", "x" * 5000 + str(number), writer="me")
        told: list[Any] = []
        async with asyncio.timeout(30):
            while sum(len(each.changes) for each in told) < 300:
                told.append(await call.read())
        call.cancel()
        changes = [change for each in told for change in each.changes]
        last = {change.key: change.value.string_value for change in changes if change.WhichOneof("outcome") == "value"}
        assert {key: value[5000:] for key, value in last.items()} == {"k/0": "297", "k/1": "298", "k/2": "299"}
        assert event_service_pb2.Cursor(sequence=changes[-1].revision).sequence == await peer.last_sequence()
