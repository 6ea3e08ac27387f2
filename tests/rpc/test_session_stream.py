"""The session stream on the wire: what a peer may rely on, and what one that breaks the contract is told."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import grpc
import pytest
from concert.v1 import event_service_pb2 as event_pb
from concert.v1 import event_service_pb2_grpc as event_grpc
from concert.v1 import lock_service_pb2 as lock_pb
from concert.v1 import run_service_pb2 as run_pb
from concert.v1 import session_service_pb2 as pb
from concert.v1 import state_service_pb2 as state_pb
from google.rpc import code_pb2, error_details_pb2
from grpc_status import rpc_status

from coordinator_service.config import Settings
from coordinator_service.local_namespace import LocalNamespace
from coordinator_service.server import CoordinatorServer

SETTINGS: dict[str, Any] = {
    "listen": "127.0.0.1:0",
    "event_store": "memory",
    "replica_id": "test",
    "drain_notice_seconds": 0.0,
    "drain_grace_seconds": 0.2,
}


@pytest.fixture
async def server() -> AsyncIterator[CoordinatorServer]:
    """A coordinator on a port of its own."""
    async with CoordinatorServer(Settings(**SETTINGS)) as running:
        yield running


@pytest.fixture
async def channel(server: CoordinatorServer) -> AsyncIterator[grpc.aio.Channel]:
    """A connection to it."""
    async with grpc.aio.insecure_channel(server.address) as connected:
        yield connected


class Peer:
    """One end of a session stream, message by message."""

    def __init__(self, channel: grpc.aio.Channel, metadata: Any = ()) -> None:
        connect = channel.stream_stream(
            "/concert.v1.SessionService/Connect", request_serializer=bytes, response_deserializer=bytes
        )
        self._call = connect(metadata=metadata)
        self._unread: list[pb.CoordinatorMessage] = []
        self._correlation = 0

    async def send(self, *messages: pb.ClientMessage) -> None:
        """All in one frame."""
        await self.send_bytes(pb.ConnectRequest(messages=messages).SerializeToString())

    async def send_bytes(self, frame: bytes) -> None:
        """A frame as it is."""
        await self._call.write(frame)

    async def receive(self) -> pb.CoordinatorMessage:
        """The next message."""
        while not self._unread:
            frame = await self._call.read()
            assert frame is not grpc.aio.EOF, await self.refusal()
            self._unread.extend(pb.ConnectResponse.FromString(frame).messages)
        return self._unread.pop(0)

    async def until(self, kind: str) -> Any:
        """The next message of a kind; others before it are passed over."""
        while True:
            message = await self.receive()
            if message.WhichOneof("message") == kind:
                return getattr(message, kind)

    async def hello(self, agent_id: str = "", capability: str = "", **fields: Any) -> pb.Welcome:
        """Opens the session."""
        hello = pb.Hello(**fields)
        hello.agent.agent_id = agent_id
        if capability:
            hello.agent.capabilities.add(name=capability)
        await self.send(pb.ClientMessage(hello=hello))
        return await self.until("welcome")

    async def ask(self, **request: Any) -> pb.Reply:
        """A command alone in its frame, and its reply."""
        self._correlation += 1
        command = pb.Command(correlation_id=self._correlation, **request)
        await self.send(pb.ClientMessage(command=command))
        reply = await self.until("reply")
        assert reply.correlation_id == self._correlation
        return reply

    async def refusal(self) -> tuple[grpc.StatusCode, str]:
        """How the stream ended: its code and the reason in its details."""
        code = await self._call.code()
        if code is grpc.StatusCode.OK:
            return code, ""
        status = rpc_status.from_call(_Ended(self._call, code, await self._call.trailing_metadata()))
        return code, reason_of(status)

    def vanish(self) -> None:
        """Is gone without a word."""
        self._call.cancel()


class _Ended:
    """What grpc_status reads of a call that is over."""

    def __init__(self, call: Any, code: grpc.StatusCode, trailing: Any) -> None:
        self._code, self._trailing = code, trailing

    def code(self) -> grpc.StatusCode:
        return self._code

    def details(self) -> str:
        details = next(value for key, value in self._trailing if key == "grpc-status-details-bin")
        from google.rpc import status_pb2

        return str(status_pb2.Status.FromString(details).message)

    def trailing_metadata(self) -> Any:
        return self._trailing


def reason_of(status: Any) -> str:
    """The reason of the ErrorInfo that every error carries."""
    for detail in status.details:
        info = error_details_pb2.ErrorInfo()
        if detail.Unpack(info):
            assert info.domain == "concert"
            return info.reason
    raise AssertionError("an error without ErrorInfo")


async def submit(channel: grpc.aio.Channel, *task_ids: str, capability: str = "work") -> str:
    """A run of tasks for a capability."""
    request = run_pb.SubmitRunRequest()
    for task_id in task_ids:
        request.run.tasks.add(task_id=task_id).target.capability = capability
    submitted = channel.unary_unary(
        "/concert.v1.RunService/SubmitRun",
        request_serializer=run_pb.SubmitRunRequest.SerializeToString,
        response_deserializer=run_pb.SubmitRunResponse.FromString,
    )
    return str((await submitted(request)).run_id)


async def events_of(channel: grpc.aio.Channel) -> list[Any]:
    """The whole log."""
    stub = event_grpc.EventServiceStub(channel)
    return list((await stub.ListEvents(event_pb.ListEventsRequest(page_size=1000))).events)


async def await_event(channel: grpc.aio.Channel, kind: str) -> Any:
    """The first event of a kind, as soon as there is one."""
    stub = event_grpc.EventServiceStub(channel)
    async for response in stub.Subscribe(
        event_pb.SubscribeRequest(position=event_pb.StartPosition.START_POSITION_EARLIEST)
    ):
        for event in response.events:
            if event.WhichOneof("payload") == kind:
                return event
    raise AssertionError("the subscription ended")


# ---- what does not follow the contract


async def test_a_frame_before_hello_is_refused(channel: grpc.aio.Channel) -> None:
    """A1: the first message is Hello; nothing is registered for one that comes without."""
    peer = Peer(channel)
    await peer.send(pb.ClientMessage(heartbeat=pb.Heartbeat(nonce=1)))
    assert await peer.refusal() == (grpc.StatusCode.INVALID_ARGUMENT, "INVALID_FIELD")
    assert [event.WhichOneof("payload") for event in await events_of(channel)] == ["owner_started"]


@pytest.mark.parametrize("garbage", [b"\xff\xff\xff", b"GET / HTTP/1.1\r\n\r\n", b"\x0a\x05ab"])
async def test_garbage_instead_of_a_frame_is_refused(channel: grpc.aio.Channel, garbage: bytes) -> None:
    """A frame that cannot be parsed ends the stream with details, before and after Hello, and detaches the session."""
    before, after = Peer(channel), Peer(channel)
    await before.send_bytes(garbage)
    assert await before.refusal() == (grpc.StatusCode.INVALID_ARGUMENT, "INVALID_FIELD")
    await after.hello("one")
    await after.send_bytes(garbage)
    assert await after.refusal() == (grpc.StatusCode.INVALID_ARGUMENT, "INVALID_FIELD")
    assert (await await_event(channel, "agent_detached")).agent_id == "one"


async def test_a_second_hello_is_refused(channel: grpc.aio.Channel) -> None:
    """Hello comes once."""
    peer = Peer(channel)
    await peer.hello("one")
    await peer.send(pb.ClientMessage(hello=pb.Hello()))
    assert await peer.refusal() == (grpc.StatusCode.INVALID_ARGUMENT, "INVALID_FIELD")


@pytest.mark.parametrize(
    "hello",
    [
        {"agent": {"agent_id": "x" * 129}},
        {"agent": {"agent_id": "a\nb"}},
        {"agent": {"agent_id": "a", "slots": 100_000}},
        {"agent": {"agent_id": "a", "capabilities": [{"name": ""}]}},
        {"namespace": "x" * 200},
        {"lease": {"seconds": 3600}},
        {"request_id": "x" * 129},
        {"request_id": "a\nb"},
    ],
)
async def test_a_malformed_hello_is_refused(channel: grpc.aio.Channel, hello: dict[str, Any]) -> None:
    """A1: ids, limits and the lease are checked before anything is registered."""
    peer = Peer(channel)
    await peer.send(pb.ClientMessage(hello=pb.Hello(**hello)))
    assert await peer.refusal() == (grpc.StatusCode.INVALID_ARGUMENT, "INVALID_FIELD")
    assert [event.WhichOneof("payload") for event in await events_of(channel)] == ["owner_started"]


async def test_a_second_agent_under_a_live_id_is_refused(channel: grpc.aio.Channel) -> None:
    """A2: ALREADY_EXISTS; the first one lives on."""
    first, second = Peer(channel), Peer(channel)
    await first.hello("one")
    await second.send(pb.ClientMessage(hello=pb.Hello(agent={"agent_id": "one"})))
    assert await second.refusal() == (grpc.StatusCode.ALREADY_EXISTS, "ALREADY_EXISTS")
    await first.send(pb.ClientMessage(heartbeat=pb.Heartbeat(nonce=7)))
    assert (await first.until("heartbeat_ack")).nonce == 7


async def test_a_takeover_ends_the_session_before_it(channel: grpc.aio.Channel) -> None:
    """A2: the newcomer has the id, the old stream is told that its session is over."""
    first, second = Peer(channel), Peer(channel)
    old = await first.hello("one")
    new = await second.hello("one", takeover=True)
    assert new.session_id > old.session_id
    assert await first.refusal() == (grpc.StatusCode.FAILED_PRECONDITION, "SESSION_OVER")


async def test_a_hello_said_again_takes_up_the_session_that_it_opened(channel: grpc.aio.Channel) -> None:
    """A2, D5: nobody heard the Welcome, and with it the session's id; no ghost stands in the way."""
    unheard, again, other = Peer(channel), Peer(channel), Peer(channel)
    hello = pb.ClientMessage(hello=pb.Hello(agent={"agent_id": "one"}, request_id="hello-1"))
    await unheard.send(hello)
    registered = await await_event(channel, "agent_registered")
    unheard.vanish()
    await await_event(channel, "agent_detached")
    await again.send(hello)
    welcome = await again.until("welcome")
    assert (welcome.session_id, welcome.agent_id, welcome.resumed) == (registered.sequence, "one", True)
    hello.hello.agent.agent_name = "another"
    await other.send(hello)
    assert await other.refusal() == (grpc.StatusCode.INVALID_ARGUMENT, "REQUEST_ID_REUSED")
    await again.send(pb.ClientMessage(heartbeat=pb.Heartbeat(nonce=7)))
    assert (await again.until("heartbeat_ack")).nonce == 7


