"""Bad input: the contract's error with its details, nothing stored, the server up."""

from __future__ import annotations

import asyncio
import math
from collections.abc import Callable
from typing import Any

import grpc
import pytest
from concert.v1 import (
    agent_pb2,
    agent_service_pb2,
    event_pb2,
    event_service_pb2,
    lock_pb2,
    lock_service_pb2,
    payload_pb2,
    run_service_pb2,
    state_service_pb2,
    task_pb2,
)
from google.protobuf import struct_pb2

from coordinator_service.log.mirror import JSON_DEPTH_MAX, fill_json
from coordinator_service.rpc import limits
from coordinator_service.rpc.page_tokens import write_token
from coordinator_service.server import CoordinatorServer

from .peer import Peer, acquire, publish, refused, submit, update

TOO_LONG = "x" * 129
CONTROL = "a\nb"


def changed(request: Any, change: Callable[[Any], Any]) -> Any:
    change(request)
    return request


def nested(depth: int, value: Any = None) -> Any:
    """A JSON value of lists within lists."""
    json: Any = 1.0 if value is None else value
    for level in range(depth):
        json = [json] if level % 2 else {"inner": json}
    found = struct_pb2.Value()
    fill_json(json, found)
    return found


def draft_of(value: Any) -> Any:
    request = publish("page_rendered")
    request.events[0].custom.data.json.CopyFrom(value)
    return request


def state_of(value: Any) -> Any:
    request = update("site/pages")
    request.change.updates[0].value.CopyFrom(value)
    return request


def run_with(change: Callable[[Any], Any]) -> Any:
    return changed(submit("a", "b"), lambda request: change(request.run))


def lock_with(change: Callable[[Any], Any]) -> Any:
    return changed(acquire("bucket/blog"), lambda request: change(request.requests[0]))


def draft_with(change: Callable[[Any], Any]) -> Any:
    return changed(publish("page_rendered"), lambda request: change(request.events[0]))


Fence = lock_pb2.Fence
DOOR = Fence(resource="door", fencing_token=3)
ListEvents = event_service_pb2.ListEventsRequest
NOT_A_NUMBER = struct_pb2.Value(number_value=math.nan)
INFINITE = struct_pb2.Value(number_value=-math.inf)

