"""Links that are slow or break: nobody waits for ever, no session hangs on a replica that is gone."""

from __future__ import annotations

import asyncio
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any

import concert
import grpc
import pytest
from concert.agent import AgentHost
from concert.v1 import agent_pb2, agent_service_pb2, lock_service_pb2

from coordinator_service.cluster.grpc_wire import ClientWire
from tests.cli.concert_command import until
from tests.rpc.peer import Peer, refused

from .replicas import Town, connected, queue_length, replica
from .test_forwarding import SECONDS_MAX, Worker


class Gate:
    """Holds back what an owner answers."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self._open = asyncio.Event()
        self._open.set()
        read = ClientWire.read

        async def gated(wire: ClientWire) -> bytes:
            frame = await read(wire)
            await self._open.wait()
            return frame

        monkeypatch.setattr(ClientWire, "read", gated)

    def shut(self) -> None:
        self._open.clear()

    def open(self) -> None:
        self._open.set()


async def test_a_task_given_before_the_session_is_known_here_reaches_its_agent(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The log may come faster than the owner's answer: what it decided meanwhile is not lost on the agent."""
    town = Town()
    gate = Gate(monkeypatch)
    async with AsyncExitStack() as stack, asyncio.timeout(SECONDS_MAX):
        first = await stack.enter_async_context(replica(town, tmp_path / "a", "a"))
        second = await stack.enter_async_context(replica(town, tmp_path / "b", "b"))
        peer = Peer(await stack.enter_async_context(grpc.aio.insecure_channel(first.address)))
        elsewhere = Peer(await stack.enter_async_context(grpc.aio.insecure_channel(second.address)))
        await stack.enter_async_context(AgentHost(Worker("early"), address=second.address))
        await _attached(peer, "early")
        await elsewhere.publish("before")  # the link stands, and the hub of b follows the log
        await peer.agents.DrainAgent(agent_service_pb2.DrainAgentRequest(agent_id="early"))
        gate.shut()
        await stack.enter_async_context(AgentHost(Worker("late"), address=second.address))
        await _attached(peer, "late")
        client = await stack.enter_async_context(concert.connect(first.address))
        run = await client.submit_run(tasks=[concert.task("t", capability="work")])
        submitted = await peer.last_sequence()

        async def the_log_is_known_here() -> bool:
            return (await second._namespaces.get("default")).last_sequence >= submitted

        await until(the_log_is_known_here)
        gate.open()
        ended = await run.wait()
        assert ended.status == concert.RunStatus.RUN_STATUS_SUCCEEDED


async def test_sessions_of_a_replica_that_is_gone_are_detached_at_once(tmp_path: Path) -> None:
    """D6: their agents come back through another, within the lease, to the work they had."""
    town = Town()
    async with AsyncExitStack() as stack, asyncio.timeout(SECONDS_MAX):
        first = await stack.enter_async_context(replica(town, tmp_path / "a", "a"))
        peer = Peer(await stack.enter_async_context(grpc.aio.insecure_channel(first.address)))
        dying = AsyncExitStack()
        second = await dying.enter_async_context(replica(town, tmp_path / "b", "b"))
        session = await stack.enter_async_context(concert.connect(second.address))
        await stack.enter_async_context(session.session(agent_id="there"))
        await _attached(peer, "there")
        await dying.aclose()

        async def detached() -> bool:
            request = agent_service_pb2.GetAgentRequest(agent_id="there")
            status: int = (await peer.agents.GetAgent(request)).agent.status
            return status == agent_pb2.AGENT_STATUS_DETACHED

        await until(detached)


async def test_whoever_waits_for_an_owner_that_is_gone_is_told(tmp_path: Path) -> None:
    """UNAVAILABLE with a hint, not silence; and another replica takes over what it had acknowledged."""
    town = Town()
    async with AsyncExitStack() as stack, asyncio.timeout(SECONDS_MAX):
        dying = AsyncExitStack()
        first = await dying.enter_async_context(replica(town, tmp_path / "a", "a"))
        second = await stack.enter_async_context(replica(town, tmp_path / "b", "b"))
        peer = Peer(await stack.enter_async_context(grpc.aio.insecure_channel(second.address)))
        held = await peer.acquire("shop", holder="one")
        waiting = asyncio.ensure_future(refused(peer.acquire("shop", wait_seconds=50, holder="two")))
        owner = Peer(await stack.enter_async_context(grpc.aio.insecure_channel(first.address)))

        async def two_waits() -> bool:
            return await queue_length(owner, "shop") == 1

        await until(two_waits)
        await dying.aclose()
        answer = await waiting
        assert answer.code == "UNAVAILABLE"
        assert "RetryInfo" in answer.details
        town.stopped.add("a")
        town.move("default", "b")
        lock = (await peer.locks.GetLock(lock_service_pb2.GetLockRequest(resource="shop"))).lock
        assert [each.fencing_token for each in lock.holders] == [held.grants[0].fencing_token]


async def test_a_stranger_is_not_answered(tmp_path: Path) -> None:
    """Whoever does not know the cluster's secret, speaks another version, or speaks no frames at all, is cut off."""
    town = Town()
    async with replica(town, tmp_path / "a", "a"), asyncio.timeout(SECONDS_MAX):
        address = town.replicas["a"].address
        async with grpc.aio.insecure_channel(address) as channel:
            connect: Any = channel.stream_stream("/concert.cluster.v1.ReplicaService/Link")
            for first in (b"", b"garbage", b"\x91\x95\x00\x01\xa1x\xa1x\xa5wrong", b"\x91\x95\x00\x63\xa1x\xa1x\xa0"):
                call = connect()
                await call.write(first)
                with pytest.raises(grpc.aio.AioRpcError) as cut:  # noqa: PT012
                    while await call.read() is not grpc.aio.EOF:
                        pass
                    await call.code()
                assert cut.value.code() is grpc.StatusCode.UNAVAILABLE


async def _attached(peer: Peer, agent_id: str) -> None:
    async def there() -> bool:
        return agent_id in await connected(peer)

    await until(there)
