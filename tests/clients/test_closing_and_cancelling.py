"""What is closed, cancelled, or told twice: calls, attempts, grants, and iterations end as they should, and once."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import concert
import pytest
from concert import _methods as methods
from concert.agent import AgentHost, TaskContext, runtime
from concert.v1 import event_pb2, event_service_pb2
from google.rpc import error_details_pb2

from .scripted_coordinator import LOG_ID, Refused, ScriptedCoordinator, refusal
from .test_agent_runtime import Probe, agent_task, hosting


def unavailable() -> Refused:
    return Refused(refusal(14, "UNAVAILABLE", "failing over", error_details_pb2.RetryInfo()))


async def somebody_reads(subscription: Any) -> None:
    """Waits until its next response is waited for."""
    while subscription._following._reading is None:  # noqa: ASYNC110 - nobody announces it
        await asyncio.sleep(0)


async def test_a_long_call_outlives_the_channel_it_was_made_on(coordinator: ScriptedCoordinator) -> None:
    """A channel that is left is closed after a while: what still waits there is asked again, not cancelled."""
    asked = 0

    async def acquire(request: Any) -> Any:
        nonlocal asked
        asked += 1
        if asked == 1:
            await asyncio.Event().wait()
        return coordinator._default(methods.ACQUIRE, request)

    refusals = [unavailable()]

    def publish(_request: Any) -> Any:
        if refusals:
            raise refusals.pop()
        return methods.PUBLISH.response(sequences=[5])

    coordinator.answer(methods.ACQUIRE, acquire)
    coordinator.answer(methods.PUBLISH, publish)
    addresses = (coordinator.address, coordinator.address.replace("127.0.0.1", "localhost"))
    async with concert.connect(addresses, call_seconds=0.5) as client:
        acquiring = asyncio.create_task(client.locks.acquire("a", wait=10))
        await coordinator.got(methods.ACQUIRE)
        assert await client.publish("x") == 5
        done, _ = await asyncio.wait({acquiring}, timeout=5)
        assert done
        assert not acquiring.cancelled(), "nobody cancelled this task"
        assert acquiring.result().fencing_token


async def test_a_stream_outlives_the_channel_it_was_made_on(coordinator: ScriptedCoordinator) -> None:
    """As above, of a subscription."""
    gate = asyncio.Event()

    async def subscribe(request: Any) -> AsyncIterator[Any]:
        after = request.after.sequence
        made = event_service_pb2.SubscribeResponse()
        made.bookmark.CopyFrom(event_service_pb2.Bookmark(log_id=LOG_ID, last_sequence=max(after, 1)))
        yield made
        await gate.wait()
        yield event_service_pb2.SubscribeResponse(events=[event_pb2.Event(log_id=LOG_ID, sequence=2)])
        await asyncio.Event().wait()

    refusals = [unavailable()]

    def publish(_request: Any) -> Any:
        if refusals:
            raise refusals.pop()
        return methods.PUBLISH.response(sequences=[5])

    coordinator.answer(methods.SUBSCRIBE, subscribe)
    coordinator.answer(methods.PUBLISH, publish)
    addresses = (coordinator.address, coordinator.address.replace("127.0.0.1", "localhost"))
    async with concert.connect(addresses, call_seconds=0.5) as client:

        async def read() -> int:
            async with client.subscribe() as subscription:
                async for event in subscription:
                    return int(event.sequence)
            return 0

        reading = asyncio.create_task(read())
        await coordinator.got(methods.SUBSCRIBE)
        assert await client.publish("x") == 5
        async with asyncio.timeout(5):
            await asyncio.gather(*client._connection._retired)  # the channel that was left is closed
        gate.set()
        done, _ = await asyncio.wait({reading}, timeout=5)
        assert done
        assert not reading.cancelled(), "nobody cancelled this task"
        assert reading.result() == 2


async def test_a_grant_that_comes_as_its_caller_is_cancelled_is_given_back(
    coordinator: ScriptedCoordinator, client: concert.Client
) -> None:
    """L6: also when both happen in one turn of the loop, so that the reply is there and nobody reads it."""
    async with client.session() as session:

        async def hold() -> None:
            async with session.lock("bucket"):
                raise AssertionError("never entered")

        call = asyncio.create_task(hold())
        stream = session._stream
        on_reply = stream._on_reply

        def on_reply_and_cancel(reply: Any) -> None:
            on_reply(reply)
            if reply.WhichOneof("outcome") == "acquire":
                call.cancel()

        stream._on_reply = on_reply_and_cancel  # type: ignore[method-assign]
        with pytest.raises(asyncio.CancelledError):
            await call
        await coordinator.until(lambda: coordinator.requests["Release"], 3)


async def test_an_attempt_that_is_told_twice_is_cancelled_once(
    coordinator: ScriptedCoordinator, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Protocol, section 7: a CancelTask comes again when the session is resumed; what the handler does about the
    first one is not interrupted by the second.
    """
    stopping, told_again = asyncio.Event(), asyncio.Event()
    stop = runtime._Attempt.stop

    def told(attempt: Any, reason: str) -> None:
        again = stopping.is_set()
        stop(attempt, reason)
        if again:
            told_again.set()

    monkeypatch.setattr(runtime._Attempt, "stop", told)

    async def execute(_context: TaskContext) -> Any:
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            stopping.set()
            await told_again.wait()
            return "saved"

    agent = Probe(execute)
    async with hosting(coordinator, agent):
        coordinator.streams[0].push(task=agent_task(32))
        await agent.begun.wait()
        coordinator.streams[0].push(cancel={"attempt_token": 32, "reason": "CANCELLED"})
        await stopping.wait()
        coordinator.streams[0].drop()
        resumed = await coordinator.stream(2)
        resumed.push(cancel={"attempt_token": 32, "reason": "CANCELLED"})
        reports = coordinator.requests
        await coordinator.until(lambda: reports["TaskCompleted"] or reports["TaskFailed"])
        assert not reports["TaskFailed"]