# service, method, request, the field at fault, a word of what is said about it
BAD: list[tuple[str, str, Any, str, str]] = [
    # ids, names, paths
    ("Event", "Publish", publish("a", namespace=CONTROL), "namespace", "control"),
    ("Event", "Publish", publish("a", namespace=TOO_LONG), "namespace", "128"),
    ("Event", "Publish", publish("a", request_id=TOO_LONG), "request_id", "128"),
    ("Event", "Publish", publish("a", request_id=CONTROL), "request_id", "control"),
    ("Event", "Publish", publish(""), "events[0].custom.name", "1 to 128"),
    ("Event", "Publish", publish("ok", "ä" * 65), "events[1].custom.name", "130 bytes"),
    ("Event", "Publish", draft_with(lambda d: setattr(d, "event_id", "\x85")), "events[0].event_id", "control"),
    ("Event", "Publish", draft_with(lambda d: setattr(d, "run_id", TOO_LONG)), "events[0].run_id", "128"),
    ("Event", "Publish", draft_with(lambda d: setattr(d, "traceparent", "00-1")), "events[0].traceparent", "W3C"),
    ("Lock", "Acquire", acquire("x" * 513), "requests[0].resource", "512"),
    ("Lock", "Acquire", acquire(""), "requests[0].resource", "1 to 512"),
    ("Lock", "Acquire", acquire("a", holder="session/3"), "requests[0].holder", "must not begin"),
    ("Lock", "Acquire", acquire("a", holder=TOO_LONG), "requests[0].holder", "128"),
    ("Lock", "Acquire", lock_with(lambda r: setattr(r, "guards", "site//pages")), "requests[0].guards", "empty"),
    ("Lock", "GetLock", lock_service_pb2.GetLockRequest(), "resource", "1 to 512"),
    ("Event", "Publish", publish("a", fences=[Fence(resource="b")]), "fences[0].fencing_token", "no token"),
    ("State", "UpdateState", update("a", fences=[Fence(fencing_token=3)]), "fences[0].resource", "1 to 512"),
    ("Lock", "Acquire", changed(acquire("b"), lambda r: r.fences.add()), "fences[0].resource", "1 to 512"),
    ("Run", "SubmitRun", changed(submit("a"), lambda r: r.fences.extend([DOOR] * 65)), "fences", "64"),
    ("Run", "CancelRun", run_service_pb2.CancelRunRequest(run_id="a", fences=[DOOR] * 65), "fences", "64"),
    ("State", "UpdateState", update("/site"), "change.updates[0].key", "empty segment"),
    ("State", "UpdateState", update("site/"), "change.updates[0].key", "empty segment"),
    ("State", "UpdateState", update("x/" * 300 + "x"), "change.updates[0].key", "512"),
    ("State", "UpdateState", update("a", writer="task/run/a"), "writer", "must not begin"),
    ("State", "GetState", state_service_pb2.GetStateRequest(keys=["a", "b//c"]), "keys[1]", "empty segment"),
    ("State", "GetState", state_service_pb2.GetStateRequest(keys=["a"], prefix="b"), "prefix", "together"),
    ("Run", "GetRun", run_service_pb2.GetRunRequest(), "run_id", "1 to 128"),
    ("Run", "SubmitRun", submit("a", ""), "run.tasks[1].task_id", "1 to 128"),
    ("Run", "SubmitRun", submit("a", run_id=CONTROL), "run.run_id", "control"),
    ("Run", "SubmitRun", submit("a", "a"), "run.tasks[1].task_id", "twice"),
    ("Run", "SubmitRun", run_service_pb2.SubmitRunRequest(), "run", "must be set"),
    ("Agent", "DrainAgent", agent_service_pb2.DrainAgentRequest(agent_id=TOO_LONG), "agent_id", "128"),
    # numbers and times
    ("Event", "GetEvent", event_service_pb2.GetEventRequest(), "sequence", "must be set"),
    ("Event", "ListEvents", ListEvents(page_size=1001), "page_size", "1000"),
    ("Event", "ListEvents", ListEvents(after_sequence=9, until_sequence=3), "until_sequence", "before"),
    ("Event", "ListEvents", changed(ListEvents(), lambda r: setattr(r.since, "nanos", -1)), "since", "nanos"),
    ("Lock", "Acquire", lock_with(lambda r: setattr(r, "priority", 10)), "requests[0].priority", "0 to 9"),
    ("Lock", "Acquire", lock_with(lambda r: r.lease.FromMilliseconds(999)), "requests[0].lease", "1 s to 3600 s"),
    ("Lock", "Acquire", lock_with(lambda r: r.lease.FromSeconds(3601)), "requests[0].lease", "1 s to 3600 s"),
    ("Lock", "Acquire", lock_with(lambda r: r.wait_timeout.FromSeconds(-1)), "requests[0].wait_timeout", "0 s"),
    ("Lock", "Release", lock_service_pb2.ReleaseRequest(), "fencing_tokens", "1 to 64"),
    ("Lock", "KeepAlive", lock_service_pb2.KeepAliveRequest(fencing_tokens=[0]), "fencing_tokens", "no token"),
    ("Run", "SubmitRun", run_with(lambda r: setattr(r, "priority", 10)), "run.priority", "0 to 9"),
    ("Run", "SubmitRun", run_with(lambda r: r.timeout.FromSeconds(0)), "run.timeout", "must be"),
    (
        "Run",
        "SubmitRun",
        run_with(lambda r: setattr(r.tasks[1].retry, "backoff_multiplier", math.nan)),
        "run.tasks[1].retry.backoff_multiplier",
        "1 to 100",
    ),
    # unknown enum values, and none
    ("Lock", "Acquire", lock_with(lambda r: setattr(r, "mode", 77)), "requests[0].mode", "77"),
    ("State", "UpdateState", changed(update("a"), lambda r: setattr(r.change, "strategy", 9)), "change.strategy", "9"),
    ("Run", "ListRuns", run_service_pb2.ListRunsRequest(status=99), "status", "99"),  # type: ignore[arg-type]
    ("Event", "ListEvents", ListEvents(filter={"types": [999]}), "filter.types[0]", "999"),
    ("Event", "ListEvents", ListEvents(filter={"types": [0]}), "filter.types[0]", "UNSPECIFIED"),
    (
        "Run",
        "SubmitRun",
        run_with(lambda r: r.tasks[0].locks.add(resource="x", mode=5)),
        "run.tasks[0].locks[0].mode",
        "5",
    ),
    # what has to be there
    ("Event", "Publish", publish(), "events", "1 to 1000"),
    ("Run", "SubmitRun", submit(), "run", "tasks or agents"),
    ("Run", "SubmitRun", run_with(lambda r: r.tasks[1].ClearField("target")), "run.tasks[1].target", "must name"),
    ("Run", "SubmitRun", run_with(lambda r: r.tasks[1].depends_on.add()), "run.tasks[1].depends_on[0]", "must name"),
    (
        "State",
        "UpdateState",
        changed(update("a"), lambda r: r.change.updates[0].ClearField("value")),
        "change.updates[0].value",
        "must be set",
    ),
    # too many, too large
    ("Event", "Publish", publish(*["a"] * 1001), "events", "1000"),
    ("Event", "ListEvents", ListEvents(filter={"run_ids": ["r"] * 1001}), "filter.run_ids", "1000"),
    ("Lock", "Acquire", changed(acquire("a"), lambda r: r.requests.extend(r.requests[:1] * 64)), "requests", "64"),
    (
        "Run",
        "SubmitRun",
        run_with(lambda r: r.tasks[0].locks.extend(task_pb2.TaskLock(resource=str(n)) for n in range(65))),
        "run.tasks[0].locks",
        "64",
    ),
    ("Run", "SubmitRun", submit(*(str(number) for number in range(10_001))), "run.tasks", "10000"),
    (
        "Run",
        "SubmitRun",
        run_with(lambda r: r.tasks[0].after.extend([agent_pb2.Dependency(task_id="b")] * 1001)),
        "run.tasks[0].after",
        "1000",
    ),
    ("Event", "Publish", draft_with(lambda d: d.metadata.update({"k": "v" * 1025})), "events[0].metadata['k']", "1024"),
    (
        "Event",
        "Publish",
        draft_with(lambda d: d.metadata.update({str(n): "" for n in range(65)})),
        "events[0].metadata",
        "64",
    ),
    (
        "Event",
        "Publish",
        draft_of(struct_pb2.Value(string_value="x" * limits.PAYLOAD_BYTES_MAX)),
        "events[0].custom.data",
        "1048576",
    ),
    ("State", "UpdateState", update("a", "x" * limits.CHANGE_BYTES_MAX), "change", "1048576"),
    (
        "Run",
        "SubmitRun",
        run_with(lambda r: setattr(r.context, "data", bytes(limits.PAYLOAD_BYTES_MAX))),
        "run.context",
        "1048576",
    ),
    (
        "Event",
        "Publish",
        draft_with(lambda d: setattr(d.custom.data, "data", bytes(limits.MESSAGE_BYTES_MAX))),
        "request",
        "4194304",
    ),
    # NaN, infinity, deep nesting
    ("Event", "Publish", draft_of(NOT_A_NUMBER), "events[0].custom.data.json", "NaN"),
    ("Event", "Publish", draft_of(nested(5, math.inf)), "events[0].custom.data.json", "infinity"),
    ("Event", "Publish", draft_of(nested(JSON_DEPTH_MAX + 1)), "events[0].custom.data.json", "28"),
    ("Event", "Publish", draft_of(nested(50)), "request", "PublishRequest"),
    ("State", "UpdateState", state_of(INFINITE), "change.updates[0].value", "infinity"),
    ("State", "UpdateState", state_of(nested(JSON_DEPTH_MAX + 1)), "change.updates[0].value", "28"),
    (
        "Run",
        "SubmitRun",
        run_with(lambda r: r.tasks[1].input.json.CopyFrom(NOT_A_NUMBER)),
        "run.tasks[1].input.json",
        "NaN",
    ),
    # page tokens
    ("Event", "ListEvents", ListEvents(page_token="???"), "page_token", "token"),
    ("Event", "ListEvents", ListEvents(page_token="ZXZlbnRzOmE"), "page_token", "token"),
    ("Event", "ListEvents", ListEvents(page_token=write_token("events", f"0,{2**64},0,log")), "page_token", "token"),
    ("Run", "ListRuns", run_service_pb2.ListRunsRequest(page_token=write_token("runs", 2**64)), "page_token", "token"),
    ("State", "GetState", state_service_pb2.GetStateRequest(page_token="ZXZlbnRzOjE"), "page_token", "token"),
    ("Run", "ListRuns", run_service_pb2.ListRunsRequest(page_token="cnVuczotMQ"), "page_token", "token"),
]


