from __future__ import annotations

import asyncio
from typing import Any

import concert
import pytest
from concert import _methods as methods
from concert import _turns
from concert._time import from_duration, to_duration

from .scripted_coordinator import Refused, ScriptedCoordinator, refusal


async def test_a_scope_takes_and_gives_back(coordinator: ScriptedCoordinator, client: concert.Client) -> None:
    """L3: several locks are asked for in one request, and given back together, by their fencing tokens."""
    async with client.lock("b", "a", mode="shared", lease=10, wait=2, guards="site") as lock:
        (request,) = coordinator.requests["Acquire"]
        assert [each.resource for each in request.requests] == ["b", "a"]
        assert {each.mode for each in request.requests} == {2}
        assert from_duration(request.requests[0].lease) == 10
        assert 1.5 < from_duration(request.requests[0].wait_timeout) <= 2
        assert request.requests[0].guards == "site"
        assert lock.fencing_token == lock.fencing_tokens["b"] < lock.fencing_tokens["a"]
    (release,) = coordinator.requests["Release"]
    assert list(release.fencing_tokens) == list(lock.fencing_tokens.values())


async def test_the_lock_is_given_back_when_the_body_fails(
    coordinator: ScriptedCoordinator, client: concert.Client
) -> None:
    """An exception leaves the scope as it is, and the lock is free."""
    with pytest.raises(KeyError):
        async with client.lock("a"):
            raise KeyError("mine")
    assert len(coordinator.requests["Release"]) == 1


async def test_a_lease_that_is_not_renewed_cancels_the_body(
    coordinator: ScriptedCoordinator, client: concert.Client
) -> None:
    """L7: the body stops, and LockLost is raised, before the coordinator's lease can have ended."""
    coordinator.answer(methods.KEEP_ALIVE, lambda _request: coordinator.until(lambda: False))
    loop = asyncio.get_running_loop()
    begun = loop.time()
    with pytest.raises(concert.LockLost):
        async with client.lock("a", lease=1) as lock:
            await asyncio.Event().wait()
    assert loop.time() - begun < 1.0
    assert lock.lost
    task = asyncio.current_task()
    assert task is not None
    assert task.cancelling() == 0


async def test_a_lock_that_is_gone_cancels_the_body(coordinator: ScriptedCoordinator, client: concert.Client) -> None:
    """L7: KeepAlive says which locks are gone; the scope acts on it at once."""

    def answer(request: Any) -> Any:
        return methods.KEEP_ALIVE.response(leases=[{"fencing_token": token} for token in request.fencing_tokens])

    coordinator.answer(methods.KEEP_ALIVE, answer)
    with pytest.raises(concert.LockLost):
        async with client.lock("a", lease=1.5):
            await asyncio.Event().wait()


async def test_renewals_keep_the_lock(coordinator: ScriptedCoordinator, client: concert.Client) -> None:
    """L7: a body may take longer than the lease."""

    def answer(request: Any) -> Any:
        left = to_duration(0.6)
        return methods.KEEP_ALIVE.response(
            leases=[{"fencing_token": token, "time_left": left} for token in request.fencing_tokens]
        )

    coordinator.answer(methods.KEEP_ALIVE, answer)
    async with client.lock("a", lease=0.6):
        await coordinator.got(methods.KEEP_ALIVE, 5)
    assert len(coordinator.requests["Release"]) == 1


async def test_a_lock_lost_is_not_a_cancel_of_the_task(
    coordinator: ScriptedCoordinator, client: concert.Client
) -> None:
    """Like asyncio.timeout: a cancel from outside stays a cancel, even when the lock is lost meanwhile."""
    async with client.session() as session:
        entered = asyncio.Event()

        async def hold() -> None:
            async with session.lock("a"):
                entered.set()
                await asyncio.Event().wait()

        task = asyncio.create_task(hold())
        await entered.wait()
        task.cancel()
        await session.close()
        with pytest.raises(asyncio.CancelledError):
            await task


