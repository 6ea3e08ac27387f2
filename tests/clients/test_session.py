from __future__ import annotations

import asyncio
import random
from typing import Any

import concert
import pytest
from concert import _commands, _session
from concert import _methods as methods
from concert._limits import FRAME_BYTES_MAX
from concert._time import to_duration
from concert.v1 import session_service_pb2
from google.rpc import error_details_pb2

from .scripted_coordinator import Refused, ScriptedCoordinator, refusal


def commands(frames: list[list[Any]], field: str) -> list[Any]:
    """The commands of that kind in some frames, in order."""
    return [
        getattr(message.command, field)
        for frame in frames
        for message in frame
        if message.WhichOneof("message") == "command" and message.command.WhichOneof("request") == field
    ]


async def test_many_commands_travel_in_few_frames(coordinator: ScriptedCoordinator, client: concert.Client) -> None:
    """What is ready when the stream can be written goes as one frame, and every reply finds its caller."""
    async with client.session() as session:
        coordinator.answer(
            methods.UPDATE_STATE,
            lambda request: methods.UPDATE_STATE.response(revision=int(request.change.updates[0].value.number_value)),
        )
        answers = await asyncio.gather(*(session.state.update({"n": n}) for n in range(500)))
        assert answers == list(range(500))
        stream = await coordinator.stream()
        carrying = [frame for frame in stream.frames if any(m.WhichOneof("message") == "command" for m in frame)]
        assert len(carrying) < 50


async def test_commands_of_a_session_keep_their_order(coordinator: ScriptedCoordinator, client: concert.Client) -> None:
    """A6: commands are written in the order in which they were asked for."""
    async with client.session() as session:
        await asyncio.gather(*(session.state.update({"n": n}) for n in range(200)))
        stream = await coordinator.stream()
        sent = [int(each.change.updates[0].value.number_value) for each in commands(stream.frames, "update_state")]
        assert sent == list(range(200))


async def test_a_frame_stays_below_its_limit(coordinator: ScriptedCoordinator, client: concert.Client) -> None:
    """Frames hold at most 2 MiB; what does not fit waits for the next."""
    async with client.session() as session:
        await asyncio.gather(*(session.publish("x", b"y" * 700_000) for _ in range(7)))
        stream = await coordinator.stream()
        sizes = [session_service_pb2.ConnectRequest(messages=frame).ByteSize() for frame in stream.frames]
        assert max(sizes) <= FRAME_BYTES_MAX
        assert len(commands(stream.frames, "publish")) == 7


