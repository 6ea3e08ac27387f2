"""Who calls is known wherever a call comes in: the owner of a namespace decides for that principal."""

from __future__ import annotations

from pathlib import Path

from concert.v1 import lock_service_pb2, run_service_pb2

from tests.cluster.replicas import Town, replica
from tests.rpc.peer import refused
from tests.rpc.test_session_stream import Peer as SessionPeer
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