async def test_a_session_that_is_over_cannot_be_resumed(channel: grpc.aio.Channel) -> None:
    """A5: FAILED_PRECONDITION, so that the client begins a new one."""
    peer = Peer(channel)
    await peer.send(pb.ClientMessage(hello=pb.Hello(session_id=4711)))
    assert await peer.refusal() == (grpc.StatusCode.FAILED_PRECONDITION, "SESSION_OVER")


async def test_a_command_of_an_unknown_kind_is_refused_and_the_stream_lives(channel: grpc.aio.Channel) -> None:
    """A newer client on an older coordinator hears of it, command by command."""
    peer = Peer(channel)
    await peer.hello("one")
    reply = await peer.ask()
    assert reason_of(reply.error) == "INVALID_FIELD"
    assert (await peer.ask(publish={"events": [{"custom": {"name": "x"}}]})).publish.sequences


async def test_a_malformed_command_is_refused_and_stores_nothing(channel: grpc.aio.Channel) -> None:
    """The same checks as for unary calls, with the field named."""
    peer = Peer(channel)
    await peer.hello("one")
    before = len(await events_of(channel))
    reply = await peer.ask(publish={"events": [{"custom": {"name": ""}}]})
    bad = error_details_pb2.BadRequest()
    assert any(detail.Unpack(bad) for detail in reply.error.details)
    assert [violation.field for violation in bad.field_violations] == ["events[0].custom.name"]
    assert len(await events_of(channel)) == before