async def test_an_update_while_a_session_begins_is_said(coordinator: ScriptedCoordinator) -> None:
    """A3: what Hello said is old by the time it is answered."""
    coordinator.welcome_after_seconds.append(0.6)
    agent = Probe()
    async with AgentHost(agent, address=coordinator.address) as host:
        while coordinator.welcome_after_seconds:  # noqa: ASYNC110 - until Hello has come; it is not answered yet
            await asyncio.sleep(0)
        agent.labels = {"edition": "second"}
        await host.update()
        await host.registered()
        said = coordinator.streams[0].hello.agent.labels

        def is_known() -> bool:
            updates = coordinator.requests["UpdateAgent"]
            return dict(updates[-1].agent.labels if updates else said) == {"edition": "second"}

        await coordinator.until(is_known, 3)


async def test_a_token_source_that_fails_is_told(coordinator: ScriptedCoordinator) -> None:
    """An agent that cannot register says why; it is not over as if all were well."""

    def token() -> str:
        raise LookupError("the token service is away")

    async with AgentHost(Probe(), address=coordinator.address, token=token) as host:
        async with asyncio.timeout(5):
            with pytest.raises(concert.ConcertError, match="token service"):
                await host.registered()
            with pytest.raises(concert.ConcertError, match="token service"):
                await host.wait()


async def test_closing_a_subscription_ends_its_iteration(
    coordinator: ScriptedCoordinator, client: concert.Client
) -> None:
    """From within the loop."""

    async def subscribe(_request: Any) -> AsyncIterator[Any]:
        yield event_service_pb2.SubscribeResponse(events=[event_pb2.Event(log_id=LOG_ID, sequence=1)])
        await asyncio.Event().wait()

    coordinator.answer(methods.SUBSCRIBE, subscribe)
    subscription = client.subscribe()
    async with asyncio.timeout(3):
        async for _event in subscription:
            await subscription.aclose()


async def test_closing_a_subscription_ends_a_reader_that_waits(
    coordinator: ScriptedCoordinator, client: concert.Client
) -> None:
    """From beside the loop."""

    async def subscribe(_request: Any) -> AsyncIterator[Any]:
        yield event_service_pb2.SubscribeResponse(events=[event_pb2.Event(log_id=LOG_ID, sequence=1)])
        await asyncio.Event().wait()

    coordinator.answer(methods.SUBSCRIBE, subscribe)
    subscription = client.subscribe()
    seen = asyncio.Event()

    async def read() -> None:
        async for _event in subscription:
            seen.set()

    reading = asyncio.create_task(read())
    await seen.wait()
    await somebody_reads(subscription)
    try:
        await subscription.aclose()
        await asyncio.wait_for(reading, 3)
    finally:
        reading.cancel()
        await asyncio.gather(reading, return_exceptions=True)


@pytest.mark.parametrize("from_within", [True, False])
async def test_closing_a_named_subscription_ends_its_iteration(
    coordinator: ScriptedCoordinator, client: concert.Client, from_within: bool
) -> None:
    """The same under a name: nobody is cancelled, and nothing is asked for again."""

    async def subscribe(_request: Any) -> AsyncIterator[Any]:
        yield event_service_pb2.SubscribeResponse(events=[event_pb2.Event(log_id=LOG_ID, sequence=1)])
        await asyncio.Event().wait()

    coordinator.answer(methods.SUBSCRIBE, subscribe)
    async with client.named_subscription("paid") as subscription:
        seen = asyncio.Event()

        async def read() -> None:
            async for _event in subscription:
                seen.set()
                if from_within:
                    await subscription.aclose()

        reading = asyncio.create_task(read())
        await seen.wait()
        if not from_within:
            assert subscription._inner is not None
            await somebody_reads(subscription._inner)
            await subscription.aclose()
        await asyncio.wait_for(reading, 3)
    assert len(coordinator.requests["Subscribe"]) == 1
