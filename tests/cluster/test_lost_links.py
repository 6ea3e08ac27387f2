"""What a link, a lane and a hub leave behind, or hold up."""

from __future__ import annotations

import asyncio
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any

import grpc
import pytest
from concert.v1 import agent_pb2, agent_service_pb2, lock_service_pb2, session_service_pb2

from coordinator_service.log.memory import MemoryLog
from coordinator_service.server import CoordinatorServer
from tests.cli.concert_command import until
from tests.rpc.peer import Peer, refused

from .replicas import Town, queue_length, replica

SECONDS_MAX = 60.0
SOON_SECONDS = 5.0


async def _peer(stack: AsyncExitStack, server: CoordinatorServer) -> Peer:
    return Peer(await stack.enter_async_context(grpc.aio.insecure_channel(server.address)))


async def _break_links(server: CoordinatorServer) -> None:
    """As when the process dies: its wires are lost."""
    assert server._member is not None
    assert server._member._neighbours is not None
    for running in list(server._member._neighbours._running.values()):
        running.cancel()
        await asyncio.wait([running])


async def _hello(peer: Peer, agent_id: str, namespace: str = "") -> Any:
    call = peer.sessions.Connect()
    hello = session_service_pb2.Hello(namespace=namespace)
    hello.agent.agent_id = agent_id
    await call.write(session_service_pb2.ConnectRequest(messages=[session_service_pb2.ClientMessage(hello=hello)]))
    return call


async def test_who_waits_through_a_replica_that_is_gone_is_given_nothing(tmp_path: Path) -> None:
    """L6: within the grace it may come back; then others have its turn."""
    town = Town()
    async with AsyncExitStack() as stack, asyncio.timeout(SECONDS_MAX):
        first = await stack.enter_async_context(replica(town, tmp_path / "a", "a", reattach_grace_ms=500))
        second = await stack.enter_async_context(replica(town, tmp_path / "b", "b", reattach_grace_ms=500))
        owner, elsewhere = await _peer(stack, first), await _peer(stack, second)
        held = await owner.acquire("shop", holder="one")
        gone = [
            asyncio.ensure_future(refused(elsewhere.acquire("shop", wait_seconds=50, holder=f"gone-{number}")))
            for number in range(3)
        ]

        async def all_wait() -> bool:
            return await queue_length(owner, "shop") == 3

        await until(all_wait)
        await _break_links(second)
        assert [(await each).code for each in gone] == ["UNAVAILABLE"] * 3

        async def nobody_waits() -> bool:
            return await queue_length(owner, "shop") == 0

        await until(nobody_waits)
        await owner.locks.Release(lock_service_pb2.ReleaseRequest(fencing_tokens=[held.grants[0].fencing_token]))
        alive = await owner.acquire("shop", wait_seconds=SOON_SECONDS, holder="alive")
        assert alive.grants[0].holder == "alive"


