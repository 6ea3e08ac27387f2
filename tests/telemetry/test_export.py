"""The export of decision spans to a real receiver, from a real coordinator in the test's process."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import aiohttp
import concert
import grpc
import pytest

from tests.rpc.serving import serving
from tests.rpc.test_session_stream import Peer as SessionPeer
from tests.security.secured import OWN, known_as, peer_of, secured
from tests.web.acts import CANCEL, Script

from .logs import events_of, platform_sequences
from .receiver import Receiver, receiving

PARENT = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"
OVERLONG = "x" * 4_000
"""Not more: gRPC refuses more metadata than 8 KiB, now and then."""
UNSAMPLED = PARENT[:-2] + "00"


@pytest.fixture
async def client(receiver: Receiver, tmp_path: Path) -> AsyncIterator[concert.Client]:
    """Of a coordinator that exports."""
    async with serving(tmp_path) as server, concert.connect(server.address) as connected:
        yield connected


async def test_every_platform_event_is_a_span(client: concert.Client, receiver: Receiver) -> None:
    """T1: each event but a client's own has one decision span, with its sequence, time and log."""
    await client.state.update({"a": 1})
    async with client.lock("door"):
        await client.publish("custom", 1)
    wanted = await platform_sequences(client)
    await receiver.until(lambda: {each.sequence for each in receiver.decisions()} >= wanted)
    assert {each.sequence for each in receiver.decisions()} == wanted
    by_sequence = {each.sequence: each for each in receiver.decisions()}
    for event in await events_of(client):
        if event.sequence in wanted:
            received = by_sequence[event.sequence]
            assert received.span.end_time_unix_nano == event.timestamp.ToNanoseconds()
            assert received.resource["concert.log_id"] == event.log_id
            assert received.attributes["concert.reason"] == event.reason
            assert "service.instance.id" not in received.resource


async def test_what_is_not_sampled_is_not_exported(client: concert.Client, receiver: Receiver) -> None:
    """T1: the flag that a caller's context carries decides for all that follows from the call."""
    from concert.v1 import state_service_pb2, state_service_pb2_grpc

    async with grpc.aio.insecure_channel(client.address) as channel:
        stub = state_service_pb2_grpc.StateServiceStub(channel)
        revisions = {}
        for context in (UNSAMPLED, PARENT, "00-nonsense", OVERLONG):
            request = state_service_pb2.UpdateStateRequest()
            request.change.updates.add(key=f"k{len(revisions)}").value.string_value = context[:20]
            answer = await stub.UpdateState(request, metadata=(("traceparent", context),))
            revisions[context] = answer.revision
    await receiver.until(lambda: any(each.sequence == revisions[OVERLONG] for each in receiver.decisions()))
    by_sequence = {each.sequence: each for each in receiver.decisions()}
    assert revisions[UNSAMPLED] not in by_sequence
    assert by_sequence[revisions[PARENT]].span.trace_id.hex() in PARENT
    malformed = by_sequence[revisions["00-nonsense"]]
    assert malformed.span.trace_id.hex() not in PARENT


async def test_a_call_is_a_span_around_what_it_decided(client: concert.Client, receiver: Receiver) -> None:
    """T2: a call that brings no context begins a trace; the span of the call is the parent of its decisions."""
    revision = await client.state.update({"a": 1})

    def call() -> Any:
        named = "concert.v1.StateService/UpdateState"
        return next((each for each in receiver.spans if each.span.name == named), None)

    await receiver.until(lambda: call() and any(each.sequence == revision for each in receiver.decisions()))
    [decision] = [each for each in receiver.decisions() if each.sequence == revision]
    assert decision.span.trace_id == call().span.trace_id
    assert decision.span.parent_span_id == call().span.span_id
    assert call().attributes["rpc.system.name"] == "grpc"
    assert call().attributes["rpc.response.status_code"] == "OK"
    assert call().span.start_time_unix_nano <= decision.span.start_time_unix_nano


async def test_a_refused_call_says_its_code(client: concert.Client, receiver: Receiver) -> None:
    """T2: the span of a call carries its status."""
    with pytest.raises(concert.ConcertError):
        await client.events.get(1 << 40)
    await receiver.until(lambda: any(each.span.name.endswith("/GetEvent") for each in receiver.spans))
    [call] = [each for each in receiver.spans if each.span.name.endswith("/GetEvent")]
    assert call.attributes["rpc.response.status_code"] == "NOT_FOUND"