@pytest.mark.parametrize(("service", "method", "request_", "field", "word"), BAD, ids=lambda each: str(each)[:40])
async def test_a_malformed_request_is_refused_with_its_field(
    peer: Peer, service: str, method: str, request_: Any, field: str, word: str
) -> None:
    """INVALID_ARGUMENT, BadRequest: the field, and what is wrong with it, with the limit. Nothing is stored."""
    before = await peer.last_sequence()
    refusal = await refused(peer.raw(f"{service}Service", method, request_.SerializeToString()))
    assert (refusal.code, refusal.reason) == ("INVALID_ARGUMENT", "INVALID_FIELD")
    assert word in refusal.fields[field]
    assert await peer.last_sequence() == before


async def test_every_fault_is_told_at_once(peer: Peer) -> None:
    """A caller mends a request in one go."""
    request = publish("", "ok", "\n", request_id=TOO_LONG)
    request.events[1].run_id = TOO_LONG
    fields = (await refused(peer.events.Publish(request))).fields
    assert set(fields) == {"request_id", "events[0].custom.name", "events[1].run_id", "events[2].custom.name"}


async def test_unknown_names_are_not_found(peer: Peer) -> None:
    """NOT_FOUND with ResourceInfo: unknown run, task, lock, agent, event."""
    runs, agents = run_service_pb2, agent_service_pb2
    await peer.submit("a", run_id="r-1")
    for call, kind, name in [
        (peer.runs.GetRun(runs.GetRunRequest(run_id="r-9")), "run", "r-9"),
        (peer.runs.CancelRun(runs.CancelRunRequest(run_id="r-9")), "run", "r-9"),
        (peer.runs.WatchRun(runs.WatchRunRequest(run_id="r-9")).read(), "run", "r-9"),
        (peer.runs.GetTaskResult(runs.GetTaskResultRequest(run_id="r-1", task_id="z")), "task", "r-1/z"),
        (peer.agents.GetAgent(agents.GetAgentRequest(agent_id="a-9")), "agent", "a-9"),
        (peer.agents.DrainAgent(agents.DrainAgentRequest(agent_id="a-9")), "agent", "a-9"),
        (peer.locks.GetLock(lock_service_pb2.GetLockRequest(resource="z")), "lock", "z"),
        (peer.events.GetEvent(event_service_pb2.GetEventRequest(sequence=10**9)), "event", "1000000000"),
    ]:
        refusal = await refused(call)
        assert (refusal.code, refusal.reason) == ("NOT_FOUND", "NOT_FOUND")
        info = refusal.details["ResourceInfo"]
        assert (info.resource_type, info.resource_name) == (kind, name)


