"""Retention through a real server: what is dropped is told as such, and the log that is left proves itself."""

from __future__ import annotations

import asyncio
from pathlib import Path

import grpc
from concert.v1 import event_service_pb2 as pb
from concert.v1 import monitor_service_pb2, state_service_pb2

from coordinator_service.replay_command import AGREES, run

from .peer import Peer, refused
from .serving import serving
from .test_events import take


async def test_a_log_that_is_cut_says_where_it_begins(tmp_path: Path) -> None:
    """D8, E4, D9: with retention by number the oldest go while the coordinator serves; cursors below are OUT_OF_RANGE
    with the oldest sequence kept, a list begins there, the limits are told, and after a restart all still holds."""
    limits = {"snapshot_events": 20, "log_events_max": 50, "trim_interval_ms": 20, "request_window_ms": 50}
    limits |= {"tail_bytes_max": 1, "state_history_values_max": 1}
    async with (
        serving(tmp_path, event_store="sqlite", **limits) as server,
        grpc.aio.insecure_channel(server.address) as channel,
    ):
        peer = Peer(channel)
        told = (await peer.monitor.GetServerInfo(monitor_service_pb2.GetServerInfoRequest())).limits
        assert (told["log_events_max"], told["request_window_ms"]) == (50, 50)
        assert "log_retention_ms" not in told
        for number in range(3):
            await peer.update("k", number, writer="me")
        oldest = 1
        async with asyncio.timeout(60):
            while oldest < 40:
                await peer.publish(*["a"] * 10)
                oldest = (await peer.events.ListSubscriptions(pb.ListSubscriptionsRequest())).oldest_sequence
        after = pb.SubscribeRequest(after=pb.Cursor(sequence=1))
        for call in (
            take(peer.events.Subscribe(after), 1),
            peer.events.GetEvent(pb.GetEventRequest(sequence=2)),
            peer.events.ListEvents(pb.ListEventsRequest(after_sequence=1)),
            peer.events.CreateSubscription(pb.CreateSubscriptionRequest(name="s", after=pb.Cursor(sequence=1))),
        ):
            refusal = await refused(call)
            assert (refusal.code, refusal.reason) == ("OUT_OF_RANGE", "CURSOR_COMPACTED")
            assert refusal.details["LogPosition"].oldest_sequence >= oldest
        read = state_service_pb2.GetStateRequest(keys=["k"], revision=1)
        refusal = await refused(peer.state.GetState(read))
        assert (refusal.code, refusal.reason) == ("OUT_OF_RANGE", "CURSOR_COMPACTED")
        read.revision = refusal.details["LogPosition"].oldest_sequence
        assert (await peer.state.GetState(read)).sequence == read.revision
        for call in (
            peer.state.ListStateHistory(state_service_pb2.ListStateHistoryRequest(after_revision=1)),
            peer.state.WatchState(state_service_pb2.WatchStateRequest(after=pb.Cursor(sequence=1))).read(),
        ):
            assert (await refused(call)).reason == "CURSOR_COMPACTED"
        listed = await peer.events.ListEvents(pb.ListEventsRequest(page_size=1))
        assert listed.events[0].sequence >= oldest
        await peer.publish("last")
        last = await peer.last_sequence()
    assert await asyncio.to_thread(run, ["--data-dir", str(tmp_path)]) == AGREES
    async with (
        serving(tmp_path, event_store="sqlite", **limits) as server,
        grpc.aio.insecure_channel(server.address) as channel,
    ):
        peer = Peer(channel)
        assert await peer.last_sequence() > last
        assert (await peer.events_after(last - 1))[0].custom.name == "last"