async def test_locks_of_a_session_are_lost_with_it(coordinator: ScriptedCoordinator, client: concert.Client) -> None:
    """A4: the session is one lease over its locks; when it ends, every scope is cancelled."""
    async with client.session() as session:
        coordinator.resumes = False

        async def hold() -> None:
            async with session.lock("a"):
                coordinator.streams[0].drop()
                await asyncio.Event().wait()

        with pytest.raises(concert.LockLost):
            await hold()
        assert "KeepAlive" not in coordinator.requests


async def test_a_lock_that_was_gone_at_its_release_is_said(
    coordinator: ScriptedCoordinator, client: concert.Client
) -> None:
    """A body that ran to its end without the lock must know; one that failed has its own exception."""

    def answer(_request: Any) -> Any:
        raise Refused(refusal(9, "NOT_HOLDER", "not yours"))

    coordinator.answer(methods.RELEASE, answer)
    with pytest.raises(concert.LockLost):
        async with client.lock("a"):
            pass
    with pytest.raises(KeyError):
        async with client.lock("a"):
            raise KeyError("mine")


async def test_scopes_of_one_session_take_turns(coordinator: ScriptedCoordinator, client: concert.Client) -> None:
    """L5: the coordinator lets one holder take a lock twice, so the client lines its scopes up."""
    inside: list[int] = []
    most = 0
    async with client.session() as session:

        async def work(number: int) -> None:
            nonlocal most
            async with session.lock("a"):
                inside.append(number)
                most = max(most, len(inside))
                await asyncio.sleep(0)
                inside.remove(number)

        await asyncio.gather(*(work(number) for number in range(8)))
    assert most == 1
    assert len(coordinator.requests["Acquire"]) == 8
    assert not _turns._queues


async def test_shared_scopes_of_one_session_are_inside_together(
    coordinator: ScriptedCoordinator, client: concert.Client
) -> None:
    """L5: shared with shared needs no turns; an exclusive scope waits for them and they for it."""
    async with client.session() as session:
        async with session.lock("a", mode="shared"):
            together = asyncio.create_task(enter(session, "shared"))
            await together
            alone = asyncio.create_task(enter(session, "exclusive"))
            later = asyncio.create_task(enter(session, "shared"))
            await asyncio.sleep(0)
            assert not alone.done()
            assert not later.done()
        await alone
        await later
    assert [request.requests[0].mode for request in coordinator.requests["Acquire"]] == [2, 2, 1, 2]


async def enter(session: concert.Session, mode: Any) -> None:
    async with session.lock("a", mode=mode):
        pass


async def test_a_task_may_enter_again(coordinator: ScriptedCoordinator, client: concert.Client) -> None:
    """L5: the same holder's grants are counted; a scope within a scope does not wait for itself."""
    async with client.session() as session, session.lock("a"), session.lock("a", "b"):
        assert len(coordinator.requests["Acquire"]) == 2
    assert len(coordinator.requests["Release"]) == 2


async def test_waiting_for_a_turn_ends_with_the_wait(coordinator: ScriptedCoordinator, client: concert.Client) -> None:
    """L6: the time in line counts; a scope that does not get its turn in time is a LockTimeout."""
    async with client.session() as session:

        async def impatient() -> None:
            async with session.lock("a", wait=0.05):
                raise AssertionError("never entered")

        async with session.lock("a"):
            with pytest.raises(concert.LockTimeout):
                await asyncio.create_task(impatient())
        async with session.lock("a"):
            pass


async def test_anonymous_scopes_of_a_client_do_not_line_up(
    coordinator: ScriptedCoordinator, client: concert.Client
) -> None:
    """L1: outside a session each request is a holder of its own; the coordinator keeps them apart."""
    async with client.lock("a"):
        await asyncio.create_task(enter(client, "exclusive"))  # type: ignore[arg-type]
    assert len(coordinator.requests["Acquire"]) == 2


async def test_a_scope_is_for_one_use(coordinator: ScriptedCoordinator, client: concert.Client) -> None:
    """A grant belongs to one body."""
    scope = client.lock("a")
    async with scope:
        pass
    with pytest.raises(RuntimeError):
        async with scope:
            pass
    with pytest.raises(concert.InvalidArgument):
        client.lock()
    with pytest.raises(concert.InvalidArgument):
        client.lock("a", mode="write")  # type: ignore[arg-type]