async def test_a_report_is_no_rpc_and_a_method_that_is_not_there_is_unimplemented(peer: Peer) -> None:
    """What the contract does not have is refused by the transport, and harms nobody."""
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await peer.raw("EventService", "Forge", b"")
    assert caught.value.code() is grpc.StatusCode.UNIMPLEMENTED
    assert await peer.publish("still_here")


@pytest.mark.parametrize("encoded", [b"\xff\xff\xff", b"\x0a\x05ab", b"\x0a\x02\xc3\x28", b"\x22\x02\x0a\xff"])
async def test_bytes_that_are_no_request_are_the_callers_fault(peer: Peer, encoded: bytes) -> None:
    """Garbage in a message is INVALID_ARGUMENT with details, not a failure of the transport."""
    refusal = await refused(peer.raw("EventService", "Publish", encoded))
    assert (refusal.code, refusal.fields) == ("INVALID_ARGUMENT", {"request": "is no PublishRequest"})


async def test_garbage_on_the_port_harms_nobody(coordinator: CoordinatorServer, peer: Peer) -> None:
    """Bytes that are no HTTP/2, half a preface, and a connection that says nothing: others are served on."""
    host, _, port = coordinator.address.rpartition(":")
    silent = await asyncio.open_connection(host, int(port))
    for garbage in (
        b"GET / HTTP/1.1\r\n\r\n",
        bytes(range(256)) * 64,
        b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + b"\xff" * 999,
    ):
        reader, writer = await asyncio.open_connection(host, int(port))
        writer.write(garbage)
        await writer.drain()
        async with asyncio.timeout(10):
            assert await peer.publish("still_here")
            try:
                while await reader.read(4096):
                    pass  # what it answers before it hangs up
            except ConnectionError:
                pass
        writer.close()
    assert await peer.publish("still_here")
    silent[1].close()