async def test_what_is_pending_is_bounded(
    coordinator: ScriptedCoordinator, client: concert.Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Callers wait, in order, while too many commands have no reply; memory does not grow with callers'
    haste.
    """
    monkeypatch.setattr(_commands, "COMMANDS_PENDING_MAX", 4)
    gate = asyncio.Event()

    async def answer(request: Any) -> Any:
        await gate.wait()
        return methods.PUBLISH.response(sequences=[1])

    coordinator.answer(methods.PUBLISH, answer)
    async with client.session() as session:
        calls = [asyncio.create_task(session.publish(f"event-{n}")) for n in range(12)]
        await coordinator.got(methods.PUBLISH, 4)
        assert len(session._stream._commands) == 4
        calls[5].cancel()
        gate.set()
        await asyncio.gather(*calls, return_exceptions=True)
        names = [request.events[0].custom.name for request in coordinator.requests["Publish"]]
        assert names == [f"event-{n}" for n in range(12) if n != 5]


async def test_a_broken_stream_is_resumed_and_commands_sent_again(
    coordinator: ScriptedCoordinator, client: concert.Client
) -> None:
    """A5, D5: the session id is in the second Hello; commands without a reply come again, in order, under
    their ids.
    """
    coordinator.answer(methods.PUBLISH, lambda _request: None)  # silence
    async with client.session(agent_id="a-1") as session:
        calls = [asyncio.create_task(session.publish(f"event-{n}")) for n in range(3)]
        await coordinator.got(methods.PUBLISH, 3)
        coordinator.answer(methods.PUBLISH, lambda _request: methods.PUBLISH.response(sequences=[9]))
        first = await coordinator.stream()
        first.drop()
        assert await asyncio.gather(*calls) == [9, 9, 9]
        second = await coordinator.stream(2)
        assert (second.hello.session_id, second.hello.agent.agent_id) == (session.session_id, "a-1")
        before, after = (
            [(each.request_id, each.events[0].custom.name) for each in commands(stream.frames, "publish")]
            for stream in (first, second)
        )
        assert before == after
        assert session.over is None


async def test_a_coordinator_that_restarts_is_found_again(
    coordinator: ScriptedCoordinator, client: concert.Client
) -> None:
    """The session outlives the coordinator's process for as long as the lease lasts."""
    async with client.session(lease=15) as session:
        await coordinator.stop()
        call = asyncio.create_task(session.publish("x"))
        await coordinator.start()
        assert await call
        assert coordinator.streams[-1].hello.session_id == session.session_id


async def test_a_reply_of_unavailable_is_tried_again(coordinator: ScriptedCoordinator, client: concert.Client) -> None:
    """A namespace that is being reloaded answers UNAVAILABLE; the command is repeated under its request id."""
    retry = error_details_pb2.RetryInfo(retry_delay=to_duration(0.01))
    failures = [Refused(refusal(14, "UNAVAILABLE", "reloading", retry))]

    def answer(_request: Any) -> Any:
        if failures:
            raise failures.pop()
        return methods.PUBLISH.response(sequences=[3])

    coordinator.answer(methods.PUBLISH, answer)
    async with client.session() as session:
        assert await session.publish("x") == 3
    first, second = coordinator.requests["Publish"]
    assert first.request_id == second.request_id


async def test_the_session_is_given_up_before_the_coordinator_gives_it_up(
    coordinator: ScriptedCoordinator, client: concert.Client
) -> None:
    """D7: without an answered heartbeat the client knows that the lease is gone before it can have ended over
    there.
    """
    loop = asyncio.get_running_loop()
    async with client.session(lease=2) as session:
        lost = asyncio.Event()
        session.on_lost(lost.set)
        begun = loop.time()
        await coordinator.stop()
        await lost.wait()
        assert loop.time() - begun < 2.0
        assert session.over is not None
        with pytest.raises(concert.SessionOver):
            await session.publish("x")


async def test_heartbeats_keep_the_session(coordinator: ScriptedCoordinator, client: concert.Client) -> None:
    """A session that has nothing to say lives on: heartbeats go out more often than every third of the lease."""
    loop = asyncio.get_running_loop()
    async with client.session(lease=2) as session:
        begun = loop.time()
        await coordinator.until(lambda: coordinator.heartbeats >= 8)
        assert 2.0 < loop.time() - begun < 8 * 2 / 3
        assert session.over is None
        assert len(coordinator.streams) == 1


async def test_a_silent_stream_is_replaced(coordinator: ScriptedCoordinator, client: concert.Client) -> None:
    """A stream on which heartbeats are not answered is given up well before the lease, and the session
    resumed.
    """
    coordinator.acknowledges = False
    async with client.session(lease=3) as session:
        await coordinator.stream(2)
        coordinator.acknowledges = True
        assert await session.publish("x")
        assert coordinator.streams[1].hello.session_id == session.session_id


async def test_a_session_that_cannot_be_resumed_is_over(
    coordinator: ScriptedCoordinator, client: concert.Client
) -> None:
    """What is pending fails with SessionOver when the coordinator says that the session is over; nothing
    hangs.
    """
    coordinator.answer(methods.PUBLISH, lambda _request: None)
    async with client.session() as session:
        call = asyncio.create_task(session.publish("x"))
        await coordinator.got(methods.PUBLISH)
        coordinator.resumes = False
        (await coordinator.stream()).drop()
        with pytest.raises(concert.SessionOver):
            await call
        assert isinstance(await session.wait_over(), concert.SessionOver)


async def test_an_id_that_is_taken_is_refused_at_once(coordinator: ScriptedCoordinator, client: concert.Client) -> None:
    """A2: another Hello under a live id is ALREADY_EXISTS, which no retry would change."""
    coordinator.refuse_connect.append(refusal(6, "ALREADY_EXISTS", "an agent lives under it"))
    with pytest.raises(concert.AlreadyExists):
        async with client.session(agent_id="a"):
            pass


async def test_opening_a_session_waits_for_a_coordinator(
    coordinator: ScriptedCoordinator, client: concert.Client
) -> None:
    """UNAVAILABLE at Hello is tried again."""
    coordinator.refuse_connect += [refusal(14, "UNAVAILABLE", "starting")] * 2
    async with client.session() as session:
        assert session.session_id


async def test_a_session_whose_welcome_comes_after_its_lease_is_opened_again(
    coordinator: ScriptedCoordinator, client: concert.Client
) -> None:
    """Nobody is handed a session that may be over already; the same Hello again takes it up, with a whole lease."""
    coordinator.welcome_after_seconds = [0.6]
    async with asyncio.timeout(30), client.session(agent_id="a", lease=0.5) as session:
        assert session.over is None
        late, again = (each.hello for each in coordinator.streams)
        assert late.request_id
        assert late == again


async def test_takeover_is_asked_for_in_hello(coordinator: ScriptedCoordinator, client: concert.Client) -> None:
    """A2: takeover is the caller's decision, and never part of a resume."""
    async with client.session(agent_id="a", takeover=True) as session:
        (await coordinator.stream()).drop()
        second = await coordinator.stream(2)
        assert coordinator.streams[0].hello.takeover
        assert not second.hello.takeover
        assert session.over is None


async def test_goodbye_is_said(coordinator: ScriptedCoordinator, client: concert.Client) -> None:
    """Leaving a session ends it over there at once."""
    async with client.session():
        pass
    assert len(coordinator.requests["Goodbye"]) == 1


async def test_a_drain_moves_the_session_to_another_stream_without_losing_a_command(
    coordinator: ScriptedCoordinator, client: concert.Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Drain{reconnect_by}: a successor is looked for while the stream stands, and what is pending moves
    along.
    """
    monkeypatch.setattr(_session, "RECONNECT_JITTER_SECONDS_MAX", 0.01)
    coordinator.slow_welcome = True  # the old stream ends before the new one is welcomed
    coordinator.answer(methods.PUBLISH, lambda _request: None)
    async with client.session() as session:
        call = asyncio.create_task(session.publish("x"))
        await coordinator.got(methods.PUBLISH)
        coordinator.refuse_connect.append(refusal(14, "UNAVAILABLE", "shutting down"))
        coordinator.answer(methods.PUBLISH, lambda _request: methods.PUBLISH.response(sequences=[4]))
        coordinator.streams[0].push(drain={"reconnect_by": to_duration(10)})
        assert await call == 4
        assert (await coordinator.stream(2)).hello.session_id == session.session_id
        assert session.over is None


async def test_a_grant_that_comes_too_late_is_given_back(
    coordinator: ScriptedCoordinator, client: concert.Client
) -> None:
    """L6: a caller that stopped waiting must not hold a lock without knowing."""
    gate = asyncio.Event()

    async def answer(request: Any) -> Any:
        await gate.wait()
        return coordinator._default(methods.ACQUIRE, request)

    coordinator.answer(methods.ACQUIRE, answer)
    async with client.session() as session:

        async def hold() -> None:
            async with session.lock("bucket"):
                raise AssertionError("never entered")

        call = asyncio.create_task(hold())
        await coordinator.got(methods.ACQUIRE)
        call.cancel()
        with pytest.raises(asyncio.CancelledError):
            await call
        gate.set()
        (release,) = await coordinator.got(methods.RELEASE)
        assert len(release.fencing_tokens) == 1


async def test_what_frames_do_not_carry_goes_as_an_rpc(
    coordinator: ScriptedCoordinator, client: concert.Client
) -> None:
    """A session answers everything a client does."""
    async with client.session() as session:
        await session.agents.list()
        await session.server_info()
        await session.plan_run(agents=["a"])
    assert coordinator.requests["ListAgents"]
    assert coordinator.requests["GetServerInfo"]
    assert coordinator.requests["PlanRun"]


@pytest.mark.parametrize("seed", range(5))
async def test_streams_that_break_anywhere_lose_and_repeat_nothing(
    coordinator: ScriptedCoordinator, client: concert.Client, seed: int
) -> None:
    """A5, A6, D5: whenever streams break, every command is seen, in order, and answered once with its own answer."""
    chance = random.Random(seed)
    first_seen: dict[str, int] = {}

    def answer(request: Any) -> Any:
        number = int(request.change.updates[0].value.number_value)
        first_seen.setdefault(request.request_id, number)
        if chance.random() < 0.03:
            coordinator.streams[-1].drop()
        if chance.random() < 0.05:
            return None  # decided, but the reply is lost with the stream
        return methods.UPDATE_STATE.response(revision=number)

    coordinator.answer(methods.UPDATE_STATE, answer)

    async def drop_what_waits() -> None:
        """A lost reply comes only on another stream."""
        while True:
            stream = coordinator.streams[-1]
            seen = len(coordinator.requests["UpdateState"])
            await asyncio.sleep(0.1)
            if seen == len(coordinator.requests["UpdateState"]):
                stream.drop()

    async with client.session() as session:
        breaker = asyncio.create_task(drop_what_waits())
        answers = await asyncio.gather(*(session.state.update({"n": n}) for n in range(300)))
        breaker.cancel()
        assert answers == list(range(300))
        assert list(first_seen.values()) == list(range(300))
        assert len(coordinator.streams) > 1
