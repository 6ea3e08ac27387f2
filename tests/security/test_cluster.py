"""Who calls is known wherever a call comes in: the owner of a namespace decides for that principal. And replicas that
speak TLS with each other speak with nobody else."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import grpc
import pytest
from concert.v1 import lock_service_pb2, run_service_pb2

from coordinator_service.cluster.grpc_wire import ClientWire, LinkCredentials
from coordinator_service.cluster.messages import VERSION, Hello, frame_of
from coordinator_service.cluster.wire import WireLost
from coordinator_service.server import CoordinatorServer
from tests.cli.concert_command import until
from tests.cluster.replicas import Town, replica
from tests.rpc.peer import Peer, refused
from tests.rpc.test_session_stream import Peer as SessionPeer
from tests.security.authority import Authority, Issued
from tests.security.secured import OWN, files, peer_of


async def test_a_call_that_is_passed_on_keeps_its_principal(tmp_path: Path) -> None:
    """Events, what is its own only, and lock leases: asked of the replica that does not own the namespace."""
    town = Town()
    async with (
        replica(town, tmp_path / "a", "a", **files(tmp_path / "a")),
        replica(town, tmp_path / "b", "b", **files(tmp_path / "b")) as second,
        peer_of(second, "agent") as agent,
        peer_of(second, "rival") as rival,
        peer_of(second, "operator") as operator,
    ):
        await agent.submit("page", namespace=OWN, run_id="run")
        session = SessionPeer(agent.channel)
        await session.hello("agent-1", namespace=OWN)
        await session.ask(publish={"events": [{"custom": {"name": "x"}}]})
        told = {event.principal for event in await agent.events_after(0, OWN)}
        assert told == {"", "agent"}  # the coordinator's own have none
        cancel = run_service_pb2.CancelRunRequest(namespace=OWN, run_id="run")
        assert (await refused(rival.runs.CancelRun(cancel))).code == "PERMISSION_DENIED"
        held = await agent.acquire("bucket", namespace=OWN, holder="agent")
        keep = lock_service_pb2.KeepAliveRequest(namespace=OWN, fencing_tokens=[held.grants[0].fencing_token])
        assert not (await rival.locks.KeepAlive(keep)).leases[0].HasField("time_left")
        assert (await agent.locks.KeepAlive(keep)).leases[0].HasField("time_left")
        assert (await operator.runs.CancelRun(cancel)).sequence


NAME = "replicas.example"
SECONDS_MAX = 60


@dataclass(frozen=True)
class Keys:
    """The files of one replica."""

    directory: Path

    def write(self, authority: Authority, issued: Issued) -> None:
        """What it is to have from now on."""
        issued.write(self.directory, "tls")
        (self.directory / "ca.pem").write_bytes(authority.certificate)

    @property
    def settings(self) -> Mapping[str, Any]:
        """Of a coordinator that has them."""
        return {
            "tls_certificate": self.directory / "tls.pem",
            "tls_private_key": self.directory / "tls.key",
            "cluster_tls_ca": self.directory / "ca.pem",
            "cluster_tls_name": NAME,
        }


@asynccontextmanager
async def _secured(town: Town, keys: Keys, authority: Authority, issued: Issued) -> AsyncIterator[CoordinatorServer]:
    """A replica whose links speak TLS with those keys; its id is the name of their directory."""
    keys.write(authority, issued)
    async with replica(town, keys.directory, keys.directory.name, **keys.settings) as server:
        yield server


@pytest.fixture
def keys(tmp_path: Path) -> list[Keys]:
    """Room for those of three replicas: a, b and c."""
    directories = [tmp_path / name for name in "abc"]
    for each in directories:
        each.mkdir()
    return [Keys(each) for each in directories]


def _of_replica(authority: Authority) -> Issued:
    return authority.issue(hosts=[NAME, "localhost"])


def _address(server: CoordinatorServer) -> str:
    """A name that its certificate is for."""
    return server.address.replace("127.0.0.1", "localhost")


async def _publish(server: CoordinatorServer, authority: Authority, name: str) -> None:
    """At a replica. Raises grpc.aio.AioRpcError."""
    async with grpc.aio.secure_channel(_address(server), authority.credentials()) as channel:
        await Peer(channel).publish(name)


async def _greeted(address: str, credentials: LinkCredentials | None) -> bool:
    """Whether there is an answer for whoever says Hello with those."""
    wire = ClientWire(address, credentials)
    try:
        async with asyncio.timeout(SECONDS_MAX):
            await wire.write(frame_of([Hello(VERSION, "stranger", "stranger/1", b"c" * 32)]))
            await wire.read()
    except WireLost:
        return False
    finally:
        await wire.closed()
    return True


def _with(credentials: grpc.ChannelCredentials, links: LinkCredentials) -> LinkCredentials:
    """The same, but for what is asked with."""
    return replace(links, to_ask_with=lambda: credentials)


async def test_replicas_speak_tls_with_each_other_and_with_nobody_else(keys: list[Keys]) -> None:
    """Who has no certificate, another authority's, or speaks in plain text is not heard; a replica whose certificate
    is for another name is not asked."""
    town, authority, other = Town(), Authority(), Authority("other")
    async with (
        _secured(town, keys[0], authority, _of_replica(authority)),
        _secured(town, keys[1], authority, _of_replica(authority)) as second,
        _secured(town, keys[2], authority, authority.issue(hosts=["localhost"])),
    ):
        await _publish(second, authority, "passed on")
        address, right = town.replicas["a"].address, second._guarding.links
        assert right is not None
        assert await _greeted(address, right)
        assert not await _greeted(address, None)
        for wrong in (authority.credentials(), other.credentials(), authority.credentials(_of_replica(other))):
            assert not await _greeted(address, _with(wrong, right))
        town.move("default", "c")
        with pytest.raises(grpc.aio.AioRpcError) as refusal:
            await _publish(second, authority, "not passed on")
        assert refusal.value.code() == grpc.StatusCode.UNAVAILABLE


async def test_links_are_made_with_the_certificates_that_are_there_by_then(keys: list[Keys]) -> None:
    """Another authority, and certificates of it, count without a restart."""
    town, authority, successor = Town(), Authority(), Authority("successor")
    async with (
        _secured(town, keys[0], authority, _of_replica(authority)) as first,
        _secured(town, keys[1], authority, _of_replica(authority)) as second,
    ):
        links, address = second._guarding.links, town.replicas["a"].address
        assert links is not None
        old = links.to_ask_with()
        for server, theirs in ((first, keys[0]), (second, keys[1])):
            theirs.write(successor, _of_replica(successor))
            server.reload()

        async def passed_on() -> bool:
            try:
                await _publish(second, successor, "passed on")
            except grpc.aio.AioRpcError:
                return False
            return True

        async def renewed() -> bool:
            return await _greeted(address, links) and not await _greeted(address, _with(old, links))

        await until(renewed)
        await until(passed_on)