async def test_a_draft_cannot_forge_its_envelope(peer: Peer) -> None:
    """E1: unknown fields that look like an Event's, and submessages sent twice, change only what a draft may say."""
    forged = event_pb2.Event(
        sequence=1, principal="root", cause=7, reason="LEASE_EXPIRED", traceparent="00-x", agent_name="root"
    )
    forged.timestamp.seconds = 1
    honest = publish("page_rendered").events[0]
    honest.custom.data.data = b"first"
    second = event_pb2.EventDraft()
    second.custom.name = "page_forged"
    second.custom.data.data = b"second"
    draft = honest.SerializeToString() + _without_fields_of_a_draft(forged) + second.SerializeToString()
    request = b"\x22" + _varint(len(draft)) + draft
    response = event_service_pb2.PublishResponse.FromString(await peer.raw("EventService", "Publish", request))
    (sequence,) = response.sequences
    event = (await peer.events.GetEvent(event_service_pb2.GetEventRequest(sequence=sequence))).event
    assert (event.sequence, event.type) == (sequence, event_pb2.EVENT_TYPE_CUSTOM)
    assert (event.principal, event.cause, event.reason, event.traceparent) == ("", 0, "CALLER_REQUEST", "")
    assert (event.agent_name, event.log_id, event.namespace) == ("", response.log_id, "default")
    assert event.timestamp.seconds > 1
    assert event.WhichOneof("payload") == "custom"
    assert (event.custom.name, event.custom.data.data) == ("page_forged", b"second")
    assert len(event.custom.SerializeToString()) < 40


def _without_fields_of_a_draft(forged: Any) -> bytes:
    """The forged envelope's fields that an EventDraft does not know: they arrive as unknown fields."""
    stranger = event_pb2.Event()
    stranger.CopyFrom(forged)
    stranger.ClearField("sequence")  # EventDraft.run_id has its number
    encoded: bytes = stranger.SerializeToString()
    parsed = event_pb2.EventDraft.FromString(encoded)
    assert not parsed.ListFields()
    return encoded


def _varint(number: int) -> bytes:
    encoded = bytearray()
    while number >= 0x80:
        encoded.append(number & 0x7F | 0x80)
        number >>= 7
    return bytes((*encoded, number))


async def test_a_draft_cannot_take_an_event_id_of_the_coordinators(peer: Peer) -> None:
    """E1: "<log_id>/<sequence>" names the coordinator's events, so no draft may begin so."""
    log_id = (await peer.publish("first")).log_id
    refusal = await refused(peer.events.Publish(draft_with(lambda d: setattr(d, "event_id", f"{log_id}/99"))))
    assert "log_id" in refusal.fields["events[0].event_id"]


@pytest.mark.parametrize("depth", [1, JSON_DEPTH_MAX])
async def test_what_is_within_the_limits_comes_back_as_it_was(peer: Peer, depth: int) -> None:
    """The limits themselves are allowed, and a payload is passed on unread."""
    request = draft_of(nested(depth, "2*" * 1000))
    (sequence,) = (await peer.events.Publish(request)).sequences
    event = (await peer.events.GetEvent(event_service_pb2.GetEventRequest(sequence=sequence))).event
    assert event.custom.data == request.events[0].custom.data


async def test_the_largest_payload_passes(peer: Peer) -> None:
    """1 MiB is allowed, one byte more is not (see above)."""
    request = publish("page_rendered")
    data = request.events[0].custom.data
    data.data = bytes(limits.PAYLOAD_BYTES_MAX - 4)
    assert data.ByteSize() == limits.PAYLOAD_BYTES_MAX
    assert isinstance(data, payload_pb2.Payload)
    (sequence,) = (await peer.events.Publish(request)).sequences
    event = (await peer.events.GetEvent(event_service_pb2.GetEventRequest(sequence=sequence))).event
    assert event.custom.data == data
