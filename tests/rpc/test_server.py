"""The server: what it says of itself, how it ends, what it does when it cannot serve."""

from __future__ import annotations

import asyncio
import json
import signal
import socket
import subprocess
import sys
from pathlib import Path
from typing import Any

import grpc
import pytest
from concert.v1 import event_service_pb2, monitor_service_pb2, session_service_pb2
from concert.v1.event_pb2 import EVENT_TYPE_RESOURCE_REQUESTED
from grpc_health.v1 import health_pb2, health_pb2_grpc
from grpc_reflection.v1alpha import reflection_pb2, reflection_pb2_grpc

from coordinator_service.log.base import StoreInUse
from coordinator_service.server import SERVICES, CannotListen, CoordinatorServer
from tests.coordinator_process import CoordinatorProcess, coordinator_process

from .peer import Peer, acquire, decode, event_of, refused
from .serving import serving

SERVING = health_pb2.HealthCheckResponse.SERVING
NOT_SERVING = health_pb2.HealthCheckResponse.NOT_SERVING


async def health(peer: Peer, service: str = "") -> Any:
    stub: Any = health_pb2_grpc.HealthStub(peer.channel)
    return (await stub.Check(health_pb2.HealthCheckRequest(service=service))).status


async def test_every_service_is_healthy(peer: Peer) -> None:
    """grpc.health.v1, for the server and for each service."""
    for service in ("", *SERVICES):
        assert await health(peer, service) == SERVING


async def test_reflection_describes_every_service(peer: Peer) -> None:
    """grpcurl needs nothing but the address: the services, and the files that describe them."""
    stub: Any = reflection_pb2_grpc.ServerReflectionStub(peer.channel)
    request = reflection_pb2.ServerReflectionRequest
    questions = [request(list_services=""), *(request(file_containing_symbol=name) for name in SERVICES)]
    answers = [answer async for answer in stub.ServerReflectionInfo(iter(questions))]
    listed = {service.name for service in answers[0].list_services_response.service}
    assert set(SERVICES) <= listed
    assert all(answer.file_descriptor_response.file_descriptor_proto for answer in answers[1:])


async def test_the_server_describes_itself(coordinator: CoordinatorServer, peer: Peer) -> None:
    """Version, replica, feature level, store, when it started, and every limit by name."""
    info = await peer.monitor.GetServerInfo(monitor_service_pb2.GetServerInfoRequest())
    assert info.version
    assert (info.replica_id, info.feature_level) == ("replica-1", 1)
    assert info.event_store == coordinator.settings.event_store
    assert info.started_at.seconds > 1_600_000_000
    assert info.limits["payload_bytes_max"] == 1024 * 1024
    assert info.limits["agents_running_max"] == coordinator.settings.agents_running_max


async def test_while_stopping_everybody_is_told_to_go_elsewhere(coordinator: CoordinatorServer, peer: Peer) -> None:
    """UNAVAILABLE with RetryInfo for new calls, waiting calls and streams; NOT_SERVING; Drain to sessions."""
    held = (await peer.acquire("bucket/blog")).grants[0]
    session = peer.sessions.Connect()
    hello = session_service_pb2.ClientMessage(hello=session_service_pb2.Hello())
    await session.write(session_service_pb2.ConnectRequest(messages=[hello]))
    assert (await session.read()).messages[0].HasField("welcome")
    stream = peer.events.Subscribe(event_service_pb2.SubscribeRequest())
    await stream.read()
    waiting = asyncio.ensure_future(refused(peer.locks.Acquire(acquire("bucket/blog", wait_seconds=60))))
    await event_of(peer, EVENT_TYPE_RESOURCE_REQUESTED, held.fencing_token)
    stopping = asyncio.create_task(coordinator.stop(notice_seconds=1.0, grace_seconds=0.1))
    streamed = await refused(_rest(stream))
    for refusal in (await waiting, streamed, await refused(peer.publish("late"))):
        assert (refusal.code, refusal.reason) == ("UNAVAILABLE", "UNAVAILABLE")
        assert refusal.details["RetryInfo"].retry_delay.ToMilliseconds() > 0
    assert await health(peer) == NOT_SERVING
    assert await health(peer, SERVICES[0]) == NOT_SERVING
    drain = (await session.read()).messages[0].drain
    assert drain.reconnect_by.ToMilliseconds() > 0
    with pytest.raises(grpc.aio.AioRpcError) as ended:
        await _rest(session)
    assert decode(ended.value).code == "UNAVAILABLE"
    await stopping


