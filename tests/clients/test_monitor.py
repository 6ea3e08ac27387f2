"""What the Python client asks of the monitor, against a real coordinator."""

from __future__ import annotations

import concert
from concert.v1 import event_pb2, metrics_pb2

from tests.coordinator_process import coordinator_process


async def test_the_client_reads_health_metrics_and_namespaces(tmp_path) -> None:  # type: ignore[no-untyped-def]
    """M1, M2: from a client and inside a session alike."""
    with coordinator_process(tmp_path, durable=False) as process:
        async with concert.connect(process.address, namespace="looked-at") as client:
            await client.publish("built")
            async with client.session(agent_name="looker") as session:
                for asking in (client, session):
                    assert (await asking.monitor.health()).status == metrics_pb2.HEALTH_STATUS_HEALTHY
                    counted = await asking.monitor.metrics()
                    custom = [each for each in counted.events if each.type == event_pb2.EVENT_TYPE_CUSTOM]
                    assert [each.count for each in custom] == [1]
                    assert [each.agents_connected for each in counted.agents] == [1]
                    listed = {each.namespace: each.sessions for each in await asking.monitor.namespaces()}
                    assert listed == {"default": 0, "looked-at": 1}