async def test_a_report_of_somebody_elses_attempt_is_refused(channel: grpc.aio.Channel) -> None:
    """R8: PERMISSION_DENIED for a live attempt of another session, ABORTED for one that never was; nothing changes."""
    owner, stranger = Peer(channel), Peer(channel)
    await owner.hello("owner", capability="work")
    await stranger.hello("stranger")
    await submit(channel, "t")
    task = await owner.until("task")
    before = len(await events_of(channel))
    stolen = await stranger.ask(task_completed={"attempt_token": task.attempt_token})
    assert (stolen.error.code, reason_of(stolen.error)) == (7, "PERMISSION_DENIED")
    made_up = await stranger.ask(task_completed={"attempt_token": 999_999})
    assert (made_up.error.code, reason_of(made_up.error)) == (10, "STALE_ATTEMPT")
    assert len(await events_of(channel)) == before
    assert (await owner.ask(task_completed={"attempt_token": task.attempt_token})).reported.sequence
    again = await owner.ask(task_completed={"attempt_token": task.attempt_token})
    assert (again.error.code, reason_of(again.error)) == (10, "STALE_ATTEMPT")


# ---- what does


async def test_commands_of_a_frame_apply_in_order(channel: grpc.aio.Channel) -> None:
    """A6: many commands in one frame, one after another; replies name the command they answer."""
    peer = Peer(channel)
    await peer.hello("one")
    commands = [
        pb.ClientMessage(
            command=pb.Command(correlation_id=number, publish={"events": [{"custom": {"name": f"n{number}"}}]})
        )
        for number in range(200)
    ]
    await peer.send(*commands)
    replies = [await peer.until("reply") for _ in commands]
    sequences = {reply.correlation_id: reply.publish.sequences[0] for reply in replies}
    assert [sequences[number] for number in range(200)] == sorted(sequences.values())