async def test_a_collector_that_is_not_there_costs_no_decision_and_no_span(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """T1: nothing waits for telemetry; what could not be sent is sent when the collector is there."""
    async with receiving() as gone:
        address = gone.address
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", f"http://{address}")
    async with serving(tmp_path) as server, concert.connect(server.address) as client:
        await quick(client)
        wanted = await platform_sequences(client)
        async with receiving(address) as receiver:
            await receiver.until(lambda: {each.sequence for each in receiver.decisions()} >= wanted)


async def test_a_collector_that_does_not_answer_costs_no_decision(
    receiver: Receiver, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """T1: a slow collector holds up spans, and nothing else."""
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_TIMEOUT", "0.3")
    receiver.stall = asyncio.Event()
    async with serving(tmp_path) as server, concert.connect(server.address) as client:
        await quick(client)
        await receiver.until(lambda: receiver.requests >= 3)  # it was sent again after its time-out
        wanted = await platform_sequences(client)
        receiver.stall.set()
        await receiver.until(lambda: {each.sequence for each in receiver.decisions()} >= wanted)


async def quick(client: concert.Client) -> None:
    """A hundred decisions, none of which takes as long as a collector may."""
    slowest = 0.0
    for number in range(100):
        began = time.monotonic()
        await client.state.update({"k": number})
        slowest = max(slowest, time.monotonic() - began)
    assert slowest < 2.0


async def test_what_the_collector_refuses_is_counted(receiver: Receiver, tmp_path: Path) -> None:
    """T1: spans that are refused for good are dropped and counted, and those after them go on."""
    receiver.refuse = (grpc.StatusCode.INVALID_ARGUMENT, "not these")
    async with serving(tmp_path) as server, concert.connect(server.address) as client:
        await client.state.update({"a": 1})
        counts = server.tracing.counts
        await receiver.until(lambda: counts.dropped["refused"])
        receiver.refuse = None
        revision = await client.state.update({"a": 2})
        await receiver.until(lambda: any(each.sequence == revision for each in receiver.decisions()))
        exported = len(receiver.decisions())
        wanted = len(await platform_sequences(client))
        calls_refused = counts.dropped["refused"] - (wanted - exported)
        assert 0 <= calls_refused <= 3  # spans of calls were among them


async def test_what_the_collector_takes_in_part_is_counted(receiver: Receiver, tmp_path: Path) -> None:
    """T1: partial success is success for some spans, and a drop for the others."""
    receiver.reject_spans = 1
    async with serving(tmp_path) as server:
        await receiver.until(lambda: receiver.decisions())
        await until(lambda: server.tracing.counts.dropped["refused"] >= 1)


async def until(condition: Any) -> None:
    """Gives others their turn until something holds."""
    while not condition():  # noqa: ASYNC110 (whatever it is)
        await asyncio.sleep(0.01)


async def test_the_standard_variables_are_followed(
    receiver: Receiver, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """T1: service name, resource attributes and headers are what the OTEL_* variables say."""
    monkeypatch.setenv("OTEL_SERVICE_NAME", "mine")
    monkeypatch.setenv("OTEL_RESOURCE_ATTRIBUTES", "deployment.environment=test,team=a%20b")
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_HEADERS", "x-key=secret")
    async with serving(tmp_path):
        await receiver.until(lambda: receiver.decisions())
    [resource] = {tuple(sorted(each.resource.items())) for each in receiver.decisions()}
    assert dict(resource)["service.name"] == "mine"
    assert dict(resource)["deployment.environment"] == "test"
    assert dict(resource)["team"] == "a b"
    assert receiver.metadata[0]["x-key"] == "secret"


@pytest.mark.parametrize("name", ["OTEL_SDK_DISABLED=true", "OTEL_TRACES_EXPORTER=none", "CONCERT_TRACING=off"])
async def test_switched_off_is_off(
    name: str, receiver: Receiver, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """T1: without an endpoint, or where it is switched off, there is no follower and nothing is sent."""
    variable, _, value = name.partition("=")
    monkeypatch.setenv(variable, value)
    async with serving(tmp_path) as server, concert.connect(server.address) as client:
        await client.state.update({"a": 1})
        assert server.tracing is None
    assert receiver.requests == 0


async def test_an_event_that_cannot_be_written_is_counted_and_holds_up_no_other(
    client: concert.Client, receiver: Receiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    """T1: a fault in one span costs that span."""
    from coordinator_service.core.events import StateUpdated
    from coordinator_service.telemetry import decision_spans

    describe = decision_spans._DESCRIBE[StateUpdated]

    def describe_or_fail(payload: Any, attributes: Any, event: Any) -> float:
        if payload.updates[0].key == "poison":
            raise ValueError("no words for it")
        return describe(payload, attributes, event)

    monkeypatch.setitem(decision_spans._DESCRIBE, StateUpdated, describe_or_fail)
    poisoned = await client.state.update({"poison": 1})
    revision = await client.state.update({"other": 1})
    await receiver.until(lambda: any(each.sequence == revision for each in receiver.decisions()))
    assert poisoned not in {each.sequence for each in receiver.decisions()}


@pytest.mark.parametrize("text", ['"\\', "a<script>", "ünï\u202e", "k" * 400], ids=["quotes", "script", "bidi", "long"])
async def test_whatever_a_name_says_comes_back_as_it_is(client: concert.Client, receiver: Receiver, text: str) -> None:
    """T1: keys, holders and resources are attributes, not format; large values are not in a span at all."""
    revision = await client.state.update({text: "v" * 900_000})
    async with client.lock(f"door {text}"[:400]):
        pass
    wanted = await platform_sequences(client)
    await receiver.until(lambda: {each.sequence for each in receiver.decisions()} >= wanted)
    [update] = [each for each in receiver.decisions() if each.sequence == revision]
    assert update.attributes["concert.state.keys"] == text
    held = [each for each in receiver.decisions() if each.attributes["concert.event"] == "RESOURCE_RELEASED"]
    assert held[0].attributes["concert.resource"] == f"door {text}"[:400]
    assert all(len(each.encoded) < 16_384 for each in receiver.decisions())


async def test_what_was_cut_from_the_log_is_counted(receiver: Receiver, tmp_path: Path) -> None:
    """T1: an event that the log dropped before its span left is counted as dropped, and the export goes on behind."""
    from coordinator_service.telemetry.counts import TRIMMED

    receiver.refuse = (grpc.StatusCode.UNAVAILABLE, "later")
    bounds = {
        "log_events_max": 50,
        "subscription_hold_events_max": 10,
        "snapshot_events": 50,
        "trim_interval_ms": 50,
        "request_window_ms": 1,
    }
    directory = tmp_path / "data"
    async with serving(directory, event_store="sqlite", **bounds) as server, concert.connect(server.address) as client:
        number = 0
        while (await client.events.list(limit=1))[0].sequence == 1:
            number += 1
            await client.state.update({"k": number})
    receiver.refuse = None
    receiver.spans.clear()
    async with serving(directory, event_store="sqlite", **bounds) as server, concert.connect(server.address) as client:
        revision = await client.state.update({"last": 1})
        await receiver.until(lambda: any(each.sequence == revision for each in receiver.decisions()))
        first = min(each.sequence for each in receiver.decisions())
        assert server.tracing.counts.dropped[TRIMMED] == first - 1 > 0


async def test_who_it_was_is_in_every_decision_span(receiver: Receiver, tmp_path: Path) -> None:
    """T1, with authentication: of a call, of a session, and of an act on the page, which is a call with a span too;
    what the coordinator does by itself has no principal."""
    async with (
        secured(tmp_path, web_listen="127.0.0.1:0") as server,
        peer_of(server, "agent") as agent,
        grpc.aio.insecure_channel(server.address) as channel,
        aiohttp.ClientSession() as session,
    ):
        await agent.submit("page", namespace=OWN, run_id="waits")
        worker = SessionPeer(channel, known_as("rival"))
        await worker.hello("rival", namespace=OWN)
        await worker.ask(update_state={"change": {"updates": [{"key": "a", "value": {"number_value": 1}}]}})
        operator = Script(session, server, "operator")
        assert (await operator.act(CANCEL, {"namespace": OWN, "runId": "waits"})).status == 200
        events = {each.sequence: each for each in await agent.events_after(0, OWN)}
        await receiver.until(lambda: {each.sequence for each in receiver.decisions(OWN)} >= set(events))
        named = f"concert.v1.{CANCEL}"
        await receiver.until(lambda: any(each.span.name == named for each in receiver.spans))
    found = {each.sequence: each.attributes.get("concert.principal", "") for each in receiver.decisions(OWN)}
    assert {sequence: found[sequence] for sequence in events} == {each: events[each].principal for each in events}
    assert set(found.values()) == {"", "agent", "rival", "operator"}
    [call] = [each for each in receiver.spans if each.span.name == named]
    assert call.attributes["rpc.response.status_code"] == "OK"