async def _rest(call: Any) -> None:
    async with asyncio.timeout(20):
        while await call.read() is not grpc.aio.EOF:
            pass


async def test_what_was_acknowledged_is_there_after_a_restart(tmp_path: Path) -> None:
    """D3: stopped and started again on the same data, the log goes on where it was."""
    for number in range(3):
        async with (
            serving(tmp_path, event_store="sqlite") as server,
            grpc.aio.insecure_channel(server.address) as channel,
        ):
            peer = Peer(channel)
            customs = event_service_pb2.ListEventsRequest(filter={"types": [100]})
            assert len((await peer.events.ListEvents(customs)).events) == number
            await peer.publish("a")


async def test_every_namespace_there_is_goes_on_after_a_restart(tmp_path: Path) -> None:
    """D6: leases and deadlines go on whether or not somebody calls: every namespace is owned again, used or not."""
    async with serving(tmp_path, event_store="sqlite") as server, grpc.aio.insecure_channel(server.address) as channel:
        await Peer(channel).publish("a", namespace="blog")
    async with serving(tmp_path, event_store="sqlite") as server, asyncio.timeout(20):
        await server._owning
        assert {each.namespace for each in server._namespaces.owned()} == {"blog", "default"}


async def test_an_address_that_is_taken_is_said_so(coordinator: CoordinatorServer, tmp_path: Path) -> None:
    """SO_REUSEPORT is off: two coordinators never share a port by accident."""
    with pytest.raises(CannotListen, match=coordinator.address):
        async with serving(tmp_path / "other", listen=coordinator.address):
            pass


async def test_a_store_that_is_in_use_is_said_so(tmp_path: Path) -> None:
    """Two coordinators never share a file."""
    async with serving(tmp_path, event_store="sqlite"):
        with pytest.raises(StoreInUse):
            async with serving(tmp_path, event_store="sqlite"):
                pass


async def test_namespaces_have_a_limit(tmp_path: Path) -> None:
    """RESOURCE_EXHAUSTED with QuotaFailure for one too many; those there are go on."""
    async with serving(tmp_path, namespaces_max=2) as server, grpc.aio.insecure_channel(server.address) as channel:
        peer = Peer(channel)
        await peer.publish("a", namespace="second")
        refusal = await refused(peer.publish("a", namespace="third"))
        assert (refusal.code, refusal.reason) == ("RESOURCE_EXHAUSTED", "LIMIT_REACHED")
        assert refusal.details["QuotaFailure"].violations[0].subject == "namespaces_max"
        assert await peer.publish("a", namespace="second")


def test_a_signal_ends_it_gracefully(tmp_path: Path) -> None:
    """SIGTERM: exit code 0, the ready file gone, nothing but information in the log."""
    with coordinator_process(tmp_path) as process:
        ready = tmp_path / "ready.json"
        assert json.loads(ready.read_text()) == {"address": process.address, "pid": process.pid}
        assert process.terminate() == 0
        assert not ready.exists()
    log = process.log_tail()
    assert f"serving on {process.address}" in log
    assert "ERROR" not in log
    assert "Traceback" not in log


async def test_a_second_signal_ends_it_at_once(tmp_path: Path) -> None:
    """Whoever does not want to wait for the grace need not."""
    process = CoordinatorProcess(tmp_path, options=["--drain-notice-seconds", "600", "--drain-grace-seconds", "600"])
    await asyncio.to_thread(process.start)
    try:
        running = process._running()
        running.send_signal(signal.SIGTERM)
        async with asyncio.timeout(20), grpc.aio.insecure_channel(process.address) as channel:
            watch = health_pb2_grpc.HealthStub(channel).Watch(health_pb2.HealthCheckRequest())
            while (await watch.read()).status != NOT_SERVING:
                pass
            watch.cancel()
        assert running.poll() is None
        assert await asyncio.to_thread(process.terminate) == 0
    finally:
        process.stop()


def test_what_keeps_it_from_serving_is_said_in_one_line(tmp_path: Path) -> None:
    """Exit code 1 and a line, no traceback."""
    with socket.create_server(("127.0.0.1", 0)) as taken:
        address = f"127.0.0.1:{taken.getsockname()[1]}"
        command = [sys.executable, "-m", "coordinator_service", "--listen", address, "--data-dir", str(tmp_path)]
        ended = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert ended.returncode == 1
    assert f"cannot listen on {address}" in ended.stderr
    assert "Traceback" not in ended.stderr
