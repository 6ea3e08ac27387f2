"""X1 on the wire: Explain over a real server."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import grpc
import pytest
from concert.v1 import event_pb2, explanation_pb2, run_service_pb2
from concert.v1 import monitor_service_pb2 as pb

from coordinator_service.core.causes import CAUSES_MAX

from .peer import Peer, publish, refused, submit
from .serving import serving

TRACE = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"


async def explain(peer: Peer, **fields: Any) -> Any:
    return (await peer.monitor.Explain(pb.ExplainRequest(**fields))).explanation


async def test_causes_lead_back_to_the_request_with_its_trace(peer: Peer) -> None:
    """X1: from the task that was skipped to the run that was submitted; each step with reason and trace."""
    await peer.runs.SubmitRun(submit("a", run_id="r"), metadata=(("traceparent", TRACE),))
    await peer.runs.CancelRun(run_service_pb2.CancelRunRequest(run_id="r"))
    found = await explain(peer, task={"run_id": "r", "task_id": "a"})
    assert [(each.type, each.reason) for each in found.causes] == [
        (event_pb2.EVENT_TYPE_TASK_CANCELLED, "RUN_CANCELLED"),
        (event_pb2.EVENT_TYPE_RUN_CANCELLED, "RUN_CANCELLED"),
    ]
    assert {each.traceparent for each in found.causes} == {TRACE}
    stopped = await explain(peer, sequence=found.causes[1].sequence)
    assert [each.type for each in stopped.effects] == [
        event_pb2.EVENT_TYPE_TASK_CANCELLED,
        event_pb2.EVENT_TYPE_RUN_COMPLETED,
    ]
    assert (found.earlier_cause, len(found.waiting)) == (0, 0)
    for first, second in zip(found.causes, found.causes[1:], strict=False):
        assert first.cause == second.sequence


async def test_the_present_is_true_at_its_sequence(peer: Peer) -> None:
    """X1: what waits, and everything that stands in its way, in the messages of the contract."""
    await peer.acquire("door", holder="me")
    await peer.submit("a", run_id="r")
    found = await explain(peer, run_id="r")
    assert found.sequence == await peer.last_sequence()
    kinds = [[blocker.kind for blocker in each.blockers] for each in found.waiting]
    assert kinds == [[explanation_pb2.WAIT_KIND_TASKS], [explanation_pb2.WAIT_KIND_NO_AGENT]]
    lock = await explain(peer, resource="door")
    assert lock.summary == "lock door is held exclusive by me; 0 wait for it"
    by_token = await explain(peer, sequence=lock.causes[0].sequence)
    assert (by_token.summary, by_token.subject) == (lock.summary, f"event {lock.causes[0].sequence}")


async def test_a_sequence_that_stands_for_nothing_tells_its_past(peer: Peer) -> None:
    """X1: an event that is over is explained by what led to it and what followed."""
    response = await peer.publish("built")
    found = await explain(peer, sequence=response.sequences[0])
    assert found.summary == "built was published; it stands for nothing that waits now"
    assert [each.sequence for each in found.causes] == list(response.sequences)


async def test_a_run_that_is_no_longer_in_memory_is_explained_from_the_log(tmp_path: Path) -> None:
    """X1, D8: it and its tasks; a task that it never had is NOT_FOUND."""
    async with (
        serving(tmp_path, run_retention_ms=1) as server,
        grpc.aio.insecure_channel(server.address) as channel,
    ):
        peer = Peer(channel)
        await peer.submit("a", run_id="r")
        await peer.runs.CancelRun(run_service_pb2.CancelRunRequest(run_id="r"))
        state = (await server._namespaces.get("default")).sequencer.state
        while "r" in state.runs:
            await peer.publish("time passes")
        found = await explain(peer, run_id="r")
        assert (found.summary, found.sequence) == ("run r is CANCELLED", await peer.last_sequence())
        assert found.causes[0].type == event_pb2.EVENT_TYPE_RUN_COMPLETED
        found = await explain(peer, task={"run_id": "r", "task_id": "a"})
        assert "CANCELLED" in found.summary
        for task_id in ("b", "c"):
            refusal = await refused(explain(peer, task={"run_id": "r", "task_id": task_id}))
            assert (refusal.code, refusal.details["ResourceInfo"].resource_type) == ("NOT_FOUND", "task")


async def test_what_the_log_no_longer_keeps_is_out_of_range(tmp_path: Path) -> None:
    """X1, E4: asked about by its sequence; as a cause of something, the chain ends before it and names it."""
    async with (
        serving(tmp_path, snapshot_events=5) as server,
        grpc.aio.insecure_channel(server.address) as channel,
    ):
        peer = Peer(channel)
        await peer.submit("a", run_id="r")
        namespace = await server._namespaces.get("default")
        while len(await namespace._log.snapshots()) < 2:
            await peer.publish("built")
        await namespace._log.trim((await namespace._log.snapshots())[1].sequence, 1)
        oldest = (await namespace.ends()).oldest_sequence
        assert oldest > 3
        refusal = await refused(explain(peer, sequence=1))
        assert (refusal.code, refusal.reason) == ("OUT_OF_RANGE", "CURSOR_COMPACTED")
        assert refusal.details["LogPosition"].oldest_sequence == oldest
        await peer.runs.CancelRun(run_service_pb2.CancelRunRequest(run_id="r"))
        found = await explain(peer, run_id="r")
        assert found.causes[0].type == event_pb2.EVENT_TYPE_RUN_COMPLETED
        assert (await explain(peer, sequence=oldest)).causes[0].sequence == oldest
        await peer.submit("b", run_id="kept")
        kept = await explain(peer, task={"run_id": "kept", "task_id": "b"})
        assert len(kept.causes) == 2


async def test_chains_and_effects_are_bounded(peer: Peer) -> None:
    """X1: a run of many tasks was followed by more than an answer needs."""
    await peer.runs.SubmitRun(submit(*(f"t{number}" for number in range(120)), run_id="r"))
    found = await explain(peer, run_id="r")
    assert (len(found.effects), len(found.causes), found.waiting_total, len(found.waiting)) == (50, 1, 121, 100)
    assert len(found.causes) <= CAUSES_MAX


@pytest.mark.parametrize("namespace", ["", "nowhere"])
async def test_what_does_not_exist_is_refused_by_name(peer: Peer, namespace: str) -> None:
    """X1: NOT_FOUND for things, INVALID_ARGUMENT for a sequence of the future; no namespace is made by asking."""
    for fields, kind in (
        ({"run_id": "ghost"}, "run"),
        ({"task": {"run_id": "ghost", "task_id": "t"}}, "run"),
        ({"resource": "ghost"}, "lock"),
        ({"agent_id": "ghost"}, "agent"),
    ):
        refusal = await refused(explain(peer, namespace=namespace, **fields))
        assert (refusal.code, refusal.details["ResourceInfo"].resource_type) == ("NOT_FOUND", kind)
    refusal = await refused(explain(peer, namespace=namespace, sequence=10**9))
    assert (refusal.code, refusal.reason) == ("INVALID_ARGUMENT", "CURSOR_IN_FUTURE")
    listed = await peer.monitor.ListNamespaces(pb.ListNamespacesRequest())
    assert [each.namespace for each in listed.namespaces] == ["default"]


@pytest.mark.parametrize(
    ("fields", "field"),
    [
        ({}, "subject"),
        ({"sequence": 0}, "sequence"),
        ({"run_id": ""}, "run_id"),
        ({"run_id": "x" * 200}, "run_id"),
        ({"task": {"run_id": "r"}}, "task.task_id"),
        ({"task": {"task_id": "t"}}, "task.run_id"),
        ({"resource": "a\nb"}, "resource"),
        ({"agent_id": ""}, "agent_id"),
    ],
    ids=str,
)
async def test_a_malformed_question_is_refused_with_its_field(peer: Peer, fields: dict[str, Any], field: str) -> None:
    """X1: INVALID_ARGUMENT."""
    refusal = await refused(explain(peer, **fields))
    assert (refusal.code, list(refusal.fields)) == ("INVALID_ARGUMENT", [field])


async def test_names_come_back_as_they_are(peer: Peer) -> None:
    """X1: quotes, markup and control of nothing: text stays text."""
    name = "<script>alert('x')</script> \"quoted\" ünïcode"
    await peer.events.Publish(publish(name))
    found = await explain(peer, sequence=await peer.last_sequence())
    assert found.causes[0].text == f"{name} was published"