async def test_a_session_that_opens_as_the_link_breaks_is_detached(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """D6: at once; not when its lease has run out."""
    town = Town()
    let, begun = asyncio.Event(), asyncio.Event()
    let.set()
    append = MemoryLog.append

    async def gated(log: MemoryLog, *args: Any) -> None:
        begun.set()
        await let.wait()
        await append(log, *args)

    monkeypatch.setattr(MemoryLog, "append", gated)
    async with AsyncExitStack() as stack, asyncio.timeout(SECONDS_MAX):
        first = await stack.enter_async_context(replica(town, tmp_path / "a", "a"))
        second = await stack.enter_async_context(replica(town, tmp_path / "b", "b"))
        owner, elsewhere = await _peer(stack, first), await _peer(stack, second)
        await elsewhere.publish("before")
        (owned,) = first._namespaces.owned()
        let.clear()
        begun.clear()
        await _hello(elsewhere, "there")
        await begun.wait()
        assert "there" in owned.sequencer.state.agents
        await _break_links(second)

        async def relay_has_ended() -> bool:
            assert first._member is not None
            return not first._member._server._relays

        await until(relay_has_ended)
        let.set()

        async def detached() -> bool:
            found = await owner.agents.GetAgent(agent_service_pb2.GetAgentRequest(agent_id="there"))
            status: int = found.agent.status
            return status == agent_pb2.AGENT_STATUS_DETACHED

        async with asyncio.timeout(SOON_SECONDS):
            await until(detached)


async def test_a_namespace_that_is_slow_to_open_holds_up_no_agent_of_another(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One owner folds a long log; agents of the namespaces of others connect meanwhile."""
    town = Town()
    async with AsyncExitStack() as stack, asyncio.timeout(SECONDS_MAX):
        await stack.enter_async_context(replica(town, tmp_path / "a", "a"))
        second = await stack.enter_async_context(replica(town, tmp_path / "b", "b"))
        third = await stack.enter_async_context(replica(town, tmp_path / "c", "c"))
        peer = await _peer(stack, second)
        town.move("slow", "c")
        own, asked = third._namespaces.own, asyncio.Event()

        async def slowly(name: str) -> Any:
            asked.set()
            await asyncio.sleep(SECONDS_MAX)
            return await own(name)

        monkeypatch.setattr(third._namespaces, "own", slowly)
        slow = await _hello(peer, "one", "slow")
        await asked.wait()
        other = await _hello(peer, "two")
        async with asyncio.timeout(SOON_SECONDS):
            assert (await other.read()).messages[0].HasField("welcome")
        slow.cancel()


async def test_a_replica_that_does_not_own_a_namespace_does_not_make_it(tmp_path: Path) -> None:
    """namespaces_max: the owner refuses it, and nothing of it is left."""
    town = Town()
    async with AsyncExitStack() as stack, asyncio.timeout(SECONDS_MAX):
        await stack.enter_async_context(replica(town, tmp_path / "a", "a", namespaces_max=1))
        second = await stack.enter_async_context(replica(town, tmp_path / "b", "b", namespaces_max=1))
        peer = await _peer(stack, second)
        await peer.publish("before")
        for number in range(3):
            assert (await refused(peer.publish("x", namespace=f"n{number}"))).code == "RESOURCE_EXHAUSTED"
        assert list(town.place.records) == ["default"]


async def test_a_call_made_again_elsewhere_is_not_withdrawn_by_the_first(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """L6, D5: the caller moved on to another replica, and the first one's word that it has gone comes late."""
    town = Town()
    let = asyncio.Event()
    let.set()
    confirm = MemoryLog.confirm

    async def gated(log: MemoryLog, epoch: int) -> None:
        await let.wait()
        await confirm(log, epoch)

    monkeypatch.setattr(MemoryLog, "confirm", gated)
    async with AsyncExitStack() as stack, asyncio.timeout(SECONDS_MAX):
        first = await stack.enter_async_context(replica(town, tmp_path / "a", "a"))
        second = await stack.enter_async_context(replica(town, tmp_path / "b", "b"))
        owner, elsewhere = await _peer(stack, first), await _peer(stack, second)
        held = await owner.acquire("shop", holder="one")
        call = elsewhere.locks.Acquire(_wanted())

        async def one_waits() -> bool:
            return await queue_length(owner, "shop") == 1

        await until(one_waits)
        (owned,) = first._namespaces.owned()
        awaited = next(iter(owned.sequencer._waiting.values()))
        let.clear()  # Redis takes a moment to say who owns the log
        again = asyncio.ensure_future(owner.locks.Acquire(_wanted()))
        while next(iter(owned.sequencer._waiting.values())) is awaited:  # noqa: ASYNC110
            await asyncio.sleep(0)
        call.cancel()
        await asyncio.sleep(0.5)
        let.set()
        await asyncio.sleep(0.2)
        await owner.locks.Release(lock_service_pb2.ReleaseRequest(fencing_tokens=[held.grants[0].fencing_token]))
        assert (await again).grants[0].holder == "two"


def _wanted() -> Any:
    request = lock_service_pb2.AcquireRequest(request_id="the-same")
    wanted = request.requests.add(resource="shop", holder="two")
    wanted.wait_timeout.FromMilliseconds(50_000)
    return request
