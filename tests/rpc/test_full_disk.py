"""A full disk: whoever publishes is told to come again, what was acknowledged stays, and with room it goes on."""

from __future__ import annotations

import asyncio
import resource
from pathlib import Path

import grpc
import pytest
from concert.v1 import event_service_pb2

from tests.coordinator_process import CoordinatorProcess

from .peer import Peer, decode, publish

prlimit = getattr(resource, "prlimit", None)


@pytest.mark.skipif(prlimit is None, reason="limits of another process can be set on Linux only")
async def test_a_full_disk_is_unavailable_and_loses_nothing(tmp_path: Path) -> None:
    """D3, D4: UNAVAILABLE with RetryInfo; every acknowledged event is there, nothing else, once, in order."""
    process = CoordinatorProcess(tmp_path)
    await asyncio.to_thread(process.start)
    try:
        async with grpc.aio.insecure_channel(process.address) as channel:
            peer = Peer(channel)
            before = await _publish_until_refused(peer, 1)
            assert before == 1
            assert prlimit is not None
            unlimited = prlimit(process.pid, resource.RLIMIT_FSIZE, (1024 * 1024, resource.RLIM_INFINITY))
            acknowledged = await _publish_until_refused(peer, 1000)
            assert 0 < acknowledged < 1000
            prlimit(process.pid, resource.RLIMIT_FSIZE, unlimited)
            await _publish_again(peer)
            request = event_service_pb2.ListEventsRequest(filter={"types": [100]}, page_size=1000)
            names = []
            while True:
                page = await peer.events.ListEvents(request)
                names += [event.custom.name for event in page.events]
                request.page_token = page.next_page_token
                if not request.page_token:
                    break
            assert names == ["page_rendered"] * (before + acknowledged) + ["again"]
        assert await asyncio.to_thread(process.terminate) == 0
    finally:
        process.stop()


async def _publish_until_refused(peer: Peer, count: int) -> int:
    """How many were acknowledged."""
    for number in range(count):
        request = publish("page_rendered")
        request.events[0].custom.data.data = bytes(50_000)
        try:
            await peer.events.Publish(request)
        except grpc.aio.AioRpcError as error:
            refusal = decode(error)
            assert (refusal.code, refusal.reason) == ("UNAVAILABLE", "UNAVAILABLE")
            assert refusal.details["RetryInfo"].retry_delay.ToMilliseconds() > 0
            return number
    return count


async def _publish_again(peer: Peer) -> None:
    """Under one request id, until it is acknowledged: as every client does that is told to come again."""
    async with asyncio.timeout(20):
        while True:
            try:
                await peer.publish("again", request_id="r-1")
            except grpc.aio.AioRpcError as error:
                delay = decode(error).details["RetryInfo"].retry_delay
                await asyncio.sleep(delay.ToMilliseconds() / 1000)
            else:
                return
