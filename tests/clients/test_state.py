from __future__ import annotations

import asyncio
from contextlib import aclosing
from datetime import UTC, datetime
from typing import Any

import concert
import pytest
from concert import _methods as methods
from concert._payload import to_value
from concert.v1 import error_pb2, state_pb2

from .scripted_coordinator import Refused, ScriptedCoordinator, refusal

CONFLICT = Refused(refusal(10, "STATE_CONFLICT", "lost", error_pb2.StateConflict(current_revision=9)))


async def test_reading_gives_entries(coordinator: ScriptedCoordinator, client: concert.Client) -> None:
    """S1: a key is read with its value, revision, writer and time; one that does not exist is None."""

    def answer(request: Any) -> Any:
        entries = [state_pb2.StateEntry(key="a/b", value=to_value([1]), revision=4, writer="w")]
        return methods.GET_STATE.response(entries=entries if "a/b" in request.keys else [], sequence=10)

    coordinator.answer(methods.GET_STATE, answer)
    entry = await client.state.get("a/b")
    assert entry is not None
    assert (entry.key, entry.value, entry.revision, entry.writer) == ("a/b", [1], 4, "w")
    assert await client.state.get("nothing") is None
    assert list(await client.state.get_many(["a/b", "nothing"])) == ["a/b"]
    with pytest.raises(concert.InvalidArgument):
        await client.state.get_many([])


async def test_lists_are_read_to_their_end(coordinator: ScriptedCoordinator, client: concert.Client) -> None:
    """Paged reads follow next_page_token, and stop at a limit."""

    def answer(request: Any) -> Any:
        number = int(request.page_token or 0)
        entry = state_pb2.StateEntry(key=f"k{number}", value=to_value(number))
        return methods.GET_STATE.response(entries=[entry], next_page_token=str(number + 1) if number < 4 else "")

    coordinator.answer(methods.GET_STATE, answer)
    assert [entry.value for entry in await client.state.list("k")] == [0, 1, 2, 3, 4]
    assert [entry.value for entry in await client.state.list("k", limit=2)] == [0, 1]


async def test_an_update_says_how_it_joins(coordinator: ScriptedCoordinator, client: concert.Client) -> None:
    """S2, S3: strategy, prefix and base revision travel; no base is not the base 0."""
    await client.state.update({"a": [1]}, strategy="replace", prefix="a", base_revision=0)
    await client.state.update({"a": [1]}, strategy="append")
    first, second = coordinator.requests["UpdateState"]
    assert (first.change.strategy, first.change.prefix, first.change.HasField("base_revision")) == (2, "a", True)
    assert (second.change.strategy, second.change.HasField("base_revision")) == (3, False)
    with pytest.raises(concert.InvalidArgument):
        await client.state.update({"a": 1}, strategy="overwrite")  # type: ignore[arg-type]


async def test_a_client_is_one_writer(coordinator: ScriptedCoordinator, client: concert.Client) -> None:
    """S5: blind writes of one client carry one writer's name, or each would be in conflict with the one
    before.
    """
    await client.state.update({"a": 1})
    await client.state.update({"a": 2})
    async with concert.connect(coordinator.address, writer="me") as named:
        await named.state.update({"a": 3})
    first, second, third = coordinator.requests["UpdateState"]
    assert first.writer == second.writer != ""
    assert third.writer == "me"


async def test_modify_tries_again_on_what_is_there(coordinator: ScriptedCoordinator, client: concert.Client) -> None:
    """S8: a lost conflict is read again and written on the new base, until it is not lost."""
    reads = iter([(1, 10), (5, 20)])

    def read(_request: Any) -> Any:
        value, sequence = next(reads)
        entry = state_pb2.StateEntry(key="n", value=to_value(value))
        return methods.GET_STATE.response(entries=[entry], sequence=sequence)

    def write(request: Any) -> Any:
        if request.change.base_revision < 20:
            raise CONFLICT
        return methods.UPDATE_STATE.response(revision=21)

    coordinator.answer(methods.GET_STATE, read)
    coordinator.answer(methods.UPDATE_STATE, write)
    assert await client.state.modify("n", lambda value: value + 1) == (6, 21)
    first, second = coordinator.requests["UpdateState"]
    assert (first.change.base_revision, second.change.base_revision) == (10, 20)
    assert first.request_id != second.request_id


async def test_modify_gives_up_and_takes_coroutines(coordinator: ScriptedCoordinator, client: concert.Client) -> None:
    """After the last attempt the conflict is the caller's; the change may be a coroutine function."""
    seen: list[Any] = []

    async def change(value: Any) -> Any:
        seen.append(value)
        return 1

    def write(_request: Any) -> Any:
        raise CONFLICT

    coordinator.answer(methods.UPDATE_STATE, write)
    with pytest.raises(concert.StateConflictError):
        await client.state.modify("n", change, attempts_max=2)
    assert seen == [None, None]


# Deletion, the past, watching.


