"""What callers may do: by role and namespace, and as which agent."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import grpc
import pytest
from concert.v1 import (
    agent_service_pb2,
    event_pb2,
    event_service_pb2,
    lock_service_pb2,
    monitor_service_pb2,
    run_service_pb2,
    session_service_pb2,
)

from coordinator_service.core.rejections import PermissionDenied
from coordinator_service.rpc.permissions import COMMANDS, PERMISSIONS, need_of
from coordinator_service.security.roles import Access, Role
from coordinator_service.server import CoordinatorServer
from tests.rpc.peer import Peer, publish, refused, update
from tests.rpc.test_session_stream import Peer as SessionPeer
from tests.security import table
from tests.security.authority import Issuer
from tests.security.secured import (
    ACCESS,
    OWN,
    bearer,
    hashes,
    known_as,
    peer_of,
    secured,
    stream_refusal,
    until,
    verdict,
)
from tests.security.test_identity import jwt_settings


@pytest.fixture
async def server(tmp_path: Path) -> AsyncIterator[CoordinatorServer]:
    async with secured(tmp_path) as running:
        yield running


@pytest.fixture
async def channel(server: CoordinatorServer) -> AsyncIterator[grpc.aio.Channel]:
    async with grpc.aio.insecure_channel(server.address) as connected:
        yield connected


@pytest.fixture
async def agent(server: CoordinatorServer) -> AsyncIterator[Peer]:
    async with peer_of(server, "agent") as peer:
        yield peer


@pytest.fixture
async def rival(server: CoordinatorServer) -> AsyncIterator[Peer]:
    async with peer_of(server, "rival") as peer:
        yield peer


@pytest.fixture
async def operator(server: CoordinatorServer) -> AsyncIterator[Peer]:
    async with peer_of(server, "operator") as peer:
        yield peer


async def test_the_table_of_permissions_is_what_the_document_says(server: CoordinatorServer) -> None:
    """Every rpc and every command that the descriptors name is in the table of the code, which has nothing else. What
    needs more than to be known is out of reach in a namespace that is not the caller's, and all of it to nobody.
    To write the document again: python -m tests.security.
    """
    assert {rpc.name.replace(".", "/") for rpc in table.rpcs()} == set(PERMISSIONS)
    assert set(table.commands()) == set(COMMANDS)
    measured = await table.measure(server)
    for name, cells in measured:
        known = "session: " not in name and PERMISSIONS[name.replace(".", "/")] is Role.KNOWN
        assert {other for _, other in cells[1:]} == {known}, name
        assert cells[0] == (False, False), name
    assert table.in_document() == table.as_markdown(measured)


def test_an_rpc_that_is_not_in_the_table_cannot_be_served() -> None:
    """A handler for an unknown request is refused where it is made."""
    with pytest.raises(KeyError):
        need_of(session_service_pb2.Hello)


async def test_what_is_missing_is_said(server: CoordinatorServer) -> None:
    """PERMISSION_DENIED names the role, the namespace and the principal, and nothing was stored."""
    async with peer_of(server, "viewer") as viewer:
        told = await refused(viewer.events.Publish(publish("x", namespace=OWN)))
    assert (told.code, told.reason) == ("PERMISSION_DENIED", "PERMISSION_DENIED")
    assert dict(told.details["ErrorInfo"].metadata) == {"role": "agent", "namespace": OWN, "principal": "viewer"}
    async with peer_of(server, "agent") as agent:
        assert await agent.last_sequence(OWN) == 0


async def test_a_viewer_makes_no_namespace(tmp_path: Path) -> None:
    """Following one that is not there yet would make it: that needs the role agent."""
    access = "grants: [{principals: [viewer], role: viewer, namespaces: ['*']}]\n"
    async with secured(tmp_path, access=access) as server, peer_of(server, "viewer") as viewer:
        request = event_service_pb2.SubscribeRequest(namespace="not-there")
        assert (await stream_refusal(viewer.events.Subscribe(request))).code == "PERMISSION_DENIED"
        listed = await viewer.monitor.ListNamespaces(monitor_service_pb2.ListNamespacesRequest())
        assert "not-there" not in [each.namespace for each in listed.namespaces]


async def test_namespaces_of_others_are_not_listed(server: CoordinatorServer, agent: Peer) -> None:
    """Only those where the caller may view."""
    await agent.publish("x", namespace=OWN)
    listed = await agent.monitor.ListNamespaces(monitor_service_pb2.ListNamespacesRequest())
    assert [each.namespace for each in listed.namespaces] == [OWN]


# As whom.


@pytest.mark.parametrize(
    ("spec", "allowed"),
    [
        ({"agent_id": "agent-1", "agent_name": "agent"}, True),
        ({"agent_id": "agent"}, True),
        ({"agent_name": "agent", "capabilities": [{"name": "rendering"}]}, True),
        ({}, True),
        ({"agent_id": "rival"}, False),
        ({"agent_id": "agent-1", "agent_name": "rival"}, False),
        ({"agent_id": "rival-1", "agent_name": "agent"}, False),
        ({"agent_id": "agents"}, False),
        ({"capabilities": [{"name": "rendering"}]}, False),
    ],
)
async def test_an_agent_registers_as_itself(channel: grpc.aio.Channel, spec: Any, allowed: bool) -> None:
    """Under its own name, and an id that begins with it; a client without capabilities needs no name."""
    peer = SessionPeer(channel, known_as("agent"))
    await peer.send(session_service_pb2.ClientMessage(hello={"namespace": OWN, "agent": spec}))
    if allowed:
        await peer.until("welcome")
    else:
        code, reason = await peer.refusal()
        assert (code, reason) == (grpc.StatusCode.PERMISSION_DENIED, "PERMISSION_DENIED")


async def test_an_agent_claims_what_its_grant_allows(tmp_path: Path) -> None:
    """In Hello and in UpdateAgent; names and capabilities may be granted by pattern."""
    access = """
