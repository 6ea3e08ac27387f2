from __future__ import annotations

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