async def test_only_a_blocking_acquire_answers_late(channel: grpc.aio.Channel) -> None:
    """A6, L6: commands behind one that waits are answered before it."""
    holder, waiter = Peer(channel), Peer(channel)
    await holder.hello("holder")
    await waiter.hello("waiter")
    held = (await holder.ask(acquire={"requests": [{"resource": "r"}]})).acquire.grants[0]
    await waiter.send(
        pb.ClientMessage(command=pb.Command(correlation_id=1, acquire={"requests": [{"resource": "r"}]})),
        pb.ClientMessage(command=pb.Command(correlation_id=2, publish={"events": [{"custom": {"name": "x"}}]})),
    )
    assert (await waiter.until("reply")).correlation_id == 2
    await holder.ask(release={"fencing_tokens": [held.fencing_token]})
    granted = await waiter.until("reply")
    assert granted.correlation_id == 1
    assert granted.acquire.grants[0].fencing_token > held.fencing_token


async def test_a_lost_stream_detaches_and_a_resume_brings_what_was_missed(channel: grpc.aio.Channel) -> None:
    """A4, A5, D6: detached at once, nothing assigned meanwhile; the resumed stream gets what it does not name, and is
    told what no longer counts."""
    peer = Peer(channel)
    welcome = await peer.hello("one", capability="work")
    await submit(channel, "first")
    first = await peer.until("task")
    peer.vanish()
    await await_event(channel, "agent_detached")
    await submit(channel, "second")
    back = Peer(channel)
    await back.send(pb.ClientMessage(hello=pb.Hello(session_id=welcome.session_id, attempt_tokens=[12345])))
    resumed = await back.until("welcome")
    assert (resumed.session_id, resumed.resumed) == (welcome.session_id, True)
    assert list(resumed.stale_attempt_tokens) == [12345]
    assert (await back.until("task")).attempt_token == first.attempt_token
    await back.ask(task_completed={"attempt_token": first.attempt_token})
    assert (await back.until("task")).task_id == "second"