grants:
  - principals: [agent]
    role: agent
    namespaces: ["own"]
    agents: ["content*"]
    capabilities: [content_migration, "image_*"]
"""
    async with secured(tmp_path, access=access) as server, grpc.aio.insecure_channel(server.address) as channel:
        good = SessionPeer(channel, known_as("agent"))
        await good.hello("content-1", "image_optimization", namespace=OWN)
        reply = await good.ask(update_agent={"agent": {"capabilities": [{"name": "dns"}]}})
        assert "dns" in reply.error.message
        assert reply.error.code == grpc.StatusCode.PERMISSION_DENIED.value[0]
        assert (await good.ask(update_agent={"agent": {"capabilities": [{"name": "image_x"}]}})).HasField("reported")
        bad = SessionPeer(channel, known_as("agent"))
        hello = {"namespace": OWN, "agent": {"agent_id": "content-2", "capabilities": [{"name": "dns"}]}}
        await bad.send(session_service_pb2.ClientMessage(hello=hello))
        assert (await bad.refusal())[0] is grpc.StatusCode.PERMISSION_DENIED


async def test_what_is_anothers_is_out_of_reach(channel: grpc.aio.Channel, agent: Peer, rival: Peer) -> None:
    """Another's session, attempt, lock, lock lease and holder's name: none of them is had by knowing its number."""
    worker = SessionPeer(channel, known_as("agent"))
    welcome = await worker.hello("agent", "rendering", namespace=OWN)
    await agent.submit("page", namespace=OWN)
    task = await worker.until("task")
    resumes = SessionPeer(channel, known_as("rival"))
    hello = session_service_pb2.Hello(namespace=OWN, session_id=welcome.session_id)
    await resumes.send(session_service_pb2.ClientMessage(hello=hello))
    assert (await resumes.refusal())[0] is grpc.StatusCode.PERMISSION_DENIED

    other = SessionPeer(channel, known_as("rival"))
    await other.hello("rival-1", namespace=OWN)
    reply = await other.ask(task_completed={"attempt_token": task.attempt_token})
    assert reply.error.code == grpc.StatusCode.PERMISSION_DENIED.value[0]
    within = publish("x", namespace=OWN)
    within.attempt_token = task.attempt_token
    assert (await refused(rival.events.Publish(within))).code == "PERMISSION_DENIED"

    held = await agent.acquire("bucket", namespace=OWN, holder="agent")
    token = held.grants[0].fencing_token
    assert (await refused(rival.acquire("bucket", namespace=OWN, holder="agent"))).code == "PERMISSION_DENIED"
    refusal = await refused(
        rival.update("k", namespace=OWN, writer="agent")
    )  # S5: it would conflict with nothing of it
    assert (refusal.code, "the writer agent" in refusal.message) == ("PERMISSION_DENIED", True)
    assert (await agent.update("k", namespace=OWN, writer="agent")).revision
    release = lock_service_pb2.ReleaseRequest(namespace=OWN, fencing_tokens=[token])
    assert (await refused(rival.locks.Release(release))).code == "FAILED_PRECONDITION"
    keep = lock_service_pb2.KeepAliveRequest(namespace=OWN, fencing_tokens=[token])
    assert not (await rival.locks.KeepAlive(keep)).leases[0].time_left.ToNanoseconds()
    assert (await agent.locks.KeepAlive(keep)).leases[0].time_left.ToNanoseconds()
    assert (await agent.locks.Release(release)).sequence


async def test_runs_and_agents_of_others_are_for_operators(
    channel: grpc.aio.Channel, agent: Peer, rival: Peer, operator: Peer
) -> None:
    """Cancelling, retrying and draining: what is its own an agent may, the rest an operator; from a session too."""
    for run_id in ("first", "second", "third"):
        await agent.submit("page", namespace=OWN, run_id=run_id)
    cancel = [run_service_pb2.CancelRunRequest(namespace=OWN, run_id=each) for each in ("first", "second", "third")]
    assert (await refused(rival.runs.CancelRun(cancel[0]))).code == "PERMISSION_DENIED"
    session = SessionPeer(channel, known_as("rival"))
    await session.hello("rival-1", namespace=OWN)
    reply = await session.ask(cancel_run={"run_id": "first"})
    assert reply.error.code == grpc.StatusCode.PERMISSION_DENIED.value[0]
    assert (await agent.runs.CancelRun(cancel[0])).sequence
    assert (await operator.runs.CancelRun(cancel[1])).sequence
    session = SessionPeer(channel, known_as("operator"))
    await session.hello("operator-1", namespace=OWN)
    assert (await session.ask(cancel_run={"run_id": "third"})).HasField("cancel_run")

    retry = run_service_pb2.RetryRunRequest(namespace=OWN, run_id="first")
    assert (await refused(rival.runs.RetryRun(retry))).code == "PERMISSION_DENIED"
    assert (await operator.runs.RetryRun(retry)).sequence

    await SessionPeer(channel, known_as("agent")).hello("agent", "rendering", namespace=OWN)
    drain = agent_service_pb2.DrainAgentRequest(namespace=OWN, agent_id="agent")
    assert (await refused(rival.agents.DrainAgent(drain))).code == "PERMISSION_DENIED"
    assert (await agent.agents.DrainAgent(drain)).sequence


async def test_a_lock_of_another_is_taken_by_operators_alone(
    channel: grpc.aio.Channel, agent: Peer, rival: Peer, operator: Peer
) -> None:
    """By force only, which what is its own an agent may use too; from a session as well; the event says who did it."""
    tokens = [(await agent.acquire(each, namespace=OWN)).grants[0].fencing_token for each in ("one", "two", "three")]
    plain = [lock_service_pb2.ReleaseRequest(namespace=OWN, fencing_tokens=[each]) for each in tokens]
    forced = [lock_service_pb2.ReleaseRequest(namespace=OWN, fencing_tokens=[each], force=True) for each in tokens]
    assert (await refused(operator.locks.Release(plain[0]))).reason == "NOT_HOLDER"
    refusal = await refused(rival.locks.Release(forced[0]))
    assert (refusal.code, refusal.details["ErrorInfo"].metadata["role"]) == ("PERMISSION_DENIED", "operator")
    sequence = (await operator.locks.Release(forced[0])).sequence
    found = (await operator.events.GetEvent(event_service_pb2.GetEventRequest(namespace=OWN, sequence=sequence))).event
    assert (found.principal, found.reason) == ("operator", "RELEASED_BY_FORCE")
    session = SessionPeer(channel, known_as("operator"))
    await session.hello("operator-1", namespace=OWN)
    reply = await session.ask(release={"fencing_tokens": [tokens[1]], "force": True})
    assert reply.HasField("release")
    assert (await agent.locks.Release(forced[2])).sequence


async def test_the_principal_is_in_every_event(channel: grpc.aio.Channel, agent: Peer) -> None:
    """Of whatever a call or a session led to at once; what the coordinator does by itself has none."""
    worker = SessionPeer(channel, known_as("agent"))
    await worker.hello("agent", "rendering", namespace=OWN)
    await agent.submit("page", namespace=OWN)
    await worker.ask(task_completed={"attempt_token": (await worker.until("task")).attempt_token})
    await agent.state.UpdateState(update("key", namespace=OWN))
    await agent.acquire("bucket", namespace=OWN)
    await agent.publish("x", namespace=OWN)
    told = {event.type: event.principal for event in await agent.events_after(0, OWN)}
    own = {event_pb2.EVENT_TYPE_OWNER_STARTED, event_pb2.EVENT_TYPE_POLICY_CHANGED}
    assert {principal for kind, principal in told.items() if kind not in own} == {"agent"}
    assert len(told) > 6


# What lasts.


async def test_a_token_that_is_withdrawn_ends_what_it_began(tmp_path: Path) -> None:
    """A session and a subscription end with UNAUTHENTICATED; those of others go on."""
    async with secured(tmp_path) as server, peer_of(server, "agent") as agent, peer_of(server, "rival") as rival:
        session = SessionPeer(agent.channel)
        await session.hello("agent-1", namespace=OWN)
        request = event_service_pb2.SubscribeRequest(namespace=OWN)
        gone, stays = agent.events.Subscribe(request), rival.events.Subscribe(request)
        assert await gone.read()
        assert await stays.read()
        (tmp_path / "tokens.yaml").write_text(hashes("rival"))
        assert (await stream_refusal(gone)).code == "UNAUTHENTICATED"
        assert (await session.refusal())[0] is grpc.StatusCode.UNAUTHENTICATED
        assert await stays.read()


async def test_a_static_token_expires_when_its_file_says_so_now(tmp_path: Path) -> None:
    """Whenever that was when the stream began, be it sooner or later."""

    def tokens(**expire: datetime | None) -> str:
        rows = []
        for principal, time in expire.items():
            row = hashes(principal).removeprefix("tokens:\n")
            rows.append(row if time is None else row.replace("}", f', expires: "{time.isoformat()}"}}'))
        return "tokens:\n" + "".join(rows)

    file, info = tmp_path / "tokens.yaml", monitor_service_pb2.GetServerInfoRequest()
    async with secured(tmp_path) as server, peer_of(server, "agent") as agent, peer_of(server, "rival") as rival:

        async def is_read() -> bool:  # the viewer is in it no more
            async with peer_of(server, "viewer") as viewer:
                return await verdict(viewer.monitor.GetServerInfo(info)) == "UNAUTHENTICATED"

        soon = datetime.now(UTC) + timedelta(seconds=3)
        file.write_text(tokens(agent=None, rival=soon))
        await until(is_read)
        withdrawn, prolonged = SessionPeer(agent.channel), SessionPeer(rival.channel)
        await withdrawn.hello("agent-1", namespace=OWN)
        await prolonged.hello("rival-1", namespace=OWN)
        file.write_text(tokens(agent=datetime.now(UTC) - timedelta(hours=1), rival=None))
        assert (await withdrawn.refusal())[0] is grpc.StatusCode.UNAVAILABLE
        assert await verdict(agent.events.Publish(publish("x", namespace=OWN))) == "UNAUTHENTICATED"
        await until(lambda: datetime.now(UTC) > soon)
        assert (await prolonged.ask(publish={"events": [{"custom": {"name": "x"}}]})).HasField("publish")


async def test_a_role_that_is_taken_away_ends_what_needs_it(tmp_path: Path) -> None:
    """A session is looked at again when access changes, also when it is resumed; one that still may goes on."""
    async with secured(tmp_path) as server, peer_of(server, "agent") as agent, peer_of(server, "rival") as rival:
        session, other = SessionPeer(agent.channel), SessionPeer(rival.channel)
        welcome = await session.hello("agent-1", namespace=OWN)
        await other.hello("rival-1", namespace=OWN)
        narrowed = "  - {principals: [agent], role: agent, namespaces: [own], agents: [elsewhere]}\n"
        (tmp_path / "access.yaml").write_text(ACCESS.replace("[agent, rival]", "[rival]") + narrowed)
        assert (await session.refusal())[0] is grpc.StatusCode.PERMISSION_DENIED
        again = SessionPeer(agent.channel)
        hello = session_service_pb2.Hello(namespace=OWN, session_id=welcome.session_id)
        await again.send(session_service_pb2.ClientMessage(hello=hello))
        assert (await again.refusal())[0] is grpc.StatusCode.PERMISSION_DENIED
        assert (await other.ask(publish={"events": [{"custom": {"name": "x"}}]})).HasField("publish")
        (tmp_path / "access.yaml").write_text(ACCESS.replace("rival], role: agent", "rival], role: viewer"))
        assert (await other.refusal())[0] is grpc.StatusCode.PERMISSION_DENIED


async def test_a_stream_ends_when_its_token_expires_and_goes_on_with_another(tmp_path: Path) -> None:
    """UNAVAILABLE, so that a client comes again; with a token that has expired it is then told so."""
    issuer = Issuer()
    async with secured(tmp_path, **jwt_settings(tmp_path, issuer)) as server, peer_of(server) as peer:
        await peer.events.Publish(publish("x", namespace=OWN), metadata=known_as("agent"))
        short, long = bearer(issuer.token("alice", seconds=1)), bearer(issuer.token("alice"))
        session = SessionPeer(peer.channel, short)
        welcome = await session.hello("alice-1", namespace=OWN)
        call = peer.events.Subscribe(event_service_pb2.SubscribeRequest(namespace=OWN), metadata=short)
        assert (await stream_refusal(call)).code == "UNAVAILABLE"
        assert (await session.refusal())[0] is grpc.StatusCode.UNAVAILABLE
        again = SessionPeer(peer.channel, long)
        assert (await again.hello(namespace=OWN, session_id=welcome.session_id)).resumed
        request = monitor_service_pb2.GetServerInfoRequest()
        assert await verdict(peer.monitor.GetServerInfo(request, metadata=short)) == "UNAUTHENTICATED"


def test_a_client_comes_back_under_the_id_that_it_was_given() -> None:
    """One that gave no id has the coordinator's from then on; to claim capabilities takes a name of one's own."""
    access = Access(principal="painter", namespace=OWN, role=Role.AGENT, agents=("painter",))
    access.check_agent("client-7", "client-7", [])
    with pytest.raises(PermissionDenied):
        access.check_agent("client-7", "client-7", ["paint"])


async def test_a_token_that_is_withdrawn_ends_also_a_session_that_reads_nothing(tmp_path: Path) -> None:
    """Whoever is shut out is shut out at once: nothing that it sends from then on is done."""
    async with secured(tmp_path) as server, peer_of(server, "agent") as agent, peer_of(server, "rival") as rival:
        session = SessionPeer(agent.channel)
        await session.hello("agent-1", namespace=OWN)
        big = {"updates": [{"key": "big", "value": {"string_value": "x" * 500_000}}]}
        await session.ask(update_state={"change": big})
        for number in range(100, 124):  # 12 MB that it does not read: less than the outbox takes, more than the wire
            command = session_service_pb2.Command(correlation_id=number, get_state={"keys": ["big"]})
            await session.send(session_service_pb2.ClientMessage(command=command))
        (tmp_path / "tokens.yaml").write_text(hashes("rival"))

        async def is_withdrawn() -> bool:
            async with peer_of(server, "agent") as again:
                return await verdict(again.events.Publish(publish("y", namespace=OWN))) == "UNAUTHENTICATED"

        await until(is_withdrawn)
        try:
            for number in range(10):
                command = session_service_pb2.Command(
                    correlation_id=number, publish={"events": [{"custom": {"name": "smuggled"}}]}
                )
                async with asyncio.timeout(5):
                    await session.send(session_service_pb2.ClientMessage(command=command))
                await asyncio.sleep(0.3)
        except (TimeoutError, grpc.aio.AioRpcError, asyncio.InvalidStateError):
            pass
        listed = await rival.events.ListEvents(event_service_pb2.ListEventsRequest(namespace=OWN, page_size=1000))
        assert [each.custom.name for each in listed.events if each.custom.name == "smuggled"] == []