async def test_a_deletion_says_what_goes(coordinator: ScriptedCoordinator, client: concert.Client) -> None:
    """S1, S7: keys or a path, base and priority travel; the writer is the client."""
    coordinator.answer(methods.DELETE_STATE, lambda _request: methods.DELETE_STATE.response(revision=7))
    assert await client.state.delete("a", "b", base_revision=3, priority=4) == 7
    await client.state.delete(prefix="c")
    await client.state.update({"a": 1}, deletes=["b"], priority=5)
    first, second = coordinator.requests["DeleteState"]
    assert (list(first.keys), first.base_revision, first.priority) == (["a", "b"], 3, 4)
    assert (second.prefix, second.HasField("base_revision")) == ("c", False)
    assert first.writer == second.writer != ""
    assert first.request_id != second.request_id
    [update] = coordinator.requests["UpdateState"]
    assert (list(update.change.deletes), update.priority) == (["b"], 5)


async def test_modify_does_not_beat_on_a_lock(coordinator: ScriptedCoordinator, client: concert.Client) -> None:
    """S6: who is kept out by somebody else's lock is told at once, and by which."""
    key = state_pb2.ConflictingKey(key="a", guarded_by={"resource": "pages", "holder": "editor", "fencing_token": 5})
    detail = error_pb2.StateConflict(conflict_type="resource_conflict", keys=[key])

    def write(_request: Any) -> Any:
        raise Refused(refusal(10, "STATE_CONFLICT", "guarded", detail))

    coordinator.answer(methods.UPDATE_STATE, write)
    with pytest.raises(concert.StateConflictError) as error:
        await client.state.modify("a", lambda value: value)
    assert len(coordinator.requests["UpdateState"]) == 1
    guard = error.value.keys[0]["guarded_by"]
    assert guard is not None
    assert (guard["resource"], guard["holder"], guard["fencing_token"]) == ("pages", "editor", 5)


async def test_keys_that_do_not_fit_into_a_message_are_read_as_they_were(
    coordinator: ScriptedCoordinator, client: concert.Client
) -> None:
    """S1: get_many is true at one revision, also in pages."""

    def answer(request: Any) -> Any:
        number = int(request.page_token or 0)
        entry = state_pb2.StateEntry(key=f"k{number}", value=to_value(number))
        token = str(number + 1) if number < 2 else ""
        return methods.GET_STATE.response(entries=[entry], next_page_token=token, sequence=9 + number)

    coordinator.answer(methods.GET_STATE, answer)
    assert list(await client.state.get_many(["k0", "k1", "k2"])) == ["k0", "k1", "k2"]
    assert [request.revision for request in coordinator.requests["GetState"]] == [0, 9, 9]
    await client.state.get_many(["k0"], at=4)
    assert coordinator.requests["GetState"][3].revision == 4


Response = methods.WATCH_STATE.response


def said(after: int, **fields: Any) -> Any:
    """A message with a bookmark."""
    return Response(bookmark={"log_id": "log-1", "last_sequence": after, "caught_up": True}, **fields)


def became(key: str, revision: int) -> dict[str, Any]:
    return {"key": key, "revision": revision, "value": {"number_value": float(revision)}}


async def test_a_watch_goes_on_where_it_was(coordinator: ScriptedCoordinator, client: concert.Client) -> None:
    """S1, E2: a stream that breaks before everything that is there was told is begun anew; one that breaks later goes
    on after its bookmark, and what was told again since is not handed out twice."""
    entry = {"key": "a", "revision": 3, "value": {"number_value": 3.0}}
    scripts = [
        [Response(entries=[entry])],
        [Response(entries=[entry]), said(5), Response(changes=[became("a", 6), became("b", 6)])],
        [
            Response(changes=[became("a", 6), became("b", 6), became("c", 6)]),
            said(6),
            said(8, changes=[became("a", 8)]),
        ],
    ]

    async def stream(_request: Any) -> Any:
        for response in scripts[len(coordinator.requests["WatchState"]) - 1]:
            yield response
        if len(coordinator.requests["WatchState"]) < len(scripts):
            raise Refused(refusal(14, "UNAVAILABLE", "gone"))
        await asyncio.Event().wait()

    coordinator.answer(methods.WATCH_STATE, stream)
    told: list[tuple[str, str, int]] = []
    async with client.state.watch(prefix="") as watch, aclosing(aiter(watch)) as changes:
        async for change in changes:
            told.append((change.key, change.kind, change.revision))
            if change.revision == 8:
                break
        assert (watch.cursor.log_id, watch.cursor.sequence) == ("log-1", 8)
    assert told == [("a", "there", 3), ("a", "set", 6), ("b", "set", 6), ("c", "set", 6), ("a", "set", 8)]
    asked = coordinator.requests["WatchState"]
    assert [request.HasField("after") for request in asked] == [False, False, True]
    assert (asked[2].after.log_id, asked[2].after.sequence) == ("log-1", 5)


def test_a_change_brings_a_dict_up_to_date() -> None:
    """S1: whoever applies what it is told holds what is there."""
    held: dict[str, Any] = {}
    for kind, key, value in (
        ("there", "a/x", 1),
        ("set", "a/y", 2),
        ("set", "ab", 3),
        ("superseded", "ab", None),
        ("deleted", "a/x", None),
        ("cleared", "a", None),
        ("set", "a", 4),
    ):
        change = concert.KeyChange(
            key=key,
            kind=kind,  # type: ignore[arg-type]
            value=value,
            revision=1,
            writer="",
            changed_at=datetime.now(UTC),
        )
        change.apply(held)
    assert held == {"ab": 3, "a": 4}