async def test_a_repeated_report_gets_its_first_answer(channel: grpc.aio.Channel) -> None:
    """D5, A5: a report repeated after a resume is answered as replayed, and counts once."""
    peer = Peer(channel)
    await peer.hello("one", capability="work")
    await submit(channel, "t")
    token = (await peer.until("task")).attempt_token
    report = {"attempt_token": token, "request_id": "once", "result": {"json": {"number_value": 1}}}
    first = (await peer.ask(task_completed=report)).reported
    again = (await peer.ask(task_completed=report)).reported
    assert (again.sequence, again.replayed) == (first.sequence, True)
    assert sum(event.WhichOneof("payload") == "agent_completed" for event in await events_of(channel)) == 1


async def test_state_over_a_session(channel: grpc.aio.Channel) -> None:
    """S1: deleted and read as it was by the frames of a session; a repetition is told the same."""
    peer = Peer(channel)
    await peer.hello("one")
    change = {"updates": [{"key": "a", "value": {"number_value": 1}}]}
    first = (await peer.ask(update_state={"change": change})).update_state.revision
    deletion = {"keys": ["a"], "request_id": "once"}
    gone = (await peer.ask(delete_state=deletion)).delete_state
    again = (await peer.ask(delete_state=deletion)).delete_state
    assert (again.revision, again.replayed, gone.replayed) == (gone.revision, True, False)
    assert not (await peer.ask(get_state={"keys": ["a"]})).get_state.entries
    (entry,) = (await peer.ask(get_state={"keys": ["a"], "revision": first})).get_state.entries
    assert (entry.value.number_value, entry.writer) == (1, "one")
    assert (await peer.ask(delete_state={"keys": ["a"]})).error.code == code_pb2.NOT_FOUND


async def test_faults_of_state_have_the_names_of_the_contract(channel: grpc.aio.Channel) -> None:
    """Bad input, S2, S3: what only the state can tell is named by the field that the caller wrote, in a request as in a
    report."""
    peer = Peer(channel)
    await peer.hello("one", capability="work")
    plain = {"updates": [{"key": "a", "value": {"number_value": 1}}]}
    append = {"updates": [{"key": "b", "value": {"number_value": 1}}, plain["updates"][0]], "strategy": 3}
    await peer.ask(update_state={"change": plain})
    assert _fields(await peer.ask(update_state={"change": append})) == ["change.updates[1]"]
    future = {**plain, "base_revision": 2**40}
    assert _fields(await peer.ask(update_state={"change": future})) == ["change.base_revision"]
    assert _fields(await peer.ask(delete_state={"keys": ["a"], "base_revision": 2**40})) == ["base_revision"]
    await submit(channel, "t")
    token = (await peer.until("task")).attempt_token
    report = {"attempt_token": token, "state_changes": [plain, append]}
    assert _fields(await peer.ask(task_completed=report)) == ["state_changes[1].updates[1]"]
    report = {"attempt_token": token, "state_changes": [plain, plain, future]}
    assert _fields(await peer.ask(task_completed=report)) == ["state_changes[2].base_revision"]
    twice = {"requests": [{"resource": "r"}, {"resource": "s"}, {"resource": "r"}]}
    assert _fields(await peer.ask(acquire=twice)) == ["requests[2].resource"]
    assert (await peer.ask(task_completed={"attempt_token": token, "state_changes": [plain]})).reported.sequence


def _fields(reply: Any) -> list[str]:
    """The fields that a refusal names."""
    assert reply.error.code == code_pb2.INVALID_ARGUMENT
    detail = error_details_pb2.BadRequest()
    (packed,) = (each for each in reply.error.details if each.Is(detail.DESCRIPTOR))
    packed.Unpack(detail)
    return [each.field for each in detail.field_violations]


async def test_a_goodbye_ends_the_session_and_the_stream(channel: grpc.aio.Channel) -> None:
    """A7: answered, then the stream ends well."""
    peer = Peer(channel)
    await peer.hello("one")
    assert (await peer.ask(goodbye={"reason": "done"})).reported.sequence
    assert await peer.refusal() == (grpc.StatusCode.OK, "")
    assert (await await_event(channel, "agent_disconnected")).reason == "GOODBYE"


