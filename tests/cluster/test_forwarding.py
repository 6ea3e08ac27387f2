"""Any replica serves any call: what another owns is asked of it, and its log is read here."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, aclosing
from pathlib import Path

import concert
import grpc
import pytest
from concert.agent import Agent, AgentHost, TaskContext
from concert.v1 import event_service_pb2, lock_service_pb2, monitor_service_pb2

from coordinator_service.cluster import relay
from coordinator_service.local_namespace import LocalNamespace
from coordinator_service.server import CoordinatorServer
from tests.cli.concert_command import until
from tests.rpc.peer import Peer, acquire, refused, update

from .replicas import Town, connected, queue_length, replica

SECONDS_MAX = 60.0


@pytest.fixture
def town() -> Town:
    return Town()


@pytest.fixture
async def three(town: Town, tmp_path: Path) -> AsyncIterator[list[CoordinatorServer]]:
    """Three replicas; the first owns everything unless the test says otherwise."""
    async with AsyncExitStack() as stack, asyncio.timeout(SECONDS_MAX):
        yield [await stack.enter_async_context(replica(town, tmp_path / name, name)) for name in ("a", "b", "c")]


@pytest.fixture
async def peers(three: list[CoordinatorServer]) -> AsyncIterator[list[Peer]]:
    """A peer of each."""
    async with AsyncExitStack() as stack:
        yield [Peer(await stack.enter_async_context(grpc.aio.insecure_channel(each.address))) for each in three]


class Worker(Agent):
    """Says where its task was given."""

    capabilities = ("work",)

    def __init__(self, agent_id: str) -> None:
        self.agent_id = agent_id

    async def execute(self, context: TaskContext) -> str:
        async with context.lock("shop"):
            context.set_state({f"done/{context.task_id}": True})
        return self.agent_id


async def test_what_one_replica_was_told_every_other_tells(peers: list[Peer]) -> None:
    """D4, across replicas: state, an event, the end of the log."""
    _, second, third = peers
    updated = await second.update("pages", 3)
    published = await third.publish("stated")
    found = await second.events.GetEvent(event_service_pb2.GetEventRequest(sequence=published.sequences[0]))
    assert found.event.custom.name == "stated"
    assert updated.revision < published.sequences[0] <= await second.last_sequence()
    listed = [each.sequence for each in await third.events_after(0)]
    assert listed == list(range(1, listed[-1] + 1))


async def test_a_refusal_is_the_same_wherever_it_is_heard(peers: list[Peer]) -> None:
    """Code, reason, message and details, byte for byte but for the sequences that differ anyway."""
    for peer in peers:
        lost = await refused(peer.locks.Release(lock_service_pb2.ReleaseRequest(fencing_tokens=[7])))
        assert (lost.code, lost.reason) == ("FAILED_PRECONDITION", "NOT_HOLDER")
    await peers[0].update("site", 1, writer="first")
    for peer in peers:
        conflict = await refused(peer.state.UpdateState(update("site", 2, writer=f"other-{id(peer)}")))
        assert (conflict.code, conflict.reason) == ("ABORTED", "STATE_CONFLICT")
        assert conflict.details["StateConflict"].keys[0].their_writer == "first"


async def test_a_lock_is_queued_for_across_replicas(peers: list[Peer]) -> None:
    """One queue, one holder, and a wait that ends where it began."""
    first, second, third = peers
    held = await second.acquire("shop", holder="second")
    waiting = asyncio.ensure_future(third.acquire("shop", wait_seconds=30, holder="third"))
    gone = asyncio.ensure_future(second.acquire("shop", wait_seconds=30, holder="gone"))

    async def both_wait() -> bool:
        return await queue_length(first, "shop") == 2

    async def one_waits() -> bool:
        return await queue_length(first, "shop") == 1

    await until(both_wait)
    gone.cancel()  # a cancelled call withdraws its request, wherever it was made (L6)
    await until(one_waits)
    kept = await third.locks.KeepAlive(lock_service_pb2.KeepAliveRequest(fencing_tokens=[held.grants[0].fencing_token]))
    assert kept.leases[0].time_left.seconds > 0
    await first.locks.Release(lock_service_pb2.ReleaseRequest(fencing_tokens=[held.grants[0].fencing_token]))
    granted = await waiting
    assert granted.grants[0].fencing_token > held.grants[0].fencing_token
    timed_out = await refused(second.locks.Acquire(acquire("shop", wait_seconds=0, holder="late")))
    assert timed_out.details["LockContention"].holders[0].holder == "third"


async def test_agents_of_any_replica_do_the_work_of_one_run(three: list[CoordinatorServer], peers: list[Peer]) -> None:
    """Sessions, assignments, locks, state and results pass between replicas."""
    async with AsyncExitStack() as stack:
        for server in three:
            await stack.enter_async_context(
                AgentHost(Worker(f"at-{server.settings.replica_id}"), address=server.address)
            )

        async def all_are_there() -> bool:
            return len(await connected(peers[2])) == len(three)

        await until(all_are_there)
        client = await stack.enter_async_context(concert.connect(three[1].address))
        tasks = [concert.task(f"t{number}", capability="work") for number in range(24)]
        run = await client.submit_run(tasks=tasks)
        ended = await run.wait()
        assert ended.status == concert.RunStatus.RUN_STATUS_SUCCEEDED
        results = {await run.result(f"t{number}") for number in range(24)}
        assert results <= {"at-a", "at-b", "at-c"}
        assert len(results) > 1


async def test_a_subscriber_anywhere_sees_everything_once(three: list[CoordinatorServer]) -> None:
    """E2: history first, then what is published meanwhile, at a replica that owns nothing."""
    _, second, third = three
    async with concert.connect(third.address) as publisher, concert.connect(second.address) as reader:
        for number in range(10):
            await publisher.publish("counted", number)
        seen: list[object] = []
        async with (
            reader.subscribe(custom_names=["counted"], start="earliest") as subscription,
            aclosing(aiter(subscription)) as events,
        ):
            publishing = asyncio.ensure_future(_publish(publisher, range(10, 50)))
            async for event in events:
                seen.append(concert.from_payload(event.custom.data))
                if len(seen) == 50:
                    break
            await publishing
        assert seen == list(range(50))


async def _publish(client: concert.Client, numbers: range) -> None:
    for number in numbers:
        await client.publish("counted", number)


async def test_health_metrics_and_named_subscriptions_are_the_owners(peers: list[Peer]) -> None:
    """What is folded or kept beside the log is asked of the owner."""
    first, second, _ = peers
    await second.publish("counted")
    healths = [await peer.monitor.GetHealth(monitor_service_pb2.GetHealthRequest()) for peer in (first, second)]
    assert healths[0].status == healths[1].status
    metrics = await second.monitor.GetMetrics(monitor_service_pb2.GetMetricsRequest())
    assert metrics.metrics.sequence >= 2
    create = event_service_pb2.CreateSubscriptionRequest(
        name="audit", position=event_service_pb2.START_POSITION_EARLIEST
    )
    await second.events.CreateSubscription(create)
    for peer in peers:
        listed = await peer.events.ListSubscriptions(event_service_pb2.ListSubscriptionsRequest())
        assert [each.name for each in listed.subscriptions] == ["audit"]


@pytest.mark.parametrize("where", ["measure", "answer"])
async def test_a_slip_at_the_owner_is_told_to_whoever_asked_elsewhere(
    monkeypatch: pytest.MonkeyPatch, peers: list[Peer], where: str
) -> None:
    """D4, across replicas: INTERNAL; nobody waits for an answer that will not come."""

    def broken(*_: object) -> None:
        raise KeyError("a slip")

    _, second, _ = peers
    await second.publish("before")
    if where == "measure":
        monkeypatch.setattr(LocalNamespace, "measure", broken)
        refusal = await refused(second.monitor.GetMetrics(monitor_service_pb2.GetMetricsRequest(), timeout=30))
    else:
        monkeypatch.setattr(relay, "answer_to_bytes", broken)
        refusal = await refused(second.locks.ListLocks(lock_service_pb2.ListLocksRequest(), timeout=30))
    assert (refusal.code, refusal.reason) == ("INTERNAL", "INTERNAL")


async def test_a_namespace_moves_and_nobody_loses_anything(town: Town, three: list[CoordinatorServer]) -> None:
    """A hand-over: sessions come back, the run goes on, the log has no gap and says who owned it when."""
    first, second, third = three
    async with AsyncExitStack() as stack:
        await stack.enter_async_context(AgentHost(Worker("worker"), address=second.address))
        client = await stack.enter_async_context(concert.connect(third.address))
        for number, owner in enumerate(("b", "c", "a", "b")):
            run = await client.submit_run(tasks=[concert.task(f"t{each}", capability="work") for each in range(10)])
            town.move("default", owner)
            ended = await run.wait()
            assert ended.status == concert.RunStatus.RUN_STATUS_SUCCEEDED, number
        peer = Peer(await stack.enter_async_context(grpc.aio.insecure_channel(first.address)))
        events = await peer.events_after(0)
        assert [each.sequence for each in events] == list(range(1, len(events) + 1))
        owners = [each.owner_started.replica_id for each in events if each.WhichOneof("payload") == "owner_started"]
        assert owners == ["a", "b", "c", "a", "b"]


async def test_a_replica_that_is_asked_for_what_it_does_not_own_passes_nothing_on(
    town: Town, three: list[CoordinatorServer], peers: list[Peer]
) -> None:
    """No request goes round in a circle: two that disagree for a moment say UNAVAILABLE, with a hint when to try."""
    await peers[1].publish("before")
    resident = town.replicas["c"]
    town.owners["default"] = "c"  # b asks c; c thinks that it is a
    third = three[2]
    real = third._namespaces._ownership.owner_of
    third._namespaces._ownership.owner_of = lambda namespace: town.replicas["a"]  # type: ignore[method-assign]
    try:
        answer = await refused(peers[1].publish("meanwhile"))
        assert answer.code == "UNAVAILABLE"
        assert "RetryInfo" in answer.details
    finally:
        third._namespaces._ownership.owner_of = real  # type: ignore[method-assign]
        assert resident is town.replicas["c"]
