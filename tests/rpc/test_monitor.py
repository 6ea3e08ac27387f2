"""MonitorService on the wire: health, metrics, namespaces."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import grpc
import pytest
from concert.v1 import event_pb2, lock_service_pb2, metrics_pb2
from concert.v1 import monitor_service_pb2 as pb

from coordinator_service.log.base import LogCorrupt
from coordinator_service.log.memory import MemoryPlace, MemoryStore

from .peer import Peer, refused
from .serving import serving

IDLE, HEALTHY = metrics_pb2.HEALTH_STATUS_IDLE, metrics_pb2.HEALTH_STATUS_HEALTHY
WARNING, CRITICAL = metrics_pb2.HEALTH_STATUS_WARNING, metrics_pb2.HEALTH_STATUS_CRITICAL


async def health(peer: Peer, namespace: str = "") -> Any:
    return await peer.monitor.GetHealth(pb.GetHealthRequest(namespace=namespace))


async def metrics(peer: Peer, **fields: Any) -> Any:
    return (await peer.monitor.GetMetrics(pb.GetMetricsRequest(**fields))).metrics


def components(response: Any) -> dict[str, int]:
    return {each.name: each.status for each in response.components}


async def count(peer: Peer, kind: int) -> int:
    return next((each.count for each in (await metrics(peer)).events if each.type == kind), 0)


async def test_health_comes_with_the_figures_it_is_computed_from(peer: Peer) -> None:
    """M1: the namespace by its window, the log apart; no policy file, no such component."""
    await peer.publish("a", "b")
    found = await health(peer)
    assert (found.status, components(found)) == (HEALTHY, {"namespace": HEALTHY, "log": HEALTHY})
    assert (found.window.seconds, found.window.events, found.window.failures) == (300, 3, 0)
    assert found.window.sequence == await peer.last_sequence()


async def test_a_namespace_that_does_not_exist_is_idle_and_is_not_made(peer: Peer) -> None:
    """M1, M2: asking makes nothing."""
    assert (await health(peer, "nowhere")).status == IDLE
    assert (await metrics(peer, namespace="nowhere")).sequence == 0
    listed = await peer.monitor.ListNamespaces(pb.ListNamespacesRequest())
    assert [each.namespace for each in listed.namespaces] == ["default"]


async def test_metrics_are_of_everything_that_was_acknowledged(peer: Peer) -> None:
    """M2: whoever was answered is counted, at once."""
    for number in range(1, 4):
        await peer.publish("built")
        assert await count(peer, event_pb2.EVENT_TYPE_CUSTOM) == number
    token = (await peer.acquire("door")).grants[0].fencing_token
    await peer.submit("a", "b", run_id="r")
    found = await metrics(peer)
    assert found.sequence == await peer.last_sequence() >= token
    assert [(each.resource, each.acquisitions, len(each.holders)) for each in found.resources] == [("door", 1, 1)]
    assert [(each.run_id, each.tasks, each.progress) for each in found.runs] == [("r", 2, 0)]
    orchestrations = found.orchestrations
    assert (orchestrations.runs_active, orchestrations.runs_total, orchestrations.tasks_ready) == (1, 1, 2)
    alone = await metrics(peer, run_id="r", resources_max=1, agents_max=1)
    assert [each.run_id for each in alone.runs] == ["r"]


async def test_a_restart_zeroes_nothing(tmp_path: Path) -> None:
    """M2, D9: the counts of a process that is gone come back, from a snapshot and what follows it."""
    before: Any = None
    for number in range(3):
        async with (
            serving(tmp_path, event_store="sqlite", snapshot_events=7) as server,
            grpc.aio.insecure_channel(server.address) as channel,
        ):
            peer = Peer(channel)
            if before is not None:
                after = await metrics(peer)
                assert [each.count for each in after.events if each.type == event_pb2.EVENT_TYPE_CUSTOM] == [6 * number]
                assert [each.acquisitions for each in after.resources] == [number]
                assert after.resources[0].held.count + len(after.resources[0].holders) == number
            for _ in range(6):
                await peer.publish("built")
            token = (await peer.acquire("door", holder="me")).grants[0].fencing_token
            await peer.locks.Release(lock_service_pb2.ReleaseRequest(fencing_tokens=[token]))
            before = await metrics(peer)


async def test_a_bad_policy_file_is_seen_in_health(tmp_path: Path) -> None:
    """M1, P1: a warning of that component, with what is wrong with the file."""
    file = tmp_path / "policies.yaml"
    file.write_text("coordination_policies: {default: {max_execution_time_seconds: 300}}\n")
    async with (
        serving(tmp_path, policy_file=file, policy_poll_seconds=0.01) as server,
        grpc.aio.insecure_channel(server.address) as channel,
    ):
        peer = Peer(channel)
        assert components(await health(peer))["policy_file"] == HEALTHY
        file.write_text("coordination_policies: {default: {max_execution_time_seconds: -1}}\n")
        server.reload()
        while components(found := await health(peer))["policy_file"] == HEALTHY:
            await peer.publish("time passes")
    assert found.status == WARNING
    faulty = next(each for each in found.components if each.name == "policy_file")
    assert "max_execution_time_seconds" in faulty.fault
    assert faulty.failing_since.seconds > 0


class Damaged(MemoryStore):
    """A store with one log that cannot be read."""

    async def open(self, namespace: str) -> Any:
        if namespace == "broken":
            raise LogCorrupt("not what was written", sequence=7)
        return await super().open(namespace)


async def test_a_namespace_that_cannot_be_served_is_critical_and_listed(tmp_path: Path) -> None:
    """M1: what is wrong with a log is told, not raised; the other namespaces are listed as ever."""
    place = MemoryPlace()
    await MemoryStore(place).open("broken")
    async with (
        serving(tmp_path, store=Damaged(place)) as server,
        grpc.aio.insecure_channel(server.address) as channel,
    ):
        peer = Peer(channel)
        found = await health(peer, "broken")
        assert (found.status, components(found)["log"]) == (CRITICAL, CRITICAL)
        assert "sequence 7" in found.components[1].fault
        listed = (await peer.monitor.ListNamespaces(pb.ListNamespacesRequest())).namespaces
        assert [(each.namespace, "sequence 7" in each.fault) for each in listed] == [
            ("broken", True),
            ("default", False),
        ]


async def test_namespaces_are_listed_by_pages(peer: Peer) -> None:
    """Each with its last sequence, its active runs and its sessions."""
    for name in ("c", "a", "b"):
        await peer.publish("x", namespace=name)
    await peer.submit("t", namespace="b")
    found, token = [], ""
    while True:
        page = await peer.monitor.ListNamespaces(pb.ListNamespacesRequest(page_size=2, page_token=token))
        found += page.namespaces
        token = page.next_page_token
        if not token:
            break
        assert len(page.namespaces) == 2
    assert [each.namespace for each in found] == ["a", "b", "c", "default"]
    assert [each.runs_active for each in found] == [0, 1, 0, 0]
    assert [each.sessions for each in found] == [0, 0, 0, 0]
    for each in found:
        assert each.last_sequence == await peer.last_sequence(each.namespace)
        assert each.log_id


@pytest.mark.parametrize("field", ["agents_max", "resources_max", "runs_max"])
async def test_no_more_is_shown_than_fits(peer: Peer, field: str) -> None:
    """INVALID_ARGUMENT with the limit."""
    refusal = await refused(peer.monitor.GetMetrics(pb.GetMetricsRequest(**{field: 501})))
    assert (refusal.code, list(refusal.fields)) == ("INVALID_ARGUMENT", [field])
    assert "limit" in refusal.fields[field]


async def test_bad_requests_are_refused_by_name(peer: Peer) -> None:
    """A run that is not there, a token that the list did not give out, a page that is too large."""
    for namespace in ("", "nowhere"):
        request = pb.GetMetricsRequest(run_id="ghost", namespace=namespace)
        assert (await refused(peer.monitor.GetMetrics(request))).code == "NOT_FOUND"
    refusal = await refused(peer.monitor.ListNamespaces(pb.ListNamespacesRequest(page_token="?", page_size=2000)))
    assert set(refusal.fields) == {"page_token", "page_size"}
    refusal = await refused(peer.monitor.GetMetrics(pb.GetMetricsRequest(run_id="x" * 200)))
    assert list(refusal.fields) == ["run_id"]
    refusal = await refused(peer.monitor.GetHealth(pb.GetHealthRequest(namespace="a\nb")))
    assert list(refusal.fields) == ["namespace"]