async def test_a_drained_agent_is_told_and_gets_no_more(channel: grpc.aio.Channel) -> None:
    """A7: Drain comes down, running tasks finish, no new one is assigned."""
    peer = Peer(channel)
    await peer.hello("one", capability="work")
    await submit(channel, "t")
    token = (await peer.until("task")).attempt_token
    drain = channel.unary_unary(
        "/concert.v1.AgentService/DrainAgent", request_serializer=bytes, response_deserializer=bytes
    )
    await drain(b"\x1a\x03one")
    await peer.until("drain")
    await submit(channel, "u")
    assert (await peer.ask(task_completed={"attempt_token": token})).reported.sequence
    assigned = [event for event in await events_of(channel) if event.WhichOneof("payload") == "task_assigned"]
    assert len(assigned) == 1


async def test_a_cancelled_run_tells_its_agent(channel: grpc.aio.Channel) -> None:
    """R12: CancelTask with the reason and the grace; the acknowledgement ends the run."""
    peer = Peer(channel)
    await peer.hello("one", capability="work")
    run_id = await submit(channel, "t")
    token = (await peer.until("task")).attempt_token
    await peer.send(pb.ClientMessage(command=pb.Command(correlation_id=9, cancel_run={"run_id": run_id})))
    cancel = await peer.until("cancel")
    assert (cancel.attempt_token, cancel.reason) == (token, "CANCELLED")
    assert cancel.grace.ToMilliseconds() == 10_000
    await peer.ask(task_failed={"attempt_token": token, "cancelled": True, "error": {"error_type": "CANCELLED"}})
    assert (await await_event(channel, "run_completed")).run_completed.counts.cancelled == 1


async def test_an_agent_that_reads_nothing_loses_its_stream_not_the_memory() -> None:
    """The outbox is bounded: beyond it the stream is cut and the session detached; others are not delayed."""
    settings = Settings(**SETTINGS, outbox_bytes_max=256 * 1024)
    async with CoordinatorServer(settings) as server, grpc.aio.insecure_channel(server.address) as channel:
        deaf = Peer(channel)
        await deaf.hello("deaf")
        wide = {"keys": ["big"]}
        writer = Peer(channel)
        await writer.hello("writer")
        big = {"updates": [{"key": "big", "value": {"string_value": "x" * 500_000}}]}
        await writer.ask(update_state={"change": big})
        reading = asyncio.create_task(await_event(channel, "agent_detached"))
        try:
            for number in range(200):
                if reading.done():
                    break
                message = pb.ClientMessage(command=pb.Command(correlation_id=number, get_state=wide))
                async with asyncio.timeout(5):
                    await deaf.send(message)
        except (TimeoutError, grpc.aio.AioRpcError, asyncio.InvalidStateError):
            pass  # the stream is cut, or takes no more: either way the coordinator is rid of it
        assert (await asyncio.wait_for(reading, 30)).agent_id == "deaf"
        assert (await writer.ask(publish={"events": [{"custom": {"name": "still here"}}]})).publish.sequences


async def test_a_server_that_stops_tells_its_sessions() -> None:
    """Drain with the time to reconnect by, then UNAVAILABLE."""
    server = CoordinatorServer(Settings(**{**SETTINGS, "drain_grace_seconds": 0.5}))
    await server.start()
    async with grpc.aio.insecure_channel(server.address) as channel:
        peer = Peer(channel)
        await peer.hello("one")
        stopping = asyncio.create_task(server.stop(notice_seconds=0.2, grace_seconds=0.5))
        drain = await peer.until("drain")
        assert drain.reconnect_by.ToMilliseconds() == 500
        assert await peer.refusal() == (grpc.StatusCode.UNAVAILABLE, "UNAVAILABLE")
        await stopping


