"""The table is complete: nothing in the contract is without a row, and nothing is served twice differently."""

from __future__ import annotations

from concert.v1 import session_service_pb2
from google.protobuf import descriptor_pool
from google.protobuf.message import Message

from coordinator_service.core.commands import Publish
from coordinator_service.rpc.dispatch import FRAMES, OPERATIONS, Scope
from coordinator_service.rpc.operations.events import PUBLISH
from coordinator_service.server import CoordinatorServer

from .peer import Peer, publish

SCOPE = Scope(namespace="default", log_id="log-1", session_id=7)
TRACEPARENT = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"


def test_every_request_of_a_session_has_a_row() -> None:
    """Whatever Command.request can hold is dispatched, and its reply has a place of its own in Reply.outcome."""
    requests = session_service_pb2.Command.DESCRIPTOR.oneofs_by_name["request"].fields
    replies = session_service_pb2.Reply.DESCRIPTOR.oneofs_by_name["outcome"].fields
    places = {field.name: field.message_type for field in replies}
    assert set(FRAMES) == {field.name for field in requests}
    for field in requests:
        operation = FRAMES[field.name]
        assert field.message_type == operation.request.DESCRIPTOR
        assert places[operation.reply_field] == operation.response.DESCRIPTOR


async def test_every_rpc_of_the_contract_is_served(coordinator: CoordinatorServer, peer: Peer) -> None:
    """No rpc of concert.v1 is UNIMPLEMENTED, and none fails on an empty request but by its details."""
    pool = descriptor_pool.Default()
    for name in ("Event", "Agent", "Run", "Lock", "State", "Monitor"):
        service = pool.FindServiceByName(f"concert.v1.{name}Service")
        for method in service.methods:
            call = peer.channel.unary_stream(f"/{service.full_name}/{method.name}")(b"")
            code = await _first_code(call)
            assert code in ("OK", "INVALID_ARGUMENT"), method.full_name


async def _first_code(call: object) -> str:
    try:
        await call.read()  # type: ignore[attr-defined]
    except Exception as error:
        return error.code().name  # type: ignore[attr-defined,no-any-return]
    finally:
        call.cancel()  # type: ignore[attr-defined]
    return "OK"


def test_a_request_is_prepared_the_same_wherever_it_comes_from() -> None:
    """D5: the digest is of the request in canonical form: its namespace and its way here do not matter."""
    unary = publish("page_rendered", request_id="r-1", namespace="default")
    framed = publish("page_rendered", request_id="r-1")
    command, caller = PUBLISH.prepare(unary, SCOPE, TRACEPARENT)
    again, also = PUBLISH.prepare(framed, SCOPE)
    assert isinstance(command, Publish)
    assert command == again
    assert caller.digest == also.digest != b""
    assert unary.namespace == "default"
    assert (caller.traceparent, also.traceparent) == (TRACEPARENT, "")
    assert (caller.method, caller.request_id, caller.session_id) == ("Publish", "r-1", 7)


def test_another_request_has_another_digest() -> None:
    """D5: whatever a request says counts, the order of a map does not."""
    one, other = publish("a", request_id="r"), publish("a", request_id="r")
    for key in ("x", "y", "z"):
        one.events[0].metadata[key] = key
    for key in ("z", "y", "x"):
        other.events[0].metadata[key] = key
    digests = [PUBLISH.prepare(each, SCOPE)[1].digest for each in (one, other, publish("b", request_id="r"))]
    assert digests[0] == digests[1] != digests[2]


def test_a_request_without_an_id_is_not_digested() -> None:
    """What is never recognised again need not be named."""
    assert PUBLISH.prepare(publish("a"), SCOPE)[1].digest == b""


def test_rows_name_their_messages() -> None:
    """Each kind of request has one row; methods are the names that idempotency remembers, so none is used twice."""
    requests: list[type[Message]] = [operation.request for operation in OPERATIONS]
    methods = [operation.method for operation in OPERATIONS]
    assert len(set(requests)) == len(requests)
    assert len(set(methods)) == len(methods)


def test_whatever_an_attempt_may_ask_takes_fences_outside_of_one() -> None:
    """L8: except Release, which always passes."""
    fenced = {each.method for each in OPERATIONS if each.in_attempt and each.method != "Release"}
    assert fenced >= {"Publish", "Acquire", "UpdateState", "SubmitRun"}
    assert {each.method for each in OPERATIONS if each.takes_fences} >= fenced | {"CancelRun"}