@pytest.mark.parametrize(
    ("where", "what"), [("keep_alive", "reply"), ("submit", "end")], ids=["beside the inbox", "while it is read"]
)
async def test_a_slip_behind_a_session_is_told(
    monkeypatch: pytest.MonkeyPatch, channel: grpc.aio.Channel, where: str, what: str
) -> None:
    """D4: INTERNAL, as for a unary call: a command is not left without a reply, nor the stream without a reason."""

    def broken(*_: object, **__: object) -> None:
        raise KeyError("a slip")

    peer = Peer(channel)
    await peer.hello()
    with monkeypatch.context() as slipping:
        slipping.setattr(LocalNamespace, where, broken)
        if what == "reply":
            reply = await peer.ask(keep_alive=lock_pb.KeepAliveRequest(fencing_tokens=[1]))
            assert (reply.error.code, reason_of(reply.error)) == (code_pb2.INTERNAL, "INTERNAL")
        else:
            command = pb.Command(correlation_id=1, get_state=state_pb.GetStateRequest(keys=["a"]))
            await peer.send(pb.ClientMessage(command=command))
            assert await peer.refusal() == (grpc.StatusCode.INTERNAL, "INTERNAL")


async def test_a_stream_that_was_cut_is_no_sign_of_life() -> None:
    """A4, D6: whoever reads nothing and goes on sending loses the session with its lease, and is not obeyed."""
    settings = Settings(**SETTINGS, outbox_bytes_max=12 * 1024 * 1024)  # more than the transport takes for itself
    async with CoordinatorServer(settings) as server, grpc.aio.insecure_channel(server.address) as channel:
        writer, deaf = Peer(channel), Peer(channel)
        await writer.hello("writer")
        big = {"updates": [{"key": "big", "value": {"string_value": "x" * 500_000}}]}
        await writer.ask(update_state={"change": big})
        await deaf.hello("deaf", lease={"seconds": 4})
        for number in range(60):
            await deaf.send(pb.ClientMessage(command=pb.Command(correlation_id=number, get_state={"keys": ["big"]})))
        assert (await asyncio.wait_for(await_event(channel, "agent_detached"), 30)).agent_id == "deaf"
        loop = asyncio.get_running_loop()
        began = loop.time()
        try:
            while (passed := loop.time() - began) < 8:
                late = {"events": [{"custom": {"name": "early" if passed < 3 else "late"}}]}
                async with asyncio.timeout(5):
                    await deaf.send(pb.ClientMessage(command=pb.Command(correlation_id=1, publish=late)))
                await asyncio.sleep(0.25)
        except (TimeoutError, grpc.aio.AioRpcError, asyncio.InvalidStateError):
            pass  # cut at last
        log = await events_of(channel)
        assert "late" not in [each.custom.name for each in log if each.WhichOneof("payload") == "custom"]
        ended = [each.agent_id for each in log if each.WhichOneof("payload") == "agent_disconnected"]
        assert ended == ["deaf"]


async def test_a_session_that_waits_for_much_is_heard_all_the_same() -> None:
    """A6, D7: requests that wait are not in the way of what comes after them, least of all of its signs of life."""
    settings = Settings(**SETTINGS, commands_in_flight_max=4)
    async with CoordinatorServer(settings) as server, grpc.aio.insecure_channel(server.address) as channel:
        holder, waiter = Peer(channel), Peer(channel)
        await holder.hello("holder")
        resources = [f"r{number}" for number in range(4)]
        await holder.ask(acquire={"requests": [{"resource": each} for each in resources]})
        await waiter.hello("waiter", lease={"seconds": 2})
        for number, resource in enumerate(resources, 1):
            asked = {"requests": [{"resource": resource, "wait_timeout": {"seconds": 60}}]}
            await waiter.send(pb.ClientMessage(command=pb.Command(correlation_id=number, acquire=asked)))
        for nonce in range(8):
            await waiter.send(pb.ClientMessage(heartbeat=pb.Heartbeat(nonce=nonce)))
            await holder.send(pb.ClientMessage(heartbeat=pb.Heartbeat(nonce=nonce)))
            await asyncio.sleep(0.5)
        async with asyncio.timeout(5):
            assert (await waiter.until("heartbeat_ack")).nonce == 0
        assert not [each for each in await events_of(channel) if each.WhichOneof("payload") == "agent_disconnected"]
